"""The page of a test run: its data as JSON, inside templates/results.html.

Axes: N videos, C classes, T segments, K scores.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.llp.annotations import Evaluation, Predictions, Reference
from utils.llp.events import Segments, find_events
from utils.llp.ragged import Ragged
from utils.metrics import bootstrap
from utils.metrics import eval_metrics as metrics
from utils.metrics.eval_metrics import EXCLUSIVE_SCORE_NAMES, SCORE_NAMES
from utils.metrics.protocols import main_score, scope_notes
from utils.report.html import distinct_colours, fill, script_object

VIDEOS_AT_ONCE = 5000  # whose events are lists at a time, which take much more memory than as an array
TEMPLATE = Path(__file__).with_name("templates") / "results.html"


class ScoredRun(NamedTuple):
    """Predictions of one run on the N videos of a split, and their scores."""

    name: str
    folder: str  # of its predictions
    audio: Segments  # (N, C, T) bool
    visual: Segments  # (N, C, T) bool
    scores: np.ndarray  # (N, 10) in the order of SCORE_NAMES, 0 to 100; Type@AV of a video is the mean of its three
    exclusive: np.ndarray  # (N, 6) in the order of EXCLUSIVE_SCORE_NAMES
    by_class: dict[str, dict[str, np.ndarray]]  # audio, visual -> what class_scores returns

    @classmethod
    def of(cls, name: str, folder: str, predictions: Predictions, reference: Reference) -> "ScoredRun":
        """Score predictions for N videos."""
        audio, visual = predictions[:2]
        tables = [], []
        for start in range(0, len(audio), VIDEOS_AT_ONCE):  # counting takes much more memory than what is counted
            arrays = [array[start : start + VIDEOS_AT_ONCE] for array in (audio, visual, *reference[:2])]
            by_name = metrics.add_type_scores(metrics.video_scores(*arrays)), metrics.exclusive_scores(*arrays)
            for table, values in zip(tables, by_name, strict=True):
                table.append(np.stack(list(values.values()), axis=1))
        scores, exclusive = map(np.concatenate, tables)
        pairs = {"audio": (audio, reference.audio), "visual": (visual, reference.visual)}
        by_class = {modality: metrics.class_scores(*pair) for modality, pair in pairs.items()}
        return cls(name, folder, audio, visual, scores, exclusive, by_class)

    def ten_scores(self) -> dict[str, float]:
        """The scores as the scorer prints them, 0 to 100."""
        return metrics.ten_scores(dict(zip(SCORE_NAMES, self.scores.T, strict=True)))


class Results(NamedTuple):
    """Everything that a page shows. One run, or two to compare."""

    evaluation: Evaluation
    runs: Sequence[ScoredRun]
    curves: Sequence[dict[str, list[float | None]]] = ()  # of the runs whose log is known, the first one's first

    @property
    def filenames(self) -> list[str]:
        """Names of the N videos."""
        return self.evaluation.split.filenames

    @property
    def caution(self) -> str:
        """What a reader of the intervals should know of so few videos, or nothing."""
        count = len(self.filenames)
        if count >= bootstrap.FEW:
            return ""
        videos = "one video" if count == 1 else f"{count} videos"
        return f"Intervals mean little here: they come from {videos}, and need at least {bootstrap.FEW}."

    def worst_first(self) -> np.ndarray:
        """(N,) indices of the videos by segment-level Type@AV of the first run, then event-level Type@AV, then name."""
        seg, event = (self.runs[0].scores[:, SCORE_NAMES.index(f"{level}-type")] for level in ("Seg", "Event"))
        return np.lexsort((np.array(self.filenames), np.round(event, 9), np.round(seg, 9)))


def score_rows(results: Results) -> list[dict]:
    """Rows of tables, the ten scores and then the six of events that are heard or seen alone, all of the same draws.

    A row has name, `runs`, and of two runs `difference` and `p`; an estimate is [mean, low, high].
    """
    names = (*SCORE_NAMES, *EXCLUSIVE_SCORE_NAMES)
    scores = [np.concatenate([run.scores, run.exclusive], axis=1) for run in results.runs]  # (N, K)
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


def page_data(results: Results, rows: Sequence[dict]) -> dict:
    """What the page's script reads, but for `videos`; the keys are those that templates/results.html names.

    rows: what `score_rows` returns.
    """
    split, dataset, reference, _ = results.evaluation
    class_names = dataset.class_names
    return {
        "split": split.path.name,
        "annotations": reference.version,
        "notes": [*results.evaluation.issues, *scope_notes(dataset)],
        "caution": results.caution,
        "runs": [{"name": run.name, "folder": run.folder} for run in results.runs],
        "draws": bootstrap.DRAWS,
        "seed": bootstrap.SEED,
        "seconds": dataset.seconds,  # null if videos differ in length
        "classes": list(class_names),
        "colours": distinct_colours(len(class_names)),
        "scoreNames": list(SCORE_NAMES),
        "scores": rows[: len(SCORE_NAMES)],
        "exclusive": rows[len(SCORE_NAMES) :],
        "byClass": [
            {m: {"f": _rounded(x["F"], 2), "videos": x["videos"].tolist()} for m, x in run.by_class.items()}
            for run in results.runs
        ],
        "curves": list(results.curves),
        "valF": main_score(dataset),
    }


def video_data(results: Results) -> Iterator[list[list]]:
    """The page's `videos`, worst first, some at a time.

    Each is name, ten scores of each run, then audio and visual events of the reference and of each run; then its length
    in seconds, if videos differ in it.
    """
    order = results.worst_first()
    for start in range(0, len(order), VIDEOS_AT_ONCE):
        those = order[start : start + VIDEOS_AT_ONCE]
        names = [results.filenames[n] for n in those]
        scores = zip(*(np.round(run.scores[those], 2).tolist() for run in results.runs), strict=True)
        sources = (results.evaluation.reference, *results.runs)
        events = zip(*(_events(source.audio[those], source.visual[those]) for source in sources), strict=True)
        audio = results.evaluation.reference.audio
        lengths = zip(audio.lengths[those].tolist(), strict=True) if isinstance(audio, Ragged) else [()] * len(names)
        yield [[*video, *length] for *video, length in zip(names, scores, events, lengths, strict=True)]


def _rounded(values, digits: int) -> list[float | None]:
    """Numbers as short as they are shown; None for NaN, which JSON lacks."""
    return [None if np.isnan(x) else round(float(x), digits) for x in values]


def _events(*modalities: Segments) -> list[list[list[int]]]:
    """(N, C, T) bool of audio and visual -> for each video and modality [class, onset, offset, class, ...]."""
    videos = [[[] for _ in modalities] for _ in modalities[0]]
    for m, segments in enumerate(modalities):
        for video, *event in find_events(segments).tolist():
            videos[video][m] += event
    return videos


def render(results: Results, rows: Sequence[dict]) -> str:
    """The whole page, one HTML file. Its policy lets the browser run only its own script, and load nothing.

    rows: what `score_rows` returns.
    """
    script = re.search(r"<script>(.*?)</script>", TEMPLATE.read_text(encoding="utf-8"), re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = script_object(page_data(results, rows), "videos", video_data(results))
    return fill(TEMPLATE, {"DIGEST": f"sha256-{digest}", "DATA": data})
