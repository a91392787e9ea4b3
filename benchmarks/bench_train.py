"""Training and evaluation: the published way against this project's, in one run on one machine.

    python benchmarks/bench_train.py --json train.json            # CPU; about 20 minutes on two cores
    python benchmarks/bench_train.py --gpu 0 --json train.json    # a GPU, with the whole 60-epoch runs
    python benchmarks/bench_train.py --quick                      # a few steps of each, to see that it works

(a) the published way: raw features of 64 videos a step through a DataLoader with 4 workers, `--exact`; evaluation one
video at a time, with metrics in loops over videos, classes and segments (tests/reference_metrics.py). (b) this
project's way: features pooled in memory. Each has a process of its own, and they take turns; each number is the median
of the rounds. An epoch is 10,000 videos, from 20 steps. Data and weights are synthetic: times do not depend on them.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from prettytable import PrettyTable
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

import main as valor
from benchmarks import bench_check, training_data
from benchmarks.training_data import MODELS
from dataloader import make_loader
from tests import reference_metrics
from utils.base import command, flags
from utils.base.devices import select_device, select_training_device
from utils.base.errors import InputError
from utils.base.files import write_json
from utils.llp.annotations import Reference, read_reference
from utils.llp.classes import C
from utils.llp.datasets import LLP
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores
from utils.train.engine import evaluate, forward
from utils.train.schedule import make_optimizer

EPOCH, TEST = 10000, 1200  # videos
WARM_UP = 10  # steps of (a), whose DataLoader has read some batches before the first of them
READ_AHEAD = 8  # batches that a DataLoader with 4 workers holds ready
TARGETS = {  # of the ratio (a)/(b), or of the fraction
    "epoch, fp32": (2.5, 2.3, 8),
    "epoch, bf16": (4.5, 3.5, 13),
    "evaluation": (14, 12, 22),
    "metrics": (30, 30, 30),
    "epoch on the GPU": (30, 30, 50),
    "fraction of the product rate, fp32": (0.8, 0.6, 0.6),
}


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def parse(*flags: str) -> argparse.Namespace:
    return valor.get_args_parser().parse_args([str(flag) for flag in flags])


# ---------------------------------------------------------------------------------------------------- what is measured


def published_loader(dataset, batch_size: int, shuffle: bool) -> DataLoader:
    """With four workers, however many cores there are."""
    as_on_linux = "fork"  # which a spawned process does not do by itself
    return DataLoader(
        dataset, batch_size, shuffle, num_workers=4, collate_fn=lambda batch: batch, multiprocessing_context=as_on_linux
    )


def network_and_step(
    args: argparse.Namespace, settings: dict, device: torch.device
) -> tuple[torch.nn.Module, valor.TrainStep]:
    """As main.py makes them; `settings` of the network, as main.net_settings returns them."""
    torch.manual_seed(0)
    net = valor.build_net(args, settings, device)
    graphs = args.experimental and device.type == "cuda"
    kind = valor.GraphedStep if graphs else valor.TrainStep
    adam = {"betas": (args.beta1, args.beta2), "eps": args.eps, "weight_decay": args.weight_decay}
    optimizer = make_optimizer(net, device, args.optimizer, lr=args.lr, fused=not args.exact, capturable=graphs, **adam)
    return net, kind(net, optimizer, terms=("video", "audio", "visual"), grad_norm=1.0, device=device)


class Trainer:
    """A run of main.py taken apart: its network, step and batches. `more`: its flags beside the published settings."""

    def __init__(self, model: str, data: Path, gpu: str, *more: str):
        self.args = parse(
            *training_data.network_flags(model), *training_data.file_flags(model, data), "--gpu", gpu, *more
        )
        self.device = device = select_training_device(gpu, self.args.precision, exact=self.args.exact)
        self.train, self.test = (
            valor.open_split(self.args, name, terms, LLP).load().to(device)
            for name, terms in (("train", ("video", "audio", "visual")), ("test", ()))
        )
        self.net, self.step = network_and_step(self.args, valor.net_settings(self.args, self.train, C), device)

    def batches(self) -> Iterable[dict[str, torch.Tensor]]:
        """Of 64 videos, as the published code or this project makes them."""
        return published_loader(self.train, 64, shuffle=True) if self.args.exact else make_loader(self.train, 64, True)

    def seconds_a_video(self, warm_up: int, steps: int) -> float:
        """Of training, reading included, after some steps."""
        done, start, rows = 0, 0.0, []
        while True:
            for batch in self.batches():
                if len(batch["audio"]) < 64:
                    continue
                if done == warm_up:
                    wait_for(self.device)
                    start = time.perf_counter()
                rows.append(self.step(batch))
                done += 1
                if self.args.exact or done % 10 == 0:
                    rows[-1].tolist()  # what the release does at every step, and this project where it logs
                if done == warm_up + steps:
                    wait_for(self.device)
                    return (time.perf_counter() - start) / steps / 64

    def evaluate(self, reference: Reference, videos: int) -> tuple[float, float]:
        """Seconds a video, of all and of the metrics alone."""
        self.net.eval()
        return self._evaluate_published(reference, videos) if self.args.exact else self._evaluate_here(reference)

    @torch.no_grad()
    def _evaluate_published(self, reference: Reference, videos: int) -> tuple[float, float]:
        """One video at a time, from raw files through a DataLoader; the first ones, read in advance, do not count."""
        end = READ_AHEAD + videos
        subset = torch.utils.data.Subset(self.test, range(end + READ_AHEAD))  # so that it still reads at the end
        start = metrics = 0.0
        for i, batch in enumerate(published_loader(subset, 1, shuffle=False)):
            if i == end:
                break
            if i == READ_AHEAD:
                start, metrics = time.perf_counter(), 0.0
            output = forward(self.net, {k: v.to(self.device) for k, v in batch.items()})
            decisions = binarize(output.global_prob.cpu().numpy(), output.frame_prob.cpu().numpy())
            begin = time.perf_counter()
            pred_audio, pred_visual = (x[0] for x in decisions)
            reference_metrics.video_scores(pred_audio, pred_visual, reference.audio[i], reference.visual[i])
            stop = time.perf_counter()
            metrics += stop - begin
        return (stop - start) / videos, metrics / videos

    def _evaluate_here(self, reference: Reference) -> tuple[float, float]:
        """All videos of the split."""
        start = time.perf_counter()
        loader = make_loader(self.test, valor.EVALUATION_BATCH, shuffle=False)
        evaluation = evaluate(self.net, loader, device=self.device)
        begin = time.perf_counter()
        ten_scores(
            video_scores(*binarize(evaluation.global_prob, evaluation.frame_prob), reference.audio, reference.visual)
        )
        end = time.perf_counter()
        return (end - start) / len(self.test), (end - begin) / len(self.test)


class Products(TorchDispatchMode):
    """Writes down the matrix products of a step."""

    KINDS = ("mm", "addmm", "addmm_", "bmm", "baddbmm_")
    BY_ONEDNN = "_linear_pointwise"  # x, [what is added,] W, b: x W^T

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kind = function.overloadpacket.__name__
        if kind in self.KINDS or kind == self.BY_ONEDNN:
            a, b = args[-2:]
            if kind == self.BY_ONEDNN:
                a, b = args[0], args[2 if function._overloadname == "binary" else 1].t()
            self.found.append((a.shape, a.stride(), b.shape, b.stride(), a.dtype))
        return function(*args, **(kwargs or {}))


def products_alone(trainer: Trainer) -> tuple[float, Callable[[], float]]:
    """GFLOP of a training step's matrix products, and a function that times them alone, by torch.mm."""
    batch = next(iter(make_loader(trainer.train, 64, shuffle=False)))
    with Products() as products:
        trainer.step(batch)
    made, pairs = {}, []
    for *description, dtype in products.found:
        for shape, stride in (description[:2], description[2:]):
            key = (shape, stride, dtype)
            if key not in made:
                size = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
                made[key] = torch.randn(size, dtype=dtype).as_strided(shape, stride)
        pairs.append([made[s, t, dtype] for s, t in (description[:2], description[2:])])
    flop = sum(2 * a.numel() * b.shape[-1] for a, b in pairs)

    def run() -> float:
        for _ in range(2):  # the first to warm up
            start = time.perf_counter()
            for a, b in pairs:
                torch.bmm(a, b) if a.dim() == 3 else torch.mm(a, b)
        return time.perf_counter() - start

    return flop / 1e9, run


