"""Figure of a threshold sweep: F of pseudo labels against the threshold."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from utils.metrics.threshold_sweep import Sweep
from utils.report import figures

COLOURS = {"audio": figures.BLUE, "visual": figures.ORANGE}


def draw_sweeps(path: Path, sweeps: list[Sweep]) -> None:
    """One small plot for each class: F against the threshold, a line per modality, dotted at the threshold in use."""
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
