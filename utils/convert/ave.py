"""AVE (Tian et al., ECCV 2018), as its authors publish it.

Annotations.txt has a line `class&id&quality&start&end` for each annotation of ten seconds, and line i is row i of every
HDF5 file. An id with several annotations has several rows. Axes: R rows, T = 10 seconds, C = 28 classes.
"""

import collections
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from utils.base.errors import InputError
from utils.base.files import read_text
from utils.convert.outputs import Converted, Feature, Table, event_table, split_table
from utils.llp.classes import class_indices
from utils.llp.datasets import SPLITS, DataSet, read_dataset
from utils.metrics.accuracy import floors

LINE = re.compile(r"(?P<label>[^&]+)&(?P<id>[A-Za-z0-9_-]+)&[^&]*&(?P<start>\d+)&(?P<end>\d+)")
KEY = "avadataset"
LABELS = ("mil_labels.h5", "labels_closs.h5", "labels.h5")


class Annotation(NamedTuple):
    """A row: the class, by index, has the seconds start to end - 1 of the video."""

    id: str
    label: int
    start: int
    end: int


def convert(source: Path, drop_overlap: bool = False) -> Converted:
    """AVE in this project's form. drop_overlap: leave out of train the rows whose id is in val or test, too.

    Raises InputError if a file is missing or wrong, or has another number of rows than Annotations.txt has lines.
    """
    dataset = read_dataset("ave")
    path = Path(source, "Annotations.txt")
    rows = read_annotations(path, dataset.class_names, dataset.seconds)
    orders = _read_orders(source, len(rows))
    num_classes = len(dataset.classes)
    truth = seconds_truth(rows, dataset.seconds, num_classes)
    labels = _compare_labels(source, [row.label for row in rows], truth, num_classes)
    counted = [*_count_rows(path, rows), *labels, *_count_overlap(rows, orders)]
    for split in ("val", "test"):
        video_class = [rows[i].label for i in orders[split]]
        found = floors(truth[orders[split]].ravel(), video_class, dataset.seconds, num_classes).values()
        what = "accuracy of background everywhere {:.2f}, of the true class of the video everywhere {:.2f}"
        counted.append(f"{split}: {what.format(*found)}")
    if drop_overlap:
        elsewhere = {rows[i].id for split in ("val", "test") for i in orders[split]}
        kept = [i for i in orders["train"] if rows[i].id not in elsewhere]
        dropped = len(orders["train"]) - len(kept)
        counted.append(f"train: {dropped} rows left out, since their ids are in val or test, too")
        orders["train"] = kept
    names = row_names([row.id for row in rows])
    tables = _tables(dataset, rows, names, orders)
    return Converted(dataset, tables, _find_features(source, names), counted)


def _tables(
    dataset: DataSet, rows: Sequence[Annotation], names: Sequence[str], orders: dict[str, list[int]]
) -> dict[str, Table]:
    """The lists of the splits, and the annotations of all rows."""
    labels = [dataset.class_names[row.label] for row in rows]
    tables = {dataset.splits[split]: split_table((names[i], labels[i]) for i in orders[split]) for split in SPLITS}
    events = zip(names, (row.start for row in rows), (row.end for row in rows), labels, strict=True)
    return tables | {dataset.reference["audio_visual"]: event_table(events)}


def read_annotations(path: Path, class_names: Sequence[str], seconds: int) -> list[Annotation]:
    """The rows of Annotations.txt. Raises InputError if it is missing or a line is not of its form."""
    expected = f"expected class&id&quality&start&end, with whole seconds from 0 to {seconds}"
    rows = []
    for number, line in enumerate(read_text(path, expected).rstrip("\r\n").split("\n"), 1):
        match = LINE.fullmatch(line.rstrip("\r"))
        if not match or int(match["end"]) > seconds or int(match["start"]) > seconds:
            raise InputError(f"{path}, line {number}: {line!r:.200}, {expected}")
        try:
            label = class_indices([match["label"]], class_names)[0]
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        rows.append(Annotation(match["id"], label, int(match["start"]), int(match["end"])))
    return rows


def row_names(ids: Sequence[str]) -> list[str]:
    """Names of rows: an id; of several rows with one id, <id>_1, <id>_2 in their order.

    Raises InputError if two rows would have one name.
    """
    count, number = collections.Counter(ids), collections.Counter()
    names = []
    for one in ids:
        number[one] += 1
        names.append(one if count[one] == 1 else f"{one}_{number[one]}")
    name, times = collections.Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"Annotations.txt: the rows of two ids would be called {name}, expected ids of YouTube")
    return names


def seconds_truth(rows: Sequence[Annotation], seconds: int, num_classes: int) -> np.ndarray:
    """The class of each second, (R, T) int; num_classes means background."""
    truth = np.full((len(rows), seconds), num_classes)
    for row, (_, label, start, end) in enumerate(rows):
        truth[row, start:end] = label
    return truth


