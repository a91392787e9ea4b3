"""A run that is stopped at any moment and resumed ends as one that was not: bit for bit on the CPU."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from tests.conftest import ROOT, TRAIN, python
from utils.train import checkpoint, losses, run_folder
from utils.train.run_folder import read_arguments

RUN = (*TRAIN, "--epochs", "4", "--model_name", "run", "--save_epochs")


def equal(a, b):
    """Deep equality of checkpoints, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def contents(folder):
    """Everything that a run leaves, comparable: checkpoints, logs without seconds."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found = {"log": [{k: v for k, v in line.items() if k != "seconds"} for line in log]}
    found["iterations"] = (folder / "iterations.jsonl").read_text()
    own = ("resume", "model_save_dir")
    found["arguments"] = {k: v for k, v in read_arguments(folder).items() if k not in own}
    for path in sorted(folder.glob("*.pt")):
        state = torch.load(path, weights_only=True)
        if path.name == checkpoint.LAST:
            for key in ("working_directory", "arguments"):
                del state[key]
        found[path.name] = state
    assert not list(folder.glob("*.tmp"))
    return found


@pytest.fixture
def uninterrupted(workspace, command):
    assert command(main, *RUN, "--model_save_dir", "whole").status == 0
    return contents(workspace / "whole/run")


def stop_at_call(monkeypatch, owner, name, call, stop):
    """Make the `call`-th call of owner.name do `stop` instead."""
    original, calls = getattr(owner, name), []

    def wrapper(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            stop(*args)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapper)


def interrupt(*args):
    raise KeyboardInterrupt


def stop_in_second_epoch(command, monkeypatch):
    """Leave RUN with one finished epoch and half of another."""
    with monkeypatch.context() as patch:
        stop_at_call(patch, losses, "parser_losses", 7, interrupt)
        assert command(main, *RUN).status == 130


def half_a_line(path, line):
    with open(path, "a") as file:
        file.write(line[:20])
    raise KeyboardInterrupt


def full_disk(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")


@pytest.mark.parametrize(
    ("owner", "name", "call", "stop", "status"),
    [
        (losses, "parser_losses", 1, interrupt, 130),  # before anything was learnt
        (losses, "parser_losses", 3, interrupt, 130),  # mid-epoch 1
        (losses, "parser_losses", 7, interrupt, 130),  # mid-epoch 2
        *((run_folder, "append_line", call, half_a_line, 130) for call in (2, 4, 10)),
        *((checkpoint, "save", call, interrupt, 130) for call in (1, 2, 3, 4, 5, 6, 7)),
        *((os, "replace", call, interrupt, 130) for call in (1, 2, 4, 5, 6, 7)),
        *((os, "fsync", call, full_disk, 2) for call in (2, 3, 5, 6, 7)),
    ],
)
def test_stopped_anywhere_and_resumed(workspace, command, monkeypatch, uninterrupted, owner, name, call, stop, status):
    with monkeypatch.context() as patch:
        stop_at_call(patch, owner, name, call, stop)
        result = command(main, *RUN)
    assert result.status == status, result.err
    last_line = result.err.replace("\r", "\n").strip().splitlines()[-1]
    hint = "go on in models/run with --resume"
    assert last_line in (f"main.py: interrupted: {hint}", "main.py: error: disk: No space left on device")
    assert not list((workspace / "models/run").glob("*.tmp"))
    result = command(main, *RUN, "--resume")
    assert result.status == 0, result.err
    assert equal(contents(workspace / "models/run"), uninterrupted)


def test_killed_and_resumed_again_and_again(workspace, uninterrupted):
    """kill -9 at random moments, in processes of their own."""
    argv = [sys.executable, str(ROOT / "main.py"), *map(str, RUN)]
    run, kills = workspace / "models/run", 0
    for wait in (0.0, 0.15, 0.4):
        resume = ["--resume"] if run.exists() else []
        process = subprocess.Popen([*argv, *resume], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        marker = run / "iterations.jsonl"
        size, deadline = marker.stat().st_size if marker.exists() else -1, time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if marker.exists() and marker.stat().st_size != size:  # it trains
                break
            time.sleep(0.005)
        time.sleep(wait)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills  # at least one was still at work
    result = python(ROOT / "main.py", *RUN, "--resume", cwd=workspace)
    assert result.returncode == 0, result.stderr
    assert equal(contents(run), uninterrupted)


@pytest.mark.parametrize("call", range(1, 12))
def test_stopped_while_starting_over(workspace, command, monkeypatch, uninterrupted, call):
    with monkeypatch.context() as patch:  # stopped between checkpoint_best and checkpoint_last of epoch 1
        stop_at_call(patch, checkpoint, "save", 3, interrupt)
        assert command(main, *RUN).status == 130
    with monkeypatch.context() as patch:
        stop_at_call(patch, Path, "unlink", call, interrupt)
        assert command(main, *RUN, "--resume").status == 130
    assert command(main, *RUN, "--resume").status == 0
    assert equal(contents(workspace / "models/run"), uninterrupted)


@pytest.mark.parametrize("flags", [(), ("--exact", "--num_workers", "2")])
def test_ctrl_c_is_one_line_and_status_130(workspace, flags):
    """As a terminal sends it: to every process of the group, workers too."""
    argv = [sys.executable, str(ROOT / "main.py"), *map(str, RUN), "--epochs", "10000", *flags]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (workspace / "models/run/log.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err and err.endswith("main.py: interrupted: go on in models/run with --resume\n")


def test_ctrl_c_during_the_imports(workspace):
    process = subprocess.Popen([sys.executable, str(ROOT / "main.py")], stderr=subprocess.PIPE, text=True)
    time.sleep(0.8)  # torch takes longer
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_two_processes_do_not_train_the_same_run(workspace, command):
    argv = [sys.executable, str(ROOT / "main.py"), *map(str, RUN), "--epochs", "10000"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (workspace / "models/run/checkpoint_last.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    result = command(main, *RUN, "--epochs", "10000", "--resume")
    process.kill()
    process.wait()
    assert result.status == 2 and "another process is training this run" in result.error


def test_what_a_kill_left_half_written_goes(workspace, command, monkeypatch, uninterrupted):
    stop_in_second_epoch(command, monkeypatch)
    run = workspace / "models/run"
    (run / "checkpoint_best.pt.tmp").write_bytes(b"half")
    with open(run / "log.jsonl", "a") as file:
        file.write('{"epoch": 2, "lr"')
    assert command(main, *RUN, "--resume").status == 0
    assert equal(contents(run), uninterrupted)


def test_features_that_changed_their_size_are_named(workspace, command, monkeypatch):
    stop_in_second_epoch(command, monkeypatch)
    for path in (workspace / "data/feats/vggish").iterdir():
        path.unlink()
        np.save(path, np.zeros((10, 64), np.float32))
    result = command(main, *RUN, "--resume")
    assert result.status == 2 and "--input_a_dim was 128, is 64" in result.error


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(workspace, command, monkeypatch, uninterrupted):
    stop_in_second_epoch(command, monkeypatch)
    last = workspace / "models/run/checkpoint_last.pt"
    before = last.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        result = command(main, *RUN, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.status == 2 and "File too large" in result.error and "checkpoint" in result.error
    assert last.read_bytes() == before
    assert command(main, *RUN, "--resume").status == 0
    assert equal(contents(workspace / "models/run"), uninterrupted)


def test_a_finished_run_prints_its_table_again_and_changes_nothing(workspace, command):
    first = command(main, *RUN)
    files_before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (workspace / "models/run").iterdir()}
    again = command(main, *RUN, "--resume")
    assert again.status == 0
    assert again.out.strip().splitlines() == first.out.strip().splitlines()[-10:]  # of the table on
    assert again.out.startswith("Best F scores (at epoch ")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (workspace / "models/run").iterdir()} == files_before


def test_what_cannot_be_resumed_is_said(workspace, command):
    result = command(main, *RUN, "--resume")
    assert result.status == 2 and "models/run: no run to resume" in result.error
    assert not (workspace / "models").exists()

    published = workspace / "models/model_VALOR"
    published.mkdir(parents=True)
    (published / "checkpoint_best.pt").write_bytes(b"published")
    result = command(main, *RUN, "--model_name", "model_VALOR", "--resume")
    assert result.status == 2 and "holds no run of this program" in result.error
    assert (published / "checkpoint_best.pt").read_bytes() == b"published"

    (published / "checkpoint_last.pt").write_bytes(b"damaged")
    result = command(main, *RUN, "--model_name", "model_VALOR", "--resume")
    assert result.status == 2 and "checkpoint_last.pt: not a PyTorch checkpoint, or damaged" in result.error


@pytest.mark.parametrize("epochs", [1, 2, 4])
@pytest.mark.parametrize("gone", ["last", "last and best", "last and the logs"])
def test_what_was_trained_is_kept_if_its_last_checkpoint_is_gone(workspace, command, epochs, gone):
    run = workspace / "models/run"
    assert command(main, *RUN, "--epochs", epochs).status == 0
    removed = {"last": [], "last and best": ["checkpoint_best.pt"], "last and the logs": ["log.jsonl"]}[gone]
    for name in ("checkpoint_last.pt", *removed):
        (run / name).unlink()
    if removed == ["log.jsonl"]:
        (run / "iterations.jsonl").write_text("")
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    for flags in ((), ("--seed", "2"), ("--model_name", "run")):
        result = command(main, *RUN, "--epochs", epochs, *flags, "--resume")
        assert result.status == 2 and "models/run/checkpoint_last.pt: no such file, so that the epochs" in result.error
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


def test_an_error_in_a_run_whose_last_checkpoint_vanished_removes_nothing(workspace, command, monkeypatch):
    run, original = workspace / "models/run", losses.parser_losses

    def vanish(*args):
        if (run / "checkpoint_last.pt").exists():
            (run / "checkpoint_last.pt").unlink()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*args)

    monkeypatch.setattr(losses, "parser_losses", vanish)
    assert command(main, *RUN).status == 2
    assert (run / "checkpoint_best.pt").is_file() and (run / "log.jsonl").is_file()


@pytest.mark.parametrize("line", ['{"epoch": "x"}', '{"epoch": 1e999}', "[" * 100_000, '{"epoch": null}', "NaN"])
def test_a_damaged_line_of_a_log_is_dropped(workspace, command, monkeypatch, uninterrupted, line):
    stop_in_second_epoch(command, monkeypatch)
    with open(workspace / "models/run/log.jsonl", "a") as file:
        file.write(line + "\n")
    assert command(main, *RUN, "--resume").status == 0
    assert equal(contents(workspace / "models/run"), uninterrupted)


@pytest.mark.parametrize(
    "change", [{"epoch": "x"}, {"model": {}}, {"random": 3}, {"arguments": 1}, {"best_scores": []}]
)
def test_a_state_of_other_types_is_no_state(workspace, command, monkeypatch, change):
    stop_in_second_epoch(command, monkeypatch)
    last = workspace / "models/run/checkpoint_last.pt"
    torch.save(torch.load(last) | change, last)
    result = command(main, *RUN, "--resume")
    assert result.status == 2 and "models/run/checkpoint_last.pt" in result.error


CHANGES = ("--lr 1e-3", "--seed 2", "--epochs 5", "--exact", "--losses video", "--batch_size 9")


@pytest.mark.parametrize("flags", [*map(str.split, CHANGES), ("--audio_dir", "data/CLAP/features")])
def test_arguments_that_change_numbers_must_be_the_same(workspace, command, monkeypatch, flags):
    stop_in_second_epoch(command, monkeypatch)
    result = command(main, *RUN, *flags, "--resume")
    assert result.status == 2 and f"cannot resume with other arguments: {flags[0]} was" in result.error


def test_arguments_that_change_no_number_may_change(workspace, command, monkeypatch, uninterrupted):
    stop_in_second_epoch(command, monkeypatch)
    flags = ("--num_workers", "2", "--gt_dir", str(workspace / "data"), "--audio_dir", "data/../data/feats/vggish")
    assert command(main, *RUN, *flags, "--resume").status == 0
    assert equal(contents(workspace / "models/run")["checkpoint_last.pt"], uninterrupted["checkpoint_last.pt"])
