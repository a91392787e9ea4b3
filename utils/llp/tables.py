"""Tab-separated files, as LLP publishes them: without quotes, so that no text in them has a tab or a line end."""

import csv
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.base.files import read_bounded, write_text
from utils.llp.missing import how_to_get

AS_WRITTEN = {"dtype": str, "keep_default_na": False, "quoting": csv.QUOTE_NONE, "skip_blank_lines": False}


def fits(text: str) -> bool:
    """Whether a text can stand in such a file, and is read as it was written: also without spaces around it."""
    return bool(text) and text == text.strip() and not set("\t\r\n\0") & set(text)


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], may_be_empty: bool = False
) -> None:
    """Write a file that `read_table` reads, atomically. Raises InputError as `table_text` does."""
    write_text(path, table_text(path, columns, rows, may_be_empty))


def table_text(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], may_be_empty: bool = False) -> str:
    """What a file that `read_table` reads holds: a header, and rows of texts and numbers.

    may_be_empty: a text behind the first of a row may be ''.
    Raises InputError, with the path, if a text cannot stand in such a file.
    """
    lines = ["\t".join(columns)]
    for row in rows:
        texts = [str(value) for value in row]
        if bad := [text for i, text in enumerate(texts) if not fits(text) and not (may_be_empty and i and not text)]:
            expected = "expected a name without tabs, line ends, and spaces around it"
            raise InputError(f"{path}: {bad[0]!r:.200} cannot stand in a tab-separated file; {expected}")
        lines.append("\t".join(texts))
    return "\n".join([*lines, ""])


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A tab-separated file with a header, as strings, indexed by line number in the file.

    Raises InputError if the file is missing or unreadable, or lacks a column.
    """
    path, expected = Path(path), f"expected a tab-separated CSV with {', '.join(columns)}"
    data = read_bounded(path, expected if path.exists() else expected + how_to_get(path))
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        if b"\0" in data:  # pandas would drop what follows it
            raise ValueError("it holds a NUL")
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # columns without a name
            table = pd.read_csv(text, sep="\t", index_col=False, **AS_WRITTEN)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: is empty, {expected}") from None
    except Exception as error:  # beside pandas' own errors, those of its parts
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")[:200]
        raise InputError(f"{path}: not a tab-separated UTF-8 CSV ({reason})") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        found = " ".join(" ".join(table.columns).split())[:200] or "none in line 1"
        found += "; the file is separated by commas" if len(table.columns) and "," in table.columns[0] else ""
        raise InputError(f"{path}: no column {', '.join(missing)}; {expected}, found {found}")
    table.index = np.arange(2, len(table) + 2)  # line 1 is the header
    table = table[list(columns)].fillna("").apply(lambda column: column.str.strip())
    return table[(table != "").any(axis=1)]  # blank lines say nothing
