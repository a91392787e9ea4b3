"""Events on a time axis: the one way to draw them, and timelines of videos.

Axes: N videos, C classes, T segments.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from utils.llp.annotations import Evaluation
from utils.llp.events import find_events
from utils.report import figures

MOST_TICKS = 20
COLOURS = {"reference": figures.BLUE, "predicted": figures.ORANGE}


def draw_events(ax: Axes, spans: Iterable[tuple[float, float]], top: float, height: float, **style) -> None:
    """Draw events as bars, given their onsets and offsets in seconds; `style`: matplotlib's, `facecolor` and so on."""
    ax.broken_barh([(onset, offset - onset) for onset, offset in spans], (top, height), **style)


def segment_spans(segments: np.ndarray) -> list[tuple[int, int]]:
    """(T,) bool -> onset and offset of each event, in seconds."""
    return [(int(onset), int(offset)) for _, _, onset, offset in find_events(segments[None, None])]


def label_rows(ax: Axes, seconds: float, names: Sequence[str]) -> None:
    """A time axis, and a row of height 1 for each name, from the top down; without names it says `no events`."""
    ax.set(xlim=(0, seconds), ylim=(max(len(names), 1), 0))
    ax.set_yticks(np.arange(len(names)) + 0.5, names, parse_math=False)
    ax.set_axisbelow(True)
    ax.grid(axis="x", linewidth=0.4)
    if not len(names):
        ax.text(0.5, 0.5, "no events", transform=ax.transAxes, ha="center", va="center", color="grey")


def tick_seconds(ax: Axes, seconds: int) -> None:
    """A tick at each second, unless there are too many."""
    if seconds <= MOST_TICKS:
        ax.set_xticks(range(seconds + 1))


def draw_video(ax: Axes, reference: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> None:
    """One panel: reference and predicted events of one video in one modality, (C, T) bool each."""
    classes = np.flatnonzero(reference.any(axis=1) | predicted.any(axis=1))
    for y, c in enumerate(classes):
        draw_events(ax, segment_spans(reference[c]), y + 0.06, 0.42, color=COLOURS["reference"])
        draw_events(ax, segment_spans(predicted[c]), y + 0.5, 0.42, color=COLOURS["predicted"])
    label_rows(ax, reference.shape[-1], [class_names[c] for c in classes])
    tick_seconds(ax, reference.shape[-1])


def plot_timelines(path: Path, evaluation: Evaluation, chosen: Sequence[int], title: str = "") -> None:
    """Draw the videos with the indices `chosen`, reference above prediction, to a .png, .pdf or .svg file."""
    pairs = list(zip(evaluation.reference[:2], evaluation.predictions[0][:2], strict=True))  # (N, C, T); audio, visual
    heights = [max(1, *((a[n] | b[n]).any(axis=1).sum() for a, b in pairs)) + 0.9 for n in chosen]
    lengths = [pairs[0][0][n].shape[-1] for n in chosen]
    figure, axes = figures.panels(heights, (12, 0.9 + 0.42 * sum(heights)), lengths)
    for row, n in zip(axes, chosen, strict=True):
        for ax, modality, pair in zip(row, ("audio", "visual"), pairs, strict=True):
            draw_video(ax, *(segments[n] for segments in pair), evaluation.class_names)
            ax.set_title(f"{evaluation.split.filenames[n]}, {modality}", fontsize=9, parse_math=False)
    handles = [Patch(color=colour, label=label) for label, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
    figures.save(figure, path)
