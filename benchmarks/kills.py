"""Kill commands at random moments (kill -9), rerun them, and compare with a run that was left alone.

    python benchmarks/kills.py --times 5

Training, several seeds, two processes of torchrun, the cache, packing, downloads, parsing and extraction, on a small
synthetic data set, with small networks. Prints a table: kills, and reruns whose outputs are the same.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import h5py
import numpy as np
import torch
from prettytable import PrettyTable

from tests import synthetic
from tests.media_files import clock_video
from tests.mock_site import Site, publish, site_flags
from utils.base import command, flags
from utils.download.release import MODEL_FILES

SIZES = "--hidden_dim 32 --nhead 2 --ff_dim 64 --batch_size 16 --gpu -1 --num_workers 0 --epochs 4"
BASES = {"vggish": "vggish", "res152": "res152", "r2plus1d": "r2plus1d_18"}
TOOLS = ("parse_video", "extract_features")
SETTLED = {"seconds", "time", "videos_per_second", "lr_time"}  # keys of logs that differ from run to run
WITH_SMALL = (
    "import sys, pytest; sys.path[0] = {root!r}; sys.argv = ['parse_video.py', *sys.argv[1:]]; "
    "from tests import synthetic; from utils import {module} as tool; from utils.base import command; "
    "patch = pytest.MonkeyPatch(); synthetic.use_small_networks(patch); command.run(tool.main, tool.get_args_parser())"
)


class Case(NamedTuple):
    """A command that is killed and run again. rerun: more flags of the second run; outputs: folders and files."""

    name: str
    words: list[str]
    outputs: list[str]
    rerun: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def digest(path: Path) -> str:
    """Checksum of what a file says, without what differs from run to run."""
    if path.suffix == ".pt":
        state = torch.load(path, weights_only=False)
        state = state if isinstance(state, dict) else {}
        weights = state.get("model", state)
        data = b"".join(np.ascontiguousarray(v.numpy()).tobytes() for v in weights.values() if hasattr(v, "numpy"))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        data = json.dumps([{k: v for k, v in row.items() if not SETTLED & {k}} for row in rows]).encode()
    elif path.suffix in (".h5", ".hdf5"):
        with h5py.File(path) as file:
            names: list[str] = []
            file.visit(names.append)
            data = b"".join(
                n.encode() + np.asarray(file[n]).tobytes() for n in names if isinstance(file[n], h5py.Dataset)
            )
    else:
        data = path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def outputs_of(folder: Path, case: Case) -> dict[str, str]:
    """Checksums of all files that a command has written, by name."""
    found = {}
    for name in case.outputs:
        top = folder / name
        files = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file())
        found |= {str(p.relative_to(folder)): digest(p) for p in files if p.name != "arguments.txt"}
    return found


def start(words: list[str], folder: Path, case: Case) -> subprocess.Popen:
    """Run a command in a session of its own."""
    environment = os.environ | dict(case.environment) | {"OMP_NUM_THREADS": "1"}
    with open(folder / "log.txt", "ab") as log:
        settings = {"cwd": folder, "stdout": log, "stderr": log, "start_new_session": True}
        return subprocess.Popen(words, env=environment, **settings)


def kill_others(folder: Path) -> None:
    """Kill what a command started in sessions of their own, as torchrun does: all processes in a folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").resolve() == folder.resolve():
                    os.kill(int(entry.name), signal.SIGKILL)


def run_case(case: Case, make: Callable[[Path], None], work: Path, times: int) -> tuple[int, int]:
    """How many kills there were, and how many reruns gave the same files as an undisturbed run."""
    folder = work / case.name
    make(folder)
    begin = time.perf_counter()
    status = start(case.words, folder, case).wait()
    if status:
        raise SystemExit(f"{case.name}: status {status}\n{(folder / 'log.txt').read_text()[-3000:]}")
    seconds, expected = time.perf_counter() - begin, outputs_of(folder, case)
    kills = same = 0
    while kills < times:
        shutil.rmtree(folder)
        make(folder)
        process = start(case.words, folder, case)
        time.sleep(random.uniform(0.15, 1.0) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        kill_others(folder)
        if process.wait() != -signal.SIGKILL:
            continue  # it had ended
        kills += 1
        has_begun = any((folder / name).exists() for name in case.outputs)
        status = start([*case.words, *(case.rerun if has_begun else ())], folder, case).wait()
        found = outputs_of(folder, case)
        same += status == 0 and found == expected
        if status or found != expected:
            changed = {n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n)}
            print(f"{case.name}: status {status}, different: {sorted(changed)[:5]}")
            print((folder / "log.txt").read_text()[-800:])
    return kills, same


