"""How fast a training step of each network is, beside a plain float32 product of matrices on the same machine.

    python benchmarks/bench_networks.py
    python benchmarks/bench_networks.py --models MM_Pyramid --precision bf16 --gpu 0

A step is main.py's default one, of 64 videos of pooled features. Its arithmetic is that of the network as nets/ has it,
as torch counts it, forward and backward; the step may need less. Products and steps take turns in one process. On a
shared machine, --threads 1 --cpu_time (the time of the process on one core) repeats best.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from prettytable import PrettyTable
from torch.utils.flop_counter import FlopCounterMode

import nets
from benchmarks import bench_train
from utils.base import command, flags
from utils.base.devices import keep_large_blocks, select_training_device
from utils.train.networks import SHAPE, settle

VIDEOS, SIZE = 64, 2048
ROWS = {"audio": 128, "visual": 2048, "visual_st": 512}
LABELS = {"weak": (VIDEOS, 25), "pseudo_a": (VIDEOS, 10, 25), "pseudo_v": (VIDEOS, 10, 25)}


def random_batch(device: torch.device) -> dict[str, torch.Tensor]:
    """Features (B, T, D) and labels (B, C), (B, T, C) of random numbers."""
    batch = {name: torch.randn(VIDEOS, 10, size) for name, size in ROWS.items()}
    batch |= {name: (torch.rand(shape) < 0.1).float() for name, shape in LABELS.items()}
    return {name: value.to(device) for name, value in batch.items()}


def operations(model: str) -> int:
    """Floating-point operations of a forward and backward pass."""
    net, batch = nets.build(model), random_batch(torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        output = net(*(batch[name] for name in ROWS))
        (output.frame_logits.sum() + output.global_prob.sum()).backward()
    return counter.get_total_flops()


def seconds(work: Callable[[], torch.Tensor], args: argparse.Namespace, device: torch.device) -> float:
    """Of one call, on average."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    bench_train.wait_for(device)
    start = clock()
    for _ in range(args.steps):
        work()
    bench_train.wait_for(device)
    return (clock() - start) / args.steps


def measure(model: str, args: argparse.Namespace) -> list[str]:
    """A row of the table."""
    run = bench_train.parse("--model", model, "--gpu", args.gpu, "--precision", args.precision)
    device = select_training_device(args.gpu, args.precision, exact=False)
    settings = settle(model, dict.fromkeys(SHAPE)) | {"model": model, "num_classes": 25}
    _, step = bench_train.network_and_step(run, settings, device)
    batch, matrix = random_batch(device), torch.randn(SIZE, SIZE, device=device)
    ways = {"step": lambda: step(batch), "product": lambda: matrix @ matrix}
    for work in ways.values():
        seconds(work, args, device)
    times = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, work in ways.items():
            times[name].append(seconds(work, args, device))
    count = operations(model)
    step_rate, product_rate = count / min(times["step"]), 2 * SIZE**3 / min(times["product"])
    numbers = [f"{1000 * min(times['step']):.0f}", f"{count / 1e9:.0f}", f"{step_rate / 1e9:.0f}"]
    return [model, args.precision, *numbers, f"{product_rate / 1e9:.0f}", f"{step_rate / product_rate:.2f}"]


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_networks.py", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=nets.NETWORKS, default=list(nets.NETWORKS), help="which")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="of the steps' products")
    parser.add_argument("--gpu", default="-1", help=flags.GPU_HELP)
    parser.add_argument("--rounds", type=flags.positive_int, default=6, help="of products and steps in turn")
    parser.add_argument("--steps", type=flags.positive_int, default=3, help="of a round")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="of the process")
    parser.add_argument("--cpu_time", action="store_true", help="time of the process instead of the clock")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print; times are the shortest of the rounds."""
    torch.set_num_threads(args.threads)
    keep_large_blocks()
    names = ["network", "precision", "step, ms", "GFLOP", "GFLOP/s", "product, GFLOP/s", "ratio"]
    table = PrettyTable(names, align="r")
    for model in args.models:
        table.add_row(measure(model, args))
    print(table)


if __name__ == "__main__":
    command.run(main, get_args_parser())
