"""Lists of videos: splits and weak labels.

Axes: N videos, C classes. The files' formats and known defects: docs/DATA.md.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import OTHERS, class_indices
from utils.llp.datasets import LLP, DataSet
from utils.llp.names import file_names, source_names, video_id  # noqa: F401 (video_id: a name of this module, too)
from utils.llp.tables import read_table

SPLIT_FILES = LLP.splits
ALL_VIDEOS_FILE = LLP.all_videos
SPLIT_COLUMNS = ("filename", "event_labels")


class Split(NamedTuple):
    """The videos of one split.

    weak: (N, C) float32 0/1, or None if weak_labels=False; by_modality: the same of `audio` and `visual` alone, if they
    are known; id_rule: of its data set.
    """

    path: Path
    filenames: list[str]
    weak: np.ndarray | None
    id_rule: str = LLP.ids
    by_modality: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def names(self) -> list[tuple[str, ...]]:
        """What the files of each video may be called, without suffix, as `file_names` says."""
        return file_names(self.filenames, self.id_rule)

    @property
    def ids(self) -> list[str]:
        """Names of the files that are written of each video, without suffix."""
        return [names[-1] for names in self.names]


class Video(NamedTuple):
    """A row of a split. weak: (C,) float32 0/1, or None if not asked for or bad; `problem` says what is wrong.

    own: what `file_names` says of it as a part of its list; empty: it is the only one. id_rule: of its data set.
    """

    line: int
    filename: str
    weak: np.ndarray | None
    problem: str
    own: tuple[str, ...] = ()
    id_rule: str = LLP.ids

    @property
    def names(self) -> tuple[str, ...]:
        """What its files may be called, without suffix; the first that exists is meant."""
        return self.own or file_names([self.filename], self.id_rule)[0]

    @property
    def sources(self) -> tuple[str, ...]:
        """What its media file or folder of frames may be called: the first that exists is meant."""
        return self.names if self.id_rule == LLP.ids else source_names(self.filename, self.id_rule)

    @property
    def id(self) -> str:
        """Name of the files that are written of it, without suffix."""
        return self.names[-1]


def read_videos(
    path: Path, dataset: DataSet = LLP, weak_labels: bool = True, may_be_empty: bool = False
) -> list[Video]:
    """The videos of a split, in its order, bad rows included.

    A row is bad if its name could leave the data folder, one of its event names is unknown, or it has none, unless it
    `may_be_empty`. Raises InputError if the file cannot be read or has no video.
    """
    table = read_table(path, SPLIT_COLUMNS if weak_labels else SPLIT_COLUMNS[:1])
    if table.empty:
        raise InputError(f"{path}: lists no video")
    labels = table["event_labels"] if weak_labels else [None] * len(table)
    names = file_names(table["filename"].tolist(), dataset.ids)
    rows = zip(table["filename"].items(), labels, names, strict=True)
    videos = [(_video(line, name, events, dataset, may_be_empty), own) for (line, name), events, own in rows]
    return [video._replace(own=own, id_rule=dataset.ids) for video, own in videos]


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


def _video(line: int, name: str, names: str | None, dataset: DataSet, may_be_empty: bool) -> Video:
    """The video of one row; `names`: its event names, None if they are not wanted."""
    class_names = dataset.class_names
    # the name becomes a path: it must stay inside the feature folder
    if name in ("", ".", "..") or re.search(r"[/\\\x00]", name):
        return Video(line, name, None, f"{name!r} is not a video name such as BjCEufrlXm4_20_30")
    if names is None:
        return Video(line, name, None, "")
    if not names and not may_be_empty:  # a truncated line, rather than a video without events
        return Video(line, name, None, f"no event names; expected some of {', '.join(class_names)}")
    weak = np.zeros(len(class_names), np.float32)  # (C,)
    try:
        weak[class_indices(names.split(dataset.separator) if names else [], class_names)] = 1
    except InputError as error:
        return Video(line, name, None, f"{error}; {OTHERS}")
    return Video(line, name, weak, "")


def read_split(path: Path, dataset: DataSet = LLP, weak_labels: bool = True, may_be_empty: bool = False) -> Split:
    """The videos of a split, and with `weak_labels` their event names; `may_be_empty`: a video may have none.

    Raises InputError for the first bad row, or if a video is listed twice.
    """
    videos = read_videos(path, dataset, weak_labels, may_be_empty)
    for video in videos:
        if video.problem:
            raise InputError(f"{path}, line {video.line}: {video.problem}")
    require_distinct(path, [v.filename for v in videos])
    weak = np.stack([v.weak for v in videos]) if weak_labels else None  # (N, C)
    return Split(Path(path), [v.filename for v in videos], weak, dataset.ids)


def with_modalities(split: Split, dataset: DataSet) -> Split:
    """A training split with the weak labels of each modality, if the data set has such lists.

    Raises InputError if a list is missing or wrong, or lacks a video.
    """
    found = {}
    for modality, name in dataset.weak.items():
        of_one = read_split(dataset.path(name), dataset, may_be_empty=True)
        places = {video: i for i, video in enumerate(of_one.filenames)}
        if missing := [video for video in split.filenames if video not in places]:
            expected = f"expected each video of {split.path}"
            raise InputError(f"{of_one.path}: lacks {len(missing)} videos, such as {missing[0]}; {expected}")
        found[modality] = of_one.weak[[places[video] for video in split.filenames]]
    return split._replace(by_modality=found)
