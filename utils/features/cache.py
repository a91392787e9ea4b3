"""Pooled features of a split, kept from one run to the next.

Reading LLP's train split means 50,000 files, eight or six times as large as what the network needs of them. The first
run writes what it needs into one file for each kind; later ones read that, as long as the files it came from have the
names, sizes and times that they had then. Without a place to write to, files are read each time.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from utils.base.errors import Busy, InputError
from utils.features import packed
from utils.features.folder import FeatureFolder
from utils.features.packed import Column, ColumnPlan, Group, Packed

FEATURE_DTYPES = ("float32", "float16")


def stored_dtype(folder: FeatureFolder, feature_dtype: str) -> np.dtype:
    """In which type a folder's arrays are kept: labels in a byte, features as asked for."""
    return np.dtype(np.uint8) if folder.layout.dtype == np.int64 else np.dtype(feature_dtype)


def fingerprint(folder: FeatureFolder) -> str:
    """What identifies a folder's files of a split: their names, sizes and times. OSError where one is missing."""
    digest = hashlib.sha256()
    for name in folder.names:
        status = os.stat(os.path.join(folder.folder, name))
        digest.update(f"{os.path.basename(name)}/{status.st_size}/{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def plan(folder: FeatureFolder, reduce: Callable[[np.ndarray], np.ndarray], dtype: np.dtype, rows: int) -> ColumnPlan:
    """How a folder's arrays become one, (N, rows, D). `folder.check_headers` has been called.

    Args:
        reduce: makes an array of the folder (rows, D).
    """

    def read(index: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            values = reduce(folder.read(index)).astype(dtype)
        if values.dtype == np.float16 and not np.isfinite(values).all():
            raise InputError(f"{folder.paths[index]}: holds values too large for float16")
        return values

    attributes = {"source": str(folder.folder), "source_rows": folder.shape[0], "fingerprint": fingerprint(folder)}
    return ColumnPlan((len(folder.paths), rows, folder.shape[1]), dtype, read, attributes)


def read_plan(column: ColumnPlan, folder: FeatureFolder, threads: int, progress: str) -> np.ndarray:
    """The array that `plan` describes, from the folder's files."""
    values = np.empty(column.shape, column.dtype)

    def take(index: int) -> None:
        values[index] = column.read(index)

    folder.read_all(threads, progress, take)
    return values


class FeatureCache:
    """The cached arrays of one split.

    Args:
        folder: where cache files lie; None: nothing is cached.
        split: the CSV of the split.
        feature_dtype: one of FEATURE_DTYPES.
        threads: that read.
    """

    def __init__(self, folder: Path | None, split: Path, feature_dtype: str, threads: int):
        self.folder, self.split = folder and Path(folder), Path(split)
        self.feature_dtype, self.threads = feature_dtype, threads

    def path(self, name: str, source: FeatureFolder) -> Path:
        """The cache file of one kind: the same for the same CSV, folder and type."""
        dtype = stored_dtype(source, self.feature_dtype)
        key = f"{os.path.realpath(self.split)}\n{os.path.realpath(source.folder)}\n{source.layout}\n{dtype}"
        return self.folder / f"{self.split.stem}.{name}.{hashlib.sha256(key.encode()).hexdigest()[:10]}.h5"

    def find(self, name: str, source: FeatureFolder) -> Column | None:
        """The array of one kind, None where there is none that is whole and of these files; says what is wrong."""
        if not self.folder or not self.path(name, source).is_file():
            return None
        path = self.path(name, source)
        try:
            column = Packed.open(path).columns["cache"][name]
            current = fingerprint(source)
        except FileNotFoundError:
            return None  # whoever reads the files names the one that is missing
        except (InputError, KeyError) as error:
            print(f"note: {error}; made anew", file=sys.stderr)
            return None
        if column.attributes.get("fingerprint") != current:
            print(f"note: {path}: the files in {source.folder} have changed; made anew", file=sys.stderr)
            return None
        return column

    def write(self, name: str, source: FeatureFolder, reduce, rows: int) -> Column | None:
        """Read a folder's files into a new cache file; None where that cannot be written, with a note."""
        path = self.path(name, source)
        column = plan(source, reduce, stored_dtype(source, self.feature_dtype), rows)
        try:
            packed.write(path, {"cache": Group({name: column}, {})}, {}, self.threads, f"{self.split.name}: {name}")
        except Busy as error:
            print(f"note: {error}; this run reads the files themselves", file=sys.stderr)
            return None
        except OSError as error:
            if error.filename and not str(error.filename).startswith(str(self.folder)):
                raise  # a feature file cannot be read
            print(f"note: {path} cannot be written ({error.strerror}); --no_cache does without", file=sys.stderr)
            self.folder = None  # said once
            return None
        return Packed.open(path).columns["cache"][name]
