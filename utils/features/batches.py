"""Batches of a split: which videos are in each, and reading them ahead where they are not in memory.

Axes: N or B videos.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from utils.base import command
from utils.base.distributed import SINGLE, ProcessGroup
from utils.features.packed import Column

READ_AHEAD = 512  # videos that are read in one go where they are not in memory


class Videos(Protocol):
    """What batches are made of."""

    def __len__(self) -> int: ...

    def batches(self, order: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """One batch after another; order: the videos of each."""


def stream(
    columns: Mapping[str, Column], order: Sequence[Tensor], held: Mapping[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Batches from files, whose videos are read ahead, some batches in the order in which they lie on the disk.

    Memory holds two such windows, of about READ_AHEAD videos, whatever the number of videos.

    Args:
        order: the videos of each batch. held: arrays of the same videos that are in memory.

    Yields:
        batches: by kind, (B, ...) float32.
    """
    count = max(1, READ_AHEAD // max(1, len(order[0]))) if order else 1  # batches in a window
    windows = [order[i : i + count] for i in range(0, len(order), count)]
    pool = ThreadPoolExecutor(len(columns))

    def begin(window: Sequence[Tensor]):
        rows, place = torch.cat(list(window)).unique(return_inverse=True)
        return place, {kind: pool.submit(column.read, rows.numpy()) for kind, column in columns.items()}

    try:
        ahead = begin(windows[0]) if windows else None
        for number, window in enumerate(windows):
            place, reads = ahead
            values = {kind: torch.from_numpy(read.result()) for kind, read in reads.items()}
            ahead = begin(windows[number + 1]) if number + 1 < len(windows) else None
            for indices, rows in zip(window, place.split([len(i) for i in window]), strict=True):
                batch = {kind: value.index_select(0, rows).float() for kind, value in values.items()}
                yield batch | {kind: value.index_select(0, indices).float() for kind, value in held.items()}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class BatchLoader:
    """Batches of a split that is in memory or read ahead, the last one smaller.

    Takes the numbers from torch's global generator that the published DataLoader takes, so that a run with a seed
    has the same batches and the same dropout (spec, section 4).

    Args:
        group: ranks, of which each gets its shard of every batch; rank 0 says in which order.
    """

    def __init__(self, dataset: Videos, batch_size: int, shuffle: bool, group: ProcessGroup = SINGLE):
        self.dataset, self.batch_size, self.shuffle, self.group = dataset, batch_size, shuffle, group

    def __len__(self) -> int:
        return (len(self.dataset) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = torch.arange(len(self.dataset))
        _random_int64()  # the seed of worker processes, which there are none of
        if self.shuffle:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(_random_int64()))
            order = self.group.broadcast_object(order)
        parts = [self.group.shard(indices) for indices in order.split(self.batch_size)]
        with command.deferred_interrupt() as interrupted:
            for batch in self.dataset.batches(parts):
                yield batch
                if interrupted():
                    break


def _random_int64() -> int:
    return int(torch.empty((), dtype=torch.int64).random_())


class InterruptibleLoader(DataLoader):
    """A DataLoader that Ctrl-C stops between two batches.

    In the middle of one, or of starting and ending its worker processes, it would leave tracebacks of theirs behind.
    """

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        with command.deferred_interrupt() as interrupted:
            for batch in super().__iter__():
                yield batch
                if interrupted():
                    break
