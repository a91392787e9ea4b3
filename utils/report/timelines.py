"""Events on the time axis of each video.

Axes: N videos, C classes, T segments."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from utils.llp.classes import CLASS_NAMES
from utils.llp.events import segments_to_events
from utils.report import figures

TRUE_COLOUR, PREDICTED_COLOUR = figures.BLUE, figures.ORANGE


def draw_video(ax: Axes, true: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> None:
    """One panel: annotated and predicted events of one video in one modality, (C, T) bool each."""
    rows = np.flatnonzero(true.any(axis=1) | predicted.any(axis=1))
    for y, c in enumerate(rows):
        for segments, colour, top in ((true[c], TRUE_COLOUR, y + 0.06), (predicted[c], PREDICTED_COLOUR, y + 0.5)):
            events = segments_to_events(segments[None, None], [""], [""])
            bars = [(onset, offset - onset) for onset, offset in zip(events.onset, events.offset, strict=True)]
            ax.broken_barh(bars, (top, 0.42), color=colour)
    seconds = true.shape[-1]
    ax.set(xlim=(0, seconds), ylim=(max(len(rows), 1), 0), xticks=range(seconds + 1))
    ax.set_yticks(np.arange(len(rows)) + 0.5, [class_names[c] for c in rows])
    ax.set_axisbelow(True)
    ax.grid(axis="x", linewidth=0.4)
    if not len(rows):
        ax.text(0.5, 0.5, "no events", transform=ax.transAxes, ha="center", va="center", color="grey")


def plot_timelines(
    path: Path,
    filenames: Sequence[str],
    truth: dict[str, np.ndarray],
    predictions: dict[str, np.ndarray],
    class_names: Sequence[str] = CLASS_NAMES,
    title: str = "",
) -> None:
    """Draw all of `filenames`, N videos.

    Args:
        path: .png, .pdf or .svg. truth, predictions: `audio` and `visual`, (N, C, T) bool each.
    """
    shown = [truth[m] | predictions[m] for m in ("audio", "visual")]
    heights = [max(1, max(x[n].any(axis=1).sum() for x in shown)) + 0.9 for n in range(len(filenames))]
    figure, axes = plt.subplots(
        len(filenames),
        2,
        figsize=(12, 0.9 + 0.42 * sum(heights)),
        squeeze=False,
        sharex=True,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for n, name in enumerate(filenames):
        for ax, modality in zip(axes[n], ("audio", "visual"), strict=True):
            draw_video(ax, truth[modality][n], predictions[modality][n], class_names)
            ax.set_title(f"{name}, {modality}", fontsize=9, parse_math=False)
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    figure.legend(
        handles=[Patch(color=TRUE_COLOUR, label="annotated"), Patch(color=PREDICTED_COLOUR, label="predicted")],
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
    figures.save(figure, path)
