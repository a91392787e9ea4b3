"""Reading ahead from a packed file: time per video and peak memory with 10,000, 100,000 and 300,000 videos.

    python benchmarks/bench_stream.py

The larger files are virtual (HDF5 virtual datasets): 10,000 synthetic videos, repeated. Each line is a process of
its own that goes through shuffled batches of 64, once only reading them, once training VALOR on them.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from prettytable import PrettyTable

import main as valor
from benchmarks import training_data
from benchmarks.bench_train import network_and_step, parse, peak_memory
from dataloader import PackedDataset, make_loader
from utils.base import command, flags
from utils.llp.classes import CLASS_NAMES


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_stream.py", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=flags.positive_int, default=10000, help="in the real file")
    parser.add_argument("--batches", type=flags.positive_int, default=60, help="that are timed")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "memory|ahead"), help=argparse.SUPPRESS)
    return parser


def measure(path: Path, memory_limit: float, batches: int) -> tuple[float, float, float]:
    """ms a video of reading, and of training, and peak memory in GB of this process."""
    data = PackedDataset(path, "train", ("weak", "pseudo_a", "pseudo_v"), memory_limit=memory_limit)
    data.load()
    args = parse(*training_data.network_flags("VALOR"), "--gpu", "-1")
    _, step = network_and_step(args, valor.net_settings(args, data, len(CLASS_NAMES)), torch.device("cpu"))
    times = []
    for work in (lambda batch: None, lambda batch: step(batch).tolist()):
        for i, batch in enumerate(make_loader(data, 64, shuffle=True)):
            if i == 8:  # the first window is read before any training can overlap with it
                start = time.perf_counter()
            work(batch)
            if i == 7 + batches:
                break
        times.append((time.perf_counter() - start) / batches / 64 * 1000)
    return *times, peak_memory()


def main(args: argparse.Namespace) -> None:
    """Write the files, and measure each in a process of its own."""
    if args.one:
        limit = float("inf") if args.one[1] == "memory" else 1.0
        print(*measure(Path(args.one[0]), limit, args.batches))
        return
    table = PrettyTable(
        ["videos", "held in", "features, GB", "reading, ms a video", "training, ms a video", "peak, GB"]
    )
    with tempfile.TemporaryDirectory() as temporary:
        real = Path(temporary, "real.h5")
        training_data.write_packed(real, "VALOR", {"train": args.videos})
        size = real.stat().st_size / 1e9
        for times, where in ((1, "memory"), (1, "ahead"), (10, "ahead"), (30, "ahead")):
            path = real
            if times > 1:
                path = Path(temporary, f"virtual{times}.h5")
                training_data.write_virtual(path, real, times)
            command = [sys.executable, __file__, "--one", path, where, "--batches", str(args.batches)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            reading, training, memory = map(float, result.stdout.split())
            place = "memory" if where == "memory" else "file, read ahead"
            numbers = f"{times * size:.1f}", f"{reading:.3f}", f"{training:.2f}", f"{memory:.2f}"
            table.add_row([f"{times * args.videos:,}", place, *numbers])
    print(table)


if __name__ == "__main__":
    command.run(main, get_args_parser())
