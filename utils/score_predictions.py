"""Score predictions on a data set, of this program or any other: F-scores, per video, per class, and its own scores.

    python utils/score_predictions.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data
    python utils/score_predictions.py --dataset data/lfav/dataset.yaml --probabilities FILE.npz

DIR holds pred_audio.csv and pred_visual.csv, tab-separated `filename, onset, offset, event_labels` as in the data set's
annotations, AVVP_eval_audio.csv for LLP: from second `onset` to `offset` the video has that event. A video without rows
has no events. FILE.npz holds probabilities, as docs/DATASETS.md describes them; main.py --save_predictions writes both.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_writable, write_json
from utils.llp.annotations import Reference, read_evaluation, read_reference
from utils.llp.carried import carried_dataset
from utils.llp.datasets import DataSet
from utils.llp.events import Segments
from utils.llp.probabilities import Probabilities, read_probabilities
from utils.llp.videos import read_split
from utils.metrics import protocols
from utils.metrics.tables import class_report, plain_scores, write_video_scores


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="score_predictions.py", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    flags.add_pred_dir_flag(source)
    source.add_argument("--probabilities", type=Path, metavar="FILE", help="probabilities of the videos, an .npz file")
    flags.add_reference_flags(parser)
    text = (
        "of accuracy: the highest frame_score of a second; the video's event if the gate is open; or the event that is "
    )
    text += "decided, by frame_prob and global_prob if the file has them, else by event and gate"
    parser.add_argument("--rule", choices=protocols.RULES, help=f"{text} (default: event)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the scores to this file")
    parser.add_argument("--per_video", type=Path, metavar="F", help="write a CSV with the scores of each video")
    parser.add_argument("--classwise", action="store_true", help="also print the scores of each class")
    return parser


class Scored(NamedTuple):
    """What is scored: N videos, their reference, and decisions or probabilities for them."""

    filenames: list[str]
    reference: Reference
    decided: tuple[Segments, Segments] | None  # audio and visual, (N, C, T)
    said: Probabilities | None
    issues: list[str]


def read(args: argparse.Namespace, dataset: DataSet) -> Scored:
    """What the flags name. Raises InputError for bad input."""
    if args.pred_dir:
        found = read_evaluation([args.pred_dir], args.label_csv, args.gt_dir, dataset)
        return Scored(found.split.filenames, found.reference, found.predictions[0][:2], None, found.issues)
    paths = dataset.paths({"label_csv": args.label_csv, "gt_dir": args.gt_dir})
    filenames = read_split(paths["label_csv"], dataset, weak_labels=False).filenames
    said = read_probabilities(args.probabilities, filenames, dataset)
    reference = read_reference(paths["gt_dir"], filenames, dataset, said.lengths)
    is_decided = not said.missing(dataset) or dataset.metrics != "accuracy"
    decided = protocols.decide(dataset, said) if is_decided else None
    return Scored(filenames, reference, decided, said, reference.issues)


def main(args: argparse.Namespace) -> None:
    """Score and print. Raises InputError for bad input."""
    require_writable("--json", args.json)
    require_writable("--per_video", args.per_video)
    folder = args.pred_dir or args.probabilities.parent
    dataset = carried_dataset(folder, args.dataset, args.classes)
    if args.rule and dataset.metrics != "accuracy":
        raise InputError(f"--rule has no meaning with {dataset.name}, which is not scored by accuracy")
    scored = read(args, dataset)
    for line in [*scored.issues, *(protocols.never_annotated(dataset, scored.reference) if scored.said else ())]:
        print(f"note: {line}", file=sys.stderr)

    per_video, scores = protocols.all_scores(
        dataset, scored.said, scored.decided, scored.reference, args.rule or "event"
    )
    print(f"Annotations: {scored.reference.version}")
    name = (args.label_csv or dataset.path(dataset.splits["test"])).stem
    print(protocols.tables_text(dataset, {name: scores}))
    if args.classwise and scored.decided:
        print(class_report(*scored.decided, scored.reference, dataset.class_names, dataset.av_only))
    if args.json:
        write_json(args.json, plain_scores(scores))
    if args.per_video:
        write_video_scores(args.per_video, scored.filenames, per_video)


if __name__ == "__main__":
    command.run(main, get_args_parser())
