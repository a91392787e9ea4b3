"""A split of LLP: weak labels, features and pseudo labels of its videos -> batches.

Axes: N or B videos, T = 10 segments, C classes, D size of a feature vector. Every file of a split is found when the
data set is built, and read and checked by `load`, so that training never stops at a bad file. Features are pooled to
ten segments once (spec, section 6), and kept: in memory, on the GPU where it has room, or, where a split is larger than
a limit, in a file from which batches are read ahead. With `exact` they stay as published, in their files.
"""

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
from utils.features.cache import FeatureCache, plan, read_plan, stored_dtype
from utils.features.folder import find_folders, require_files
from utils.features.kinds import STREAMS, pool
from utils.features.packed import Column, Damaged, Packed, read_strings
from utils.llp.classes import T
from utils.llp.videos import Split

LABELS = ("pseudo_a", "pseudo_v")


class SplitData(Dataset):
    """The videos of a split. Call `load` before asking for batches.

    Attributes:
        name: of the split, for messages.
        shapes: by kind, rows and size of the arrays as they were published.
        memory: by kind, (N, ...) tensors, where the split is in memory.
        columns: by kind, where it is read ahead from a file.
    """

    name: str
    shapes: dict[str, tuple[int, int]]

    def __init__(self):
        self.memory: dict[str, Tensor] = {}
        self.columns: dict[str, Column] = {}

    @property
    def audio_dim(self) -> int:
        """Size of an audio feature vector, as found in the files."""
        return self.shapes["audio"][1]

    @property
    def visual_dim(self) -> int:
        """Size of a visual feature vector, as found in the files."""
        return self.shapes["visual"][1]

    def require_same_layout(self, other: "SplitData") -> None:
        """InputError where the arrays of `other` are of another kind, CLAP maps beside pooled features, say."""
        for kind, shape in self.shapes.items():
            if shape != other.shapes[kind]:
                where = self.where(kind)
                raise InputError(f"{where}: holds {shape} for {self.name}, but {other.shapes[kind]} for {other.name}")

    def where(self, kind: str) -> Path:
        """The folder or file of one kind, for messages."""
        raise NotImplementedError

    def to(self, device: torch.device) -> Self:
        """Move what is in memory to a GPU, if half of its free memory holds it, and return the data set."""
        size = sum(value.nbytes for value in self.memory.values())
        if device.type == "cuda" and not self.columns and size <= torch.cuda.mem_get_info(device)[0] / 2:
            self.memory = {kind: value.to(device) for kind, value in self.memory.items()}
        return self

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One video: the batch of it alone, without the batch axis."""
        return {kind: value[0] for kind, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """A batch.

        Returns:
            audio (B, T | 64, Da), visual (B, T | 80, Dv), visual_st (B, T, 512), weak (B, C), pseudo_a and pseudo_v
            (B, T, C); float32 all. Labels only where the data set has them.
        """
        indices = torch.as_tensor(indices)
        return {kind: values.index_select(0, indices.to(values.device)).float() for kind, values in self.memory.items()}

    def batches(self, order: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """One batch after another; order: the videos of each."""
        if self.columns:
            yield from stream(self.columns, order, {k: v for k, v in self.memory.items() if k not in self.columns})
            return
        device = next(iter(self.memory.values())).device if self.memory else "cpu"
        indices = torch.cat(list(order)).to(device)  # all at once: a copy for each batch would hold a GPU up
        for part in indices.split([len(part) for part in order]):
            yield self.__getitems__(part)

    def _keep(self, columns: Mapping[str, Column], limit: int, threads: int) -> None:
        """Read whole arrays into memory, or leave them in their file where they have more than `limit` bytes.

        Either way all of them is read once, so that training never stops at a damaged file.
        """
        if sum(column.size for column in columns.values()) > limit:
            for column in columns.values():
                column.check(threads)
            self.columns = dict(columns)
        else:
            self.memory |= {kind: torch.from_numpy(c.read_all(threads)) for kind, c in columns.items()}


class LLPDataset(SplitData):
    """A split from the published files.

    Args:
        split: the videos, with weak labels or without.
        audio_dir, video_dir, st_dir: folders of features.
        a_pseudo_dir, v_pseudo_dir: folders of pseudo labels; None: not wanted.
        exact: keep features in the published form, and on disk; else pooled.
        num_workers: threads that read.
        cache_dir: where pooled features are kept for the next run; None: nowhere.
        feature_dtype: of pooled features in the cache and in memory.
        memory_limit: bytes; a larger split is read ahead from the cache.

    Raises:
        InputError: files are missing, or of the wrong kind.
    """

    def __init__(
        self,
        split: Split,
        *,
        audio_dir: Path,
        video_dir: Path,
        st_dir: Path,
        a_pseudo_dir: Path | None = None,
        v_pseudo_dir: Path | None = None,
        exact: bool = False,
        num_workers: int = 0,
        num_classes: int,
        cache_dir: Path | None = None,
        feature_dtype: str = "float32",
        memory_limit: float = float("inf"),
    ):
        super().__init__()
        self.split, self.exact, self.num_workers, self.limit = split, exact, num_workers, memory_limit
        self.name = str(split.path)
        self.folders = find_folders(
            split,
            audio_dir=audio_dir,
            video_dir=video_dir,
            st_dir=st_dir,
            a_pseudo_dir=a_pseudo_dir,
            v_pseudo_dir=v_pseudo_dir,
            num_classes=num_classes,
        )
        self.cache = FeatureCache(None if exact else cache_dir, split.path, feature_dtype, max(1, num_workers))
        self.cached = {kind: self.cache.find(kind, folder) for kind, folder in self.folders.items()}
        require_files([folder for kind, folder in self.folders.items() if not self.cached[kind]], num_workers)
        self.shapes = {
            kind: (int(cached.attributes["source_rows"]), cached.shape[-1]) if cached else self.folders[kind].shape
            for kind, cached in self.cached.items()
        }

    def load(self) -> Self:
        """Read every file, or the cache of them, and return the data set; InputError names the first bad one."""
        if self.split.weak is not None:
            self.memory["weak"] = torch.from_numpy(self.split.weak)
        columns = {}
        for kind, folder in self.folders.items():
            if self.exact:
                folder.read_all(self.num_workers, f"{self.split.path.name}: {kind}")
                continue
            column = self.cached[kind]
            if not column and self.cache.folder:
                column = self.cache.write(kind, folder, pool, T)
            if column:
                columns[kind] = column
            else:
                self._require_room()
                array = plan(folder, pool, stored_dtype(folder, self.cache.feature_dtype), T)
                kept = read_plan(array, folder, self.num_workers, f"{self.split.path.name}: {kind}")
                self.memory[kind] = torch.from_numpy(kept)
        try:
            self._keep(columns, self.limit, max(1, self.num_workers))
        except Damaged as error:
            return self._load_anew(error)
        return self

    def _load_anew(self, error: Damaged) -> Self:
        """Load again without the cached array that cannot be read; raises `error` where it has just been written."""
        damaged = [kind for kind, column in self.cached.items() if column and column.path == error.path]
        if not damaged:
            raise error
        print(f"note: {error.text}; made anew", file=sys.stderr)
        for kind in damaged:
            self.cached[kind] = None
        self.memory, self.columns = {}, {}
        require_files([self.folders[kind] for kind in damaged], self.num_workers)
        return self.load()

    def _require_room(self) -> None:
        """InputError where pooled features that no cache holds are larger than the limit."""
        size = sum(
            T * self.shapes[k][1] * stored_dtype(f, self.cache.feature_dtype).itemsize for k, f in self.folders.items()
        ) * len(self)
        if size > self.limit:
            raise InputError(
                f"{self.name}: its features take {size_text(size)}, more than --memory_limit, and there is no cache to "
                "read them from; leave out --no_cache, or use --packed"
            )

    def where(self, kind: str) -> Path:
        return self.folders[kind].folder

    @property
    def filenames(self) -> list[str]:
        """Full names of the videos, in order."""
        return self.split.filenames

    def __len__(self) -> int:
        return len(self.split.filenames)

    def __getitems__(self, indices: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """A batch, as `SplitData` describes it; with `exact` read from the files."""
        batch = super().__getitems__(indices)
        if self.exact:
            numbers = torch.as_tensor(indices).tolist()
            for kind, folder in self.folders.items():
                batch[kind] = torch.from_numpy(np.stack([folder.read(i) for i in numbers])).float()
        return batch


class PackedDataset(SplitData):
    """A split from a file that utils/pack_features.py wrote.

    Args:
        path: the file. name: train, val or test.
        kinds: of labels that are wanted beside the features.
        class_names: that it must have.
        num_workers: threads that read.
        memory_limit: bytes; a larger split is read ahead from the file.

    Raises:
        InputError: the file is missing, damaged, or has not what is wanted.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        kinds: Sequence[str],
        class_names: Sequence[str],
        *,
        num_workers: int = 0,
        memory_limit: float = float("inf"),
    ):
        super().__init__()
        packed = Packed.open(path)
        self.path, self.name, self.num_workers, self.limit = Path(path), f"{path} ({name})", num_workers, memory_limit
        if name not in packed.columns:
            raise InputError(f"{path}: has no {name} split, only {', '.join(packed.columns)}; pack it, too")
        if packed.attributes["classes"].split("\n") != list(class_names):
            raise InputError(f"{path}: was packed with other classes than this run's {len(class_names)}")
        columns = packed.columns[name]
        missing = [kind for kind in (*STREAMS, *kinds, "filename") if kind not in columns]
        if missing:
            raise InputError(f"{path}: its {name} split has no {', '.join(missing)}; pack it again with those")
        self.names, self.plan = columns["filename"], str(packed.attributes.get("plan"))
        self.wanted = {kind: columns[kind] for kind in (*STREAMS, *kinds)}
        self.sources = {kind: str(columns[kind].attributes.get("source", "?")) for kind in STREAMS}
        self.shapes = {
            kind: (int(c.attributes["source_rows"]), c.shape[-1]) for kind, c in self.wanted.items() if kind != "weak"
        }

    def load(self) -> Self:
        """Read the arrays, or keep to reading them ahead, and return the data set; InputError for damaged ones."""
        self._keep(self.wanted, self.limit, max(1, self.num_workers))
        return self

    def where(self, kind: str) -> Path:
        return self.path

    @property
    def filenames(self) -> list[str]:
        """Full names of the videos, in order."""
        return read_strings(self.names)

    def __len__(self) -> int:
        return len(self.names)


def make_loader(
    dataset: SplitData, batch_size: int, shuffle: bool, group: ProcessGroup = SINGLE
) -> BatchLoader | InterruptibleLoader:
    """Batches of a data set: with `exact` from worker processes that read its files, else from memory."""
    if not getattr(dataset, "exact", False):
        return BatchLoader(dataset, batch_size, shuffle, group)
    # A plain DataLoader without a generator of its own, for its draws are part of what makes a run the same run.
    return InterruptibleLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=min(dataset.num_workers, os.cpu_count() or 1),
        collate_fn=_as_is,  # __getitems__ returns a batch
    )


def _as_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch
