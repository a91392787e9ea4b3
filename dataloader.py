"""A split of LLP: weak labels, features and pseudo labels of its videos -> batches.

Axes: N or B videos, T = 10 segments, C classes, D size of a feature vector. Every file of the split is found when the
data set is built, and read and checked by `load`, so that training never stops at a bad file. By default features are
pooled to ten segments as they are read (spec, section 6) and stay in memory; with `exact` they stay on disk, in the
published form.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from utils import cli
from utils.cli import InputError
from utils.llp import Split, T
from utils.pooling import pool_clap_map, pool_frames


class Layout(NamedTuple):
    """What a `.npy` file of one kind holds: one of these numbers of rows, a row size (None: any), a dtype."""

    rows: tuple[int, ...]
    columns: int | None
    dtype: type
    what: str

    def __str__(self):
        shapes = " or ".join(f"({rows}, {self.columns or 'D'})" for rows in self.rows)
        return f"{shapes} {np.dtype(self.dtype)}"

    def fits(self, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        if dtype != self.dtype or len(shape) != 2 or shape[0] not in self.rows:
            return False
        return shape[1] > 0 if self.columns is None else shape[1] == self.columns


AUDIO = Layout((T, 64), None, np.float32, "audio features")  # VGGish | CLAP's token map
VISUAL = Layout((T, 80), None, np.float32, "visual features")  # CLIP | ResNet-152, 8 frames a second
VISUAL_ST = Layout((T,), 512, np.float32, "spatio-temporal features")  # R(2+1)D-18
REDUCTIONS = {64: pool_clap_map, 80: pool_frames}  # rows of a file -> how it becomes (T, D)

WHERE_TO_GET = "docs/DATA.md says where to get them"


def pseudo_labels(num_classes: int) -> Layout:
    """Layout of segment-level pseudo labels."""
    return Layout((T,), num_classes, np.int64, "pseudo labels")


class FeatureFolder:
    """One kind of `.npy` file for each video of a split.

    Args:
        folder, ids: the file of video i is `folder/ids[i].npy`.
        layout: what each must hold.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path, ids: Sequence[str], layout: Layout):
        self.folder, self.layout = Path(folder), layout
        self.paths = [self.folder / f"{i}.npy" for i in ids]
        if not self.folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected {layout.what} as <id>.npy; {WHERE_TO_GET}")

    def missing(self) -> str:
        """How many files are missing and the first five; '' where none is."""
        names = [p.name for p in self.paths if not p.is_file()]
        if not names:
            return ""
        more = ", ..." if len(names) > 5 else ""
        return f"{len(names)} of {len(self.paths)} files are missing in {self.folder} ({', '.join(names[:5])}{more})"

    def check_headers(self, threads: int) -> None:
        """Find the shape that most files have, as `self.shape`; InputError names the first file that differs."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            found = pool.map(read_npy_header, self.paths)
            headers = list(tqdm(found, str(self.folder), len(self.paths), leave=False, unit="file", delay=1))
        for path, (shape, dtype) in zip(self.paths, headers, strict=True):
            if not self.layout.fits(shape, dtype):
                raise InputError(f"{path}: holds {shape} {dtype}, expected {self.layout} ({self.layout.what})")
        (self.shape, _), count = Counter(headers).most_common(1)[0]
        for path, (shape, _) in zip(self.paths, headers, strict=True):
            if shape != self.shape:
                raise InputError(f"{path}: holds {shape}, but {count} other files of {self.folder} hold {self.shape}")

    def read(self, index: int) -> np.ndarray:
        """The array of video `index`, as stored; InputError for a damaged one."""
        array = read_npy(self.paths[index])
        if self.layout.dtype == np.int64:
            if not np.isin(array, (0, 1)).all():
                raise InputError(f"{self.paths[index]}: holds values other than 0 and 1")
        elif not np.isfinite(array).all():
            raise InputError(f"{self.paths[index]}: holds NaN or infinite values; make the file anew")
        return array

    def read_all(self, threads: int, progress: str, keep: bool) -> torch.Tensor | None:
        """Read and check every file, in parallel; with `keep`, return them pooled to segments, (N, T, D).

        Labels are kept as uint8, features as float32.
        """
        reduce = REDUCTIONS.get(self.shape[0], np.asarray)
        dtype = np.uint8 if self.layout.dtype == np.int64 else np.float32
        pooled = np.empty((len(self.paths), T, self.shape[1]) if keep else 0, dtype)

        def load(index):
            array = self.read(index)
            if keep:
                pooled[index] = reduce(array)

        with ThreadPoolExecutor(max(1, threads)) as pool:
            done = pool.map(load, range(len(self.paths)))
            for _ in tqdm(done, progress, len(self.paths), leave=False, unit="file", delay=1):
                pass
        return torch.from_numpy(pooled) if keep else None


def read_npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a `.npy` file, from its first bytes; InputError where the file is shorter than they say."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with open(path, "rb") as file:
            shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
            expected = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
            size = file.seek(0, 2)
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        raise InputError(f"{path}: not a .npy file of numbers ({error})") from error
    if dtype.hasobject:
        raise InputError(f"{path}: holds pickled Python objects, which are never loaded; expected numbers")
    if size < expected:
        raise InputError(f"{path}: truncated, {size} of {expected} bytes; copy or download it again")
    return shape, dtype


def read_npy(path: Path) -> np.ndarray:
    """The array of a `.npy` file, never unpickled; InputError for one that cannot be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not a .npy file of numbers ({error})") from error


