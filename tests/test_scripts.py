"""The shell scripts, the environment files, the demo, the synthetic data, the figure."""

import argparse
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

import main
from scripts import demo
from tests.conftest import ROOT, SMALL, TRAIN, python
from utils import plot_timeline
from utils.llp.annotations import read_reference, write_predictions
from utils.llp.videos import read_split

MODELS = {
    # name: seed, audio, video, hidden, layers, lr, lr_min
    "valor": (1000, "feats/vggish", "feats/res152", 512, 1, 1e-4, 1e-6),
    "valor+": (64, "feats/vggish", "feats/res152", 256, 4, 3e-4, 3e-6),
    "valor++": (87, "CLAP/features", "CLIP/features", 256, 4, 3e-4, 3e-6),
}
COMMON = {
    "st_dir": "./data/feats/r2plus1d_18",
    "nhead": 8,
    "ff_dim": 1024,
    "batch_size": 64,
    "norm_where": "post_norm",
    "label_train": "./data/AVVP_train.csv",
    "label_val": "./data/AVVP_val_pd.csv",
    "label_test": "./data/AVVP_test_pd.csv",
    "gt_dir": "./data",
    "a_pseudo_data_dir": "./data/CLAP/segment_pseudo_labels",
    "v_pseudo_data_dir": "./data/CLIP/segment_pseudo_labels",
    "model_save_dir": "./models/",
}
TRAINING = {
    "mode": "train",
    "epochs": 60,
    "optimizer": "adamw",
    "weight_decay": 1e-3,
    "beta1": 0.5,
    "beta2": 0.999,
    "eps": 1e-8,
    "grad_norm": 1.0,
    "scheduler": "warm_up_cos_anneal",
    "warm_up_epoch": 10,
    "losses": "video,audio,visual",
}


@pytest.fixture
def recorded(tmp_path):
    """Run a script with a `python` that only records how it is called; returns its flags, parsed."""
    fake = tmp_path / "env/bin/python"
    fake.parent.mkdir(parents=True)
    fake.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nprintf "%s\\n" "$@" > {tmp_path}/argv\n')
    fake.chmod(0o755)
    env = os.environ | {"VIRTUAL_ENV": str(fake.parents[1]), "PATH": f"{fake.parent}:{os.environ['PATH']}"}

    def run(script, *flags, cwd=ROOT):
        subprocess.run(["bash", str(ROOT / "scripts" / script), *flags], cwd=cwd, env=env, check=True)
        program, *argv = (tmp_path / "argv").read_text().splitlines()
        return program, main.get_args_parser().parse_args(argv)

    return run


@pytest.mark.parametrize("name", MODELS)
def test_scripts_have_the_published_settings(recorded, name):
    seed, audio, video, hidden, layers, lr, lr_min = MODELS[name]
    model = f"model_{name.upper()}"
    network = COMMON | {
        "audio_dir": f"./data/{audio}",
        "video_dir": f"./data/{video}",
        "hidden_dim": hidden,
        "num_layers": layers,
    }
    program, args = recorded(f"train_{name}.sh")
    expected = network | TRAINING | {"seed": seed, "lr": lr, "lr_min": lr_min, "model_name": f"{model}_reproduce"}
    assert program == "./main.py" and {k: getattr(args, k) for k in expected} == expected
    program, args = recorded(f"test_{name}.sh")
    expected = network | {"mode": "test", "model_name": model}
    assert {k: getattr(args, k) for k in expected} == expected


PUBLISHED = {  # of other papers, as far as they are not the defaults of main.py
    "han": {"losses": "video,guided", "seed": 1, "nhead": 1, "ff_dim": 512, "num_layers": 1, "batch_size": 16},
    "mm_pyramid": {"model": "MM_Pyramid", "losses": "video,guided", "published_slots": True, "nhead": 8, "ff_dim": 512},
    "uwav": {"model": "UWAV", "targets": "soft", "temperature": 2.0, "reweight": 0.5, "reweight_scale": "classes"},
}
PUBLISHED["han"] |= {"epochs": 40, "optimizer": "adam", "lr": 3e-4, "grad_norm": 0.0, "weight_decay": 0.0}
PUBLISHED["mm_pyramid"] |= {
    "num_layers": 4,
    "epochs": 40,
    "optimizer": "adam",
    "lr": 1e-4,
    "beta1": 0.9,
    "stepsize": 10,
}
PUBLISHED["uwav"] |= {"mixup": 1.7, "nhead": 16, "ff_dim": 2048, "num_layers": 5, "epochs": 80, "lr_min": 5e-6}
NETWORK = ("model", "hidden_dim", "nhead", "ff_dim", "num_layers", "norm_where", "dropout", "published_slots")


@pytest.mark.parametrize("name", PUBLISHED)
def test_scripts_of_other_papers_have_their_settings(recorded, name):
    program, args = recorded(f"train_{name}.sh")
    assert program == "./main.py" and {k: getattr(args, k) for k in PUBLISHED[name]} == PUBLISHED[name]
    _, tested = recorded(f"test_{name}.sh")
    assert tested.mode == "test" and tested.model_name == args.model_name
    for one in (args, tested):
        main.check_args(one)
    assert {k: getattr(tested, k) for k in NETWORK} == {k: getattr(args, k) for k in NETWORK}


@pytest.mark.parametrize("name", ["ave", "lfav"])
def test_scripts_of_other_data_sets(recorded, name):
    _, args = recorded(f"train_{name}.sh")
    _, tested = recorded(f"test_{name}.sh")
    assert (args.mode, tested.mode) == ("train", "test") and tested.model_name == args.model_name
    for one in (args, tested):
        assert one.dataset == f"./data/{name}/dataset.yaml" and one.audio_dir == f"./data/{name}/CLAP/features"
    assert {k: getattr(tested, k) for k in NETWORK} == {k: getattr(args, k) for k in NETWORK}
    assert args.losses == ("video,audio,visual" if name == "ave" else "video,audio,visual,guided")


