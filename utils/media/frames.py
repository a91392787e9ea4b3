"""Frames of video files, and of JPEG files made from them, chosen and decoded as the published pipeline does.

Videos are decoded by PyAV, which brings its own ffmpeg libraries, JPEG files by OpenCV. Frames are chosen as the
command `ffmpeg -i VIDEO -r 8 %06d.jpg` chooses them. Axes: H, W of an image, in RGB.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import FPS
from utils.media.files import best_streams, decode, is_in_storage_order, name_of, open_media, require_complete, time_of

SWS_ACCURATE = 0x2 | 0x2000 | 0x40000  # ffmpeg's scaler: bilinear chroma, at full resolution, rounded to nearest


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
    images = (path for path in frames.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    numbered = [([int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", path.name)], path) for path in images]
    files = [path for _, path in sorted(numbered)]
    if not files:
        raise InputError(f"{frames}: holds no frames (.jpg)")
    return files


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


def frame_times(container: "av.container.InputContainer") -> list[Fraction]:
    """Presentation times of the frames of an open video, ascending, in seconds, without decoding them.

    Empty if the file does not state them. Raises InputError if there is no picture, or the video ends before the time
    that the file states.
    """
    stream = container.streams.best("video")
    if stream is None:
        raise InputError(f"{name_of(container)}: has no picture")
    shown = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
    times = [time_of(container, packet) for packet in shown]
    if not times:
        raise InputError(f"{name_of(container)}: holds no frames")
    known = sorted(time for time in times if time is not None)
    if known:
        require_complete(container, stream, float(known[-1]) + (container.start_time or 0) / av.time_base)
    return known if len(known) == len(times) and not is_in_storage_order(container, stream) else []


def read_frames(path: Path, count: int) -> tuple[list[np.ndarray], int]:
    """`count` frames of a video, evenly spaced over those at 8 a second, straight from the video.

    Unlike the JPEG files' they lack compression: about 3.5 grey levels of 255 on LLP's clip, without a bias.

    Returns:
        (H, W, 3) uint8 RGB each, `count` of them; the number of frames at 8 a second.

    Raises InputError if the file cannot be decoded, has no picture, or ends early.
    """
    with open_media(path) as container:
        times = frame_times(container)
        if not times:
            raise InputError(f"{path}: does not say when its frames are shown; convert it to mp4")
        chosen = choose_frames(times, container.streams.best("video").guessed_rate)
    used = [times[chosen[i]] for i in evenly_spaced(len(chosen), count)]
    wanted, images = set(used), {}
    for time, frame in decode_frames(path, True, wanted):
        if time in wanted:
            images[time] = to_rgb(frame)
        if len(images) == len(wanted) or (time is not None and time > used[-1]):
            break
    if len(images) < len(wanted):
        raise InputError(f"{path}: damaged, {len(wanted) - len(images)} of the frames needed cannot be decoded")
    return [images[time] for time in used], len(chosen)


def decode_frames(
    path: Path, strict: bool, wanted: Collection[Fraction] = ()
) -> Iterator[tuple[Fraction | None, "av.VideoFrame"]]:
    """The frames of a video with their times in seconds, None if unknown.

    Args:
        strict: raise InputError if the file cannot be read to its end; else stop there.
        wanted: times; the other frames are left out if no frame is predicted from them. Empty: all frames.

    Raises InputError if nothing can be decoded.
    """
    with open_media(path) as container:
        stream = container.streams.best("video") if strict else best_streams(container)["video"]
        stream.thread_type = "AUTO"

        def skip_others(packet):
            is_wanted = packet.pts is None or not wanted or time_of(container, packet) in wanted
            stream.codec_context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

        for frame in decode(container, stream, strict, skip_others):
            yield time_of(container, frame), frame


def to_rgb(frame: "av.VideoFrame") -> np.ndarray:
    """(H, W, 3) uint8 RGB of a decoded frame, turned upright."""
    # BT.601 whatever the file says, since JPEG files carry no other. ffmpeg's faster default rounds all colours down.
    rgb = frame.reformat(format="rgb24", interpolation=SWS_ACCURATE, src_colorspace="itu601").to_ndarray()
    return np.rot90(rgb, round(frame.rotation / 90)) if frame.rotation else rgb
