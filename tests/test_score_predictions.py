"""The scorer on its own: files in, table, JSON and CSV out."""

import json

import numpy as np
import pandas as pd
import pytest

from utils import score_predictions
from utils.llp.annotations import read_reference, write_predictions
from utils.llp.videos import read_split
from utils.metrics.eval_metrics import SCORE_NAMES, VIDEO_SCORE_NAMES, ten_scores, video_scores
from utils.metrics.tables import WIDTH, score_table

HEADER = "filename\tonset\toffset\tevent_labels\n"


@pytest.fixture
def folder(tmp_path):
    """Two videos: in `a` a dog barks for 4 s and is seen for 2 s, in `b` nothing happens."""
    (tmp_path / "videos.csv").write_text("filename\tevent_labels\na_0_10\tDog\nb_0_10\tCat\n")
    (tmp_path / "AVVP_eval_audio.csv").write_text(HEADER + "a_0_10\t0\t4\tDog\n")
    (tmp_path / "AVVP_eval_visual.csv").write_text(HEADER + "a_0_10\t2\t4\tDog\n")
    (tmp_path / "pred_audio.csv").write_text(HEADER + "a_0_10\t0\t2\tDog\nunknown_0_10\t0\t2\tCat\n")
    (tmp_path / "pred_visual.csv").write_text(HEADER + "a_0_10\t2\t4\tDog\na_0_10\t0\t3\tCat\n")
    return tmp_path


def flags(folder, *more):
    return "--pred_dir", folder, "--label_csv", folder / "videos.csv", "--gt_dir", folder, *more


# video a by hand: audio 2 of 4 segments, IoU 1/2; visual Dog right, Cat wrong; audio-visual predicts nothing.
# `event` adds up audio and visual: Dog tp 2+2, fn 2: F 8/10; Cat 0.
VIDEO_A = {"Seg-a": 200 / 3, "Seg-v": 50, "Seg-av": 0, "Seg-event": 40}
VIDEO_A |= {"Event-a": 100, "Event-v": 50, "Event-av": 0, "Event-event": 50}


def test_worked_by_hand(folder, command):
    result = command(score_predictions, *flags(folder, "--json", folder / "s.json", "--per_video", folder / "v.csv"))
    assert result.status == 0, result.err
    assert f"Annotations: 1 and 1 rows in {folder}" in result.out
    assert "1 for 1 names that are not asked for" in result.err

    header, *rows = (folder / "v.csv").read_text().splitlines()
    assert header == "filename,Seg-a,Seg-v,Seg-av,Seg-event,Event-a,Event-v,Event-av,Event-event"
    assert [row.split(",")[0] for row in rows] == ["a_0_10", "b_0_10"]
    a, b = ([float(x) for x in row.split(",")[1:]] for row in rows)
    assert a == pytest.approx(list(VIDEO_A.values()), abs=1e-12)
    assert b == [100] * 8  # nothing happened and nothing was predicted

    scores = json.loads((folder / "s.json").read_text())
    assert list(scores) == list(SCORE_NAMES)
    for name, value in VIDEO_A.items():
        assert scores[name] == pytest.approx((value + 100) / 2, abs=1e-12)
    assert scores["Seg-type"] == pytest.approx((scores["Seg-a"] + scores["Seg-v"] + scores["Seg-av"]) / 3, abs=1e-12)
    table = [line.replace("|", " ").split() for line in result.out.splitlines() if line.startswith("|")]
    for (names, values), expected in zip((table[:2], table[2:]), (SCORE_NAMES[:5], SCORE_NAMES[5:]), strict=True):
        assert names == ["Dataset", *expected]
        assert values == ["videos", *(f"{scores[n]:.2f}" for n in expected)]


