"""The one place for LLP: its classes, its segments, its CSV files.

Axes: N videos, C classes, T segments of one second. Formats and quirks of the files: docs/DATA.md.
"""

import csv
import difflib
import hashlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from utils.cli import LLP_CLASSES, InputError
from utils.files import atomic_path

T = 10  # segments of one second in a video (paper, section 4.1)
ID_LENGTH = 11  # feature files are named by the first 11 characters of `filename`, a YouTube id

SPLIT_FILES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
ALL_VIDEOS_FILE = "AVVP_dataset_full.csv"
SPLIT_COLUMNS = ("filename", "event_labels")
EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")
TRUTH_FILES = {"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"}
PREDICTION_FILES = {"audio": "pred_audio.csv", "visual": "pred_visual.csv"}


class EventClass(NamedTuple):
    """One event class and what the teachers are asked about it."""

    name: str
    clip_caption: str
    clap_caption: str
    clip_threshold: float
    clap_threshold: float


def read_classes(path: Path = LLP_CLASSES) -> tuple[EventClass, ...]:
    """The event classes of a YAML file, in the order of their index.

    Raises:
        InputError: the file is missing, or is not a list of the fields of `EventClass` with names that differ.
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
    """One entry of a class file, the `number`th; InputError where it is not one."""
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


CLASSES = read_classes()
CLASS_NAMES = class_names(CLASSES)
C = len(CLASSES)


class Split(NamedTuple):
    """The videos of one split. weak: (N, C) float32 0/1, or None where nobody asked for them."""

    path: Path
    filenames: list[str]
    weak: np.ndarray | None

    @property
    def ids(self) -> list[str]:
        """Names of the feature files, without suffix."""
        return [video_id(name) for name in self.filenames]


def video_id(filename: str) -> str:
    """`BjCEufrlXm4_20_30` -> `BjCEufrlXm4`. Ids may begin with `-` and contain `_`, so never split at `_`."""
    return filename[:ID_LENGTH]


# ---------------------------------------------------------------------------------------------- reading


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A tab-separated file with a header, as strings, indexed by line number in the file.

    Raises InputError for a missing or unreadable file and for missing columns.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a tab-separated CSV with {', '.join(columns)}")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # columns without a name
            table = pd.read_csv(
                path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE,
                encoding="utf-8-sig", skip_blank_lines=False, index_col=False,
            )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: is empty, expected a tab-separated CSV with {', '.join(columns)}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path}: not a tab-separated UTF-8 CSV ({reason})") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        commas = "; the file is separated by commas" if "," in table.columns[0] else ""
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected tab-separated {', '.join(columns)}, "
            f"found {' '.join(table.columns)}{commas}"
        )
    table.index = np.arange(2, len(table) + 2)  # line 1 is the header
    table = table[list(columns)].fillna("").apply(lambda column: column.str.strip())
    return table[(table != "").any(axis=1)]  # blank lines say nothing


def class_indices(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Indices of the class `names`; InputError for an unknown one."""
    lookup = {name: i for i, name in enumerate(class_names)}
    try:
        return [lookup[name.strip()] for name in names]
    except KeyError as error:
        similar = difflib.get_close_matches(error.args[0], class_names, n=1)
        expected = f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(class_names)}"
        raise InputError(f"unknown class {error}; {expected}") from None


class Video(NamedTuple):
    """A row of a split. weak: (C,) float32 0/1, or None where nobody asked for it, or `problem` says what is wrong."""

    line: int
    filename: str
    weak: np.ndarray | None
    problem: str

    @property
    def id(self) -> str:
        """Name of the feature files, without suffix."""
        return video_id(self.filename)

    @property
    def names(self) -> tuple[str, ...]:
        """What its video may be called, without suffix: its id, or its name without times, or its whole name."""
        return self.id, re.sub(r"_[\d.]+_[\d.]+$", "", self.filename), self.filename


def read_videos(path: Path, class_names: Sequence[str] = CLASS_NAMES, weak_labels: bool = True) -> list[Video]:
    """The videos of a split, in its order, the bad rows among them.

    A row's problem: its name could leave the data folder, it has no event names, or one is unknown.
    Raises InputError where the file cannot be read or has no video.
    """
    table = read_table(path, SPLIT_COLUMNS if weak_labels else SPLIT_COLUMNS[:1])
    if table.empty:
        raise InputError(f"{path}: lists no video")
    labels = table["event_labels"] if weak_labels else [""] * len(table)
    return [
        _video(line, name, names if weak_labels else None, class_names)
        for (line, name), names in zip(table["filename"].items(), labels, strict=True)
    ]


