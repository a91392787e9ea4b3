"""`.npy` files: checked by their first bytes, read, written."""

import functools
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import atomic_path

MOST_ROWS = 2**24  # of a video, whatever its length
HEADER, MAX_HEADER = 128, 2**16  # bytes: what numpy writes before a small array's data, and before any


class Layout(NamedTuple):
    """What a `.npy` file of one kind holds: one of these numbers of rows, a row size (None: any), a dtype.

    rows: empty if each video has its own number.
    """

    rows: tuple[int, ...]
    columns: int | None
    dtype: type
    what: str
    kept: type | None = None  # the dtype in a cache or packed file; None: the one that is asked for

    def __str__(self):
        shapes = " or ".join(f"({rows}, {self.columns or 'D'})" for rows in self.rows or ("rows",))
        return f"{shapes} {np.dtype(self.dtype)}"

    @property
    def file_size(self) -> int:
        """Bytes of a file with the most rows; only if `columns` is known."""
        return HEADER + max(self.rows) * self.columns * np.dtype(self.dtype).itemsize

    def fits(self, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Whether an array of this shape and dtype is one of this kind."""
        if dtype != self.dtype or len(shape) != 2 or shape[0] not in (self.rows or range(1, MOST_ROWS)):
            return False
        return shape[1] > 0 if self.columns is None else shape[1] == self.columns

    def require(self, path: Path) -> None:
        """Raise InputError if the `.npy` file at `path` is not of this kind, by its first bytes and its size."""
        shape, dtype = read_npy_header(path)
        if not self.fits(shape, dtype):
            raise InputError(f"{path}: holds {shape} {dtype}, expected {self} ({self.what})")


def read_npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a `.npy` file, from its first bytes. Raises InputError if it is no such file, or truncated."""
    with open(path, "rb", buffering=0) as file:
        start = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
        try:
            try:
                shape, dtype, begin = _parse_header(start)
            except ValueError:  # an unusually long header, or none
                shape, dtype, begin = _parse_header(start + file.read(MAX_HEADER))
        except Exception as error:  # numpy parses it as Python, so that damage raises any of a dozen kinds
            raise _no_numbers(path, error) from error
    expected = begin + dtype.itemsize * int(np.prod(shape, dtype=object))
    if dtype.hasobject:
        raise InputError(f"{path}: holds pickled Python objects, which are never loaded; expected numbers")
    if size < expected:
        raise InputError(f"{path}: truncated, {size} of {expected} bytes; copy or download it again")
    return shape, dtype


@functools.lru_cache(maxsize=64)  # thousands of files have the same header
def _parse_header(start: bytes) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and the number of bytes before the data. Raises ValueError if `start` is no complete header."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    file = io.BytesIO(start)
    shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    if any(size < 0 for size in shape):
        raise ValueError(f"it says that its shape is {shape}")
    return shape, dtype, file.tell()


def _no_numbers(path: Path, error: Exception) -> InputError:
    """What is raised for a file that numpy cannot read."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{path}: not a .npy file of numbers ({reason})")


def read_npy(path: Path) -> np.ndarray:
    """The array (...) of a `.npy` file, never unpickled. Raises InputError if it cannot be read."""
    _, dtype = read_npy_header(path)  # so that no more memory is taken than the file has bytes
    if dtype.kind not in "biuf":
        raise InputError(f"{path}: holds {dtype}, expected numbers")
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:  # it has changed since
        raise _no_numbers(path, error) from error


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array (...) to `path`, atomically; the caller removes leftovers before the first of many."""
    with atomic_path(path, one_of_many=True) as tmp, open(tmp, "wb") as file:  # np.save would append .npy to the name
        np.save(file, array)
