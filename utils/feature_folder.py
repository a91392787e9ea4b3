"""One kind of feature or label file for all videos of a split: found, checked, read."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.arrays import Layout, read_npy, read_npy_header
from utils.cli import InputError

WHERE_TO_GET = "utils/download_features.py fetches LLP's, docs/DATA.md says how to make others"


class FeatureFolder:
    """One kind of `.npy` file for each video of a split.

    Args:
        folder, ids: the file of video i is `folder/ids[i].npy`.
        layout: what each must hold.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path, ids: Sequence[str], layout: Layout):
        self.folder, self.layout = Path(folder), layout
        self.names = [f"{i}.npy" for i in ids]
        if not self.folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected {layout.what} as <id>.npy; {WHERE_TO_GET}")

    @functools.cached_property
    def paths(self) -> list[Path]:
        """The files; a quarter of a second for LLP, that a start from the cache does without."""
        return [self.folder / name for name in self.names]

    def missing(self) -> str:
        """How many files are missing and the first five; '' where none is."""
        names = [p.name for p in self.paths if not p.is_file()]
        if not names:
            return ""
        more = ", ..." if len(names) > 5 else ""
        return f"{len(names)} of {len(self.paths)} files are missing in {self.folder} ({', '.join(names[:5])}{more})"

    def check_headers(self, threads: int) -> None:
        """Find the shape that most files have, as `self.shape`; InputError names the first file that differs."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            found = pool.map(read_npy_header, self.paths)
            headers = list(tqdm(found, str(self.folder), len(self.paths), leave=False, unit="file", delay=1))
        for path, (shape, dtype) in zip(self.paths, headers, strict=True):
            if not self.layout.fits(shape, dtype):
                raise InputError(f"{path}: holds {shape} {dtype}, expected {self.layout} ({self.layout.what})")
        (self.shape, _), count = Counter(headers).most_common(1)[0]
        for path, (shape, _) in zip(self.paths, headers, strict=True):
            if shape != self.shape:
                raise InputError(f"{path}: holds {shape}, but {count} other files of {self.folder} hold {self.shape}")

    def read(self, index: int) -> np.ndarray:
        """The array of video `index`, as stored; InputError for a damaged one."""
        return read_checked(self.paths[index], self.layout)

    def read_all(self, threads: int, progress: str, take: Callable[[int], None] | None = None) -> None:
        """Read and check every file, in parallel: by `take`, which is given each file's index, or for nothing."""
        with ThreadPoolExecutor(max(1, threads)) as pool:
            done = pool.map(take or self.read, range(len(self.paths)))
            for _ in tqdm(done, progress, len(self.paths), leave=False, unit="file", delay=1):
                pass


def read_checked(path: Path, layout: Layout) -> np.ndarray:
    """The array of a file, as stored; InputError for a damaged one, NaN, or labels other than 0 and 1."""
    array = read_npy(path)
    if layout.dtype == np.int64:
        if not np.isin(array, (0, 1)).all():
            raise InputError(f"{path}: holds values other than 0 and 1")
    elif not np.isfinite(array).all():
        raise InputError(f"{path}: holds NaN or infinite values; make the file anew")
    return array


def require_files(folders: Sequence[FeatureFolder], threads: int) -> None:
    """InputError where files are missing in any of the folders, or are not what they must be."""
    missing = [text for folder in folders if (text := folder.missing())]
    if missing:
        raise InputError(f"{'; '.join(missing)}; {WHERE_TO_GET}")
    for folder in folders:
        folder.check_headers(threads)
