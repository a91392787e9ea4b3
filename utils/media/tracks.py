"""The tracks of a media file: when each is there, found from its packets without decoding.

Times are seconds from the start of the file.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.stream import Stream

from utils.media.clock import start_of
from utils.media.truncation import track_problem

TOLERANCE = 0.25  # seconds
HOLE = 1.0  # seconds without a frame that count as a gap
CONSTANT = 0.95  # of the steps between frames are alike at a constant rate

Span = tuple[float, float]
Packets = list[tuple[int | None, int]]  # when each is presented, and for how long, in units of the stream


class Track(NamedTuple):
    """A track of a file.

    Attributes:
        index: of the stream in the file.
        spans: when it is there, ascending.
        problem: why it is not complete, '' if it is.
        times: of a picture, when its frames are shown, ascending; empty if the file does not state it.
        rate: of a picture, frames a second as the file states, None if it does not.
        held: of a picture at a varying rate, for how long its last frame stays until the sound ends, in seconds.
    """

    index: int
    spans: tuple[Span, ...]
    problem: str = ""
    times: tuple[Fraction, ...] = ()
    rate: Fraction | None = None
    held: float = 0.0

    @property
    def end(self) -> float:
        """Seconds."""
        return self.spans[-1][1]


def track_of(container: InputContainer, stream: Stream, shown: Packets, sound: Track | None) -> Track | None:
    """A track, given the packets of its stream; None if there are none. sound: of a picture."""
    if not shown:
        return None
    is_video, unit, start = stream.type == "video", stream.time_base, start_of(container)
    rate = stream.guessed_rate if is_video else None
    usual = float(1 / (rate or Fraction(25)))
    known = sorted((time, duration) for time, duration in shown if time is not None)
    if not known:  # a raw stream: frames follow one another
        seconds = sum(float(duration * unit) or usual for _, duration in shown)
        return Track(stream.index, ((0.0, seconds),), rate=rate)
    begins, lasts = np.array(known, float).T * float(unit)
    begins -= float(start)
    is_steady = True
    if is_video:
        spans, is_steady = _picture_spans(begins, lasts[-1] or usual, usual, sound.spans if sound else ())
    else:
        spans = _sound_spans(begins, begins + lasts)
    problem = track_problem(container, stream, spans[0][0], spans[-1][1])
    states_times = is_video and len(known) == len(shown) and not _is_in_storage_order(container, stream)
    times = tuple(time * unit - start for time, _ in known) if states_times else ()
    track = Track(stream.index, spans, problem, times, rate)
    return track if is_steady or not sound or problem else _held_until(track, sound.end)


def _held_until(picture: Track, end: float) -> Track:
    """A picture whose last frame is shown until then, in seconds, if that is later."""
    begin, own_end = picture.spans[-1]
    held = max(end - own_end, 0.0)
    return picture._replace(spans=(*picture.spans[:-1], (begin, own_end + held)), held=held)


def _sound_spans(begins: np.ndarray, ends: np.ndarray) -> tuple[Span, ...]:
    """When there is sound, given when its n packets begin, ascending, and end: (n,) seconds each."""
    ends = np.maximum.accumulate(ends)
    gaps = np.flatnonzero(begins[1:] - ends[:-1] > TOLERANCE)
    return _spans(begins[[0, *(gaps + 1)]], ends[[*gaps, -1]])


def _picture_spans(
    times: np.ndarray, last: float, stated: float, sound: Sequence[Span]
) -> tuple[tuple[Span, ...], bool]:
    """When there is a picture, and whether its frames have a constant rate.

    Frames of a constant rate have gaps where there is none for a second. At a varying rate, as that of screen
    recordings, a frame is shown until the next one, unless the sound has a gap, too; what files say of the duration of
    frames is of no use there.

    Args:
        times: when its n frames are shown, ascending, (n,) seconds.
        last: how long the last one lasts.
        stated: how long one lasts at the rate that the file states.
    """
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else last
    holes = np.flatnonzero(steps > usual + HOLE)
    is_constant = np.mean(np.abs(steps - usual) <= usual / 2) >= CONSTANT if len(steps) else False
    is_constant &= usual < HOLE / 2 or usual <= stated * 1.5  # a still may change each second, as a clock does
    if not is_constant or steps[holes].sum() > (times[-1] - times[0]) / 2:
        is_constant = False
        silent = [not any(begin < times[i + 1] and end > times[i] + HOLE for begin, end in sound) for i in holes]
        holes = holes[np.array(silent, bool) & bool(sound)]
    return _spans(times[[0, *(holes + 1)]], [*(times[holes] + usual), times[-1] + last]), bool(is_constant)


def _spans(begins: Iterable[float], ends: Iterable[float]) -> tuple[Span, ...]:
    return tuple((float(begin), float(end)) for begin, end in zip(begins, ends, strict=True))


def _is_in_storage_order(container: InputContainer, stream: Stream) -> bool:
    """Whether the times of packets are of no use: AVI numbers frames in the order in which they are stored."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
