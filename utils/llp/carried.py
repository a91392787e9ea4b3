"""What a folder of a run or of predictions says of its data set: classes.yaml, and of others than LLP dataset.yaml."""

import os
from collections.abc import Callable
from pathlib import Path

from utils.base.errors import InputError
from utils.llp.classes import class_names, write_classes
from utils.llp.datasets import LLP, DataSet, read_class_file, read_dataset, write_dataset

CLASSES = "classes.yaml"
DATA_SET = "dataset.yaml"  # of other data sets than LLP


def carried_dataset(folder: Path, given: str | Path | None = None, classes: Path | None = None) -> DataSet:
    """The data set that --dataset and --classes give; without both, the one that a folder carries, else LLP.

    Raises InputError if a file is missing or wrong.
    """
    own, names = (path if path.is_file() else None for path in (Path(folder, DATA_SET), Path(folder, CLASSES)))
    if given or classes:
        return read_dataset(given, classes)
    return read_dataset(own) if own else read_dataset(None, names)


def predictions_dataset(folder: Path, given: str | Path | None = None, classes: Path | None = None) -> DataSet:
    """`carried_dataset` of a folder of predictions. Raises InputError if there is no such folder, too."""
    if not Path(folder).is_dir():
        file = Path(folder, "pred_audio.csv")
        raise InputError(f"{file}: no such file; main.py --mode test --save_predictions {folder} writes it")
    return carried_dataset(folder, given, classes)


def is_same(one: DataSet, other: DataSet) -> bool:
    """Whether two data sets are read and scored alike: all but captions, thresholds and the folder is the same."""
    rules = [x._replace(folder="", classes=()) for x in (one, other)]
    return rules[0] == rules[1] and one.class_names == other.class_names


def write_carried(folder: Path, dataset: DataSet) -> None:
    """Let a folder carry its data set. A file that says the same already, such as the data set's own, is kept.

    Raises InputError if a name cannot stand in a file, or it would carry LLP and the description of another data set.
    """
    names, own = Path(folder, CLASSES), Path(folder, DATA_SET)
    if dataset.name == LLP.name and own.exists():
        raise InputError(f"{own}: describes another data set than {LLP.name}; choose another folder, or remove it")
    if not _holds(lambda: class_names(read_class_file(names, dataset.separator)) == dataset.class_names):
        write_classes(names, dataset.classes, dataset.separator)
    if dataset.name != LLP.name and not _holds(lambda: _is_there(read_dataset(own), dataset)):
        write_dataset(own, dataset)


def _is_there(one: DataSet, other: DataSet) -> bool:
    """Whether two data sets are the same, in the same folder."""
    return is_same(one, other) and os.path.realpath(one.folder) == os.path.realpath(other.folder)


def _holds(compare: Callable[[], bool]) -> bool:
    """What `compare` finds; False if a file is missing or wrong."""
    try:
        return compare()
    except InputError:
        return False
