"""All features and labels of LLP in one HDF5 file, pooled to ten segments: what `main.py --packed FILE` reads.

    python utils/pack_features.py --out data/valor.h5
    python utils/pack_features.py --out data/valor++.h5 --audio_dir data/CLAP/features --video_dir data/CLIP/features
    python main.py --packed data/valor.h5

The file has a group for each of train, val and test, with filename, audio, visual, visual_st, weak, pseudo_a and
pseudo_v, and says what it was made of. A stop costs nothing: give the command again. A file that is there is left as it
is while its sources are the same, and made anew when they have changed. docs/DATA.md describes the format.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from dataloader import LABELS
from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_space, require_writable, size_text
from utils.features import packed
from utils.features.cache import FEATURE_DTYPES, plan, stored_dtype
from utils.features.folder import FeatureFolder, find_folders, require_files
from utils.features.kinds import pool
from utils.features.packed import ColumnPlan, Group, Packed
from utils.llp.classes import T, read_class_names
from utils.llp.videos import SPLIT_FILES, read_split

SPLITS = tuple(SPLIT_FILES)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="pack_features.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="HDF5 file to write")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which (default: all)")
    parser.add_argument(
        "--feature_dtype",
        choices=FEATURE_DTYPES,
        default="float32",
        help="of the features; float16 takes half the room",
    )
    data = parser.add_argument_group("data, as main.py has it")
    flags.add_data_flags(data)
    flags.add_classes_flag(data)
    parser.add_argument("--num_workers", type=flags.positive_int, default=4, help="threads that read files")
    return parser


def find_split(args: argparse.Namespace, name: str, class_names: tuple[str, ...]) -> Group:
    """What is to be written of one split; InputError for missing or wrong files."""
    split = read_split(getattr(args, f"label_{name}"), class_names)
    folders = find_folders(
        split,
        audio_dir=args.audio_dir,
        video_dir=args.video_dir,
        st_dir=args.st_dir,
        a_pseudo_dir=args.a_pseudo_data_dir,
        v_pseudo_dir=args.v_pseudo_data_dir,
        num_classes=len(class_names),
    )
    if name == "test":  # testing needs no pseudo labels
        for kind in [kind for kind in folders if kind in LABELS and has_none(folders[kind])]:
            print(f"note: {folders[kind].folder} has no files for {split.path}; test has no {kind}", file=sys.stderr)
            del folders[kind]
    require_files(list(folders.values()), args.num_workers)
    columns = {"filename": packed.string_column(split.filenames)}
    for kind, folder in folders.items():
        columns[kind] = plan(folder, pool, stored_dtype(folder, args.feature_dtype), T)
    weak = split.weak.astype(np.uint8)
    fingerprint = hashlib.sha256("\n".join(split.filenames).encode() + weak.tobytes()).hexdigest()
    columns["weak"] = ColumnPlan(weak.shape, weak.dtype, weak.__getitem__, {"fingerprint": fingerprint})
    return Group(columns, {"label_csv": str(split.path), "videos": len(split.filenames)})


def has_none(folder: FeatureFolder) -> bool:
    """Whether no file of the split is there."""
    return not any(path.is_file() for path in folder.paths)


def main(args: argparse.Namespace) -> None:
    """Write the file, unless it is there and of the same sources. Raises InputError for bad input."""
    require_writable("--out", args.out)
    class_names = read_class_names(args.classes)
    groups = {name: find_split(args, name, class_names) for name in args.splits}
    attributes = {"classes": "\n".join(class_names), "feature_dtype": args.feature_dtype}
    if is_current(args.out, groups, attributes):
        print(f"{args.out}: is up to date")
    else:
        size = sum(
            np.prod(c.shape, dtype=object) * c.dtype.itemsize for g in groups.values() for c in g.columns.values()
        )
        require_space(args.out.absolute().parent, size, f"for {args.out}")
        packed.write(args.out, groups, attributes, args.num_workers, str(args.out))
    table = PrettyTable(["split", "array", "shape", "type", "of"], align="l")
    for split, columns in Packed.open(args.out).columns.items():
        for name, column in columns.items():
            source = column.attributes.get("source", groups[split].attributes["label_csv"] if split in groups else "")
            table.add_row([split, name, column.shape, "text" if column.dtype.kind == "S" else column.dtype, source])
    print(table)
    print(f"{args.out}: {size_text(args.out.stat().st_size)}")


def is_current(path: Path, groups: dict[str, Group], attributes: dict[str, str]) -> bool:
    """Whether `path` is what would be written; says what is wrong with it where it is something else."""
    if not path.exists():
        return False
    try:
        there = Packed.open(path)
        found = there.attributes.get("plan")
        for column in (c for columns in there.columns.values() for c in columns.values()):
            column.check()
    except InputError as error:
        print(f"note: {getattr(error, 'text', error)}; made anew", file=sys.stderr)
        return False
    if found == packed.plan_text(groups, attributes):
        return True
    print(f"note: {path}: was made of other files or with other settings; made anew", file=sys.stderr)
    return False


if __name__ == "__main__":
    command.run(main, get_args_parser())
