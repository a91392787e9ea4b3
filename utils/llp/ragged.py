"""Flags of videos that differ in length, laid end to end: no video is padded to the longest.

Axes: N videos, C classes, T_i segments of video i, S of all videos.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np

CELLS = 2**22  # of a padded block
WASTE = 1.25  # of a block, at most: cells with padding over cells without


class Ragged:
    """Flags of N videos; `flags[i]` is (C, T_i) bool. `&`, `|`, `~` and `any(axis=-1)` are as for (N, C, T) arrays, and
    a slice or an array of indices gives the flags of these videos.

    Args:
        rows: (S, C) bool, second after second. lengths: (N,) int of at least 1, whose sum is S.
    """

    def __init__(self, rows: np.ndarray, lengths: np.ndarray):
        self.rows, self.lengths = np.asarray(rows, bool), np.asarray(lengths, np.int64)
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        if len(rows) != (self.ends[-1] if len(lengths) else 0) or (self.lengths < 1).any():
            raise ValueError(f"{len(rows)} rows are not those of videos of {lengths} segments")

    @classmethod
    def of(cls, padded: np.ndarray, lengths: Sequence[int] | np.ndarray) -> Self:
        """From (N, C, T) bool, of which the first lengths[i] segments count; what is behind may be anything."""
        lengths = np.asarray(lengths, np.int64)
        valid = np.arange(padded.shape[-1]) < lengths[:, None]  # (N, T)
        return cls(np.asarray(padded).transpose(0, 2, 1)[valid], lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, video: int | slice | np.ndarray) -> "np.ndarray | Ragged":
        if isinstance(video, (int, np.integer)):
            return self.rows[self.starts[video] : self.ends[video]].T
        chosen = np.arange(len(self))[video]
        rows = [self.rows[a:b] for a, b in zip(self.starts[chosen], self.ends[chosen], strict=True)]
        return Ragged(np.concatenate(rows) if rows else self.rows[:0], self.lengths[chosen])

    def __and__(self, other: "Ragged") -> "Ragged":
        return Ragged(self.rows & other.rows, self.lengths)

    def __or__(self, other: "Ragged") -> "Ragged":
        return Ragged(self.rows | other.rows, self.lengths)

    def __invert__(self) -> "Ragged":
        return Ragged(~self.rows, self.lengths)

    @property
    def shape(self) -> tuple[int, int, tuple[int, ...]]:
        """(N, C, T of each video), so that equal shapes mean the same videos' lengths."""
        return len(self), self.rows.shape[1], tuple(self.lengths.tolist())

    def count(self) -> np.ndarray:
        """How many segments a class has: (N, C) int."""
        return np.add.reduceat(self.rows, self.starts, dtype=np.int64)

    def of_classes(self, classes: slice | list[int]) -> "Ragged":
        """The same of some classes."""
        return Ragged(self.rows[:, classes], self.lengths)

    def any(self, axis: int = -1) -> np.ndarray:
        """Whether a class has any segment: (N, C) bool."""
        return np.logical_or.reduceat(self.rows, self.starts)

    def blocks(self) -> Iterator[np.ndarray]:
        """The videos in groups of similar length, which together are all: (n,) int each."""
        order = np.argsort(self.lengths, kind="stable")[::-1]
        while len(order):
            longest = int(self.lengths[order[0]])
            fits = np.arange(1, len(order) + 1) * longest <= WASTE * np.cumsum(self.lengths[order])
            fits &= np.arange(1, len(order) + 1) * longest * self.rows.shape[1] <= CELLS
            count = max(1, len(order) if fits.all() else int(np.argmin(fits)))
            yield order[:count]
            order = order[count:]

    def padded(self, videos: np.ndarray) -> np.ndarray:
        """Some videos as an array, False behind the end of each: (n,) int -> (n, C, T), T of the longest of them."""
        steps = np.arange(self.lengths[videos].max())
        valid = steps < self.lengths[videos][:, None]  # (n, T)
        rows = np.where(valid, self.starts[videos][:, None] + steps, 0)
        return (self.rows[rows] & valid[..., None]).transpose(0, 2, 1)
