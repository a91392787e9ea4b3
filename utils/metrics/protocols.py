"""The scores of each data set: LLP's ten, and what its field publishes.

Axes: N videos, S seconds of all videos, M = 2 modalities (audio, visual), C classes, T segments.
"""

from collections.abc import Mapping

import numpy as np

from utils.base.errors import InputError
from utils.llp.annotations import Reference
from utils.llp.datasets import DataSet
from utils.llp.events import Segments
from utils.llp.probabilities import Probabilities
from utils.llp.ragged import Ragged
from utils.metrics import accuracy
from utils.metrics.average_precision import mean_average_precision
from utils.metrics.decision_thresholds import DEFAULT, Thresholds
from utils.metrics.eval_metrics import SCORE_NAMES, THRESHOLD, binarize, ten_scores, video_scores
from utils.metrics.tables import score_table

RULES = ("argmax", "gate", "event")
# how the names of the scores begin that the field publishes for such a data set
OWN = {"f": (), "map": ("mAP", "Event-a", "Event-v", "Event-type"), "accuracy": ("accuracy", "floor")}
AV_NAMES = tuple(name for name in SCORE_NAMES if name.endswith("-av"))
# their mean tells the best epoch
BEST_BY = {"f": ("Seg-type",), "map": ("mAP", "Event-type"), "accuracy": ("accuracy",)}


def score_names(dataset: DataSet) -> tuple[str, ...]:
    """Those of LLP's ten that the data set's annotations allow: of audio-visual truth, audio-visual scores alone."""
    return AV_NAMES if dataset.av_only else SCORE_NAMES


def main_score(dataset: DataSet) -> str:
    """The one of LLP's ten that stands for them: curves show it, and thresholds are chosen by it."""
    return "Seg-av" if dataset.av_only else "Seg-type"


def best_by(dataset: DataSet) -> tuple[str, ...]:
    """The scores whose mean tells the best epoch on validation videos."""
    return AV_NAMES if dataset.metrics == "f" and dataset.av_only else BEST_BY[dataset.metrics]


def decide(dataset: DataSet, said: Probabilities, thresholds: Thresholds = DEFAULT) -> tuple[Segments, Segments]:
    """Audio and visual decisions, (N, C, T) bool each, or Ragged if videos differ in length, by the data set's gate."""
    return binarize(*said.arrays(dataset), *thresholds, lengths=said.ragged(dataset))


def second_rows(segments: Segments) -> np.ndarray:
    """(N, C, T) bool, or Ragged -> second after second, (S, C)."""
    return segments.rows if isinstance(segments, Ragged) else segments.transpose(0, 2, 1).reshape(-1, segments.shape[1])