@pytest.mark.parametrize("name", ["HAN", "teachers, with thresholds of their own", "models/run/" * 20])
def test_tables_of_scores_fit_a_terminal(name):
    full = dict.fromkeys(SCORE_NAMES, 100.0)
    lines = score_table({name: full, "B": {"Seg-a": None}}, "Predictions").splitlines()
    assert max(map(len, lines)) <= WIDTH
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    heads = [row for row in cells if row[0] == "Predictions"]
    assert [name for row in heads for name in row[1:]] == list(SCORE_NAMES)  # in two tables of five
    assert [len(row) for row in heads] == [6, 6]
    first = cells[1 : next(i for i, row in enumerate(cells) if row[0] == "B")]  # the lines of the first name
    assert "".join(row[0] for row in first).replace(" ", "") == name.replace(" ", "")
    assert [row[1:] for row in cells if row[0] == "B"] == [["-"] * 5] * 2
    narrow = score_table({"AVE": {"accuracy": 12.5, "floor": np.nan}}).replace("|", " ").split("\n")
    assert [narrow[1].split(), narrow[3].split()] == [["Dataset", "accuracy", "floor"], ["AVE", "12.50", "-"]]


def test_classwise_by_hand(folder, command):
    result = command(score_predictions, *flags(folder, "--classwise"))
    lines = [line for line in result.out.splitlines() if "|" in line]
    assert max(map(len, lines)) <= WIDTH
    rows = {}
    for line in lines:
        rows.setdefault(line.split("|")[1].strip(), []).extend(line.replace("|", " ").split()[1:])
    #                     audio F, videos, TP, FP, FN   visual                         audio-visual
    assert rows["Dog"] == ["66.67", "1", "2", "0", "2", "100.00", "1", "2", "0", "0", "0.00", "1", "0", "0", "2"]
    assert rows["Cat"] == ["-", "0", "0", "0", "0", "0.00", "1", "0", "3", "0", "-", "0", "0", "0", "0"]
    assert rows["Speech"][:2] == ["-", "0"]
    # video-level sets, mean of a and b: audio 100 and 100; visual 2/3 and 100; both 0 and 100; either 2/3 and 100
    assert rows["mean over videos"][-4:] == ["100.00", "83.33", "50.00", "83.33"]


def test_the_real_reference_scores_100_against_itself(gt_dir, llp_dir, tmp_path, command):
    folder = gt_dir("2024")
    for modality in ("audio", "visual"):
        (tmp_path / f"pred_{modality}.csv").symlink_to(folder / f"AVVP_eval_{modality}.csv")
    json_file = tmp_path / "s.json"
    flags = ("--pred_dir", tmp_path, "--label_csv", llp_dir / "AVVP_test_pd.csv", "--gt_dir", folder)
    result = command(score_predictions, *flags, "--json", json_file)
    assert result.status == 0, result.err
    assert "2024 version of LLP's audio annotations (4131 rows)" in result.out
    assert set(json.loads(json_file.read_text()).values()) == {100.0}


def test_random_predictions_survive_the_files(gt_dir, llp_dir, tmp_path, command):
    filenames = read_split(llp_dir / "AVVP_val_pd.csv").filenames
    rng = np.random.default_rng(2)
    audio, visual = rng.random((2, len(filenames), 25, 10)) < 0.1
    write_predictions(tmp_path, filenames, audio, visual)
    flags = ("--pred_dir", tmp_path, "--label_csv", llp_dir / "AVVP_val_pd.csv", "--gt_dir", gt_dir("2020"))
    result = command(score_predictions, *flags, "--json", tmp_path / "s.json", "--per_video", tmp_path / "v.csv")
    assert result.status == 0 and "2020 version" in result.out
    reference = read_reference(gt_dir("2020"), filenames)
    per_video = video_scores(audio, visual, reference.audio, reference.visual)
    assert json.loads((tmp_path / "s.json").read_text()) == ten_scores(per_video)
    written = pd.read_csv(tmp_path / "v.csv", float_precision="round_trip")
    for name in VIDEO_SCORE_NAMES:
        np.testing.assert_array_equal(written[name], per_video[name])
