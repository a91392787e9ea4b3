"""AVE, LFAV and UnAV-100: golden scores on real annotations, and from published forms to test tables."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import main
from tests import published_forms
from tests.conftest import SHARED, SMALL, TRAIN, find
from utils import convert_dataset, score_predictions
from utils.llp.annotations import read_reference
from utils.llp.datasets import read_dataset
from utils.llp.videos import read_split
from utils.metrics.protocols import second_rows, single_truth


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """name -> folder of the real annotations, converted, and that of their golden values; else the test is skipped."""

    def of(name):
        source = find(f"{name}/golden.json", SHARED / "sets").parent
        out = tmp_path_factory.mktemp(name)
        flags = [name, "--source", str(source / "example.json" if name == "unav" else source), "--out", str(out)]
        convert_dataset.main(convert_dataset.get_args_parser().parse_args(flags))
        return out, source

    return of


def score(command, folder, split, *flags):
    """What the scorer writes of a split."""
    data = ("--dataset", folder / "dataset.yaml", "--label_csv", folder / f"{split}.csv", "--gt_dir", folder)
    result = command(score_predictions, *data, *flags, "--json", "scores.json", "--per_video", "videos.csv")
    assert result.status == 0, result.err
    return json.loads(Path("scores.json").read_text()), pd.read_csv("videos.csv", keep_default_na=False)


def test_ave_by_three_rules(converted, command, tmp_path, monkeypatch):
    folder, source = converted("ave")
    monkeypatch.chdir(tmp_path)
    values = json.loads((source / "golden.json").read_text())
    dataset, rng = read_dataset(folder / "dataset.yaml"), np.random.default_rng(values["seed"])
    for split in ("val", "test"):
        videos = read_split(folder / f"{split}.csv", dataset)
        truth = single_truth(read_reference(folder, videos.filenames, dataset).audio).reshape(-1, 10)
        dense = np.eye(29, dtype=np.float32)[truth]
        n = len(videos.filenames)
        frame_score = rng.standard_normal((n, 10, 29)) + 2 * dense
        gate = rng.standard_normal((n, 10)) + 1.5 * (1 - 2 * dense[..., 28])
        event = rng.standard_normal((n, 28)) + 2.5 * videos.weak
        order = np.random.default_rng(1).permutation(n)  # a program may write videos in any order
        arrays = {"frame_score": frame_score[order].reshape(-1, 29), "gate": gate[order].ravel(), "event": event[order]}
        np.savez("p.npz", filename=np.array(videos.filenames)[order], **arrays)
        expected = values["splits"][split]
        for rule, key in (("argmax", "acc_argmax"), ("gate", "acc_gate"), ("event", "acc_uwav")):
            found, each = score(command, folder, split, "--probabilities", "p.npz", "--rule", rule)
            assert found["accuracy"] == pytest.approx(expected[key], rel=1e-13)
            assert found["floor_background"] == pytest.approx(expected["floor_background"], rel=1e-13)
            assert found["floor_true_class"] == pytest.approx(expected["floor_true_class_all_seconds"], rel=1e-13)
            assert np.mean(each["accuracy"]) == pytest.approx(found["accuracy"], abs=1e-8)


def lfav_predictions(rng, audio, visual):
    """The golden recipe's probabilities of one video, whose truth is (C, T) bool of each modality."""
    truth = np.stack([audio, visual])
    seconds = truth.shape[-1]
    coarse = np.repeat(rng.random((2, 35, math.ceil(seconds / 8))), 8, -1)[..., :seconds]
    frame = 0.3 * truth + 0.6 * coarse + 0.1 * rng.random(truth.shape)
    return frame.transpose(2, 0, 1), 0.3 * truth.any(-1) + 0.7 * rng.random((2, 35))


