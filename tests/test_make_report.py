"""The page about a test run: its numbers by hand and against slow loops, bad input, figures."""

import base64
import errno
import gzip
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.test_eval_metrics import one_row
from tests.test_score_predictions import HEADER, VIDEO_A
from utils import make_report
from utils.base import files
from utils.base.errors import InputError
from utils.llp.annotations import Evaluation, Predictions, read_reference
from utils.llp.classes import CLASS_NAMES
from utils.llp.datasets import LLP, read_dataset
from utils.llp.videos import Split, read_split
from utils.metrics import bootstrap
from utils.metrics.eval_metrics import EXCLUSIVE_SCORE_NAMES, SCORE_NAMES, exclusive_scores, ten_scores, video_scores
from utils.metrics.protocols import scope_notes
from utils.report import html, page, paper_figures
from utils.report.html import class_colours, script_json, script_object
from utils.report.latex import table_rows
from utils.report.page import ScoredRun
from utils.report.run_names import run_labels, run_names
from utils.train.training_log import read_curves

EPOCH = {"epoch": 1, "lr": 1e-4, "train_loss_all": 2.0, "val_loss_all": None, "Seg-type": 12.5}


@pytest.fixture
def folder(tmp_path):
    """Videos a and b of the scorer's tests with predictions, and perfect ones in `second`."""
    (tmp_path / "second").mkdir()
    (tmp_path / "videos.csv").write_text("filename\tevent_labels\nb_0_10\tCat\na_0_10\tDog\n")
    (tmp_path / "AVVP_eval_audio.csv").write_text(HEADER + "a_0_10\t0\t4\tDog\n")
    (tmp_path / "AVVP_eval_visual.csv").write_text(HEADER + "a_0_10\t2\t4\tDog\n")
    (tmp_path / "pred_audio.csv").write_text(HEADER + "a_0_10\t0\t2\tDog\n")
    (tmp_path / "pred_visual.csv").write_text(HEADER + "a_0_10\t2\t4\tDog\na_0_10\t0\t3\tCat\n")
    (tmp_path / "second/pred_audio.csv").write_text(HEADER + "a_0_10\t0\t4\tDog\n")
    (tmp_path / "second/pred_visual.csv").write_text(HEADER + "a_0_10\t2\t4\tDog\n")
    epochs = ({**EPOCH, "epoch": e, "lr": e * 1e-4} for e in (1, 2))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    return tmp_path


def flags(folder, *more):
    out = ("--out", folder / "out/page.html") if "--out" not in more else ()
    return "--pred_dir", folder, "--label_csv", folder / "videos.csv", "--gt_dir", folder, *out, *more


