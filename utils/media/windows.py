"""A video of any length as windows of ten seconds, decoded once from start to end (the rules: docs/PARSING.md).

A video of up to SINGLE seconds is one window; all its frames and sound are used exactly as the feature commands use
those of an LLP clip. A longer one has a window at each multiple of the hop that fits, and one more that ends with
it. Only the networks' inputs of a window are kept, never frames at full size, so that memory depends neither on the
length nor on the resolution. Axes: n samples, or segments of a video.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soxr

from utils.base.errors import InputError
from utils.llp.classes import FPS, T
from utils.media.audio import Block, decode_audio, fill_gaps, resample
from utils.media.files import TRUNCATED, best_streams, is_in_storage_order, open_media, time_of
from utils.media.frames import at_constant_rate, choose_frames, decode_frames, evenly_spaced, to_rgb

SINGLE = 10.5  # seconds; a longer video has several windows
FRAMES = FPS * T  # of a window
NO_MEDIA = ("tty",)  # ffmpeg would draw a text file as a picture


class Survey(NamedTuple):
    """What a media file holds, found without decoding it.

    Attributes:
        video_end, audio_end: when each track ends, in seconds; None if it is missing.
        frames: at 8 a second, of a video of one window; None for longer ones, and if there is no picture.
        notes: what is wrong with it, a line each.
        frame_rate: that the file states, if any.
    """

    video_end: float | None
    audio_end: float | None
    frames: int | None
    notes: list[str]
    frame_rate: Fraction | None = None

    @property
    def seconds(self) -> float:
        """Length of the longer track."""
        return max(end for end in (self.video_end, self.audio_end) if end is not None)

    @property
    def is_single(self) -> bool:
        """Whether the video is one window."""
        return self.seconds <= SINGLE


def survey(path: Path) -> Survey:
    """Look at every packet of a media file.

    Raises InputError if it is missing or no media file, or has neither picture nor sound.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected a video")
    with open_media(path) as container:
        streams = best_streams(container)
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
    found = Survey(ends.get("video"), ends.get("audio"), None, notes, rate)
    if found.video_end is None or not found.is_single:
        return found
    frames = len(choose_frames(times, rate)) if times else sum(1 for _ in constant_rate_frames(path, rate))
    return found._replace(frames=frames)


def _packet_times(container, streams) -> tuple[dict[str, float | None], list[Fraction], str]:
    """When each track ends; the times of a short video's frames, if the file states them; what is damaged."""
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
                packet.pts = packet.dts
            begin = time_of(container, packet)
            rate = getattr(packet.stream, "guessed_rate", None) or 25
            length = packet.duration * packet.time_base if packet.duration else (1 / rate if kind == "video" else 0)
            ends[kind] = max(ends[kind] or 0.0, float(begin + length))
            if kind == "video" and times is not None and begin <= SINGLE:
                times.append(begin)
    except av.error.FFmpegError as error:
        last = max((end for end in ends.values() if end is not None), default=0.0)
        problem = f"damaged: it cannot be read beyond {last:.1f} s ({error.strerror or error})"
    if "video" in streams and is_in_storage_order(container, streams["video"]):
        times = None
    return ends, sorted(times or []), problem


def constant_rate_frames(path: Path, rate: Fraction | None) -> Iterator["av.VideoFrame"]:
    """The frames of a video at 8 a second, as `ffmpeg -r 8` chooses them. Raises InputError if none can be decoded."""

    def timed() -> Iterator[tuple[Fraction, "av.VideoFrame"]]:
        time = None
        for stated, frame in decode_frames(path, strict=False):
            follows = Fraction(0) if time is None else time + 1 / (rate or Fraction(25))
            time = follows if stated is None else stated if time is None else max(time, stated)
            yield time, frame
        if time is None:
            raise InputError(f"{path}: none of its frames can be decoded")

    return at_constant_rate(timed(), rate)


class FrameSampler(NamedTuple):
    """What one network takes of a window: how many of its frames, evenly spaced, and how each is preprocessed."""

    count: int
    prepare: Callable[[np.ndarray], object]


