"""The arrays of a split's videos, in memory or in a file, as batches.

Axes: N or B videos, T segments (10 in LLP), S of all videos if they differ in length, C classes, D size of a feature.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.base.errors import InputError
from utils.features.batches import stream
from utils.features.lengths import Rows
from utils.features.packed import Column


class SplitData(Dataset):
    """The videos of a split. Call `load` before asking for batches."""

    shapes: dict[str, tuple[int, int]]  # by kind, rows and size of the arrays as published
    places: dict[str, Path]  # by kind, the folder or file that they are read from
    rows: Rows | None = None  # of videos that differ in length

    def __init__(self, name: str, filenames: list[str], memory_limit: float):
        self.name, self.filenames, self.limit = name, filenames, memory_limit  # name: for messages
        self.memory: dict[str, Tensor] = {}  # by kind, (N, ...) or (S, ...), if the split is in memory
        self.columns: dict[str, Column] = {}  # by kind, arrays in a file from which batches are read ahead

    def __len__(self) -> int:
        return len(self.filenames)

    def where(self, kind: str) -> Path:
        """The folder or file of one kind, for messages."""
        return self.places[kind]

    def require_same_layout(self, other: "SplitData") -> None:
        """Raises InputError if the arrays of `other` are of another kind, CLAP maps and pooled features, say."""
        for kind, shape in self.shapes.items():
            if shape != other.shapes[kind]:
                where = self.where(kind)
                raise InputError(f"{where}: holds {shape} for {self.name}, but {other.shapes[kind]} for {other.name}")

    def to(self, device: torch.device) -> Self:
        """Move what is in memory to a GPU, if half of its free memory holds it, and return the data set."""
        size = sum(value.nbytes for value in self.memory.values())
        if device.type == "cuda" and not self.columns and size <= torch.cuda.mem_get_info(device)[0] / 2:
            self.memory = {kind: value.to(device) for kind, value in self.memory.items()}
        return self

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One video: a batch of it alone, without the batch axis."""
        return {kind: value[0] for kind, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """A batch.

        Returns:
            audio (B, T | 64, Da), visual (B, T | 80, Dv), visual_st (B, T, 512), weak (B, C), pseudo_a and pseudo_v,
            logits_a and logits_v (B, T, C); all float32. Labels and logits only if the data set has them. Of videos
            that differ in length, all are padded to the longest, and `lengths` and `index`, (B,) int64, say how long
            each is, and which.
        """
        indices = torch.as_tensor(indices)
        if self.rows is not None:
            return self.rows.batch(self.memory, indices) | {"index": indices}
        return {kind: values.index_select(0, indices.to(values.device)).float() for kind, values in self.memory.items()}

    def whole(self, kind: str) -> np.ndarray:
        """All of one kind of labels or logits, (N, ...) or, of videos that differ in length, (S, ...).

        Raises InputError if it is read from a damaged file.
        """
        return self.columns[kind].read_all() if kind in self.columns else self.memory[kind].cpu().numpy()

    def whole_weak(self, modality: str) -> np.ndarray:
        """Weak labels of a modality, `a` or `v`, if they are known, else of both: (N, C).

        Raises InputError as `whole` does.
        """
        kinds = {*self.memory, *self.columns}
        return self.whole(f"weak_{modality}" if f"weak_{modality}" in kinds else "weak")

    def batches(self, order: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """One batch after another, as `__getitems__` describes it; order: the videos of each, (B,) int."""
        if self.columns:
            held = {k: v for k, v in self.memory.items() if k not in self.columns}
            yield from stream(self.columns, order, held, self.rows)
            return
        if self.rows is not None:
            yield from map(self.__getitems__, order)
            return
        device = next(iter(self.memory.values())).device if self.memory else "cpu"
        indices = torch.cat(list(order)).to(device)  # one copy: a copy for each batch would make the GPU wait
        for part in indices.split([len(part) for part in order]):
            yield self.__getitems__(part)

    def _keep(self, columns: Mapping[str, Column]) -> None:
        """Read arrays into memory or, if they exceed the limit, only check them, and read batches ahead later."""
        if sum(column.size for column in columns.values()) > self.limit:
            for column in columns.values():
                column.read_all(keep=False)
            self.columns = dict(columns)
        else:
            self.memory |= {kind: torch.from_numpy(column.read_all()) for kind, column in columns.items()}
