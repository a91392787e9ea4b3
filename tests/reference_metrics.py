"""The scores of one video after another, in loops, from their definition: what tests compare utils/metrics with.

Shares no code with it. A video is (C, T) of 0/1 in each modality. Source: VALOR, section 4.1.
"""


def runs(row):
    """Events of one class: (onset, offset) of each maximal run of ones."""
    events, onset = [], None
    for t, value in enumerate([*row, 0]):
        if value and onset is None:
            onset = t
        if not value and onset is not None:
            events.append((onset, t))
            onset = None
    return events


def iou(a, b):
    """Intersection over union of two events, as sets of segments."""
    a, b = set(range(*a)), set(range(*b))
    return len(a & b) / len(a | b)


def segment_counts(pred, ref):
    """(tp, fp, fn) of one class in segments."""
    pairs = list(zip(pred, ref, strict=True))
    return tuple(sum(1 for p, r in pairs if (bool(p), bool(r)) == kind) for kind in ((1, 1), (1, 0), (0, 1)))


def event_counts(pred, ref):
    """(tp, fp, fn) of one class in events."""
    predicted, true = runs(pred), runs(ref)
    tp = sum(1 for p in predicted if any(iou(p, r) >= 0.5 for r in true))
    fn = sum(1 for r in true if not any(iou(p, r) >= 0.5 for p in predicted))
    return tp, len(predicted) - tp, fn


def mean_f(counts):
    """Mean F over the classes that have any count; 1.0 if none has."""
    scores = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts if tp + fp + fn]
    return sum(scores) / len(scores) if scores else 1.0


def video_scores(pred_a, pred_v, ref_a, ref_v):
    """The eight scores of one video, 0 to 100."""
    classes = range(len(pred_a))

    def both(a, v):
        return [[x * y for x, y in zip(a[c], v[c], strict=True)] for c in classes]

    pairs = {"a": (pred_a, ref_a), "v": (pred_v, ref_v), "av": (both(pred_a, pred_v), both(ref_a, ref_v))}
    scores = {}
    for level, count in (("Seg", segment_counts), ("Event", event_counts)):
        counts = {kind: [count(p[c], r[c]) for c in classes] for kind, (p, r) in pairs.items()}
        counts["event"] = [tuple(x + y for x, y in zip(counts["a"][c], counts["v"][c], strict=True)) for c in classes]
        for kind in ("a", "v", "av", "event"):
            scores[f"{level}-{kind}"] = 100 * mean_f(counts[kind])
    return scores


def ten_scores(videos):
    """Means over the videos' scores, and Type@AV."""
    mean = {name: sum(v[name] for v in videos) / len(videos) for name in videos[0]}
    for level in ("Seg", "Event"):
        mean[f"{level}-type"] = (mean[f"{level}-a"] + mean[f"{level}-v"] + mean[f"{level}-av"]) / 3
    return mean