# -------------------------------------------------------------------------------------------------------- start-up


def start_up(model: str, data: Path, gpu: str, *more: str) -> tuple[float, float]:
    """Seconds from the command to the first step, and peak memory in GB of the process and its workers after 11."""
    with tempfile.TemporaryDirectory() as models:
        flags = [*training_data.network_flags(model), *training_data.file_flags(model, data), "--gpu", gpu, *more]
        command = [sys.executable, bench_check.ROOT / "main.py", *flags, "--model_save_dir", models]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = process.stdout.readline()
            seconds = time.perf_counter() - start
            if "training and" not in line:
                raise SystemExit(f"main.py failed: {' '.join(map(str, command))}")
            log = Path(models, "MMIL_Net", "iterations.jsonl")
            while log.read_text().count("\n") < 2:
                time.sleep(0.2)
            return seconds, peak_memory(process.pid)
        finally:
            process.terminate()
            process.wait()


def peak_memory(pid: int | str = "self") -> float:
    """GB that a process and its children have had at most; pages that they share count once for each."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for path in lists for child in path.read_text().split()]
    peaks = []
    for process in (pid, *children):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        peaks.append(int(status["VmHWM"].split()[0]) * 1024)
    return sum(peaks) / 1e9


# -------------------------------------------------------------------------------------------------------- two sides


class Side:
    """A process for one way, so that memory, threads and settings of the other do not touch it.

    Args:
        ways: name -> flags of main.py, of the trainers in it.
    """

    def __init__(self, model: str, data: Path, gpu: str, ways: dict[str, Sequence[str]]):
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, spawn, initializer=Side._start, initargs=(model, data, gpu, ways))

    @staticmethod
    def _start(model: str, data: Path, gpu: str, ways: dict[str, Sequence[str]]) -> None:
        warnings.filterwarnings("ignore", "This DataLoader will create 4 worker")  # as the published code does
        Side.trainers = {name: Trainer(model, data, gpu, *flags) for name, flags in ways.items()}
        names = next(iter(Side.trainers.values())).test.filenames
        Side.reference = read_reference(data, names)

    def ask(self, function: Callable, *args):
        """What a static method says in that process."""
        return self.pool.submit(function, *args).result()

    @staticmethod
    def train(name: str, warm_up: int, steps: int) -> float:
        trainer = Side.trainers[name]
        torch.backends.cuda.matmul.allow_tf32 = trainer.args.precision == "tf32"
        return EPOCH * trainer.seconds_a_video(warm_up, steps)

    @staticmethod
    def evaluate(name: str, videos: int) -> tuple[float, float]:
        torch.backends.cuda.matmul.allow_tf32 = False
        return tuple(TEST * seconds for seconds in Side.trainers[name].evaluate(Side.reference, videos))

    @staticmethod
    def gflop(name: str) -> float:
        found, Side.products = products_alone(Side.trainers[name])
        return found

    @staticmethod
    def time_products() -> float:
        return Side.products()


# ------------------------------------------------------------------------------------------------------------- tables


def measure(model: str, data: Path, args: argparse.Namespace) -> dict[str, float]:
    """All medians of one model."""
    published = Side(model, data, args.gpu, {"exact": ("--exact", "--num_workers", "4")})
    here = Side(model, data, args.gpu, {p: ("--precision", p, "--no_cache") for p in args.precisions})
    gflop = here.ask(Side.gflop, "fp32") if args.gpu == "-1" else float("nan")
    rounds = {}

    def note(name: str, value: float) -> None:
        rounds.setdefault(name, []).append(value)

    for _ in range(args.rounds):
        note("a epoch", published.ask(Side.train, "exact", args.warm_up_a, args.steps))
        for precision in args.precisions:
            note(f"b epoch {precision}", here.ask(Side.train, precision, args.warm_up_b, args.steps))
        if args.gpu == "-1":
            note("products", here.ask(Side.time_products))
        for side, name, way in ((published, "a", "exact"), (here, "b", "fp32")):
            whole, metrics = side.ask(Side.evaluate, way, args.evaluated)
            note(f"{name} evaluation", whole), note(f"{name} metrics", metrics)
        print(f"{model}: " + ", ".join(f"{name} {values[-1]:.3g}" for name, values in rounds.items()), flush=True)
    for side in (published, here):
        side.pool.shutdown()
    return {name: median(values) for name, values in rounds.items()} | {"gflop": gflop}


def ratios(result: dict[str, float], precisions: list[str]) -> dict[str, float]:
    """What the targets are about."""
    found = {f"epoch, {p}": result["a epoch"] / result[f"b epoch {p}"] for p in precisions}
    found["evaluation"] = result["a evaluation"] / result["b evaluation"]
    found["metrics"] = result["a metrics"] / result["b metrics"]
    if "products" in result:
        step = result["b epoch fp32"] / EPOCH * 64
        found["fraction of the product rate, fp32"] = result["products"] / step
    return found


def show(title: str, rows: dict[str, list[str]]) -> None:
    """A table with a column for each model."""
    table = PrettyTable([title, *MODELS])
    table.align = "r"
    table.align[title] = "l"
    for name, cells in rows.items():
        table.add_row([name, *cells])
    print(table)


def show_all(results: dict, starts: dict, args: argparse.Namespace) -> None:
    """Seconds, then ratios beside what was asked for."""
    rows = {}
    names = [name for name in results["VALOR"] if name not in ("gflop", "products")]
    for name in sorted(names, key=lambda n: (n.split()[1:], n)):
        unit = "s per 10,000 videos" if "epoch" in name else "s per 1,200 videos"
        rows[f"({name[0]}) {name[2:]}, {unit}"] = [f"{results[m][name]:.3g}" for m in MODELS]
    for name, values in starts.items():
        rows[name] = [f"{values[m]:.2f}" for m in MODELS]
    if not np.isnan(results["VALOR"]["gflop"]):
        rows["GFLOP of a step's products"] = [f"{results[m]['gflop']:.1f}" for m in MODELS]
        rows["products alone, GFLOP/s"] = [f"{results[m]['gflop'] / results[m]['products']:.0f}" for m in MODELS]
    show("median", rows)
    rows = {}
    for name in ratios(results["VALOR"], args.precisions):
        asked = TARGETS["epoch on the GPU"] if args.gpu != "-1" and "epoch" in name else TARGETS.get(name, ("-",) * 3)
        rows[name] = [
            f"{ratios(results[m], args.precisions)[name]:.2f} (asked {a})" for m, a in zip(MODELS, asked, strict=True)
        ]
    show("ratio (a)/(b)", rows)


def whole_runs(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """By precision, seconds of the 60-epoch run of each model, data and validation included."""
    found = {}
    for precision in args.precisions:
        for model in MODELS:
            path = folder / model / "packed.h5"
            if not path.exists():
                training_data.write_packed(path, model, {"train": EPOCH, "val": 649})
            flags = [*training_data.network_flags(model), "--gpu", args.gpu, "--packed", path, "--gt_dir", path.parent]
            flags += ["--precision", precision, "--model_save_dir", path.parent, "--model_name", precision]
            command = [sys.executable, bench_check.ROOT / "main.py", *flags, "--epochs", str(args.epochs)]
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            log = (path.parent / precision / "log.jsonl").read_text().splitlines()
            found.setdefault(precision, []).append(sum(json.loads(line)["seconds"] for line in log))
    return found


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_train.py", description=__doc__)
    parser.add_argument("--gpu", default="-1", help="number of the CUDA device (default: the CPU)")
    parser.add_argument("--rounds", type=flags.positive_int, default=5, help="")
    parser.add_argument("--epochs", type=flags.positive_int, default=60, help="of whole runs")
    parser.add_argument("--whole_runs", action="store_true", help="time them on the CPU, too")
    parser.add_argument("--no_start_up", action="store_true", help="leave out start-up and memory, which take minutes")
    parser.add_argument("--quick", action="store_true", help="one round of a few steps")
    parser.add_argument("--json", type=Path, metavar="F", help="write all numbers to this file")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    device = select_device(args.gpu, deterministic=True)
    if args.gpu != "-1" and device.type != "cuda":
        raise InputError(f"--gpu {args.gpu}: there is no CUDA device")
    args.precisions = ["fp32", "bf16"] if device.type == "cpu" else ["fp32", "tf32", "bf16"]
    args.warm_up_a, args.warm_up_b, args.steps, args.evaluated = (1, 1, 2, 8) if args.quick else (WARM_UP, 4, 20, 100)
    args.rounds = 1 if args.quick else args.rounds
    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else cores
    print(f"{where}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    results, starts, whole = {}, {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "data")
        batches = 4 if args.quick else WARM_UP + 20 + READ_AHEAD  # so that (a) still reads at its last step
        training_data.write_files(data, {"train": 64 * batches, "val": 8, "test": 160 if args.quick else TEST})
        for model in MODELS:
            results[model] = measure(model, data, args)
    if not args.no_start_up and not args.quick:
        starts = measure_start_up(args)
    if device.type == "cuda" or args.whole_runs:
        with tempfile.TemporaryDirectory() as temporary:
            whole = whole_runs(Path(temporary), args)
    if args.json:
        write_json(
            args.json,
            {
                "machine": where,
                "torch": torch.__version__,
                "medians": results,
                "start-up": starts,
                "ratios": {m: ratios(results[m], args.precisions) for m in MODELS},
                "whole runs, s": whole,
            },
        )
    show_all(results, starts, args)
    if whole:
        show(f"{args.epochs} epochs, s", {p: [f"{s:.1f} (asked 20)" for s in v] for p, v in whole.items()})


def measure_start_up(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Of each model, with 10,000 + 649 videos in files that take no room on the disk: nothing is cold about them."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "data")
        bench_check.write_folder(data)
        for model in MODELS:
            for name, more in (
                ("(a) start-up, s", ("--exact", "--num_workers", "4")),
                ("(b) start-up without a cache, s", ()),
                ("(b) start-up from the cache, s", ()),
            ):
                times = args.rounds if "from the cache" in name else 1  # the others take half a minute, and fill it
                pairs = [start_up(model, data, args.gpu, *more) for _ in range(times)]
                found.setdefault(name, {})[model] = median(seconds for seconds, _ in pairs)
                found.setdefault(f"{name[:3]} peak memory, GB", {})[model] = pairs[-1][1]
    return found


if __name__ == "__main__":
    command.run(main, get_args_parser())
