"""Writing files so that a reader never sees half of one, whatever kills the writer."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

TMP_SUFFIX = ".tmp"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of a write, which knows no file (a full disk), say which one it was."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    On an error the temporary file is removed and `path` keeps its old contents. After `kill -9` the temporary
    file may stay; its name is fixed, so that the next write replaces it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + TMP_SUFFIX)
    try:
        with naming(path):
            yield tmp
            with open(tmp, "rb") as file:  # the data must be on the disk before the name points to it
                os.fsync(file.fileno())
            os.replace(tmp, path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, all or nothing."""
    with atomic_path(path) as tmp:
        tmp.write_bytes(data)


def append_line(path: Path, line: str) -> None:
    """Append a line of UTF-8 text to `path`."""
    with naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, all or nothing."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value) -> None:
    """Write `value` as indented JSON to `path`, all or nothing. Floats keep full precision."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
