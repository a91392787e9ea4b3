"""Dense events: rows of a CSV <-> (N, C, T) arrays.

Axes: N videos, C classes, T segments of one second, R rows, E events.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.llp.classes import CLASS_NAMES, C, T, class_indices
from utils.llp.tables import read_table, write_table

EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")


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
    Raises InputError, with the line, if a time is not a whole second in 0..10 or a class is unknown.
    """
    table = read_table(path, EVENT_COLUMNS)
    times = {}
    for column in ("onset", "offset"):
        seconds = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        wrong = ~((seconds >= 0) & (seconds <= T) & (seconds == np.floor(seconds)))  # True for NaN, too
        if wrong.any():
            line = table.index[wrong][0]
            found = f"{column} is {table.loc[line, column]!r:.200}"
            raise InputError(f"{path}, line {line}: {found}, expected a whole second from 0 to {T}")
        times[column] = seconds.astype(int)
    labels = table["event_labels"].map({name: i for i, name in enumerate(class_names)})
    if labels.isna().any():
        line = table.index[labels.isna()][0]
        try:
            class_indices([table.loc[line, "event_labels"]], class_names)
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    return Events(Path(path), table["filename"].to_numpy(str), label=labels.to_numpy(int), **times)


def write_events(path: Path, events: pd.DataFrame) -> None:
    """Write rows of EVENT_COLUMNS, as `read_events` reads them. Raises InputError if a name cannot stand in a file."""
    write_table(path, EVENT_COLUMNS, events[list(EVENT_COLUMNS)].itertuples(index=False))


def events_to_segments(events: Events, filenames: Sequence[str], num_classes: int = C) -> np.ndarray:
    """(N, C, T) bool: segments onset..offset-1 of each row whose full `filename` is among `filenames`.

    Never by the 11-character id: `19jWnmYnlD8_30_400` does not annotate `19jWnmYnlD8_30_40` (docs/DATA.md).
    """
    rows_of = {}
    for row, name in enumerate(filenames):
        rows_of.setdefault(name, []).append(row)
    segments = np.zeros((len(filenames), num_classes, T), bool)
    for name, onset, offset, label in zip(*events[1:], strict=True):
        segments[rows_of.get(name, []), label, onset:offset] = True
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


def find_events(segments: np.ndarray) -> np.ndarray:
    """(N, C, T) bool -> (E, 4) int: video, class, onset and offset of each maximal run of positive segments."""
    onsets, offsets = find_runs(np.asarray(segments, bool))
    row, onset = np.divmod(onsets, segments.shape[-1] + 1)
    return np.stack([*np.divmod(row, segments.shape[1]), onset, onset + offsets - onsets], axis=1)


def segments_to_events(
    segments: np.ndarray, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> pd.DataFrame:
    """(N, C, T) bool -> rows of EVENT_COLUMNS: each maximal run of positive segments is one event."""
    video, label, onset, offset = find_events(segments).T
    names, labels = np.asarray(filenames, object)[video], np.asarray(class_names, object)[label]
    return pd.DataFrame(dict(zip(EVENT_COLUMNS, (names, onset, offset, labels), strict=True)))
