"""What the teachers of a simulated world score, and what its exact posterior scores.

Axes: N videos, C classes, T segments.
"""

import numpy as np

from utils.metrics.eval_metrics import SCORE_NAMES, THRESHOLD, binarize, ten_scores, video_scores
from utils.simulation.posterior import Posterior

# CLIP's and CLAP's labels on LLP's test split, segment level, as measured by UWAV (CVPR 2025)
PUBLISHED = dict(zip(SCORE_NAMES, (80.5, 61.7, 55.7, 66.0, 74.6), strict=False))
THRESHOLDS = np.arange(0.2, 0.8, 0.02).round(2)  # that the posterior is tried with


def teacher_scores(tracks: np.ndarray, pseudo: np.ndarray) -> dict[str, float]:
    """The ten scores of (N, 2, T, C) pseudo labels; tracks: (N, 2, C, T) bool, the truth.

    Seg-a and Event-a are the audio teacher's alone, Seg-v and Event-v the visual one's, the others of both together.
    """
    labels = pseudo.transpose(1, 0, 3, 2) > 0
    return ten_scores(video_scores(*labels, *tracks.transpose(1, 0, 2, 3)))


def posterior_scores(tracks: np.ndarray, found: Posterior, threshold: float = THRESHOLD) -> dict[str, float]:
    """The ten scores of a posterior at a threshold; tracks: (N, 2, C, T) bool, the truth.

    A segment is never more probable than the class in its video, so that the threshold of videos changes nothing.
    """
    predictions = binarize(found.global_prob, found.frame_prob, threshold)
    return ten_scores(video_scores(*predictions, *tracks.transpose(1, 0, 2, 3)))


def best_threshold(tracks: np.ndarray, found: Posterior) -> float:
    """Of THRESHOLDS, the one with the best segment-level Type; tracks: (N, 2, C, T) bool, the truth."""
    return float(max(THRESHOLDS, key=lambda t: posterior_scores(tracks, found, t)["Seg-type"]))
