"""Whole runs of UWAV and of MM-Pyramid's published loop through main.py --exact, on the golden features."""

import json
import math
import subprocess
import sys

import pytest

import main
from tests.conftest import SHARED, find
from tests.test_golden_training import expected, features, lines  # noqa: F401 (fixtures)
from utils.llp.classes import CLASSES, write_classes

pytestmark = pytest.mark.usefixtures("published_dropout", "torch_masks")

UWAV = {  # names of the golden values -> names of the logs
    "loss_video": "loss_video",
    "loss_segment_a": "loss_valor_a",
    "loss_segment_v": "loss_valor_v",
    "loss_mixup_a": "loss_mixup_a",
    "loss_mixup_v": "loss_mixup_v",
    "loss_all": "loss_all",
}
RECIPES = {
    "uwav": "--targets=soft --reweight=0.5 --mixup=1.7",
    "binary": "",
    "soft_weights": "--targets=soft --reweight=0.5",
}
SLOTS = {"loss_first_slot": "loss_guided_a", "loss_second_slot": "loss_guided_v", "loss_video": "loss_video"}
SLOTS |= {"loss_all": "loss_all"}


@pytest.fixture(scope="module")
def uwav(features):  # noqa: F811
    """What the golden runs are, and the flags that name their logits and thresholds."""
    path = find("runs.json", SHARED / "uwav")
    golden = json.loads(path.read_text())
    seed = str(golden["features"]["make_logits"]["seed"])
    subprocess.run([sys.executable, path.with_name("make_logits.py"), features / "data", "--seed", seed], check=True)
    thresholds = [[float(x) for x in golden["thresholds"][m]] for m in "av"]
    own = [c._replace(clap_threshold=a, clip_threshold=v) for c, a, v in zip(CLASSES, *thresholds, strict=True)]
    assert any(math.isinf(x) for x in thresholds[0])
    write_classes(features / "thresholds.yaml", own)
    flags = [
        "--a_logits_dir=data/UWAV/logits_a",
        "--v_logits_dir=data/UWAV/logits_v",
        "--label_thresholds=thresholds.yaml",
    ]
    network = golden["network"]
    for ours, theirs in (
        ("hidden_dim", "hidden_dim"),
        ("nhead", "nhead"),
        ("ff_dim", "ff_dim"),
        ("dropout", "dropout"),
    ):
        flags.append(f"--{ours}={network[theirs]}")
    flags.append(f"--num_layers={network['num_han_layers']}")
    flags += [f"--{name}={value}" for name, value in golden["training"].items()]
    return golden["runs"], [*flags, "--model=UWAV", "--scheduler=warm_up_cos_anneal", "--optimizer=adamw"]


def compare(ours, theirs, names, rel):
    for golden, name in names.items():
        assert (ours[name] or 0) == pytest.approx(theirs[golden], rel=rel, abs=1e-9), name


@pytest.mark.parametrize("name", RECIPES)
def test_uwavs_runs(uwav, features, command, monkeypatch, name):  # noqa: F811
    runs, flags = uwav
    run = runs[name]
    monkeypatch.chdir(features)
    common = (*flags, *RECIPES[name].split(), f"--seed={run['seed']}", "--exact", "--gpu=-1", "--num_workers=0")
    common += (f"--model_name=uwav_{name}",)
    result = command(main, *common, "--log_every=1")
    assert result.status == 0, result.err
    names = {golden: ours for golden, ours in UWAV.items() if run["settings"]["cal_mixup_loss"] or "mixup" not in ours}
    folder = features / "models" / f"uwav_{name}"
    for ours, theirs in zip(lines(folder / "iterations.jsonl"), run["log"], strict=True):
        compare(ours, theirs, names, 1e-5 if theirs["epoch"] == 1 else 1e-4)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    for ours, theirs in zip(lines(folder / "log.jsonl"), run["epochs"], strict=True):
        assert ours["lr"] == pytest.approx(theirs["lr"], rel=1e-9)
        for split in ("train", "val"):
            own = {golden: f"{split}_{name}" for golden, name in names.items()}
            compare(ours, theirs[split], own, 1e-5 if theirs["epoch"] == 1 else 1e-4)
        assert {k: ours[k] for k in theirs["val_scores"]} == pytest.approx(theirs["val_scores"], abs=0.5)
    assert f"Best F scores (at epoch {run['best_epoch']}):" in result.out
    assert command(main, *common, "--mode=test", "--json=test.json").status == 0
    assert json.loads((features / "test.json").read_text()) == pytest.approx(run["test_table"], abs=0.5)


@pytest.mark.parametrize("name", ["mmp", "mmp_small"])
def test_mm_pyramids_published_loop(features, command, monkeypatch, name):  # noqa: F811
    """Guided losses on exchanged streams. Its own losses drift by 1e-3 if first weights move by their rounding."""
    path = find("mmp_train.json", SHARED / "mmpyramid")
    run = json.loads(path.read_text())["runs"][name]
    monkeypatch.chdir(features)
    own = {k: v for k, v in run["equivalent_flags"].items() if k not in ("slots", "losses", "best")}
    common = [f"--{name}={value}" for name, value in own.items()]
    common += ["--losses=video,guided", "--label_smoothing=0.9", "--published_slots", "--exact", "--gpu=-1"]
    common += ["--num_workers=0", f"--model_name={name}"]
    result = command(main, *common, "--log_every=1")
    assert result.status == 0, result.err
    folder = features / "models" / name
    published = [line for line in run["log"] if "iters" in line]
    for i, (ours, theirs) in enumerate(zip(lines(folder / "iterations.jsonl"), published, strict=True)):
        tolerance = 1e-6 if i == 0 else 5e-4 if theirs["epoch"] == 1 else 1e-2
        compare(ours, theirs, {f"train {golden}": name for golden, name in SLOTS.items()}, tolerance)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=max(tolerance, 1e-5))
    published = [line for line in run["log"] if "iters" not in line]
    for ours, theirs in zip(lines(folder / "log.jsonl"), published, strict=True):
        assert ours["lr"] == pytest.approx(theirs["lr"])
        scores = {k.removeprefix("val "): v for k, v in theirs.items() if k.startswith("val ")}
        assert {k: ours[k] for k in scores} == pytest.approx(scores, abs=3.5)
    assert f"Best F scores (at epoch {run['best_epoch']}):" in result.out
    assert command(main, *common, "--mode=test", "--json=test.json").status == 0
    assert json.loads((features / "test.json").read_text()) == pytest.approx(run["test_table"], abs=3.5)
