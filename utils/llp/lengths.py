"""Lengths of videos that differ in length. Axes: N videos."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.llp.datasets import DataSet
from utils.llp.events import LAST, Events
from utils.llp.tables import read_table


def known_lengths(dataset: DataSet, filenames: Sequence[str], events: Sequence[Events]) -> np.ndarray | None:
    """Seconds of N videos that differ in length, (N,) int: of the data set's file, else until their last event.

    None if all are equally long. Raises InputError if the file is missing or wrong, or lacks a video.
    """
    if dataset.seconds:
        return None
    if dataset.lengths:
        return read_lengths(dataset.path(dataset.lengths), filenames)
    ends = pd.concat([pd.Series(e.offset, e.filename) for e in events]).groupby(level=0).max()
    return ends.reindex(list(filenames)).fillna(1).clip(lower=1).to_numpy(np.int64)


def read_lengths(path: Path, filenames: Sequence[str]) -> np.ndarray:
    """Seconds of videos, (N,) int, from a CSV with `filename, seconds`.

    Raises InputError if it is missing or wrong, or lacks one of them.
    """
    seconds = all_lengths(path)
    if missing := [name for name in filenames if name not in seconds]:
        raise InputError(f"{path}: has no {missing[0]}; expected each video")
    return np.array([seconds[name] for name in filenames], np.int64)


def stated_lengths(dataset: DataSet) -> dict[str, int]:
    """Seconds of the videos in the data set's file of lengths, by name; none if all are equally long or there is none.

    Raises InputError if the file is missing or wrong.
    """
    return all_lengths(dataset.path(dataset.lengths)) if dataset.lengths and not dataset.seconds else {}


def all_lengths(path: Path) -> dict[str, int]:
    """Seconds of all videos of such a CSV, by name. Raises InputError if it is missing or wrong."""
    table = read_table(path, ("filename", "seconds"))
    found = {}
    for name, text in zip(table["filename"], table["seconds"], strict=True):
        if not text.isdecimal() or not 1 <= int(text[:10]) <= LAST:
            raise InputError(f"{path}: seconds of {name} are {text!r:.50}; expected a whole number of at least 1")
        found[name] = int(text)
    return found
