"""A command like the teachers', without a network: reads <id>.txt, takes its time. Lists, shards and kills are real."""

import argparse
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.npy import Layout
from utils.extract.outputs import Extractor, Output, extract
from utils.extract.runner import Settings
from utils.extract.videos import list_videos
from utils.llp.classes import T

LAYOUT = Layout((T,), None, np.float32, "synthetic features")


def get_args_parser() -> argparse.ArgumentParser:
    parser = flags.ArgumentParser(prog="slow_teacher.py")
    parser.add_argument("--label_all_dataset", type=Path, default=Path("list.csv"))
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a batch takes")
    flags.add_extraction_flags(parser)
    return parser


class SlowExtractor(Extractor):
    """Arrays of a number that is read from a file."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def read(self, video):
        text = Path("in", f"{video.id}.txt").read_text()
        if text == "bad":
            raise InputError(f"{video.id}.txt: is bad,\nvery bad")
        return float(text), float(text)

    def compute(self, contents, videos):
        time.sleep(self.seconds)
        arrays = [np.full((T, 4), value, np.float32) for value in contents]
        return [{"--first": array, "--second": -array} for array in arrays]


def main(args: argparse.Namespace) -> int:
    outputs = {f"--{name}": Output(Path("out", name), LAYOUT) for name in ("first", "second")}
    videos = list_videos(args.label_all_dataset, weak_labels=True)
    return extract("toy", SlowExtractor(args.seconds), videos, outputs, Settings.of(vars(args)))


if __name__ == "__main__":
    command.run(main, get_args_parser())
