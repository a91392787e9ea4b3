"""Batches of a split: which videos are in each, and reading ahead those that are not in memory.

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

READ_AHEAD = 512  # videos that are read at once if they are not in memory


class Videos(Protocol):
    """What batches are made of."""

    def __len__(self) -> int: ...

    def batches(self, order: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """One batch after another; order: the videos of each, (B,) int."""


def stream(
    columns: Mapping[str, Column], order: Sequence[Tensor], held: Mapping[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Batches from files. The videos of several batches are read ahead in one window, in their order on the disk.

    Memory holds two windows, of about READ_AHEAD videos each, whatever the number of videos.
    order: the videos of each batch, (B,) int; held: (N, ...) arrays of the same videos that are in memory.
    Yields by kind (B, ...) float32.
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
    """Batches of a split that is in memory or read ahead; the last one may be smaller.

    Draws from torch's global generator what the published DataLoader draws, so that a seed gives the same batches and
    the same dropout. Each rank of `group` gets its shard of every batch, in the order that rank 0 draws.
    """

    def __init__(self, dataset: Videos, batch_size: int, shuffle: bool, group: ProcessGroup = SINGLE):
        self.dataset, self.batch_size, self.shuffle, self.group = dataset, batch_size, shuffle, group

    def __len__(self) -> int:
        return (len(self.dataset) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = torch.arange(len(self.dataset))
        _random_int64()  # a DataLoader would draw the base seed of its workers here
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
    """A DataLoader that Ctrl-C stops between two batches: at other times its workers would print tracebacks."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        with command.deferred_interrupt() as interrupted:
            for batch in super().__iter__():
                yield batch
                if interrupted():
                    break
