"""A clip: ten seconds of a video, by a name of LLP's lists; in a file, an mp4 with H.264 and AAC."""

import re
from pathlib import Path
from typing import NamedTuple

from utils.base.errors import InputError
from utils.llp.classes import T
from utils.llp.datasets import LLP
from utils.llp.videos import Video
from utils.media.files import choose_tracks, open_media
from utils.media.timeline import clip_span
from utils.media.windows import survey

CODECS = {"video": "h264", "audio": "aac"}
NO_SOUND = "has no audio track"


class Clip(NamedTuple):
    """Which ten seconds of which video, by a name such as BjCEufrlXm4_20_30; or the whole video."""

    name: str  # of the video, at its site
    start: float  # seconds
    seconds: float | None = T  # None: until the end

    @classmethod
    def of(cls, video: Video) -> "Clip":
        """From a row of LLP's CSVs; of other data sets the whole video. Raises InputError for a name without times."""
        if video.id_rule != LLP.ids:
            return cls(video.sources[-1], 0.0, None)
        times = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", video.filename)
        if not times or float(times[2]) >= float(times[3]):
            raise InputError(f"{video.filename!r} does not end in start and end in seconds, as BjCEufrlXm4_20_30 does")
        return cls(times[1], float(times[2]))


def check_clip(path: Path) -> float:
    """Length in seconds of a valid clip. Raises InputError if it is truncated, no mp4, or lacks H.264 or AAC."""
    with open_media(path) as container:
        for kind, codec in CODECS.items():
            stream = choose_tracks(container).get(kind)
            if stream is None:
                raise InputError(f"{path}: {NO_SOUND if kind == 'audio' else 'has no picture'}")
            if stream.codec_context.name != codec:
                raise InputError(f"{path}: its {kind} is {stream.codec_context.name}, expected {codec}")
        if "mp4" not in container.format.name:
            raise InputError(f"{path}: is {container.format.name}, expected mp4")
    return check_length(path)


def check_length(path: Path) -> float:
    """Seconds until the last frame of a video ends, 0 if it has none. Raises InputError if it is no complete video."""
    found = survey(path)
    return found.require_picture().end if found.picture else 0.0


def is_finished(path: Path, times: tuple[float, float] | None = None) -> bool:
    """Whether a file exists and is a valid clip, or a longer video that holds the `times`, in seconds, of its name."""
    try:
        clip_span(path, check_clip(path), times)
    except (InputError, OSError):
        return False
    return True
