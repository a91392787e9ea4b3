"""F of pseudo labels as a function of a class's threshold: all thresholds that make a difference, and the best one.

Source of the exact optimum: UWAV (CVPR 2025), section 3.2. Axes: N videos, V of them that have the class as a weak
label, T segments, C classes, K candidate thresholds.
"""

from typing import NamedTuple, Self

import numpy as np

from utils.llp.pseudo_labels import NOTHING


def f1_threshold(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """The threshold of logits, (n,) float32, that fits labels, (n,) 0/1, best by F, and that F in [0, 1].

    A label is positive if its logit is above the threshold. The threshold is the middle between the least logit that is
    accepted and the next lower one, -inf if there is none; of equally good ones the lowest, as float32 arithmetic has
    it. Logits of -inf can never be accepted alone, but their labels count. Without any positive label: -inf and NaN.
    """
    order = np.argsort(logits, kind="stable")
    x, y = np.asarray(logits, np.float32)[order], np.asarray(labels)[order]
    if not len(x):
        return -np.inf, np.nan
    tp = np.cumsum(y[::-1], dtype=np.int64)[::-1].astype(np.float32)  # if everything from here on is accepted
    predicted = np.arange(len(x), 0, -1, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        precision, recall = tp / predicted, tp / tp[0]
        f = 2 * precision * recall / np.maximum(precision + recall, np.float32(1e-12))
    first = np.flatnonzero(np.append(True, x[1:] != x[:-1]))  # no threshold separates equal logits
    k = first[np.argmax(f[first])]
    return (float((x[k] + x[k - 1]) / 2) if k else -np.inf), float(f[k])


def _flat(logits: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """Logits, (N, T, C), with -inf where no label can be: classes that a video has not, no content; as (N * T, C)."""
    possible = (weak[:, None] > 0) & (logits > NOTHING)
    return np.where(possible, logits, np.float32(-np.inf)).reshape(-1, logits.shape[-1])


def class_thresholds(logits: np.ndarray, reference: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """`f1_threshold` of each class over all segments of a split, (C,) float32.

    logits: (N, T, C) float32; reference: (N, T, C) 0/1; weak: (N, C) 0/1. A class that is never annotated gets -inf.
    """
    flat, labels = _flat(logits, weak), reference.reshape(-1, logits.shape[-1])
    return np.array([f1_threshold(y, x)[0] for y, x in zip(labels.T, flat.T, strict=True)], np.float32)


def agnostic_threshold(logits: np.ndarray, reference: np.ndarray, weak: np.ndarray) -> float:
    """One `f1_threshold` for all classes together; arguments as for `class_thresholds`: (N, T, C) twice, (N, C)."""
    return f1_threshold(reference.ravel(), _flat(logits, weak).ravel())[0]


class Sweep(NamedTuple):
    """F of one class in one modality at each candidate threshold."""

    name: str
    modality: str
    videos: int
    used: float  # the threshold in use
    thresholds: np.ndarray  # (K,) float64 ascending: below all logits, then each distinct logit
    f: np.ndarray  # (K,) 0 to 100; NaN: no video has the class
    exact: tuple[float, float]  # `f1_threshold` over all segments of the split, F from 0 to 100

    @classmethod
    def of(
        cls,
        name: str,
        modality: str,
        logits: np.ndarray,
        reference: np.ndarray,
        listed: np.ndarray,
        used: float,
        videos: int | None = None,
    ) -> Self:
        """Sweep one class from the logits, (V, T), of the videos that have it as a weak label.

        reference: (N, T) bool, of all videos of the split; listed: (N,) bool, which V videos those are. With `videos`,
        their number, the three are of the seconds of all videos instead: (V,), (S,) and (S,).
        """
        total = np.count_nonzero(reference)  # also events that are no weak label, which labels can never reach
        contains = logits > NOTHING  # elsewhere a label is never positive
        flat, positive = logits[contains], reference[listed][contains]
        order = np.argsort(flat, kind="stable")
        values, first = np.unique(flat[order], return_index=True)
        # correct labels that remain when everything up to a value is cut off
        correct_from = np.append(np.cumsum(positive[order][::-1])[::-1], 0)
        ends = np.append(first, flat.size)  # threshold k cuts off order[: ends[k]]
        tp, predicted = correct_from[ends], flat.size - ends
        denominator = predicted + total  # 2 tp + fp + fn
        f = np.divide(200.0 * tp, denominator, out=np.full(len(ends), np.nan), where=denominator > 0)
        lowest = values[0] - 1 if values.size else 0.0
        every = np.full(reference.shape, -np.inf, np.float32)
        every[listed] = np.where(contains, logits, -np.inf)
        threshold, best = f1_threshold(reference.ravel(), every.ravel())
        thresholds = np.append(lowest, values.astype(float))
        return cls(
            name, modality, len(logits) if videos is None else videos, used, thresholds, f, (threshold, 100 * best)
        )

    def at(self, threshold: float) -> float:
        """F at any threshold."""
        return float(self.f[max(np.searchsorted(self.thresholds, np.float32(threshold), side="right") - 1, 0)])

    def best(self) -> tuple[float, float] | None:
        """The best threshold and its F; None if no video has the class, or no label could be right.

        All thresholds from one logit to the next give the same labels: the middle is taken, rounded as far as that does
        not change them. Of equally good thresholds, the lowest.
        """
        if not (np.nan_to_num(self.f) > 0).any():
            return None
        k = int(np.nanargmax(self.f))
        low = float(self.thresholds[k])
        high = float(self.thresholds[k + 1]) if k + 1 < len(self.thresholds) else low + 1
        for digits in range(8):
            rounded = round((low + high) / 2, digits) + 0.0  # no -0.0
            if low <= np.float32(rounded) < high:  # labels compare in float32
                return rounded, float(self.f[k])
        return low, float(self.f[k])

    def summary(self) -> dict:
        """The sweep in a few numbers; None if undefined. JSON has no infinity: a threshold of -inf is a text."""
        values = {"class": self.name, "modality": self.modality, "videos": self.videos, "threshold": self.used}
        threshold, f = self.best() or (None, None)
        at_used = None if f is None else self.at(self.used)
        exact, exact_f = self.exact
        exact = {"exact_threshold": exact if np.isfinite(exact) else str(exact)}
        exact["exact_F"] = None if np.isnan(exact_f) else exact_f
        return values | {"F": at_used, "best_threshold": threshold, "best_F": f} | exact
