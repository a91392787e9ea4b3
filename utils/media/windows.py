"""A video of any length as windows of ten seconds, decoded once from start to end (docs/PARSING.md has the rules).

A video of up to SINGLE seconds is one window, of which all frames and all sound are used exactly as the feature tools
use those of an LLP clip. A longer one has a window at each multiple of the hop that fits, and one more that ends with
it. What is kept of a window is what the networks see and hear, never its pictures at full size, so that memory depends
neither on the length nor on the resolution.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from utils.base.errors import InputError
from utils.llp.classes import FPS, T
from utils.media.files import best_streams, decode, next_frame, open_media, time_of
from utils.media.frames import FrameClock, choose_frames, evenly_spaced, to_rgb

SINGLE = 10.5  # seconds; a longer video has several windows
FRAMES = FPS * T  # of a window
TRUNCATED = 1.0  # seconds that may be missing at the end, as in utils/media.py
NO_MEDIA = ("tty",)  # ffmpeg would draw a text file as a picture


class Survey(NamedTuple):
    """What a media file holds, found without decoding it.

    Attributes:
        picture_end, sound_end: when each track ends, in seconds; None where there is none.
        frames: at 8 a second, of a video of one window; None for others, and where there is no picture.
        notes: what is wrong with it, a line each.
    """

    picture_end: float | None
    sound_end: float | None
    frames: int | None
    notes: list[str]

    @property
    def seconds(self) -> float:
        """Length of the longer track."""
        return max(end for end in (self.picture_end, self.sound_end) if end is not None)

    @property
    def is_single(self) -> bool:
        """Whether the video is one window."""
        return self.seconds <= SINGLE


def survey(path: Path) -> Survey:
    """Look at every packet of a media file.

    Raises:
        InputError: it is missing or no media file, or has neither picture nor sound.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected a video")
    with open_media(path) as container:
        streams = {kind: stream for kind, stream in best_streams(container).items() if stream is not None}
        if not streams or container.format.name in NO_MEDIA:
            raise InputError(f"{path}: has neither a picture nor sound that can be decoded")
        ends, times, damage = _packet_times(container, streams)
        notes = [damage] if damage else []
        for kind, stream in streams.items():
            what = "picture" if kind == "video" else "sound"
            stated = None if stream.duration is None else float(stream.duration * stream.time_base)
            if ends[kind] is None:
                notes.append(f"its {what} track is empty")
            elif stated is not None and ends[kind] < stated - TRUNCATED:
                notes.append(f"truncated: its {what} ends at {ends[kind]:.1f} s of {stated:.1f} s")
        last = max((end for end in ends.values() if end is not None), default=None)
        if last is None:
            raise InputError(f"{path}: truncated or damaged, nothing of it can be decoded")
        stated = None if container.duration is None else container.duration / av.time_base
        if not notes and stated is not None and last < stated - TRUNCATED:
            notes.append(f"truncated: it ends at {last:.1f} s of {stated:.1f} s")
        rate = streams["video"].guessed_rate if "video" in streams else None
    found = Survey(ends.get("video"), ends.get("audio"), None, notes)
    if found.is_single and found.picture_end is not None:
        frames = len(choose_frames(times, rate)) if times else sum(1 for _ in pictures(path))
        found = found._replace(frames=frames)
    return found


def _packet_times(container, streams) -> tuple[dict[str, float | None], list[Fraction], str]:
    """When each track ends; the times of the frames of a short video, where it states them; what went wrong."""
    ends: dict[str, float | None] = dict.fromkeys(streams)
    times: list[Fraction] | None = []
    problem = ""
    try:
        for packet in container.demux(list(streams.values())):
            if not packet.size or packet.is_discard:
                continue
            kind = packet.stream.type
            if packet.pts is None:
                times = None if kind == "video" else times
                if packet.dts is None:
                    continue
            pts = packet.dts if packet.pts is None else packet.pts
            begin = pts * packet.time_base - Fraction(container.start_time or 0, av.time_base)
            rate = getattr(packet.stream, "guessed_rate", None) or 25
            length = packet.duration * packet.time_base if packet.duration else (1 / rate if kind == "video" else 0)
            ends[kind] = max(ends[kind] or 0.0, float(begin + length))
            if kind == "video" and times is not None and begin <= SINGLE:
                times.append(begin)
    except av.error.FFmpegError as error:
        last = max((end for end in ends.values() if end is not None), default=0.0)
        problem = f"damaged: it cannot be read beyond {last:.1f} s ({error.strerror or error})"
    # AVI numbers frames in the order in which they are stored, not shown
    if container.format.name == "avi" and "video" in streams and streams["video"].codec_context.has_b_frames:
        times = None
    return ends, sorted(times or []), problem


