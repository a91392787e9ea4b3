"""Reference annotations and predictions: their files, their versions, their known defects.

Axes: N videos, C classes, T segments of one second.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.llp.carried import write_carried
from utils.llp.datasets import LLP, SPLITS, DataSet
from utils.llp.events import Events, Segments, events_to_segments, read_events, segments_to_events, write_events
from utils.llp.lengths import known_lengths
from utils.llp.probabilities import FILE, Probabilities, read_probabilities, write_probabilities
from utils.llp.tables import read_table
from utils.llp.versions import NOT_PUBLISHED, annotation_version, is_list_of_llp
from utils.llp.videos import SPLIT_COLUMNS, Split, read_split

REFERENCE_FILES = LLP.reference
PREDICTION_FILES = {"audio": "pred_audio.csv", "visual": "pred_visual.csv"}
AV_PREDICTION_FILE = "pred_audio_visual.csv"  # of a program that decides nothing else


def annotation_issues(
    events: Events, known: set[str] | None, unknown_to: str, ends: Mapping[str, int] | None = None
) -> list[str]:
    """One line that counts the rows of an event file that have no effect; no line if all have one.

    known: names of all videos that may have rows, or None if unknown; `unknown_to` describes other names.
    ends: seconds of videos that differ in length, by name; rows that go on behind the end are counted, too.
    """
    rows = pd.DataFrame(dict(zip(Events._fields[1:], events[1:], strict=True)))
    if ends is None:
        counts = {
            "empty (onset = offset)": (rows.onset == rows.offset).sum(),
            "reversed (offset < onset)": (rows.offset < rows.onset).sum(),
        }
    else:
        end = rows.filename.map(ends)
        counts = {
            "covering no second": (rows.onset >= rows.offset).sum(),
            "cut at the end of their video": ((rows.offset > end) & (rows.onset < rows.offset)).sum(),
        }
    counts["duplicate"] = rows.duplicated().sum()
    if known is not None:
        unknown = ~rows.filename.isin(known)
        counts[f"for {rows.filename[unknown].nunique()} names {unknown_to}"] = unknown.sum()
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    effect = "without effect" if ends is None else "without effect or cut"
    return [f"{events.path}: {len(rows)} rows; {effect}: {found}"] if found else []


def dense_video_names(folder: Path, dataset: DataSet = LLP) -> set[str] | None:
    """All names of the lists of videos in `folder` that may be annotated, or None if a list is missing.

    Those of LLP are val and test.
    """
    paths = [Path(folder) / dataset.splits[split] for split in SPLITS[dataset.name == LLP.name :]]
    if not all(p.is_file() for p in paths):
        return None
    return {name for p in paths for name in read_table(p, SPLIT_COLUMNS[:1])["filename"]}


class Reference(NamedTuple):
    """Dense annotations of N videos, (N, C, T) bool each, their version, and what was odd about their files.

    Of a data set that is annotated in sound and picture together, both are that.
    """

    audio: Segments
    visual: Segments
    version: str
    issues: list[str]


def read_reference(
    folder: Path, filenames: Sequence[str], dataset: DataSet = LLP, lengths: np.ndarray | None = None
) -> Reference:
    """Dense annotations of the N videos `filenames` from the CSVs in `folder`; a video without rows has no events.

    lengths: (N,) int, seconds of videos that differ in length; if not given, as `known_lengths` says.
    Raises InputError if a file is missing or wrong.
    """
    events = reference_events(folder, dataset)
    lengths = known_lengths(dataset, filenames, events) if lengths is None else lengths
    segments = [_segments(e, filenames, dataset, lengths) for e in events]
    known, where = dense_video_names(folder, dataset), "that neither val nor test lists"
    where = where if dataset.name == LLP.name else "that no list of videos has"
    ends = None if dataset.seconds else dict(zip(filenames, lengths, strict=True))
    issues = [line for e in events for line in annotation_issues(e, known, where, ends)]
    return Reference(segments[0], segments[-1], _version(folder, events, filenames, dataset), issues)


def _version(folder: Path, events: Sequence[Events], filenames: Sequence[str], dataset: DataSet) -> str:
    """Which annotations these are: of LLP, or of its videos, which version; else how many rows."""
    if dataset.name == LLP.name and dataset.class_names == LLP.class_names:
        version = annotation_version(events[0])
        if not version.startswith(NOT_PUBLISHED) or is_list_of_llp(filenames):
            return version
    name = f"{dataset.name}, " * (dataset.name != LLP.name)
    return f"{name}{' and '.join(str(len(e.filename)) for e in events)} rows in {folder}"


def reference_events(folder: Path, dataset: DataSet) -> list[Events]:
    """The rows of each of a data set's annotation files. Raises InputError if one is missing or wrong."""
    return [read_events(Path(folder) / name, dataset) for name in dataset.reference.values()]


def _segments(events: Events, filenames: Sequence[str], dataset: DataSet, lengths: np.ndarray | None) -> Segments:
    return events_to_segments(events, filenames, len(dataset.classes), dataset.seconds or lengths)


class Predictions(NamedTuple):
    """Predictions for N videos, (N, C, T) bool each, and what was odd about their files."""

    audio: Segments
    visual: Segments
    issues: list[str]


