"""The time line of a media file, on which its picture and its sound lie: what is where, found without decoding.

Times are seconds from the start of the file. A track may begin late, end early, or have gaps. What differs by less than
TOLERANCE is left as it is, so that ordinary files give the published numbers.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream

from utils.base.errors import InputError
from utils.media.clock import packets, start_of
from utils.media.files import NO_MEDIA, choose_tracks, is_cover, open_media
from utils.media.truncation import file_problem, track_problem

TOLERANCE = 0.25  # seconds
HOLE = 1.0  # seconds without a frame that count as a gap
CONSTANT = 0.95  # of the steps between frames are alike at a constant rate
SINGLE = 10.5  # seconds of a file that is one window; longer ones have several
LONGEST = 24 * 3600  # seconds of a file
CLIP_SLACK = 0.5  # seconds by which a clip may be longer than its name says

Span = tuple[float, float]


class Track(NamedTuple):
    """A track of a file.

    Attributes:
        index: of the stream in the file.
        spans: when it is there, ascending.
        problem: why it is not complete, '' if it is.
        times: of a picture, when its frames are shown, ascending; empty if the file does not state it.
        rate: of a picture, frames a second as the file states, None if it does not.
    """

    index: int
    spans: tuple[Span, ...]
    problem: str = ""
    times: tuple[Fraction, ...] = ()
    rate: Fraction | None = None

    @property
    def end(self) -> float:
        """Seconds."""
        return self.spans[-1][1]


class Survey(NamedTuple):
    """What a media file holds.

    Attributes:
        path: of the file.
        picture, sound: its tracks, None if it has none, or an empty one.
        notes: what is wrong with it, a line each.
        has_cover: whether it has a cover picture.
        frames: of a video of one window, at 8 a second; None if they are not counted.
    """

    path: Path
    picture: Track | None
    sound: Track | None
    notes: tuple[str, ...] = ()
    has_cover: bool = False
    frames: int | None = None

    @property
    def video_end(self) -> float | None:
        """When the picture ends, in seconds; None if there is none."""
        return self.picture and self.picture.end

    @property
    def audio_end(self) -> float | None:
        """When the sound ends, in seconds; None if there is none."""
        return self.sound and self.sound.end

    @property
    def is_single(self) -> bool:
        """Whether the file is one window."""
        return self.seconds <= SINGLE

    @property
    def seconds(self) -> float:
        """Length of the longer track."""
        return max(track.end for track in (self.picture, self.sound) if track)

    def require_picture(self) -> Track:
        """The picture. Raises InputError if there is none, or it is not complete."""
        if self.picture is None and self.has_cover:
            raise InputError(f"{self.path}: has no video track (a cover picture only)")
        return self._require(self.picture, "has no picture")

    def require_sound(self) -> Track:
        """The sound. Raises InputError if there is none, or it is not complete."""
        return self._require(self.sound, "has no audio track")

    def _require(self, track: Track | None, missing: str) -> Track:
        if track is None:
            raise InputError(f"{self.path}: {missing}")
        if track.problem:
            raise InputError(f"{self.path}: {track.problem}")
        return track


def find_tracks(path: Path) -> Survey:
    """Look at every packet of a media file.

    Raises InputError if it is missing or no media file, has neither picture nor sound, or is longer than a day.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected a video")
    with open_media(path) as container:
        chosen = {} if container.format.name in NO_MEDIA else choose_tracks(container)
        has_cover = any(stream.type == "video" and is_cover(stream) for stream in container.streams)
        if not chosen:
            raise InputError(f"{path}: has neither a picture nor sound that can be decoded")
        collected, end, problem = _collect(container)
        tracks: dict[str, Track | None] = {}
        for kind, stream in sorted(chosen.items()):  # first the sound
            tracks[kind] = _track(container, stream, collected.get(stream.index, []), tracks.get("audio"))
        ends = [track.end for track in tracks.values() if track]
        if not ends:
            raise InputError(f"{path}: truncated or damaged, nothing of it can be decoded")
        if max(ends) > LONGEST:
            raise InputError(f"{path}: its time stamps reach {max(ends) / 3600:.0f} hours, expected at most 24")
        problem = problem or file_problem(container, end)
    if problem:
        tracks = {kind: track and track._replace(problem=track.problem or problem) for kind, track in tracks.items()}
    names = {"video": "picture", "audio": "sound"}
    notes = [f"its {names[kind]} track is empty" for kind, track in tracks.items() if track is None]
    notes += dict.fromkeys(track.problem for track in tracks.values() if track and track.problem)
    return Survey(path, tracks.get("video"), tracks.get("audio"), tuple(notes), has_cover)


Packets = list[tuple[int | None, int]]  # when each is presented, and for how long, in units of the stream


