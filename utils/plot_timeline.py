"""Draw the reference and predicted events of videos on a time axis.

    python utils/plot_timeline.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data --out timeline.png

One panel for each video and modality; in it a row for each event class, reference above, prediction below.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.files import require_figure_name
from utils.llp.annotations import read_evaluation
from utils.llp.carried import predictions_dataset


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="plot_timeline.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="file names to draw (default: the first --count)")
    parser.add_argument("--count", type=flags.positive_int, default=4, help="videos to draw")
    parser.add_argument("--title", default="", help="title of the figure")
    parser.add_argument("--out", type=Path, required=True, help="figure to write: .png, .pdf or .svg")
    return parser


def main(args: argparse.Namespace) -> None:
    """Draw. Raises InputError for bad input."""
    require_figure_name("--out", args.out)
    dataset = predictions_dataset(args.pred_dir, args.dataset, args.classes)
    evaluation = read_evaluation([args.pred_dir], args.label_csv, args.gt_dir, dataset)
    chosen = evaluation.indices("--videos", args.videos or evaluation.split.filenames[: args.count])
    from utils.report.timelines import plot_timelines  # matplotlib, which --help does without

    plot_timelines(args.out, evaluation, chosen, args.title)
    print(args.out)


if __name__ == "__main__":
    command.run(main, get_args_parser())
