"""Time of parsing a video against the sum of the feature networks' own forward passes.

    python benchmarks/bench_parse.py --weights DIR --video VIDEO.mp4 [--features CLAP CLIP --gpu 0]

DIR is what benchmarks/synthetic_weights.py writes. Parsing is everything from the file to the six outputs, without
loading networks; the forward passes are of the same windows, already decoded and prepared, one network after another.
The two are timed in turn; figures are medians, the ratio is the median of the ratios of the turns.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch

from utils.base import command, flags
from utils.base.devices import network_device
from utils.base.errors import InputError
from utils.features.kinds import KINDS, kinds_of
from utils.parse.outputs import write_outputs
from utils.parse.parser import VideoParser

WANTED = 1.10  # parsing / forward passes


def make_parser(args: argparse.Namespace, work: Path) -> VideoParser:
    """A parser with random weights, of VALOR++'s size, and the networks of its features."""
    from nets import MMIL_Net

    torch.manual_seed(0)
    net = MMIL_Net(*(KINDS[name].size for name in args.features), hidden_dim=256, num_layers=4)
    torch.save(net.state_dict(), work / "parser.pt")
    checkpoints = {name: args.weights / f"{name.lower()}.pt" for name in KINDS}
    device = network_device(args.gpu, args.precision)
    return VideoParser.load(work / "parser.pt", checkpoints=checkpoints, device=device, precision=args.precision)


def parse(parser: VideoParser, video: Path, out: Path) -> float:
    """Seconds from the file to its outputs."""
    start = time.perf_counter()
    write_outputs(out, parser.parse(video), 0.5, parser.model, embed=False)
    return time.perf_counter() - start


def forward(parser: VideoParser, windows: list[dict]) -> dict[str, float]:
    """Seconds of each encoder's forward passes, by the name of its kind."""
    seconds = {}
    for encoder in parser.encoders:
        name, start = encoder.kind.name, time.perf_counter()
        for window in windows:
            if name in window:
                encoder.embed([window[name]])
        seconds[name] = time.perf_counter() - start
    return seconds


def collect(parser: VideoParser, video: Path) -> tuple[list[dict], int]:
    """The encoders' inputs of each window, and the number of segments; a first run to warm up."""
    windows, embed = [], parser.embed
    parser.embed = lambda window: windows.append(window) or embed(window)
    segments = len(parser.parse(video).frame_prob)
    parser.embed = embed
    return windows, segments


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_parse.py", description=__doc__)
    parser.add_argument("--video", type=Path, required=True, help="a media file with picture and sound")
    parser.add_argument("--weights", type=Path, required=True, help="folder of synthetic weights")
    parser.add_argument(
        "--features",
        nargs=2,
        default=["CLAP", "CLIP"],
        metavar=("AUDIO", "VISUAL"),
        help="CLAP or vggish, CLIP or res152",
    )
    parser.add_argument("--repeats", type=flags.positive_int, default=3, help="of each")
    parser.add_argument("--gpu", default="-1", help="CUDA device, -1: CPU")
    parser.add_argument("--precision", choices=flags.PRECISIONS, default="fp32")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    if not args.video.is_file():
        raise InputError(f"{args.video}: no such file")
    known = [[kind.name for kind in kinds_of(stream)] for stream in ("audio", "visual")]
    if any(name not in names for name, names in zip(args.features, known, strict=True)):
        raise InputError(f"--features {' '.join(args.features)}: expected vggish or CLAP, then res152 or CLIP")
    work = Path(tempfile.mkdtemp(prefix="valor-bench-"))
    try:
        parser = make_parser(args, work)
        windows, segments = collect(parser, args.video)
        print(
            f"{os.cpu_count()} CPU cores, {parser.device}, {args.precision}, torch {torch.__version__}: "
            f"{segments} s of video in {len(windows)} windows",
            flush=True,
        )
        turns = [(parse(parser, args.video, work / "out"), forward(parser, windows)) for _ in range(args.repeats)]
    finally:
        shutil.rmtree(work)
    parts = {name: float(np.median([own[name] for _, own in turns])) for name in turns[0][1]}
    whole, alone = (np.array(x) for x in zip(*((seconds, sum(own.values())) for seconds, own in turns), strict=True))
    print("forward passes: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items()))
    print(
        f"parsing {np.median(whole):.2f} s, forward passes {np.median(alone):.2f} s, "
        f"ratio {np.median(whole / alone):.3f} (wanted {WANTED:.2f})"
    )


if __name__ == "__main__":
    command.run(main, get_args_parser())
