"""What is printed after a training run: the command tests the same weights on the same files, whatever their names."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

import main
from tests.conftest import ROOT, SMALL, TRAIN
from utils.train import next_step


def printed(result) -> list[list[str]]:
    """The commands that a run printed at its end, as a shell would split them."""
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    return [shlex.split(line) for line in lines[lines.index("Next:") + 1 :]]


def typed(words: list[str], command, *more):
    """What the first printed command does, typed where the run was."""
    assert words[0] == "python" and Path(words[1]).resolve() == ROOT / "main.py"
    return command(main, *words[2:], "--gpu", "-1", "--no_cache", *more)


RUNS = {
    "plain": {},
    "spaces": {"--model_name": "my first run", "--model_save_dir": "all my runs"},
    "dash": {"--model_name": "-run"},
    "network": {"--model": "MM_Pyramid", "--model_name": "pyramid"},
}


@pytest.mark.parametrize("name", RUNS)
def test_the_printed_command_tests_the_run(workspace, command, name):
    flags = [f"{flag}={value}" for flag, value in ({"--model_name": "run"} | RUNS[name]).items()]
    shutil.move("data/feats/vggish", "data/feats/my sounds")
    result = command(main, *TRAIN, "--audio_dir", "data/feats/my sounds", *flags)
    test, parse = printed(result)
    folder = Path(RUNS[name].get("--model_save_dir", "models"), RUNS[name].get("--model_name", "run"))
    best = folder / "checkpoint_best.pt"
    assert f"{best} holds these weights" in result.out and best.is_file()
    assert parse[2:] == ["VIDEO.mp4", "--checkpoint", str(best), "--out", "events"]
    found = typed(test, command, "--json", "printed.json")
    assert found.status == 0, found.err
    own = [flag for flag in SMALL if flag != "--no_cache"]
    own = command(main, *own, *flags, "--mode", "test", "--audio_dir", "data/feats/my sounds", "--json", "own.json")
    assert own.status == 0 and json.loads(Path("printed.json").read_text()) == json.loads(Path("own.json").read_text())


def test_of_another_data_set(workspace, command):
    """The run keeps its description, so that neither it nor its files need a flag."""
    classes = yaml.safe_load((ROOT / "utils/llp.yaml").read_text())
    splits = {split: f"AVVP_{split}{'_pd' * (split != 'train')}.csv" for split in ("train", "val", "test")}
    reference = {m: f"AVVP_eval_{m}.csv" for m in ("audio", "visual")}
    entries = {
        "name": "Mine",
        "seconds": 10,
        "ids": "llp",
        "classes": classes,
        "splits": splits,
        "reference": reference,
    }
    Path("data/my set.yaml").write_text(yaml.safe_dump(entries))
    test, _ = printed(command(main, *TRAIN, "--dataset", "data/my set.yaml", "--model_name", "run"))
    assert "--dataset" not in test and "--audio_dir" not in test
    found = typed(test, command)
    assert found.status == 0 and "Annotations: Mine" in found.out, found.err
    assert (test[2:6], test[6::2]) == (
        ["--mode", "test", "--model_name", "run"],
        ["--hidden_dim", "--nhead", "--ff_dim"],
    )


def test_several_seeds_are_tested_at_once(workspace, command):
    result = command(main, *TRAIN, "--seeds", "1", "2", "--model_name", "run")
    assert result.status == 0 and "Next:" not in result.out
    assert "models/run_seed2/checkpoint_best.pt holds these weights" in result.out


def test_words_that_a_shell_would_take_apart(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    given = {"name": "it's $HOME; x", "gpu": "-1", "slots": False, "exact": True}
    text = next_step.command_line("main.py", given)
    expected = ["python", "main.py", "--name", "it's $HOME; x", "--gpu=-1", "--no-slots", "--exact"]
    assert shlex.split(text) == expected
    monkeypatch.chdir(ROOT / "docs")
    assert next_step.command_line("main.py", {}) == "python ../main.py"
