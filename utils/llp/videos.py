"""LLP's lists of videos: splits and weak labels.

Axes: N videos, C classes. The files' formats and known defects: docs/DATA.md.
"""

import csv
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.llp.classes import CLASS_NAMES, class_indices

ID_LENGTH = 11  # feature files are named by the first 11 characters of `filename`, a YouTube id

SPLIT_FILES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
ALL_VIDEOS_FILE = "AVVP_dataset_full.csv"
SPLIT_COLUMNS = ("filename", "event_labels")
AS_WRITTEN = {"dtype": str, "keep_default_na": False, "quoting": csv.QUOTE_NONE, "skip_blank_lines": False}


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


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A tab-separated file with a header, as strings, indexed by line number in the file.

    Raises InputError if the file is missing or unreadable, or lacks a column.
    """
    path, expected = Path(path), f"expected a tab-separated CSV with {', '.join(columns)}"
    if not path.is_file():
        raise InputError(f"{path}: no such file, {expected}")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # columns without a name
            table = pd.read_csv(path, sep="\t", index_col=False, encoding="utf-8-sig", **AS_WRITTEN)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: is empty, {expected}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path}: not a tab-separated UTF-8 CSV ({reason})") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        found = " ".join(table.columns) + ("; the file is separated by commas" if "," in table.columns[0] else "")
        raise InputError(f"{path}: no column {', '.join(missing)}; {expected}, found {found}")
    table.index = np.arange(2, len(table) + 2)  # line 1 is the header
    table = table[list(columns)].fillna("").apply(lambda column: column.str.strip())
    return table[(table != "").any(axis=1)]  # blank lines say nothing


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
