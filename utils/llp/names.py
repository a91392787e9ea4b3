"""Names of videos: which files are theirs, and what they say of times."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from utils.llp.classes import T

ID_LENGTH = 11  # of a YouTube id, by which the published files of LLP's videos are named
TIMES = r"_(?P<begin>[0-9]+(\.[0-9]+)?)_(?P<end>[0-9]+(\.[0-9]+)?)"
LLP_NAME = re.compile(rf"(?P<id>[A-Za-z0-9_-]{{{ID_LENGTH}}}){TIMES}")  # BjCEufrlXm4_20_30
TIMED_NAME = re.compile(rf"(?P<id>.+){TIMES}", re.DOTALL)


def clip_times(name: str) -> tuple[float, float] | None:
    """The seconds of the original video that a name says the clip is of: `BjCEufrlXm4_20_30` -> (20.0, 30.0).

    None if it says none. Names of another form than LLP's may end in numbers that are no times, so that only ten
    seconds count there.
    """
    match = LLP_NAME.fullmatch(name) or TIMED_NAME.fullmatch(name)
    if not match:
        return None
    begin, end = float(match["begin"]), float(match["end"])
    is_clip = begin < end if match.re is LLP_NAME else abs(end - begin - T) < 1e-6
    return (begin, end) if is_clip else None


def video_id(name: str) -> str:
    """`BjCEufrlXm4_20_30` -> `BjCEufrlXm4`; a name of another form than LLP's is its own id.

    Ids may begin with `-` and contain `_`, so never split at `_`.
    """
    match = LLP_NAME.fullmatch(name)
    return match["id"] if match else name


def file_names(videos: Sequence[str], ids: str = "llp") -> list[tuple[str, ...]]:
    """For each video of a list, by its name, what its files may be called, without suffix.

    The file of the first of these names that exists is meant; what is written of a video gets the last one. That is
    the whole name, and with ids `llp`, for a name of LLP's form, the id after it, as the published files are named. An
    id that is another video's whole name is that video's alone; of several clips with one id, the first in the list
    has it.
    """
    if ids != "llp":
        return [(video,) for video in videos]
    whole, owner = set(videos), {}
    names = []
    for video in videos:
        short = video_id(video)
        is_own = short not in whole and owner.setdefault(short, video) == video
        names.append((video, short) if is_own else (video,))
    return names


def source_names(name: str, ids: str) -> tuple[str, ...]:
    """What the media file of a video that has files of its whole name may be called, without suffix.

    With ids `numbered`, `BjCEufrlXm4_2` is the second annotation of `BjCEufrlXm4`.
    """
    match = re.fullmatch(r"(?P<id>.+)_[0-9]+", name) if ids == "numbered" else None
    return (name, match["id"]) if match else (name,)


def existing_files(folder: Path, videos: Sequence[tuple[str, ...]], suffix: str) -> list[str]:
    """The file of each video in a folder, given what `file_names` says: if none exists, what it would be called."""
    there: Collection[str] = set(os.listdir(folder)) if Path(folder).is_dir() else ()
    candidates = [[f"{name}{suffix}" for name in names] for names in videos]
    return [next((file for file in files if file in there), files[-1]) for files in candidates]
