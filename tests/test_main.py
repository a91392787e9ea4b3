"""Training and evaluation end to end, on synthetic data: what a run prints and leaves behind."""

import json
import sys
import types
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch

import main
from nets import MMIL_Net
from tests.conftest import SMALL, TRAIN
from utils import score_predictions
from utils.metrics.eval_metrics import SCORE_NAMES, binarize
from utils.train.losses import LOSS_NAMES
from utils.train.run import Run
from utils.train.run_folder import read_arguments

ITERATION_KEYS = ["epoch", "iter", *LOSS_NAMES, "grad_norm"]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_what_the_release_leaves_and_logs(workspace, command):
    result = command(main, *TRAIN, "--mode", "train", "--model_name", "run", "--save_epochs", "--json", "best.json")
    assert result.status == 0, result.err
    run = workspace / "models/run"
    checkpoints = {f"checkpoint_{name}.pt" for name in ("best", "epoch_1", "epoch_2", "last")}
    others = {"arguments.txt", "classes.yaml", "iterations.jsonl", "log.jsonl"}
    assert {p.name for p in run.iterdir()} == checkpoints | others

    text = (run / "arguments.txt").read_text().splitlines()
    assert text[0] == "-" * 25 + "start" + "-" * 25 and text[-1] == "-" * 26 + "end" + "-" * 26
    arguments = read_arguments(run)
    assert arguments["audio_dir"] == "./data/feats/vggish" and arguments["eps"] == "1e-08"
    assert arguments["input_v_dim"] == "2048" and arguments["hidden_dim"] == "16"

    epochs, iterations = lines(run / "log.jsonl"), lines(run / "iterations.jsonl")
    losses = [f"{split}_{name}" for split in ("train", "val") for name in LOSS_NAMES]
    assert list(epochs[0]) == ["epoch", "lr", "seconds", *losses, *SCORE_NAMES]
    assert [e["epoch"] for e in epochs] == [1, 2]
    assert [list(i) for i in iterations] == [ITERATION_KEYS] * 6
    assert [(i["epoch"], i["iter"]) for i in iterations] == [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5)]
    for epoch, first in ((0, 0), (1, 3)):  # 24 videos in batches of 10, 10 and 4
        mean = np.average([i["loss_all"] for i in iterations[first : first + 3]], weights=[10, 10, 4])
        assert epochs[epoch]["train_loss_all"] == pytest.approx(mean, rel=1e-6)

    best = max(epochs, key=lambda e: e["Seg-type"])
    assert json.loads((workspace / "best.json").read_text()) == {name: best[name] for name in SCORE_NAMES}
    for line, e in zip([text for text in result.out.splitlines() if text.startswith("Epoch[")], epochs, strict=True):
        assert line == (
            f"Epoch[{e['epoch']}/2](Time:{e['seconds']:.2f} sec)(lr:{e['lr']:.6f}) Train Loss: "
            f"{e['train_loss_all']:.3f} Val Loss: {e['val_loss_all']:.3f}  Val F: {e['Seg-type']:.3f}"
        )
    assert f"Best F scores (at epoch {best['epoch']}):" in result.out
    row = next(line for line in result.out.splitlines() if line.startswith("|   Val "))
    assert row.replace("|", " ").split() == ["Val", *(f"{best[name]:.2f}" for name in SCORE_NAMES)]

    weights = torch.load(run / "checkpoint_best.pt", weights_only=True)
    assert type(weights).__name__ == "OrderedDict"
    MMIL_Net(hidden_dim=16, nhead=2, ff_dim=32).load_state_dict(weights)


@pytest.fixture
def trained(workspace, command):
    assert command(main, *TRAIN, "--mode", "train", "--model_name", "run").status == 0
    return workspace


@pytest.mark.parametrize("mode", ["val", "test"])
def test_evaluation_needs_no_pseudo_labels_and_its_predictions_score_the_same(trained, command, mode):
    for folder in ("CLIP", "CLAP"):
        for path in (trained / f"data/{folder}/segment_pseudo_labels").iterdir():
            path.unlink()
    flags = ("--mode", mode, "--model_name", "run", "--save_predictions", "pred", "--json", "scores.json")
    result = command(main, *SMALL, *flags)
    assert result.status == 0, result.err
    assert "Evaluation result:" in result.out and "oss" not in result.out
    assert f"|   {mode.capitalize():<4}" in result.out
    scores = json.loads((trained / "scores.json").read_text())

    csv = trained / f"data/AVVP_{mode}{'_pd'}.csv"
    again = command(score_predictions, "--pred_dir", "pred", "--label_csv", csv, "--gt_dir", "data", "--json", "s.json")
    assert again.status == 0, again.err
    assert json.loads((trained / "s.json").read_text()) == scores

    saved = np.load(trained / "pred/probabilities.npz", allow_pickle=False)
    assert saved["filename"].tolist() == [line.split("\t")[0] for line in csv.read_text().splitlines()[1:]]
    assert saved["global_prob"].shape == (8, 25) and saved["frame_prob"].shape == (80, 2, 25)
    audio, _ = binarize(saved["global_prob"], saved["frame_prob"].reshape(8, 10, 2, 25))
    rows = (trained / "pred/pred_audio.csv").read_text().splitlines()[1:]
    assert audio.sum() == sum(int(r.split("\t")[2]) - int(r.split("\t")[1]) for r in rows)


