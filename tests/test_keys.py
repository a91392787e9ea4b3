"""The hub and Weights & Biases without a key, without a network, or with nonsense for an answer: one line, at once."""

import sys
import time
import types

import pytest

import main
from tests.conftest import TRAIN
from tests.mock_site import Site
from utils.encoders import hub


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
