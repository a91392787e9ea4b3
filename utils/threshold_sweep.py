"""F of pseudo labels against a class's threshold: every threshold that makes a difference, and the best one.

Axes: V videos that have the class as a weak label, T segments, K candidate thresholds.
"""

from pathlib import Path
from typing import NamedTuple, Self

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from utils import figures

COLOURS = {"audio": figures.BLUE, "visual": figures.ORANGE}


class Sweep(NamedTuple):
    """F of one class in one modality at each candidate threshold."""

    name: str
    modality: str
    videos: int
    used: float  # the threshold in use
    thresholds: np.ndarray  # (K,) float64 ascending: below all logits, then each distinct logit
    f: np.ndarray  # (K,) 0 to 100; a label is 1 where its logit is above the threshold. NaN: no video has the class

    @classmethod
    def of(
        cls, name: str, modality: str, logits: np.ndarray, reference: np.ndarray, listed: np.ndarray, used: float
    ) -> Self:
        """Sweep one class.

        Args:
            logits: (V, T), of the videos that have the class as a weak label.
            reference: (N, T) bool, of all videos of the split.
            listed: (N,) bool, which V videos those are.
            used: the threshold in use.
        """
        total = np.count_nonzero(reference)  # also what labels can never reach: events that are no weak label
        flat, true = logits.ravel(), reference[listed].ravel()
        order = np.argsort(flat, kind="stable")
        values, first = np.unique(flat[order], return_index=True)
        # labels that are left when everything up to a value is cut off
        true_from = np.append(np.cumsum(true[order][::-1])[::-1], 0)
        ends = np.append(first, flat.size)  # threshold k cuts off order[: ends[k]]
        tp, predicted = true_from[ends], flat.size - ends
        denominator = predicted + total  # 2 tp + fp + fn
        f = np.divide(200.0 * tp, denominator, out=np.full(len(ends), np.nan), where=denominator > 0)
        lowest = values[0] - 1 if values.size else 0.0
        return cls(name, modality, len(logits), used, np.append(lowest, values.astype(float)), f)

    def at(self, threshold: float) -> float:
        """F at any threshold."""
        return float(self.f[max(np.searchsorted(self.thresholds, np.float32(threshold), side="right") - 1, 0)])

    def best(self) -> tuple[float, float] | None:
        """The best threshold and its F; None where no video has the class, or no label could be right.

        All thresholds from one logit to the next give the same labels: the middle is taken, and rounded as far as that
        does not change them. Of equals, the lowest.
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
        """The sweep in a few numbers; None for what there is not."""
        best = self.best()
        return {
            "class": self.name, "modality": self.modality, "videos": self.videos, "threshold": self.used,
            "F": self.at(self.used) if best else None,
            "best_threshold": best[0] if best else None, "best_F": best[1] if best else None,
        }  # fmt: skip


def draw(path: Path, sweeps: list[Sweep]) -> None:
    """One small plot for each class: F against the threshold, a line per modality, dotted at the one in use."""
    names = list(dict.fromkeys(s.name for s in sweeps))
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.2 * rows), squeeze=False, layout="constrained")
    for ax, name in zip(axes.flat, names, strict=False):
        ax.set_title(name, fontsize=9)
        ax.set_ylim(0, 100)
        ax.tick_params(labelsize=7)
        for s in (s for s in sweeps if s.name == name and s.best()):
            ax.step(s.thresholds, s.f, where="post", color=COLOURS[s.modality], label=s.modality, linewidth=1)
            ax.axvline(s.used, color=COLOURS[s.modality], linestyle=":", linewidth=1)
            ax.plot(*s.best(), "o", color=COLOURS[s.modality], markersize=3)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    handles = [Line2D([], [], color=colour, label=modality) for modality, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    figure.supxlabel("threshold (dotted: in use; dot: best)", fontsize=9)
    figure.supylabel("F of segments (%)", fontsize=9)
    figures.save(figure, path)
