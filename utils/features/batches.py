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
from utils.features.lengths import PER_VIDEO, Rows, batches_of, similar_lengths
from utils.features.packed import Column
from utils.llp.classes import T

READ_AHEAD = 512  # videos that are read at once if they are not in memory


class Videos(Protocol):
    """What batches are made of. rows: of videos that differ in length, else None."""

    rows: Rows | None

    def __len__(self) -> int: ...

    def batches(self, order: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """One batch after another; order: the videos of each, (B,) int."""


def _windows(order: Sequence[Tensor], rows: Rows | None) -> list[Sequence[Tensor]]:
    """Batches, (B,) int each, that are read at once: READ_AHEAD videos, or as many seconds as those of LLP have."""
    if rows is None:
        count = max(1, READ_AHEAD // max(1, len(order[0]))) if order else 1  # batches in a window
        return [order[i : i + count] for i in range(0, len(order), count)]
    windows, seconds = [], 0
    for videos in order:
        if not windows or seconds >= READ_AHEAD * T:
            windows.append([])
            seconds = 0
        windows[-1].append(videos)
        seconds += int(rows.lengths[videos].sum())
    return windows


def stream(
    columns: Mapping[str, Column], order: Sequence[Tensor], held: Mapping[str, Tensor], rows: Rows | None = None
) -> Iterator[dict[str, Tensor]]:
    """Batches from files. The videos of several batches are read ahead in one window, in their order on the disk.

    Memory holds two windows, whatever the number of videos.
    order: the videos of each batch, (B,) int; held: (N, ...) arrays of the same videos that are in memory.
    rows: of videos that differ in length.
    Yields by kind (B, ...) float32.
    """
    windows = _windows(order, rows)
    pool = ThreadPoolExecutor(len(columns))

    def begin(window: Sequence[Tensor]):
        videos, place = torch.cat(list(window)).unique(return_inverse=True)
        chosen = {kind: videos if rows is None or kind in PER_VIDEO else rows.of(videos) for kind in columns}
        reads = {kind: pool.submit(column.read, chosen[kind].numpy()) for kind, column in columns.items()}
        return place, reads, rows and Rows(rows.lengths[videos])

    try:
        ahead = begin(windows[0]) if windows else None
        for number, window in enumerate(windows):
            place, reads, read_rows = ahead
            values = {kind: torch.from_numpy(read.result()) for kind, read in reads.items()}
            ahead = begin(windows[number + 1]) if number + 1 < len(windows) else None
            for indices, those in zip(window, place.split([len(i) for i in window]), strict=True):
                if read_rows is None:
                    batch = {kind: value.index_select(0, those).float() for kind, value in values.items()}
                    yield batch | {kind: value.index_select(0, indices).float() for kind, value in held.items()}
                else:
                    yield rows.batch(held, indices) | read_rows.batch(values, those) | {"index": indices}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class BatchLoader:
    """Batches of a split that is in memory or read ahead; the last one may be smaller.

    Draws from torch's global generator what the published DataLoader draws, so that a seed gives the same batches and
    the same dropout. Each rank of `group` gets its shard of every batch, in the order that rank 0 draws. Videos that
    differ in length are together with similar ones; the batches then come in random order, too.
    """

    def __init__(self, dataset: Videos, batch_size: int, shuffle: bool, group: ProcessGroup = SINGLE):
        self.dataset, self.batch_size, self.shuffle, self.group = dataset, batch_size, shuffle, group
        self.groups = None if dataset.rows is None else similar_lengths(dataset.rows.lengths)

    def __len__(self) -> int:
        return len(self._batches(torch.arange(len(self.dataset))))

    def _batches(self, order: Tensor) -> Sequence[Tensor]:
        """The videos of each batch, (B,) int, given an order of all, (N,)."""
        if self.groups is None:
            return order.split(self.batch_size)
        return batches_of(self.groups, self.dataset.rows.lengths, self.batch_size, order)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = torch.arange(len(self.dataset))
        _random_int64()  # a DataLoader would draw the base seed of its workers here
        batches = self._batches(order)
        if self.shuffle:
            generator = torch.Generator().manual_seed(_random_int64())
            batches = self._batches(torch.randperm(len(order), generator=generator))
            if self.groups is not None:
                batches = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
            batches = self.group.broadcast_object(batches)
        parts = [self.group.shard(indices) for indices in batches]
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
