"""Names of videos: what they say of times."""

import re

from utils.llp.classes import T

LLP_NAME = re.compile(r"(?P<id>[A-Za-z0-9_-]{11})_(?P<begin>\d+(\.\d+)?)_(?P<end>\d+(\.\d+)?)")  # BjCEufrlXm4_20_30
TIMED_NAME = re.compile(r"(?P<id>.+)_(?P<begin>\d+(\.\d+)?)_(?P<end>\d+(\.\d+)?)", re.DOTALL)


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
