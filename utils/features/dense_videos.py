"""Videos of any length with dense audio-visual labels, in the form of UnAV-100: annotations, seconds, batches.

A second is positive if an event touches it. Source: UWAV (CVPR 2025), section 3.2. Axes: N videos, B of a batch, n
seconds of a video, T seconds of the longest one, L rows of a file, D size of a feature vector, C classes.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.base.errors import InputError
from utils.base.files import read_text
from utils.base.npy import read_npy
from utils.features.folder import map_files
from utils.llp.classes import class_indices

SUBSETS = ("train", "validation", "test")
LONGEST = 24 * 3600  # seconds of a video
FORM = '{"database": {id: {"subset": ..., "duration": seconds, "annotations": [{"segment": [start, end], ...}]}}}'
THREADS = 8


class Event(NamedTuple):
    """An event that is heard and seen from `start` to `end` seconds; its class by index."""

    start: float
    end: float
    label: int


class DenseVideo(NamedTuple):
    """A video and its events."""

    id: str
    subset: str
    duration: float  # seconds
    events: tuple[Event, ...]


def read_database(path: Path) -> dict[str, object]:
    """What a JSON file in UnAV's form says of each video, by id, unchecked.

    Raises InputError if the file is missing or not of this form.
    """
    expected = f"expected {FORM}"
    try:
        return dict(json.loads(read_text(path, expected))["database"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not annotations in UnAV's form, {expected}") from None


def read_annotations(path: Path, class_names: Sequence[str]) -> list[DenseVideo]:
    """The videos of a JSON file in UnAV's form. An event has `label_id`, an index into the classes, or else `label`.

    Raises InputError if the file is missing, not of this form, or has an impossible time or an unknown class.
    """
    videos = read_database(path).items()
    return [_video(f"{path}, {name!r:.100}", name, entry, class_names) for name, entry in videos]


def _video(where: str, name: str, entry: object, class_names: Sequence[str]) -> DenseVideo:
    """The video of one entry. Raises InputError if it is not one."""
    try:
        subset, duration, events = entry["subset"], float(entry["duration"]), list(entry["annotations"])
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InputError(f"{where}: expected subset, duration in seconds and a list of annotations") from None
    if name in ("", ".", "..") or re.search(r"[/\\\x00]", name):  # the name becomes a path
        raise InputError(f"{where}: is no name of a video, expected one that can be the name of a file")
    if subset not in SUBSETS:
        raise InputError(f"{where}: subset is {subset!r:.100}, expected one of {', '.join(SUBSETS)}")
    if not 0 < duration <= LONGEST:
        raise InputError(f"{where}: duration is {duration} s, expected above 0 and at most {LONGEST}")
    return DenseVideo(name, subset, duration, tuple(_event(where, event, class_names) for event in events))


def _event(where: str, event: object, class_names: Sequence[str]) -> Event:
    """One annotation. Raises InputError if it is none, ends before it starts, or its class is unknown."""
    try:
        start, end = map(float, event["segment"])
        label = event["label_id"] if "label_id" in event else event["label"]
    except (ValueError, KeyError, TypeError, OverflowError):
        expected = "expected a segment [start, end] in seconds, and label_id or label"
        raise InputError(f"{where}: annotation {event!r:.100}, {expected}") from None
    if not 0 <= start <= end < math.inf:
        raise InputError(
            f"{where}: an event from {start} to {end} s, expected a start of at least 0 and no earlier end"
        )
    if "label_id" in event:
        if type(label) is not int or not 0 <= label < len(class_names):
            raise InputError(f"{where}: label_id is {label!r:.100}, expected 0 to {len(class_names) - 1}")
        return Event(start, end, label)
    try:
        return Event(start, end, class_indices([str(label)], class_names)[0])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def seconds_labels(duration: float, events: Iterable[Event], num_classes: int) -> np.ndarray:
    """Which seconds of a video of `duration`, rounded up, each class's events touch: (n, C) uint8 0/1.

    An event counts from its start, rounded down, to its end, rounded up and exclusive; what is beyond the end of the
    video is cut off.
    """
    labels = np.zeros((math.ceil(duration), num_classes), np.uint8)
    for start, end, label in events:
        labels[math.floor(start) : math.ceil(end), label] = 1
    return labels


def pool_seconds(features: Tensor, seconds: int) -> Tensor:
    """Means of the rows that fall into each of n seconds, also if there are fewer rows: (L, D) -> (n, D)."""
    return F.adaptive_avg_pool1d(features.T[None], seconds)[0].T


def read_features(path: Path) -> Tensor:
    """Features of a video at any rate, (L, D) float32. Raises InputError if the file holds no such array."""
    array = read_npy(path)
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        raise InputError(
            f"{path}: holds {array.shape} {array.dtype}, expected features (L, D) of floating-point numbers"
        )
    if not np.isfinite(array).all():
        raise InputError(f"{path}: holds NaN or infinite values; rebuild the file")
    return torch.from_numpy(array.astype(np.float32))


class DenseSplit:
    """N videos in memory, pooled to seconds.

    Args:
        audio: (n, Da) float32 of each video. visual: (n, Dv) float32. labels: (n, C) uint8.
    """

    def __init__(self, audio: list[Tensor], visual: list[Tensor], labels: list[Tensor]):
        self.audio, self.visual, self.labels = audio, visual, labels
        self.longest = max(map(len, labels))  # T

    @classmethod
    def read(cls, videos: Sequence[DenseVideo], subset: str, folders: Mapping[str, Path], num_classes: int) -> Self:
        """Those of the videos that are in `subset`.

        folders: of `audio` and `visual` features, <id>.npy of (L, D) at any rate.

        Raises InputError if there is no video, or a file is missing, damaged, or of another size than the others.
        """
        videos = [video for video in videos if video.subset == subset]
        if not videos:
            raise InputError(f"the annotations have no video of the subset {subset}, expected at least one")
        labels = [torch.from_numpy(seconds_labels(v.duration, v.events, num_classes)) for v in videos]
        seconds = [len(label) for label in labels]
        return cls(*(_read_all(folders[kind], videos, seconds) for kind in ("audio", "visual")), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Audio (B, T, Da), visual (B, T, Dv), labels (B, T, C) and valid (B, T), float32, 0 after a video's end."""
        columns = {"audio": self.audio, "visual": self.visual, "labels": self.labels}
        lengths = torch.tensor([len(self.labels[index]) for index in indices])
        arrays = {"valid": (torch.arange(self.longest) < lengths[:, None]).float()}
        for name, column in columns.items():
            arrays[name] = torch.zeros(len(indices), self.longest, column[0].shape[1])
            for row, index in zip(arrays[name], indices, strict=True):
                row[: len(column[index])] = column[index]
        return arrays

    def batches(self, size: int, shuffle: bool) -> Iterator[dict[str, Tensor]]:
        """All videos in batches of `size`, the last may be smaller, as `batch` makes them: (B, T, ...) tensors.

        shuffle: in an order from torch's global generator.
        """
        order = torch.randperm(len(self)) if shuffle else torch.arange(len(self))
        for indices in order.split(size):
            yield self.batch(indices.tolist())


def _read_all(folder: Path, videos: Sequence[DenseVideo], seconds: Sequence[int]) -> list[Tensor]:
    """The features of each video, (n, D). Raises InputError for missing or bad files."""
    paths = [Path(folder, f"{video.id}.npy") for video in videos]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        found = f"{len(missing)} of {len(paths)} files of {videos[0].subset} are missing"
        raise InputError(f"{folder}: {found} ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''})")
    pooled, size = [], None
    for path, rows, n in zip(paths, map_files(read_features, paths, THREADS, str(folder)), seconds, strict=True):
        size = size or rows.shape[1]
        if rows.shape[1] != size:
            raise InputError(f"{path}: holds features of size {rows.shape[1]}, expected {size} as in {paths[0].name}")
        pooled.append(pool_seconds(rows, n))
    return pooled
