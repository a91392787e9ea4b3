"""LLP's event classes, captions and thresholds, from utils/llp.yaml or a file like it.

Axes: C classes, T segments of one second.
"""

import collections
import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from utils.base.errors import InputError
from utils.base.files import read_text, write_text
from utils.base.flags import LLP_CLASSES
from utils.llp.tables import fits

T = 10  # segments of one second in a video of LLP (VALOR, section 4.1)
MAX_YAML, MAX_NODES, MAX_SCALAR = 2**18, 20_000, 2000  # bytes, values, characters of one: 1000 classes and more
MAX_THRESHOLD = 1e30
# modality -> the threshold of its teacher, a field of EventClass
TEACHER_THRESHOLDS = {"audio": "clap_threshold", "visual": "clip_threshold"}
CLASS_LIST = "a YAML list of classes"
OTHERS = "--classes FILE names others"  # what a message about an unknown class ends with
FPS = 8  # frames a second of the published JPEG files


class EventClass(NamedTuple):
    """One event class: its name, and the caption and threshold of each teacher."""

    name: str
    clip_caption: str
    clap_caption: str
    clip_threshold: float
    clap_threshold: float


USUAL_THRESHOLDS = {"clip_threshold": 15, "clap_threshold": 2}  # those that most classes of LLP have


def plain_class(name: str) -> EventClass:
    """A class of which only the name is known: captions in LLP's manner, and its usual thresholds."""
    words = name.replace("_", " ").lower()
    return EventClass(name, f"A photo of {words}.", words, **USUAL_THRESHOLDS)


def read_classes(path: Path = LLP_CLASSES) -> tuple[EventClass, ...]:
    """The event classes of a YAML file, in the order of their index.

    Raises InputError if the file is missing, or is not a list of the fields of `EventClass` with names that differ.
    """
    return classes_of(Path(path), read_yaml(path, CLASS_LIST))


def classes_of(path: Path, rows: object, separator: str = ",") -> tuple[EventClass, ...]:
    """The event classes of the list that a YAML file holds. Names must not hold the `separator` of names in a list.

    Raises InputError as `read_classes` does.
    """
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a YAML list of classes, each with {', '.join(EventClass._fields)}")
    classes = tuple(_event_class(path, number, row, separator) for number, row in enumerate(rows, 1))
    name, count = collections.Counter(c.name for c in classes).most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: lists {name} twice")
    return classes


def write_classes(path: Path, classes: Sequence[EventClass], separator: str = ",") -> None:
    """Write a file that `read_classes` reads, atomically; separator: as for `classes_of`.

    Raises InputError if it would not be the same.
    """
    for number, one in enumerate(classes, 1):
        _event_class(path, number, one._asdict(), separator)
    printable = all(str(value).isprintable() for one in classes for value in one)  # else escaped: some are line ends
    write_text(path, yaml.safe_dump([c._asdict() for c in classes], sort_keys=False, allow_unicode=printable))


def read_yaml(path: Path, what: str) -> object:
    """What a YAML file holds; what: is expected of it.

    Raises InputError if it is missing, damaged, or too large, aliases written out.
    """
    path = Path(path)
    text = read_text(path, f"expected {what} such as {LLP_CLASSES.name}", MAX_YAML)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _weight(node, {}) > MAX_NODES:
            large = f"over {MAX_NODES} values with its aliases written out, or one of over {MAX_SCALAR} characters"
            raise InputError(f"{path}: too large for {what} ({large})")
        return loader.construct_document(node)
    except InputError:
        raise
    except Exception as error:  # PyYAML lets pass what Python's dates and numbers raise, a dozen kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a YAML file ({reason})") from error


def _weight(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a part of a YAML file has with its aliases written out; infinite if it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known: as long as its own parts are counted
        long = isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_SCALAR
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for item in parts for part in (item if isinstance(item, tuple) else [item])]
        known[id(node)] = math.inf if long else 1 + sum(_weight(part, known) for part in parts)
    return known[id(node)]


def _event_class(path: Path, number: int, row, separator: str) -> EventClass:
    """One entry of a class file, the `number`th. Raises InputError if it is not one."""
    if not isinstance(row, dict) or set(row) != set(EventClass._fields):
        found = ", ".join(map(str, row)) if isinstance(row, dict) else str(row)
        found = " ".join(found.split())[:200] + " (a name in quotes?)" * isinstance(row, bool)
        raise InputError(f"{path}, class {number}: expected {', '.join(EventClass._fields)}; found {found}")
    for field, kind in EventClass.__annotations__.items():
        value = row[field]
        if kind is str and (not isinstance(value, str) or not value.strip()):
            raise InputError(f"{path}, class {number}: {field} is {value!r:.200}, expected text (put it in quotes)")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_threshold = is_number and (abs(value) < MAX_THRESHOLD or value == -math.inf)  # not NaN either
        if kind is float and not is_threshold:
            raise InputError(f"{path}, class {number}: {field} is {value!r:.200}, expected a number")
    if separator in row["name"] or not fits(row["name"]):
        signs = "no commas, no tabs" if separator == "," else f"no {separator}, no tabs"
        raise InputError(f"{path}, class {number}: {row['name']!r:.200} cannot stand in a CSV file; {signs}")
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
