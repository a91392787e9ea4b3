"""Score anyone's predictions on LLP: ten F-scores, per video, per class.

    python utils/score_predictions.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data

DIR holds pred_audio.csv and pred_visual.csv, tab-separated `filename, onset, offset, event_labels` as in
AVVP_eval_audio.csv: seconds onset to offset of that video hold that event. A video without rows predicted nothing.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_writable, write_json
from utils.llp.annotations import read_predictions, read_reference
from utils.llp.classes import read_class_names
from utils.llp.videos import read_split
from utils.metrics.eval_metrics import ten_scores, video_scores
from utils.metrics.tables import class_report, score_table, write_video_scores


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the scorer."""
    parser = flags.ArgumentParser(prog="score_predictions.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--json", type=Path, metavar="F", help="write the ten scores to this file")
    parser.add_argument("--per_video", type=Path, metavar="F", help="write a CSV with eight scores of each video")
    parser.add_argument("--classwise", action="store_true", help="print the scores of each class, too")
    return parser


def main(args: argparse.Namespace) -> None:
    """Score and print. Raises InputError for bad input."""
    require_writable("--json", args.json)
    require_writable("--per_video", args.per_video)
    class_names = read_class_names(args.classes)
    filenames = read_split(args.label_csv, weak_labels=False).filenames
    if len(set(filenames)) < len(filenames):
        raise InputError(f"{args.label_csv}: lists a video twice; expected a split such as AVVP_test_pd.csv")
    predictions, quirks = read_predictions(args.pred_dir, filenames, args.label_csv, class_names)
    truth = read_reference(args.gt_dir, filenames, class_names)
    for line in (*quirks, *truth.quirks):
        print(f"note: {line}", file=sys.stderr)

    audio, visual = predictions["audio"], predictions["visual"]
    per_video = video_scores(audio, visual, truth.audio, truth.visual)
    scores = ten_scores(per_video)
    print(f"Annotations: {truth.version}")
    print(score_table({args.label_csv.stem: scores}))
    if args.classwise:
        print(class_report(audio, visual, truth, class_names))
    if args.json:
        write_json(args.json, scores)
    if args.per_video:
        write_video_scores(args.per_video, filenames, per_video)


if __name__ == "__main__":
    command.run(main, get_args_parser())
