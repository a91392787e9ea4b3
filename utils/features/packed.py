"""Packed files: arrays of many videos in one HDF5 file, with a checksum for every 256 rows.

A file is written under a temporary name and renamed when it is complete. Arrays are contiguous, because a split that
does not fit in memory is read in shuffled order; HDF5's own checksums need chunks, which makes such reads slower.
The index at the end of a file (`hdf5.py`) says where they are: they are read without HDF5, which trusts its files.
Axes: N videos, the first axis of every array.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import h5py
import numpy as np

from utils.base.errors import InputError
from utils.base.files import atomic_path, encode, locked
from utils.features import hdf5
from utils.features.hdf5 import FORMAT

BLOCK = 256  # rows that share a checksum
MAX_ROW = 2**21  # bytes, 25 times as many as LLP's largest rows have


class Damaged(InputError):
    """A packed file at `path` does not hold what was written to it."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path}: {what}; rebuild the file")
        self.path, self.text = Path(path), f"{path}: {what}"


class ColumnSpec(NamedTuple):
    """An array to write: its shape (N, ...), its dtype, and what the file says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    attributes: dict[str, str | int]


def plan_text(columns: Mapping[str, ColumnSpec], attributes: Mapping[str, Mapping[str, str]]) -> str:
    """Identifies the contents of a file: a hash of its shapes and attributes, among them the sources' fingerprints."""
    specs = {place: [list(c.shape), np.dtype(c.dtype).str, c.attributes] for place, c in columns.items()}
    return hashlib.sha256(json.dumps([FORMAT, attributes, specs], sort_keys=True).encode()).hexdigest()


