"""Annotations of Audacity, ELAN or Label Studio, as the lists and annotations that the other tools read.

    python utils/import_labels.py --labels annotations --dataset doors/dataset.yaml --split 6 2 2
    python utils/import_labels.py --labels holiday.txt --classes classes.yaml --list data/clips.csv --out data

It reads Audacity's label tracks (.txt), ELAN's documents (.eaf) and Label Studio's export as JSON. The name of a file
says which video it is of; Label Studio's file names its videos. With --list, labels may also be of recordings: the clip
holiday_20_30 gets the events of holiday from 20 to 30 s.

The text of a label is a class. `audio: Dog`, or the name of its tier or control (audio, visual, audio_visual), says
whether it is heard, seen or both; else --modality does. Times are rounded to whole segments: a segment has an event if
at least half of it is covered. An event that covers half of no segment gets the one that it covers most, the first of
two alike.

It writes the annotations of sound and of picture, and a list of the videos with the classes that happen in them. It
counts what it drops. docs/OWN_DATA.md leads from videos to a trained model.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable
from utils.convert.imported import Imported, import_labels, shown
from utils.convert.label_files import FPS, READERS, read_labels
from utils.convert.splits import split_by_recording
from utils.llp.datasets import SPLITS, DataSet, read_dataset
from utils.llp.events import write_events
from utils.llp.tables import write_table
from utils.llp.videos import SPLIT_COLUMNS, read_split

MODALITY = {"audio": ("audio",), "visual": ("visual",), "both": ("audio", "visual")}
LIST = "videos.csv"  # of data sets that have no list of all videos


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="import_labels.py", description=__doc__)
    add = parser.add_argument
    text = f"files of labels ({', '.join(READERS)}), or folders of such files"
    add("--labels", type=Path, nargs="+", required=True, metavar="PATH", help=text)
    text = "CSV of the videos, as cut_clips.py writes it (default: the videos that have labels)"
    add("--list", type=Path, metavar="CSV", help=text)
    text = "of labels that do not say it: heard, seen, or both"
    add("--modality", choices=MODALITY, default="both", help=text)
    text = "frames a second, for labels of Label Studio that are ranges of frames"
    add("--fps", type=flags.positive_float, default=FPS, help=text)
    text = "also write the lists of the three splits, with these shares of the recordings, such as 6 2 2"
    add("--split", type=flags.positive_float, nargs=len(SPLITS), metavar=tuple(map(str.upper, SPLITS)), help=text)
    add("--out", type=Path, metavar="DIR", help="folder to write to (default: that of the data set, ./data for LLP)")
    flags.add_dataset_flags(parser)
    return parser


def lists_of(found: Imported, dataset: DataSet, shares: list[float] | None) -> dict[str, list[str]]:
    """The videos with events, by the name of the list that they go to. Raises InputError if a split would be empty."""
    videos = [video for video, classes in found.weak.items() if classes]
    lists = {dataset.all_videos or LIST: videos}
    if shares:
        parts = split_by_recording(videos, shares)
        lists |= {dataset.splits[split]: part for split, part in zip(SPLITS, parts, strict=True)}
    return lists


def main(args: argparse.Namespace) -> None:
    """Read, round, write. Raises InputError for bad input, before anything is written."""
    dataset = read_dataset(args.dataset, args.classes)
    out = args.out or Path(dataset.folder)
    require_writable("--out", out, folder=True)
    require_room_for_files("--out", out)
    listed = read_split(args.list, dataset, weak_labels=False).filenames if args.list else None
    labelled = read_labels(args.labels, args.fps)
    found = import_labels(labelled, dataset, listed, MODALITY[args.modality])
    lists = lists_of(found, dataset, args.split)
    for name in (*lists, *dataset.reference.values()):
        if args.list and (out / name).exists() and args.list.samefile(out / name):
            raise InputError(f"--list {args.list}: would be written over, and lose videos without events; rename it")
    print(f"{sum(len(one.labels) for one in labelled)} labels of {len(labelled)} recordings, {len(found.weak)} videos")
    for line in found.notes:
        print(f"note: {line}", file=sys.stderr)
    if empty := [video for video, classes in found.weak.items() if not classes]:
        print(f"note: videos without an event are in no list: {len(empty)} ({shown(empty)})", file=sys.stderr)
    for modality, name in dataset.reference.items():
        write_events(out / name, found.events[modality])
        print(f"{out / name}: {len(found.events[modality])} events")
    names = dataset.class_names
    for name, videos in lists.items():
        rows = [(video, dataset.separator.join(names[c] for c in found.weak[video])) for video in videos]
        write_table(out / name, SPLIT_COLUMNS, rows)
        print(f"{out / name}: {len(rows)} videos")


if __name__ == "__main__":
    command.run(main, get_args_parser())