def test_own_flags_come_last_and_keep_the_users_directory(recorded, tmp_path):
    program, args = recorded("test_valor.sh", "--model_name", "my own", "--json", "out.json", cwd=tmp_path)
    assert program == f"{ROOT}/main.py"
    assert (args.model_name, str(args.json), args.gt_dir) == ("my own", "out.json", f"{ROOT}/data")


def test_without_an_environment_the_scripts_say_what_to_run(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    result = subprocess.run(
        ["bash", "scripts/test_valor.sh"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2 and "bash scripts/setup.sh" in result.stderr and result.stderr.count("\n") == 1


READ = set()


class Recorder(argparse.Namespace):
    """Remembers which flags were read."""

    def __getattribute__(self, name):
        READ.add(name)
        return super().__getattribute__(name)


def test_every_flag_is_read(workspace):
    parser = main.get_args_parser()
    unread = set(vars(parser.parse_args([])))
    for flags in (TRAIN, (*TRAIN, "--resume"), (*SMALL, "--mode", "test"), (*SMALL, "--mode", "val")):
        args = parser.parse_args([flag for flag in flags if flag != "--no_cache"], namespace=Recorder())
        READ.clear()  # argparse itself looked at every one
        main.main(args)
        unread -= READ
    assert not unread


def test_versions_are_declared_once():
    core, full, dev = ((ROOT / f"requirements{kind}.txt").read_text() for kind in ("-core", "", "-dev"))
    assert "-r requirements-core.txt" in full and "-r requirements.txt" in dev
    packages = re.findall(r"^([a-z_-]+)==\S+$", core + full + dev, re.MULTILINE | re.IGNORECASE)
    assert len(packages) == len(set(packages)) >= 15
    environment = yaml.safe_load((ROOT / "environment.yaml").read_text())
    assert environment["name"] == "valor" and environment["dependencies"][-1] == {"pip": ["-r requirements.txt"]}
    assert sys.version_info[:2] in ((3, 11), (3, 12))


def test_demo_beats_its_baselines_and_draws(tmp_path, capsys):
    demo.demo(tmp_path / "out", {"train": 250, "val": 20, "test": 40}, epochs=8)
    out = capsys.readouterr().out
    assert f"to open in a browser: file://{tmp_path}/out/results.html" in out
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in out.splitlines() if "|" in line}
    nothing, untrained, trained = (
        float(rows[name][3]) for name in ("nothing predicted", "untrained network", "VALOR, 8 epochs")
    )
    assert trained > max(nothing, untrained) + 10
    png = (tmp_path / "out/timeline.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 20_000
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "data",
        "models",
        "predictions",
        "results.html",
        "timeline.png",
        "trained.json",
        "untrained.json",
    ]
    page = (tmp_path / "out/results.html").read_text()
    assert '"split":"AVVP_test_pd.csv"' in page and '"epoch":[1.0,2.0,3.0' in page


def test_synthetic_data_have_the_published_layout(lookalike):
    shapes = {
        "feats/vggish": (10, 128),
        "feats/res152": (80, 2048),
        "feats/r2plus1d_18": (10, 512),
        "CLIP/features": (10, 768),
        "CLAP/features": (64, 768),
        "CLIP/segment_pseudo_labels": (10, 25),
        "CLAP/segment_pseudo_labels": (10, 25),
    }
    full = read_split(lookalike / "AVVP_dataset_full.csv")
    assert len(full.filenames) == len(set(full.ids)) == 40 and full.weak.sum(axis=1).min() >= 1
    for folder, shape in shapes.items():
        arrays = [np.load(lookalike / folder / f"{i}.npy") for i in full.ids]
        kind = np.int64 if "pseudo" in folder else np.float32
        assert {(a.shape, a.dtype) for a in arrays} == {(shape, np.dtype(kind))}
        if "pseudo" in folder:  # a teacher only chooses among the weak labels
            assert all((a.max(axis=0) <= w).all() for a, w in zip(arrays, full.weak, strict=True))
    val = read_split(lookalike / "AVVP_val_pd.csv")
    reference = read_reference(lookalike, val.filenames)
    assert reference.issues == []
    np.testing.assert_array_equal((reference.audio | reference.visual).any(axis=2), val.weak == 1)


def test_timelines_of_chosen_videos(lookalike, tmp_path, command):
    filenames = read_split(lookalike / "AVVP_test_pd.csv").filenames
    nothing = np.zeros((len(filenames), 25, 10), bool)
    write_predictions(tmp_path, filenames, nothing, nothing)
    flags = ("--pred_dir", tmp_path, "--label_csv", lookalike / "AVVP_test_pd.csv", "--gt_dir", lookalike)
    result = command(plot_timeline, *flags, "--out", tmp_path / "f.svg", "--videos", filenames[5], "--title", "a_b $x")
    assert result.status == 0, result.err
    assert (tmp_path / "f.svg").read_text().startswith("<?xml")


def test_tools_run_from_any_directory_as_files(lookalike, tmp_path):
    for tool in ("score_predictions", "plot_timeline", "make_lookalike", "make_report"):
        result = python(ROOT / "utils" / f"{tool}.py", "--help", cwd=tmp_path)
        assert result.returncode == 0 and f"usage: {tool}.py" in result.stdout, result.stderr


def test_no_module_shadows_the_standard_library():
    for path in (*ROOT.glob("*.py"), *ROOT.glob("utils/*.py"), *ROOT.glob("nets/*.py")):
        assert path.stem not in sys.stdlib_module_names and path.stem not in ("training", "clap_module")
