"""Accuracy over seconds of AVE: one class or background a second, decided by one of three published rules.

Rules: `argmax`, AVE (Tian et al., ECCV 2018); `gate`, CMBS (Xia and Zhao, CVPR 2022); `event`, UWAV (CVPR 2025).
All results are percent. Axes: N videos, S seconds, those of one video after those of another, C classes. In (S,) int
the number C means background.
"""

from collections.abc import Sequence

import numpy as np

EPSILON = 1e-8  # UWAV adds it to the number of seconds


def of(rule: str, predicted: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of the classes that a rule gives, as its authors divide it; (S,) int each. `argmax` gives the class of
    a second's highest score.

    Raises ValueError if there is no second, or their numbers differ.
    """
    correct = _correct(predicted, truth)
    return float(correct.sum() / (correct.size + EPSILON * (rule == "event")) * 100)


def gate_classes(event: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """The rule `gate`: a second has the best class of its video if its gate is open, sigmoid(gate) > 0.5.

    event: (N, C) scores; gate: (S,) logits, as many for each video -> (S,) int.
    """
    event, gate = np.asarray(event), np.asarray(gate)
    with np.errstate(over="ignore"):  # exp of a large number is infinite: the sigmoid is 0, as it should be
        is_open = 1 / (1 + np.exp(-gate)) > 0.5
    return np.where(is_open, _best_of_video(event, gate), event.shape[1])


def event_classes(decided: np.ndarray) -> np.ndarray:
    """The rule `event`: a second has the class that is decided, or background; (S, C) bool -> (S,) int.

    Raises ValueError if a second has two classes.
    """
    decided = np.asarray(decided, bool)
    several = np.flatnonzero(decided.sum(axis=1) > 1)
    if several.size:
        raise ValueError(f"second {several[0]} has {decided[several[0]].sum()} classes, expected one or none")
    return np.where(decided.any(axis=1), decided.argmax(axis=1), decided.shape[1])


def decisions(event: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """What `event_classes` takes, (S, C) bool: the best class of a second's video if its gate is above 0.

    event: (N, C) scores; gate: (S,) logits. Raises ValueError if the seconds are not as many for each video.
    """
    event, gate = np.asarray(event), np.asarray(gate)
    best = _best_of_video(event, gate)
    return (best[:, None] == np.arange(event.shape[1])) & (gate > 0)[:, None]


def floors(
    truth: np.ndarray, video_class: np.ndarray, seconds: int | Sequence[int], num_classes: int
) -> dict[str, float]:
    """What two predictions that locate nothing reach: background everywhere, and the video's true class everywhere.

    truth: (S,) int; video_class: (N,) int; seconds: of all videos, or of each.
    Raises ValueError if there is no second, or their numbers differ.
    """
    return {
        "floor_background": of("argmax", np.full(np.shape(truth), num_classes), truth),
        "floor_true_class": of("argmax", np.repeat(video_class, seconds), truth),
    }


def _best_of_video(event: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """(S,) int: for each second the class with the highest score of its video."""
    seconds, rest = divmod(len(gate), len(event)) if len(event) else (0, len(gate))
    if rest:
        raise ValueError(f"{len(gate)} seconds of {len(event)} videos, expected as many for each video")
    return np.repeat(event.argmax(axis=1), seconds)


def _correct(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(S,) bool: which seconds are right."""
    truth = np.asarray(truth)
    if predicted.shape != truth.shape or truth.ndim != 1 or not truth.size:
        raise ValueError(f"predictions {predicted.shape} and truth {truth.shape}, expected (S,) each with S > 0")
    return predicted == truth
