"""What of a file goes into the encoders, window after window, and what a reader of its events should know.

Axes: T = 10 segments of a window, n of a video, M = 2 modalities (audio, visual).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.llp.classes import T
from utils.media import windows
from utils.media.timeline import Survey, presence
from utils.parse.sound import SoundPainter

SHOWN = 10  # gaps that a note names


class Reader:
    """Reads a video's windows: the encoders' inputs, by the name of their kind; draws the sound meanwhile."""

    def __init__(self, video_parser, path: Path, found: Survey, starts: Sequence[int], spectrogram: bool = False):
        self.found, self.audio = found, video_parser.audio
        self.starts = {start for start in starts if windows.has_media(found, start)}
        samplers = {e.kind.name: windows.FrameSampler(e.kind.rate * T, e.prepare) for e in video_parser.visual}
        self.frames = windows.FrameWindows(path, found, samplers, sorted(self.starts)) if found.picture else None
        self.sound = windows.AudioWindows(path, found, self.audio.kind.rate) if found.sound else None
        self.painter = SoundPainter(found.seconds, spectrogram) if found.sound else None

    def read(self, start: int) -> dict[str, object] | None:
        """The next window, None if there is neither picture nor sound in it."""
        if start not in self.starts:
            return None
        window = self.frames.read(start) if self.frames else {}
        if self.sound:
            seconds = self.found.seconds if self.found.is_single else None
            samples = self.sound.read(start)
            self.painter.add(start, samples, self.audio.kind.rate)
            window[self.audio.kind.name] = self.audio.prepare(samples, seconds)
        return window

    def has_track(self, edges: np.ndarray) -> np.ndarray:
        """In which segments there is sound, and a picture: (n + 1,) edges -> (n, M) bool. All windows have been read.

        The ten segments of a video of one window are its tenths.
        """
        if self.found.is_single and len(edges) == T + 1:
            edges = np.linspace(0, self.found.seconds, len(edges))
        heard = presence(self.sound.spans if self.sound else (), edges)
        seen = presence(self.found.picture.spans, edges, self.frames.lost) if self.frames else heard & False
        return np.stack([heard, seen], axis=1)


def describe(found: Survey, edges: np.ndarray, has_track: np.ndarray) -> list[str]:
    """What a reader of the events should know of the file, given its (n + 1,) edges and (n, M) bool, which track is in
    which segment."""
    notes = list(found.notes)
    if found.audio_end is None:
        notes.append("no audio track: visual events only")
    if found.video_end is None:
        notes.append("no video track: audio events only")
    for there, what in zip(has_track.T, ("sound", "picture"), strict=True):
        borders = np.flatnonzero(np.diff(np.concatenate([[1], there, [1]])))  # where it ends, begins, ends
        gaps = ", ".join(f"{edges[a]:.1f} to {edges[b]:.1f} s" for a, b in borders.reshape(-1, 2)[:SHOWN])
        if gaps and there.any():
            notes.append(f"no {what} from {gaps}: no events of it there")
    if found.seconds < T - 1 and len(edges) == T + 1:
        notes.append(f"shorter than {T - 1} s: its ten segments last {edges[1]:.2f} s each")
    return notes
