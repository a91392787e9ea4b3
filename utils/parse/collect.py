"""What is collected of a video's windows of ten seconds: probabilities, or features on which the network runs later.

A network that was trained on ten seconds sees the windows. One of videos of any length sees all seconds of the video
together, and one of n seconds sees n of them at a time. Axes: T = 10 segments of a window, n or S of a video, M = 2
modalities (audio, visual), C classes, D size of a feature.
"""

from collections.abc import Callable, Mapping

import numpy as np

from utils.features.kinds import pool
from utils.features.pooling import pool_evenly
from utils.llp.classes import T
from utils.llp.datasets import DataSet
from utils.media import windows
from utils.media.clips import count_segments
from utils.parse.events import WindowAverage, Windows


def segment_edges(seconds: float) -> np.ndarray:
    """Where they begin and end, (S + 1,) seconds; those of a short video are equally long, as its features are."""
    count = count_segments(seconds, None)
    if windows.segment_count(seconds) == count > T:
        return windows.segment_edges(seconds)
    return np.linspace(0, seconds, count + 1)


class WindowProbabilities:
    """The probabilities of each window; windows that overlap are averaged.

    Args:
        seconds: length of the video. num_classes: C. hop: seconds from one window to the next. run: the network:
            features by kind, (rows, D), of one window -> (T, M, C) segment probabilities, (C,) of the window.
    """

    def __init__(self, seconds: float, num_classes: int, hop: int, run: Callable):
        self.edges, self.hop, self.run = windows.segment_edges(seconds), hop, run
        self.nothing = np.zeros((T, 2, num_classes), np.float32), np.zeros(num_classes, np.float32)
        self.starts: list[int] = []
        self.probabilities: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, start: int, features: Mapping[str, np.ndarray] | None) -> None:
        """Add the window that begins at `start`: (rows, D) by kind; None: there is nothing in it."""
        self.starts.append(start)
        self.probabilities.append(self.run(features) if features else self.nothing)

    def windows(self) -> Windows:
        """The W windows, each by itself."""
        return Windows(np.array(self.starts), *map(np.stack, zip(*self.probabilities, strict=True)))

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, M, C) float32 probabilities of the segments, and (n, C) of the windows that they are in."""
        return self.windows().means(len(self.edges) - 1)


class SecondFeatures:
    """The features of a video's seconds.

    Args:
        seconds: length of the video. dataset: of the network. run: the network: features by kind, (n, D), of one video
            -> (n, M, C) segment probabilities, (C,) or (M, C) probabilities of the video. nothing: returns features of
            a window without picture and sound.
    """

    def __init__(self, seconds: float, dataset: DataSet, run: Callable, nothing: Callable):
        self.count, self.dataset, self.run, self.nothing = count_segments(seconds, None), dataset, run, nothing
        self.edges, self.hop = segment_edges(seconds), dataset.seconds
        self.rows: dict[str, list[np.ndarray]] = {}
        self.filled = 0

    def add(self, start: int, features: Mapping[str, np.ndarray] | None) -> None:
        """Add the window that begins at `start`: (rows, D) by kind; None: there is nothing in it.

        What an earlier one had is kept.
        """
        for name, array in (features or self.nothing()).items():
            self.rows.setdefault(name, []).append(pool(array)[self.filled - start :])
        self.filled = start + T

    def windows(self) -> None:
        """The network has seen no windows."""

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """(S, M, C) float32 probabilities of the segments, and of the windows that they are in, (S, C) or (S, M, C)."""
        rows = {name: np.concatenate(parts) for name, parts in self.rows.items()}
        features = {name: pool(array, self.count) for name, array in rows.items()}
        length = self.dataset.seconds or self.count
        if length > self.count:  # the video is shorter than those of the training: its segments are, too
            stretched = {name: pool_evenly(array, length) for name, array in features.items()}
            frame_prob, video_prob = self.run(stretched)
            flat = pool_evenly(frame_prob.reshape(length, -1), self.count)
            frame_prob = flat.reshape(self.count, *frame_prob.shape[1:])
            return frame_prob, np.repeat(video_prob[None], self.count, axis=0)
        last = self.count - length
        average = None
        for start in sorted({*range(0, last + 1, length), last}):
            frame_prob, video_prob = self.run({name: x[start : start + length] for name, x in features.items()})
            average = average or WindowAverage(self.count, frame_prob.shape[-1], video_prob.shape)
            average.add(start, frame_prob, video_prob)
        return average.means()