def data_of(page):
    """What a page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_page_of_two_videos_by_hand(folder, command):
    result = command(make_report, *flags(folder, "--log", folder / "log.jsonl"))
    assert result.status == 0, result.err
    assert f"{folder}/out/page.html: 2 videos" in result.out
    data = data_of((folder / "out/page.html").read_text())
    assert data["split"] == "videos.csv" and data["draws"] == 10_000
    assert data["runs"] == [{"name": folder.name, "folder": str(folder)}]
    assert data["caution"] == "Intervals mean little here: they come from 2 videos, and need at least 20."

    for row in data["scores"]:  # b scores 100; the mean of two videos is drawn as a, a and b, or b, with 1/4, 1/2, 1/4
        if row["name"] in VIDEO_A:
            a = VIDEO_A[row["name"]]
            assert row["runs"] == [pytest.approx([(a + 100) / 2, a, 100], abs=1e-4)]
    types = {"Seg-type": (200 / 3 + 50 + 0) / 3, "Event-type": (100 + 50 + 0) / 3}
    for name, a in types.items():
        row = data["scores"][SCORE_NAMES.index(name)]
        assert row["name"] == name and row["runs"] == [pytest.approx([(a + 100) / 2, a, 100], abs=1e-4)]

    assert [video[0] for video in data["videos"]] == ["a_0_10", "b_0_10"]  # worst first, b is listed first
    dog, cat = CLASS_NAMES.index("Dog"), CLASS_NAMES.index("Cat")
    reference, predicted = data["videos"][0][2]
    assert reference == [[dog, 0, 4], [dog, 2, 4]] and predicted == [[dog, 0, 2], [dog, 2, 4, cat, 0, 3]]
    assert data["videos"][1][2] == [[[], []], [[], []]]
    audio, visual = data["byClass"][0]["audio"], data["byClass"][0]["visual"]
    assert (audio["f"][dog], audio["videos"][dog], audio["f"][cat]) == (66.67, 1, None)
    assert (visual["f"][dog], visual["f"][cat], visual["videos"][cat]) == (100, 0, 1)
    curves = {"train loss": [2, 2], "val loss": [None, None], "Val F": [12.5, 12.5], "learning rate": [1e-4, 2e-4]}
    assert data["curves"] == [{"epoch": [1, 2], **curves}]


def test_page_loads_nothing_and_runs_only_its_own_script(folder, command):
    assert command(make_report, *flags(folder)).status == 0
    page = (folder / "out/page.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in page and f"script-src 'sha256-{digest}'" in page
    assert set(re.findall(r"https?://[^\"' )]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "innerHTML" not in page and data_of(page)["curves"] == []


def test_text_cannot_leave_the_data():
    hostile = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> & \u2028 @DATA@"
    text = script_json([hostile])
    assert not set("<>&\u2028") & set(text) and json.loads(text) == [hostile]


@pytest.mark.parametrize("parts", [[], [[]], [[1, "<"]], [[1], [], [[2], None], ["&"]]])
def test_a_list_in_pieces_is_one_list_also_packed(parts, monkeypatch):
    whole = {"a": "</script>", "list": [item for part in parts for item in part]}
    text = script_object({"a": "</script>"}, "list", parts)
    assert json.loads(text) == whole and not set("<>&") & set(text)
    monkeypatch.setattr(html, "LARGE", 10)
    packed = script_object({"a": "</script>"}, "list", parts)
    assert json.loads(gzip.decompress(base64.b64decode(json.loads(packed)))) == whole
    assert packed == script_object({"a": "</script>"}, "list", parts)  # no time stands in it


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_scores_and_videos_do_not_depend_on_how_many_are_at_hand_at_once(lookalike, monkeypatch, at_once):
    filenames = read_split(lookalike / "AVVP_test_pd.csv").filenames
    reference = read_reference(lookalike, filenames)
    wrong = np.random.default_rng(1).random((2, len(filenames), 25, 10)) < 0.05
    predictions = Predictions(reference.audio ^ wrong[0], reference.visual ^ wrong[1], [])
    split = read_split(lookalike / "AVVP_test_pd.csv")
    found = []
    for number in (len(filenames), at_once):
        monkeypatch.setattr(page, "VIDEOS_AT_ONCE", number)
        run = ScoredRun.of("a", "", predictions, reference)
        results = page.Results(Evaluation(split, LLP, reference, [predictions]), [run])
        found.append((run.scores.tolist(), run.exclusive.tolist(), page.render(results, page.score_rows(results))))
    assert found[0] == found[1]


def test_draws_agree_with_a_plain_loop():
    rng = np.random.default_rng(5)
    scores = rng.random((37, 3)) ** 2 * 100
    slow = np.array([scores[rng.integers(37, size=37)].mean(axis=0) for _ in range(10_000)])
    fast = bootstrap.draw_means(scores)
    error = slow.std(axis=0)  # of a mean; the spread of 10,000 draws is known to 1 %
    np.testing.assert_allclose(fast.mean(axis=0), scores.mean(axis=0), atol=4 * error.max() / 100)
    np.testing.assert_allclose(fast.std(axis=0), error, rtol=0.04)
    np.testing.assert_allclose(np.corrcoef(fast.T), np.corrcoef(slow.T), atol=0.05)  # columns share their videos
    estimate = bootstrap.estimate(scores, fast)
    np.testing.assert_allclose(estimate.low, np.percentile(slow, 2.5, axis=0), atol=0.12 * error.max())
    np.testing.assert_allclose(estimate.high, np.percentile(slow, 97.5, axis=0), atol=0.12 * error.max())


def test_draws_are_the_same_for_any_block_and_seed_by_seed(monkeypatch):
    scores = np.random.default_rng(1).random((11, 2))
    whole = bootstrap.draw_means(scores, draws=100)
    monkeypatch.setattr(bootstrap, "_BLOCK", 40)
    np.testing.assert_allclose(bootstrap.draw_means(scores, draws=100), whole, rtol=1e-12)
    assert not np.array_equal(bootstrap.draw_means(scores, draws=100, seed=1), whole)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    samples = rng.exponential(10, (300, 60))  # 300 experiments with 60 videos, true mean 10
    means = bootstrap.draw_means(samples.T, draws=2000)
    estimate = bootstrap.estimate(samples.T, means)
    covered = ((estimate.low <= 10) & (10 <= estimate.high)).mean()
    assert 0.89 <= covered <= 0.98  # percentile intervals of 60 skewed values are a little short


def test_p_of_three_videos_is_exact_enough():
    # Differences 1, 1, -1: the mean of three drawn is negative for two or three -1: (3 * 2 + 1) / 27, never 0.
    first = np.zeros((3, 1))
    comparison = bootstrap.compare(first, np.array([[1.0], [1.0], [-1.0]]), draws=40_000)
    assert comparison.p[0] == pytest.approx(2 * 7 / 27, abs=0.015)
    assert comparison.difference.mean[0] == pytest.approx(1 / 3)


def test_p_values_keep_their_bounds():
    scores = np.random.default_rng(3).random((50, 4)) * 100
    same = bootstrap.compare(scores, scores, draws=500)
    assert (same.p == 1).all() and not np.any(same.difference)
    better = bootstrap.compare(scores, scores + 1, draws=500)
    assert (better.p == 1 / 500).all()  # no draw reverses it
    assert (bootstrap.compare(scores + 1, scores, draws=500).p == 1 / 500).all()
    other = np.random.default_rng(4).random((50, 4)) * 100
    there, back = (bootstrap.compare(*pair, draws=500) for pair in ((scores, other), (other, scores)))
    np.testing.assert_array_equal(there.p, back.p)
    np.testing.assert_allclose(there.difference.low, -back.difference.high)
    # A rise in one video that another one loses is a tie, although 0.1 + 0.2 is not 0.3.
    assert bootstrap.p_values(np.full((2, 1), 0.1 + 0.2 - 0.3)) == 1


def test_no_difference_is_found_as_rarely_as_p_says():
    rng = np.random.default_rng(6)
    noise = rng.standard_normal((80, 400))  # 400 experiments with 80 videos and no difference
    p = bootstrap.p_values(bootstrap.draw_means(noise, draws=1000))
    assert 0.02 <= (p < 0.05).mean() <= 0.095


def test_exclusive_scores_by_hand():
    ref_audio, ref_visual = one_row("1111111100"), one_row("0000111111")
    pred_audio, pred_visual = one_row("1111110000"), one_row("0001111110")
    scores = exclusive_scores(pred_audio, pred_visual, ref_audio, ref_visual)
    # audible-only: reference 1111000000, prediction 1110000000: tp 3, fn 1: 6/7; IoU 3/4: found
    # visible-only: reference 0000000011, prediction 0000001110: tp 1, fp 2, fn 1: 2/5; IoU 1/4: not found
    # both:         reference 0000111100, prediction 0001110000: tp 2, fp 1, fn 2: 4/7; IoU 2/5: not found
    expected = (600 / 7, 40, 400 / 7, 100, 0, 0)
    kinds = ("audible-only", "visible-only", "audio-visual")
    assert tuple(scores) == EXCLUSIVE_SCORE_NAMES == tuple(f"{x} {kind}" for x in ("Seg", "Event") for kind in kinds)
    assert [float(x[0]) for x in scores.values()] == pytest.approx(expected)


def test_exclusive_scores_average_over_the_classes_that_count():
    nothing = np.zeros((1, 3, 10), bool)
    assert all(x == 100 for x in exclusive_scores(nothing, nothing, nothing, nothing).values())
    # class 0 is heard alone and found; class 1 is heard and seen, and predicted as heard alone; class 2 does not occur
    ref_audio, ref_visual, pred_audio = nothing.copy(), nothing.copy(), nothing.copy()
    ref_audio[:, :2] = ref_visual[:, 1] = pred_audio[:, :2] = True
    scores = exclusive_scores(pred_audio, nothing, ref_audio, ref_visual)
    segments = {name: float(x[0]) for name, x in scores.items() if name.startswith("Seg")}
    assert segments == {"Seg audible-only": 50, "Seg visible-only": 100, "Seg audio-visual": 0}


def test_scores_are_those_of_the_scorer(lookalike, tmp_path):
    filenames = read_split(lookalike / "AVVP_val_pd.csv").filenames
    reference = read_reference(lookalike, filenames)
    audio, visual = np.random.default_rng(7).random((2, *reference.audio.shape)) < 0.1
    per_video = video_scores(audio, visual, reference.audio, reference.visual)
    run = ScoredRun.of("x", "", Predictions(audio, visual, []), reference)
    assert run.ten_scores() == pytest.approx(ten_scores(per_video), abs=1e-12)
    both = exclusive_scores(audio, visual, reference.audio, reference.visual)
    np.testing.assert_array_equal(both["Event audio-visual"], per_video["Event-av"])
    draws = bootstrap.draw_means(run.scores, draws=50)
    for level in ("Seg", "Event"):  # type is the mean of its three in every draw
        three = [draws[:, SCORE_NAMES.index(f"{level}-{kind}")] for kind in ("a", "v", "av")]
        np.testing.assert_allclose(draws[:, SCORE_NAMES.index(f"{level}-type")], np.mean(three, axis=0))


def test_two_runs_side_by_side(folder, command):
    result = command(make_report, *flags(folder, "--compare", folder / "second"))
    assert result.status == 0, result.err
    data = data_of((folder / "out/page.html").read_text())
    assert data["runs"] == [{"name": p.name, "folder": str(p)} for p in (folder, folder / "second")]
    rows = {row["name"]: row for row in data["scores"]}
    # B is perfect, A equals it in b: the difference is 0 if only b is drawn, a quarter of the draws
    assert rows["Seg-av"]["difference"] == pytest.approx([50, 0, 100])
    assert rows["Seg-av"]["p"] == pytest.approx(0.5, abs=0.03)
    assert rows["Event-a"]["difference"] == [0, 0, 0] and rows["Event-a"]["p"] == 1
    assert [len(events) for events in (video[2] for video in data["videos"])] == [3, 3]


def test_names_of_runs(folder, command):
    result = command(make_report, *flags(folder, "--name", "VALOR &\n co", "--compare", folder / "second"))
    assert result.status == 0, result.err
    rows = [line.split("|")[1].strip() for line in result.out.splitlines() if line.startswith("|")]
    assert rows == ["Predictions", "A: VALOR & co", "B: second"] * 2
    runs = data_of((folder / "out/page.html").read_text())["runs"]
    assert [run["name"] for run in runs] == ["VALOR & co", "second"]


def test_default_names_are_as_short_as_tells_runs_apart():
    def names(*folders, **given):
        return run_names([Path(f) for f in folders], {str(i): given.get(f"n{i}") for i in range(len(folders))})

    assert names("predictions/my_run") == ["my_run"]
    assert names("runs/han/test", "runs/valor/test") == ["han/test", "valor/test"]
    assert names("runs/test", "test") == ["runs/test", f"{Path.cwd().name}/test"]
    assert names(".", "x") == [Path.cwd().name, "x"]
    assert names("a/x", "a/x") == ["x", "x"]  # a run and itself
    assert names("a/x", "b/x", n1="VALOR") == ["a/x", "VALOR"]
    assert run_labels(["x", "x"]) == ["A: x", "B: x"] and run_labels(["x"]) == ["x"]


def test_each_run_has_its_own_log(folder, command):
    (folder / "other.jsonl").write_text(json.dumps({**EPOCH, "epoch": 7}) + "\n")
    logs = "--log", folder / "log.jsonl", "--log", folder / "other.jsonl"
    assert command(make_report, *flags(folder, "--compare", folder / "second", *logs)).status == 0
    curves = data_of((folder / "out/page.html").read_text())["curves"]
    assert [run["epoch"] for run in curves] == [[1, 2], [7]]
    result = command(make_report, *flags(folder, "--log", folder / "log.jsonl", folder / "other.jsonl"))
    assert result.status == 2 and "--log: 2 files, expected one for the run, or --compare" in result.error


def test_rows_of_a_latex_table_by_hand(folder, command):
    out = folder / "rows.tex"
    named = ("--name", "[100 %] {a_b} #1 & $x^2$ ~\\", "--compare", folder / "second", "--latex", out)
    result = command(make_report, *flags(folder, *named))
    assert result.status == 0 and str(out) in result.out.splitlines()
    lines = out.read_text().splitlines()
    comments = [line for line in lines if line.startswith("%")]
    assert lines[:3] == comments and comments[0] == f"% run & {' & '.join(SCORE_NAMES)}"
    assert "95% intervals of 10,000 bootstrap draws of the 2 videos of videos.csv" in comments[1]
    assert comments[2].startswith("% Intervals mean little here: they come from 2 videos")
    first, first_small, second, second_small = [line.removesuffix(r" \\").split(" & ") for line in lines[3:]]
    assert all(line.endswith(r" \\") for line in lines[3:])
    name = r"{[}100 \%] \{a\_b\} \#1 \& \$x\textasciicircum{}2\$ \textasciitilde{}\textbackslash{}"
    assert " & ".join(first[:-10]) == name
    a = VIDEO_A | {"Seg-type": (200 / 3 + 50 + 0) / 3, "Event-type": (100 + 50 + 0) / 3}  # b scores 100
    assert first[-10:] == [f"{(a[name] + 100) / 2:.2f}" for name in SCORE_NAMES]
    small = [rf"{{\scriptsize [{a[name]:.2f}, 100.00]}}" for name in SCORE_NAMES]
    assert " & ".join(first_small) == "& " + " & ".join(small)
    assert second == ["second", *["100.00"] * 10]
    assert " & ".join(second_small) == "& " + " & ".join([r"{\scriptsize [100.00, 100.00]}"] * 10)


def test_a_data_set_of_audio_visual_truth_has_rows_of_its_own_scores(lookalike):
    filenames = read_split(lookalike / "AVVP_test_pd.csv").filenames * 3  # 24
    reference = read_reference(lookalike, filenames)
    dataset = read_dataset("ave")
    split = Split(Path("list.csv"), filenames, None)
    run = ScoredRun.of("x", "", Predictions(reference.audio, reference.visual, []), reference)
    results = page.Results(Evaluation(split, dataset, reference, []), [run])
    lines = table_rows(results, page.score_rows(results)).splitlines()
    assert lines[0] == "% run & Seg-av & Event-av" and lines[-2] == r"x & 100.00 & 100.00 \\"
    said = [line.removeprefix("% ") for line in lines if line.startswith("%")][2:]
    assert said == scope_notes(dataset) and "score_predictions.py has those" in said[-1]


def test_figures_are_vector_and_name_their_classes(folder, command):
    result = command(make_report, *flags(folder, "--figures", folder / "f", "--videos", "a_0_10"))
    assert result.status == 0, result.err
    names = ["classes.pdf", "classes.png", "timelines.pdf", "timelines.png"]
    assert sorted(p.name for p in (folder / "f").iterdir()) == names
    for name in ("classes", "timelines"):
        pdf = (folder / f"f/{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"/Subtype /Image" not in pdf and b"/Type3" not in pdf
        assert (folder / f"f/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_worst_median_and_best_are_drawn(folder):
    named = ("--name", "The $first$ run of all", "--compare", folder / "second")
    args = make_report.get_args_parser().parse_args([str(x) for x in flags(folder, *named)])
    results = make_report.read_results(args, LLP)
    assert paper_figures.choose(results, None) == {1: "worst", 0: "best"}  # of two, the median is the worst
    figure = paper_figures.draw_timelines(results, {1: "worst"})
    audio, visual = figure.axes
    assert [tick.get_text() for tick in audio.get_yticklabels()] == ["reference", "The $first$ run\nof all", "second"]
    assert visual.get_title(loc="left") == "a_0_10, visual (worst, Type@AV 38.9)"
    spans = [path.get_extents() for x in audio.collections for path in x.get_paths()]
    assert [(box.x0, box.x1, int(box.y0)) for box in spans] == [(0, 4, 0), (0, 2, 1), (0, 4, 2)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Dog", "Cat"]
    keys = [ax.get_legend().get_texts() for ax in paper_figures.draw_classes(results).axes]
    assert [text.get_text() for key in keys for text in key] == ["The $first$ run\nof all", "second"] * 2


def test_colours_repeat_but_never_with_the_same_hatch():
    colours = class_colours(25)
    assert len(colours) == 25 and len(set(colours)) == 7 and "#000000" not in colours and colours[7] == colours[0]
    fills = {tuple(paper_figures._fill(colours, c).items()) for c in range(25)}
    assert len(fills) == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--out": "./pred_audio.csv"}, "--out pred_audio.csv: is pred_audio.csv, which is read"),
        ({"--out": "videos.csv"}, "--out videos.csv: is videos.csv, which is read"),
        ({"--out": "new", "--figures": "new/figures"}, "--out new: is in the way of --figures new/figures"),
        ({"--out": "new", "--figures": "new"}, "--out new: is in the way of --figures new"),
        ({"--pred_dir": "nowhere"}, "nowhere/pred_audio.csv: no such file"),
        ({"--compare": "nowhere"}, "nowhere/pred_audio.csv: no such file"),
        ({"--pred_dir": "bad"}, "bad/pred_audio.csv, line 2: onset is '1.5', expected a whole second from 0 to 10"),
        ({"--label_csv": "others.csv"}, "none of its 3 rows names a video of"),
        ({"--label_csv": "twice.csv"}, "lists a video twice"),
        ({"--latex": "videos.csv"}, "--latex videos.csv: is videos.csv, which is read"),
        ({"--latex": "log.jsonl", "--log": "log.jsonl"}, "--latex log.jsonl: is log.jsonl, which is read"),
        ({"--latex": "page.html"}, "--out page.html: is in the way of --latex page.html"),
        ({"--latex": "new", "--out": "new/page.html"}, "--latex new: is in the way of --out new/page.html"),
        ({"--latex": "second"}, "--latex second: is a folder, expected a file"),
        ({"--latex": "/proc/valor/rows.tex"}, "/proc/valor: "),
        ({"--name": " "}, "--name ' ': is empty, expected a name"),
        ({"--compare_name": "HAN"}, "--compare_name has no meaning without --compare"),
        ({"--log": "nolog.jsonl"}, "nolog.jsonl: no such file"),
        ({"--log": "videos.csv"}, "videos.csv, line 1: not an epoch of a run's log.jsonl; expected JSON with epoch"),
        ({"--log": "iterations.jsonl"}, "iterations.jsonl, line 1: not an epoch of a run's log.jsonl"),
        ({"--out": "videos.csv/page.html"}, "videos.csv is a file, expected a folder"),
        ({"--out": "second"}, "second: is a folder, expected a file"),
        ({"--out": "/proc/valor/page.html"}, "/proc/valor: "),
        ({"--figures": "videos.csv"}, "videos.csv: is a file, expected a folder"),
        ({"--figures": "/proc/valor"}, "/proc/valor: "),
        ({"--videos": "a_0_10"}, "--videos has no meaning without --figures"),
        ({"--videos": "c_0_10", "--figures": "f"}, "--videos c_0_10: not in"),
        ({"--gt_dir": "nowhere"}, "nowhere/AVVP_eval_audio.csv: no such file"),
        ({"--classes": "videos.csv"}, "videos.csv"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(folder, command, monkeypatch, change, message):
    monkeypatch.chdir(folder)
    (folder / "bad").mkdir()
    for modality in ("audio", "visual"):
        (folder / f"bad/pred_{modality}.csv").write_text(HEADER + "a_0_10\t1.5\t4\tDog\n")
    (folder / "others.csv").write_text("filename\tevent_labels\nc_0_10\tDog\n")
    (folder / "twice.csv").write_text("filename\tevent_labels\na_0_10\tDog\na_0_10\tDog\n")
    (folder / "iterations.jsonl").write_text('{"epoch": 1, "iter": 0, "loss_all": 2.0}\n')
    before = sorted(folder.rglob("*"))
    given = {"--pred_dir": ".", "--label_csv": "videos.csv", "--gt_dir": ".", "--out": "page.html", **change}
    result = command(make_report, *(x for pair in given.items() for x in pair))
    assert result.status == 2 and message in result.error and "Traceback" not in result.err
    assert sorted(folder.rglob("*")) == before


NO_LOGS = ("", "[]\n", "7\n", '{"epoch": NaN}\n', json.dumps({**EPOCH, "epoch": None}), "[" * 10**5)


@pytest.mark.parametrize("text", NO_LOGS)
def test_a_log_that_is_none(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(InputError, match="expected"):
        read_curves(tmp_path / "log.jsonl")


def test_a_folder_without_permission(folder, command, monkeypatch):
    def denied(dir):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", denied)  # for root, everything can be written
    result = command(make_report, *flags(folder))
    assert result.status == 2 and "nothing can be written in" in result.error and "Permission denied" in result.error
    assert not list(folder.rglob("*.html*"))