def test_classwise_prints_every_class(trained, command):
    result = command(main, *SMALL, "--mode", "test", "--model_name", "run", "--classwise")
    assert result.status == 0, result.err
    assert "Telephone_bell_ringing" in result.out and "video-level F of the event sets" in result.out


@pytest.mark.usefixtures("torch_masks")
def test_exact_and_pooled_runs_agree(workspace, command):
    for features in (("feats/vggish", "feats/res152"), ("CLAP/features", "CLIP/features")):
        name = features[0][:4]
        flags = ("--audio_dir", f"data/{features[0]}", "--video_dir", f"data/{features[1]}", "--epochs", "1")
        assert command(main, *TRAIN, *flags, "--model_name", name).status == 0
        assert command(main, *TRAIN, *flags, "--exact", "--model_name", name + "_exact").status == 0
        fast, exact = (lines(workspace / f"models/{n}/iterations.jsonl") for n in (name, name + "_exact"))
        for a, b in zip(fast, exact, strict=True):
            assert [a[k] for k in ITERATION_KEYS] == pytest.approx([b[k] for k in ITERATION_KEYS], rel=1e-4)


def test_the_same_seed_is_the_same_run_and_another_is_not(workspace, command):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert command(main, *TRAIN, "--seed", seed, "--model_name", name).status == 0
    a, b, c = ((workspace / f"models/{n}/iterations.jsonl").read_text() for n in "abc")
    assert a == b != c


@pytest.mark.parametrize("losses", ["video", "visual,video", "audio"])
def test_ablations_train_without_the_labels_they_do_not_use(workspace, command, losses):
    for term, folder in (("audio", "CLAP"), ("visual", "CLIP")):
        if term not in losses:
            for path in (workspace / f"data/{folder}/segment_pseudo_labels").iterdir():
                path.unlink()
    result = command(main, *TRAIN, "--losses", losses, "--model_name", "run")
    assert result.status == 0, result.err
    last = lines(workspace / "models/run/log.jsonl")[-1]
    used = [last[f"train_{name}"] for name in ("loss_video", "loss_valor_a", "loss_valor_v")]
    assert [x is not None for x in used] == [term in losses for term in ("video", "audio", "visual")]
    assert last["train_loss_all"] == pytest.approx(sum(x for x in used if x is not None), rel=1e-6)


def test_schedules_and_optimisers_do_what_their_flags_say(workspace, command):
    """--stepsize and --gamma were accepted and ignored by the release."""
    flags = ("--scheduler", "steplr", "--stepsize", "2", "--gamma", "0.5", "--epochs", "5", "--lr", "0.01")
    assert command(main, *TRAIN, *flags, "--optimizer", "adam", "--model_name", "run").status == 0
    rates = [e["lr"] for e in lines(workspace / "models/run/log.jsonl")]
    assert rates == [0.01, 0.01, 0.005, 0.005, 0.0025]
    assert command(main, *TRAIN, *flags, "--model_name", "adamw").status == 0
    adam, adamw = ((workspace / f"models/{n}/iterations.jsonl").read_text() for n in ("run", "adamw"))
    assert adam.splitlines()[0] == adamw.splitlines()[0] and adam != adamw


def test_a_run_that_never_scores_says_so(workspace, command, monkeypatch):
    monkeypatch.setattr(main.scoring, "score", lambda *of: dict.fromkeys(SCORE_NAMES, 0.0))
    result = command(main, *TRAIN, "--model_name", "run")
    assert result.status == 0, result.err
    assert "no epoch scored above 0" in result.out and "Best F scores" not in result.out
    assert not (workspace / "models/run/checkpoint_best.pt").exists()
    result = command(main, *SMALL, "--mode", "test", "--model_name", "run")
    assert result.status == 2 and "no such checkpoint" in result.error


