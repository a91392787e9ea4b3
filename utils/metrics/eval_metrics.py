"""Segment- and event-level F-scores of audio-visual video parsing, on arrays (VALOR, section 4.1).

Axes: N videos, C classes, T segments. Predictions and references are (N, C, T) bool, or Ragged flags of videos that
differ in length. Counts (tp, fp, fn) are kept apart from the score formula, so that one formula serves segments, events
and event sets. Slow loops written from the definition, in tests/reference_metrics.py, are the oracle of this file.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.llp.events import Segments, find_runs
from utils.llp.ragged import Ragged

MIN_IOU = 0.5  # least intersection over union of two events that match
THRESHOLD = 0.5  # a probability of at least this is positive

LEVELS = ("Seg", "Event")
SCORE_NAMES = tuple(f"{level}-{kind}" for level in LEVELS for kind in ("a", "v", "av", "type", "event"))
VIDEO_SCORE_NAMES = tuple(name for name in SCORE_NAMES if not name.endswith("-type"))


class Counts(NamedTuple):
    """True positives, false positives and false negatives, (N, C) int each."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def binarize(
    global_prob: np.ndarray,
    frame_prob: np.ndarray,
    video: float | np.ndarray = THRESHOLD,
    segment: float | np.ndarray = THRESHOLD,
    lengths: np.ndarray | None = None,
) -> tuple[Segments, Segments]:
    """Audio and visual predictions, (N, C, T) bool each, from video- and segment-level probabilities.

    Positive are segments of (N, T, 2, C) that reach the segment threshold, of classes that reach the video threshold in
    (N, C), or, with a gate for each modality, in (N, 2, C); a threshold is one number or (C,). Compared in the
    precision of the probabilities. lengths: (N,) of videos that differ in length: frame_prob is then (S, 2, C), one
    video after the other, and the predictions are Ragged.
    """
    video, segment = (np.asarray(x, frame_prob.dtype) for x in (video, segment))
    present = global_prob >= video
    present = present if present.ndim == 3 else present[:, None]  # (N, 1 | 2, C)
    if lengths is not None:
        rows = (frame_prob >= segment) & np.repeat(present, lengths, axis=0)  # (S, 2, C)
        return Ragged(rows[:, 0], lengths), Ragged(rows[:, 1], lengths)
    predictions = (frame_prob >= segment) & present[:, None]  # (N, T, 2, C)
    audio, visual = predictions.transpose(2, 0, 3, 1)  # (2, N, C, T)
    return audio, visual


def segment_counts(pred: Segments, ref: Segments) -> Counts:
    """Counts segments of each class. pred, ref: (N, C, T) bool; counts along the last axis."""
    tp = _count(pred & ref)
    return Counts(tp, _count(pred) - tp, _count(ref) - tp)


def _count(flags: Segments) -> np.ndarray:
    """Number of True along the last axis: (..., L) bool -> (...) int."""
    if isinstance(flags, Ragged):
        return flags.count()
    # A product with ones: exact up to 2**24, and five times faster than counting along a short axis.
    return (flags.astype(np.float32) @ np.ones(flags.shape[-1], np.float32)).astype(np.int64)