def prediction_events(folder: Path, dataset: DataSet) -> list[Events]:
    """The rows of the CSVs that `write_predictions` writes, or of AV_PREDICTION_FILE alone, if that is what there is.

    Raises InputError if a file is missing or wrong.
    """
    both = Path(folder) / AV_PREDICTION_FILE
    is_av = dataset.av_only and both.is_file()
    paths = [both] if is_av else [Path(folder) / name for name in PREDICTION_FILES.values()]
    return [read_events(path, dataset) for path in paths]


def read_predictions(
    folder: Path,
    filenames: Sequence[str],
    listed_in: Path,
    dataset: DataSet = LLP,
    lengths: np.ndarray | None = None,
    events: Sequence[Events] = (),
) -> Predictions:
    """Predictions from the CSVs that `write_predictions` writes; a video without rows predicts nothing.

    filenames: N videos; listed_in: the file that lists them, for messages. lengths: (N,) int, if they differ.
    events: `prediction_events` of the folder, if they have been read.
    Raises InputError if a file is missing or wrong, or has rows of which none names one of the videos.
    """
    events = events or prediction_events(folder, dataset)
    listed = list(filenames)
    strange = [e for e in events if len(e.filename) and not np.isin(e.filename, listed).any()]
    if strange:  # all of them, or one
        where = folder if len(strange) == len(events) else strange[0].path
        rows = sum(len(e.filename) for e in strange)
        expected = f"expected full names, such as {listed[0]}"
        raise InputError(f"{where}: none of its {rows} rows names a video of {listed_in}; {expected}")
    segments = [_segments(e, filenames, dataset, lengths) for e in events]
    ends = None if dataset.seconds else dict(zip(filenames, lengths, strict=True))
    issues = [line for e in events for line in annotation_issues(e, set(filenames), "that are not asked for", ends)]
    if dataset.av_only:  # then only what is decided for both can be right
        segments = [segments[0] & segments[-1]]
    return Predictions(segments[0], segments[-1], issues)


class Evaluation(NamedTuple):
    """The N videos of a split, their reference, and predictions for them from one folder or more."""

    split: Split
    dataset: DataSet
    reference: Reference
    predictions: list[Predictions]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.dataset.class_names

    @property
    def issues(self) -> list[str]:
        """What was odd about the files, a line each: first those of the predictions, then those of the reference."""
        return [line for source in (*self.predictions, self.reference) for line in source.issues]

    def indices(self, flag: str, names: Sequence[str]) -> list[int]:
        """Places of videos in the split. Raises InputError, with the flag, if one is not in it."""
        places = {name: i for i, name in enumerate(self.split.filenames)}
        unknown = [name for name in names if name not in places]
        if unknown:
            raise InputError(f"{flag} {unknown[0]}: not in {self.split.path}")
        return [places[name] for name in names]


def read_evaluation(
    pred_dirs: Sequence[Path],
    label_csv: Path | None = None,
    gt_dir: Path | None = None,
    dataset: DataSet = LLP,
) -> Evaluation:
    """Read everything that scores, pages and timelines of predictions need: the flags of `add_scoring_flags`.

    label_csv, gt_dir: None: the data set's test videos, and its folder.
    Videos that differ in length have the lengths that `probabilities.npz` beside the first predictions says, else those
    of the data set, else they last until their last event.
    Raises InputError if a file is missing or wrong.
    """
    label_csv, gt_dir = dataset.paths({"label_csv": label_csv, "gt_dir": gt_dir}).values()
    split = read_split(label_csv, dataset, weak_labels=False)
    events = [prediction_events(folder, dataset) for folder in pred_dirs]
    lengths = None
    if dataset.seconds is None and pred_dirs and (Path(pred_dirs[0]) / FILE).is_file():
        lengths = read_probabilities(Path(pred_dirs[0]) / FILE, split.filenames, dataset).lengths
    elif dataset.seconds is None:
        every = [*reference_events(gt_dir, dataset), *(one for found in events for one in found)]
        lengths = known_lengths(dataset, split.filenames, every)
    predictions = [
        read_predictions(folder, split.filenames, label_csv, dataset, lengths, found)
        for folder, found in zip(pred_dirs, events, strict=True)
    ]
    return Evaluation(split, dataset, read_reference(gt_dir, split.filenames, dataset, lengths), predictions)


def write_predictions(
    folder: Path,
    filenames: Sequence[str],
    audio: Segments,
    visual: Segments,
    dataset: DataSet = LLP,
    probabilities: Probabilities | None = None,
) -> None:
    """Write `pred_audio.csv` and `pred_visual.csv` to `folder` from (N, C, T) bool predictions, and their classes.

    probabilities: to write to `probabilities.npz`, too.

    Raises InputError if a name cannot stand in the CSVs, or `folder` describes another data set.
    """
    write_carried(folder, dataset)
    for name, segments in zip(PREDICTION_FILES.values(), (audio, visual), strict=True):
        events = segments_to_events(segments, filenames, dataset.class_names, dataset.offset)
        write_events(Path(folder) / name, events)
    if probabilities:
        write_probabilities(Path(folder) / FILE, filenames, probabilities)