def test_wandb_gets_the_published_names(workspace, command, monkeypatch, golden):
    logged = []
    run = types.SimpleNamespace(id="abc", log=logged.append, finish=lambda: logged.append("finished"))
    started = {}
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **kw: started.update(kw) or run))
    result = command(main, *TRAIN, "--use_wandb", "--wandb_run_name", "mine", "--model_name", "run")
    assert result.status == 0, result.err
    assert (started["project"], started["name"], started["config"]["seed"]) == ("Baseline", "mine", 1)
    published = json.loads(golden("train.json").read_text())["runs"]["valor"]["log"]
    assert logged.pop() == "finished"
    assert [set(line) for line in logged] == ([set(published[0])] * 3 + [set(published[4])]) * 2


def test_a_resumed_run_continues_its_wandb_run(workspace, command, monkeypatch):
    started = []
    run = types.SimpleNamespace(id="abc", log=lambda values: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **kw: started.append(kw["id"]) or run))
    save, calls = Run.finish_epoch, []

    def save_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return save(*args, **kwargs)

    monkeypatch.setattr(Run, "finish_epoch", save_once)
    flags = (*TRAIN, "--use_wandb", "--model_name", "run")
    assert command(main, *flags).status == 130
    assert command(main, *flags, "--resume").status == 0
    assert started == [None, "abc"]


def test_wandb_is_imported_only_when_asked_for(workspace, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it fails
    assert command(main, *TRAIN, "--model_name", "a").status == 0
    result = command(main, *TRAIN, "--use_wandb", "--model_name", "b")
    assert result.status == 2 and "pip install wandb" in result.error
    assert not (workspace / "models/b").exists()


DEFAULTS = {
    "audio_dir": "./data/feats/vggish",
    "video_dir": "./data/feats/res152",
    "st_dir": "./data/feats/r2plus1d_18",
    "v_pseudo_data_dir": "./data/CLIP/segment_pseudo_labels",
    "a_pseudo_data_dir": "./data/CLAP/segment_pseudo_labels",
    "label_train": "./data/AVVP_train.csv",
    "label_val": "./data/AVVP_val_pd.csv",
    "label_test": "./data/AVVP_test_pd.csv",
    "seed": 1,
    "gpu": "0",
    "mode": "train",
    "batch_size": 64,
    "targets": "binary",
    "a_logits_dir": None,
    "v_logits_dir": None,
    "label_thresholds": None,
    "label_smoothing": None,
    "temperature": None,
    "segment_weight": 1.0,
    "reweight": None,
    "reweight_scale": None,
    "mixup": None,
    "recombine": 0.0,
    "thresholds": "0.5",
    "tune_thresholds": None,
    "epochs": 60,
    "optimizer": "adamw",
    "lr": 1e-4,
    "grad_norm": 1.0,
    "weight_decay": 1e-3,
    "beta1": 0.5,
    "beta2": 0.999,
    "eps": 1e-8,
    "scheduler": "steplr",
    "stepsize": 10,
    "gamma": 0.1,
    "warm_up_epoch": 5,
    "lr_min": 1e-6,
    "model": "MMIL_Net",
    "input_v_dim": None,
    "input_a_dim": None,
    "model_name": "MMIL_Net",
    "model_save_dir": "models/",
    "use_wandb": False,
    "wandb_project_name": "Baseline",
    "wandb_run_name": None,
    "gt_dir": "./data",
    "exact": False,
    "resume": False,
    "log_every": 10,
    "losses": "video,audio,visual",
    "save_predictions": None,
    "json": None,
    "classwise": False,
    "save_epochs": False,
    "num_workers": 4,
    "classes": None,
    "packed": None,
    "cache_dir": Path("data/cache"),
    "no_cache": False,
    "feature_dtype": "float32",
    "memory_limit": None,
    "precision": "fp32",
    "seeds": None,
    "dataset": None,
}


SETTLED = {
    "hidden_dim": 512,
    "nhead": 8,
    "ff_dim": 1024,
    "num_layers": 1,
    "norm_where": "post_norm",
    "dropout": 0.1,
    "num_proj_layers": None,
    "num_MMIL_layers": None,
    "published_slots": None,
}


def test_flags_have_the_published_names_and_defaults():
    args = main.get_args_parser().parse_args([])
    assert vars(args) == DEFAULTS | SETTLED
    main.check_args(args)
    assert vars(args) == DEFAULTS | SETTLED
    assert {type(value) for value in vars(args).values()} <= {bool, int, float, str, type(None), PosixPath}