def event_counts(pred: Segments, ref: Segments, min_iou: float = MIN_IOU) -> Counts:
    """Counts events of each class; an event is a maximal run of positive segments. pred, ref: (N, C, T) bool.

    tp: predicted events that some reference event overlaps with IoU >= min_iou; fp: the other predicted events;
    fn: reference events that no predicted event overlaps that much.
    """
    if isinstance(pred, Ragged):  # videos of similar length together
        counts = np.zeros((3, *pred.shape[:2]), np.int64)
        for videos in pred.blocks():
            counts[:, videos] = event_counts(pred.padded(videos), ref.padded(videos), min_iou)
        return Counts(*counts)
    pred, ref = (np.ascontiguousarray(x, bool) for x in (pred, ref))
    pred_on, pred_off = find_runs(pred)
    ref_on, ref_off = find_runs(ref)
    # Two runs that overlap do so in one stretch, and each maximal run of (pred and ref) is such a stretch.
    both_on, both_off = find_runs(pred & ref)
    i = np.searchsorted(pred_on, both_on, side="right") - 1  # the predicted run that holds each overlap
    j = np.searchsorted(ref_on, both_on, side="right") - 1
    intersection = both_off - both_on
    union = (pred_off - pred_on)[i] + (ref_off - ref_on)[j] - intersection
    match = intersection >= min_iou * union

    stride = pred.shape[-1] + 1  # a row of the flattened array: T segments and a separator
    pred_found, ref_found = np.zeros(len(pred_on), bool), np.zeros(len(ref_on), bool)
    pred_found[i[match]] = True
    ref_found[j[match]] = True

    def per_row(onsets: np.ndarray) -> np.ndarray:  # (N, C)
        return np.bincount(onsets // stride, minlength=pred[..., 0].size).reshape(pred.shape[:-1])

    return Counts(per_row(pred_on[pred_found]), per_row(pred_on[~pred_found]), per_row(ref_on[~ref_found]))


def f_scores(counts: Counts) -> np.ndarray:
    """F = 2 tp / (2 tp + fp + fn), in [0, 1], shape of the counts; NaN if prediction and reference are empty."""
    denominator = 2 * counts.tp + counts.fp + counts.fn
    return np.divide(2 * counts.tp, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def mean_over_classes(f: np.ndarray) -> np.ndarray:
    """(N, C) with NaN -> (N,): the mean over the classes that count; 1.0 for a video in which none does."""
    counted = ~np.isnan(f)
    number = counted.sum(axis=1)
    total = np.where(counted, f, 0).sum(axis=1)
    return np.divide(total, number, out=np.ones(len(f)), where=number > 0)


def video_scores(
    pred_audio: Segments,
    pred_visual: Segments,
    ref_audio: Segments,
    ref_visual: Segments,
    lengths: Sequence[int] | np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The eight scores of each video: name (VIDEO_SCORE_NAMES) -> (N,) float64, 0 to 100.

    Args: (N, C, T) bool each, or Ragged. `event` sums the counts of audio and visual (Event@AV).
    lengths: (N,), of arrays that are padded: what is behind a video's end may be anything.
    Raises ValueError if the shapes differ, or there is no video.
    """
    given = (pred_audio, pred_visual, ref_audio, ref_visual)
    arrays = [x if isinstance(x, Ragged) else np.asarray(x, bool) for x in given]
    if len({x.shape for x in arrays}) != 1 or len(arrays[0].shape) != 3 or not len(arrays[0]):
        found = ", ".join(str(x.shape) for x in arrays)
        raise ValueError(f"expected four (N, C, T) arrays of one shape with N > 0, got {found}")
    if lengths is not None:
        arrays = [Ragged.of(x, lengths) for x in arrays]
    pred_audio, pred_visual, ref_audio, ref_visual = arrays
    pairs = {
        "a": (pred_audio, ref_audio),
        "v": (pred_visual, ref_visual),
        "av": (pred_audio & pred_visual, ref_audio & ref_visual),
    }
    scores = {}
    for level, count in (("Seg", segment_counts), ("Event", event_counts)):
        counts = {kind: count(*pair) for kind, pair in pairs.items()}
        counts["event"] = counts["a"] + counts["v"]
        for kind, value in counts.items():
            scores[f"{level}-{kind}"] = 100 * mean_over_classes(f_scores(value))
    return scores


def add_type_scores(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The ten scores, from the eight of `video_scores`: Type@AV of each level is the mean of its a, v and av.

    Values are (N,) arrays of the videos' scores, or their means.
    """
    types = {f"{level}-type": sum(scores[f"{level}-{kind}"] for kind in ("a", "v", "av")) / 3 for level in LEVELS}
    return {name: types[name] if name in types else scores[name] for name in SCORE_NAMES}


def ten_scores(per_video: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over videos of the ten scores, 0 to 100, from the eight scores of each video, (N,)."""
    return add_type_scores({name: float(per_video[name].mean()) for name in VIDEO_SCORE_NAMES})


def class_scores(pred: Segments, ref: Segments) -> dict[str, np.ndarray]:
    """Segment-level scores of each class in one modality. pred, ref: (N, C, T) bool.

    F: (C,) 0 to 100, the mean over the videos in which prediction or reference has the class, NaN if none;
    videos: (C,) how many those are; TP, FP, FN: (C,) segments over all videos.
    """
    counts = segment_counts(pred, ref)
    f = f_scores(counts)
    videos = np.count_nonzero(~np.isnan(f), axis=0)
    mean = np.divide(np.nansum(f, axis=0), videos, out=np.full(len(videos), np.nan), where=videos > 0)
    totals = {name.upper(): value.sum(axis=0) for name, value in counts._asdict().items()}
    return {"F": 100 * mean, "videos": videos, **totals}


def event_set_scores(pred: Segments, ref: Segments) -> np.ndarray:
    """F of each video's set of events, whenever they happen: (N, C, T) bool -> (N,), 0 to 100; both empty: 100."""
    pred, ref = pred.any(axis=-1), ref.any(axis=-1)  # (N, C)
    f = f_scores(segment_counts(pred, ref))  # of each video's C flags
    return 100 * np.nan_to_num(f, nan=1.0)


EXCLUSIVE_KINDS = {"audible-only": "a", "visible-only": "v", "audio-visual": "av"}
EXCLUSIVE_SCORE_NAMES = tuple(f"{level} {kind}" for level in LEVELS for kind in EXCLUSIVE_KINDS)


def exclusive_scores(
    pred_audio: Segments, pred_visual: Segments, ref_audio: Segments, ref_visual: Segments
) -> dict[str, np.ndarray]:
    """The six scores of each video: name (EXCLUSIVE_SCORE_NAMES) -> (N,) float64, 0 to 100.

    Args: (N, C, T) bool each. As in `video_scores` a score is the mean over the classes that prediction or reference
    has in that kind, 100 if none does. audio-visual is Seg-av and Event-av.
    """
    both = video_scores(pred_audio, pred_visual, ref_audio, ref_visual)
    only = video_scores(
        pred_audio & ~pred_visual, pred_visual & ~pred_audio, ref_audio & ~ref_visual, ref_visual & ~ref_audio
    )
    source, kinds = {"a": only, "v": only, "av": both}, EXCLUSIVE_KINDS.items()
    return {f"{level} {kind}": source[key][f"{level}-{key}"] for level in LEVELS for kind, key in kinds}
