"""What tells one data set from another: classes, lengths of videos, files, rules. From a YAML file; LLP is one of them.

docs/DATASETS.md describes the files.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from utils.base.errors import InputError
from utils.base.files import as_text, write_text
from utils.base.flags import DATA_SETS, FOLDERS, is_given
from utils.llp.classes import CLASS_LIST, EventClass, class_names, classes_of, plain_class, read_yaml

PER_VIDEO = "per_video"
LONGEST = 3600  # seconds of a video, if all have the same
OFFSETS = ("exclusive", "inclusive", "touching")
IDS = ("llp", "whole", "numbered")
GATES = ("video", "modality")
METRICS = ("f", "accuracy", "map")
MODALITIES = (["audio", "visual"], ["audio_visual"])
STREAMS = ("audio", "visual", "visual_st")  # the inputs of the network, in their order
SPLITS = ("train", "val", "test")


class Feature(NamedTuple):
    """Features that one input of the network may take: rows a second, and the size of a row."""

    stream: str
    rows_per_second: float
    size: int


class DataSet(NamedTuple):
    """A data set. seconds: T of all videos; None: each has its own. `docs/DATASETS.md` explains the others."""

    name: str
    folder: str
    classes: tuple[EventClass, ...]
    seconds: int | None
    offset: str
    modalities: tuple[str, ...]
    gate: str
    metrics: str
    ids: str
    separator: str
    splits: dict[str, str]
    all_videos: str | None
    reference: dict[str, str]
    weak: dict[str, str]
    lengths: str | None
    features: dict[str, Feature]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their index."""
        return class_names(self.classes)

    @property
    def av_only(self) -> bool:
        """Whether sound and picture are annotated together."""
        return len(self.modalities) == 1

    def path(self, name: str) -> Path:
        """A file of the data set, by its name in the YAML file."""
        return Path(self.folder, name)

    def paths(self, given: Mapping[str, str | Path | None]) -> dict[str, str | Path]:
        """What flags give, by name: if they give nothing, files and folders of the data set."""
        own = {name: f"{self.folder}/{folder}" for name, (_, folder) in FOLDERS.items()}
        own |= {f"label_{split}": f"{self.folder}/{name}" for split, name in self.splits.items()}
        own |= {"gt_dir": self.folder, "label_csv": self.path(self.splits["test"])}
        return {name: path if is_given(path) else own[name] for name, path in given.items() if name in own}

    @property
    def lists(self) -> list[Path]:
        """The lists of all videos."""
        return [self.path(name) for name in ([self.all_videos] if self.all_videos else self.splits.values())]

    def rates(self, stream: str) -> dict[int, float]:
        """Rows a second of the features that an input of the network may take, by their size."""
        return {f.size: f.rows_per_second for f in self.features.values() if f.stream == stream}

    def named(self, names: Sequence[str]) -> "DataSet":
        """The same with classes of which only the names are known."""
        return self._replace(classes=tuple(map(plain_class, names)))


def known_names() -> list[str]:
    """The data sets that --dataset knows by name."""
    return sorted(path.stem for path in DATA_SETS.glob("*.yaml"))


def read_dataset(given: str | Path | None = None, classes: Path | None = None) -> DataSet:
    """The data set of a YAML file, or one of those known by name; None: LLP.

    classes: a class file to use instead of its own.

    Raises InputError if a file is missing or wrong.
    """
    given = given or "llp"
    is_name = re.fullmatch(r"\w+", str(given)) and not Path(given).is_file()
    path = DATA_SETS / f"{given}.yaml" if is_name else Path(given)
    if is_name and not path.is_file():
        similar = difflib.get_close_matches(str(given), known_names(), n=1)
        expected = f"did you mean {similar[0]}?" if similar else f"expected a YAML file, {', '.join(known_names())}"
        raise InputError(f"--dataset {given}: no such data set; {expected}")
    values = read_yaml(path, "a YAML description of a data set")
    if not isinstance(values, dict) or not values.get("name"):
        raise InputError(f"{path}: expected a mapping with name, seconds and classes, as in {DATA_SETS}/ave.yaml")
    found = _Entries(path, values, classes).dataset()
    if found.name == "LLP" and path.parent != DATA_SETS:
        raise InputError(f"{path}: name is LLP, which is that of the data set itself; choose another")
    return found


def read_class_file(path: Path, separator: str) -> tuple[EventClass, ...]:
    """The classes of a class file whose names do not hold `separator`. Raises InputError as `read_classes` does."""
    return classes_of(Path(path), read_yaml(path, CLASS_LIST), separator)


