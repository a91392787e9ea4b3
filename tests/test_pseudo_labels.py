"""Pseudo labels from logits, and how they are scored."""

import json

import numpy as np
import pytest
import yaml

from utils import score_pseudo_labels
from utils.llp import pseudo_labels
from utils.llp.annotations import read_reference
from utils.llp.classes import CLASS_NAMES, CLASSES, C, class_names, read_classes
from utils.llp.videos import SPLIT_FILES, read_split
from utils.metrics.tables import WIDTH
from utils.metrics.threshold_sweep import Sweep


def thresholds(teacher: str) -> np.ndarray:
    return np.array([getattr(c, f"{teacher}_threshold") for c in CLASSES])


def test_golden_pseudo_labels(golden):
    values = np.load(golden("clip.npz"))
    for kind, teacher in (("visual", "clip"), ("audio", "clap")):
        labels = pseudo_labels.pseudo_labels(values[f"{kind}_logits"], values["weak_labels"], thresholds(teacher))
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, values[f"{kind}_pseudo"])


def test_a_logit_at_its_threshold_is_not_above_it():
    logits = np.array([[0.3, 0.30000001, -1.0], [0.31, 0.2, -1.1]], np.float32)
    labels = pseudo_labels.pseudo_labels(logits, np.array([1, 0, 1]), np.array([0.3, 0.3, -1.1]))
    assert labels.tolist() == [[0, 0, 1], [1, 0, 0]]  # 0.3 as float32 is above 0.3 as float64, but not meant to be


def test_numbers_of_classes_must_agree():
    with pytest.raises(ValueError, match="3 classes, weak labels 2, thresholds 3"):
        pseudo_labels.pseudo_labels(np.zeros((10, 3), np.float32), np.ones(2), np.zeros(3))


@pytest.fixture
def labelled(workspace):
    """The look-alike with logits of both teachers for val, (10, C) float32."""
    split = read_split(workspace / "data" / SPLIT_FILES["val"])
    rng = np.random.default_rng(0)
    for teacher in ("clip", "clap"):
        folder = workspace / "logits" / teacher
        folder.mkdir(parents=True)
        for video in split.ids:
            logits = thresholds(teacher) + rng.integers(-4, 5, (10, C)) / 2
            np.save(folder / f"{video}.npy", logits.astype(np.float32))
    return workspace


def test_scores_next_to_weak_labels_and_published_figures(labelled, command):
    result = command(score_pseudo_labels, "--json", "scores.json")
    assert result.status == 0, result.err
    rows = [line.split("|")[1].strip() for line in result.out.splitlines() if line.startswith("|")]
    labels = ["pseudo labels, AVVP_test_pd", "weak labels in all segments", "published pseudo labels, LLP test"]
    assert rows == ["Labels", *labels] * 2  # scores of segments, and of events
    assert "80.50" in result.out and "74.60" in result.out
    assert set(json.loads((labelled / "scores.json").read_text())) == set(score_pseudo_labels.SCORE_NAMES)


@pytest.mark.parametrize("name", ["val", "test"])
def test_weak_labels_in_all_segments_score_the_golden_values(name, golden, gt_dir, llp_dir, command, tmp_path):
    """Files that copy the weak labels are scored like the published code scores that prediction."""
    csv = llp_dir / SPLIT_FILES[name]
    split = read_split(csv)
    for video, weak in zip(split.ids, split.weak, strict=True):
        np.save(tmp_path / f"{video}.npy", np.tile(weak, (10, 1)).astype(np.int64))
    flags = ("--label_csv", csv, "--gt_dir", gt_dir("2024"), "--json", tmp_path / "scores.json")
    labels = ("--v_pseudo_data_dir", tmp_path, "--a_pseudo_data_dir", tmp_path)
    result = command(score_pseudo_labels, *flags, *labels)
    assert result.status == 0, result.err
    expected = json.loads(golden("feature_free.json").read_text())
    expected = expected[f"AVVP_eval_audio.csv | {name} | weak_labels_everywhere"]
    assert json.loads((tmp_path / "scores.json").read_text()) == pytest.approx(expected, abs=1e-9)


