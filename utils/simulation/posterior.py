"""What can be known of the labels of a simulated video at best: their exact posterior given its features.

Axes: N videos, C classes, T segments, K parts, G sets of classes, M modes. The directions
of the classes are orthonormal and the noise is white, so that the projections of a segment's features on them tell all
there is to know, and are independent given the labels. Every track of both modalities and every set of classes that the
statistics allow is summed over: nothing is sampled or left out.
"""

from typing import NamedTuple

import numpy as np

from utils.simulation.statistics import DIFFERENT, MODES, NONE, PART, SAME, WHOLE, Statistics


class Posterior(NamedTuple):
    """Probabilities of N videos, named and shaped as in the `probabilities.npz` of main.py."""

    global_prob: np.ndarray  # (N, C) float32: the video has the class, heard or seen
    frame_prob: np.ndarray  # (N, T, 2, C) float32: it is heard, seen in the segment


def posterior(ratios: np.ndarray, statistics: Statistics) -> Posterior:
    """The posterior under the distribution that `draw_tracks` draws from.

    ratios: (N, 2, C, T) log p(features | class heard or seen in the segment) - log p(features | not).
    """
    evidence, segments = _class_evidence(np.asarray(ratios, np.float64), statistics)
    with np.errstate(divide="ignore"):
        logs = np.log(statistics.set_shares) + np.maximum(evidence, -1e6) @ statistics.sets.T  # (N, G)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    present = weights @ statistics.sets / weights.sum(axis=1, keepdims=True)  # (N, C)
    frame = present[:, None, :, None] * segments  # (N, 2, C, T)
    return Posterior(present.astype(np.float32), frame.transpose(0, 3, 1, 2).astype(np.float32))


def _class_evidence(ratios: np.ndarray, statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Each class by itself: log-likelihood ratio of its being in the video, (N, C); segments if it is, (N, 2, C, T)."""
    shares, bits = statistics.mode_shares, statistics.parts.astype(np.float64)  # (C, M), (K, T)
    top = np.maximum(ratios, 0).sum(axis=-1)  # (N, 2, C): no track is more likely than exp(top)
    empty, whole = np.exp(-top), np.exp(ratios.sum(axis=-1) - top)
    part = np.exp(ratios @ bits.T - top[..., None])  # (N, 2, C, K)
    audio, visual, both = statistics.part_shares
    alone = [part[:, 0] * audio, part[:, 1] * visual]
    other = [part[:, 1] @ statistics.pair_shares.T, part[:, 0] @ statistics.pair_shares]  # a part's differing partners
    sums = {NONE: empty, WHOLE: whole, PART: np.stack([a.sum(axis=-1) for a in alone], axis=1)}
    total, numerator = 0.0, np.zeros_like(ratios)  # of the whole class, and of its tracks with the segment
    for mode, kinds in enumerate(MODES):
        share = shares[:, mode]
        if mode in (SAME, DIFFERENT):
            joint = [part[:, 0] * part[:, 1] * both] * 2 if mode == SAME else [part[:, m] * other[m] for m in (0, 1)]
            value = joint[0].sum(axis=-1)
        else:
            factors = [sums[kind][:, m] for m, kind in enumerate(kinds)]
            joint = [alone[m] * factors[1 - m][..., None] for m in (0, 1)]
            value = factors[0] * factors[1]
        for m, kind in enumerate(kinds):
            if kind == PART:
                numerator[:, m] += share[:, None] * (joint[m] @ bits)
            elif kind == WHOLE:
                numerator[:, m] += (share * value)[..., None]
        total = total + share * value
    with np.errstate(divide="ignore", invalid="ignore"):
        segments = np.nan_to_num(numerator / total[:, None, :, None])
        return np.log(total) + top.sum(axis=1), np.minimum(segments, 1)
