"""What decoding in processes of its own costs: videos read per second, beside decoding in the command's own threads.

    python benchmarks/bench_isolated.py --video ../shared/video/BjCEufrlXm4.mp4

Reads copies of a video as the extractors of features do, with the networks' own preprocessing but without the networks,
which take longer than reading. Both ways take turns.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prettytable import PrettyTable

from utils.base import command, flags
from utils.base.read_ahead import read_ahead
from utils.extract import features
from utils.features.kinds import KINDS
from utils.llp.videos import Video

WAYS = {"own process": features.isolated, "threads": lambda function, *args: function(*args)}


def prepares() -> dict[str, object]:
    """The preprocessing of three kinds of features."""
    from utils.encoders import clip, vggish, visual

    return {
        "vggish": vggish.prepare,
        "CLIP": lambda image: clip.preprocess(image, 224, (0.5,) * 3, (0.25,) * 3),
        "res152": visual.ARCHITECTURES["res152"].prepare,
    }


def measure(kind: str, prepare, folder: Path, videos: list[Video], workers: int) -> float:
    """Videos read per second."""
    extractor = features.FeatureExtractor(KINDS[kind], folder, False, "--out", "-1", "fp32")
    extractor.prepare = prepare
    begin = time.perf_counter()
    for result in read_ahead(extractor.read, videos, workers, 2 * workers):
        if result.error:
            raise result.error
    return len(videos) / (time.perf_counter() - begin)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_isolated.py", description=__doc__)
    parser.add_argument("--video", type=Path, required=True, help="a clip with picture and sound")
    parser.add_argument("--copies", type=flags.positive_int, default=24, help="of the clip")
    parser.add_argument("--rounds", type=flags.positive_int, default=5, help="of both ways in turn")
    parser.add_argument("--workers", type=flags.positive_int, default=2, help="videos that are read at a time")
    return parser


def main(args: argparse.Namespace) -> int:
    """Print a table."""
    table = PrettyTable(["features", *(f"{way}, videos/s" for way in WAYS), "ratio (median)"])
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        videos = [Video(0, f"copy{number:07d}", None, "") for number in range(args.copies)]
        for video in videos:
            shutil.copy(args.video, folder / f"{video.filename}{args.video.suffix}")
        for kind, prepare in prepares().items():
            rates = {way: [] for way in WAYS}
            for _ in range(args.rounds + 1):  # the first one warms up
                for way, isolated in WAYS.items():
                    features.isolated = isolated
                    rates[way].append(measure(kind, prepare, folder, videos, args.workers))
            ratio = statistics.median(a / b for a, b in zip(*(r[1:] for r in rates.values()), strict=True))
            table.add_row([kind, *(f"{statistics.median(r[1:]):.2f}" for r in rates.values()), f"{ratio:.3f}"])
    print(table)
    return 0


if __name__ == "__main__":
    command.run(main, get_args_parser())