def _dataset(path: Path, key: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """An array of numbers in an HDF5 file. Raises InputError if it is missing or not of this shape (None: any)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected an HDF5 file with {key}")
    try:
        found = h5py.File(path, "r")[key]
        fits = len(found.shape) == len(shape) and found.dtype.kind in "iuf"
    except (OSError, KeyError, AttributeError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: expected an HDF5 file with {key} ({reason})") from error
    if not fits or any(wanted not in (None, size) for size, wanted in zip(found.shape, shape, strict=True)):
        expected = str(shape).replace("None", "any")
        raise InputError(f"{path}: {key} is {found.shape} {found.dtype}, expected numbers {expected}, a row a line")
    return found


def _read(found: h5py.Dataset, part: object) -> np.ndarray:
    """A part of an array in an HDF5 file."""
    try:
        return found[part]
    except (OSError, RuntimeError) as error:
        raise InputError(f"{found.file.filename}: damaged, get the file again ({error!s:.200})") from error


def _read_orders(source: Path, count: int) -> dict[str, list[int]]:
    """The rows of each split, in its order. Raises InputError if one is out of range or twice in any of them."""
    orders, seen = {}, set()
    for split in SPLITS:
        path = Path(source, f"{split}_order.h5")
        order = _read(_dataset(path, "order", (None,)), slice(None))
        for row in order.tolist():
            if type(row) is not int or not 0 <= row < count:
                raise InputError(f"{path}: names row {row}, expected whole numbers from 0 to {count - 1}")
            if row in seen:
                raise InputError(f"{path}: names row {row}, which is there twice or in another split, expected it once")
            seen.add(row)
        if not order.size:
            raise InputError(f"{path}: names no row, expected at least one")
        orders[split] = order.tolist()
    return orders


def _count_rows(path: Path, rows: Sequence[Annotation]) -> list[str]:
    """Lines about the annotations."""
    ids = collections.Counter(row.id for row in rows)
    empty = [row.id for row in rows if row.start >= row.end]
    several = sum(count > 1 for count in ids.values())
    return [
        f"{path.name}: {len(rows)} rows, {len(ids)} ids, {len({row.label for row in rows})} classes",
        f"ids with several annotations: {several}; their rows are called <id>_1, <id>_2",
        f"annotations of no second, as 0 to 0: {len(empty)}{' '.join(['', *empty[:5]])}",
    ]


def _count_overlap(rows: Sequence[Annotation], orders: dict[str, list[int]]) -> list[str]:
    """Lines about the splits."""
    ids = {split: {rows[i].id for i in order} for split, order in orders.items()}
    shared = [f"{a},{b} {len(ids[a] & ids[b])}" for a, b in itertools.combinations(SPLITS, 2)]
    sizes = ", ".join(f"{split} {len(order)}" for split, order in orders.items())
    return [f"splits: {sizes} rows", f"ids in two splits: {', '.join(shared)}"]


def _compare_labels(source: Path, classes: Sequence[int], truth: np.ndarray, background: int) -> list[str]:
    """A line for each published file of labels: whether the text says the same. classes: (R,); truth: (R, T) int."""
    one_hot = np.eye(background + 1, dtype=np.float32)
    expected = dict(zip(LABELS, (one_hot[classes], truth < background, one_hot[truth]), strict=True))
    lines = []
    for name, labels in expected.items():
        if not (path := Path(source, name)).is_file():
            continue
        equal = (_read(_dataset(path, KEY, labels.shape), slice(None)) == labels).reshape(len(truth), -1).all(axis=1)
        first = "" if equal.all() else f"; the first other one is row {np.argmin(equal)}"
        lines.append(f"{'note: ' if first else ''}{name}: {equal.sum()} of {len(truth)} rows equal{first}")
    return lines


def _find_features(source: Path, names: Sequence[str]) -> list[Feature]:
    """The features of each row, as far as they are there: audio as it is, of the picture the mean over its places."""

    def features(file: str, folder: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> list[Feature]:
        if not (path := Path(source, file)).is_file():
            return []
        found = _dataset(path, KEY, (len(names), *shape))
        pooled = tuple(size for axis, size in enumerate(shape) if axis not in axes)

        def load(row: int) -> np.ndarray:
            return _read(found, row).mean(axis=axes, dtype=np.float64)  # one row at a time: all are 4 GB

        return [
            Feature(f"{folder}/{name}.npy", pooled, f"{path}, row {row}", lambda row=row: load(row))
            for row, name in enumerate(names)
        ]

    audio = features("audio_feature.h5", "vggish", (10, 128), ())
    return audio + features("visual_feature.h5", "vgg19", (10, 7, 7, 512), (1, 2))
