"""Dense events: rows of a CSV <-> (N, C, T) arrays, or Ragged flags of videos that differ in length.

Axes: N videos, C classes, T segments of one second, R rows, E events.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.llp.classes import CLASS_NAMES, OTHERS, C, T, class_indices
from utils.llp.datasets import LLP, DataSet
from utils.llp.ragged import Ragged
from utils.llp.tables import read_table, write_table

EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")
LAST = 10**7  # seconds: what a file of videos of any length may hold
Segments = np.ndarray | Ragged


class Events(NamedTuple):
    """Rows of a dense annotation or prediction file: events[i] covers the seconds onset[i]..offset[i] - 1."""

    path: Path
    filename: np.ndarray  # (R,) str
    onset: np.ndarray  # (R,) int, seconds
    offset: np.ndarray  # (R,) int, seconds
    label: np.ndarray  # (R,) int, class index


def whole_seconds(onset: np.ndarray, offset: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Times of events, (R,) each, by a data set's rule -> the seconds onset..offset - 1 that they cover, (R,) int each.

    exclusive: onset..offset - 1. inclusive: onset..offset. touching: every second that they touch.
    """
    if rule == "touching":
        return np.floor(onset).astype(int), np.ceil(offset).astype(int)
    return onset.astype(int), offset.astype(int) + (rule == "inclusive")


def read_events(path: Path, dataset: DataSet = LLP) -> Events:
    """Read `filename, onset, offset, event_labels` rows, with times by the data set's rule.

    Rows with onset >= offset are kept, since the published files have some; they cover no segment.
    Raises InputError, with the line, if a time is not a (whole) second of a video or a class is unknown.
    """
    class_names, last = dataset.class_names, dataset.seconds or LAST
    table = read_table(path, EVENT_COLUMNS)
    times = []
    for column in ("onset", "offset"):
        seconds = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        is_second = dataset.offset == "touching" or seconds == np.floor(seconds)
        wrong = ~((seconds >= 0) & (seconds <= last) & is_second)  # True for NaN, too
        if wrong.any():
            line = table.index[wrong][0]
            what = "a second" if dataset.offset == "touching" else "a whole second"
            found = f"{column} is {table.loc[line, column]!r:.200}"
            raise InputError(f"{path}, line {line}: {found}, expected {what} from 0 to {last}")
        times.append(seconds)
    labels = table["event_labels"].map({name: i for i, name in enumerate(class_names)})
    if labels.isna().any():
        line = table.index[labels.isna()][0]
        try:
            class_indices([table.loc[line, "event_labels"]], class_names)
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}; {OTHERS}") from None
    times = whole_seconds(*times, dataset.offset)
    return Events(Path(path), table["filename"].to_numpy(str), *times, labels.to_numpy(int))


def write_events(path: Path, events: pd.DataFrame) -> None:
    """Write rows of EVENT_COLUMNS, as `read_events` reads them. Raises InputError if a name cannot stand in a file."""
    write_table(path, EVENT_COLUMNS, events[list(EVENT_COLUMNS)].itertuples(index=False))


def events_to_segments(
    events: Events, filenames: Sequence[str], num_classes: int = C, seconds: int | np.ndarray = T
) -> Segments:
    """(N, C, T) bool: segments onset..offset-1 of each row whose full `filename` is among `filenames`.

    Never by the 11-character id: `19jWnmYnlD8_30_400` does not annotate `19jWnmYnlD8_30_40` (docs/DATA.md).
    seconds: T of all videos; or (N,) of each, which makes Ragged flags. What is behind the end of a video is cut.
    """
    rows_of = {}
    for row, name in enumerate(filenames):
        rows_of.setdefault(name, []).append(row)
    if isinstance(seconds, int):
        segments = np.zeros((len(filenames), num_classes, seconds), bool)
    else:
        segments = Ragged(np.zeros((int(np.sum(seconds)), num_classes), bool), seconds)
    for name, onset, offset, label in zip(*events[1:], strict=True):
        for row in rows_of.get(name, ()):
            segments[row][label, onset:offset] = True
    return segments


def find_runs(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Onsets and offsets, (E,) int each, of all maximal runs of positive segments in (..., T) bool.

    They are positions in the rows of T segments laid end to end, with one empty segment between two rows.
    """
    length = segments.shape[-1]
    flat = np.zeros(segments[..., 0].size * (length + 1) + 1, bool)
    flat[1:].reshape(*segments.shape[:-1], length + 1)[..., :length] = segments
    boundaries = np.flatnonzero(flat[1:] != flat[:-1])  # onset, offset, onset, offset, ...
    return boundaries[::2], boundaries[1::2]


def find_events(segments: Segments) -> np.ndarray:
    """(N, C, T) bool -> (E, 4) int: video, class, onset and offset of each maximal run of positive segments."""
    if isinstance(segments, Ragged):
        blocks = [(videos, find_events(segments.padded(videos))) for videos in segments.blocks()]
        found = np.concatenate([np.column_stack([videos[events[:, 0]], events[:, 1:]]) for videos, events in blocks])
        return found[np.lexsort(found.T[2::-1])]  # by video, class and onset, as above
    onsets, offsets = find_runs(np.asarray(segments, bool))
    row, onset = np.divmod(onsets, segments.shape[-1] + 1)
    return np.stack([*np.divmod(row, segments.shape[1]), onset, onset + offsets - onsets], axis=1)


def segments_to_events(
    segments: Segments, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES, rule: str = LLP.offset
) -> pd.DataFrame:
    """(N, C, T) bool -> rows of EVENT_COLUMNS: each maximal run of positive segments is one event.

    rule: of offsets, so that `read_events` of such a data set reads the same segments.
    """
    video, label, onset, offset = find_events(segments).T
    offset = offset - (rule == "inclusive")
    names, labels = np.asarray(filenames, object)[video], np.asarray(class_names, object)[label]
    return pd.DataFrame(dict(zip(EVENT_COLUMNS, (names, onset, offset, labels), strict=True)))