# ------------------------------------------------------------------------------------------------------------- pictures
def pictures(path: Path) -> Iterator[tuple[int, "av.VideoFrame"]]:
    """The frames of a video at 8 a second, as `ffmpeg -r 8` chooses them: position, decoded frame.

    What cannot be decoded is passed over; InputError where nothing can.
    """
    with open_media(path) as container:
        stream = best_streams(container)["video"]
        stream.thread_type = "AUTO"
        rate = stream.guessed_rate
        clock, position, before, time = FrameClock(rate), 0, None, None
        frames = decode(container, stream)
        while (frame := next_frame(frames, started=before is not None)) is not None:
            step = 1 / (rate or Fraction(25))
            own = None if frame.pts is None else time_of(container, frame)
            follows = Fraction(0) if time is None else time + step
            time = follows if own is None else (own if time is None else max(time, own))
            earlier, copies = clock.place(time)
            for shown in [before or frame] * earlier + [frame] * copies:
                yield position, shown
                position += 1
            before = frame
        if before is None:
            raise InputError(f"{path}: none of its frames can be decoded")
        for _ in range(clock.rest()):
            yield position, before
            position += 1


class Look(NamedTuple):
    """What one network sees: how many of a window's frames, evenly spaced, and each frame as it goes in."""

    count: int
    prepare: Callable[[np.ndarray], object]


class PictureReader:
    """Windows of a video, one after another, as the networks see them.

    Args:
        found: the survey of the file.
        looks: by network.
        starts: of all windows, ascending whole seconds.
    """

    def __init__(self, path: Path, found: Survey, looks: Mapping[str, Look], starts: list[int]):
        self.looks, self.starts = looks, set(starts)
        self.frames = found.frames if found.is_single else FRAMES  # in a window
        self.chosen = {name: evenly_spaced(self.frames, look.count) for name, look in looks.items()}
        self.sets = {name: set(indices.tolist()) for name, indices in self.chosen.items()}
        self.kept: dict[int, dict[str, object]] = {}  # position -> what the networks see of that frame
        self.stream = pictures(path)
        self.last = None  # frame that was decoded last
        self.last_seen: dict[str, object] = {}
        self.position = -1

    def read(self, start: int) -> dict[str, list]:
        """The window that begins at `start` seconds: by network, what it sees, `count` of them.

        Where the video has ended, its last frame is seen for the rest of the window.
        """
        first = start * FPS
        for position in [p for p in self.kept if p < first]:
            del self.kept[position]
        while self.position < first + self.frames - 1 and (item := next(self.stream, None)) is not None:
            self._keep(*item)
        return {name: [self._seen(first + index, name) for index in indices] for name, indices in self.chosen.items()}

    def _keep(self, position: int, frame: "av.VideoFrame") -> None:
        """Prepare a frame for the networks that look at its position."""
        if frame is not self.last:
            self.last, self.last_seen = frame, {}
        self.position = position
        wanted = [name for name in self.looks if self._is_wanted(position, name)]
        if wanted:
            self.kept[position] = self._prepare(wanted)

    def _is_wanted(self, position: int, name: str) -> bool:
        """Whether a network looks at this position of any window."""
        latest = position // FPS
        return any(
            start in self.starts and position - start * FPS in self.sets[name]
            for start in range(max(0, latest - self.frames // FPS), latest + 1)
        )

    def _prepare(self, names: list[str]) -> dict[str, object]:
        """What networks see of the last frame."""
        missing = [name for name in names if name not in self.last_seen]
        if missing:
            image = to_rgb(self.last)
            self.last_seen |= {name: self.looks[name].prepare(image) for name in missing}
        return {name: self.last_seen[name] for name in names}

    def _seen(self, position: int, name: str):
        kept = self.kept.get(position, {})
        return kept[name] if name in kept else self._prepare([name])[name]


# -------------------------------------------------------------------------------------------------------------- windows
def segment_count(seconds: float) -> int:
    """Segments of a video: ten of a short one, else its seconds, rounded: a rest of under half a second is left out."""
    return T if seconds <= SINGLE else math.floor(seconds + 0.5)


def window_starts(seconds: float, hop: int) -> list[int]:
    """When the windows of a video begin, in whole seconds: the multiples of `hop` that fit, and the last that fits."""
    last = segment_count(seconds) - T
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


def segment_edges(seconds: float) -> np.ndarray:
    """Where the segments of a video begin and end, (n + 1,) seconds.

    Whole seconds and the end of the video; those of a video of under 9.5 s are its tenths, as in the features.
    """
    n = segment_count(seconds)
    if seconds < T - 0.5:
        return np.linspace(0, seconds, n + 1)
    edges = np.arange(n + 1, dtype=float)
    edges[-1] = min(n, seconds)
    return edges
