"""What runs are called in pages, tables and figures."""

import os
from collections.abc import Sequence
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import as_text

KEYS = "AB"  # what two runs are called for short, beside their names


def run_names(folders: Sequence[Path], given: dict[str, str | None]) -> list[str]:
    """Name of each run, on one line: the given one, else the last parts of its folder, as many as tell the runs apart.

    given: flag -> name or None, for each folder. Raises InputError if a given name is empty.
    """
    parts = [Path(os.path.abspath(folder)).parts for folder in folders]
    counts = range(1, max(map(len, parts)) + 1)
    count = next((n for n in counts if len({end[-n:] for end in parts}) == len(parts)), 1)  # 1: it is the same folder
    names = []
    for (flag, name), end in zip(given.items(), parts, strict=True):
        names.append(" ".join((as_text(Path(*end[-count:])) if name is None else name).split()))
        if name is not None and not names[-1]:
            raise InputError(f"{flag} {name!r}: is empty, expected a name")
    return names


def run_labels(names: Sequence[str]) -> list[str]:
    """Names where the runs must be told apart, also if they are called alike: of two runs with A and B before them."""
    return [f"{key}: {name}" for key, name in zip(KEYS, names, strict=True)] if len(names) > 1 else list(names)
