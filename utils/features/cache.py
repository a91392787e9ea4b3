"""Pooled features of a split, cached from one run to the next.

Reading LLP's train split means 50,000 files, six or eight times as large as what the network needs of them. The first
run packs what it needs, one file for each kind; later runs read that, as long as the source files have the names, sizes
and times that they had then. If the cache cannot be written, the source files are read each time.
"""

import hashlib
import math
import os
import sys
from pathlib import Path

import numpy as np

from utils.base.errors import Busy, InputError, NoRoom
from utils.base.files import as_text, require_space
from utils.features.folder import RAGGED, FeatureFolder
from utils.features.packed import Column, ColumnSpec, Packed, Writer

ROOM_FOR_RUN = 2**26  # bytes of the disk that the cache leaves to checkpoints and logs
FEATURE_DTYPES = ("float32", "float16")


def fingerprint(folder: FeatureFolder) -> str:
    """Identifies a folder's files of a split by their names, sizes and times. Raises OSError if one is missing."""
    digest = hashlib.sha256()
    for name in folder.names:
        status = os.stat(os.path.join(folder.folder, name))
        digest.update(f"{os.path.basename(name)}/{status.st_size}/{status.st_mtime_ns}\n".encode())
    if folder.lengths is not None:
        digest.update(folder.lengths.tobytes())
    return digest.hexdigest()


def lengths_spec(lengths: np.ndarray) -> ColumnSpec:
    """The array of the seconds of videos that differ in length, (N,) int64, to pack: it says where a video's rows are.

    The rows of the first video come first, and so on.
    """
    return ColumnSpec(lengths.shape, lengths.dtype, {"fingerprint": hashlib.sha256(lengths.tobytes()).hexdigest()})


def pooled_spec(folder: FeatureFolder, feature_dtype: str) -> ColumnSpec:
    """The array of a folder's pooled features, (N, T, D), to pack. `folder.check_headers` has been called."""
    attributes = {"source": as_text(folder.folder), "source_rows": folder.shape[0], "fingerprint": fingerprint(folder)}
    return ColumnSpec(folder.pooled_shape, folder.stored_dtype(feature_dtype), attributes)


class FeatureCache:
    """The cached arrays of the split that the CSV `split` lists, read by `threads` threads.

    folder: of the cache files, None: nothing is cached; feature_dtype: one of FEATURE_DTYPES.
    """

    def __init__(self, folder: Path | None, split: Path, feature_dtype: str, threads: int):
        self.folder, self.split = folder and Path(folder), Path(split)
        self.feature_dtype, self.threads = feature_dtype, threads

    def path(self, name: str, source: FeatureFolder) -> Path:
        """The cache file of one kind: the same for the same CSV, folder and dtype."""
        dtype = source.stored_dtype(self.feature_dtype)
        key = f"{os.path.realpath(self.split)}\n{os.path.realpath(source.folder)}\n{source.layout}\n{dtype}"
        return self.folder / f"{self.split.stem}.{name}.{hashlib.sha256(key.encode()).hexdigest()[:10]}.h5"

    def find(self, name: str, source: FeatureFolder) -> Column | None:
        """The array of one kind; None if there is no valid one of these files, with a note that says why."""
        if not self.folder or not self.path(name, source).is_file():
            return None
        path = self.path(name, source)
        try:
            column = Packed.open(path, indexed=True).columns["cache"][name]
            if column.attributes.get("fingerprint") != fingerprint(source):
                print(f"note: {path}: the files in {source.folder} have changed; rebuilding it", file=sys.stderr)
                return None
            dtype = source.stored_dtype(self.feature_dtype)
            videos = (len(source.names), source.seconds) if source.lengths is None else (int(source.lengths.sum()),)
            column.require((*videos, source.layout.columns), (dtype,), source.layout.rows or (RAGGED,))
        except FileNotFoundError:
            return None  # reading the files will name the one that is missing
        except (InputError, KeyError) as error:
            print(f"note: {getattr(error, 'text', error)}; rebuilding it", file=sys.stderr)
            return None
        return column

    def write(self, name: str, source: FeatureFolder) -> Column | None:
        """Pool a folder's files into a new cache file; None if it cannot be written, with a note."""
        path, spec = self.path(name, source), pooled_spec(source, self.feature_dtype)
        try:
            size = math.prod(spec.shape) * spec.dtype.itemsize
            require_space(self.folder, size + ROOM_FOR_RUN, f"for {path.name} and the run")
            specs = {f"cache/{name}": spec}
            if source.lengths is not None:
                specs["cache/lengths"] = lengths_spec(source.lengths)
            with Writer.open(path, specs, {}) as writer:
                if source.lengths is not None:
                    writer.append("cache/lengths", source.lengths)
                for rows in source.blocks(spec.dtype, self.threads, f"{self.split.name}: {name}"):
                    writer.append(f"cache/{name}", rows)
        except Busy as error:
            print(f"note: {error}; this run reads the source files", file=sys.stderr)
            return None
        except NoRoom as error:
            return self._give_up(str(error))
        except OSError as error:
            if error.filename and not str(error.filename).startswith(str(self.folder)):
                raise  # a feature file cannot be read
            return self._give_up(f"{path} cannot be written ({error.strerror})")
        return Packed.open(path, indexed=True).columns["cache"][name]

    def _give_up(self, reason: str) -> None:
        """Cache nothing more, and say so once."""
        print(f"note: {' '.join(reason.split())}; --no_cache does without", file=sys.stderr)
        self.folder = None
