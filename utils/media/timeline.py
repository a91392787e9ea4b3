"""The time line of a media file, on which its picture and its sound lie: what is where, found from its packets.

Times are seconds from the start of the file. A track may begin late, end early, or have gaps. What differs by less than
TOLERANCE is left as it is, so that ordinary files give the published numbers.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer

from utils.base.errors import InputError
from utils.media.clock import Clock, has_clock, packets, start_of
from utils.media.decoding import decode
from utils.media.files import NO_MEDIA, choose_tracks, is_cover, open_media
from utils.media.tracks import TOLERANCE, Packets, Span, Track, track_of
from utils.media.truncation import file_problem

SINGLE = 10.5  # seconds of a file that is one window; longer ones have several
LONGEST = 24 * 3600  # seconds of a file
CLIP_SLACK = 0.5  # seconds by which a clip may be longer than its name says


class Survey(NamedTuple):
    """What a media file holds.

    Attributes:
        path: of the file.
        picture, sound: its tracks, None if it has none, or an empty one.
        notes: what is wrong with it, a line each.
        has_cover: whether it has a cover picture.
        frames: of a video of one window, at 8 a second; None if they are not counted.
        begins_again: whether its clock begins again or jumps: times of the file are not those of its packets.
    """

    path: Path
    picture: Track | None
    sound: Track | None
    notes: tuple[str, ...] = ()
    has_cover: bool = False
    frames: int | None = None
    begins_again: bool = False

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

    Raises InputError if it is missing, no media file or a single picture, has neither picture nor sound, or is longer
    than a day.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected a video")
    with open_media(path) as container:
        chosen = {} if container.format.name in NO_MEDIA else choose_tracks(container)
        has_cover = any(stream.type == "video" and is_cover(stream) for stream in container.streams)
        if not chosen:
            raise InputError(f"{path}: has neither a picture nor sound that can be decoded")
        clock = Clock(container)
        collected, end, problem = _collect(container, clock)
        if _is_still(container, collected):
            raise InputError(f"{path}: is a single picture ({container.format.name}), expected a video or sound")
        if has_clock(container) and (picture := chosen.get("video")) and picture.index in collected:
            collected[picture.index] = _from_first_frame(path, picture.index, collected[picture.index])
        tracks: dict[str, Track | None] = {}
        for kind, stream in sorted(chosen.items()):  # first the sound
            tracks[kind] = track_of(container, stream, collected.get(stream.index, []), tracks.get("audio"))
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
    about = {"has_cover": has_cover, "begins_again": clock.offset != 0}
    return Survey(path, tracks.get("video"), tracks.get("audio"), tuple(notes), **about)


def _is_still(container: InputContainer, collected: dict[int, Packets]) -> bool:
    """Whether a file is an image, such as a JPEG file, not a video of one frame."""
    is_image = container.format.name.endswith("_pipe") or container.format.name in ("image2", "gif")
    return is_image and sum(map(len, collected.values())) == 1


def _from_first_frame(path: Path, index: int, shown: Packets) -> Packets:
    """The packets of a picture without those before the first frame that can be decoded.

    A recording of a broadcast may begin between two key frames. As with ffmpeg, its picture begins later then.
    """
    begin = None
    with contextlib.suppress(InputError), open_media(path) as container:
        begin = next((frame.pts for frame in decode(container, container.streams[index])), None)
    return [(time, last) for time, last in shown if None in (time, begin) or time >= begin]


def _collect(container: InputContainer, clock: Clock) -> tuple[dict[int, Packets], float | None, str]:
    """The packets of each stream; when the last one ends; and why the file cannot be read to its end."""
    collected: dict[int, Packets] = {}
    problem = None
    try:
        for packet in packets(container, clock):
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
