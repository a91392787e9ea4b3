"""Which videos a command goes through."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.llp.videos import Video, read_videos


def list_videos(path: Path, class_names: Sequence[str] | None = None) -> list[Video]:
    """The videos of a CSV, including bad rows, with weak labels if `class_names` are given.

    A repeated row is one video; two videos may not share an id. Raises InputError if the file cannot be read or lists
    no video.
    """
    rows = read_videos(path, class_names or (), weak_labels=class_names is not None)
    videos = [v._replace(problem=v.problem and f"{path}, line {v.line}: {v.problem}") for v in rows]
    return _once_each(_own_ids(videos))


def list_files(folder: Path, is_one: Callable[[Path], bool]) -> list[Video]:
    """The files or subfolders of a folder for which `is_one` holds, each a video without labels.

    Two files of one name, `a.mp4` and `a.wav`, are one video; two names may not share an id. Raises InputError if
    there are none.
    """
    names = sorted({path.stem if path.is_file() else path.name for path in Path(folder).iterdir() if is_one(path)})
    if not names:
        raise InputError(f"{folder}: holds no videos")
    return _own_ids([Video(0, name, None, "") for name in names])


def _own_ids(videos: Sequence[Video]) -> list[Video]:
    """The same videos; one whose id belongs to an earlier video has a problem."""
    owners, own = {}, []
    for video in videos:
        owner = owners.setdefault(video.id, video.filename)
        if owner != video.filename:
            problem = f"{owner} has the same first {len(video.id)} characters as {video.filename}: they name the files"
            video = video._replace(problem=problem)
        own.append(video)
    return own


def _once_each(videos: Sequence[Video]) -> list[Video]:
    """One of each video; it has a problem if its rows differ."""
    unique = {}
    for video in videos:
        first = unique.setdefault(video.filename, video)
        if not first.problem and (video.problem or not np.array_equal(first.weak, video.weak)):
            problem = video.problem or f"line {video.line}: listed twice, with other event names"
            unique[video.filename] = first._replace(problem=problem)
    return list(unique.values())
