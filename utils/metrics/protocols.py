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
from utils.metrics.average_precision import mean_average_precision
from utils.metrics.decision_thresholds import DEFAULT, Thresholds
from utils.metrics.eval_metrics import SCORE_NAMES, binarize, ten_scores, video_scores

RULES = ("argmax", "gate", "event")
AV_NAMES = tuple(name for name in SCORE_NAMES if name.endswith("-av"))
BEST_BY = {
    "f": ("Seg-type",),
    "map": ("mAP", "Event-type"),
    "accuracy": ("accuracy",),
}  # their mean tells the best epoch


def score_names(dataset: DataSet) -> tuple[str, ...]:
    """Those of LLP's ten that the data set's annotations allow: of audio-visual truth, audio-visual scores alone."""
    return SCORE_NAMES if len(dataset.modalities) > 1 else AV_NAMES


def best_by(dataset: DataSet) -> tuple[str, ...]:
    """The scores whose mean tells the best epoch on validation videos."""
    return AV_NAMES if dataset.metrics == "f" and len(dataset.modalities) == 1 else BEST_BY[dataset.metrics]


def f_scores_of(dataset: DataSet, per_video: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
    """What `video_scores` returns -> the scores that the data set has: of each video, (N,), and their means."""
    names = score_names(dataset)
    means = ten_scores(per_video)
    return {n: x for n, x in per_video.items() if n in names}, {n: means[n] for n in names}


def decide(dataset: DataSet, said: Probabilities, thresholds: Thresholds = DEFAULT) -> tuple[Segments, Segments]:
    """Audio and visual decisions, (N, C, T) bool each, or Ragged if videos differ in length, by the data set's gate."""
    return binarize(*said.arrays(dataset), *thresholds, lengths=said.ragged(dataset))


def second_rows(segments: Segments) -> np.ndarray:
    """(N, C, T) bool, or Ragged -> second after second, (S, C)."""
    return segments.rows if isinstance(segments, Ragged) else segments.transpose(0, 2, 1).reshape(-1, segments.shape[1])


def all_scores(
    dataset: DataSet, said: Probabilities, decided: tuple[Segments, Segments], reference: Reference
) -> dict[str, float]:
    """The means of the F-scores that a data set has, and its own scores. decided: audio and visual, (N, C, T) each."""
    per_video = video_scores(*decided, reference.audio, reference.visual)
    _, scores = f_scores_of(dataset, per_video)
    if dataset.metrics == "map":
        rows = second_rows(reference.audio), second_rows(reference.visual)
        scores = mean_average_precision(said.frame_prob, *rows) | scores
    if dataset.metrics == "accuracy":
        truth = single_truth(reference.audio)
        by_rule = {rule: rule_accuracy(rule, said, truth, decided) for rule in RULES}
        own = {"accuracy": by_rule["event"], **{f"accuracy_{rule}": by_rule[rule] for rule in ("argmax", "gate")}}
        scores = own | accuracy_floors(reference.audio) | scores
    return scores


def single_truth(segments: Segments) -> np.ndarray:
    """(N, C, T) bool with at most one event a second -> (S,) int, its class, or C for background."""
    rows = second_rows(segments)
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


def rule_accuracy(
    rule: str, said: Probabilities, truth: np.ndarray, decided: tuple[Segments, Segments] | None = None
) -> float:
    """Accuracy in percent over the classes and background, by one of RULES.

    truth: (S,) int, as `single_truth` makes it. decided: audio and visual, (N, C, T) each; of several events in a second
    `event` takes the most probable. Without them it decides by `event` and `gate`.
    Raises InputError if what the rule needs is missing.
    """
    needed = {"argmax": ("frame_score",), "gate": ("event", "gate"), "event": () if decided else ("event", "gate")}
    if missing := [name for name in needed[rule] if getattr(said, name) is None]:
        raise InputError(f"the probabilities have no {' and no '.join(missing)}, which --rule {rule} needs")
    if rule == "argmax":
        return accuracy.argmax_accuracy(said.frame_score, truth)
    if rule == "gate":
        return accuracy.gate_accuracy(said.event, said.gate, truth)
    if decided is None:
        return accuracy.event_accuracy(accuracy.decisions(said.event, said.gate), truth)
    both = second_rows(decided[0] & decided[1])  # (S, C)
    score = np.where(both, said.frame_prob.min(axis=1), -1.0)
    single = both & (np.arange(both.shape[1]) == score.argmax(axis=1)[:, None])
    return accuracy.event_accuracy(single, truth)


def accuracy_floors(segments: Segments) -> dict[str, float]:
    """What is reached without localisation: background everywhere, and the video's event everywhere; (N, C, T) bool."""
    video_class = segments.any(axis=-1).argmax(axis=1)  # (N,)
    return accuracy.floors(single_truth(segments), video_class, [segments[i].shape[-1] for i in range(len(segments))])
