"""Accuracy of AVE and mean average precision of LFAV: by hand, against slow loops, against published functions."""

import json
import math

import numpy as np
import pytest

from tests.conftest import SHARED, find
from utils.metrics import accuracy
from utils.metrics.average_precision import average_precision, mean_average_precision


def test_accuracy_by_hand():
    event, gate = np.array([[1.0, 3, 2], [5, 0, 0]]), np.array([1.0, -1, 0, 2, 2, -1000])
    truth = np.array([1, 1, 3, 0, 2, 3])  # two videos of three seconds, three classes
    assert accuracy.of("gate", accuracy.gate_classes(event, gate), truth) == pytest.approx(
        100 * 4 / 6
    )  # wrong: seconds 1 and 4
    decided = accuracy.decisions(event, gate)
    assert np.argwhere(decided).tolist() == [[0, 1], [3, 0], [4, 0]]
    assert accuracy.of("event", accuracy.event_classes(decided), truth) == 4 / (6 + 1e-8) * 100
    scores = np.eye(4)[[1, 0, 3, 0, 2, 3]]
    assert accuracy.of("argmax", scores.argmax(axis=1), truth) == pytest.approx(100 * 5 / 6)
    assert accuracy.floors(truth, [1, 0], 3, 3) == pytest.approx(
        {"floor_background": 100 * 2 / 6, "floor_true_class": 50}
    )
    assert accuracy.floors(truth, [1, 3], [2, 4], 3)["floor_true_class"] == pytest.approx(100 * 4 / 6)


def test_a_gate_too_small_for_its_sigmoid_is_closed():
    event, gate, background = np.array([[1.0, 0]]), np.array([1e-300]), np.array([2])
    assert accuracy.of("gate", accuracy.gate_classes(event, gate), background) == 100  # sigmoid(gate) is 0.5, not above
    assert (
        accuracy.of("event", accuracy.event_classes(accuracy.decisions(event, gate)), background) == 0
    )  # the gate is above 0


def test_accuracy_refuses_what_it_cannot_count():
    with pytest.raises(ValueError, match="second 1 has 2 classes"):
        accuracy.of("event", accuracy.event_classes([[0, 1], [1, 1]]), [1, 1])
    with pytest.raises(ValueError, match="7 seconds of 2 videos"):
        accuracy.decisions(np.zeros((2, 3)), np.zeros(7))
    with pytest.raises(ValueError, match=r"\(2,\) and truth \(3,\)"):
        accuracy.of("argmax", np.zeros(2, int), [0, 0, 0])
    with pytest.raises(ValueError, match="S > 0"):
        accuracy.of("gate", accuracy.gate_classes(np.zeros((0, 3)), np.zeros(0)), np.zeros(0, int))


def test_accuracy_of_the_golden_predictions():
    """Predictions for AVE's real val and test rows; expected values are of the published functions."""
    folder = find("Annotations.txt", SHARED / "sets/ave").parent
    h5py = pytest.importorskip("h5py")
    golden = json.loads((folder / "golden.json").read_text())
    rows = [line.split("&") for line in (folder / "Annotations.txt").read_text().splitlines()]
    dense = np.zeros((len(rows), 10, 29), np.float32)
    for row, (name, _, _, start, end) in enumerate(rows):
        dense[row, :, 28] = 1
        dense[row, int(start) : int(end)] = np.eye(29)[golden["classes"].index(name)]
    one_hot = np.float32([[name == c for c in golden["classes"]] for name, *_ in rows])
    rng = np.random.default_rng(golden["seed"])
    for split in ("val", "test"):
        expected = golden["splits"][split]
        with h5py.File(folder / f"{split}_order.h5") as file:
            order = file["order"][:]
        y, n = dense[order], len(order)
        scores = rng.standard_normal((n, 10, 29)) + 2 * y
        gate = (rng.standard_normal((n, 10)) + 1.5 * (1 - 2 * y[..., 28])).ravel()
        event = rng.standard_normal((n, 28)) + 2.5 * one_hot[order]
        assert [scores.sum(), gate.sum(), event.sum()] == pytest.approx(expected["sums"])
        truth, scores = y.argmax(-1).ravel(), scores.reshape(-1, 29)
        found = {
            "acc_argmax": accuracy.of("argmax", scores.argmax(axis=1), truth),
            "acc_gate": accuracy.of("gate", accuracy.gate_classes(event, gate), truth),
            "acc_uwav": accuracy.of("event", accuracy.event_classes(accuracy.decisions(event, gate)), truth),
        }
        floors = accuracy.floors(truth, one_hot[order].argmax(1), 10, 28)
        found["floor_background"] = floors["floor_background"]
        found["floor_true_class_all_seconds"] = floors["floor_true_class"]
        assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-12)


