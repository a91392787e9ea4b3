"""A tool like the teachers', without a network: reads <id>.txt, takes its time. Lists, shards and kills are real."""

import argparse
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from utils import cli, extraction, llp
from utils.arrays import Layout
from utils.cli import InputError

LAYOUT = Layout((llp.T,), None, np.float32, "made-up features")


def get_args_parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(prog="slow_teacher.py")
    parser.add_argument("--label_all_dataset", type=Path, default=Path("list.csv"))
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a batch takes")
    extraction.add_flags(parser)
    return parser


def main(args: argparse.Namespace) -> int:
    def load():
        def read(video):
            text = Path("in", f"{video.id}.txt").read_text()
            if text == "bad":
                raise InputError(f"{video.id}.txt: is bad,\nvery bad")
            return extraction.Segments(float(text), float(text))

        def compute(contents, videos):
            time.sleep(args.seconds)
            arrays = [np.full((llp.T, 4), value, np.float32) for value in contents]
            return [{"--first": array, "--second": -array} for array in arrays]

        return read, compute

    outputs = {f"--{name}": extraction.Output(Path("out", name), LAYOUT) for name in ("first", "second")}
    videos = extraction.list_videos(args.label_all_dataset, llp.CLASS_NAMES)
    return extraction.extract("toy", args, videos, outputs, load)


if __name__ == "__main__":
    cli.run(main, get_args_parser())
