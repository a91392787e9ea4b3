"""Score predictions on LLP, of this program or any other: ten F-scores, per video, per class.

    python utils/score_predictions.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data

DIR holds pred_audio.csv and pred_visual.csv, tab-separated `filename, onset, offset, event_labels` as in
AVVP_eval_audio.csv: from second `onset` to `offset` the video has that event. A video without rows has no events.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.files import require_writable, write_json
from utils.llp.annotations import read_evaluation
from utils.metrics.eval_metrics import ten_scores, video_scores
from utils.metrics.tables import class_report, score_table, write_video_scores


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="score_predictions.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--json", type=Path, metavar="F", help="write the ten scores to this file")
    parser.add_argument("--per_video", type=Path, metavar="F", help="write a CSV with eight scores of each video")
    parser.add_argument("--classwise", action="store_true", help="also print the scores of each class")
    return parser


def main(args: argparse.Namespace) -> None:
    """Score and print. Raises InputError for bad input."""
    require_writable("--json", args.json)
    require_writable("--per_video", args.per_video)
    evaluation = read_evaluation([args.pred_dir], args.label_csv, args.gt_dir, args.classes)
    for line in evaluation.issues:
        print(f"note: {line}", file=sys.stderr)

    reference, (audio, visual, _) = evaluation.reference, evaluation.predictions[0]
    per_video = video_scores(audio, visual, reference.audio, reference.visual)
    scores = ten_scores(per_video)
    print(f"Annotations: {reference.version}")
    print(score_table({args.label_csv.stem: scores}))
    if args.classwise:
        print(class_report(audio, visual, reference, evaluation.class_names))
    if args.json:
        write_json(args.json, scores)
    if args.per_video:
        write_video_scores(args.per_video, evaluation.split.filenames, per_video)


if __name__ == "__main__":
    command.run(main, get_args_parser())