def _video(line: int, name: str, names: str | None, class_names: Sequence[str]) -> Video:
    """The video of one row; `names`: its event names, None where they are not wanted."""
    # the name becomes a path: it must stay inside the feature folder
    if video_id(name) in ("", ".", "..") or re.search(r"[/\\\x00]", name):
        return Video(line, name, None, f"{name!r} is not a video name such as BjCEufrlXm4_20_30")
    if names is None:
        return Video(line, name, None, "")
    if not names:  # a line that was cut off, rather than a video in which nothing happens
        return Video(line, name, None, f"no event names; expected some of {', '.join(class_names)}")
    weak = np.zeros(len(class_names), np.float32)  # (C,)
    try:
        weak[class_indices(names.split(","), class_names)] = 1
    except InputError as error:
        return Video(line, name, None, str(error))
    return Video(line, name, weak, "")


def read_split(path: Path, class_names: Sequence[str] = CLASS_NAMES, weak_labels: bool = True) -> Split:
    """The videos of a split, and with `weak_labels` their event names; InputError for the first bad row."""
    videos = read_videos(path, class_names, weak_labels)
    for video in videos:
        if video.problem:
            raise InputError(f"{path}, line {video.line}: {video.problem}")
    weak = np.stack([v.weak for v in videos]) if weak_labels else None  # (N, C)
    return Split(Path(path), [v.filename for v in videos], weak)


class Events(NamedTuple):
    """Rows of a dense annotation or prediction file, as written: events[i] covers onset[i]..offset[i] - 1."""

    path: Path
    filename: np.ndarray  # (R,) str
    onset: np.ndarray  # (R,) int, seconds
    offset: np.ndarray  # (R,) int, seconds
    label: np.ndarray  # (R,) int, class index


def read_events(path: Path, class_names: Sequence[str] = CLASS_NAMES) -> Events:
    """Read `filename, onset, offset, event_labels` rows.

    Rows with onset >= offset are kept, since the published files have six; they cover no segment.
    Raises InputError, with the line, for a time that is not a whole second in 0..10 or an unknown class.
    """
    table = read_table(path, EVENT_COLUMNS)
    times = {}
    for column in ("onset", "offset"):
        seconds = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        wrong = ~((seconds >= 0) & (seconds <= T) & (seconds % 1 == 0))  # True for NaN, too
        if wrong.any():
            line = table.index[wrong][0]
            raise InputError(
                f"{path}, line {line}: {column} is {table.loc[line, column]!r}, expected a whole second from 0 to {T}"
            )
        times[column] = seconds.astype(int)
    known = {name: i for i, name in enumerate(class_names)}
    labels = table["event_labels"].map(known)
    if labels.isna().any():
        line = table.index[labels.isna()][0]
        try:
            class_indices([table.loc[line, "event_labels"]], class_names)
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    return Events(Path(path), table["filename"].to_numpy(str), label=labels.to_numpy(int), **times)


def events_to_segments(events: Events, filenames: Sequence[str], num_classes: int = C) -> np.ndarray:
    """(N, C, T) bool: segments onset..offset-1 of each row, for rows whose full `filename` is asked for.

    Never by the 11-character id: `19jWnmYnlD8_30_400` is no annotation of `19jWnmYnlD8_30_40` (spec, section 1).
    """
    rows_of = {}
    for row, name in enumerate(filenames):
        rows_of.setdefault(name, []).append(row)
    segments = np.zeros((len(filenames), num_classes, T), bool)
    for name, onset, offset, label in zip(*events[1:], strict=True):
        segments[rows_of.get(name, []), label, onset:offset] = True
    return segments


# ---------------------------------------------------------------------------------------------- quirks


def describe_quirks(events: Events, known: set[str] | None, unknown_to: str) -> str:
    """One line that counts the rows of an event file that label nothing or nobody; '' where there is none.

    Args:
        known: names of all videos that may have rows, None where that is not known; `unknown_to` says of others what
            they are not in.
    """
    rows = pd.DataFrame(dict(zip(Events._fields[1:], events[1:], strict=True)))
    counts = {
        "empty (onset = offset)": (rows.onset == rows.offset).sum(),
        "reversed (offset < onset)": (rows.offset < rows.onset).sum(),
        "duplicate": rows.duplicated().sum(),
    }
    if known is not None:
        unknown = ~rows.filename.isin(known)
        counts[f"for {rows.filename[unknown].nunique()} names {unknown_to}"] = unknown.sum()
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{events.path}: {len(rows)} rows, of which without effect: {found}" if found else ""


def annotated_videos(folder: Path) -> set[str] | None:
    """All names of LLP's val and test CSVs in `folder`, or None where they are not both there."""
    paths = [Path(folder) / SPLIT_FILES[split] for split in ("val", "test")]
    if not all(p.is_file() for p in paths):
        return None
    return {name for p in paths for name in read_table(p, SPLIT_COLUMNS[:1])["filename"]}


