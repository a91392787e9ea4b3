"""UnAV-100 (Geng et al., CVPR 2023), as its authors publish it: annotations in a JSON file, features of any rate.

A second is positive if an event touches it, as in UWAV (CVPR 2025). Events beyond a video's end are cut there; UWAV
cuts them at the end of the longest video. Axes: L rows of features, T seconds of a video, its duration rounded up.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from utils.base.errors import InputError
from utils.base.flags import DATA_SETS
from utils.base.npy import read_npy, read_npy_header
from utils.convert.outputs import Converted, Feature, Table, event_table, split_table
from utils.features.dense_videos import FORM, DenseVideo, read_annotations, read_database
from utils.llp.classes import read_yaml
from utils.llp.datasets import DataSet, read_dataset
from utils.llp.tables import fits

SUBSETS = {"train": "train", "val": "validation", "test": "test"}  # what UnAV calls the splits
FEATURES = {"rgb": ("i3d_rgb", 1024), "flow": ("i3d_flow", 1024), "vggish": ("vggish", 128)}  # folder, size of a row


def convert(source: Path) -> Converted:
    """UnAV-100 in this project's form. source: the JSON file, or a folder with it and perhaps with features.

    Raises InputError if the JSON file or features are missing or wrong.
    """
    path = _find_json(Path(source))
    names = class_names(path)
    dataset = _dataset(names)
    videos = read_annotations(path, names)
    notes = [f"{path.name}: {len(videos)} videos, {sum(len(v.events) for v in videos)} events, {len(names)} classes"]
    events, weak = _events(videos, names, notes)
    tables = {}
    for split, subset in SUBSETS.items():
        listed = [video.id for video in videos if video.subset == subset]
        rows = [(video, dataset.separator.join(weak[video])) for video in listed if video in weak]
        tables[dataset.splits[split]] = split_table(rows)
        notes.append(
            f"{split}: {len(listed)} videos; left out, since no event covers a second: {len(listed) - len(rows)}"
        )
    tables[dataset.reference["audio_visual"]] = event_table(events)
    tables[dataset.lengths] = Table(("filename", "seconds"), [(v.id, math.ceil(v.duration)) for v in videos])
    features = _find_features(path.parent, [video.id for video in videos], notes)
    return Converted(dataset, tables, features, notes)


def _find_json(source: Path) -> Path:
    """The file of annotations. Raises InputError if the folder has none or several."""
    if not source.is_dir():
        return source  # read_database says what is wrong with it
    found = sorted(source.glob("*.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise InputError(f"{source}: expected one JSON file, or name it as --source; found {names}")
    return found[0]


def class_names(path: Path) -> list[str]:
    """The names of all events of all videos of a JSON file, in the order of label_id.

    Raises InputError if an event has no name or index, or names and indices 0, 1, 2 do not belong to each other.
    """
    try:
        events = [event for entry in read_database(path).values() for event in entry["annotations"]]
        pairs = {(event["label_id"], event["label"]) for event in events}
        usual = all(type(index) is int and isinstance(name, str) and fits(name) for index, name in pairs)
    except (KeyError, TypeError):
        usual = False
    if not usual:
        raise InputError(f"{path}: expected {FORM}, each event with label and label_id")
    names = [name for _, name in sorted(pairs)]
    for number, (index, name) in enumerate(sorted(pairs)):
        if index != number or names.count(name) > 1:
            found = ", ".join(f"{i} is {n!r:.100}" for i, n in sorted(pairs) if i == index or n == name)
            expected = "expected label_id 0, 1, 2 and so on, each of one name, and each name of one label_id"
            raise InputError(f"{path}: label_id {found}; {expected}")
    if not names:
        raise InputError(f"{path}: has no event, expected some in {FORM}")
    return names


def _dataset(names: Sequence[str]) -> DataSet:
    """The data set with these classes. Names in a list are separated by commas; if some hold commas, by semicolons."""
    separator = ";" if any("," in name for name in names) else ","
    if bad := [name for name in names if separator in name]:
        raise InputError(f"the class {bad[0]!r:.100} holds a semicolon and others hold commas; rename one of them")
    values = read_yaml(DATA_SETS / "unav.yaml", "a data set") | {"separator": separator, "classes": list(names)}
    with tempfile.TemporaryDirectory() as folder:  # a data set is only read from a file
        path = Path(folder, "dataset.yaml")
        path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return read_dataset(path)


def _events(
    videos: Sequence[DenseVideo], names: Sequence[str], notes: list[str]
) -> tuple[list[tuple[str, int, int, str]], dict[str, list[str]]]:
    """Rows (video, onset, offset, event) in whole seconds, and the names of each video's events, in the classes' order.

    Adds lines about events that are cut, cover nothing, or are left out.
    """
    rows, labels, cut, empty = [], {}, 0, 0
    for video in videos:
        seconds = math.ceil(video.duration)
        for start, end, label in video.events:
            onset, offset = math.floor(start), min(math.ceil(end), seconds)
            if onset >= offset:
                empty += 1
                continue
            cut += math.ceil(end) > seconds
            rows.append((video.id, onset, offset, names[label]))
            labels.setdefault(video.id, set()).add(label)
    notes.append(
        f"{len(rows)} events kept: {empty} that cover no second are left out, {cut} are cut at the video's end"
    )
    return rows, {video: [names[label] for label in sorted(found)] for video, found in labels.items()}


def _find_features(folder: Path, videos: Sequence[str], notes: list[str]) -> list[Feature]:
    """The features of each video that are there, <id>_rgb.npy and so on, in the folder or in features/ in it.

    Raises InputError if a file holds something else.
    """
    there = {path.name: path for place in (folder / "features", folder) for path in place.glob("*.npy")}
    features = []
    for suffix, (target, size) in FEATURES.items():
        found = [(video, there[name]) for video in videos if (name := f"{video}_{suffix}.npy") in there]
        for video, path in found:
            shape, dtype = read_npy_header(path)
            if len(shape) != 2 or shape[0] < 1 or shape[1] != size or dtype.kind != "f":
                raise InputError(f"{path}: holds {shape} {dtype}, expected (L, {size}) floating-point numbers")
            features.append(Feature(f"{target}/{video}.npy", shape, str(path), lambda path=path: read_npy(path)))
        if found:
            notes.append(f"{target}: features of {len(found)} of {len(videos)} videos")
    return features