def test_lfav_of_each_video_and_mean_average_precision(converted, command, tmp_path, monkeypatch):
    folder, source = converted("lfav")
    monkeypatch.chdir(tmp_path)
    values, arrays = json.loads((source / "golden.json").read_text()), np.load(source / "golden.npz")
    dataset, rng = read_dataset(folder / "dataset.yaml"), np.random.default_rng(values["seed"])
    for split in ("val", "test"):
        names, lengths = arrays[f"{split}_filename"].astype(str).tolist(), arrays[f"{split}_T"]
        reference = read_reference(folder, names, dataset, lengths)
        pairs = (lfav_predictions(rng, reference.audio[i], reference.visual[i]) for i in range(len(names)))
        frame, video = zip(*pairs, strict=True)
        np.savez("p.npz", filename=names, lengths=lengths, frame_prob=np.concatenate(frame), video_prob=np.stack(video))
        found, each = score(command, folder, split, "--probabilities", "p.npz")
        expected = values["splits"][split]
        assert [found[f"mAP-{k}"] for k in ("a", "v", "av")] == pytest.approx(expected["mAP_a_v_av"], abs=1e-9)
        assert found["mAP"] == pytest.approx(expected["mAP_avg"], abs=1e-9)
        kinds = ("a", "v", "event", "av")
        assert [found[f"Event-{k}"] for k in kinds] == pytest.approx(expected["event_a_v_event_av"], abs=1e-9)
        assert [found[f"Seg-{k}"] for k in kinds] == pytest.approx(expected["segment_a_v_event_av"], abs=1e-9)
        assert found["Event-type"] == pytest.approx(expected["event_type"], abs=1e-9)
        places = {name: i for i, name in enumerate(names)}
        rows = [places[name] for name in each["filename"].tolist()]
        for level, key in (("Seg", "segment"), ("Event", "event")):
            mine = np.stack([each[f"{level}-{k}"] for k in kinds], axis=1)
            assert np.abs(mine - arrays[f"{split}_{key}"][rows]).max() < 1e-9


def test_unav_example(converted):
    folder, source = converted("unav")
    values, dataset = json.loads((source / "golden.json").read_text()), read_dataset(folder / "dataset.yaml")
    assert list(dataset.class_names) == values["classes"]
    names = list(values["expected"])
    found = read_reference(folder, names, dataset)
    for i, expected in enumerate(values["expected"].values()):
        assert ["".join(map(str, row)) for row in found.audio[i].T.astype(int)] == expected["matrix_T_by_C"]
    for split in ("train", "val", "test"):
        videos = read_split(folder / f"{split}.csv", dataset)
        for name, weak in zip(videos.filenames, videos.weak.tolist(), strict=True):
            assert weak == values["expected"][name]["weak"]


FORMS = {  # folders of features below feats/, and in the published source: audio, visual, spatio-temporal
    "ave": (published_forms.write_ave, "out/feats/vggish", "out/feats/vgg19", "out/feats/vgg19"),
    "lfav": (published_forms.write_lfav, "in/feats/vggish", "in/feats/resnet18", "in/feats/r2plus1d_18"),
    "unav": (published_forms.write_unav, "out/feats/vggish", "out/feats/i3d_rgb", "out/feats/i3d_flow"),
}


@pytest.mark.parametrize("name", FORMS)
def test_from_the_published_form_to_a_test_table(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, *folders = FORMS[name]
    write(tmp_path / "in")
    result = command(convert_dataset, name, "--source", "in", "--out", "out")
    assert result.status == 0, result.err
    features = zip(("--audio_dir", "--video_dir", "--st_dir"), folders, strict=True)
    flags = ("--dataset", "out/dataset.yaml", *(x for pair in features for x in pair), "--losses", "video,guided")
    rates = ("--epochs", "8", "--lr", "1e-2", "--stepsize", "100")
    result = command(main, *TRAIN, *flags, *rates, "--model_name", "run")
    assert result.status == 0, result.err
    tested = ("--mode", "test", "--model_name", "run", "--save_predictions", "pred", "--json", "main.json")
    result = command(main, *SMALL, *flags[:-2], *tested)
    assert result.status == 0, result.err
    table = {
        "ave": ("accuracy_argmax", "floor_true_class", "Seg-av"),
        "lfav": ("mAP-av", "Event-type", "Seg-event"),
        "unav": ("Seg-av", "Event-av"),
    }[name]
    assert all(column in result.out for column in table) and ("Seg-a " in result.out) == (name == "lfav")
    found = json.loads(Path("main.json").read_text())
    for source in (("--probabilities", "pred/probabilities.npz"), ("--pred_dir", "pred")):
        scored = command(score_predictions, "--dataset", "out/dataset.yaml", *source, "--json", "s.json")
        assert scored.status == 0, scored.err
        again = json.loads(Path("s.json").read_text())
        shared = [key for key in again if key in found and (key != "accuracy" or source[0] == "--probabilities")]
        assert {key: again[key] for key in shared} == {key: found[key] for key in shared} and len(shared) >= 2
    if name == "ave":
        dataset = read_dataset("out/dataset.yaml")
        videos = read_split("out/test.csv", dataset)
        truth = read_reference(Path("out"), videos.filenames, dataset)
        rows = second_rows(truth.audio)
        assert found["floor_background"] == pytest.approx(100 * (~rows.any(axis=1)).mean())
