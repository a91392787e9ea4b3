"""Pictures and sound of video files, as the published pipeline decodes them (spec, sections 7, 8 and 10).

Videos are decoded by PyAV, which brings its own ffmpeg libraries, JPEG files by OpenCV. Frames are chosen as the
command `ffmpeg -i VIDEO -r 8 %06d.jpg` chooses them. Everything that is wrong with a file is an InputError of one line.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import FPS
from utils.media.files import decode, name_of, open_media, require_whole, time_of

SWS_ACCURATE = 0x2 | 0x2000 | 0x40000  # ffmpeg's scaler: bilinear chroma, at full resolution, rounded to nearest


def evenly_spaced(length: int, count: int) -> np.ndarray:
    """`count` indices from 0 to length - 1, rounded half to even: (count,) int."""
    return np.round(np.linspace(0, length - 1, count)).astype(int)


# ------------------------------------------------------------------------------------------------------------- pictures
def frame_files(folder: Path, *names: str) -> list[Path]:
    """The JPEG frames, in order, in the subfolder of the first of `names` that has one; InputError for no frames."""
    frames = next((path for name in names if (path := Path(folder) / name).is_dir()), None)
    if frames is None:
        why = f"utils/extract_frames.py makes it, or lists in {folder}/failures.csv why not"
        raise InputError(f"no folder {names[0]} in {folder}: {why}")
    files = sorted(path for path in frames.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise InputError(f"{frames}: holds no frames (.jpg)")
    return files


def read_image(path: Path) -> np.ndarray:
    """A JPEG file as (H, W, 3) uint8 RGB; InputError where it cannot be decoded."""
    # Read here and decoded from memory: OpenCV does not say why it cannot open a file, and on some systems cannot
    # open names outside ASCII.
    data = Path(path).read_bytes()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if is_whole_jpeg(data) else None
    except cv2.error as error:
        raise InputError(f"{path}: cannot be decoded ({error.err})") from error
    if image is None:
        raise InputError(f"{path}: not a JPEG image, or a damaged one ({len(data)} bytes)")
    return image


def is_whole_jpeg(data: bytes) -> bool:
    """Whether bytes begin and end as a JPEG file does; OpenCV fills up one that was cut off, with grey."""
    return data.startswith(b"\xff\xd8") and b"\xff\xd9" in data[-4096:]


class FrameClock:
    """Which frames of a video `ffmpeg -r 8` writes at each eighth of a second: its constant-rate output.

    A frame that would come more than 1.1 output frames early is dropped; a gap of more than 1.1 is filled with the
    frames at its ends. Frames are placed one after another, so that a video of any length can be gone through.

    Args:
        rate: the frame rate that the container states, None where it states none.
    """

    def __init__(self, rate: Fraction | None):
        duration = FPS / float(rate) if rate else 0.0  # of a frame, in output frames, as ffmpeg estimates it
        self.duration = round(duration) or min(duration, 1.0)
        self.written = 0  # output frames so far
        self.filled = [0, 0, 0]  # by how many copies the last three frames were preceded

    def place(self, time: Fraction) -> tuple[int, int]:
        """How often the frame before, then this one is written now.

        Args:
            time: of this frame, not before that of the last one, in seconds from the start of the file.
        """
        position = round(time * FPS * 2**16) / 2**16  # in output frames, in ffmpeg's resolution
        position += math.copysign(2.0**-17, position) if position else 0.0  # and off exact midpoints
        early = position - self.written
        gap = early + self.duration
        if gap < -1.1:
            copies, before = 0, 0
        elif gap > 1.1:
            copies = round(gap)
            before = min(round(early - 0.6), copies) if early > 1.1 else 0
        else:
            copies, before = 1, 0
        self.written += copies
        self.filled = [before, *self.filled[:2]]
        return before, copies - before

    def rest(self) -> int:
        """How often the last frame is written once more at the end."""
        return sorted(self.filled)[1]


def choose_frames(times: Sequence[Fraction], rate: Fraction | None) -> list[int]:
    """The frames that `FrameClock` chooses from a whole video.

    Args:
        times: (n,) of the frames, ascending, in seconds from the start of the file.
        rate: the frame rate that the container states, None where it states none.

    Returns:
        For each output frame, the index of its frame. Empty where `times` is.
    """
    clock, chosen = FrameClock(rate), []
    for index, time in enumerate(times):
        before, copies = clock.place(time)
        chosen += [max(index - 1, 0)] * before + [index] * copies
    return chosen + [len(times) - 1] * clock.rest()


def frame_times(container: "av.container.InputContainer") -> list[Fraction]:
    """Presentation times of the frames of an open video, ascending, in seconds, without decoding them.

    Empty where the file does not state them. Raises InputError where there is no picture, or the video ends before the
    time that the file states.
    """
    stream = container.streams.best("video")
    if stream is None:
        raise InputError(f"{name_of(container)}: has no picture")
    shown = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
    times = [None if packet.pts is None else time_of(container, packet) for packet in shown]
    if not times:
        raise InputError(f"{name_of(container)}: holds no frames")
    known = sorted(time for time in times if time is not None)
    if known:
        require_whole(container, stream, float(known[-1]) + (container.start_time or 0) / av.time_base)
    # AVI numbers frames in the order in which they are stored, not shown
    reordered = container.format.name == "avi" and stream.codec_context.has_b_frames
    return known if len(known) == len(times) and not reordered else []


def read_frames(path: Path, count: int) -> tuple[list[np.ndarray], int]:
    """`count` frames of a video, evenly spaced over those at 8 a second, without JPEG files on the way.

    Beside the JPEG route they lack its compression: about 3.5 grey levels of 255 on LLP's clip, without a bias.

    Returns:
        (H, W, 3) uint8 RGB each, `count` of them; the number of frames at 8 a second.

    Raises:
        InputError: the file cannot be decoded, has no picture, or ends early.
    """
    with open_media(path) as container:
        times = frame_times(container)
        if not times:
            raise InputError(f"{path}: does not say when its frames are shown; convert it to mp4")
        chosen = choose_frames(times, container.streams.best("video").guessed_rate)
    wanted = [chosen[i] for i in evenly_spaced(len(chosen), count)]
    images = _images_at(path, {times[index] for index in wanted})
    return [images[times[index]] for index in wanted], len(chosen)


def _images_at(path: Path, wanted: set[Fraction]) -> dict[Fraction, np.ndarray]:
    """The frames of a video at the times `wanted`; InputError where one of them cannot be decoded."""
    images, last = {}, max(wanted)
    with open_media(path) as container:
        stream = container.streams.best("video")
        stream.thread_type = "AUTO"

        def skip_others(packet):  # frames that nobody wants, and from which no other frame is predicted
            asked_for = packet.pts is None or time_of(container, packet) in wanted
            stream.codec_context.skip_frame = "DEFAULT" if asked_for else "NONREF"

        for frame in decode(container, stream, skip_others):
            time = None if frame.pts is None else time_of(container, frame)
            if time in wanted:
                images[time] = to_rgb(frame)
            if len(images) == len(wanted) or (time is not None and time > last):
                break
    if len(images) < len(wanted):
        raise InputError(f"{path}: damaged, {len(wanted) - len(images)} of the frames needed cannot be decoded")
    return images


def to_rgb(frame: "av.VideoFrame") -> np.ndarray:
    """(H, W, 3) uint8 RGB of a decoded frame, turned upright."""
    # BT.601 whatever the file says, since JPEG files carry no other. ffmpeg's faster default rounds all colours down.
    rgb = frame.reformat(format="rgb24", interpolation=SWS_ACCURATE, src_colorspace="itu601").to_ndarray()
    return np.rot90(rgb, round(frame.rotation / 90)) if frame.rotation else rgb
