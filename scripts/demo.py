"""The main job on a made-up data set: write it, train VALOR, test the best checkpoint, show what it says.

`bash scripts/demo.sh` calls this. Everything goes under demo_output/, which is made anew.
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
from utils.llp.annotations import read_predictions, read_reference
from utils.llp.videos import SPLIT_FILES, read_split
from utils.make_lookalike import COUNTS, write_lookalike
from utils.metrics.eval_metrics import ten_scores, video_scores
from utils.metrics.tables import score_table
from utils.report.timelines import plot_timelines
from utils.train import checkpoint
from utils.train.run_folder import EPOCH_LOG

if __name__ == "__main__":
    command.quiet_interrupts()

import json
import os

import torch

from nets import MMIL_Net

NOTICE = "This data is MADE UP: the numbers show that the program works, and say nothing about LLP."


def step(title: str) -> None:
    """Announce a part of the demo."""
    print(f"\n== {title}", flush=True)


def run(*flags: str | Path, quiet: bool = False) -> None:
    """`python main.py` with these flags."""
    args = valor.get_args_parser().parse_args([str(flag) for flag in flags])
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        valor.main(args)


def demo(out: Path, counts: dict[str, int], epochs: int) -> None:
    """Run the demo in the folder `out`, which must not exist."""
    data, models = out / "data", out / "models"
    step(f"writing {sum(counts.values())} made-up videos in LLP's layout to {data}")
    write_lookalike(data, counts, seed=0)
    flags = [
        "--audio_dir",
        data / "feats/vggish",
        "--video_dir",
        data / "feats/res152",
        "--st_dir",
        data / "feats/r2plus1d_18",
        "--a_pseudo_data_dir",
        data / "CLAP/segment_pseudo_labels",
        "--v_pseudo_data_dir",
        data / "CLIP/segment_pseudo_labels",
        "--label_train",
        data / SPLIT_FILES["train"],
        "--label_val",
        data / SPLIT_FILES["val"],
        "--label_test",
        data / SPLIT_FILES["test"],
        "--gt_dir",
        data,
        "--model_save_dir",
        models,
    ]

    step(f"training VALOR on {counts['train']} of them (the published network, {epochs} epochs)")
    run(
        *flags,
        "--mode",
        "train",
        "--model_name",
        "VALOR",
        "--seed",
        1000,
        "--epochs",
        epochs,
        "--lr",
        3e-4,
        "--scheduler",
        "warm_up_cos_anneal",
        "--warm_up_epoch",
        2,
    )

    step("testing the best checkpoint")
    predicted = out / "predictions"
    run(
        *flags,
        "--mode",
        "test",
        "--model_name",
        "VALOR",
        "--save_predictions",
        predicted,
        "--json",
        out / "trained.json",
    )

    step("beside two baselines, on the same test videos")
    torch.manual_seed(1000)
    checkpoint.save(models / "untrained" / checkpoint.BEST, MMIL_Net().state_dict())
    run(*flags, "--mode", "test", "--model_name", "untrained", "--json", out / "untrained.json", quiet=True)
    rows = {
        "nothing predicted": score_nothing(data),
        "untrained network": json.loads((out / "untrained.json").read_text()),
        f"VALOR, {epochs} epochs": json.loads((out / "trained.json").read_text()),
    }
    print(score_table(rows, "Made-up test"))

    figure = draw(data, predicted, out / "timeline.png")
    step("the test run as a page")
    page = out / "results.html"
    make_report.main(
        make_report.get_args_parser().parse_args(
            [
                "--pred_dir",
                str(predicted),
                "--label_csv",
                str(data / SPLIT_FILES["test"]),
                "--gt_dir",
                str(data),
                "--log",
                str(models / "VALOR" / EPOCH_LOG),
                "--out",
                str(page),
            ]
        )
    )
    print(f"\nTimelines, annotated and predicted: {figure}")
    print(f"Scores, training curves and all test videos, to open in a browser: {page.resolve().as_uri()}\n{NOTICE}")


def score_nothing(data: Path) -> dict[str, float]:
    """Scores of a parser that never predicts an event, on the test videos."""
    filenames = read_split(data / SPLIT_FILES["test"], weak_labels=False).filenames
    truth = read_reference(data, filenames)
    nothing = truth.audio & False
    return ten_scores(video_scores(nothing, nothing, truth.audio, truth.visual))


def draw(data: Path, predicted: Path, path: Path) -> Path:
    """Timelines of four test videos in which most happens."""
    filenames = read_split(data / SPLIT_FILES["test"], weak_labels=False).filenames
    truth = read_reference(data, filenames)
    boundaries = (truth.audio[..., 1:] != truth.audio[..., :-1]).sum((1, 2))
    boundaries += (truth.visual[..., 1:] != truth.visual[..., :-1]).sum((1, 2))
    chosen = boundaries.argsort(kind="stable")[::-1][:4]
    predictions, _ = read_predictions(predicted, filenames, data / SPLIT_FILES["test"])
    plot_timelines(
        path,
        [filenames[i] for i in chosen],
        {"audio": truth.audio[chosen], "visual": truth.visual[chosen]},
        {modality: segments[chosen] for modality, segments in predictions.items()},
        title="Made-up videos: annotated and predicted events",
    )
    return path


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the demo."""
    parser = flags.ArgumentParser(prog="demo.py", description=__doc__.splitlines()[0])
    for split, count in COUNTS.items():
        parser.add_argument(f"--{split}", type=flags.positive_int, default=count, help="made-up videos")
    parser.add_argument("--epochs", type=flags.positive_int, default=8, help="passes over the training videos")
    return parser


def main(args: argparse.Namespace) -> None:
    """Run in demo_output/, in place of an earlier demo."""
    print(NOTICE)
    os.chdir(Path(__file__).resolve().parents[1])
    out = Path("demo_output")
    if out.exists():
        shutil.rmtree(out)
    demo(out, {split: getattr(args, split) for split in SPLIT_FILES}, args.epochs)


if __name__ == "__main__":
    command.run(main, get_args_parser())
