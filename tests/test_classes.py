"""A user's own classes: the file, and training, testing and scoring with it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import main
from tests.conftest import SMALL, TRAIN
from utils import plot_timeline, score_predictions, score_pseudo_labels
from utils.base.errors import InputError
from utils.llp.classes import read_classes
from utils.llp.events import segments_to_events

NAMES = ["Knock", "Door bell", "Häuser"]
ROW = "- {{name: {}, clip_caption: a, clap_caption: b, clip_threshold: 1, clap_threshold: 2.5}}\n"
ROWS = "".join(ROW.format(name) for name in NAMES)


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A working directory with a data set of three classes, 30 videos, and three.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("three.yaml").write_text(ROWS, encoding="utf-8")
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    sizes = {"feats/vggish": (10, 6), "feats/res152": (10, 7), "feats/r2plus1d_18": (10, 512)}
    for folder in (*sizes, "CLIP/segment_pseudo_labels", "CLAP/segment_pseudo_labels"):
        (data / folder).mkdir(parents=True)
    names = [f"video_{i:05d}" for i in range(30)]
    weak = rng.random((30, 3)) < 0.5
    weak[~weak.any(axis=1), 0] = True
    reference = weak[..., None] & (rng.random((30, 3, 10)) < 0.7)
    for split, part in (("train", slice(0, 20)), ("val_pd", slice(20, 25)), ("test_pd", slice(25, 30))):
        rows = [f"{n}\t{','.join(np.array(NAMES)[w])}" for n, w in zip(names[part], weak[part], strict=True)]
        (data / f"AVVP_{split}.csv").write_text("\n".join(["filename\tevent_labels", *rows]) + "\n", encoding="utf-8")
    for kind in ("audio", "visual"):
        events = segments_to_events(reference[20:], names[20:], NAMES)
        events.to_csv(data / f"AVVP_eval_{kind}.csv", sep="\t", index=False)
    for name, segments in zip(names, reference, strict=True):
        for folder, shape in sizes.items():
            signal = segments.T.repeat(shape[1] // 3, axis=1)
            features = rng.normal(0, 0.3, shape)
            features[:, : signal.shape[1]] += signal
            np.save(data / folder / f"{name}.npy", features.astype(np.float32))
        for teacher in ("CLIP", "CLAP"):
            np.save(data / teacher / "segment_pseudo_labels" / f"{name}.npy", segments.T.astype(np.int64))
    return tmp_path


def test_three_classes_from_training_to_scores(own, command):
    train = (*TRAIN, "--epochs", "4", "--model_name", "run")
    result = command(main, *train, "--classes", "three.yaml")
    assert result.status == 0, result.err
    copy = own / "models/run/classes.yaml"
    assert copy.read_bytes() == (own / "three.yaml").read_bytes()
    weights = torch.load(own / "models/run/checkpoint_best.pt", weights_only=True)
    assert weights["fc_prob.weight"].shape == (3, 16)
    (own / "three.yaml").unlink()  # testing reads the copy

    flags = ("--mode", "test", "--model_name", "run", "--save_predictions", "predicted", "--classwise")
    result = command(main, *SMALL, *flags)
    assert result.status == 0, result.err
    assert "Annotations: " in result.out and "LLP" not in result.out  # it says nothing of LLP's annotations
    assert "Door bell" in result.out and "Speech" not in result.out
    assert np.load("predicted/probabilities.npz")["frame_prob"].shape == (50, 2, 3)
    flags = ("--classes", copy, "--gt_dir", "data", "--label_csv", "data/AVVP_test_pd.csv")
    result = command(score_predictions, "--pred_dir", "predicted", *flags, "--classwise")
    assert result.status == 0 and "Häuser" in result.out, result.err
    assert command(plot_timeline, "--pred_dir", "predicted", *flags, "--out", "f.png").status == 0
    result = command(score_pseudo_labels, *flags)
    assert result.status == 0 and "| 100.00 | 100.00 |" in result.out  # these labels are the reference

    assert command(main, *train[:-4], "--epochs", "5", "--model_name", "run", "--resume").status == 2  # other epochs
    result = command(main, *train, "--resume")
    assert result.status == 0, result.err


def test_other_classes_than_the_runs_are_refused(own, command):
    assert command(main, *TRAIN, "--model_name", "run", "--classes", "three.yaml").status == 0
    Path("other.yaml").write_text(ROWS.replace("Knock", "Knocks"), encoding="utf-8")
    test = (*SMALL, "--mode", "test", "--model_name", "run")
    for flags in (test, (*TRAIN, "--model_name", "run", "--resume")):
        result = command(main, *flags, "--classes", "other.yaml")
        assert result.status == 2 and "its 3 classes are not the 3 of models/run/classes.yaml" in result.error
    Path("other.yaml").write_text(ROWS.replace("2.5", "7"), encoding="utf-8")  # thresholds change no network
    assert command(main, *test, "--classes", "other.yaml").status == 0


def test_pseudo_labels_of_other_classes_are_refused(own, command):
    path = own / "data/CLIP/segment_pseudo_labels/video_00003.npy"
    np.save(path, np.zeros((10, 25), np.int64))
    result = command(main, *TRAIN, "--classes", "three.yaml")
    assert result.status == 2 and "video_00003.npy: holds (10, 25) int64, expected (10, 3) int64" in result.error


def test_without_the_flag_llps_classes_are_meant(own, command):
    result = command(main, *TRAIN)
    assert result.status == 2 and "unknown class" in result.error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a YAML list of classes"),
        ("name: Dog", "expected a YAML list of classes"),
        ("- Dog", "class 1: expected name, clip_caption"),
        (ROWS + "- {name: Dog}", "clip_caption, clap_caption, clip_threshold, clap_threshold; found name"),
        (ROWS.replace("clip_caption", "caption", 1), "class 1: expected"),
        (ROWS.replace("name: Knock", "name: 7"), "class 1: name is 7, expected text (put it in quotes)"),
        (ROWS.replace("2.5", "high", 1), "class 1: clap_threshold is 'high', expected a number"),
        (ROWS.replace("2.5", "true", 1), "clap_threshold is True, expected a number"),
        (ROWS.replace("2.5", ".nan", 1), "clap_threshold is nan, expected a number"),
        (ROWS.replace("Door bell", "Knock"), "lists Knock twice"),
        (ROWS.replace("Knock", '"a,b"'), "cannot stand in a CSV"),
        ("- {name: [", "not a YAML file"),
    ],
)
def test_wrong_class_files_are_explained(text, message, tmp_path):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_classes(tmp_path / "c.yaml")
    assert message in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        read_classes(tmp_path / "missing.yaml")
