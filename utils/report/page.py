"""The page on which a test run is read: what it shows as JSON, inside utils/templates/results.html.

Axes: N videos, C classes, T segments, K scores.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.llp.annotations import Reference
from utils.llp.videos import Split
from utils.metrics import bootstrap
from utils.metrics.eval_metrics import (
    EXCLUSIVE_SCORE_NAMES,
    SCORE_NAMES,
    class_scores,
    exclusive_scores,
    ten_scores,
    video_scores,
)
from utils.report.html import class_colours, script_json

TEMPLATE = Path(__file__).with_name("templates") / "results.html"


class Run(NamedTuple):
    """Predictions of one run on the N videos of a split, and what they are worth."""

    name: str
    audio: np.ndarray  # (N, C, T) bool
    visual: np.ndarray  # (N, C, T) bool
    scores: np.ndarray  # (N, 10) in the order of SCORE_NAMES, 0 to 100; Type@AV of a video is the mean of its three
    exclusive: np.ndarray  # (N, 6) in the order of exclusive_scores.NAMES
    by_class: dict[str, dict[str, np.ndarray]]  # audio, visual -> what class_scores returns

    @classmethod
    def of(cls, name: str, audio: np.ndarray, visual: np.ndarray, truth: Reference) -> "Run":
        """Score predictions, (N, C, T) bool."""
        arrays = (audio, visual, truth.audio, truth.visual)
        per_video = video_scores(*arrays)
        for level in ("Seg", "Event"):
            per_video[f"{level}-type"] = sum(per_video[f"{level}-{kind}"] for kind in ("a", "v", "av")) / 3
        exclusive = exclusive_scores(*arrays)
        return cls(
            name,
            audio,
            visual,
            np.stack([per_video[key] for key in SCORE_NAMES], axis=1),
            np.stack([exclusive[key] for key in EXCLUSIVE_SCORE_NAMES], axis=1),
            {"audio": class_scores(audio, truth.audio), "visual": class_scores(visual, truth.visual)},
        )

    def ten_scores(self) -> dict[str, float]:
        """The scores as the scorer gives them."""
        return ten_scores(dict(zip(SCORE_NAMES, self.scores.T, strict=True)))


class Results(NamedTuple):
    """Everything that a page says. One run, or two to compare."""

    split: Split
    truth: Reference
    runs: Sequence[Run]
    class_names: Sequence[str]
    curves: dict[str, list[float | None]] | None  # of training_log.read_curves
    notes: Sequence[str]

    def worst_first(self) -> np.ndarray:
        """Indices of the videos by segment-level Type@AV of the first run, then by the event level's, then by name."""
        seg, event = (self.runs[0].scores[:, SCORE_NAMES.index(f"{level}-type")] for level in ("Seg", "Event"))
        return np.lexsort((np.array(self.split.filenames), np.round(event, 9), np.round(seg, 9)))


def score_rows(names: Sequence[str], scores: Sequence[np.ndarray]) -> list[dict]:
    """Rows of a table: name, `runs`, and of two runs `difference` and `p`; an estimate is [mean, low, high].

    Args: names: K; scores: (N, K) of each run.
    """
    p = None
    if len(scores) == 2:
        *estimates, p = bootstrap.compare(*scores)
    else:
        estimates = [bootstrap.estimate(scores[0], bootstrap.draw_means(scores[0]))]
    rows = []
    for k, name in enumerate(names):
        values = [_rounded([x[k] for x in one], 4) for one in estimates]
        row = {"name": name, "runs": values[: len(scores)]}
        rows.append(row if p is None else {**row, "difference": values[2], "p": float(p[k])})
    return rows


def page_data(results: Results) -> dict:
    """What the page's script reads; the keys are those that utils/templates/results.html names."""
    filenames, truth, runs = results.split.filenames, results.truth, results.runs
    order = results.worst_first()
    events = [_events(x.audio, x.visual) for x in (truth, *runs)]
    return {
        "split": results.split.path.name,
        "annotations": truth.version,
        "notes": list(results.notes),
        "runs": [run.name for run in runs],
        "draws": bootstrap.DRAWS,
        "seed": bootstrap.SEED,
        "seconds": truth.audio.shape[-1],
        "classes": list(results.class_names),
        "colours": class_colours(len(results.class_names)),
        "scoreNames": list(SCORE_NAMES),
        "scores": score_rows(SCORE_NAMES, [run.scores for run in runs]),
        "exclusive": score_rows(EXCLUSIVE_SCORE_NAMES, [run.exclusive for run in runs]),
        "byClass": [
            {m: {"f": _rounded(x["F"], 2), "videos": x["videos"].tolist()} for m, x in run.by_class.items()}
            for run in runs
        ],
        "curves": results.curves,
        # name, ten scores of each run, then audio and visual events of the truth and of each run
        "videos": [[filenames[n], [_rounded(run.scores[n], 2) for run in runs], [e[n] for e in events]] for n in order],
    }


def _rounded(values, digits: int) -> list[float | None]:
    """Numbers as short as they are shown; None for NaN, which JSON has not."""
    return [None if np.isnan(x) else round(float(x), digits) for x in values]


def _events(*modalities: np.ndarray) -> list[list[list[int]]]:
    """(N, C, T) bool of audio and visual -> for each video and modality [class, onset, offset, class, ...]."""
    videos = [[[] for _ in modalities] for _ in modalities[0]]
    for m, segments in enumerate(modalities):
        padded = np.pad(segments, ((0, 0), (0, 0), (1, 1)))
        n, c, boundary = np.nonzero(padded[..., 1:] != padded[..., :-1])  # onsets and offsets alternate
        rows = zip(n[::2], c[::2], boundary[::2], boundary[1::2], strict=True)
        for video, *event in rows:
            videos[video][m] += map(int, event)
    return videos


def render(results: Results) -> str:
    """The whole page, one HTML file. Its policy lets only its own script run, and nothing be loaded."""
    before, after = TEMPLATE.read_text(encoding="utf-8").split("@DATA@")
    script = re.search(r"<script>(.*?)</script>", after, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return before.replace("@DIGEST@", f"sha256-{digest}") + script_json(page_data(results)) + after
