"""Figures of a test run for papers: timelines of some videos and scores of all classes, as PNG and as vector PDF.

Axes: N videos, C classes, T segments.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from utils.llp.events import Segments
from utils.metrics.eval_metrics import SCORE_NAMES
from utils.report import figures
from utils.report.html import OKABE_ITO, class_colours
from utils.report.page import Results
from utils.report.timelines import draw_events, label_rows, segment_spans, tick_seconds

WIDTH = 7.0  # inches, two columns of a paper
DPI = 300
# Type 42: fonts stay text, as publishers ask for
STYLE = {"pdf.fonttype": 42, "font.size": 7, "hatch.linewidth": 0.5, "axes.linewidth": 0.5}
HATCHES = ("", "////", "....", "xxxx", "----", "oooo")  # of the first seven classes, the next seven, ...
MODALITIES = ("audio", "visual")
NAME_WIDTH = 16  # characters of a line


def write_figures(folder: Path, results: Results, names: Sequence[str] | None = None) -> list[Path]:
    """Write timelines.{png,pdf} of the videos `names` (default: worst, median, best) and classes.{png,pdf}."""
    with plt.rc_context(STYLE):
        drawn = {"timelines": draw_timelines(results, choose(results, names)), "classes": draw_classes(results)}
        paths = [folder / f"{name}{suffix}" for name in drawn for suffix in (".png", ".pdf")]
        for path in paths:
            figures.save(drawn[path.stem], path, dpi=DPI)
    return paths


def choose(results: Results, names: Sequence[str] | None) -> dict[int, str]:
    """Index of each video to draw -> a note on it; without `names` the worst, the median and the best video."""
    if names:
        return {results.filenames.index(name): "" for name in names}
    order = results.worst_first()
    said = {}
    for text, place in (("worst", 0), ("median", (len(order) - 1) // 2), ("best", -1)):
        said.setdefault(int(order[place]), text)
    return said


def draw_timelines(results: Results, chosen: dict[int, str]) -> Figure:
    """A row of panels per video, audio and visual; in a panel a row for the reference and one for each run."""
    rows = _rows(results)
    classes = {n: np.flatnonzero(np.any([x[n].any(axis=1) for _, *pair in rows for x in pair], 0)) for n in chosen}
    heights = [0.34 + len(rows) * max(0.2, 0.085 * len(classes[n])) for n in chosen]
    lengths = [results.evaluation.reference.audio[n].shape[-1] for n in chosen]
    figure, axes = figures.panels(heights, (WIDTH, sum(heights) + 0.6), lengths)
    for (n, said), pair in zip(chosen.items(), axes, strict=True):
        score = results.runs[0].scores[n, SCORE_NAMES.index("Seg-type")]
        note = f" ({said}, Type@AV {score:.1f})" if said else ""
        for m, ax in enumerate(pair):
            draw_panel(ax, [(row[0], row[1 + m][n]) for row in rows], classes[n])
            ax.set_title(f"{results.filenames[n]}, {MODALITIES[m]}{note}", fontsize=7, loc="left", parse_math=False)
    shown = sorted({int(c) for row in classes.values() for c in row})
    colours, names = class_colours(len(results.evaluation.class_names)), results.evaluation.class_names
    handles = [Patch(**_fill(colours, c), label=names[c].replace("_", " ")) for c in shown]
    if handles:
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _rows(results: Results) -> list[tuple[str, Segments, Segments]]:
    """What is drawn in each row: name, audio and visual (N, C, T)."""
    runs = [(_wrapped(run.name), run.audio, run.visual) for run in results.runs]
    return [("reference", *results.evaluation.reference[:2]), *runs]


def _wrapped(name: str) -> str:
    """The name of a run, in lines that leave room for what is drawn."""
    return textwrap.fill(name, NAME_WIDTH)


def _fill(colours: Sequence[str], c: int) -> dict:
    """How class `c` is filled: its colour, and a hatch if an earlier class has the same colour."""
    hatch = HATCHES[c // len(OKABE_ITO) % len(HATCHES)]
    return {"facecolor": colours[c], "edgecolor": "black", "linewidth": 0.4, "hatch": hatch}


def draw_panel(ax: Axes, rows: Sequence[tuple[str, np.ndarray]], classes: np.ndarray) -> None:
    """Events of one video in one modality: name and (C, T) bool of each row, in which each of `classes` has a lane."""
    (C, seconds), lane = rows[0][1].shape, 0.84 / max(1, len(classes))
    colours = class_colours(C)
    label_rows(ax, seconds, [name for name, _ in rows])
    for y, (_, segments) in enumerate(rows):
        for k, c in enumerate(classes):
            draw_events(ax, segment_spans(segments[c]), y + 0.08 + k * lane, 0.9 * lane, **_fill(colours, c))
        if y:
            ax.axhline(y, color="grey", linewidth=0.4)
    tick_seconds(ax, seconds)
    ax.tick_params(length=0, axis="y")


def draw_classes(results: Results) -> Figure:
    """Segment-level F of each class, audio and visual side by side; two runs below each other."""
    names = results.evaluation.class_names
    y, thickness = np.arange(len(names)), 0.8 / len(results.runs)
    height = 0.7 + len(names) * (0.13 + 0.07 * len(results.runs))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, height), sharey=True, layout="constrained")
    for ax, modality, colour in zip(axes, MODALITIES, (figures.BLUE, figures.ORANGE), strict=True):
        for r, run in enumerate(results.runs):
            look = {"facecolor": "white" if r else colour, "hatch": "//////" if r else "", "edgecolor": colour}
            f, place = run.by_class[modality]["F"], y + (r + 0.5) * thickness - 0.4
            ax.barh(place, np.nan_to_num(f), 0.9 * thickness, **look, linewidth=0.5, label=_wrapped(run.name))
            for c in np.flatnonzero(np.isnan(f)):
                ax.text(1, place[c], "in no video", va="center", fontsize=5, color="grey")
        ax.set_title(modality, fontsize=7)
        ax.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6), xlabel="segment-level F (%)")
        ax.set_axisbelow(True)
        ax.grid(axis="x", linewidth=0.3)
        if len(results.runs) > 1:
            for text in ax.legend(frameon=False).get_texts():
                text.set_parse_math(False)
    axes[0].set_yticks(y, [name.replace("_", " ") for name in names], parse_math=False)
    return figure
