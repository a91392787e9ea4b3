"""What commands import: those that run no network load neither torch nor a decoder."""

import contextlib
import importlib
import io
import os
import runpy
import subprocess
import sys

import pytest

from tests.conftest import ROOT, python
from utils import __version__

HEAVY = {
    "torch",
    "gradio",
    "av",
    "cv2",
    "soxr",
    "torchvision",
    "open_clip",
    "laion_clap",
    "transformers",
    "matplotlib",
    "wandb",
}
SCORING = ("score_predictions", "score_pseudo_labels", "make_report", "plot_timeline")
PARSING = ("parse_video", "app")  # their --help
OTHERS = ("download_features", "import_labels", "make_lookalike", "pack_features", "simulate")
LIGHT = (*SCORING, *PARSING, *OTHERS)
PRINT_HEAVY = "import sys; print(*[name for name in sys.argv[1].split() if name in sys.modules])"


@pytest.mark.parametrize("command", LIGHT)
def test_a_command_without_a_network_imports_nothing_heavy(command):
    script = f"import utils.{command} as c; c.get_args_parser(); {PRINT_HEAVY}"
    result = python("-c", script, " ".join(HEAVY), cwd=ROOT)
    assert result.returncode == 0 and not result.stdout.split(), result.stdout + result.stderr


def test_scoring_and_pages_need_no_network(lookalike, tmp_path):
    for modality in ("audio", "visual"):
        (tmp_path / f"pred_{modality}.csv").write_bytes((lookalike / f"AVVP_eval_{modality}.csv").read_bytes())
    flags = ["--pred_dir", f"{tmp_path}", "--label_csv", f"{lookalike}/AVVP_test_pd.csv", "--gt_dir", f"{lookalike}"]
    for command, more in (("score_predictions", []), ("make_report", ["--out", str(tmp_path / "page.html")])):
        script = f"import utils.{command} as c; c.main(c.get_args_parser().parse_args({flags + more})); {PRINT_HEAVY}"
        result = python("-c", script, " ".join(HEAVY), cwd=ROOT)
        assert result.returncode == 0 and not result.stdout.splitlines()[-1], result.stdout + result.stderr


COMMANDS = sorted(path.name for path in (ROOT / "utils").glob("*.py") if path.name not in ("__init__.py", "_start.py"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """A Python of the same version without any packages."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin/python"


def run_bare(python, script: str, *flags: str, env: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([python, script, *flags], cwd=ROOT, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize("script", ["main.py", *(f"utils/{name}" for name in COMMANDS)])
def test_outside_an_environment_a_command_says_so_in_one_line(bare, script):
    """Every command, with the Python that a new shell has."""
    outside = bare.resolve()  # not the environment's own link: as the system's Python, no environment is active
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    result = run_bare(outside, script, "--help", env=env | {"PYTHONNOUSERSITE": "1"})
    if result.returncode == 0:
        pytest.skip(f"{outside} has the packages itself")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and not result.stdout
    name = script.removeprefix("utils/")
    assert result.stderr.startswith(f"{name}: error: the package ")
    assert "no environment is active: source .venv/bin/activate (bash scripts/setup.sh makes it)" in result.stderr


def test_an_environment_that_lacks_packages_says_how_to_get_them(bare):
    result = run_bare(bare, "main.py", "--help")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "bash scripts/setup.sh installs everything, also what --core leaves out" in result.stderr


def test_an_older_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "utils/_start.py"))
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("needs Python 3.11 or 3.12, but this is 3.9 (") and said.count("\n") == 1


@pytest.mark.parametrize("script", ["main.py", *(f"utils/{name}" for name in COMMANDS)])
def test_every_command_has_help_and_a_version(script):
    """In this process: starting each takes seconds."""
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    parser = module.get_args_parser()
    text = parser.format_help()
    assert "--version" in text and "None)" not in text and "  python " in text.replace("bash", "python")
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(io.StringIO()) as said:
        parser.parse_args(["--version"])
    assert end.value.code == 0
    assert said.getvalue().startswith(f"{parser.prog}, VALOR {__version__}, Python 3.1")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("--epoch", "--epochs"), ("--model_nam=x", "--model_name"), ("--zzz", None), ("--Epochs", "--epochs")],
)
def test_a_wrong_flag_names_the_one_that_was_meant(given, meant, capsys):
    parser = importlib.import_module("main").get_args_parser()
    with pytest.raises(SystemExit) as end:
        parser.parse_args([given])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert (f"; did you mean {meant}?" in said) if meant else ("did you mean" not in said)