class Writer:
    """A packed file that is being written, made by `Writer.open`."""

    def __init__(self, file: h5py.File):
        self.file, self.rows, self.checksums = file, Counter(), defaultdict(list)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, path: Path, columns: Mapping[str, ColumnSpec], attributes: Mapping[str, Mapping[str, str]]
    ) -> Iterator[Self]:
        """Create a file, which appears at `path` when the block ends without an error.

        columns: by place in the file, `train/audio`; attributes: of the file (`/`) and of each group (`train`).
        Raises Busy if another process is writing it, and OSError if the disk is full, for example.
        """
        lock = locked(f"pack {os.path.realpath(path)}", f"{path}: another process is writing it")
        with lock, atomic_path(path) as tmp, _system_errors():
            with h5py.File(tmp, "w", locking=False) as file:  # `atomic_path` holds the lock
                for place, (shape, dtype, column_attributes) in columns.items():
                    file.create_dataset(place, shape, dtype).attrs.update(column_attributes)
                for place, values in attributes.items():
                    file[place].attrs.update(values)
                file.attrs.update({"format": FORMAT, "plan": plan_text(columns, attributes)})
                writer = cls(file)
                yield writer
                for place, checksums in writer.checksums.items():
                    file[place].attrs["crc32"] = np.array(checksums, np.uint32)
                index = hdf5.describe(file)
            hdf5.append_index(tmp, index)

    def append(self, place: str, rows: np.ndarray) -> None:
        """Write the next rows of an array, (n, ...) of its dtype."""
        dataset, first, checksums = self.file[place], self.rows[place], self.checksums[place]
        rows = np.ascontiguousarray(rows, dataset.dtype)
        dataset[first : first + len(rows)] = rows
        for number, row in enumerate(rows.reshape(len(rows), -1).view(np.uint8), first):
            if number % BLOCK == 0:
                checksums.append(0)
            checksums[-1] = zlib.crc32(row, checksums[-1])
        self.rows[place] += len(rows)


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """Turn HDF5's errors on a full disk into the system's: closing the file raises a RuntimeError."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if getattr(error, "filename", None):
            raise  # of a file that is being packed
        number = re.search(r"errno = (\d+)", str(error))
        number = int(number[1]) if number else getattr(error, "errno", None) or errno.EIO
        raise OSError(number, os.strerror(number)) from error


class Column:
    """One array of a packed file, of shape (N, ...), and what the file says of it, as `hdf5.describe` does.

    Raises ValueError, or one of several other kinds of errors, if that makes no sense.
    """

    def __init__(self, path: Path, place: str, found: Mapping):
        self.path, self.place = Path(path), place
        self.shape, self.dtype, self.offset = tuple(map(int, found["shape"])), np.dtype(found["dtype"]), found["offset"]
        self.attributes = dict(found["attributes"])
        self.checksums = self.attributes.pop("crc32", None)
        fits = self.shape and min(self.shape) >= 0 and self.dtype.kind in hdf5.NUMBERS + hdf5.TEXT
        begins = self.offset is None or 0 <= self.offset <= os.path.getsize(path) - self.size
        begins &= self.size <= MAX_ROW * len(self)
        if not fits or not begins or len(self.checksums or []) not in (0, -(-len(self) // BLOCK)):
            raise ValueError(f"{place} is not an array that fits into the file")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def require(self, shape: tuple[int | None, ...], dtypes: Collection, source_rows: Collection[int] = ()) -> None:
        """Raise Damaged if the array has another shape (None: any size) or dtype, or was pooled from other rows."""
        fits = len(shape) == len(self.shape) and all(a in (None, b) for a, b in zip(shape, self.shape, strict=True))
        rows = self.attributes.get("source_rows")
        if not fits or 0 in self.shape or self.dtype not in dtypes or (source_rows and rows not in source_rows):
            expected = f"({', '.join(str(size or 'D') for size in shape)}) {' or '.join(map(str, dtypes))}"
            found = f"{self.shape} {self.dtype}{f' of {rows} rows' if source_rows else ''}"
            raise Damaged(self.path, f"'{Path(self.place).name}' holds {found}, expected {expected}")

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some rows: (n,) int, ascending and distinct -> (n, ...); neighbours are read in one piece."""
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        with self._reader() as read_into:
            for begin, end in pairwise(edges if len(rows) else []):
                read_into(values[begin:end], int(rows[begin]))
        return values

    def read_all(self, keep: bool = True) -> np.ndarray | None:
        """The whole array, (N, ...), or with keep=False only a check of it. Raises Damaged if a checksum differs."""
        values = np.empty(self.shape if keep else (min(BLOCK, len(self)), *self.shape[1:]), self.dtype)
        with self._reader() as read_into:
            for first in range(0, len(self), BLOCK):
                end = min(first + BLOCK, len(self))
                block = values[first:end] if keep else values[: end - first]
                read_into(block, first)
                if self.checksums is not None and zlib.crc32(block) != self.checksums[first // BLOCK]:
                    what = f"'{Path(self.place).name}', rows {first} to {end - 1}"
                    raise Damaged(self.path, f"corrupted: checksum mismatch in {what}")
        return values if keep else None

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Callable[[np.ndarray, int], None]]:
        """A function that reads the rows from `first` on into an array, (n, ...)."""
        if self.offset is None:  # a virtual array, which HDF5 has read a part of in a process of its own
            with _damage(self.path), h5py.File(self.path, "r") as file:
                dataset = file[self.place]
                yield lambda block, first: dataset.read_direct(block, np.s_[first : first + len(block)])
            return
        with open(self.path, "rb", buffering=0) as file:

            def read_into(block: np.ndarray, first: int) -> None:
                data = memoryview(block.reshape(-1).view(np.uint8))
                file.seek(self.offset + first * (self.size // len(self)))
                while data:  # the system reads at most 2 GB at a time
                    count = file.readinto(data)
                    if not count:
                        raise Damaged(self.path, f"ends in the middle of '{Path(self.place).name}'")
                    data = data[count:]

            yield read_into


class Packed(NamedTuple):
    """A packed file: what it says of itself, and its arrays by split and name."""

    attributes: dict
    columns: dict[str, dict[str, Column]]

    @classmethod
    def open(cls, path: Path, indexed: bool = False) -> Self:
        """Describe a file. Raises InputError if it is missing, damaged or not a packed file.

        indexed: take a file without an index for damaged; else HDF5 describes it, which takes 0.2 s.
        """
        if not Path(path).is_file():
            what = "is a folder, expected a file" if Path(path).is_dir() else "no such file"
            raise InputError(f"{path}: {what}; utils/pack_features.py makes it")
        with _damage(path):
            found = hdf5.read_index(path)
            if not found and indexed:
                raise Damaged(path, "its index is missing or damaged")
            found = found or hdf5.describe_apart(path)
            if found["attributes"].get("format") != FORMAT:
                raise InputError(f"{path}: not packed features; expected what utils/pack_features.py writes")
            arrays = found["columns"].items()
            columns = {g: {name: Column(path, f"{g}/{name}", c) for name, c in group.items()} for g, group in arrays}
            return cls(dict(found["attributes"]), columns)


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Raise Damaged if a packed file cannot be read."""
    try:
        yield
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(path, f"not an HDF5 file, or a damaged one ({reason})") from error


def encode_texts(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array to write: (N,) UTF-8 of one length. Raises InputError if one cannot be kept so."""
    if bad := [text for text in texts if text.endswith("\0")]:  # what fills up shorter ones
        raise InputError(f"{bad[0]!r} cannot be packed; choose a name that does not end in NUL")
    values = np.array([encode(text, "packed names") for text in texts])
    return values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))


def read_texts(column: Column) -> list[str]:
    """The texts of such an array. Raises Damaged if it holds something else."""
    with _damage(column.path):
        return [text.decode() for text in column.read_all().tolist()]
