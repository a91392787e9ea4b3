"""A split of a data set: weak labels, features and pseudo labels of its videos, as batches.

Axes: N or B videos, T segments (10 in LLP), S of all videos if they differ in length, C classes, D size of a feature
vector. Every file of a split is found when the data set is built, and read and checked by `load`, so that training
never stops at a bad file. Features are pooled to segments once and then kept: in memory, on the GPU if it has room, or,
if the split exceeds a limit, in a file from which batches are read ahead. With `exact` they stay as published, in their
files.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.base.distributed import SINGLE, ProcessGroup
from utils.base.errors import InputError
from utils.base.files import size_text
from utils.features.batches import BatchLoader, InterruptibleLoader, stream
from utils.features.cache import FeatureCache
from utils.features.folder import find_folders, find_lengths, require_files
from utils.features.kinds import STREAMS
from utils.features.lengths import PER_VIDEO, Rows
from utils.features.packed import Column, Damaged, Packed, read_texts
from utils.features.packed_split import require_columns
from utils.llp.datasets import LLP, DataSet
from utils.llp.videos import Split, require_distinct


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


class LLPDataset(SplitData):
    """A split from the published files. Raises InputError if files are missing, or of the wrong kind.

    Args:
        exact: keep features in the published form, and on disk; else pooled.
        num_workers: threads that read.
        cache_dir: folder of pooled features, cached for the next run; None: no cache.
        feature_dtype: of pooled features in the cache and in memory.
        memory_limit: bytes; a larger split is read ahead from the cache.
        folders: arguments of `find_folders`.
    """

    def __init__(
        self,
        split: Split,
        *,
        exact: bool = False,
        num_workers: int = 0,
        cache_dir: Path | None = None,
        feature_dtype: str = "float32",
        memory_limit: float = math.inf,
        dataset: DataSet = LLP,
        **folders: Path | None,
    ):
        super().__init__(str(split.path), split.filenames, math.inf if exact else memory_limit)
        self.split, self.exact, self.num_workers = split, exact, num_workers
        self.folders = find_folders(split, **folders, dataset=dataset)
        lengths = find_lengths(split, self.folders, dataset, num_workers)
        self.rows = None if lengths is None else Rows(lengths)
        self.places = {kind: folder.folder for kind, folder in self.folders.items()}
        self.cache = FeatureCache(None if exact else cache_dir, split.path, feature_dtype, num_workers)
        self.cached = {kind: self.cache.find(kind, folder) for kind, folder in self.folders.items()}
        require_files([folder for kind, folder in self.folders.items() if not self.cached[kind]], num_workers)
        self.shapes = {
            kind: (int(cached.attributes["source_rows"]), cached.shape[-1]) if cached else self.folders[kind].shape
            for kind, cached in self.cached.items()
        }

    def load(self) -> Self:
        """Read every file, or the cache, and return the data set. Raises InputError for the first bad file."""
        columns, weak = {}, self.split.weak
        self.memory |= {} if weak is None else {"weak": torch.from_numpy(weak)}
        self.memory |= {f"weak_{m[0]}": torch.from_numpy(array) for m, array in self.split.by_modality.items()}
        for kind, folder in self.folders.items():
            progress = f"{self.split.path.name}: {kind}"
            if self.exact and kind in STREAMS:
                folder.check_all(self.num_workers, progress)
            elif column := self.cached[kind] or (self.cache.folder and self.cache.write(kind, folder)):
                columns[kind] = column
            else:
                self._require_room()
                array = folder.read_all(self.cache.feature_dtype, self.num_workers, progress)
                self.memory[kind] = torch.from_numpy(array)
        try:
            self._keep(columns)
            return self
        except Damaged as error:
            return self._load_again(error)

    def _load_again(self, error: Damaged) -> Self:
        """Load without the cached array that cannot be read. Raises `error` if it has just been written."""
        damaged = [kind for kind, column in self.cached.items() if column and column.path == error.path]
        if not damaged:
            raise error
        print(f"note: {error.text}; rebuilding it", file=sys.stderr)
        self.cached |= dict.fromkeys(damaged)
        self.memory, self.columns = {}, {}
        require_files([self.folders[kind] for kind in damaged], self.num_workers)
        return self.load()

    def _require_room(self) -> None:
        """Raises InputError if pooled features that are not cached exceed the limit."""
        dtype, seconds = self.cache.feature_dtype, next(iter(self.folders.values())).pooled_seconds
        size = sum(self.shapes[k][1] * f.stored_dtype(dtype).itemsize for k, f in self.folders.items()) * seconds
        if size > self.limit:
            what = f"{self.name}: its features take {size_text(size)}, more than --memory_limit"
            raise InputError(f"{what}, and there is no cache to read them from; leave out --no_cache, or use --packed")

    def __getitems__(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """A batch, as `SplitData` describes it; with `exact` read from the files."""
        batch = super().__getitems__(indices)
        if self.exact:
            for kind in STREAMS:
                batch[kind] = torch.from_numpy(np.stack([self.folders[kind].read(int(i)) for i in indices])).float()
        return batch


class PackedDataset(SplitData):
    """A split from a file of utils/pack_features.py. Raises InputError if it is missing or damaged, or lacks something.

    Args:
        name: train, val or test.
        labels: that are wanted in addition to the features: weak, pseudo_a, pseudo_v, logits_a, logits_v.
        dataset: whose classes and seconds the file must have.
        memory_limit: bytes; a larger split is read ahead from the file.
    """

    def __init__(
        self, path: Path, name: str, labels: Sequence[str], dataset: DataSet = LLP, memory_limit: float = math.inf
    ):
        packed = Packed.open(path)
        if name not in packed.columns:
            raise InputError(f"{path}: has no {name} split, only {', '.join(packed.columns)}; pack it, too")
        if str(packed.attributes.get("classes")).split("\n") != list(dataset.class_names):
            raise InputError(f"{path}: was packed with other classes than this run's {len(dataset.classes)}")
        columns, wanted = packed.columns[name], (*STREAMS, *labels, *([] if dataset.seconds else ["lengths"]))
        missing = [kind for kind in (*wanted, "filename") if kind not in columns]
        if missing:
            raise InputError(f"{path}: its {name} split has no {', '.join(missing)}; pack it again with those")
        require_columns(columns, wanted, dataset)
        super().__init__(f"{path} ({name})", read_texts(columns["filename"]), memory_limit)
        require_distinct(path, self.filenames)
        if "weak" in labels:
            wanted = (*wanted, *(kind for kind in PER_VIDEO[1:] if kind in columns))
        self.wanted, self.plan = {kind: columns[kind] for kind in wanted}, str(packed.attributes.get("plan"))
        if dataset.seconds is None:
            self.rows = Rows(self.wanted.pop("lengths").read_all())
        self.places = dict.fromkeys(wanted, Path(path))
        self.sources = {kind: str(columns[kind].attributes.get("source", "?")) for kind in STREAMS}
        self.shapes = {
            kind: (int(c.attributes["source_rows"]), c.shape[-1])
            for kind, c in self.wanted.items()
            if kind not in PER_VIDEO
        }

    def load(self) -> Self:
        """Read the arrays, or prepare to read them ahead, and return the data set. Raises InputError for damage."""
        self._keep(self.wanted)
        return self


def make_loader(
    dataset: SplitData, batch_size: int, shuffle: bool, group: ProcessGroup = SINGLE
) -> BatchLoader | InterruptibleLoader:
    """Batches of a data set: with `exact` from worker processes that read its files, else from memory."""
    if not getattr(dataset, "exact", False):
        return BatchLoader(dataset, batch_size, shuffle, group)
    # A plain DataLoader without a generator of its own: what it draws is part of what makes a run reproducible.
    workers = min(dataset.num_workers, os.cpu_count() or 1)
    # __getitems__ returns a batch already, so there is nothing to collate
    return InterruptibleLoader(dataset, batch_size, shuffle, num_workers=workers, collate_fn=dict)
