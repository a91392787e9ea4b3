"""Packed features: arrays of many videos in one HDF5 file, of which a kill costs one block, read in large pieces.

Every array is contiguous in its file: written and read at known places, beside HDF5, whose own description of the file
is complete before the first number is written. A file under its final name is whole; until then it is `<name>.tmp`,
with a journal of its finished blocks from which the next attempt goes on. Sums of the blocks tell damage when an array
is read whole. Axes: N videos, the first axis of every array.
"""

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import h5py
import numpy as np
from tqdm import tqdm

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, locked, naming

BLOCK = 256  # rows that are written, summed and journalled together
FORMAT = "valor-packed-1"
JOURNAL_SUFFIX = ".blocks"


class Damaged(InputError):
    """A packed file at `path` does not hold what was written to it."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path}: {what}; make it again")
        self.path, self.text = Path(path), f"{path}: {what}"


class ColumnPlan(NamedTuple):
    """An array that is to be written.

    Attributes:
        shape: (N, ...).
        dtype: of its numbers.
        read: makes the array of one row, of shape (...), in a thread.
        attributes: what the file says of it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[int], np.ndarray]
    attributes: dict[str, str | int]


class Group(NamedTuple):
    """The arrays of one split, and what the file says of them all."""

    columns: dict[str, ColumnPlan]
    attributes: dict[str, str | int]


