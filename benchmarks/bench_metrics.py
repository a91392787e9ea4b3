"""Time of the metrics of an evaluation: arrays (utils/metrics/eval_metrics.py) against the tests' loops over videos.

    python benchmarks/bench_metrics.py

Synthetic predictions and reference of 1,849 videos (val and test of LLP), about as dense as LLP's; one core.
"""

import argparse
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from tests import reference_metrics
from utils.base import command, flags
from utils.make_lookalike import synthetic_events
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores


def synthetic_evaluation(videos: int) -> tuple[np.ndarray, ...]:
    """global_prob (N, C), frame_prob (N, T, 2, C) and the reference, audio and visual (N, C, T)."""
    rng = np.random.default_rng(0)
    reference = np.stack([synthetic_events(rng)[0] for _ in range(videos)])  # (N, 2, C, T)
    frame_prob = np.clip(0.7 * reference.transpose(0, 3, 1, 2) + rng.normal(0.1, 0.2, (videos, 10, 2, 25)), 0, 1)
    return frame_prob.max(axis=(1, 2)), frame_prob.astype(np.float32), reference[:, 0], reference[:, 1]


def seconds(function, repeats: int) -> list[float]:
    """Times of `repeats` calls, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_metrics.py", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=flags.positive_int, default=1849)
    parser.add_argument("--repeats", type=flags.positive_int, default=5)
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    global_prob, frame_prob, ref_audio, ref_visual = synthetic_evaluation(args.videos)

    def arrays():
        return ten_scores(video_scores(*binarize(global_prob, frame_prob), ref_audio, ref_visual))

    def loops():
        videos = zip(*binarize(global_prob, frame_prob), ref_audio, ref_visual, strict=True)
        return reference_metrics.ten_scores(
            [reference_metrics.video_scores(*map(np.ndarray.tolist, v)) for v in videos]
        )

    fast, slow = arrays(), loops()
    difference = max(abs(fast[name] - slow[name]) for name in fast)
    times = {"arrays": seconds(arrays, 4 * args.repeats), "loops": seconds(loops, args.repeats)}
    print(f"{args.videos} videos, one core, median (lowest - highest); largest difference of a score {difference:.1e}")
    for name, values in times.items():
        print(f"{name:7} {1e3 * np.median(values):8.1f} ms  ({1e3 * min(values):.1f} - {1e3 * max(values):.1f})")
    print(f"ratio   {np.median(times['loops']) / np.median(times['arrays']):8.1f} x")


if __name__ == "__main__":
    command.run(main, get_args_parser())
