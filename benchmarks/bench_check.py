"""Time of `download_features.py --check` on a synthetic data folder of LLP's size: 11,849 videos, 82,943 files.

    python benchmarks/bench_check.py [--keep DIR]

Files have LLP's shapes but are sparse: they take no room on the disk, and their headers are real. With --deep every
number of them is read, too. Each check is a process of its own, as a user starts it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import pandas as pd

from utils.base import command, flags
from utils.features.kinds import folder_layouts
from utils.llp.annotations import REFERENCE_FILES
from utils.llp.events import EVENT_COLUMNS
from utils.llp.videos import ALL_VIDEOS_FILE, SPLIT_COLUMNS, SPLIT_FILES, video_id
from utils.make_lookalike import synthetic_names

COUNTS = {"train": 10000, "val": 649, "test": 1200}
ROOT = Path(__file__).resolve().parents[1]


def write_folder(folder: Path) -> int:
    """Write CSVs and sparse feature files; returns how many of the latter."""
    names = synthetic_names(np.random.default_rng(0), sum(COUNTS.values()))
    table = pd.DataFrame(dict(zip(SPLIT_COLUMNS, (names, ["Speech"] * len(names)), strict=True)))
    folder.mkdir(parents=True)
    for split, last in zip(COUNTS, np.cumsum(list(COUNTS.values())), strict=True):
        table[last - COUNTS[split] : last].to_csv(folder / SPLIT_FILES[split], sep="\t", index=False)
    table.to_csv(folder / ALL_VIDEOS_FILE, sep="\t", index=False)
    for name in REFERENCE_FILES.values():
        pd.DataFrame(columns=EVENT_COLUMNS).to_csv(folder / name, sep="\t", index=False)
    for name, layout in folder_layouts().items():
        (folder / name).mkdir(parents=True)
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(layout.dtype)), "fortran_order": False}
        for video in names:
            with open(folder / name / f"{video_id(video)}.npy", "wb") as file:
                np.lib.format.write_array_header_1_0(file, header | {"shape": (*layout.rows, layout.columns)})
                file.truncate(layout.file_size)
    return len(names) * len(folder_layouts())


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_check.py", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the folder here, and leave it")
    parser.add_argument("--deep", action="store_true", help="time --check --deep, too")
    return parser


def main(args: argparse.Namespace) -> None:
    """Write the folder, if it is not there, and time the checks."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary) / "data"
        if not folder.exists():
            print(f"{write_folder(folder)} files written", flush=True)
        for deep in (False, True) if args.deep else (False,):
            command = [sys.executable, ROOT / "utils/download_features.py", "--check", "--data_dir", folder]
            command += ["--parts", "csv", "feats", "CLIP", "CLAP", *(["--deep"] if deep else [])]
            start = time.perf_counter()
            result = subprocess.run(command, check=False, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            print(f"--check{' --deep' if deep else ''}: {seconds:.1f} s, status {result.returncode}")
            print(result.stdout if result.returncode == 0 else result.stderr)


if __name__ == "__main__":
    command.run(main, get_args_parser())
