"""Several seeds: runs of their own, then mean and standard deviation."""

import json

import numpy as np
import pytest

import main
from tests.conftest import SMALL, TRAIN
from utils.metrics.eval_metrics import SCORE_NAMES
from utils.train import seeds


def test_mean_and_deviation_by_hand():
    runs = [dict.fromkeys(SCORE_NAMES, value) for value in (60.0, 62.0, 67.0)]
    summary = seeds.summarise(runs)["Seg-type"]
    assert summary["mean"] == 63.0 and summary["values"] == [60.0, 62.0, 67.0]
    assert summary["std"] == pytest.approx((((-3) ** 2 + (-1) ** 2 + 4**2) / 2) ** 0.5)
    assert seeds.summarise(runs[:1])["Event-av"] == {"mean": 60.0, "std": None, "values": [60.0]}


def test_each_seed_is_the_run_it_would_be_alone(workspace, command):
    result = command(main, *TRAIN, "--seeds", "3", "5", "--model_name", "run")
    assert result.status == 0, result.err
    for seed in (3, 5):
        assert command(main, *TRAIN, "--seed", seed, "--model_name", f"alone{seed}").status == 0
        a, b = (workspace / f"models/{n}/iterations.jsonl" for n in (f"run_seed{seed}", f"alone{seed}"))
        assert a.read_text() == b.read_text()
    found = json.loads((workspace / "models/seeds.json").read_text())
    assert (found["model_name"], found["seeds"]) == ("run", [3, 5])
    for mode in ("val", "test"):
        scores = []
        for seed in (3, 5):
            flags = ("--mode", mode, "--model_name", f"run_seed{seed}", "--json", "s.json")
            assert command(main, *SMALL, *flags).status == 0
            scores.append(json.loads((workspace / "s.json").read_text()))
        for name in SCORE_NAMES:
            values = [s[name] for s in scores]
            assert found[mode][name]["values"] == pytest.approx(values)
            assert found[mode][name]["mean"] == pytest.approx(np.mean(values))
            assert found[mode][name]["std"] == pytest.approx(np.std(values, ddof=1))
    mean = f"{found['test']['Seg-type']['mean']:.2f}"
    assert any("Test, mean" in line and mean in line for line in result.out.splitlines())
    assert "Test, standard deviation" in result.out and "models/seeds.json" in result.out


def test_stopped_and_resumed(workspace, command, monkeypatch):
    flags = (*TRAIN, "--seeds", "3", "5", "--model_name", "run")
    assert command(main, *flags).status == 0
    expected = (workspace / "models/seeds.json").read_text()
    again = command(main, *flags)
    assert again.status == 2 and "models/run_seed3: exists" in again.error
    late = command(main, *TRAIN, "--seeds", "9", "5", "--model_name", "run")  # known before seed 9 is trained
    assert late.status == 2 and "models/run_seed5: exists" in late.error
    assert not (workspace / "models/run_seed9").exists()
    for path in (workspace / "models/run_seed5").iterdir():
        path.unlink()
    (workspace / "models/run_seed5").rmdir()
    (workspace / "models/seeds.json").unlink()
    assert command(main, *flags, "--resume").status == 0
    assert (workspace / "models/seeds.json").read_text() == expected


def test_another_models_summary_is_kept(workspace, command):
    for name in ("a", "b"):
        result = command(main, *TRAIN, "--epochs", "1", "--seeds", "3", "--model_name", name)
        assert result.status == 0, result.err
    names = [json.loads((workspace / "models" / f).read_text())["model_name"] for f in ("seeds.json", "a_seeds.json")]
    assert names == ["b", "a"] and "models/seeds.json belonged to a; renamed to models/a_seeds.json" in result.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--memory_limit", "1", "--exact"), "--memory_limit has no meaning with --exact"),
        (("--seeds", "1", "1"), "--seeds 1 1: lists one twice"),
        (("--seeds", "1", "--json", "s.json"), "--json has no meaning with --seeds, which writes seeds.json"),
        (("--seeds", "1", "--mode", "test"), "--seeds has no meaning with --mode test"),
        (("--seeds", "-1"), "-1 is below 0"),
        (("--precision", "tf32"), "--precision tf32: only CUDA devices have it"),
        (("--precision", "bf16", "--exact"), "--precision has no meaning with --exact"),
        (("--feature_dtype", "float16", "--exact"), "--feature_dtype has no meaning with --exact"),
    ],
)
def test_what_is_refused(workspace, command, flags, message):
    result = command(main, *TRAIN, "--model_name", "run", *flags)
    assert result.status == 2 and message in result.error
    assert not (workspace / "models").exists()


def test_bfloat16_learns_as_well(workspace, command):
    assert command(main, *TRAIN, "--epochs", "5", "--precision", "bf16", "--model_name", "bf16").status == 0
    lines = (workspace / "models/bf16/log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss_all"] for line in lines]
    assert losses == sorted(losses, reverse=True)
    result = command(main, *SMALL, "--mode", "test", "--precision", "bf16", "--model_name", "bf16")
    assert result.status == 0, result.err
