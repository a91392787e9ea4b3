"""Score tables for the terminal and CSV.

Axes: N videos, C classes, T segments.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from prettytable import PrettyTable

from utils.base.files import atomic_path
from utils.llp.annotations import Reference
from utils.llp.events import Segments
from utils.metrics.eval_metrics import SCORE_NAMES, class_scores, event_set_scores

# CLIP's and CLAP's labels on LLP's test split, segment level, as measured by UWAV (CVPR 2025)
PUBLISHED_TEACHERS = dict(zip(SCORE_NAMES, (80.5, 61.7, 55.7, 66.0, 74.6), strict=False))
COUNTS = ("videos", "TP", "FP", "FN")  # in addition to F, for each class and modality
WIDTH, NAME_WIDTH = 100, 36  # characters of a table, and of the names in its first column


def score_table(rows: dict[str, dict[str, float | None]], first_column: str = "Dataset") -> str:
    """The published table: one row of scores for each name, ten for LLP, two decimals; `-` for None and NaN.

    Columns that do not fit beside each other in WIDTH stand in several tables below each other, LLP's in two.
    """
    keys = list(dict.fromkeys(key for scores in rows.values() for key in scores))
    for count in range(1, max(1, len(keys)) + 1):
        text = "\n".join(_score_columns(rows, first_column, part.tolist()) for part in np.array_split(keys, count))
        if max(map(len, text.splitlines())) <= WIDTH:
            break
    return text


def _score_columns(rows: dict[str, dict[str, float | None]], first_column: str, keys: Sequence[str]) -> str:
    table = PrettyTable([first_column, *keys])
    table.max_width[first_column] = NAME_WIDTH
    for name, scores in rows.items():
        values = [scores.get(key) for key in keys]
        table.add_row([name, *("-" if x is None or np.isnan(x) else f"{x:.2f}" for x in values)])
    return table.get_string()


def plain_scores(scores: dict[str, float]) -> dict[str, float | None]:
    """Scores as JSON has them: None for NaN."""
    return {name: None if np.isnan(value) else value for name, value in scores.items()}


def write_video_scores(path: Path, filenames: Sequence[str], per_video: dict[str, np.ndarray]) -> None:
    """Write a comma-separated CSV: filename and the scores of each video, (N,), 0 to 100, full precision."""
    frame = pd.DataFrame({"filename": filenames, **per_video})
    with atomic_path(path) as tmp:
        frame.to_csv(tmp, index=False)


def class_report(
    pred_audio: Segments,
    pred_visual: Segments,
    reference: Reference,
    class_names: Sequence[str],
    av_only: bool = False,
) -> str:
    """Segment-level scores of each class, and F of each video's set of events; predictions: (N, C, T) bool.

    av_only: sound and picture are annotated together.
    """
    pairs = {
        "audio": (pred_audio, reference.audio),
        "visual": (pred_visual, reference.visual),
        "audio-visual": (pred_audio & pred_visual, reference.audio & reference.visual),
    }
    if av_only:
        pairs = {"audio-visual": pairs["audio-visual"]}
    tables = [_class_table(modality, class_scores(*pair), class_names) for modality, pair in pairs.items()]

    if not av_only:
        pairs["audio or visual"] = (pred_audio | pred_visual, reference.audio | reference.visual)
    sets = PrettyTable(["video-level F of the event sets", *pairs])
    sets.add_row(["mean over videos", *(f"{event_set_scores(*pair).mean():.2f}" for pair in pairs.values())])
    note = "Segments by class: F is the mean over the `videos` in which prediction or reference has the class."
    return "\n".join([note, *tables, str(sets)])


def _class_table(modality: str, result: dict[str, np.ndarray], class_names: Sequence[str]) -> str:
    """What `class_scores` returns, (C,) each, a row for each class."""
    table = PrettyTable(["class", f"{modality} F", *COUNTS], align="r")
    table.align["class"] = "l"
    for name, f, *counts in zip(class_names, result["F"], *(result[key] for key in COUNTS), strict=True):
        table.add_row([name, "-" if np.isnan(f) else f"{f:.2f}", *map(int, counts)])
    return table.get_string()
