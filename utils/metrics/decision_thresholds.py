"""Decision thresholds chosen on validation videos: of the video and of the segments, one each or one for each class.

VALOR decides at 0.5 and 0.5; losses that are weighted move the probabilities, and so the threshold that is best.
Axes: N videos, T segments, C classes.
"""

from typing import NamedTuple

import numpy as np

from utils.llp.events import Segments
from utils.llp.ragged import Ragged
from utils.metrics.eval_metrics import THRESHOLD, binarize, f_scores, mean_over_classes, segment_counts

COARSE = np.arange(5, 100, 5) / 100
FINE = np.arange(-4, 5) / 100  # around the best coarse one
MAX_PASSES = 3  # over the classes

Threshold = float | np.ndarray  # for all classes, or (C,)


class Thresholds(NamedTuple):
    """A class is decided where its video and its segment probability reach these."""

    video: Threshold = THRESHOLD
    segment: Threshold = THRESHOLD


DEFAULT = Thresholds()


class _Search:
    """Segment-level F of one class after the other as a function of thresholds."""

    def __init__(self, global_prob, frame_prob, reference_audio, reference_visual, lengths, av_only):
        self.prob, self.lengths = (np.asarray(global_prob), np.asarray(frame_prob)), lengths
        self.kinds = slice(2, 3) if av_only else slice(3)
        self.reference = reference_audio, reference_visual, reference_audio & reference_visual

    def f(self, thresholds: Thresholds, classes: slice | list[int]) -> np.ndarray:
        """F of audio, visual and audio-visual segments, or of the last alone: (3 | 1, N, number of classes)."""
        global_prob, frame_prob = (x[..., classes] for x in self.prob)
        audio, visual = binarize(global_prob, frame_prob, *thresholds, lengths=self.lengths)
        found, true = ((*three,)[self.kinds] for three in ((audio, visual, audio & visual), self.reference))
        pairs = zip(found, (_of_classes(one, classes) for one in true), strict=True)
        return np.stack([f_scores(segment_counts(*pair)) for pair in pairs])


def _of_classes(segments: Segments, classes: slice | list[int]) -> Segments:
    """Some classes of (N, C, T) flags."""
    return segments.of_classes(classes) if isinstance(segments, Ragged) else segments[:, classes]


def _type_score(f: np.ndarray) -> float:
    """Segment-level Type@AV of F, (3, N, C), or of one kind alone."""
    return float(np.mean([mean_over_classes(one).mean() for one in f]))


def _pairs(video: np.ndarray, segment: np.ndarray) -> list[Thresholds]:
    """All pairs of two lists of thresholds, those next to 0.5 first: of equally good pairs the first is taken."""
    video, segment = ([float(x) for x in values.round(2) if 0 < x < 1] for values in (video, segment))
    pairs = [Thresholds(v, s) for v in video for s in segment]
    return sorted(pairs, key=lambda pair: abs(pair.video - THRESHOLD) + abs(pair.segment - THRESHOLD))


def choose_thresholds(
    global_prob: np.ndarray,
    frame_prob: np.ndarray,
    reference_audio: Segments,
    reference_visual: Segments,
    per_class: bool = False,
    lengths: np.ndarray | None = None,
    av_only: bool = False,
) -> tuple[Thresholds, float]:
    """The thresholds with the best segment-level Type@AV on these videos, and that score, 0 to 100.

    All pairs of a grid of 0.05 are tried, then those of a grid of 0.01 around the best. With `per_class`, each class is
    then tried alone on the coarse grid, given the thresholds of the others, until nothing improves.

    Args:
        global_prob: (N, C), or (N, 2, C); frame_prob: (N, T, 2, C); references: (N, C, T) bool.
        lengths: as for `binarize`. av_only: choose by the audio-visual score alone.
    """
    search = _Search(global_prob, frame_prob, reference_audio, reference_visual, lengths, av_only)
    every = slice(None)

    def best(pairs: list[Thresholds]) -> Thresholds:
        return pairs[int(np.argmax([_type_score(search.f(pair, every)) for pair in pairs]))]

    common = best(_pairs(COARSE, COARSE))
    common = best(_pairs(common.video + FINE, common.segment + FINE))
    return _each_class(search, common) if per_class else (common, 100 * _type_score(search.f(common, every)))


def _each_class(search: _Search, common: Thresholds) -> tuple[Thresholds, float]:
    """The best thresholds of one class after the other, from common ones on, and their score."""
    f = search.f(common, slice(None))
    score, chosen = _type_score(f), Thresholds(*(np.full(f.shape[-1], x) for x in common))
    for _ in range(MAX_PASSES):
        before = score
        for c in range(f.shape[-1]):
            for pair in _pairs(COARSE, COARSE):
                previous = f[..., [c]]
                f[..., [c]] = search.f(pair, [c])
                if (found := _type_score(f)) > score:
                    score, chosen.video[c], chosen.segment[c] = found, *pair
                else:
                    f[..., [c]] = previous
        if score == before:
            break
    return chosen, 100 * score
