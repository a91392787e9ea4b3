"""F of pseudo labels as a function of a class's threshold: all thresholds that make a difference, and the best one.

Axes: V videos that have the class as a weak label, T segments, K candidate thresholds.
"""

from typing import NamedTuple, Self

import numpy as np


class Sweep(NamedTuple):
    """F of one class in one modality at each candidate threshold."""

    name: str
    modality: str
    videos: int
    used: float  # the threshold in use
    thresholds: np.ndarray  # (K,) float64 ascending: below all logits, then each distinct logit
    f: np.ndarray  # (K,) 0 to 100; NaN: no video has the class

    @classmethod
    def of(
        cls, name: str, modality: str, logits: np.ndarray, reference: np.ndarray, listed: np.ndarray, used: float
    ) -> Self:
        """Sweep one class from the logits, (V, T), of the videos that have it as a weak label.

        reference: (N, T) bool, of all videos of the split; listed: (N,) bool, which V videos those are.
        """
        total = np.count_nonzero(reference)  # also events that are no weak label, which labels can never reach
        flat, positive = logits.ravel(), reference[listed].ravel()
        order = np.argsort(flat, kind="stable")
        values, first = np.unique(flat[order], return_index=True)
        # correct labels that remain when everything up to a value is cut off
        correct_from = np.append(np.cumsum(positive[order][::-1])[::-1], 0)
        ends = np.append(first, flat.size)  # threshold k cuts off order[: ends[k]]
        tp, predicted = correct_from[ends], flat.size - ends
        denominator = predicted + total  # 2 tp + fp + fn
        f = np.divide(200.0 * tp, denominator, out=np.full(len(ends), np.nan), where=denominator > 0)
        lowest = values[0] - 1 if values.size else 0.0
        return cls(name, modality, len(logits), used, np.append(lowest, values.astype(float)), f)

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
        """The sweep in a few numbers; None if undefined."""
        values = {"class": self.name, "modality": self.modality, "videos": self.videos, "threshold": self.used}
        threshold, f = self.best() or (None, None)
        at_used = None if f is None else self.at(self.used)
        return values | {"F": at_used, "best_threshold": threshold, "best_F": f}
