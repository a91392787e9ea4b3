"""Training on a GPU against training on the CPU: losses, scores, recorded graphs, memory, speed.

`bash scripts/check_gpu.sh` calls this. The published network learns from synthetic videos, without dropout, from the
same weights and in the same order everywhere, so that the numbers differ by rounding alone. Exit status: 0; 1 if
something differs by more; 2 without a GPU.
"""

import argparse
import contextlib
import io
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import main as valor
from utils.base import command, flags
from utils.base.errors import InputError
from utils.simulation.files import write_world
from utils.simulation.world import WORLDS, World
from utils.train.run_folder import EPOCH_LOG, ITERATION_LOG

if __name__ == "__main__":
    command.quiet_interrupts()

import numpy as np
import torch

COUNTS = {"train": 384, "val": 128, "test": 8}
EPOCHS = 3
LOSSES, SCORES = 2e-3, 1.0  # what rounding may do in 18 steps: relative; percentage points, which one segment can move


class Trained(NamedTuple):
    """A run: its losses (iterations, terms), validation scores (epochs, 10), seconds of an epoch, GPU memory."""

    losses: np.ndarray
    scores: np.ndarray
    seconds: float
    memory: int  # bytes
    notes: str


def train(data: Path, name: str, *more: str) -> Trained:
    """Train with the published settings, `--dropout 0`, and `more` flags."""
    given = flags.folder_flags(data)
    given += f"--seed 1 --dropout 0 --epochs {EPOCHS} --log_every 1 --model_name {name}".split()
    given += [f"--model_save_dir={data / 'models'}", f"--cache_dir={data / 'cache'}", *more]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        valor.main(valor.get_args_parser().parse_args(given))
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    logs = [(data / "models" / name / log).read_text().splitlines() for log in (ITERATION_LOG, EPOCH_LOG)]
    iterations, epochs = ([json.loads(line) for line in lines] for lines in logs)
    losses = [[value for key, value in row.items() if key.startswith("loss")] for row in iterations]
    scores = [[value for key, value in row.items() if key.startswith(("Seg", "Event"))] for row in epochs]
    notes = " ".join(line for line in said.getvalue().splitlines() if line.startswith("note: "))
    seconds = float(np.median([row["seconds"] for row in epochs[1:]]))
    return Trained(np.array(losses, float), np.array(scores, float), seconds, memory, notes)


def compare(name: str, one: Trained, other: Trained) -> list[tuple[str, str, str, bool]]:
    """Rows of the table: what, found, expected, whether it is as expected."""
    relative = float((np.abs(one.losses - other.losses) / np.abs(one.losses).clip(1e-3)).max())
    points = float(np.abs(one.scores - other.scores).max())
    return [
        (f"{name}: losses, largest relative difference", f"{relative:.1e}", f"up to {LOSSES:.0e}", relative <= LOSSES),
        (f"{name}: ten scores, largest difference", f"{points:.2f}", f"up to {SCORES:.2f} points", points <= SCORES),
    ]


def machine(device: str) -> str:
    """What the numbers were found on."""
    what = "CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    cuda = torch.version.cuda if device != "cpu" else "none"
    return f"{what}, torch {torch.__version__}, CUDA {cuda}, Python {platform.python_version()}, {platform.system()}"


def check(data: Path, gpu: str, device: str) -> bool:
    """Train on the CPU, on the GPU, and there with graphs; print the table; whether all is as expected."""
    write_world(data, World(WORLDS["llp"]), COUNTS)
    runs = {}
    for name, more in (
        ("cpu", ("--gpu=-1",)),
        ("gpu", (f"--gpu={gpu}",)),
        ("graphs", (f"--gpu={gpu}", "--experimental")),
    ):
        print(f"training on {name} ...", file=sys.stderr, flush=True)
        runs[name] = train(data, name, *more)
    rows = compare("GPU against CPU", runs["cpu"], runs["gpu"])
    rows += compare("--experimental against the default on the GPU", runs["gpu"], runs["graphs"])
    fell_back = runs["graphs"].notes
    rows.append(("--experimental runs as asked", fell_back or "yes", "yes", not fell_back))
    for name, run in runs.items():
        rows.append((f"{name}: seconds an epoch of {COUNTS['train']} videos", f"{run.seconds:.2f}", "", True))
        rows.append((f"{name}: most GPU memory", f"{run.memory / 2**20:.0f} MiB", "", True))
    print(f"\nVALOR, bash scripts/check_gpu.sh: {machine(device)}\n")
    print("| check | found | expected | ok |\n| --- | --- | --- | --- |")
    for what, found, expected, is_fine in rows:
        print(f"| {what} | {found} | {expected} | {'yes' if is_fine else '**NO**'} |")
    return all(row[-1] for row in rows)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the check."""
    parser = flags.ArgumentParser(prog="check_gpu.py", description=__doc__)
    parser.add_argument("--gpu", default="0", help="number of the CUDA device; -1 tries the check itself, on the CPU")
    return parser


def main(args: argparse.Namespace) -> int:
    """Check in a temporary folder. Raises InputError without a GPU."""
    if args.gpu != "-1" and not torch.cuda.is_available():
        raise InputError(
            "PyTorch finds no CUDA device: there is nothing to check (nvidia-smi shows what the system has)"
        )
    with tempfile.TemporaryDirectory(prefix="valor-check-gpu-") as folder:
        fine = check(Path(folder), args.gpu, "cpu" if args.gpu == "-1" else f"cuda:{args.gpu}")
    return 0 if fine else command.EXIT_SOME_FAILED


if __name__ == "__main__":
    command.run(main, get_args_parser())
