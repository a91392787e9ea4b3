"""Frames of video files, and of JPEG files made from them, chosen and decoded as the published pipeline does.

Videos are decoded by PyAV, which brings its own ffmpeg libraries, JPEG files by OpenCV. Frames are chosen as the
command `ffmpeg -i VIDEO -r 8 %06d.jpg` chooses them. Axes: H, W of an image, in RGB.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import cv2
import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import FPS
from utils.media.clock import time_of
from utils.media.decoding import decode
from utils.media.files import open_media
from utils.media.pixels import to_rgb
from utils.media.timeline import TOLERANCE, Survey


def evenly_spaced(length: int, count: int) -> np.ndarray:
    """`count` indices from 0 to length - 1, rounded half to even: (count,) int."""
    return np.round(np.linspace(0, length - 1, count)).astype(int)


def frame_files(folder: Path, *names: str) -> list[Path]:
    """The JPEG frames in the subfolder of the first of `names` that has one, by number: 2.jpg before 10.jpg.

    Raises InputError if there is no such subfolder, or no frame in it.
    """
    frames = next((path for name in names if (path := Path(folder) / name).is_dir()), None)
    if frames is None:
        why = f"utils/extract_frames.py makes it, or lists in {folder}/failures.csv why not"
        raise InputError(f"no folder {names[0]} in {folder}: {why}")
    files = sorted((p for p in frames.iterdir() if p.suffix.lower() in (".jpg", ".jpeg")), key=_by_number)
    if not files:
        raise InputError(f"{frames}: holds no frames (.jpg)")
    return files


def _by_number(path: Path) -> list:
    """A key that sorts `9.jpg` before `10.jpg`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path.name)]


def read_image(path: Path) -> np.ndarray:
    """A JPEG file as (H, W, 3) uint8 RGB. Raises InputError if it cannot be decoded."""
    # Decoded from memory: OpenCV does not say why it cannot open a file, and on some systems cannot open names
    # outside ASCII.
    data = Path(path).read_bytes()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if is_complete_jpeg(data) else None
    except cv2.error as error:
        raise InputError(f"{path}: cannot be decoded ({error.err})") from error
    if image is None:
        raise InputError(f"{path}: not a JPEG image, or a damaged one ({len(data)} bytes)")
    return image


def is_complete_jpeg(data: bytes) -> bool:
    """Whether bytes begin and end as a JPEG file does. OpenCV fills the missing part of a truncated one with grey."""
    return data.startswith(b"\xff\xd8") and b"\xff\xd9" in data[-4096:]


Frame = TypeVar("Frame")


def at_constant_rate(timed: Iterable[tuple[Fraction, Frame]], rate: Fraction | None) -> Iterator[Frame]:
    """The frames that `ffmpeg -r 8` writes, one for each eighth of a second: its constant-rate output.

    The rule of ffmpeg 5.1 (fftools/ffmpeg.c, VSYNC_CFR): a frame that would come more than 1.1 output frames early is
    dropped; a gap of more than 1.1 is filled with the frames at its ends.

    Args:
        timed: times, ascending, in seconds from the start of the file; frames.
        rate: the frame rate that the container states, None if it states none.
    """
    duration = FPS / float(rate) if rate else 0.0  # of a frame, in output frames, as ffmpeg estimates it
    duration = round(duration) or min(duration, 1.0)
    written, last = 0, None
    filled = [0, 0, 0]  # by how many copies of their predecessor the last three frames were preceded
    for time, frame in timed:
        position = round(time * FPS * 2**16) / 2**16  # in output frames, in ffmpeg's resolution
        position += math.copysign(2.0**-17, position) if position else 0.0  # and off exact midpoints
        early = position - written
        gap = early + duration
        copies = 0 if gap < -1.1 else round(gap) if gap > 1.1 else 1
        before = min(round(early - 0.6), copies) if gap > 1.1 and early > 1.1 else 0
        yield from [frame if last is None else last] * before + [frame] * (copies - before)
        written += copies
        filled, last = [before, *filled[:2]], frame
    yield from [last] * sorted(filled)[1]


def choose_frames(times: Sequence[Fraction], rate: Fraction | None) -> list[int]:
    """For each output frame of `at_constant_rate`, the index of its frame. Empty if `times` is."""
    return list(at_constant_rate(zip(times, range(len(times)), strict=True), rate))


class Shown(NamedTuple):
    """A frame of a video as it is shown at one position of its output at 8 a second.

    Attributes:
        position: in the output.
        image: (H, W, 3) uint8 RGB.
        is_exact: whether it is the frame of that position, or a neighbour that stands in for one that is damaged.
    """

    position: int
    image: np.ndarray
    is_exact: bool


