"""Download everything that training and testing on LLP need, and check that it is complete.

    python utils/download_features.py                    # all: 11 GB to fetch, as much again when unpacked
    python utils/download_features.py --parts csv r2plus1d_18 CLIP CLAP models      # what VALOR++ alone needs
    python utils/download_features.py --check            # check names, sizes, shapes; --deep: every number

Fetches LLP's CSVs, the base features, CLIP's and CLAP's features and pseudo labels, and the trained models, unpacks
them in data/ and models/, and checks that every video of the CSVs has its files. Existing files are kept. The command
can be interrupted; rerun it to resume. An archive that you saved as data/archives/feats.zip (CLIP.zip, CLAP.zip) is
used instead of fetching it.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import contextlib
import os
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import locked
from utils.download.release import BASE, CSV_URL, FEATS_URL, REVISIONS
from utils.download.run import Download
from utils.llp.datasets import LLP, read_dataset

PARTS = ("csv", "feats", *BASE, "CLIP", "CLAP", "models")


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="download_features.py", description=__doc__)
    add = parser.add_argument_group("what").add_argument
    help_text = f"some of {', '.join(PARTS)}; feats is {', '.join(BASE)} (default: all)"
    add("--parts", nargs="+", choices=PARTS, metavar="PART", default=PARTS, help=help_text)
    help_text = "version of LLP's audio annotations; the paper's numbers used 2020's. Replaces the other one (default: "
    add("--annotations", choices=sorted(REVISIONS), help=f"{help_text}the existing one, else 2024)")
    flags.add_dataset_flags(parser)
    add = parser.add_argument_group("where").add_argument
    add("--data_dir", type=Path, default="./data", help="folder of the data")
    add("--model_save_dir", type=Path, default="./models", help="of the models")
    add("--archive_dir", type=Path, metavar="DIR", help="of the archives (default: DATA_DIR/archives)")
    add("--keep_archives", action="store_true", help="keep archives after unpacking")
    help_text = "address of the CSVs, with {revision} and {name} (default: LLP's repository)"
    add("--csv_url", default=CSV_URL, metavar="URL", help=help_text)
    help_text = "of the base features (default: Google Drive); for the rest set HF_ENDPOINT in the environment"
    add("--feats_url", default=FEATS_URL, metavar="URL", help=help_text)
    add = parser.add_argument_group("checks").add_argument
    add("--check", action="store_true", help="fetch nothing, only check existing files")
    add("--deep", action="store_true", help="read every file, to find NaN and damage")
    workers, help_text = min(8, os.cpu_count() or 1), "files unpacked or checked at a time"
    parser.add_argument("--workers", type=flags.positive_int, default=workers, help=help_text)
    return parser


def main(args: argparse.Namespace) -> int:
    """Fetch and check, or only check. The exit status is 1 if files are missing, wrong or could not be fetched.

    Raises InputError for another data set than LLP.
    """
    archive_dir, dataset = args.archive_dir or args.data_dir / "archives", read_dataset(args.dataset, args.classes)
    if dataset.name != LLP.name:
        raise InputError(f"{dataset.name}: only LLP's files can be fetched; docs/DATASETS.md says where others are")
    folders = args.data_dir, args.model_save_dir, archive_dir
    download = Download(args.parts, *folders, dataset, args.annotations, args.workers)
    if not args.check:
        with contextlib.ExitStack() as stack:
            for folder in sorted(set(folders)):
                busy = f"{folder}: another process is downloading to it"
                stack.enter_context(locked(f"download {folder.resolve()}", busy))
            download.fetch(args.csv_url, args.feats_url, args.keep_archives)
    valid = download.report(args.deep)
    if download.problems:
        print(f"{len(download.problems)} parts failed (see above); rerun this command to resume")
    return 0 if valid and not download.problems else command.EXIT_SOME_FAILED


if __name__ == "__main__":
    command.run(main, get_args_parser())
