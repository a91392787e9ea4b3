"""The study of recipes: rows are trained once, compared in pairs, and written as a table and a figure."""

import numpy as np
import pytest

from benchmarks import ablation, ablation_report
from benchmarks.ablation_report import RUNS, difference, read_runs, write_report
from utils.metrics.bootstrap import paired_interval


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two recipes on few videos."""
    recipes = {name: ablation.RECIPES[name] for name in ("VALOR", "soft targets")}
    monkeypatch.setattr(ablation, "RECIPES", recipes)
    monkeypatch.setattr(ablation, "COUNTS", {"train": 40, "val": 20, "test": 30})
    return ablation.get_args_parser().parse_args(["--out", str(tmp_path), "--epochs=2", "--seeds=1"])


def test_rows_are_trained_once_and_a_cut_off_line_again(small, tmp_path, capsys):
    ablation.run(small, ("llp", 1))
    names = [ablation.LABELS, ablation.BOUND, "VALOR", "soft targets", ablation.TRUTH]
    runs = read_runs(tmp_path)
    assert [r["name"] for r in runs] == names
    assert {len(r[way]) for r in runs for way in ("at 0.5", "tuned") if way in r} == {10}
    assert runs[1]["at 0.5"]["Seg-type"] > runs[2]["at 0.5"]["Seg-type"]
    path = tmp_path / RUNS
    complete = path.read_text()
    *lines, last = complete.splitlines(keepends=True)
    path.write_text("".join(lines) + last[:40] + "\n")
    capsys.readouterr()
    ablation.run(small, ("llp", 1))
    assert capsys.readouterr().out.count("seed 1") == 1
    again = read_runs(tmp_path)
    for run in (runs[-1], again[-1]):
        del run["seconds"]
    assert again[-1] == runs[-1]


def run_of(name, seed, score):
    scores = {"Seg-type": score, "Event-type": score}
    return {
        "world": "llp",
        "seed": seed,
        "name": name,
        "at 0.5": scores,
        "tuned": scores,
        "seconds": 1.0,
        "parameters": 1e6,
    }


def test_differences_are_of_the_same_seeds(tmp_path):
    ours, theirs = [61.0, 64.0, 62.0], [60.0, 62.0, 61.5, 99.0]
    runs = [run_of("mixup", i, x) for i, x in enumerate(ours)] + [run_of("VALOR", i, x) for i, x in enumerate(theirs)]
    found = difference(runs, "mixup", "tuned")
    assert found == paired_interval(np.array([1.0, 2.0, 0.5]))
    assert difference(runs, "VALOR", "tuned") is None
    for run in runs:
        ablation.append_line(tmp_path / RUNS, ablation.json.dumps(run))
    text = write_report(tmp_path, ["VALOR", "mixup", "never run"])
    assert "| mixup | 62.3 | +1.2 [" in text and "never run" not in text
    assert (tmp_path / "ablation.md").read_text() == text
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_every_row_has_flags_that_main_takes():
    settings = ablation.get_args_parser().parse_args([])
    for name in [*ablation.RECIPES, ablation.TRUTH]:
        args = ablation.parse(name, settings, seed=3)
        assert args.seed == 3 and args.hidden_dim == 128
    assert ablation_report.REFERENCE in ablation.RECIPES
