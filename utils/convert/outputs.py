"""What a converted data set consists of, and how it is written: dataset.yaml, lists, annotations, features.

docs/DATASETS.md describes the files.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import as_text, remove_leftovers, write_text
from utils.base.npy import read_npy_header, write_npy
from utils.base.progress import tqdm
from utils.llp.datasets import DataSet, write_dataset
from utils.llp.events import EVENT_COLUMNS
from utils.llp.tables import table_text
from utils.llp.videos import SPLIT_COLUMNS


class Table(NamedTuple):
    """A tab-separated file. The last column may be empty: a video without events of one modality."""

    columns: tuple[str, ...]
    rows: list[Sequence[object]]


class Feature(NamedTuple):
    """Features of a video: where they go below feats/, their shape, where they come from, and how they are read."""

    name: str
    shape: tuple[int, ...]
    source: str
    load: Callable[[], np.ndarray]


class Converted(NamedTuple):
    """A data set in this project's form. tables: by the name of the file; notes: what is worth knowing, in lines."""

    dataset: DataSet
    tables: dict[str, Table]
    features: list[Feature]
    notes: list[str]


def split_table(rows: Iterable[Sequence[object]]) -> Table:
    """A list of videos and the names of their events."""
    return Table(SPLIT_COLUMNS, list(rows))


def event_table(rows: Iterable[Sequence[object]]) -> Table:
    """Annotations: video, onset and offset in seconds, event."""
    return Table(EVENT_COLUMNS, list(rows))


def write_converted(converted: Converted, out: Path) -> list[str]:
    """Write a data set into a folder, each file atomically, and return lines that say what was written.

    Features whose files are finished are kept, so that a rerun goes on; files of other names are left alone.
    Raises InputError if a text cannot stand in a file, or features are NaN or infinite.
    """
    texts = {name: table_text(Path(out, name), *table, may_be_empty=True) for name, table in converted.tables.items()}
    lines = _write_features(converted.features, Path(out, "feats"))
    for name, text in texts.items():
        write_text(Path(out, name), text)
        lines.append(f"{out}/{name}: {len(converted.tables[name].rows)} rows")
    path = Path(out, "dataset.yaml")
    write_dataset(path, converted.dataset._replace(folder=as_text(Path(out))))
    return [*lines, f"{path}: {converted.dataset.name}, {len(converted.dataset.classes)} classes"]


def _write_features(features: Sequence[Feature], folder: Path) -> list[str]:
    """Write the files that are missing; a line for each folder of them."""
    counts = {}
    for feature in tqdm(features, as_text(folder), leave=False, unit="file", delay=1):
        path = folder / feature.name
        if path.parent not in counts:
            counts[path.parent] = [0, 0]
            remove_leftovers(path.parent)
        is_new = not _is_finished(path, feature.shape)
        if is_new:
            array = np.asarray(feature.load(), np.float32)
            if not np.isfinite(array).all():
                raise InputError(f"{feature.source}: holds NaN or infinite values; get the file again")
            write_npy(path, array)
        counts[path.parent][is_new] += 1
    return [f"{path}: {new} files written, {old} kept" for path, (old, new) in counts.items()]


def _is_finished(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether there is a whole file with features of this shape."""
    try:
        return path.is_file() and read_npy_header(path) == (shape, np.float32)
    except InputError:
        return False  # damaged: it is written again
