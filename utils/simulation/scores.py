"""What the teachers of a simulated world score, and what its exact posterior scores.

Axes: N videos, C classes, T segments.
"""

import numpy as np

from utils.metrics.decision_thresholds import DEFAULT, Thresholds, choose_thresholds
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores
from utils.simulation.posterior import Posterior

CHOSEN_ON = 2000  # videos at most: more would take minutes and move the thresholds little


def teacher_scores(tracks: np.ndarray, pseudo: np.ndarray) -> dict[str, float]:
    """The ten scores of (N, 2, T, C) pseudo labels; tracks: (N, 2, C, T) bool, the truth.

    Seg-a and Event-a are the audio teacher's alone, Seg-v and Event-v the visual one's, the others of both together.
    """
    labels = pseudo.transpose(1, 0, 3, 2) > 0
    return ten_scores(video_scores(*labels, *tracks.transpose(1, 0, 2, 3)))


def posterior_scores(tracks: np.ndarray, found: Posterior, thresholds: Thresholds = DEFAULT) -> dict[str, float]:
    """The ten scores of a posterior at decision thresholds; tracks: (N, 2, C, T) bool, the truth."""
    predictions = binarize(*found, *thresholds)
    return ten_scores(video_scores(*predictions, *tracks.transpose(1, 0, 2, 3)))


def posterior_thresholds(tracks: np.ndarray, found: Posterior) -> Thresholds:
    """As a student's, those of video and segments with the best segment-level Type; tracks: (N, 2, C, T) bool."""
    tracks, found = tracks[:CHOSEN_ON], [array[:CHOSEN_ON] for array in found]
    return choose_thresholds(*found, tracks[:, 0], tracks[:, 1])[0]