def slow_average_precision(score, truth):
    """From the definition: a point for each threshold, each recall step times the best precision from there on."""
    points = []
    for threshold in sorted(set(score), reverse=True):
        chosen = [t for s, t in zip(score, truth, strict=True) if s >= threshold]
        points.append((sum(chosen) / sum(truth), sum(chosen) / len(chosen)))
    total, before = 0.0, 0.0
    for recall, _ in points:
        total += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return total


def test_average_precision_by_hand():
    # thresholds 0.9, 0.8, 0.7, 0.6: precision 1, 1/2, 2/3, 2/4; recall 1/2, 1/2, 1, 1
    assert average_precision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]) == 0.25  # one step of four
    # precision 0, 1/2, 2/3, 3/4: the highest one counts for all three steps
    assert average_precision([4.0, 3, 2, 1], [0, 1, 1, 1]) == pytest.approx(0.75)
    assert math.isnan(average_precision([0.1, 0.2], [0, 0])) and math.isnan(average_precision([], []))
    with pytest.raises(ValueError, match="NaN"):
        average_precision([0.1, np.nan], [0, 1])
    with pytest.raises(ValueError, match=r"\(1,\)"):
        average_precision([0.1, 0.2], [1])


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_that_of_the_slow_loop(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    score = rng.integers(0, (4, 1000)[seed % 2], n) / 7  # with and without many equal scores
    truth = rng.random(n) < 0.4
    truth[rng.integers(n)] = True
    found = average_precision(score, truth)
    assert found == pytest.approx(slow_average_precision(score.tolist(), truth.tolist()), rel=1e-12)
    order = rng.permutation(n)
    assert average_precision(score[order], truth[order]) == found
    assert average_precision(np.exp(score), truth) == found  # only the order of the scores counts


def test_mean_average_precision_of_two_classes_by_hand():
    prob = np.array([[[0.9, 0.1], [0.5, 0.2]], [[0.8, 0.4], [0.7, 0.3]]])  # two seconds, audio and visual, two classes
    audio, visual = np.array([[0, 0], [1, 1]], bool), np.array([[0, 1], [1, 1]], bool)
    # audio: 1/2 and 1; visual: 1 and 1; products 0.45 0.56 and 0.02 0.12, truth (0, 1) and (0, 1): 1 and 1
    expected = {"mAP-a": 75, "mAP-v": 100, "mAP-av": 100, "mAP": 275 / 3}
    assert mean_average_precision(prob, audio, visual) == pytest.approx(expected)
    audio[:, 0] = False
    found = mean_average_precision(prob, audio, visual)
    assert found["mAP-v"] == 100 and all(math.isnan(found[name]) for name in ("mAP-a", "mAP-av", "mAP"))
    with pytest.raises(ValueError, match=r"\(2, 2, 2\), \(2, 2\) and \(1, 2\)"):
        mean_average_precision(prob, audio, visual[:1])


def lfav_truth(folder, split, classes):
    """(2, 35, T) bool of each video of LFAV, from its files; an event covers its last second, too."""
    rows = {}
    for modality, kind in enumerate(("audio", "visual")):
        for line in (folder / f"{split}_{kind}.csv").read_text().splitlines()[1:]:
            name, onset, offset, label = line.split("\t")
            if label in classes:  # the published code ignores others
                rows.setdefault(name, []).append((modality, classes.index(label), int(onset), int(offset)))
    for line in (folder / f"{split}_audio_weakly.csv").read_text().splitlines()[1:]:
        events = rows[line.split("\t")[0]]
        truth = np.zeros((2, 35, 1 + max(on if off >= 5000 else off for _, _, on, off in events)), bool)
        for modality, label, onset, offset in events:
            truth[modality, label, onset : offset + 1] = True
        yield truth


def test_mean_average_precision_of_the_golden_predictions():
    """Predictions for LFAV's real val and test rows; expected values are of the published function."""
    folder = find("golden.json", SHARED / "sets/lfav").parent
    golden = json.loads((folder / "golden.json").read_text())
    rng = np.random.default_rng(golden["seed"])
    for split in ("val", "test"):
        expected, truths, probs, checksum = golden["splits"][split], [], [], 0.0
        for truth in lfav_truth(folder / "csv", split, golden["classes"]):
            seconds = truth.shape[-1]
            blocks = np.repeat(rng.random((2, 35, math.ceil(seconds / 8))), 8, -1)[..., :seconds]
            prob = 0.3 * truth + 0.6 * blocks + 0.1 * rng.random((2, 35, seconds))
            checksum += prob.sum() + (0.3 * truth.any(-1) + 0.7 * rng.random((2, 35))).sum()
            truths.append(truth.transpose(2, 0, 1))
            probs.append(prob.transpose(2, 0, 1))
        truth, prob = np.concatenate(truths), np.concatenate(probs)
        assert len(truth) == expected["T_sum"] and checksum == pytest.approx(expected["checksum"], rel=1e-12)
        found = mean_average_precision(prob, truth[:, 0], truth[:, 1])
        values = [*expected["mAP_a_v_av"], expected["mAP_avg"]]
        assert list(found.values()) == pytest.approx(values, rel=1e-9)
