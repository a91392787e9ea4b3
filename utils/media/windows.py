"""A video of any length as windows of ten seconds, decoded once from start to end (the rules: docs/PARSING.md).

A video of up to SINGLE seconds is one window; all its frames and sound are used exactly as the feature commands use
those of an LLP clip. A longer one has a window at each multiple of the hop that fits, and one more that ends with
it. Only the networks' inputs of a window are kept, never frames at full size, so that memory depends neither on the
length nor on the resolution. Axes: n samples, or segments of a video.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from utils.llp.classes import FPS, T
from utils.media import audio
from utils.media.frames import Shown, count_frames, evenly_spaced, shown_frames
from utils.media.isolated import isolated
from utils.media.timeline import SINGLE, Span, Survey, find_tracks

FRAMES = FPS * T  # of a window


def _survey(path: Path) -> Iterator[Survey]:
    """The survey of a file: the frames of a video of one window are counted, their times are left out."""
    found = find_tracks(path)
    if found.picture:
        frames = count_frames(found) if found.is_single else None
        found = found._replace(picture=found.picture._replace(times=()), frames=frames)
    yield found


def survey(path: Path) -> Survey:
    """What a media file holds.

    Raises InputError if it is missing or no media file, or has neither picture nor sound.
    """
    [found] = isolated(_survey, path)
    return found


class FrameSampler(NamedTuple):
    """What one network takes of a window: how many of its frames, evenly spaced, and how each is preprocessed."""

    count: int
    prepare: Callable[[np.ndarray], object]


def _frames_at(path: Path, positions: Sequence[int]) -> Iterator[Shown]:
    """The frames of a video at some positions of its output at 8 a second; an image that is shown again is None."""
    last = None
    for shown in shown_frames(find_tracks(path), positions):
        yield shown._replace(image=None) if shown.image is last else shown
        last = shown.image


class FrameWindows:
    """The frames of a video's windows, one window after another, as the networks take them.

    Args:
        found: the survey of the file.
        samplers: by network.
        starts: of all windows, ascending whole seconds.
    """

    def __init__(self, path: Path, found: Survey, samplers: Mapping[str, FrameSampler], starts: Sequence[int]):
        self.samplers = samplers
        frames = found.frames if found.is_single else FRAMES
        self.chosen = {name: evenly_spaced(frames, sampler.count) for name, sampler in samplers.items()}
        self.wanted = {name: {s * FPS + int(i) for s in starts for i in chosen} for name, chosen in self.chosen.items()}
        self.stream = isolated(_frames_at, path, sorted(set().union(*self.wanted.values())))
        self.kept: dict[int, dict[str, object]] = {}  # position -> prepared frame, by network
        self.position, self.image = -1, None  # of the frame that was read last
        self.prepared: dict[str, object] = {}  # that image, by network
        self.is_exact = True  # whether that frame could be decoded
        self.lost: list[Span] = []  # seconds of the frames that could not

    def read(self, start: int) -> dict[str, list]:
        """The window that begins at `start` seconds: by network, `count` prepared frames.

        If the video has ended, its last frame stands for the rest of the window.
        """
        first = start * FPS
        self.kept = {position: kept for position, kept in self.kept.items() if position >= first}
        last = first + max(int(chosen[-1]) for chosen in self.chosen.values())
        while self.position < last:
            self._keep(next(self.stream))
        return {name: [self.kept[first + int(i)][name] for i in chosen] for name, chosen in self.chosen.items()}

    def _keep(self, shown: Shown) -> None:
        """Prepare the next frame for the networks that take it."""
        if shown.image is not None:
            self.image, self.prepared = shown.image, {}
        names = [name for name, positions in self.wanted.items() if shown.position in positions]
        for name in names:
            if name not in self.prepared:
                self.prepared[name] = self.samplers[name].prepare(self.image)
        self.kept[shown.position] = {name: self.prepared[name] for name in names}
        if not self.is_exact:
            self.lost.append((self.position / FPS, shown.position / FPS))
        self.position, self.is_exact = shown.position, shown.is_exact


def _sound_at(path: Path, sample_rate: int) -> Iterator[tuple[int, np.ndarray, Span]]:
    """The sound of a file, piece by piece: first sample at `sample_rate`, (n,) float32, the seconds decoded for it."""
    resampler, first = None, 0
    for piece in audio.place(audio.decode_audio(find_tracks(path))):
        if piece.is_first:
            if resampler:
                yield first, resampler.resample_chunk(np.zeros(0, np.float32), last=True), (piece.begin, piece.begin)
            same = piece.rate == sample_rate
            resampler = None if same else soxr.ResampleStream(piece.rate, sample_rate, 1, dtype="float32", quality="HQ")
            first = round(piece.begin * sample_rate)
        samples = resampler.resample_chunk(piece.samples) if resampler else piece.samples
        yield first, samples, (piece.begin, piece.end)
        first += len(samples)
    if resampler:
        yield first, resampler.resample_chunk(np.zeros(0, np.float32), last=True), (piece.end, piece.end)


def _all_sound(path: Path, sample_rate: int) -> Iterator[tuple[np.ndarray, list[Span]]]:
    """All sound of a short file, (n,) float32, and when there is sound."""
    found = find_tracks(path)
    yield audio.assemble(audio.place(audio.decode_audio(found)), found.seconds, sample_rate)


class AudioWindows:
    """The sound of a file's windows, one window after another, resampled to `sample_rate` in Hz as it is decoded.

    Attributes:
        spans: when there is sound, in seconds, as far as it has been read.
    """

    def __init__(self, path: Path, found: Survey, sample_rate: int):
        self.path, self.is_single, self.sample_rate = path, found.is_single, sample_rate
        self.stream = iter(()) if found.is_single else isolated(_sound_at, path, sample_rate)
        self.spans: list[Span] = []
        self.held: list[tuple[int, np.ndarray]] = []  # pieces of sound from the current window on, by first sample

    def read(self, start: int) -> np.ndarray:
        """The window that begins at `start` seconds, (n,) float32: all sound of a short file, else ten seconds.

        Where there is no sound, the window is silent.
        """
        if self.is_single:
            [(samples, self.spans)] = isolated(_all_sound, self.path, self.sample_rate)
            return samples
        begin, end = start * self.sample_rate, (start + T) * self.sample_rate
        window = np.zeros(end - begin, np.float32)
        self.held = [(first, samples) for first, samples in self.held if first + len(samples) > begin]
        while not self.held or self.held[-1][0] + len(self.held[-1][1]) < end:
            piece = next(self.stream, None)
            if piece is None:
                break
            first, samples, span = piece
            self._add_span(span)
            if first + len(samples) > begin:
                self.held.append((first, samples))
        for first, samples in self.held:
            kept = samples[max(begin - first, 0) : max(end - first, 0)]
            at = max(first - begin, 0)
            window[at : at + len(kept)] = kept
        return window

    def _add_span(self, span: Span) -> None:
        """Note that there is sound."""
        if self.spans and span[0] - self.spans[-1][1] < audio.TOLERANCE:
            self.spans[-1] = (self.spans[-1][0], max(span[1], self.spans[-1][1]))
        else:
            self.spans.append(span)


def has_media(found: Survey, start: int) -> bool:
    """Whether there is any picture or sound in the window that begins at `start` seconds."""
    spans = [span for track in (found.picture, found.sound) if track for span in track.spans]
    return found.is_single or any(begin < start + T and end > start for begin, end in spans)


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
