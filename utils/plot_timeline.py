"""Draw which events were annotated and which predicted, on the time axis of each video.

    python utils/plot_timeline.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data --out timeline.png

One panel per video and modality; in it a row per event class, annotated above, predicted below.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.llp.annotations import read_predictions, read_reference
from utils.llp.classes import read_class_names
from utils.llp.videos import read_split
from utils.report import figures
from utils.report.timelines import plot_timelines


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="plot_timeline.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="file names to draw (default: the first --count)")
    parser.add_argument("--count", type=flags.positive_int, default=4, help="videos to draw")
    parser.add_argument("--title", default="", help="title of the figure")
    parser.add_argument("--out", type=Path, required=True, help="figure to write: .png, .pdf or .svg")
    return parser


def main(args: argparse.Namespace) -> None:
    """Draw. Raises InputError for bad input."""
    figures.require_format("--out", args.out)
    listed = read_split(args.label_csv, weak_labels=False).filenames
    filenames = args.videos or listed[: args.count]
    unknown = [name for name in filenames if name not in listed]
    if unknown:
        raise InputError(f"--videos {unknown[0]}: not in {args.label_csv}")
    class_names = read_class_names(args.classes)
    predictions, _ = read_predictions(args.pred_dir, listed, args.label_csv, class_names)
    truth = read_reference(args.gt_dir, filenames, class_names)
    chosen = [listed.index(name) for name in filenames]
    predictions = {modality: segments[chosen] for modality, segments in predictions.items()}
    references = {"audio": truth.audio, "visual": truth.visual}
    plot_timelines(args.out, filenames, references, predictions, class_names, title=args.title)
    print(args.out)


if __name__ == "__main__":
    command.run(main, get_args_parser())