def cases(work: Path, site: Site) -> list[Case]:
    """The commands."""
    python = sys.executable
    train = [
        str(ROOT / "main.py"),
        "--mode",
        "train",
        "--model_save_dir",
        "models",
        *SIZES.split(),
        "--model_name",
        "run",
    ]
    torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    (work / "networks").mkdir()
    synthetic.write_small_networks(work / "networks")
    bases = [f"--{name}_checkpoint={work}/networks/{file}.pt" for name, file in BASES.items()]
    checkpoint = synthetic.write_small_parser(work / "parser/checkpoint_best.pt")
    parse = ["v/a.mp4", "v/b.mp4", "--checkpoint", str(checkpoint), "--out", "events", "--gpu", "-1", *bases]
    extract = ["--kind", "res152", "--from_videos", "v", "--out_dir", "feats", "--gpu", "-1"]
    extract += ["--checkpoint", f"{work}/networks/res152.pt"]
    tool = {name: [python, "-c", WITH_SMALL.format(root=str(ROOT), module=name)] for name in TOOLS}
    fetch = str(ROOT / "utils/download_features.py")
    hub, resume = (("HF_ENDPOINT", site.url), ("HF_HUB_OFFLINE", "0")), ("--resume",)
    return [
        Case("train", [python, *train, "--no_cache"], ["models"], resume),
        Case("seeds", [python, *train, "--no_cache", "--seeds", "1", "2"], ["models"], resume),
        Case("torchrun", [*torchrun, *train, "--no_cache"], ["models"], resume),
        Case("cache", [python, *train, "--cache_dir", "cache"], ["models"], resume),
        Case("pack", [python, str(ROOT / "utils/pack_features.py"), "--out", "packed.h5"], ["packed.h5"]),
        Case("download", [python, fetch, *site_flags(site)], ["data", "models"], (), hub),
        Case("parse", [*tool["parse_video"], *parse], ["events"]),
        Case("extract", [*tool["extract_features"], *extract], ["feats"]),
    ]


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="kills.py", description=__doc__)
    parser.add_argument("--times", type=flags.positive_int, default=5, help="kills of each command")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the commands")
    parser.add_argument("--seed", type=flags.seed, default=0, help="of the moments")
    return parser


def main(args: argparse.Namespace) -> int:
    """Kill and rerun; print the table. The exit status is 1 if some rerun differed."""
    random.seed(args.seed)
    table, all_same = PrettyTable(["command", "kills", "reruns with the same outputs"]), True
    with tempfile.TemporaryDirectory() as folder, Site() as site:
        work = Path(folder)
        make = [sys.executable, str(ROOT / "utils/make_lookalike.py"), "--train", "60", "--val", "20", "--test", "20"]
        subprocess.run([*make, "--out", work / "data"], check=True, stdout=subprocess.DEVNULL)
        videos = work / "v"
        videos.mkdir()
        for name, seconds in (("a", 9), ("b", 24)):
            clock_video(videos / f"{name}.mp4", seconds)
        models = work / "published"
        for name in MODEL_FILES:
            size = 768 if "++" in name else 128
            synthetic.write_small_parser(models / name, size, 768 if "++" in name else 2048)
        publish(site, work / "data", models)
        for page in site.pages.values():
            page.delay = 0.002
        for case in cases(work, site):
            if args.only and case.name not in args.only:
                continue

            def make_folder(target: Path, case: Case = case) -> None:
                target.mkdir(exist_ok=True)
                (target / "v").symlink_to(videos)
                if case.name != "download":
                    (target / "data").symlink_to(work / "data")

            kills, same = run_case(case, make_folder, work, args.times)
            table.add_row([case.name, kills, same])
            all_same &= kills == same
            print(table.get_string(), flush=True)
    return 0 if all_same else 1


if __name__ == "__main__":
    command.run(main, get_args_parser())