# -------------------------------------------------------------------------------------------------------------- writing
def write(path: Path, groups: Mapping[str, Group], attributes: Mapping[str, str], threads: int, progress: str) -> None:
    """Write a file, or go on where an earlier attempt at the very same one stopped.

    Raises:
        Busy: another process is writing it.
        InputError: whatever `read` raises.
        OSError: the disk is full, for example.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(f"pack {os.path.realpath(path)}", f"{path}: another process is writing it"):
        tmp, journal = path.with_name(path.name + TMP_SUFFIX), path.with_name(path.name + TMP_SUFFIX + JOURNAL_SUFFIX)
        plan = plan_text(groups, attributes)
        with naming(tmp):
            sums = _finished_blocks(tmp, journal, plan)
            if sums is None:
                journal.unlink(missing_ok=True)
                _create(tmp, groups, dict(attributes) | {"plan": plan})
                sums = {}
            _write_blocks(tmp, journal, groups, sums, threads, progress)
            _finish(tmp, groups, sums)
            os.replace(tmp, path)
            journal.unlink(missing_ok=True)


def plan_text(groups: Mapping[str, Group], attributes: Mapping[str, str]) -> str:
    """What identifies a file to be written; its attributes hold the fingerprints of what it is made from."""
    described = {
        group: [
            attrs,
            {name: [list(c.shape), np.dtype(c.dtype).str, c.attributes] for name, c in columns.items()},
        ]
        for group, (columns, attrs) in groups.items()
    }
    text = json.dumps([FORMAT, dict(attributes), described], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _create(tmp: Path, groups: Mapping[str, Group], attributes: Mapping[str, str]) -> None:
    """The file with all arrays allocated and none written."""
    with h5py.File(tmp, "w") as file:
        file.attrs.update({"format": FORMAT, **attributes})
        for group_name, (columns, attrs) in groups.items():
            group = file.create_group(group_name)
            group.attrs.update(attrs)
            for name, column in columns.items():
                settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                settings.set_layout(h5py.h5d.CONTIGUOUS)
                settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                kind = h5py.string_dtype("utf-8", column.dtype.itemsize) if column.dtype.kind == "S" else column.dtype
                space = h5py.h5s.create_simple(column.shape)
                dataset = h5py.Dataset(
                    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(kind, logical=True), space, settings)
                )
                dataset.attrs.update(column.attributes)
                dataset.attrs["crc32"] = np.zeros(_number_of_blocks(column.shape[0]), np.uint32)


def _number_of_blocks(rows: int) -> int:
    return -(-rows // BLOCK)


def _finished_blocks(tmp: Path, journal: Path, plan: str) -> dict[tuple[str, str, int], int] | None:
    """group, array and number -> sum of each block that an earlier attempt wrote; None: there is none to go on from."""
    try:
        with h5py.File(tmp, "r") as file:
            if file.attrs.get("plan") != plan:
                return None
        lines = journal.read_text().splitlines(keepends=True)
    except OSError:
        return None
    finished = {}
    for line in lines:
        group, _, rest = line.partition("/")
        fields = rest.split()
        if line.endswith("\n") and len(fields) == 3:  # a kill may have cut the last line off
            finished[group, fields[0], int(fields[1])] = int(fields[2])
    return finished


def _write_blocks(tmp, journal, groups, sums: dict, threads: int, progress: str) -> None:
    """Write what is not in `sums`, and add it there."""
    with h5py.File(tmp, "r") as file:
        places = {
            (group, name): file[group][name].id.get_offset()
            for group, (columns, _) in groups.items()
            for name in columns
        }
    total = sum(column.shape[0] for columns, _ in groups.values() for column in columns.values())
    with (
        open(tmp, "r+b", buffering=0) as data,
        open(journal, "a") as log,
        ThreadPoolExecutor(threads) as pool,
        tqdm(desc=progress, total=total, unit="array", leave=False, delay=1, mininterval=0.5) as bar,
    ):
        for (group, name), place in places.items():
            column = groups[group].columns[name]
            row_size = int(np.prod(column.shape[1:])) * column.dtype.itemsize
            for block in range(_number_of_blocks(column.shape[0])):
                rows = range(block * BLOCK, min((block + 1) * BLOCK, column.shape[0]))
                if (group, name, block) not in sums:
                    values = np.empty((len(rows), *column.shape[1:]), column.dtype)
                    for i, value in enumerate(pool.map(column.read, rows)):
                        values[i] = value
                    content = values.tobytes()
                    data.seek(place + rows[0] * row_size)
                    _write_all(data, content)
                    sums[group, name, block] = zlib.crc32(content)
                    log.write(f"{group}/{name} {block} {sums[group, name, block]}\n")
                    log.flush()
                bar.update(len(rows))


def _write_all(file, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _finish(tmp: Path, groups: Mapping[str, Group], sums: Mapping) -> None:
    with h5py.File(tmp, "r+") as file:
        for group, (columns, _) in groups.items():
            for name, column in columns.items():
                blocks = range(_number_of_blocks(column.shape[0]))
                file[group][name].attrs["crc32"] = np.array([sums[group, name, b] for b in blocks], np.uint32)
    with open(tmp, "rb") as file:  # the data must be on the disk before the name points to it
        os.fsync(file.fileno())


# -------------------------------------------------------------------------------------------------------------- reading
class Column:
    """One array of a packed file.

    Attributes:
        path, name: where it is.
        shape: (N, ...). dtype: of its numbers.
        attributes: what the file says of it.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path, name: str):
        self.path, self.name = Path(path), name
        self.shape, self.dtype = dataset.shape, np.dtype(dataset.dtype.str)
        self.attributes = {k: v for k, v in dataset.attrs.items() if k != "crc32"}
        self._sums = dataset.attrs.get("crc32")
        self._place = dataset.id.get_offset()  # None where the numbers are in other files: a virtual array
        self._group = dataset.name
        self._row_shape = self.shape[1:]
        self._row_size = int(np.prod(self._row_shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self) * self._row_size

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some rows: (n,) ascending numbers, each once -> (n, ...); neighbours are read in one piece."""
        values = np.empty((len(rows), *self._row_shape), self.dtype)
        ends = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        with self._reader() as read:
            for begin, end in pairwise(ends):
                if end > begin:
                    read(int(rows[begin]), values[begin:end])
        return values

    def read_all(self, threads: int = 1) -> np.ndarray:
        """The whole array; Damaged where a sum is another."""
        values = np.empty(self.shape, self.dtype)
        self._read_blocks(lambda start: values[start : start + BLOCK], threads)
        return values

    def check(self, threads: int = 1) -> None:
        """Read everything and keep nothing; Damaged where a sum is another."""
        rows = np.diff([*range(0, len(self), BLOCK), len(self)])
        self._read_blocks(lambda start: np.empty((rows[start // BLOCK], *self._row_shape), self.dtype), threads)

    def _read_blocks(self, block_from: Callable[[int], np.ndarray], threads: int) -> None:
        def load(start):
            block = block_from(start)
            read(start, block)
            if self._sums is not None and zlib.crc32(block) != self._sums[start // BLOCK]:
                raise Damaged(self.path, f"damaged, the sum of {self.name} from row {start} on is another")

        with self._reader() as read, ThreadPoolExecutor(max(1, threads) if self._place is not None else 1) as pool:
            list(pool.map(load, range(0, len(self), BLOCK)))

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Callable[[int, np.ndarray], None]]:
        """A function that fills an array with the rows from one on."""
        if self._place is None:
            with h5py.File(self.path, "r") as file:
                dataset = file[self._group]
                yield lambda start, out: dataset.read_direct(out, np.s_[start : start + len(out)])
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:

            def read(start: int, out: np.ndarray) -> None:
                view, place = memoryview(out).cast("B"), self._place + start * self._row_size
                while view:
                    count = os.preadv(descriptor, [view], place)
                    if count == 0:
                        raise Damaged(self.path, f"truncated, {self.name} ends before row {start + len(out)}")
                    view, place = view[count:], place + count

            yield read
        finally:
            os.close(descriptor)


class Packed(NamedTuple):
    """A packed file: what it says of itself, and by split what it says of that and its arrays."""

    attributes: dict
    group_attributes: dict[str, dict]
    columns: dict[str, dict[str, Column]]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Describe a file; InputError for one that is missing, damaged or no packed file."""
        if not Path(path).is_file():
            what = "is a folder, expected a file" if Path(path).is_dir() else "no such file"
            raise InputError(f"{path}: {what}; utils/pack_features.py makes it")
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != FORMAT:
                    raise InputError(f"{path}: not packed features; expected what utils/pack_features.py writes")
                columns = {
                    group: {name: Column(data, path, name) for name, data in content.items()}
                    for group, content in file.items()
                }
                return cls(dict(file.attrs), {group: dict(c.attrs) for group, c in file.items()}, columns)
        except (OSError, KeyError, RuntimeError, AttributeError) as error:
            raise InputError(f"{path}: not an HDF5 file, or a damaged one ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def string_column(texts: Sequence[str], attributes: dict[str, str | int] | None = None) -> ColumnPlan:
    """A column of texts, (N,), as UTF-8 of one length."""
    values = np.array([text.encode() for text in texts])
    return ColumnPlan(values.shape, values.dtype, values.__getitem__, attributes or {})


def read_strings(column: Column) -> list[str]:
    """The texts of such a column."""
    return [text.decode() for text in column.read_all().tolist()]