def count_frames(found: Survey) -> int:
    """Frames of a video at 8 a second: those that ffmpeg writes, and the last again until the sound ends.

    Raises InputError if none can be decoded.
    """
    picture = found.picture
    if picture.times:
        count = len(choose_frames(picture.times, picture.rate))
    else:
        count = sum(1 for _ in constant_rate_frames(found))
    is_longer = found.seconds - (picture.end - picture.held) >= TOLERANCE
    return max(count, round(found.seconds * FPS)) if is_longer else count


def frame_lag(found: Survey, begin: float) -> int:
    """How many frames after its own number the output at 8 a second shows what is shown from `begin` on, in seconds.

    ffmpeg writes the first frames early, and so lags behind by up to two frames. 0 if the file states no times.
    """
    times = found.picture.times
    if not times:
        return 0
    early = sum(times[i] < begin for i in choose_frames(times, found.picture.rate))
    return max(early - round(begin * FPS), 0)


def shown_frames(found: Survey, positions: Sequence[int]) -> Iterator[Shown]:
    """The frames at some positions, ascending, of a video's output at 8 a second.

    After its end, the last frame is shown. Raises InputError if nothing can be decoded.
    """
    last = image = None
    for position, frame, is_exact in _frames_at(found, positions):
        if frame is not last:
            last, image = frame, to_rgb(frame)
        yield Shown(position, image, is_exact)


def require_decodable(found: Survey) -> None:
    """Raise InputError if any frame of a video's output at 8 a second cannot be decoded."""
    refuse_lost(
        found, [position for position, _, is_exact in _frames_at(found, range(count_frames(found))) if not is_exact]
    )


def refuse_lost(found: Survey, lost: Sequence[int]) -> None:
    """Raise InputError if there are positions of the output at 8 a second, ascending, that cannot be decoded."""
    if lost:
        what = f"{len(lost)} of the frames needed cannot be decoded, the first at {lost[0] / FPS:.1f} s"
        raise InputError(f"{found.path}: damaged, {what}")


def _frames_at(found: Survey, positions: Sequence[int]) -> Iterator[tuple[int, "av.VideoFrame", bool]]:
    """The positions of `shown_frames`, each with its frame as it was decoded, and whether that is exact."""
    if not found.picture.times:
        yield from _counted_frames(found, positions)
        return
    times = found.picture.times
    chosen = choose_frames(times, found.picture.rate)
    wanted = [times[chosen[min(position, len(chosen) - 1)]] for position in positions]
    queue, last = 0, None
    for time, frame in decode_frames(found, set(wanted)):
        while queue < len(wanted) and wanted[queue] < time:  # it cannot be decoded: its predecessor stands in
            yield positions[queue], frame if last is None else last, False
            queue += 1
        last = frame
        while queue < len(wanted) and wanted[queue] == time:
            yield positions[queue], frame, True
            queue += 1
        if queue == len(wanted):
            return
    yield from ((position, last, False) for position in positions[queue:])


def _counted_frames(found: Survey, positions: Sequence[int]) -> Iterator[tuple[int, "av.VideoFrame", bool]]:
    """`_frames_at` of a video that does not state when its frames are shown: they are counted."""
    queue, frame = 0, None
    for position, frame in enumerate(constant_rate_frames(found)):
        while queue < len(positions) and positions[queue] == position:
            yield position, frame, True
            queue += 1
        if queue == len(positions):
            return
    yield from ((position, frame, True) for position in positions[queue:])


def constant_rate_frames(found: Survey) -> Iterator["av.VideoFrame"]:
    """The frames of a video at 8 a second, as `ffmpeg -r 8` chooses them. Raises InputError if none can be decoded."""
    return at_constant_rate(decode_frames(found), found.picture.rate)


def decode_frames(found: Survey, wanted: set[Fraction] | None = None) -> Iterator[tuple[Fraction, "av.VideoFrame"]]:
    """The frames of a video with their times in seconds, ascending; without stated times they follow one another.

    Args:
        wanted: times; the other frames are left out if no frame is predicted from them. None: all frames.

    Raises InputError if nothing can be decoded.
    """
    with open_media(found.path) as container:
        stream = container.streams[found.picture.index]
        stream.thread_type = "AUTO"

        def skip_others(packet: av.Packet) -> None:
            is_wanted = packet.pts is None or wanted is None or time_of(container, packet) in wanted
            stream.codec_context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

        time, step = None, 1 / (found.picture.rate or Fraction(25))
        for frame in decode(container, stream, skip_others):
            stated, follows = time_of(container, frame), Fraction(0) if time is None else time + step
            if wanted is None:
                time = follows if stated is None else stated if time is None else max(time, stated)
            else:
                time = follows if stated is None else stated
            yield time, frame
        if time is None:
            raise InputError(f"{found.path}: none of its frames can be decoded")
