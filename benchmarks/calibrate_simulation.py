"""Find dials with which the simulated teachers score what CLAP's and CLIP's labels score on LLP's test videos.

    python benchmarks/calibrate_simulation.py

For each pair of errors and leak, bisects the separation of each teacher until segment A (audio) and V (visual) are
those published. Then prints the pairs of teachers whose other three scores are the nearest, for the table WORLDS in
utils/simulation/world.py. Three minutes on one core.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import itertools

import numpy as np
from prettytable import PrettyTable

from utils.base import command, flags
from utils.metrics.eval_metrics import f_scores, mean_over_classes, segment_counts
from utils.metrics.tables import PUBLISHED_TEACHERS
from utils.simulation.scores import teacher_scores
from utils.simulation.statistics import draw_tracks, read_statistics
from utils.simulation.world import Teacher, teacher_logits

ERRORS, LEAKS = (0.02, 0.05, 0.1), (0.0, 0.1, 0.2, 0.4)
STEPS = 11  # of the bisection, between separations of 0 and MOST
MOST = 16.0


def labels(tracks: np.ndarray, modality: int, teacher: Teacher) -> np.ndarray:
    """(N, C, T) bool pseudo labels of one teacher, for (N, 2, C, T) tracks."""
    logits = teacher_logits(np.random.default_rng(modality), tracks, [teacher, teacher])[:, modality]  # (N, T, C)
    return (logits.transpose(0, 2, 1) > 0) & tracks.any(axis=(1, 3))[..., None]


def calibrated(tracks: np.ndarray, modality: int, errors: float, leak: float) -> Teacher | None:
    """The teacher with these errors and this leak whose segment score is the published one; None if there is none."""
    target, low, high = PUBLISHED_TEACHERS[("Seg-a", "Seg-v")[modality]], 0.0, MOST
    for _ in range(STEPS):
        teacher = Teacher((low + high) / 2, errors, leak)
        f = f_scores(segment_counts(labels(tracks, modality, teacher), tracks[:, modality]))
        low, high = (teacher[0], high) if 100 * mean_over_classes(f).mean() < target else (low, teacher[0])
    return teacher if high < MOST else None


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="calibrate_simulation.py", description=__doc__)
    parser.add_argument("--videos", type=flags.positive_int, default=20000, help="simulated videos")
    parser.add_argument("--rows", type=flags.positive_int, default=40, help="rows to print, the nearest first")
    return parser


def main(args: argparse.Namespace) -> None:
    """Print the table."""
    tracks = draw_tracks(np.random.default_rng(9), read_statistics(), args.videos)
    grid = list(itertools.product(ERRORS, LEAKS))
    found = [[t for pair in grid if (t := calibrated(tracks, m, *pair))] for m in (0, 1)]
    said = [{teacher: labels(tracks, m, teacher) for teacher in found[m]} for m in (0, 1)]
    rows = []
    for pair in itertools.product(*found):
        pseudo = np.stack([said[m][teacher] for m, teacher in enumerate(pair)], axis=1).transpose(0, 1, 3, 2)
        scores = teacher_scores(tracks, pseudo)
        rows.append((sum(abs(scores[name] - value) for name, value in PUBLISHED_TEACHERS.items()), *pair, scores))
    table = PrettyTable(["audio: d', errors, leak", "visual", *PUBLISHED_TEACHERS, "sum of differences"])
    table.add_row(["published", "", *PUBLISHED_TEACHERS.values(), ""])
    for distance, *pair, scores in sorted(rows, key=lambda row: row[0])[: args.rows]:
        dials = [", ".join(f"{value:.2f}" for value in teacher) for teacher in pair]
        table.add_row([*dials, *(f"{scores[name]:.1f}" for name in PUBLISHED_TEACHERS), f"{distance:.1f}"])
    print(table)


if __name__ == "__main__":
    command.run(main, get_args_parser())
