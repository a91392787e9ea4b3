"""Writing files atomically, locks, and whether there is a place to write to."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.base.errors import Busy, InputError

TMP_SUFFIX = ".tmp"
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def require_writable(flag: str, path: Path | None, folder: bool = False) -> None:
    """Raises InputError if `path` is a folder and a file is to be written there, or the other way round."""
    above = next((p for p in path.absolute().parents if p.exists()), None) if path else None
    if above and not above.is_dir():
        raise InputError(f"{flag} {path}: {above} is a file, expected a folder")
    if path and path.exists() and path.is_dir() != folder:
        kinds = ("a folder", "a file") if folder else ("a file", "a folder")
        raise InputError(f"{flag} {path}: is {kinds[1]}, expected {kinds[0]} to write")


def require_figure_name(flag: str, path: Path) -> None:
    """Raises InputError if the name does not end in one of FIGURE_SUFFIXES."""
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise InputError(f"{flag} {path}: expected a name that ends in {', '.join(FIGURE_SUFFIXES)}")


def existing_part(path: Path) -> Path:
    """The path itself if it exists, else the nearest existing folder above it."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def require_room_for_files(flag: str, folder: Path | None) -> None:
    """Raises InputError if nothing can be written in `folder` or its nearest existing parent: before hours of work."""
    if not folder:
        return
    there = existing_part(folder)
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise InputError(f"{flag} {folder}: nothing can be written in {there} ({error.strerror})") from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to the system's error of a write, which may lack it (a full disk)."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:  # other libraries' errors have no number, but a text
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    On an error the temporary file is removed and `path` keeps its old contents. After `kill -9` the temporary
    file may stay; its name is fixed, so that the next write replaces it.
    sync: wait until the data is on the disk. Without, call os.sync after the last of many files.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + TMP_SUFFIX)
    try:
        with naming(path):
            yield tmp
            if sync:
                with open(tmp, "rb") as file:  # the data must be on the disk before the name points to it
                    os.fsync(file.fileno())
            os.replace(tmp, path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Move a file atomically, also to another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as tmp:
            shutil.copyfile(source, tmp)
        source.unlink()


@contextlib.contextmanager
def locked_path(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of an existing file or folder. Raises Busy(busy) if another process holds it.

    A file system without locks gives none, and nothing is raised.
    """
    import fcntl  # here, since Windows has none

    lock = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(busy) from None
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def locked(work: str, busy: str) -> Iterator[None]:
    """Let one process of this user on this machine at a time do `work`. Raises Busy(busy) if another one does it."""
    name = f"valor-{os.getuid()}-{hashlib.sha256(work.encode()).hexdigest()[:16]}.lock"
    path = Path(tempfile.gettempdir(), name)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with locked_path(path, busy):
        yield


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with atomic_path(path) as tmp:
        tmp.write_bytes(data)


def append_line(path: Path, line: str) -> None:
    """Append a line of UTF-8 text to `path`."""
    with naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON to `path`, atomically. Floats keep full precision."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises InputError if the disk of `folder`, which may not exist yet, has less than `needed` bytes left."""
    free = shutil.disk_usage(existing_part(folder)).free
    if needed > free:
        raise InputError(f"{folder}: {size_text(needed)} needed {what}, {size_text(free)} free")


def size_text(size: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
