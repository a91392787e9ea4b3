"""All features and labels of a data set in one HDF5 file, pooled to segments: what `main.py --packed FILE` reads.

    python utils/pack_features.py --out data/valor.h5
    python utils/pack_features.py --out data/valor++.h5 --audio_dir data/CLAP/features --video_dir data/CLIP/features
    python main.py --packed data/valor.h5

The file has a group for each of train, val and test, with filename, audio, visual, visual_st, weak, pseudo_a and
pseudo_v, with --a_logits_dir and --v_logits_dir also logits_a and logits_v, and says what it was made of. An existing
file is kept while its sources are the same, and rebuilt when they have changed. docs/DATA.md describes the format.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import as_text, require_space, require_writable, size_text
from utils.features.cache import FEATURE_DTYPES, pooled_spec
from utils.features.folder import FeatureFolder, find_folders, find_lengths, require_files
from utils.features.kinds import LABELS, LOGITS
from utils.features.packed import ColumnSpec, Packed, Writer, encode_texts, plan_text
from utils.llp.datasets import SPLITS, DataSet, read_dataset
from utils.llp.videos import read_split, with_modalities

PSEUDO_LABELS = ("a_pseudo_data_dir", "v_pseudo_data_dir")
Source = FeatureFolder | np.ndarray  # arrays: what a CSV says


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="pack_features.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="HDF5 file to write")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which (default: all)")
    help_text = "of the features; float16 takes half the room"
    parser.add_argument("--feature_dtype", choices=FEATURE_DTYPES, default="float32", help=help_text)
    data = parser.add_argument_group("data, as for main.py")
    flags.add_data_flags(data)
    flags.add_logits_flags(data)
    flags.add_dataset_flags(data)
    parser.add_argument("--num_workers", type=flags.positive_int, default=4, help="threads that read files")
    return parser


def find_sources(args: argparse.Namespace, name: str, dataset: DataSet) -> dict[str, Source]:
    """What is packed of one split, by kind. Raises InputError for missing or wrong files."""
    split = read_split(getattr(args, f"label_{name}"), dataset)
    split = with_modalities(split, dataset) if name == "train" else split
    features = {"audio_dir": args.audio_dir, "video_dir": args.video_dir, "st_dir": args.st_dir}
    labels = {"a_pseudo_dir": args.a_pseudo_data_dir, "v_pseudo_dir": args.v_pseudo_data_dir}
    labels |= {"a_logits_dir": args.a_logits_dir, "v_logits_dir": args.v_logits_dir}
    folders = find_folders(split, **features, **labels, dataset=dataset)
    if name == "test":  # testing needs no labels
        kinds = [kind for kind in (*LABELS, *LOGITS) if kind in folders]
        for kind in [kind for kind in kinds if not any(path.is_file() for path in folders[kind].paths)]:
            print(f"note: {folders[kind].folder} has no files for {split.path}; test has no {kind}", file=sys.stderr)
            del folders[kind]
    lengths = find_lengths(split, folders, dataset, args.num_workers)
    require_files(folders.values(), args.num_workers)
    arrays = {"weak": split.weak} | {f"weak_{m[0]}": weak for m, weak in split.by_modality.items()}
    listed = {"filename": encode_texts(split.filenames)} | ({} if lengths is None else {"lengths": lengths})
    return listed | {kind: weak.astype(np.uint8) for kind, weak in arrays.items()} | folders


def describe(source: Source, feature_dtype: str) -> ColumnSpec:
    """The array that is packed of a folder, or of what a CSV says."""
    if isinstance(source, FeatureFolder):
        return pooled_spec(source, feature_dtype)
    return ColumnSpec(source.shape, source.dtype, {"fingerprint": hashlib.sha256(source.tobytes()).hexdigest()})


def main(args: argparse.Namespace) -> None:
    """Write the file, unless it exists and has the same sources. Raises InputError for bad input."""
    require_writable("--out", args.out)
    dataset = read_dataset(args.dataset, args.classes)
    given = {name for name, value in vars(args).items() if flags.is_given(value)}
    vars(args).update(dataset.paths(vars(args)))
    for name in PSEUDO_LABELS:
        if name not in given and not Path(getattr(args, name)).is_dir():
            print(f"note: {getattr(args, name)}: no such folder; packed without these labels", file=sys.stderr)
            setattr(args, name, None)
    sources = {}
    attributes = {"/": {"classes": "\n".join(dataset.class_names), "feature_dtype": args.feature_dtype}}
    for name in args.splits:
        found = find_sources(args, name, dataset)
        sources |= {f"{name}/{kind}": source for kind, source in found.items()}
        label_csv = as_text(Path(getattr(args, f"label_{name}")))
        attributes[name] = {"label_csv": label_csv, "videos": len(found["filename"])}
    columns = {place: describe(source, args.feature_dtype) for place, source in sources.items()}
    if is_current(args.out, plan_text(columns, attributes)):
        print(f"{args.out}: is up to date")
    else:
        size = sum(np.prod(c.shape, dtype=object) * c.dtype.itemsize for c in columns.values())
        require_space(args.out.absolute().parent, size, f"for {args.out}")
        with Writer.open(args.out, columns, attributes) as writer:
            for place, source in sources.items():
                is_array, progress = isinstance(source, np.ndarray), f"{args.out}: {place}"
                blocks = [source] if is_array else source.blocks(columns[place].dtype, args.num_workers, progress)
                for rows in blocks:
                    writer.append(place, rows)
    table = PrettyTable(["split", "array", "shape", "type", "of"], align="l")
    for split, arrays in Packed.open(args.out).columns.items():
        for kind, column in arrays.items():
            source = column.attributes.get("source", attributes[split]["label_csv"])
            table.add_row([split, kind, column.shape, "text" if column.dtype.kind == "S" else column.dtype, source])
    print(table)
    print(f"{args.out}: {size_text(args.out.stat().st_size)}")


def is_current(path: Path, plan: str) -> bool:
    """Whether `path` is what would be written; prints what is wrong with it if it is something else."""
    if not path.exists():
        return False
    try:
        existing = Packed.open(path)
        for column in (c for arrays in existing.columns.values() for c in arrays.values()):
            column.read_all(keep=False)
    except InputError as error:
        print(f"note: {getattr(error, 'text', error)}; rebuilding it", file=sys.stderr)
        return False
    if existing.attributes.get("plan") == plan:
        return True
    print(f"note: {path}: was made of other files or with other settings; rebuilding it", file=sys.stderr)
    return False


if __name__ == "__main__":
    command.run(main, get_args_parser())