class _Entries:
    """The entries of a YAML file, taken one after the other."""

    def __init__(self, path: Path, values: Mapping, class_file: Path | None):
        self.path, self.values, self.class_file = path, dict(values), class_file

    def dataset(self) -> DataSet:
        """The data set that they describe. Raises InputError for a wrong, a missing or an unknown one."""
        separator = self.text("separator", ",")
        modalities = self.one_of("modalities", MODALITIES, MODALITIES[0])
        found = DataSet(
            name=self.text("name", ""),
            folder=self.text("folder", as_text(self.path.parent)),
            classes=self.classes(separator),
            seconds=self.seconds(),
            offset=self.one_of("offset", OFFSETS, OFFSETS[0]),
            modalities=tuple(modalities),
            gate=self.one_of("gate", GATES, GATES[0]),
            metrics=self.one_of("metrics", METRICS, METRICS[0]),
            ids=self.one_of("ids", IDS, "whole"),
            separator=separator,
            splits=self.files("splits", SPLITS, {name: f"{name}.csv" for name in SPLITS}),
            all_videos=self.text("all_videos", None),
            reference=self.files("reference", modalities, {m: f"eval_{m}.csv" for m in modalities}),
            weak=self.files("weak", ("audio", "visual"), {}),
            lengths=self.text("lengths", None),
            features=self.features(),
        )
        if self.values:
            raise InputError(f"{self.path}: {', '.join(map(str, self.values))}: unknown; {_known()}")
        if found.metrics == "accuracy" and found.seconds is None:
            raise InputError(f"{self.path}: metrics accuracy needs the same number of seconds for all videos")
        return found

    def wrong(self, key: str, value: object, expected: str) -> InputError:
        """The error for an entry."""
        return InputError(f"{self.path}: {key} is {value!r:.200}, expected {expected}")

    def text(self, key: str, default: str | None) -> str | None:
        """An entry that is a text."""
        value = self.values.pop(key, default)
        if value != default and (not isinstance(value, str) or not value.strip()):
            raise self.wrong(key, value, "text (put it in quotes)")
        return value

    def one_of(self, key: str, allowed: Sequence, default: object):
        """An entry that is one of some values."""
        value = self.values.pop(key, default)
        if value not in allowed:
            raise self.wrong(key, value, f"one of {', '.join(map(str, allowed))}")
        return value

    def seconds(self) -> int | None:
        """Seconds of all videos; None if each has its own."""
        if "seconds" not in self.values:
            raise InputError(f"{self.path}: has no seconds, expected a whole number, or {PER_VIDEO}")
        value = self.values.pop("seconds")
        if value == PER_VIDEO:
            return None
        if type(value) is not int or not 1 <= value <= LONGEST:
            raise self.wrong("seconds", value, f"a whole number from 1 to {LONGEST}, or {PER_VIDEO}")
        return value

    def classes(self, separator: str) -> tuple[EventClass, ...]:
        """The classes: a list of entries or of names, or the name of a class file."""
        value = self.values.pop("classes", None)
        if self.class_file or isinstance(value, str):
            return read_class_file(self.class_file or self.path.parent / value, separator)
        if value is None:
            raise InputError(
                f"{self.path}: has no classes; give those of the dataset.yaml that utils/convert_dataset.py writes, "
                "or a class file by --classes"
            )
        if isinstance(value, list):
            value = [plain_class(row)._asdict() if isinstance(row, str) else row for row in value]
        return classes_of(self.path, value, separator)

    def files(self, key: str, names: Sequence[str], default: dict[str, str]) -> dict[str, str]:
        """An entry that names a file for each of some names."""
        value = self.values.pop(key, {})
        texts = value.items() if isinstance(value, dict) else [(None, None)]
        if not all(name in names and isinstance(text, str) for name, text in texts):
            raise self.wrong(key, value, f"names of files by {', '.join(names)}")
        return default | value

    def features(self) -> dict[str, Feature]:
        """Kinds of features, by name."""
        value = self.values.pop("features", {})
        try:
            found = {str(name): Feature(**entry) for name, entry in value.items()}
            fits = all(
                f.stream in STREAMS and type(f.size) is int and f.size > 0 and 0 < float(f.rows_per_second) < 1000
                for f in found.values()
            )
        except (TypeError, AttributeError, ValueError):
            fits = False
        if not fits:
            raise self.wrong("features", value, f"entries with {', '.join(Feature._fields)}")
        if len({f[::2] for f in found.values()}) < len(found):
            raise self.wrong("features", value, "one rate for each size of an input: files are told by their size")
        return found


def _known() -> str:
    return f"expected some of {', '.join(DataSet._fields)}"


def write_dataset(path: Path, dataset: DataSet) -> None:
    """Write a file that `read_dataset` reads, atomically. Entries that have their default, such as `folder`, are left
    out if they would be read the same."""
    values = dataset._asdict()
    values["classes"] = [c._asdict() for c in dataset.classes]
    values["seconds"] = dataset.seconds or PER_VIDEO
    values["modalities"] = list(dataset.modalities)
    values["features"] = {name: f._asdict() for name, f in dataset.features.items()}
    if values["folder"] == as_text(Path(path).parent):
        del values["folder"]
    text = yaml.safe_dump({k: v for k, v in values.items() if v}, sort_keys=False, allow_unicode=True, width=120)
    write_text(path, text)


LLP = read_dataset("llp")
