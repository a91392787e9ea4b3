"""The hub and Weights & Biases without a key, without a network, or with nonsense for an answer: one line, at once."""

import json
import sys
import time
import types

import pytest

import main
from tests.conftest import TRAIN
from tests.mock_site import Site
from tests.test_resume import interrupt, stop_at_call
from utils.encoders import hub
from utils.train import losses


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("No API key configured.\nUse `wandb login` to log in."), "No API key configured. Use `wandb"),
        (KeyError(), "KeyError"),
        (OSError(101, "Network is unreachable"), "[Errno 101] Network is unreachable"),
    ],
)
def test_wandb_that_starts_no_run_is_one_line_before_any_training(workspace, command, monkeypatch, error, said):
    def init(**settings):
        raise error

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    result = command(main, *TRAIN, "--use_wandb", "--model_name", "run")
    assert result.status == 2 and f"--use_wandb: wandb starts no run ({said}" in result.error
    assert "`wandb login` stores a key; WANDB_MODE=offline needs none" in result.error
    assert not (workspace / "models").exists()


@pytest.fixture
def site(monkeypatch, tmp_path):
    from huggingface_hub import constants

    with Site() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.setattr(constants, "ENDPOINT", site.url)
        template = site.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield site


def test_a_hub_that_wants_a_key_says_so(site):
    site.add("/a/b/resolve/main/weights.pt", b"", locked=True)
    with pytest.raises(
        hub.Unavailable, match=r"fetched \(HTTP status 401\); a private or gated file needs a key: `hf a"
    ):
        hub.fetch("a/b", "weights.pt")


def test_a_hub_that_talks_nonsense_is_one_line(site):
    site.add("/a/b/resolve/main/weights.pt", b"", raw=b"no HTTP\r\n\r\n")
    with pytest.raises(hub.Unavailable, match="is not in the Hugging Face cache and cannot be fetched"):
        hub.fetch("a/b", "weights.pt")


@pytest.mark.parametrize("raw", [b"no HTTP\r\n\r\n", b"\0", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000])
def test_a_hub_that_gives_no_answer_in_time_is_taken_for_none(site, monkeypatch, raw):
    monkeypatch.setattr(hub, "ANSWER_TIME", 0.5)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    site.add("/", b"", raw=raw, block=10, delay=0.05)
    start = time.monotonic()
    hub.offline_without_network()
    assert hub.os.environ["HF_HUB_OFFLINE"] == "1" and time.monotonic() - start < 2
    monkeypatch.delenv("HF_HUB_OFFLINE")
    site.add("/", b"hub")
    hub.offline_without_network()
    assert "HF_HUB_OFFLINE" not in hub.os.environ
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def tensorboard(folder) -> dict[str, list[tuple[int, float]]]:
    """The numbers of TensorBoard's files, by name: (step, value) each."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(run) -> dict[str, list[tuple[int, float]]]:
    """The same from the logs of a run."""
    expected = {}
    for kind, name, step in (("iteration", "iterations.jsonl", "iter"), ("epoch", "log.jsonl", "epoch")):
        for line in map(json.loads, (run / name).read_text().splitlines()):
            for key, value in line.items():
                if key not in ("epoch", "iter") and value is not None:
                    expected.setdefault(f"{kind}/{key}", []).append((line[step], pytest.approx(value, rel=1e-6)))
    return expected


def test_tensorboard_holds_what_the_logs_hold_also_of_a_resumed_run(workspace, command, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs tensorboard (requirements-dev.txt)")
    run = workspace / "models/run"
    flags = (*TRAIN, "--model_name", "run", "--log_every", "1")
    with monkeypatch.context() as patch:
        stop_at_call(patch, losses, "parser_losses", 7, interrupt)  # in the second epoch
        assert command(main, *flags).status == 130
    assert not (run / "tensorboard").exists()
    assert command(main, *flags, "--resume", "--tensorboard").status == 0
    assert tensorboard(run / "tensorboard") == logged(run) and "epoch/Seg-type" in logged(run)
    assert command(main, *flags, "--resume", "--tensorboard").status == 0  # finished: nothing twice
    assert tensorboard(run / "tensorboard") == logged(run)


def test_tensorboard_is_imported_only_when_asked_for(workspace, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # importing it fails
    assert command(main, *TRAIN, "--model_name", "a").status == 0
    result = command(main, *TRAIN, "--tensorboard", "--model_name", "b")
    assert result.status == 2 and "--tensorboard needs TensorBoard: pip install tensorboard" in result.error
    assert not (workspace / "models/b").exists()
