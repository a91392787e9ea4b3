"""The whole project on a synthetic data set: write it, train VALOR, test the best checkpoint, show the results.

`bash scripts/demo.sh` calls this. Everything is written to demo_output/, which is replaced.
"""

import argparse
import contextlib
import io
import shutil
import sys
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import main as valor
from utils import make_report
from utils.base import command, flags
from utils.base.files import locked
from utils.llp.annotations import Reference, read_evaluation
from utils.llp.videos import SPLIT_FILES
from utils.metrics.eval_metrics import ten_scores, video_scores
from utils.metrics.tables import score_table
from utils.report.timelines import plot_timelines
from utils.simulate import COUNTS
from utils.simulation.files import write_world
from utils.simulation.world import WORLDS, World
from utils.train import checkpoint
from utils.train.run_folder import EPOCH_LOG

if __name__ == "__main__":
    command.quiet_interrupts()

import json
import os

import torch

import nets

NOTICE = "This data is SYNTHETIC: the numbers show that the program works, and say nothing about LLP."
CLEAR = WORLDS["llp"]._replace(snr_audio=6.0, snr_visual=8.0)  # so that a few hundred videos are enough to learn


def step(title: str) -> None:
    """Announce a part of the demo."""
    print(f"\n== {title}", flush=True)


def run(*flags: str, quiet: bool = False) -> None:
    """`python main.py` with these flags."""
    args = valor.get_args_parser().parse_args(flags)
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        valor.main(args)


def demo(out: Path, counts: dict[str, int], epochs: int) -> None:
    """Run the demo in the folder `out`, which must not exist."""
    data, models = out / "data", out / "models"
    step(f"writing {sum(counts.values())} synthetic videos in LLP's layout to {data}")
    write_world(data, World(CLEAR), counts)
    given = [*flags.folder_flags(data), f"--model_save_dir={models}"]

    step(f"training VALOR on {counts['train']} of them (the published network, {epochs} epochs)")
    settings = "--seed 1000 --lr 3e-4 --scheduler warm_up_cos_anneal --warm_up_epoch 2"
    run(*given, "--mode=train", "--model_name=VALOR", f"--epochs={epochs}", *settings.split())

    step("testing the best checkpoint")
    predicted, scores = out / "predictions", out / "trained.json"
    run(*given, "--mode=test", "--model_name=VALOR", f"--save_predictions={predicted}", f"--json={scores}")

    step("compared with two baselines, on the same test videos")
    torch.manual_seed(1000)
    checkpoint.save(models / "untrained" / checkpoint.BEST, nets.build().state_dict())
    run(*given, "--mode=test", "--model_name=untrained", f"--json={out / 'untrained.json'}", quiet=True)
    evaluation = read_evaluation([predicted], data / SPLIT_FILES["test"], data)
    rows = {
        "nothing predicted": score_nothing(evaluation.reference),
        "untrained network": json.loads((out / "untrained.json").read_text()),
        f"VALOR, {epochs} epochs": json.loads(scores.read_text()),
    }
    print(score_table(rows, "Synthetic test"))

    figure, page = out / "timeline.png", out / "results.html"
    title = "Synthetic videos: reference and predicted events"
    plot_timelines(figure, evaluation, busiest_videos(evaluation.reference), title)
    step("the page of the test run")
    settings = {
        "pred_dir": predicted,
        "name": "VALOR",
        "label_csv": data / SPLIT_FILES["test"],
        "gt_dir": data,
        "log": models / "VALOR" / EPOCH_LOG,
        "out": page,
    }
    report_flags = [f"--{name}={value}" for name, value in settings.items()]
    make_report.main(make_report.get_args_parser().parse_args(report_flags))
    print(f"\nTimelines, reference and predicted: {figure}")
    print(f"Scores, training curves and all test videos, to open in a browser: {page.resolve().as_uri()}\n{NOTICE}")


def score_nothing(reference: Reference) -> dict[str, float]:
    """Scores of a parser that never predicts an event."""
    nothing = reference.audio & False
    return ten_scores(video_scores(nothing, nothing, reference.audio, reference.visual))


def busiest_videos(reference: Reference) -> list[int]:
    """Indices of the four videos with the most onsets and offsets."""
    boundaries = sum((x[..., 1:] != x[..., :-1]).sum((1, 2)) for x in (reference.audio, reference.visual))
    return boundaries.argsort(kind="stable")[::-1][:4].tolist()


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the demo."""
    parser = flags.ArgumentParser(prog="demo.py", description=__doc__.splitlines()[0])
    for split, count in COUNTS.items():
        parser.add_argument(f"--{split}", type=flags.positive_int, default=count, help="synthetic videos")
    parser.add_argument("--epochs", type=flags.positive_int, default=8, help="passes over the training videos")
    return parser


def main(args: argparse.Namespace) -> None:
    """Run in demo_output/, which is replaced."""
    print(NOTICE)
    os.chdir(Path(__file__).resolve().parents[1])
    out = Path("demo_output")
    with locked(f"demo {out.resolve()}", f"{out}: another demo is writing to it; wait for its end"):
        if out.exists():
            shutil.rmtree(out)
        demo(out, {split: getattr(args, split) for split in SPLIT_FILES}, args.epochs)


if __name__ == "__main__":
    command.run(main, get_args_parser())
