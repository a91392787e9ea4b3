"""Fixtures: where the real CSVs and golden values are, small synthetic data, and commands run in this process."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from nets.fast import dropout
from tests import synthetic
from tests.browser import browser  # noqa: F401 (a fixture)
from utils.base import command as base_command
from utils.llp.annotations import REFERENCE_FILES, annotation_version
from utils.llp.events import read_events
from utils.llp.videos import SPLIT_FILES
from utils.make_lookalike import write_synthetic

# Tests have a Hugging Face cache of their own; its place is read once, when huggingface_hub is first imported.
HUB = Path(tempfile.mkdtemp(prefix="valor-hub-"))
os.environ |= {"HF_HOME": str(HUB), "HF_HUB_OFFLINE": "1"}
atexit.register(shutil.rmtree, HUB, ignore_errors=True)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def find(name: str, *folders: Path) -> Path:
    """The first of `folders` that holds `name`, as a path to it; else skip the test and say what is missing."""
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"needs {name}, which is in none of {', '.join(map(str, folders))}")


@pytest.fixture(scope="session")
def llp_dir() -> Path:
    """Folder of the real LLP annotation CSVs."""
    for folder in (SHARED / "llp", ROOT / "data"):
        audio = folder / REFERENCE_FILES["audio"]
        needed = [folder / name for name in (*REFERENCE_FILES.values(), *SPLIT_FILES.values())]
        if all(p.is_file() for p in needed) and "of LLP's" in annotation_version(read_events(audio)):
            return folder
    pytest.skip(f"needs LLP's annotation CSVs, which are neither in {SHARED / 'llp'} nor in {ROOT / 'data'}")


@pytest.fixture(scope="session")
def gt_dir(llp_dir, tmp_path_factory):
    """version (2020, 2024) -> folder with that version of LLP's reference, whatever its file is called."""

    def folder_of(version: str) -> Path:
        for audio in sorted(llp_dir.glob("AVVP_eval_audio*.csv")):
            if annotation_version(read_events(audio)).startswith(version):
                folder = tmp_path_factory.mktemp(version)
                (folder / "AVVP_eval_audio.csv").symlink_to(audio)
                (folder / "AVVP_eval_visual.csv").symlink_to(llp_dir / "AVVP_eval_visual.csv")
                return folder
        pytest.skip(f"needs the {version} version of LLP's audio annotations, which is not in {llp_dir}")

    return folder_of


@pytest.fixture(scope="session")
def golden():
    """name -> path of a file of golden values."""
    return lambda name: find(name, ROOT / "tests/golden", SHARED / "golden")


@pytest.fixture(scope="session")
def lookalike(tmp_path_factory) -> Path:
    """A data folder of 24 + 8 + 8 synthetic videos in the published layout. Tests must not change it."""
    folder = tmp_path_factory.mktemp("lookalike") / "data"
    write_synthetic(folder, {"train": 24, "val": 8, "test": 8}, seed=3)
    return folder


@pytest.fixture
def workspace(lookalike, tmp_path, monkeypatch) -> Path:
    """A working directory with `data/`, whose files are links that a test may replace, and no `models/`."""
    for path in lookalike.rglob("*.*"):
        link = tmp_path / "data" / path.relative_to(lookalike)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def published_dropout() -> None:
    """Skip where torch draws other dropout masks than the build that the golden values come from, 2.13 on x86."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    dropped = torch.nn.functional.dropout(torch.ones(64), 0.1).eq(0).nonzero().flatten().tolist()
    torch.set_rng_state(state)
    if dropped != [0, 3, 35, 48, 53, 63]:
        pytest.skip(
            f"torch {torch.__version__} on this machine draws other dropout masks than the golden values' 2.13.0"
        )


@pytest.fixture
def torch_masks(monkeypatch) -> None:
    """The fast layers draw the masks of torch's own dropout, which are the published ones."""

    def torch_mask(shape, p, like):
        return torch.nn.functional.dropout(like.new_ones(shape), p)

    monkeypatch.setattr(dropout, "dropout_mask", torch_mask)


@pytest.fixture(scope="session")
def clap_files(tmp_path_factory) -> Path:
    """A folder with `clap.pt`, CLAP's real architecture with golden weights; the hub cache has what it needs."""
    folder = tmp_path_factory.mktemp("clap")
    synthetic.write_hub_cache(HUB)
    synthetic.write_clap(folder / "clap.pt")
    return folder


SMALL = ("--hidden_dim", "16", "--nhead", "2", "--ff_dim", "32", "--num_workers", "0", "--gpu", "-1", "--no_cache")
TRAIN = (*SMALL, "--batch_size", "10", "--epochs", "2", "--lr", "3e-3", "--log_every", "1")


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a failed command prints, without progress bars and notes."""
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if "error: " in line]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def command(capsys, monkeypatch):
    """Run a module's command line in this process: command(module, *flags) -> Result."""

    def run(module, *flags) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, flags)])
        status = 0
        try:
            base_command.run(module.main, module.get_args_parser())
        except SystemExit as stop:
            status = stop.code
        return Result(status, *capsys.readouterr())

    return run


def python(*argv, cwd: Path, **kwargs) -> subprocess.CompletedProcess:
    """Run this Python with `argv` in a process of its own."""
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=300, **kwargs)