def test_a_sweep_finds_what_trying_every_threshold_finds(labelled, command):
    flags = ("--sweep", "all", "--v_logits_dir", "logits/clip", "--a_logits_dir", "logits/clap")
    written = ("--json", "sweep.json", "--figure", "sweep.png", "--best_classes", "best.yaml")
    result = command(score_pseudo_labels, *flags, *written)
    assert result.status == 0, result.err
    assert max(len(line) for line in result.out.splitlines() if line.startswith(("|", "+"))) <= WIDTH
    split = read_split(labelled / "data" / SPLIT_FILES["val"])
    reference = read_reference(labelled / "data", split.filenames)
    rows = json.loads((labelled / "sweep.json").read_text())
    assert len(rows) == 2 * C
    tried = 0
    for row in rows:
        c = CLASS_NAMES.index(row["class"])
        teacher = {"audio": "clap", "visual": "clip"}[row["modality"]]
        logits = np.stack([np.load(labelled / f"logits/{teacher}/{v}.npy")[:, c] for v in split.ids])  # (N, T)
        segments = getattr(reference, row["modality"])[:, c]
        assert row["threshold"] == thresholds(teacher)[c]

        def f_at(threshold, logits=logits, segments=segments, c=c):
            labels = (logits > np.float32(threshold)) & (split.weak[:, c, None] > 0)
            return 100 * 2 * (labels & segments).sum() / max(labels.sum() + segments.sum(), 1)

        if row["best_F"] is None:
            assert not (segments & (split.weak[:, c, None] > 0)).any()  # nothing a label could get right
            continue
        tried += 1
        candidates = np.arange(-10, row["threshold"] + 2, 0.25)  # at 2 above, no label is left
        assert row["best_F"] == pytest.approx(max(map(f_at, candidates)), abs=1e-9)
        assert f_at(row["best_threshold"]) == pytest.approx(row["best_F"], abs=1e-9)
        assert f_at(row["threshold"]) == pytest.approx(row["F"], abs=1e-9)
    assert tried > 5
    assert (labelled / "sweep.png").read_bytes().startswith(b"\x89PNG")
    best = {row["class"]: row["best_threshold"] for row in rows if row["modality"] == "audio"}
    written = read_classes(labelled / "best.yaml")
    assert class_names(written) == CLASS_NAMES
    for mine, published in zip(written, CLASSES, strict=True):
        expected = published.clap_threshold if best[mine.name] is None else best[mine.name]
        assert mine.clap_threshold == expected


def test_a_sweep_by_hand():
    logits, reference = np.array([[1.0, 2.0, 3.0]]), np.array([[False, True, True], [True, False, False]])
    sweep = Sweep.of("x", "audio", logits, reference, np.array([True, False]), used=2.5)
    # above 0: TP 2, FP 1, FN 1, of the video that does not list the class; above 1: no FP; above 2: TP 1, FN 2
    np.testing.assert_allclose(sweep.f, [200 * 2 / 6, 200 * 2 / 5, 200 * 1 / 4, 0])
    assert sweep.best() == (pytest.approx(1.5, abs=0.5), 80) and 1 <= sweep.best()[0] < 2
    assert sweep.at(2.5) == 50 and sweep.at(-99) == pytest.approx(200 / 3) and sweep.at(99) == 0


def test_without_reference_no_threshold_is_best():
    logits = np.array([[1.0, 2.0, 3.0]])
    sweep = Sweep.of("x", "visual", logits, np.zeros((1, 3), bool), np.array([True]), used=20)
    assert sweep.best() is None and sweep.summary()["F"] is None


def test_a_class_that_no_video_has_is_swept_to_nothing():
    sweep = Sweep.of("x", "audio", np.zeros((0, 10)), np.zeros((4, 10), bool), np.zeros(4, bool), used=1)
    assert sweep.best() is None and sweep.summary()["best_F"] is None


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--sweep", "all"), "--sweep needs --v_logits_dir"),
        (("--sweep", "Dgo", "--v_logits_dir", "logits/clip"), "did you mean Dog"),
        (("--sweep", "Dog", "--v_logits_dir", "nowhere"), "nowhere: no such folder"),
        (("--sweep", "Dog", "--v_logits_dir", "logits/clip", "--figure", "x.txt"), "expected a name that ends in .png"),
        (("--v_pseudo_data_dir", "logits/clip"), "files are missing in logits/clip"),
        (("--label_csv", "nothing.csv"), "nothing.csv: no such file"),
        (("--v_logits_dir", "logits/clip"), "belong to --sweep"),
        (
            ("--sweep", "Dog", "--v_logits_dir", "logits/clip", "--best_classes", "a", "--exact_classes", "a"),
            "one file twice",
        ),
        (("--json", "data/AVVP_test_pd.csv/x.json"), "AVVP_test_pd.csv is a file, expected a folder"),
    ],
)
def test_wrong_input_costs_one_line(flags, text, labelled, command):
    result = command(score_pseudo_labels, *flags)
    assert result.status == 2 and text in result.error


def test_best_thresholds_are_plain_numbers(labelled, command):
    flags = ("--sweep", "Speech", "--v_logits_dir", "logits/clip", "--best_classes", "best.yaml")
    assert command(score_pseudo_labels, *flags).status == 0
    rows = yaml.safe_load((labelled / "best.yaml").read_text())
    assert [type(row["clip_threshold"]) for row in rows[1:]] == [int] * (C - 1)


def test_the_figure_is_beside_the_labels(labelled, command):
    result = command(score_pseudo_labels, "--sweep", "Speech", "--v_logits_dir", "logits/clip")
    assert result.status == 0 and "logits/threshold_sweep.png" in result.out.splitlines()
    assert (labelled / "logits/threshold_sweep.png").is_file() and not (labelled / "threshold_sweep.png").exists()
