"""AVE, LFAV or UnAV-100, as their authors publish them, in this project's form, to train and test on with --dataset.

    python utils/convert_dataset.py ave --source AVE-ECCV18/data --out data/ave
    python utils/convert_dataset.py lfav --source LFAV/csv --out data/lfav
    python utils/convert_dataset.py unav --source UnAV-100 --out data/unav
    python main.py --dataset data/ave/dataset.yaml

What is written: dataset.yaml, train.csv, val.csv, test.csv, the annotations eval_*.csv, and features in feats/ if
--source has them. The source is never changed. It prints what it counted and found odd. The command can be
interrupted; rerun it to go on: the same files are written again, and finished features are kept.
docs/DATASETS.md describes the three data sets and what to know before comparing scores.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import importlib
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable
from utils.convert.outputs import write_converted

NAMES = ("ave", "lfav", "unav")  # each a module of utils.convert


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="convert_dataset.py", description=__doc__)
    parser.add_argument("dataset", choices=NAMES, help="which")
    help_text = "folder of the published files; of unav also the JSON file"
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help=help_text)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to, such as data/ave")
    help_text = "of ave: leave out of train the rows of videos that are in val or test, too (19 of 3,339)"
    parser.add_argument("--drop_overlap", action="store_true", help=help_text)
    return parser


def main(args: argparse.Namespace) -> None:
    """Convert a data set. Raises InputError if the published files are missing or wrong."""
    options = {"drop_overlap": True} if args.drop_overlap else {}
    if options and args.dataset != "ave":
        raise InputError(f"--drop_overlap: only for ave, in which videos are in two splits; not for {args.dataset}")
    if not args.source.exists():
        raise InputError(f"--source {args.source}: no such folder, expected the published files of {args.dataset}")
    require_writable("--out", args.out, folder=True)
    require_room_for_files("--out", args.out)
    module = importlib.import_module(f"utils.convert.{args.dataset}")  # only what it needs: one of them takes torch
    converted = module.convert(args.source, **options)
    print(*converted.notes, sep="\n", flush=True)
    print(*write_converted(converted, args.out), sep="\n")


if __name__ == "__main__":
    command.run(main, get_args_parser())
