"""Mean average precision over seconds: how well probabilities rank the seconds of all videos.

Source: LFAV (Hou et al., 2023), its segment-level mAP. Videos of different lengths are laid end to end, without
padding: padded seconds would be ranked, too.
Axes: S seconds of all videos, M = 2 modalities (audio, visual), C classes.
"""

import numpy as np


def average_precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Sum over steps of recall of (the step) x (the highest precision at that recall or a higher one), in [0, 1].

    Seconds of equal score are one step, so that their order does not matter. score: (S,) numbers, truth: (S,) bool.
    NaN if nothing is true. Raises ValueError if the shapes differ or a score is NaN.
    """
    score, truth = np.asarray(score), np.asarray(truth, bool)
    if score.shape != truth.shape or score.ndim != 1:
        raise ValueError(f"scores {score.shape} and truth {truth.shape}, expected (S,) each")
    if np.isnan(score).any():
        raise ValueError("a score is NaN, expected numbers")
    # Recall grows only at the scores of true seconds: two sorts of values are much faster than one of indices.
    steps, counts = np.unique(score[truth], return_counts=True)  # ascending
    if not counts.size:
        return float("nan")
    found = counts[::-1].cumsum()[::-1]  # true seconds of this score or a higher one
    precision = found / (score.size - np.searchsorted(np.sort(score), steps))
    return float((counts * np.maximum.accumulate(precision)).sum() / found[0])


def mean_average_precision(prob: np.ndarray, audio: np.ndarray, visual: np.ndarray) -> dict[str, float]:
    """Means over classes, 0 to 100: mAP-a, mAP-v, mAP-av, and their mean, mAP; NaN if a class is never true.

    Audio-visual probabilities are products of the two, and true is what both say.
    prob: (S, M, C) numbers; audio, visual: (S, C) bool. Raises ValueError if the shapes differ or a number is NaN.
    """
    prob, audio, visual = np.asarray(prob), np.asarray(audio, bool), np.asarray(visual, bool)
    if prob.ndim != 3 or prob.shape[1] != 2 or not audio.shape == visual.shape == prob[:, 0].shape:
        found = f"{prob.shape}, {audio.shape} and {visual.shape}"
        raise ValueError(f"probabilities and truths {found}, expected (S, 2, C), (S, C) and (S, C)")
    sound, sight = np.ascontiguousarray(prob.transpose(1, 2, 0), np.float64)  # (C, S) each
    kinds = {"mAP-a": (sound, audio), "mAP-v": (sight, visual), "mAP-av": (sound * sight, audio & visual)}
    scores = {
        name: 100 * float(np.mean([average_precision(*pair) for pair in zip(score, truth.T, strict=True)]))
        for name, (score, truth) in kinds.items()
    }
    return scores | {"mAP": sum(scores.values()) / len(scores)}
