"""Bootstrap intervals of scores, and two runs compared on the same videos.

Axes: N videos, K scores, R draws. A score is a mean over videos, so a draw of N videos with replacement is a vector of
N counts, and its scores are counts times the videos' scores over N. Source: the percentile bootstrap of Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

DRAWS = 10_000
SEED = 0
LEVEL = 0.95  # of the intervals
FEW = 20  # videos; of fewer, draws repeat so few scores that intervals are too narrow and p means little
_BLOCK = 2_000_000  # numbers drawn at a time, which keeps memory at some tens of MB for any number of videos


class Estimate(NamedTuple):
    """Means over videos, and the interval of the middle LEVEL of the draws' means, (K,) float64 each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Comparison(NamedTuple):
    """Estimates of two runs and of their difference, second minus first, and p-values, (K,) float64 in (0, 1]."""

    first: Estimate
    second: Estimate
    difference: Estimate
    p: np.ndarray


def draw_means(per_video: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Means of resampled videos: (N, K) -> (R, K) float64; all K columns see the same videos in a draw."""
    N = len(per_video)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // N)
    means = []
    for start in range(0, draws, rows):
        R = min(rows, draws - start)
        chosen = rng.integers(N, size=(R, N)) + N * np.arange(R)[:, None]  # a row of counts for each draw
        counts = np.bincount(chosen.ravel(), minlength=R * N).reshape(R, N)
        means.append(counts @ np.asarray(per_video, float) / N)  # (R, K)
    return np.concatenate(means)


def estimate(per_video: np.ndarray, means: np.ndarray) -> Estimate:
    """Mean and percentile interval of each score, from (N, K) scores and the (R, K) means of their draws."""
    tail = 50 * (1 - LEVEL)
    return Estimate(np.mean(per_video, axis=0), *np.percentile(means, (tail, 100 - tail), axis=0))


def p_values(differences: np.ndarray) -> np.ndarray:
    """Two-sided: 2 min(P(d <= 0), P(d >= 0)) over the draws, within [1 / R, 1]. (R, K) differences -> (K,).

    How often resampled videos reverse the order of two runs. It says nothing about other training seeds, and is not
    corrected for multiple scores. If no draw reverses it, p < 1 / R, and 1 / R is returned.
    """
    differences = np.round(differences, 9)  # percent: a smaller difference is rounding error, hence a tie
    sides = np.stack([(differences <= 0).mean(axis=0), (differences >= 0).mean(axis=0)])
    return np.clip(2 * sides.min(axis=0), 1 / len(differences), 1)


def paired_interval(differences: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> Estimate:
    """Mean of a few paired differences, (n,) with n > 1, one for each seed, and its interval: scalars.

    The percentile interval of so few resampled pairs is too narrow: it takes the deviation of the sample, which is too
    small by sqrt((n - 1) / n), for the true one. Its ends are moved away from the mean by that factor, and by the ratio
    of Student's t for n - 1 degrees of freedom to the normal quantile.
    """
    values, rng = np.asarray(differences, float), np.random.default_rng(seed)
    n, upper = len(values), (1 + LEVEL) / 2
    t = np.quantile(rng.standard_t(n - 1, 10**6), upper)
    stretch = math.sqrt(n / (n - 1)) * t / NormalDist().inv_cdf(upper)
    one = estimate(values, values[rng.integers(n, size=(draws, n))].mean(axis=1))
    return Estimate(one.mean, *(one.mean + stretch * (end - one.mean) for end in one[1:]))


def compare(first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> Comparison:
    """Paired comparison: (N, K) scores of two runs on the same videos; both see the same videos in every draw."""
    means = np.split(draw_means(np.concatenate([first, second], axis=1), draws, seed), 2, axis=1)
    means.append(means[1] - means[0])
    estimates = map(estimate, (first, second, second - first), means)
    return Comparison(*estimates, p_values(means[2]))