class LLPDataset(Dataset):
    """The videos of a split. Call `load` before asking for batches.

    Args:
        split: the videos, with weak labels or without.
        audio_dir, video_dir, st_dir: folders of features.
        a_pseudo_dir, v_pseudo_dir: folders of pseudo labels; None: not wanted.
        exact: keep features in the published form, and on disk; else pooled, in memory.
        num_workers: threads that read.

    Attributes:
        audio_dim, visual_dim: sizes of the feature vectors, as found in the files.

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
    ):
        kinds = {
            "audio": (audio_dir, AUDIO),
            "visual": (video_dir, VISUAL),
            "visual_st": (st_dir, VISUAL_ST),
            "pseudo_a": (a_pseudo_dir, pseudo_labels(num_classes)),
            "pseudo_v": (v_pseudo_dir, pseudo_labels(num_classes)),
        }
        self.split, self.exact, self.num_workers = split, exact, num_workers
        _require_own_files(split)
        self.folders = {
            name: FeatureFolder(folder, split.ids, layout) for name, (folder, layout) in kinds.items() if folder
        }
        missing = [text for folder in self.folders.values() if (text := folder.missing())]
        if missing:
            raise InputError(f"{'; '.join(missing)}; {WHERE_TO_GET}")
        for folder in self.folders.values():
            folder.check_headers(num_workers)
        self.audio_dim, self.visual_dim = (self.folders[k].shape[1] for k in ("audio", "visual"))
        self.memory = {}

    def load(self) -> Self:
        """Read every file and return the data set; InputError names the first bad one."""
        self.memory = {
            name: folder.read_all(self.num_workers, f"{self.split.path.name}: {name}", keep=not self.exact)
            for name, folder in self.folders.items()
        }
        return self

    def require_same_layout(self, other: "LLPDataset") -> None:
        """InputError where the files of `other` are of another kind, CLAP maps beside pooled features, say."""
        for name, folder in self.folders.items():
            if folder.shape != (shape := other.folders[name].shape):
                mine, theirs = self.split.path, other.split.path
                raise InputError(f"{folder.folder}: holds {folder.shape} for {mine}, but {shape} for {theirs}")

    def __len__(self) -> int:
        return len(self.split.filenames)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One video: the batch of it alone, without the batch axis."""
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch.

        Returns:
            audio (B, T | 64, Da), visual (B, T | 80, Dv), visual_st (B, T, 512), weak (B, C), pseudo_a and pseudo_v
            (B, T, C); float32 all. Labels only where the data set has them.
        """
        indices = torch.as_tensor(indices)
        if self.exact:
            batch = {
                name: torch.from_numpy(np.stack([folder.read(i) for i in indices.tolist()]))
                for name, folder in self.folders.items()
            }
        else:
            batch = {name: values[indices] for name, values in self.memory.items()}
        if self.split.weak is not None:
            batch["weak"] = torch.from_numpy(self.split.weak)[indices]
        return {name: value.float() for name, value in batch.items()}


def _require_own_files(split: Split) -> None:
    """InputError where two videos of different names would read the same files."""
    owner = {}
    for name, video in zip(split.filenames, split.ids, strict=True):
        if owner.setdefault(video, name) != name:
            raise InputError(
                f"{split.path}: {owner[video]} and {name} would both read {video}.npy; files are named by the first "
                f"{len(video)} characters, which must differ"
            )


def make_loader(dataset: LLPDataset, batch_size: int, shuffle: bool) -> DataLoader:
    """Batches of a data set, the last one smaller.

    A plain DataLoader without a generator of its own, for its draws from torch's global generator are part of what
    makes a run with a seed the same run (spec, section 4). Worker processes only where there are files to read.
    """
    return InterruptibleLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=min(dataset.num_workers, os.cpu_count() or 1) if dataset.exact else 0,
        collate_fn=_as_is,  # __getitems__ returns a batch
    )


class InterruptibleLoader(DataLoader):
    """A DataLoader that Ctrl-C stops between two batches.

    In the middle of one, or of starting and ending its worker processes, it would leave tracebacks of theirs behind.
    """

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        with cli.deferred_interrupt() as interrupted:
            for batch in super().__iter__():
                yield batch
                if interrupted():
                    break


def _as_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch
