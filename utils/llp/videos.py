"""LLP's lists of videos: splits and weak labels.

Axes: N videos, C classes. The files' formats and known defects: docs/DATA.md.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import CLASS_NAMES, class_indices
from utils.llp.tables import read_table

ID_LENGTH = 11  # feature files are named by the first 11 characters of `filename`, a YouTube id

SPLIT_FILES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
ALL_VIDEOS_FILE = "AVVP_dataset_full.csv"
SPLIT_COLUMNS = ("filename", "event_labels")


class Split(NamedTuple):
    """The videos of one split. weak: (N, C) float32 0/1, or None if weak_labels=False."""

    path: Path
    filenames: list[str]
    weak: np.ndarray | None

    @property
    def ids(self) -> list[str]:
        """Names of the feature files, without suffix."""
        return [video_id(name) for name in self.filenames]


def video_id(filename: str) -> str:
    """`BjCEufrlXm4_20_30` -> `BjCEufrlXm4`. Ids may begin with `-` and contain `_`, so never split at `_`."""
    return filename[:ID_LENGTH]


class Video(NamedTuple):
    """A row of a split. weak: (C,) float32 0/1, or None if not asked for or bad; `problem` says what is wrong."""

    line: int
    filename: str
    weak: np.ndarray | None
    problem: str

    @property
    def id(self) -> str:
        """Name of the feature files, without suffix."""
        return video_id(self.filename)

    @property
    def names(self) -> tuple[str, ...]:
        """What its video may be called, without suffix: its id, or its name without times, or its whole name."""
        return self.id, re.sub(r"_[\d.]+_[\d.]+$", "", self.filename), self.filename


def read_videos(path: Path, class_names: Sequence[str] = CLASS_NAMES, weak_labels: bool = True) -> list[Video]:
    """The videos of a split, in its order, bad rows included.

    A row is bad if its name could leave the data folder, it has no event names, or one is unknown.
    Raises InputError if the file cannot be read or has no video.
    """
    table = read_table(path, SPLIT_COLUMNS if weak_labels else SPLIT_COLUMNS[:1])
    if table.empty:
        raise InputError(f"{path}: lists no video")
    labels = table["event_labels"] if weak_labels else [None] * len(table)
    rows = zip(table["filename"].items(), labels, strict=True)
    return [_video(line, name, names, class_names) for (line, name), names in rows]


def _video(line: int, name: str, names: str | None, class_names: Sequence[str]) -> Video:
    """The video of one row; `names`: its event names, None if they are not wanted."""
    # the name becomes a path: it must stay inside the feature folder
    if video_id(name) in ("", ".", "..") or re.search(r"[/\\\x00]", name):
        return Video(line, name, None, f"{name!r} is not a video name such as BjCEufrlXm4_20_30")
    if names is None:
        return Video(line, name, None, "")
    if not names:  # a truncated line, rather than a video without events
        return Video(line, name, None, f"no event names; expected some of {', '.join(class_names)}")
    weak = np.zeros(len(class_names), np.float32)  # (C,)
    try:
        weak[class_indices(names.split(","), class_names)] = 1
    except InputError as error:
        return Video(line, name, None, str(error))
    return Video(line, name, weak, "")


def read_split(path: Path, class_names: Sequence[str] = CLASS_NAMES, weak_labels: bool = True) -> Split:
    """The videos of a split, and with `weak_labels` their event names. Raises InputError for the first bad row."""
    videos = read_videos(path, class_names, weak_labels)
    for video in videos:
        if video.problem:
            raise InputError(f"{path}, line {video.line}: {video.problem}")
    weak = np.stack([v.weak for v in videos]) if weak_labels else None  # (N, C)
    return Split(Path(path), [v.filename for v in videos], weak)
