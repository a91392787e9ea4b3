"""Writing files atomically, locks, and whether there is a place to write to."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from utils.base.errors import Busy, InputError, NoRoom

TMP_SUFFIX = ".tmp"
MAX_TEXT = 2**26  # bytes of a text file: LLP's largest has one fiftieth
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def require_writable(flag: str, path: Path | None, folder: bool = False) -> None:
    """Raises InputError if `path` is a folder and a file is to be written there, or the other way round."""
    above = next((p for p in path.absolute().parents if p.exists()), None) if path else None
    if above and not above.is_dir():
        raise InputError(f"{flag} {path}: {above} is a file, expected a folder")
    if path and path.exists() and path.is_dir() != folder:
        kinds = ("a folder", "a file") if folder else ("a file", "a folder")
        raise InputError(f"{flag} {path}: is {kinds[1]}, expected {kinds[0]} to write")


def as_text(path: Path | str) -> str:
    """A path to print or write; bytes that are no valid text are replaced."""
    return os.fsencode(path).decode(errors="replace")


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
    """Give the system's error of a write the file's name: it may lack one (a full disk), or name a temporary file."""
    try:
        yield
    except OSError as error:
        is_ours = error.filename is None or str(error.filename).startswith(f"{path}.")
        if is_ours and error.errno is not None:  # other libraries' errors have no number, but a text
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True, one_of_many: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an error.

    On an error the temporary file is removed and `path` keeps its old contents. After `kill -9` the temporary
    file, `<name>.<eight random digits>.tmp`, may stay; the next write of `path` removes it.
    sync: wait until the data is on the disk. Without, call os.sync after the last of many files.
    one_of_many: leave it to the caller to `remove_leftovers` once, before the first of many files.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not one_of_many:
        remove_leftovers(path.parent, {path.name})
    tmp = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TMP_SUFFIX}")
    with naming(path):  # exclusively: a file or link that somebody put there is never written to
        made = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # the mode that tempfile would not give
    try:
        with _file_lock(made), naming(path):
            yield tmp
            if sync:
                with open(tmp, "rb") as file:  # the data must be on the disk before the name points to it
                    os.fsync(file.fileno())
            os.replace(tmp, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.truncate(tmp, 0)  # a library may keep it open, and so its room on the disk
        tmp.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path, names: Container[str] | None = None) -> None:
    """Remove what killed processes left half-written in a folder: of the files `names`, None: of all."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = [e.name for e in entries if e.name.endswith(TMP_SUFFIX) and not e.is_dir(follow_symlinks=False)]
        for name in found:
            if names is None or re.sub(r"(\.[0-9a-f]{8})?\.tmp$", "", name) in names:
                _remove_leftover(Path(folder, name))


def _remove_leftover(path: Path) -> None:
    """Remove a temporary file, unless another process is writing it."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink():  # none of ours, but in our place
            path.unlink()
            return
        with contextlib.suppress(Busy), locked_path(path, "it is being written"):
            path.unlink()


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
    with _file_lock(os.open(path, os.O_RDONLY), busy):
        yield


@contextlib.contextmanager
def _file_lock(file: int, busy: str = "") -> Iterator[None]:
    """Hold the lock of an open file, and close it. Raises Busy(busy) if another process holds it."""
    import fcntl  # here, since Windows has none

    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(busy) from None
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def locked(work: str, busy: str) -> Iterator[None]:
    """Let one process of this user on this machine at a time do `work`. Raises Busy(busy) if another one does it."""
    name = f"valor-{os.getuid()}-{hashlib.sha256(work.encode()).hexdigest()[:16]}.lock"
    path = Path(tempfile.gettempdir(), name)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    with locked_path(path, busy):
        yield


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with atomic_path(path) as tmp:
        tmp.write_bytes(data)


def append_line(path: Path, line: str) -> None:
    """Append a line of UTF-8 text to `path`. Raises InputError if it has characters that UTF-8 has not."""
    data = encode(line + "\n", path)
    with naming(path), open(path, "ab") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically. Raises InputError if it has characters that UTF-8 has not."""
    write_bytes(path, encode(text, path))


def encode(text: str, place: object) -> bytes:
    """`text` in UTF-8, to be written to `place`. Raises InputError if it has characters that UTF-8 has not."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:  # the name of a file whose bytes are no UTF-8, say
        found = text[max(0, error.start - 20) : error.end + 20]
        raise InputError(f"{place}: {found!r} cannot be written as UTF-8; rename what is called so") from error


def csv_line(values: Iterable[object]) -> str:
    """A row of a comma-separated file, without its end; any text is quoted as Python's and other csv readers expect."""
    row = io.StringIO()
    csv.writer(row).writerow(values)  # with its own line end, \r\n, it quotes text that holds either of the two
    return row.getvalue().removesuffix("\r\n")


def read_bounded(path: Path, expected: str, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a file. Raises InputError if there is none, or over `limit`; `expected` says what should be."""
    if not Path(path).is_file():
        raise InputError(f"{path}: {'is a folder' if Path(path).is_dir() else 'no such file'}, {expected}")
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f"{path}: larger than {size_text(limit)}, {expected}")
    return data


def read_text(path: Path, expected: str, limit: int = MAX_TEXT) -> str:
    """The UTF-8 text of a file, line ends as they are. Raises InputError as `read_bounded`, or if it is not text."""
    try:
        return read_bounded(path, expected, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 (byte {error.start}), {expected}") from error


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON to `path`, atomically. Floats keep full precision."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises NoRoom if the disk of `folder`, which may not exist yet, has less than `needed` bytes left."""
    free = shutil.disk_usage(existing_part(folder)).free
    if needed > free:
        raise NoRoom(f"{folder}: {size_text(needed)} needed {what}, {size_text(free)} free")


def size_text(size: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