class FrameWindows:
    """The frames of a video's windows, one window after another, as the networks take them.

    Args:
        found: the survey of the file.
        samplers: by network.
        starts: of all windows, ascending whole seconds.
    """

    def __init__(self, path: Path, found: Survey, samplers: Mapping[str, FrameSampler], starts: list[int]):
        self.samplers = samplers
        self.frames = found.frames if found.is_single else FRAMES  # in a window
        self.chosen = {name: evenly_spaced(self.frames, sampler.count) for name, sampler in samplers.items()}
        self.wanted = {name: {s * FPS + i for s in starts for i in chosen} for name, chosen in self.chosen.items()}
        self.stream = constant_rate_frames(path, found.frame_rate)
        self.position, self.last = -1, None  # of the frame that was decoded last; the frame
        self.prepared: dict[str, object] = {}  # that frame, by network
        self.kept: dict[int, dict[str, object]] = {}  # position -> prepared frame, by network

    def read(self, start: int) -> dict[str, list]:
        """The window that begins at `start` seconds: by network, `count` prepared frames.

        If the video has ended, its last frame stands for the rest of the window.
        """
        first = start * FPS
        self.kept = {position: kept for position, kept in self.kept.items() if position >= first}
        while self.position < first + self.frames - 1:
            self._keep(next(self.stream, self.last))
        return {name: [self.kept[first + i][name] for i in chosen] for name, chosen in self.chosen.items()}

    def _keep(self, frame: "av.VideoFrame") -> None:
        """Prepare the next frame for the networks that take it."""
        self.position += 1
        if frame is not self.last:
            self.last, self.prepared = frame, {}
        names = [name for name, positions in self.wanted.items() if self.position in positions]
        if missing := [name for name in names if name not in self.prepared]:
            image = to_rgb(frame)
            self.prepared |= {name: self.samplers[name].prepare(image) for name in missing}
        if names:
            self.kept[self.position] = {name: self.prepared[name] for name in names}


class AudioWindows:
    """The sound of a file's windows, one window after another, resampled to `sample_rate` in Hz as it is decoded."""

    def __init__(self, path: Path, found: Survey, sample_rate: int):
        self.path, self.sample_rate, self.is_single = path, sample_rate, found.is_single
        self.stream = self._resampled(fill_gaps(decode_audio(path, strict=False), found.audio_end))
        self.first, self.samples = 0, np.zeros(0, np.float32)  # position of the first sample that is kept; the samples

    def _resampled(self, blocks: Iterator[Block]) -> Iterator[np.ndarray]:
        resampler = None
        for samples, rate, _ in blocks:
            if resampler is None and rate != self.sample_rate:
                resampler = soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32", quality="HQ")
            yield resampler.resample_chunk(samples) if resampler else samples
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def read(self, start: int) -> np.ndarray:
        """The window that begins at `start` seconds, (n,) float32: all sound of a short file, else ten seconds.

        If the sound has ended, the rest of the window is silent.
        """
        if self.is_single:
            return resample(list(decode_audio(self.path, strict=False)), self.sample_rate)
        first, length = start * self.sample_rate, T * self.sample_rate
        pieces, end = [self.samples], self.first + len(self.samples)
        while end < first + length and (piece := next(self.stream, None)) is not None:
            pieces.append(piece)
            end += len(piece)
            if end <= first:  # between two windows
                self.first, pieces = end, []
        held = np.concatenate([*pieces, np.zeros(0, np.float32)])
        drop = min(max(first - self.first, 0), len(held))
        self.samples, self.first = held[drop:], self.first + drop
        window = self.samples[:length]
        return np.pad(window, (0, length - len(window)))


def segment_count(seconds: float) -> int:
    """Segments of a video: ten of a short one, else its seconds, rounded: a rest of under half a second is left out."""
    return T if seconds <= SINGLE else math.floor(seconds + 0.5)


def window_starts(seconds: float, hop: int) -> list[int]:
    """When the windows of a video begin, in whole seconds: the multiples of `hop` that fit, and the last that fits."""
    last = segment_count(seconds) - T
    return sorted({*range(0, last + 1, hop), last})


def segment_edges(seconds: float) -> np.ndarray:
    """Where the segments of a video begin and end, (n + 1,) seconds.

    Whole seconds and the end of the video; those of a video of under 9.5 s are its tenths, as in the features.
    """
    n = segment_count(seconds)
    if seconds < T - 0.5:
        return np.linspace(0, seconds, n + 1)
    return np.append(np.arange(n), min(n, seconds)).astype(float)
