"""What videos of different lengths cost: arithmetic and time of training, memory of an hour, time of scoring.

    python benchmarks/bench_lengths.py

Prints the arithmetic of an epoch of padded batches over that of the videos one by one without padding, counted by
torch's FlopCounterMode; the time of the epoch over that of the same arithmetic without padding, at the speed of batches
of equal lengths; the peak memory of evaluating a video of one hour; and time and memory of scoring 968 videos of LFAV's
lengths, with and without one of an hour.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import nets
from nets.fast import accelerate
from utils.features.lengths import batches_of, similar_lengths
from utils.llp.probabilities import Probabilities
from utils.llp.ragged import Ragged
from utils.metrics.average_precision import mean_average_precision
from utils.metrics.eval_metrics import binarize, video_scores

C, SIZES, BATCH = 35, (512, 768, 512), 16


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = argparse.ArgumentParser(prog="bench_lengths.py", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=200, help="of the epoch")
    parser.add_argument("--longest", type=int, default=300, help="seconds; lengths are drawn like LFAV's, log-normal")
    parser.add_argument("--part", choices=("hour", "score", "score_hour"), help="measure one thing, in this process")
    return parser


def lengths_like_lfav(count: int, longest: int, seed: int = 0) -> np.ndarray:
    """(N,) seconds: log-normal with LFAV's median of 165 and a mean of 190, cut at `longest`."""
    drawn = np.exp(np.log(165) + 0.55 * np.random.default_rng(seed).standard_normal(count))
    return drawn.clip(5, longest).astype(np.int64)


def batch_of(lengths: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Random inputs of videos of these lengths, padded."""
    longest = int(lengths.max())
    return [torch.randn(len(lengths), longest, size) for size in SIZES], lengths


def step(net: nets.Parser, inputs: list[torch.Tensor], lengths: torch.Tensor | None) -> None:
    """Forward and backward."""
    out = net(*inputs, lengths)
    (out.global_prob.sum() + out.frame_prob.sum()).backward()


def training(count: int, longest: int) -> None:
    """Print ratios of arithmetic and time of an epoch."""
    net = accelerate(nets.MMIL_Net(*SIZES[:2], num_classes=C)).train()
    lengths = torch.from_numpy(lengths_like_lfav(count, longest))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    batches = [lengths[videos] for videos in batches_of(similar_lengths(lengths), lengths, BATCH, order)]

    def flops(parts: list[torch.Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            for part in parts:
                step(net, *batch_of(part))
        return counter.get_total_flops()

    padded, valid = flops(batches), flops(list(lengths.split(1)))
    start = time.perf_counter()
    for part in batches:
        step(net, *batch_of(part))
    seconds = time.perf_counter() - start
    equal = [torch.full_like(part, int(part.max())) for part in batches]  # the same shapes, nothing to mask
    start = time.perf_counter()
    for part in equal:
        inputs, _ = batch_of(part)
        step(net, inputs, None)
    print(f"{count} videos of {lengths.min()} to {lengths.max()} s, {len(batches)} batches")
    print(f"arithmetic: {padded / valid:.3f} of that of the valid seconds ({valid / 1e12:.2f} TFLOP)")
    print(f"time: {seconds / (time.perf_counter() - start):.3f} of the same shapes without lengths")


def peak() -> float:
    """Peak memory of this process, GB. Not by getrusage, which begins with the peak of the parent."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def hour() -> None:
    """Print the memory of evaluating one hour."""
    net = accelerate(nets.MMIL_Net(*SIZES[:2], num_classes=C)).eval()
    inputs, _ = batch_of(torch.tensor([3600]))
    before = peak()
    with torch.no_grad():
        net(*inputs)
    print(f"one hour evaluated: {peak() - before:.2f} GB more than before")


def score(with_hour: bool) -> None:
    """Print time and memory of scoring."""
    lengths = lengths_like_lfav(968, 1059)
    lengths = np.append(lengths[:-1], 3600) if with_hour else lengths
    rng = np.random.default_rng(1)
    truth = [Ragged(rng.random((lengths.sum(), C)) < 0.04, lengths) for _ in range(2)]
    said = Probabilities(
        lengths, rng.random((lengths.sum(), 2, C), np.float32), video_prob=rng.random((len(lengths), 2, C), np.float32)
    )
    before, start = peak(), time.perf_counter()
    video_scores(*binarize(said.video_prob, said.frame_prob, lengths=lengths), *truth)
    middle = time.perf_counter()
    mean_average_precision(said.frame_prob, truth[0].rows, truth[1].rows)
    end = time.perf_counter()
    what = "968 videos, one of an hour" if with_hour else "968 videos"
    times = f"F-scores {middle - start:.2f} s, mAP {end - middle:.2f} s"
    print(f"{what}, {lengths.sum()} s: {times}, {peak() - before:.2f} GB more than before")


def main(args: argparse.Namespace) -> None:
    """Measure; each memory in a process of its own."""
    torch.set_num_threads(1)
    if args.part:
        {"hour": hour, "score": lambda: score(False), "score_hour": lambda: score(True)}[args.part]()
        return
    training(args.videos, args.longest)
    for part in ("hour", "score", "score_hour"):
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, "--part", part], check=True)


if __name__ == "__main__":
    main(get_args_parser().parse_args())