def _collect(container: InputContainer) -> tuple[dict[int, Packets], float | None, str]:
    """The packets of each stream; when the last one ends; and why the file cannot be read to its end."""
    collected: dict[int, Packets] = {}
    problem = None
    try:
        for packet in packets(container):
            if packet.size and not packet.is_discard:
                time = packet.dts if packet.pts is None else packet.pts
                collected.setdefault(packet.stream_index, []).append((time, packet.duration or 0))
    except (av.error.FFmpegError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    ends = []
    for index, shown in collected.items():
        last = max((time + duration for time, duration in shown if time is not None), default=None)
        if last is not None:
            ends.append(float(last * container.streams[index].time_base - start_of(container)))
    end = max(ends, default=None)
    return collected, end, f"damaged: it cannot be read beyond {end or 0:.1f} s ({problem})" if problem else ""


def _track(container: InputContainer, stream: Stream, shown: Packets, sound: Track | None) -> Track | None:
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
    if is_video:
        spans = _picture_spans(begins, lasts[-1] or usual, sound.spans if sound else ())
    else:
        spans = _sound_spans(begins, begins + lasts)
    problem = track_problem(container, stream, spans[0][0], spans[-1][1])
    states_times = is_video and len(known) == len(shown) and not _is_in_storage_order(container, stream)
    times = tuple(time * unit - start for time, _ in known) if states_times else ()
    return Track(stream.index, spans, problem, times, rate)


def _sound_spans(begins: np.ndarray, ends: np.ndarray) -> tuple[Span, ...]:
    """When there is sound, given when its n packets begin, ascending, and end: (n,) seconds each."""
    ends = np.maximum.accumulate(ends)
    gaps = np.flatnonzero(begins[1:] - ends[:-1] > TOLERANCE)
    return _spans(begins[[0, *(gaps + 1)]], ends[[*gaps, -1]])


def _picture_spans(times: np.ndarray, last: float, sound: Sequence[Span]) -> tuple[Span, ...]:
    """When there is a picture, given when its n frames are shown, ascending, (n,) seconds, and how long the last lasts.

    Frames of a constant rate have gaps where there is none for a second. At a varying rate, as that of screen
    recordings, a frame is shown until the next one, unless the sound has a gap, too; what files say of the duration of
    frames is of no use there.
    """
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else last
    holes = np.flatnonzero(steps > usual + HOLE)
    is_constant = np.mean(np.abs(steps - usual) <= usual / 2) >= CONSTANT if len(steps) else False
    if not is_constant or steps[holes].sum() > (times[-1] - times[0]) / 2:
        silent = [not any(begin < times[i + 1] and end > times[i] + HOLE for begin, end in sound) for i in holes]
        holes = holes[np.array(silent, bool) & bool(sound)]
    return _spans(times[[0, *(holes + 1)]], [*(times[holes] + usual), times[-1] + last])


def _spans(begins: Iterable[float], ends: Iterable[float]) -> tuple[Span, ...]:
    return tuple((float(begin), float(end)) for begin, end in zip(begins, ends, strict=True))


def _is_in_storage_order(container: InputContainer, stream: Stream) -> bool:
    """Whether the times of packets are of no use: AVI numbers frames in the order in which they are stored."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def clip_span(path: Path, seconds: float, times: Span | None) -> Span:
    """The part of a file that is meant: all of it, or the `times` that its name states if it is longer than they say.

    Raises InputError if it is longer, and does not hold them.
    """
    if times is None or seconds <= times[1] - times[0] + CLIP_SLACK:
        return 0.0, seconds
    if seconds < times[1] - CLIP_SLACK:
        expected = f"expected the {times[1] - times[0]:g} s from {times[0]:g} to {times[1]:g} s that its name states"
        raise InputError(f"{path}: lasts {seconds:.1f} s; {expected}, or a longer video that holds them")
    return times[0], min(times[1], seconds)


def presence(spans: Iterable[Span], edges: np.ndarray, lost: Iterable[Span] = ()) -> np.ndarray:
    """In which segments a track is there: (n + 1,) edges in seconds -> (n,) bool.

    It is there for over TOLERANCE of the segment, or over half of a shorter one.

    Args:
        lost: when the track is damaged.
    """
    covered = _overlap(spans, edges) - _overlap(lost, edges)
    return covered > np.minimum(TOLERANCE, np.diff(edges) / 2)


def _overlap(spans: Iterable[Span], edges: np.ndarray) -> np.ndarray:
    """Seconds of each segment that are in one of some spans: (n + 1,) edges -> (n,)."""
    parts = [np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin), 0, None) for begin, end in spans]
    return np.sum(parts, axis=0) if parts else np.zeros(len(edges) - 1)
