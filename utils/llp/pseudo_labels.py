"""Segment-level pseudo labels: when the events happen that a video is known to have, according to a teacher's logits.

Axes: T segments, C classes. Source: VALOR, section 3.2.
"""

import numpy as np

from utils.base.npy import Layout
from utils.llp.classes import T

NOTHING = -1e4  # the logit of every class in a segment without picture or sound: not above any threshold


def label_layout(num_classes: int, seconds: int | None = T) -> Layout:
    """What a file of pseudo labels holds; seconds: T of all videos, None if each has its own."""
    return Layout((seconds,) if seconds else (), num_classes, np.int64, "pseudo labels", kept=np.uint8)


def logits_layout(num_classes: int, seconds: int | None = T) -> Layout:
    """What a file of a teacher's logits holds; seconds: as for `label_layout`."""
    return Layout((seconds,) if seconds else (), num_classes, np.float32, "logits", kept=np.float32)


def above(logits, thresholds):
    """Where a teacher's logits, (..., T, C), are above its classes' thresholds, (C,): NumPy arrays or tensors of bool.

    A threshold of -inf accepts every segment that contains anything.
    """
    return (logits > thresholds) & (logits > NOTHING)


def pseudo_labels(logits: np.ndarray, weak: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(..., T, C) int64: 1 if a video is known to have a class and its logit is above the class's threshold, else 0.

    Args:
        logits: (..., T, C) float32, a teacher's similarities of segments and captions.
        weak: (..., C) 0/1, the video's known events.
        thresholds: (C,); a logit exactly at its threshold is not above it. Compared in the precision of the logits.

    Raises ValueError if the numbers of classes differ.
    """
    logits, weak, thresholds = np.asarray(logits), np.asarray(weak, bool), np.asarray(thresholds)
    found = (logits.shape[-1], weak.shape[-1], len(thresholds))
    if len(set(found)) > 1:
        raise ValueError("logits have {} classes, weak labels {}, thresholds {}".format(*found))
    return (above(logits, thresholds.astype(logits.dtype)) & weak[..., None, :]).astype(np.int64)