# The rows in which LLP's two published audio files differ, and the digest of each whole file.
_REPAIRED = ("JfZEqeLZqWk_30_40", "KvIjsmANkxI_10_20")
_DAMAGED = ("Baby_cry_infant_cry", "KvIjsmANkxI_10_20`")
_DIGESTS = {
    "2020": "44ea9eb9b36fd53148d6242f70d171770afee5b1dddff31ab2bd72cdd6660b60",
    "2024": "9a18c2c99139dbe5e94334674f1eec2877a6acd40a23c582115922c5504f2079",
}


def digest(events: Events, class_names: Sequence[str] = CLASS_NAMES) -> str:
    """SHA-256 of the rows, whatever their order, line ends or number format."""
    rows = zip(*events[1:4], (class_names[i] for i in events.label), strict=True)
    return hashlib.sha256("\n".join(sorted("\t".join(map(str, row)) for row in rows)).encode()).hexdigest()


def annotation_version(audio: Events, class_names: Sequence[str] = CLASS_NAMES) -> str:
    """Which of LLP's two published audio annotations this is, judged by its content.

    The 2020 file, which the paper's numbers used, has three rows with a damaged file name; April 2024 repaired them.
    """
    names = set(audio.filename.tolist())
    versions = []
    if names.issuperset(_DAMAGED):
        versions.append("2020")
    if names.issuperset(_REPAIRED) and not names & set(_DAMAGED):
        versions.append("2024")
    if not versions:
        return f"not LLP's published audio annotations ({len(audio.filename)} rows in {audio.path})"
    changed = (
        ""
        if digest(audio, class_names) == _DIGESTS[versions[0]]
        else ", changed: its other rows are not those published"
    )
    return f"{versions[0]} version of LLP's audio annotations ({len(audio.filename)} rows{changed})"


# ---------------------------------------------------------------------------------------------- truth, predictions


class Truth(NamedTuple):
    """Dense annotations of N videos, (N, C, T) bool each, and what was odd about their files."""

    audio: np.ndarray
    visual: np.ndarray
    version: str
    quirks: list[str]


def read_truth(folder: Path, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES) -> Truth:
    """Dense annotations of the videos `filenames` from the two CSVs in `folder`; no row: nothing happens there."""
    events = {m: read_events(Path(folder) / name, class_names) for m, name in TRUTH_FILES.items()}
    annotated = annotated_videos(folder)
    return Truth(
        **{m: events_to_segments(e, filenames, len(class_names)) for m, e in events.items()},
        version=annotation_version(events["audio"], class_names),
        quirks=[
            line for e in events.values() if (line := describe_quirks(e, annotated, "that neither val nor test lists"))
        ],
    )


def read_predictions(
    folder: Path, filenames: Sequence[str], asked_by: Path, class_names: Sequence[str] = CLASS_NAMES
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decisions from the two CSVs that `write_predictions` writes; no row: nothing was predicted.

    Args:
        filenames: N videos; asked_by: the file that lists them, for messages.

    Returns:
        audio and visual (N, C, T) bool, by these names; what was odd about the files, a line each.
    """
    events = {m: read_events(Path(folder) / name, class_names) for m, name in PREDICTION_FILES.items()}
    rows = np.concatenate([e.filename for e in events.values()])
    if len(rows) and not np.isin(rows, listed := list(filenames)).any():
        raise InputError(
            f"{folder}: none of its {len(rows)} rows names a video of {asked_by}; names are whole, such as {listed[0]}"
        )
    quirks = (describe_quirks(e, set(filenames), "that are not asked for") for e in events.values())
    segments = {m: events_to_segments(e, filenames, len(class_names)) for m, e in events.items()}
    return segments, [line for line in quirks if line]


def segments_to_events(
    segments: np.ndarray, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> pd.DataFrame:
    """(N, C, T) bool -> rows of EVENT_COLUMNS: each maximal run of positive segments is one event."""
    padded = np.pad(np.asarray(segments, bool), ((0, 0), (0, 0), (1, 1)))
    video, label, boundary = np.nonzero(padded[..., 1:] != padded[..., :-1])  # onsets and offsets alternate
    return pd.DataFrame(
        {
            "filename": np.asarray(filenames, object)[video[::2]],
            "onset": boundary[::2],
            "offset": boundary[1::2],
            "event_labels": np.asarray(class_names, object)[label[::2]],
        }
    )


def write_predictions(
    folder: Path,
    filenames: Sequence[str],
    audio: np.ndarray,
    visual: np.ndarray,
    class_names: Sequence[str] = CLASS_NAMES,
) -> None:
    """Write `pred_audio.csv` and `pred_visual.csv` to `folder` from (N, C, T) bool decisions."""
    for modality, segments in (("audio", audio), ("visual", visual)):
        with atomic_path(Path(folder) / PREDICTION_FILES[modality]) as tmp:
            segments_to_events(segments, filenames, class_names).to_csv(tmp, sep="\t", index=False)
