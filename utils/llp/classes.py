"""LLP's event classes, captions and thresholds, from utils/llp.yaml or a file like it.

Axes: C classes, T segments of one second.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from utils.base.errors import InputError
from utils.base.flags import LLP_CLASSES

T = 10  # segments of one second in a video (VALOR, section 4.1)
FPS = 8  # frames a second of the published JPEG files


class EventClass(NamedTuple):
    """One event class: its name, and the caption and threshold of each teacher."""

    name: str
    clip_caption: str
    clap_caption: str
    clip_threshold: float
    clap_threshold: float


def read_classes(path: Path = LLP_CLASSES) -> tuple[EventClass, ...]:
    """The event classes of a YAML file, in the order of their index.

    Raises InputError if the file is missing, or is not a list of the fields of `EventClass` with names that differ.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a YAML list of classes such as {LLP_CLASSES.name}")
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a YAML list of classes, each with {', '.join(EventClass._fields)}")
    classes = tuple(_event_class(path, number, row) for number, row in enumerate(rows, 1))
    names = [c.name for c in classes]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: lists {max(names, key=names.count)} twice")
    return classes


def _event_class(path: Path, number: int, row) -> EventClass:
    """One entry of a class file, the `number`th. Raises InputError if it is not one."""
    if not isinstance(row, dict) or set(row) != set(EventClass._fields):
        found = ", ".join(map(str, row)) if isinstance(row, dict) else row
        raise InputError(f"{path}, class {number}: expected {', '.join(EventClass._fields)}; found {found}")
    for field, kind in EventClass.__annotations__.items():
        value = row[field]
        if kind is str and (not isinstance(value, str) or not value.strip()):
            raise InputError(f"{path}, class {number}: {field} is {value!r}, expected text (put it in quotes)")
        if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value)):
            raise InputError(f"{path}, class {number}: {field} is {value!r}, expected a number")
    if re.search(r"[,\t\n]", row["name"]) or row["name"] != row["name"].strip():
        raise InputError(f"{path}, class {number}: {row['name']!r} cannot stand in a CSV file; no commas, no tabs")
    return EventClass(**row)


def class_names(classes: Sequence[EventClass]) -> tuple[str, ...]:
    """Names of classes, in the order of their index."""
    return tuple(c.name for c in classes)


def read_class_names(path: Path = LLP_CLASSES) -> tuple[str, ...]:
    """Names of the event classes of a YAML file, in the order of their index. Raises InputError as `read_classes`."""
    return class_names(read_classes(path))


CLASSES = read_classes()
CLASS_NAMES = class_names(CLASSES)
C = len(CLASSES)


def class_indices(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Indices of the class `names`. Raises InputError for an unknown one."""
    lookup = {name: i for i, name in enumerate(class_names)}
    try:
        return [lookup[name.strip()] for name in names]
    except KeyError as error:
        similar = difflib.get_close_matches(error.args[0], class_names, n=1)
        expected = f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(class_names)}"
        raise InputError(f"unknown class {error}; {expected}") from None
