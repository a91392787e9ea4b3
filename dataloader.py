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
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from utils.base.distributed import SINGLE, ProcessGroup
from utils.base.errors import InputError
from utils.base.files import size_text
from utils.features.batches import BatchLoader, InterruptibleLoader
from utils.features.cache import FeatureCache
from utils.features.folder import find_folders, find_lengths, require_files
from utils.features.kinds import STREAMS
from utils.features.lengths import PER_VIDEO, Rows
from utils.features.packed import Damaged, Packed, read_texts
from utils.features.packed_split import require_columns
from utils.features.split_data import SplitData
from utils.llp.datasets import LLP, DataSet
from utils.llp.videos import Split, require_distinct


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
        if ("lengths" in columns) == bool(dataset.seconds):
            found, own = ("differ", "do not") if dataset.seconds else ("do not differ", "do")
            raise InputError(f"{path}: its videos {found} in length, but those of {dataset.name} {own}")
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
