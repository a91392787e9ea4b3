"""From the probabilities of a video's windows to its events.

Axes: n segments of a video of any length, T = 10 of a window, M = 2 modalities (audio, visual), C classes.
"""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.base.files import as_text
from utils.llp.events import segments_to_events
from utils.media.windows import window_starts
from utils.metrics.eval_metrics import THRESHOLD, binarize
from utils.parse.sound import SoundPicture

MODALITIES = ("audio", "visual", "audio_visual")


class WindowAverage:
    """Probabilities of a video's segments, averaged over the windows that hold them.

    Args:
        n: segments of the video. num_classes: C. gate: shape of a window's probabilities, (C,) or (M, C).
    """

    def __init__(self, n: int, num_classes: int, gate: tuple[int, ...] | None = None):
        self.frame_sum = np.zeros((n, 2, num_classes))
        self.global_sum = np.zeros((n, *(gate or (num_classes,))))
        self.windows = np.zeros(n, int)

    def add(self, start: int, frame_prob: np.ndarray, global_prob: np.ndarray) -> None:
        """Add the window whose first segment is `start`: (T, M, C) and (C,) probabilities."""
        segments = slice(start, start + len(frame_prob))
        self.frame_sum[segments] += frame_prob
        self.global_sum[segments] += global_prob
        self.windows[segments] += 1

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, M, C) and (n, C) float32 probabilities; each segment is in a window."""
        means = (x / self.windows.reshape(-1, *[1] * (x.ndim - 1)) for x in (self.frame_sum, self.global_sum))
        return tuple(x.astype(np.float32) for x in means)


class Windows(NamedTuple):
    """What the network says of each of W windows: first segments (W,) int, (W, T, M, C) and (W, C) float32."""

    starts: np.ndarray
    frame_prob: np.ndarray
    global_prob: np.ndarray

    def means(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The average of the windows that each of n segments is in: (n, M, C) and (n, C) float32."""
        average = WindowAverage(n, self.frame_prob.shape[-1])
        for window in zip(*self, strict=True):
            average.add(*window)
        return average.means()


class ParsedVideo(NamedTuple):
    """The probabilities of one video.

    Attributes:
        path: of the file.
        seconds: its length.
        edges: (n + 1,) float, the borders of its segments, in seconds.
        frame_prob: (n, M, C) float32 in [0, 1], whether a class is heard, and seen, in a segment.
        global_prob: (n, C) float32 in [0, 1], whether it is in the window of the segment: the video-level gate; or
            (n, M, C), that of each modality.
        has_track: (n, M) bool, whether there is sound, and a picture; without, no event is found.
        class_names: C names.
        hop: seconds from one window to the next; None: the network has seen all of the video at once.
        notes: what a reader should know, a line each.
        windows: of which the probabilities are the average; None: the network has seen all of the video at once.
        sound: to be drawn; None: there is none.
    """

    path: Path
    seconds: float
    edges: np.ndarray
    frame_prob: np.ndarray
    global_prob: np.ndarray
    has_track: np.ndarray
    class_names: tuple[str, ...]
    hop: int | None
    notes: list[str]
    windows: Windows | None = None
    sound: SoundPicture | None = None

    @property
    def filename(self) -> str:
        """Name of the file."""
        return as_text(self.path.name)

    def with_hop(self, hop: int) -> Self:
        """The same from the windows that are `hop` seconds apart, and the last one.

        Raises InputError if they were not computed.
        """
        if self.windows is None:
            raise InputError(f"--hop {hop}: the network has seen no windows; leave it out")
        wanted = window_starts(self.seconds, hop)
        chosen = np.isin(self.windows.starts, wanted)
        if chosen.sum() < len(wanted):
            expected = f"expected a multiple of {self.hop}, by which the kept windows are apart"
            raise InputError(f"--hop {hop}: {expected}; leave --reuse out to compute others")
        windows = Windows(*(array[chosen] for array in self.windows))
        frame_prob, global_prob = windows.means(len(self.edges) - 1)
        return self._replace(hop=hop, frame_prob=frame_prob, global_prob=global_prob, windows=windows)


def decide_segments(video: ParsedVideo, threshold: float = THRESHOLD) -> np.ndarray:
    """Which classes are heard, seen, and both, by the published rule: (3, C, n) bool."""
    audio, visual = binarize(video.global_prob, video.frame_prob[:, None], threshold, threshold)  # (n, C, 1) each
    audio, visual = (x[..., 0].T & track for x, track in zip((audio, visual), video.has_track.T, strict=True))
    return np.stack([audio, visual, audio & visual])


def peaks(video: ParsedVideo) -> np.ndarray:
    """The highest threshold at which each class has an event, heard or seen: (C,) in [0, 1]; 0 without a track."""
    gate = video.global_prob if video.global_prob.ndim == 3 else video.global_prob[:, None]
    both = np.minimum(video.frame_prob, gate) * video.has_track[..., None]  # (n, M, C)
    return both.max(axis=(0, 1))


def likeliest(video: ParsedVideo, count: int = 5) -> list[tuple[str, float]]:
    """The `count` classes with the highest `peaks`, and these, the highest first."""
    values = peaks(video)
    return [(video.class_names[c], float(values[c])) for c in np.argsort(-values, kind="stable")[:count]]


def find_events(video: ParsedVideo, threshold: float = THRESHOLD) -> pd.DataFrame:
    """The events of a video: runs of segments in which a class is decided to be heard, seen, or both.

    Returns:
        A row per event, ordered by onset: filename; modality, one of MODALITIES; onset and offset in seconds of the
        video; event_labels, a class; confidence, the mean probability over the segments of the event, for
        `audio_visual` of both modalities.
    """
    runs = segments_to_events(decide_segments(video, threshold), range(len(MODALITIES)), range(len(video.class_names)))
    kind, label, onset, offset = (runs[c].to_numpy(int) for c in ("filename", "event_labels", "onset", "offset"))
    audio, visual = video.frame_prob.transpose(1, 2, 0).astype(float)  # (C, n) each
    prob = np.stack([audio, visual, (audio + visual) / 2])  # of being heard, seen, and the mean of both
    total = np.pad(np.cumsum(prob, axis=2), ((0, 0), (0, 0), (1, 0)))  # (3, C, n + 1)
    confidence = (total[kind, label, offset] - total[kind, label, onset]) / np.maximum(offset - onset, 1)
    order = np.lexsort((label, kind, onset))
    columns = {
        "filename": [video.filename] * len(order),
        "modality": np.array(MODALITIES, object)[kind[order]],
        "onset": video.edges[onset[order]].round(3),
        "offset": video.edges[offset[order]].round(3),
        "event_labels": np.array(video.class_names, object)[label[order]],
        "confidence": confidence[order].round(4),
    }
    return pd.DataFrame(columns)
