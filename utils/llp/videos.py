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
from utils.llp.names import file_names, video_id  # noqa: F401 (video_id: a name of this module, too)
from utils.llp.tables import read_table

SPLIT_FILES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
ALL_VIDEOS_FILE = "AVVP_dataset_full.csv"
SPLIT_COLUMNS = ("filename", "event_labels")


class Split(NamedTuple):
    """The videos of one split. weak: (N, C) float32 0/1, or None if weak_labels=False."""

    path: Path
    filenames: list[str]
    weak: np.ndarray | None

    @property
    def names(self) -> list[tuple[str, ...]]:
        """What the files of each video may be called, without suffix, as `file_names` says."""
        return file_names(self.filenames)

    @property
    def ids(self) -> list[str]:
        """Names of the files that are written of each video, without suffix."""
        return [names[-1] for names in self.names]


class Video(NamedTuple):
    """A row of a split. weak: (C,) float32 0/1, or None if not asked for or bad; `problem` says what is wrong.

    own: what `file_names` says of it as a part of its list; empty: it is the only one.
    """

    line: int
    filename: str
    weak: np.ndarray | None
    problem: str
    own: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What its files may be called, without suffix; the first that exists is meant."""
        return self.own or file_names([self.filename])[0]

    @property
    def id(self) -> str:
        """Name of the files that are written of it, without suffix."""
        return self.names[-1]


def read_videos(path: Path, class_names: Sequence[str] = CLASS_NAMES, weak_labels: bool = True) -> list[Video]:
    """The videos of a split, in its order, bad rows included.

    A row is bad if its name could leave the data folder, it has no event names, or one is unknown.
    Raises InputError if the file cannot be read or has no video.
    """
    table = read_table(path, SPLIT_COLUMNS if weak_labels else SPLIT_COLUMNS[:1])
    if table.empty:
        raise InputError(f"{path}: lists no video")
    labels = table["event_labels"] if weak_labels else [None] * len(table)
    rows = zip(table["filename"].items(), labels, file_names(table["filename"].tolist()), strict=True)
    return [_video(line, name, names, class_names)._replace(own=own) for (line, name), names, own in rows]


def require_distinct(path: Path, filenames: Sequence[str]) -> None:
    """The one rule for repeated rows of a list: each video is there once, since twice would count twice.

    Raises InputError for the first that is repeated.
    """
    first = {}
    for row, name in enumerate(filenames, 1):
        if name and first.setdefault(name, row) != row:
            where = f"{name!r} as its videos number {first[name]} and {row}"
            expected = "expected each video once, as in a split such as AVVP_test_pd.csv"
            raise InputError(f"{path}: lists a video twice, {where}; {expected}; remove one of the rows")


def _video(line: int, name: str, names: str | None, class_names: Sequence[str]) -> Video:
    """The video of one row; `names`: its event names, None if they are not wanted."""
    # the name becomes a path: it must stay inside the feature folder
    if name in ("", ".", "..") or re.search(r"[/\\\x00]", name):
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
    """The videos of a split, and with `weak_labels` their event names.

    Raises InputError for the first bad row, or if a video is listed twice.
    """
    videos = read_videos(path, class_names, weak_labels)
    for video in videos:
        if video.problem:
            raise InputError(f"{path}, line {video.line}: {video.problem}")
    require_distinct(path, [v.filename for v in videos])
    weak = np.stack([v.weak for v in videos]) if weak_labels else None  # (N, C)
    return Split(Path(path), [v.filename for v in videos], weak)
