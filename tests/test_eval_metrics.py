"""Metrics: worked by hand, against slow loops, against the published functions' values, and their invariants."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import reference_metrics
from utils.llp.annotations import read_reference
from utils.llp.classes import T
from utils.llp.videos import read_split
from utils.metrics.eval_metrics import (
    SCORE_NAMES,
    VIDEO_SCORE_NAMES,
    binarize,
    class_scores,
    event_counts,
    event_set_scores,
    segment_counts,
    ten_scores,
    video_scores,
)


def one_row(text):
    """`0110` -> (1, 1, T) bool."""
    return np.array([[[c == "1" for c in text]]])


@pytest.mark.parametrize(
    ("pred", "ref", "segments", "events"),
    [
        ("1111000000", "1111000000", (4, 0, 0), (1, 0, 0)),
        ("1100000000", "1111000000", (2, 0, 2), (1, 0, 0)),  # IoU 2/4: exactly at the bound counts
        ("1000000000", "1110000000", (1, 0, 2), (0, 1, 1)),  # IoU 1/3
        ("1101100000", "1111100000", (4, 0, 1), (0, 2, 1)),  # split: IoU 2/5 each
        ("1110100000", "1111100000", (4, 0, 1), (1, 1, 0)),  # split: IoU 3/5 and 1/5
        ("1111111111", "1101111111", (9, 1, 0), (1, 0, 1)),  # merged: 7/10 and 2/10
        ("0000000001", "1000000000", (0, 1, 1), (0, 1, 1)),  # the ends of a row do not touch
        ("0000000000", "0000000000", (0, 0, 0), (0, 0, 0)),
    ],
)
def test_counts_worked_by_hand(pred, ref, segments, events):
    assert [int(x[0, 0]) for x in segment_counts(one_row(pred), one_row(ref))] == list(segments)
    assert [int(x[0, 0]) for x in event_counts(one_row(pred), one_row(ref))] == list(events)


def test_runs_do_not_cross_from_one_row_to_the_next():
    pred = np.zeros((2, 2, 3), bool)
    pred[0, 0, 2] = pred[0, 1, 0] = pred[1, 0, 2] = pred[1, 1, 0] = True
    assert event_counts(pred, pred).tp.tolist() == [[1, 1], [1, 1]]


def against_oracle(pred_a, pred_v, ref_a, ref_v):
    fast = video_scores(pred_a, pred_v, ref_a, ref_v)
    videos = zip(*(x.astype(int).tolist() for x in (pred_a, pred_v, ref_a, ref_v)), strict=True)
    slow = [reference_metrics.video_scores(*video) for video in videos]
    for name in VIDEO_SCORE_NAMES:
        np.testing.assert_allclose(fast[name], [v[name] for v in slow], rtol=0, atol=1e-9)
    assert ten_scores(fast) == pytest.approx(reference_metrics.ten_scores(slow), abs=1e-9)
    assert tuple(ten_scores(fast)) == SCORE_NAMES


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
def test_random_videos_equal_the_loops(density):
    rng = np.random.default_rng(int(100 * density))
    against_oracle(*(rng.random((40, 25, 10)) < density for _ in range(4)))


def test_every_pair_of_short_rows_equals_the_loops():
    rows = np.array([[(i >> t) & 1 for t in range(5)] for i in range(32)], bool)
    pred, ref = np.repeat(rows, 32, 0)[:, None], np.tile(rows, (32, 1))[:, None]  # (1024, 1, 5) each
    against_oracle(pred, ref, ref, pred)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_shape_equals_the_loops(data):
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(3))
    against_oracle(*(data.draw(arrays(bool, shape)) for _ in range(4)))


def test_one_segment_videos_and_full_ones():
    full, empty = np.ones((2, 3, 1), bool), np.zeros((2, 3, 1), bool)
    assert set(ten_scores(video_scores(full, full, full, full)).values()) == {100}
    assert set(ten_scores(video_scores(empty, empty, empty, empty)).values()) == {100}
    assert set(ten_scores(video_scores(full, full, empty, empty)).values()) == {0}


def test_scores_do_not_depend_on_the_order_of_classes_or_videos():
    rng = np.random.default_rng(7)
    videos = [rng.random((30, 25, 10)) < 0.3 for _ in range(4)]
    scores = ten_scores(video_scores(*videos))
    classes, order = rng.permutation(25), rng.permutation(30)
    shuffled = ten_scores(video_scores(*(x[order][:, classes] for x in videos)))
    assert shuffled == pytest.approx(scores, abs=1e-9)


def test_other_memory_layouts_give_the_same():
    rng = np.random.default_rng(8)
    videos = [rng.random((6, 10, 25)) < 0.3 for _ in range(4)]
    views = [x.transpose(0, 2, 1) for x in videos]
    copies = [np.ascontiguousarray(x) for x in views]
    assert ten_scores(video_scores(*views)) == ten_scores(video_scores(*copies))


def test_arrays_that_do_not_belong_together_are_refused():
    a, b = np.zeros((2, 25, 10), bool), np.zeros((3, 25, 10), bool)
    with pytest.raises(ValueError, match="one shape"):
        video_scores(a, a, b, b)
    with pytest.raises(ValueError, match="N > 0"):
        video_scores(a[:0], a[:0], a[:0], a[:0])


def test_a_probability_of_exactly_one_half_is_a_decision_and_the_video_level_gates():
    frame_prob = np.zeros((2, 10, 2, 3), np.float32)
    frame_prob[:, 4, 0, 1] = 0.5  # audio, class 1
    frame_prob[:, 6, 1, 2] = 0.9  # visual, class 2
    global_prob = np.array([[0.9, 0.5, 0.5], [0.9, 0.4999, 0.5]], np.float32)
    audio, visual = binarize(global_prob, frame_prob)
    assert np.argwhere(audio).tolist() == [[0, 1, 4]]
    assert np.argwhere(visual).tolist() == [[0, 2, 6], [1, 2, 6]]


def test_class_scores_worked_by_hand():
    pred, ref = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
    pred[0, 0, :2] = ref[0, 0, 1:3] = True  # F 1/2
    ref[1, 0, 0] = True  # F 0
    result = class_scores(pred, ref)  # video 2 does not count; class 1 never does
    assert result["F"][0] == 25 and np.isnan(result["F"][1])
    assert [result[k].tolist() for k in ("videos", "TP", "FP", "FN")] == [[2, 0], [1, 0], [1, 0], [2, 0]]


def test_event_set_scores_ignore_when():
    pred, ref = np.zeros((3, 3, 4), bool), np.zeros((3, 3, 4), bool)
    pred[0, 0, 0] = ref[0, 0, 3] = True  # the same set
    pred[1, :2, 0] = ref[1, 1:, 0] = True  # one of two shared: F 1/2
    assert event_set_scores(pred, ref).tolist() == [100, 50, 100]  # the last is empty in both


def test_published_functions_values(golden, gt_dir):
    values = np.load(golden("metrics.npz"))
    shape = tuple(values["shape"])
    bits = (np.unpackbits(values[f"pred_{modality}"])[: np.prod(shape)] for modality in ("audio", "visual"))
    audio, visual = (flat.reshape(shape).astype(bool) for flat in bits)
    reference = read_reference(gt_dir("2024"), values["filename"].tolist())
    per_video = video_scores(audio, visual, reference.audio, reference.visual)
    for level, key in (("Seg", "segment"), ("Event", "event")):
        for i, kind in enumerate(("a", "v", "event", "av")):
            np.testing.assert_allclose(per_video[f"{level}-{kind}"], 100 * values[key][:, i], rtol=0, atol=1e-9)
    assert ten_scores(per_video) == pytest.approx(json.loads(str(values["table"])), abs=1e-9)


@pytest.mark.parametrize(("version", "file"), [("2024", "AVVP_eval_audio.csv"), ("2020", "AVVP_eval_audio_2020.csv")])
@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_that_need_no_features(golden, llp_dir, gt_dir, version, file, split):
    videos = read_split(llp_dir / f"AVVP_{split}_pd.csv")
    reference = read_reference(gt_dir(version), videos.filenames)
    weak = np.repeat(videos.weak[..., None] == 1, T, axis=2)
    predictions = {
        "weak_labels_everywhere": (weak, weak),
        "nothing": (weak & False, weak & False),
        "audio_truth_in_both": (reference.audio, reference.audio),
    }
    expected = json.loads(golden("feature_free.json").read_text())
    for name, (audio, visual) in predictions.items():
        scores = ten_scores(video_scores(audio, visual, reference.audio, reference.visual))
        assert scores == pytest.approx(expected[f"{file} | {split} | {name}"], abs=1e-9)
