"""Packed files: arrays of many videos in one HDF5 file, with a checksum for every 256 rows.

A file is written to `<name>.tmp` and renamed when it is complete. Arrays are contiguous, because a split that does not
fit in memory is read in shuffled order; HDF5's own checksums need chunks, which makes such reads slower.
Axes: N videos, the first axis of every array.
"""

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import h5py
import numpy as np

from utils.base.errors import InputError
from utils.base.files import atomic_path, locked

BLOCK = 256  # rows that share a checksum
FORMAT = "valor-packed-1"


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
        with lock, atomic_path(path) as tmp, _system_errors(), h5py.File(tmp, "w") as file:
            for place, (shape, dtype, column_attributes) in columns.items():
                file.create_dataset(place, shape, dtype).attrs.update(column_attributes)
            for place, values in attributes.items():
                file[place].attrs.update(values)
            file.attrs.update({"format": FORMAT, "plan": plan_text(columns, attributes)})
            writer = cls(file)
            yield writer
            for place, checksums in writer.checksums.items():
                file[place].attrs["crc32"] = np.array(checksums, np.uint32)

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
        number = re.search(r"errno = (\d+)", str(error))
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


class Column:
    """One array of a packed file, of shape (N, ...), and what the file says of it."""

    def __init__(self, dataset: h5py.Dataset, path: Path):
        self.path, self.place = Path(path), dataset.name
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self.attributes = dict(dataset.attrs)
        self.checksums = self.attributes.pop("crc32", None)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some rows: (n,) int, ascending and distinct -> (n, ...); neighbours are read in one piece."""
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        with _opened(self.path) as file:
            dataset = file[self.place]
            for begin, end in pairwise(edges if len(rows) else []):
                dataset.read_direct(values, np.s_[rows[begin] : rows[end - 1] + 1], np.s_[begin:end])
        return values

    def read_all(self, keep: bool = True) -> np.ndarray | None:
        """The whole array, (N, ...), or with keep=False only a check of it. Raises Damaged if a checksum differs."""
        values = np.empty(self.shape if keep else (BLOCK, *self.shape[1:]), self.dtype)
        with _opened(self.path) as file:
            dataset = file[self.place]
            for first in range(0, len(self), BLOCK):
                end = min(first + BLOCK, len(self))
                block = values[first:end] if keep else values[: end - first]
                dataset.read_direct(block, np.s_[first:end])
                if self.checksums is not None and zlib.crc32(block) != self.checksums[first // BLOCK]:
                    what = f"'{Path(self.place).name}', rows {first} to {end - 1}"
                    raise Damaged(self.path, f"corrupted: checksum mismatch in {what}")
        return values if keep else None


class Packed(NamedTuple):
    """A packed file: what it says of itself, and its arrays by split and name."""

    attributes: dict
    columns: dict[str, dict[str, Column]]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Describe a file. Raises InputError if it is missing, damaged or not a packed file."""
        if not Path(path).is_file():
            what = "is a folder, expected a file" if Path(path).is_dir() else "no such file"
            raise InputError(f"{path}: {what}; utils/pack_features.py makes it")
        with _opened(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise InputError(f"{path}: not packed features; expected what utils/pack_features.py writes")
            columns = {g: {name: Column(data, path) for name, data in c.items()} for g, c in file.items()}
            return cls(dict(file.attrs), columns)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read. Raises Damaged if it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(path, f"not an HDF5 file, or a damaged one ({reason})") from error


def encode_texts(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array to write: (N,) UTF-8 of one length."""
    values = np.array([text.encode() for text in texts])
    return values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))


def read_texts(column: Column) -> list[str]:
    """The texts of such an array."""
    return [text.decode() for text in column.read_all().tolist()]
