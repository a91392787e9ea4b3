"""What each recipe adds to a training step of VALOR, of 64 videos of pooled features, all in turn in one process.

python benchmarks/bench_recipes.py                                 on a shared machine: --threads 1 --cpu_time
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from prettytable import PrettyTable

from benchmarks import bench_train
from benchmarks.bench_networks import LABELS, random_batch
from utils.base import command, flags
from utils.base.devices import keep_large_blocks, select_training_device
from utils.train.losses import loss_names
from utils.train.networks import SHAPE, settle
from utils.train.recipe import Recipe

VALOR = ("video", "audio", "visual")
WEIGHTS = dict.fromkeys("av", (11.9, 1.2))
WAYS = {  # name -> terms, recipe
    "VALOR": (VALOR, Recipe()),
    "guided": (("video", "guided"), Recipe()),
    "segment weight": (VALOR, Recipe(segment_weight=12.0)),
    "soft targets": (VALOR, Recipe(targets="soft")),
    "re-weighting": (VALOR, Recipe(weights=WEIGHTS)),
    "mixup": ((*VALOR, "mixup"), Recipe(mixup=1.7)),
    "soft + re-weighting + mixup": ((*VALOR, "mixup"), Recipe(targets="soft", weights=WEIGHTS, mixup=1.7)),
    "recombination, 0.5": (VALOR, Recipe(recombine=0.5)),
    "recombination, 1": (VALOR, Recipe(recombine=1.0)),
}


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_recipes.py", description=__doc__)
    parser.add_argument("--gpu", default="-1", help=flags.GPU_HELP)
    parser.add_argument("--rounds", type=flags.positive_int, default=15, help="of all ways in turn")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="of the process")
    parser.add_argument("--cpu_time", action="store_true", help="time of the process instead of the clock")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print: the shortest step, and the median ratio to VALOR's of the same round."""
    torch.set_num_threads(args.threads)
    keep_large_blocks()
    device = select_training_device(args.gpu, "fp32", exact=False)
    run = bench_train.parse("--gpu", args.gpu)
    settings = settle("MMIL_Net", dict.fromkeys(SHAPE)) | {"model": "MMIL_Net", "num_classes": 25}
    _, step = bench_train.network_and_step(run, settings, device)
    batch = random_batch(device)
    logits = {f"logits_{m}": torch.randn(LABELS["pseudo_a"], device=device) for m in "av"}
    thresholds = dict.fromkeys("av", torch.linspace(-1, 1, 25, device=device))
    clock, times = time.process_time if args.cpu_time else time.perf_counter, {name: [] for name in WAYS}
    for turn in range(args.rounds + 3):
        for name, (terms, recipe) in WAYS.items():
            step.terms, step.recipe, step.count = terms, recipe._replace(thresholds=thresholds), len(loss_names(terms))
            data = batch | logits if recipe.targets == "soft" else batch
            bench_train.wait_for(device)
            start = clock()
            step(data).tolist()
            if turn >= 3:
                times[name].append(clock() - start)
    table = PrettyTable(["recipe", "step, ms", "ratio"], align="r")
    for name, own in times.items():
        ratio = median(a / b for a, b in zip(own, times["VALOR"], strict=True))
        table.add_row([name, f"{1000 * min(own):.0f}", f"{ratio:.2f}"])
    print(table)


if __name__ == "__main__":
    command.run(main, get_args_parser())
