"""A split of LLP: weak labels, features and pseudo labels of its videos -> batches.

Axes: N or B videos, T = 10 segments, C classes, D size of a feature vector. Every file of the split is found when the
data set is built, and read and checked by `load`, so that training never stops at a bad file. By default features are
pooled to ten segments as they are read (spec, section 6) and stay in memory; with `exact` they stay on disk, in the
published form.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from utils import cli, pseudo_labels
from utils.arrays import Layout
from utils.cli import InputError
from utils.feature_folder import FeatureFolder, require_files
from utils.llp import Split, T
from utils.pooling import pool_clap_map, pool_frames

AUDIO = Layout((T, 64), None, np.float32, "audio features")  # VGGish | CLAP's token map
VISUAL = Layout((T, 80), None, np.float32, "visual features")  # CLIP | ResNet-152, 8 frames a second
VISUAL_ST = Layout((T,), 512, np.float32, "spatio-temporal features")  # R(2+1)D-18
REDUCTIONS = {64: pool_clap_map, 80: pool_frames}  # rows of a file -> how it becomes (T, D)


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
            "pseudo_a": (a_pseudo_dir, pseudo_labels.layout(num_classes)),
            "pseudo_v": (v_pseudo_dir, pseudo_labels.layout(num_classes)),
        }
        self.split, self.exact, self.num_workers = split, exact, num_workers
        _require_own_files(split)
        self.folders = {
            name: FeatureFolder(folder, split.ids, layout) for name, (folder, layout) in kinds.items() if folder
        }
        require_files(list(self.folders.values()), num_workers)
        self.audio_dim, self.visual_dim = (self.folders[k].shape[1] for k in ("audio", "visual"))
        self.memory = {}

    def load(self) -> Self:
        """Read every file and return the data set; InputError names the first bad one."""
        for name, folder in self.folders.items():
            reduce = REDUCTIONS.get(folder.shape[0], np.asarray)
            kept = folder.read_all(self.num_workers, f"{self.split.path.name}: {name}", reduce, keep=not self.exact)
            if kept is not None:
                self.memory[name] = torch.from_numpy(kept)
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