def all_scores(
    dataset: DataSet,
    said: Probabilities | None,
    decided: tuple[Segments, Segments] | None,
    reference: Reference,
    rule: str | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The scores that a data set has: its F-scores, of each video, (N,), and the means of all, its own scores first.

    said: what else than decisions is scored. decided: audio and visual, (N, C, T) each; None: no F-scores.
    rule: one of RULES, by which accuracy is computed; None: by all of them, `event` first.
    Raises InputError if what a rule needs is missing.
    """
    per_video, scores = {}, {}
    if decided:
        found = video_scores(*decided, reference.audio, reference.visual)
        means, names = ten_scores(found), score_names(dataset)
        per_video = {name: values for name, values in found.items() if name in names}
        scores = {name: means[name] for name in names}
    if dataset.metrics == "map" and said:
        rows = second_rows(reference.audio), second_rows(reference.visual)
        scores = mean_average_precision(said.frame_prob, *rows) | scores
    if dataset.metrics == "accuracy":
        truth = single_truth(reference.audio)
        rules = [rule] if rule else ["event", "argmax", "gate"]
        found = [rule_classes(one, said, decided) for one in rules]
        names = ["accuracy", *(f"accuracy_{other}" for other in rules[1:])]
        own = {name: accuracy.of(*pair, truth) for name, *pair in zip(names, rules, found, strict=True)}
        scores = own | accuracy_floors(reference.audio, truth) | scores
        per_video = {"accuracy": 100 * (found[0] == truth).reshape(len(reference.audio), -1).mean(axis=1)} | per_video
    return per_video, scores


def never_annotated(dataset: DataSet, reference: Reference) -> list[str]:
    """A line about classes, and in brackets of what, without which mean average precision is not defined."""
    if dataset.metrics != "map":
        return []
    kinds = {"audio": reference.audio, "visual": reference.visual, "both": reference.audio & reference.visual}
    missing = {kind: np.flatnonzero(~segments.any(axis=-1).any(axis=0)) for kind, segments in kinds.items()}
    named = [f"{dataset.class_names[c]} ({kind})" for kind, classes in missing.items() for c in classes]
    more = ", ..." if len(named) > 5 else ""
    text = (
        f"no second of these videos has {', '.join(named[:5])}{more}: mAP is not defined, and the best epoch is that of"
    )
    return [f"{text} the other scores"] if named else []


def scope_notes(dataset: DataSet) -> list[str]:
    """What a reader of LLP's ten scores should know of a data set."""
    notes = []
    if dataset.av_only:
        notes.append("sound and picture are annotated together: all scores here are audio-visual ones")
    if OWN[dataset.metrics]:
        notes.append(f"these are LLP's scores; score_predictions.py has those that are published for {dataset.name}")
    return notes


def tables_text(dataset: DataSet, rows: Mapping[str, Mapping[str, float]], first_column: str = "Dataset") -> str:
    """A row of scores for each name. The data set's own scores have a table of their own above those of LLP."""
    own = OWN[dataset.metrics]
    kept = [lambda name: name.startswith(own), lambda name: name in SCORE_NAMES]
    texts = []
    for is_kept in kept[not own :]:
        table = {title: {name: x for name, x in scores.items() if is_kept(name)} for title, scores in rows.items()}
        texts += [score_table(table, first_column)] if any(table.values()) else []
    shared = [name for name in SCORE_NAMES if name.startswith(own)] if own else []
    of_them = f"only {', '.join(shared)}" if shared else "none"
    title = f"LLP's scores of the same decisions, for comparison; of these, {of_them} are published for {dataset.name}:"
    return f"\n{title}\n".join(texts)


def single_truth(segments: Segments) -> np.ndarray:
    """(N, C, T) bool with at most one event a second -> (S,) int, its class, or C for background.

    Raises InputError if a second has several.
    """
    rows = second_rows(segments)
    if several := int((rows.sum(axis=1) > 1).sum()):
        raise InputError(f"{several} seconds are annotated with several events; accuracy is for one event a second")
    return np.where(rows.any(axis=1), rows.argmax(axis=1), rows.shape[1])


def with_events(said: Probabilities) -> Probabilities:
    """The same with what AVE's rules are about, made of probabilities of two modalities.

    An event that is heard and seen is as probable as the less probable of the two. Background scores 0.5 in every
    second; the gate is the logit of the video's most probable event, so that it opens at 0.5, too.
    """
    both = said.frame_prob.min(axis=1)  # (S, C)
    background = np.full((len(both), 1), THRESHOLD, both.dtype)
    of_video = np.repeat(said.global_prob.argmax(axis=1), said.lengths)  # (S,)
    chosen = np.take_along_axis(both, of_video[:, None], axis=1)[:, 0].astype(np.float64).clip(1e-12, 1 - 1e-12)
    gate = np.log(chosen) - np.log1p(-chosen)
    return said._replace(frame_score=np.concatenate([both, background], axis=1), gate=gate, event=said.global_prob)


def rule_classes(rule: str, said: Probabilities | None, decided: tuple[Segments, Segments] | None = None) -> np.ndarray:
    """The class of each second, or C for background, by one of RULES: (S,) int.

    decided: audio and visual, (N, C, T) each; of several events in a second `event` takes the most probable, or, if
    nothing but decisions is known, the first. Without decisions it decides by `event` and `gate`.
    Raises InputError if what the rule needs is missing.
    """
    needed = {"argmax": ("frame_score",), "gate": ("event", "gate"), "event": () if decided else ("event", "gate")}
    if missing := [name for name in needed[rule] if getattr(said, name, None) is None]:
        raise InputError(f"the probabilities have no {' and no '.join(missing)}, which --rule {rule} needs")
    if rule == "argmax":
        return said.frame_score.argmax(axis=1)
    if rule == "gate":
        return accuracy.gate_classes(said.event, said.gate)
    if decided is None:
        return accuracy.event_classes(accuracy.decisions(said.event, said.gate))
    both = second_rows(decided[0] & decided[1])  # (S, C)
    score = np.where(both, said.frame_prob.min(axis=1) if said else 1.0, -1.0)
    return np.where(both.any(axis=1), score.argmax(axis=1), both.shape[1])


def accuracy_floors(segments: Segments, truth: np.ndarray) -> dict[str, float]:
    """What is reached without localisation: background everywhere, and the video's event everywhere.

    segments: (N, C, T) bool. truth: (S,) int, their `single_truth`.
    """
    video_class = segments.any(axis=-1).argmax(axis=1)  # (N,)
    return accuracy.floors(truth, video_class, segments.shape[2], segments.shape[1])
