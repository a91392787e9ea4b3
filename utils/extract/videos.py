"""Which videos a command goes through."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from utils.base.errors import InputError
from utils.llp.datasets import LLP, DataSet
from utils.llp.names import file_names
from utils.llp.videos import Video, read_videos, require_distinct

LONGEST = 200  # bytes of a name; file systems allow 255, and temporary files need some more


def list_videos(paths: Path | Sequence[Path], dataset: DataSet = LLP, weak_labels: bool = False) -> list[Video]:
    """The videos of one CSV, or of several, including bad rows. A video that several list is the first's.

    Raises InputError if a file cannot be read, lists no video, or lists one twice.
    """
    videos = {}
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        rows = read_videos(path, dataset, weak_labels)
        require_distinct(path, [v.filename for v in rows])
        for row in rows:
            problem = row.problem and f"{path}, line {row.line}: {row.problem}"
            key = row.filename if row.filename else (path, row.line)
            videos.setdefault(key, _of_possible_length(row._replace(problem=problem)))
    return list(videos.values())


def list_files(folder: Path, is_one: Callable[[Path], bool]) -> list[Video]:
    """The files or subfolders of a folder for which `is_one` holds, each a video without labels.

    Two files of one name, `a.mp4` and `a.wav`, are one video. Raises InputError if there are none.
    """
    names = sorted({path.stem if path.is_file() else path.name for path in Path(folder).iterdir() if is_one(path)})
    if not names:
        raise InputError(f"{folder}: holds no videos")
    videos = [Video(0, name, None, "", own) for name, own in zip(names, file_names(names), strict=True)]
    return [_of_possible_length(video) for video in videos]


def _of_possible_length(video: Video) -> Video:
    """The same video; one whose name is too long for the name of a file has a problem."""
    size = len(os.fsencode(video.id))
    if size <= LONGEST or video.problem:
        return video
    return video._replace(problem=f"its name has {size} bytes; expected at most {LONGEST}, since it names files")
