"""What the encoders of features take of a clip: evenly spaced frames, and sound, and in which segments there are any.

Clips are complete or refused, unlike the windows of utils/media/windows.py. The functions take the number of segments,
10 for LLP; None: as many as seconds. Axes: n samples, T segments; H, W of an image.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import FPS, T
from utils.media import audio
from utils.media.frames import (
    count_frames,
    evenly_spaced,
    frame_files,
    frame_lag,
    read_image,
    refuse_lost,
    require_decodable,
    shown_frames,
)
from utils.media.timeline import TOLERANCE, Span, clip_span, find_tracks, presence

EXTENT = "extent.json"  # in a folder of frames, of a longer video, or if its picture is not there from start to end
USUAL_LAG = 2  # frames by which `ffmpeg -r 8` lags, at the usual frame rates


class Content(NamedTuple):
    """What was read of a clip's picture or sound.

    Attributes:
        seconds: its length.
        is_there: (T,) bool, in which of its segments there is a picture, or sound.
    """

    seconds: float
    is_there: np.ndarray


def count_segments(seconds: float, segments: int | None) -> int:
    """How many segments a clip has: `segments`, or, if that is None, its seconds, rounded, at least one."""
    return segments or max(1, math.floor(seconds + 0.5))


def read_sound(
    path: Path, sample_rate: int, times: Span | None = None, segments: int | None = T
) -> Iterator[Content | np.ndarray]:
    """The content of a clip's sound, then its samples at `sample_rate` in Hz, (n,) float32.

    Args:
        times: seconds of the video that the clip is of, if its name states them.

    Raises InputError if the file cannot be decoded, has no sound, ends early, or is longer and does not hold `times`.
    """
    found = find_tracks(path)
    found.require_sound()
    begin, end = clip_span(path, found.seconds, times)
    pieces = audio.place(audio.decode_audio(found))
    if (begin, end) != (0.0, found.seconds):
        pieces = audio.between(pieces, begin, end)
    sound, spans = audio.assemble(pieces, end - begin, sample_rate)
    seconds = len(sound) / sample_rate
    number = count_segments(end - begin, segments)  # as of the picture, whose frames may end a little earlier
    yield Content(seconds, presence(spans, segment_edges(0.0, seconds, number)))
    yield sound


def segment_edges(begin: float, end: float, segments: int = T) -> np.ndarray:
    """Borders of the segments of a clip, in seconds: (T + 1,)."""
    return np.linspace(begin, end, segments + 1)


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """All sound of a media file, (n,) float32 at `sample_rate` in Hz. Raises InputError as `read_sound` does."""
    return list(read_sound(path, sample_rate))[1]


def read_pictures(
    path: Path, count: int, times: Span | None = None, segments: int | None = T
) -> Iterator[Content | np.ndarray]:
    """The content of a clip's picture, then evenly spaced frames of those at 8 a second, (H, W, 3) uint8 RGB.

    count: of the frames; without `segments`, of those of each segment.

    Unlike the JPEG files' they lack compression: about 3.5 grey levels of 255 on LLP's clip, without a bias.

    Args:
        times: seconds of the video that the clip is of, if its name states them.

    Raises InputError if the file cannot be decoded, has no picture, ends early, or is longer and does not hold `times`.
    """
    found = find_tracks(path)
    picture = found.require_picture()
    total = count_frames(found)
    if not total:
        raise InputError(f"{path}: holds no frames")
    lag = frame_lag(found, times[0]) if times else 0
    positions, content = _choose(path, total, (count, segments), times, found.seconds, picture.spans, lag)
    yield content
    lost = []
    for shown in shown_frames(found, positions):
        if not shown.is_exact:
            lost.append(shown.position)
        yield shown.image
    refuse_lost(found, lost)


def _choose(
    path: Path,
    total: int,
    wanted: tuple[int, int | None],
    times: Span | None,
    seconds: float,
    spans: tuple[Span, ...],
    lag: int,
) -> tuple[np.ndarray, Content]:
    """Which of `total` frames at 8 a second are read, (n,) int, and the content of the clip; wanted: count, segments.

    lag: by how many frames the output shows later than its number says what is shown at the begin of `times`.
    """
    begin, end = clip_span(path, seconds, times)
    first, last = 0, total
    if (begin, end) != (0.0, seconds):
        first = round(begin * FPS) + (lag if begin else 0)
        last = min(first + round((end - begin) * FPS), total)
    count, segments = wanted
    number = count_segments(end - begin, segments)
    positions = first + evenly_spaced(last - first, count if segments else count * number)
    return positions, Content((last - first) / FPS, presence(spans, segment_edges(begin, end, number)))


def read_frames(path: Path, count: int) -> tuple[list[np.ndarray], int]:
    """`count` evenly spaced frames of a video, (H, W, 3) uint8 RGB each, and the number of frames at 8 a second.

    Raises InputError as `read_pictures` does.
    """
    content, *images = read_pictures(path, count)
    return images, round(content.seconds * FPS)


def read_jpegs(
    folder: Path, names: tuple[str, ...], count: int, times: Span | None = None, segments: int | None = T
) -> Iterator[Content | np.ndarray]:
    """As `read_pictures`, (H, W, 3) each, of the JPEG files that utils/extract_frames.py wrote.

    Raises InputError as it does.
    """
    files = frame_files(folder, *names)
    total, seconds, spans, lag = len(files), len(files) / FPS, ((0.0, len(files) / FPS),), USUAL_LAG
    if (extent := read_extent(files[0].parent)) is not None:
        seconds, spans, held = extent
        lag = min(max(total - round((spans[-1][1] - held) * FPS), 0), USUAL_LAG)
        total = max(total, round(seconds * FPS))
    positions, content = _choose(files[0].parent, total, (count, segments), times, seconds, spans, lag)
    yield content
    for position in positions:
        yield read_image(files[min(position, len(files) - 1)])


def describe_picture(path: Path) -> Iterator[tuple[int, float, str]]:
    """The number of a video's picture track, its length in seconds, and the text of EXTENT, '' if none is needed.

    Raises InputError if it has no complete picture, or frames of it cannot be decoded.
    """
    found = find_tracks(path)
    picture = found.require_picture()
    require_decodable(found)
    is_there = presence(picture.spans, segment_edges(0.0, found.seconds))
    text = json.dumps({"seconds": found.seconds, "picture": picture.spans, "held": picture.held}) + "\n"
    lacks = found.seconds - (picture.end - picture.held)
    is_usual = is_there.all() and lacks < TOLERANCE and found.is_single
    yield picture.index, found.seconds, "" if is_usual else text


def read_extent(folder: Path) -> tuple[float, tuple[Span, ...], float] | None:
    """Length of the video of a folder of frames, when its picture is there, and for how long the last frame is held.

    None if the picture is there throughout.

    Raises InputError if the file that states it is damaged.
    """
    path = Path(folder) / EXTENT
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_bytes())
        spans = tuple((float(begin), float(end)) for begin, end in value["picture"])
        return float(value["seconds"]), spans, float(value.get("held", 0))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged; remove {folder} and extract its frames again") from error


def shown_since(path: Path, times: Sequence[float]) -> Iterator[list[float]]:
    """For each of some times, in seconds, since when the frame is shown that is shown then.

    0 before the first frame; the time itself if there is no picture.

    Raises InputError if the file cannot be read, or frames of it cannot be decoded.
    """
    found = find_tracks(path)
    if found.picture:
        require_decodable(found)
    frames = np.array(found.picture.times if found.picture else (), float)
    index = np.searchsorted(frames, times, side="right") - 1
    before = [0.0 if len(frames) else float(time) for time in times]
    yield [float(frames[i]) if i >= 0 else time for i, time in zip(index, before, strict=True)]
