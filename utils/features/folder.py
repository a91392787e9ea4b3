"""One kind of feature or label file for all videos of a split: found, checked, read."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.base.errors import InputError
from utils.base.npy import Layout, read_npy, read_npy_header
from utils.features.kinds import LABELS, LOGITS, STREAMS, pool, stream_layout
from utils.llp.classes import T
from utils.llp.names import existing_files, video_id
from utils.llp.pseudo_labels import label_layout, logits_layout
from utils.llp.videos import Split

WHERE_TO_GET = "utils/download_features.py fetches LLP's, docs/DATA.md says how to make others"
READ_AT_ONCE = 256  # videos


def map_files(function: Callable, files: Collection, threads: int, progress: str, **bar) -> Iterator:
    """What `function` returns for each file, in order, from several threads; if one raises, the rest is cancelled.

    bar: other settings of the progress bar.
    """
    pool = ThreadPoolExecutor(max(1, threads))
    settings = {"leave": False, "unit": "file", "delay": 1} | bar
    try:
        yield from tqdm(pool.map(function, files), progress, len(files), **settings)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class FeatureFolder:
    """One kind of `.npy` file for each video of a split, each of which must hold what `layout` says.

    Raises InputError if there is no such folder, or if two videos of different names would read the same file.
    """

    def __init__(self, folder: Path, split: Split, layout: Layout):
        self.folder, self.layout = Path(folder), layout
        if not self.folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected {layout.what} as <id>.npy; {WHERE_TO_GET}")
        names = split.names
        self.names = existing_files(folder, names, ".npy")
        self._require_own(split, dict(zip((n[-1] for n in names), split.filenames, strict=True)))

    def _require_own(self, split: Split, owner: Mapping[str, str]) -> None:
        """Raises InputError for a clip without a file of its own whose id names the file of another video, `owner`."""
        for video, name in zip(split.filenames, self.names, strict=True):
            if (other := owner.get(video_id(video), video)) != video and not (self.folder / name).is_file():
                rule = f"expected {name} in {self.folder}, since clips of one video need files of their whole names"
                raise InputError(f"{split.path}: {other} and {video} would both read {video_id(video)}.npy; {rule}")

    @functools.cached_property
    def paths(self) -> list[Path]:
        """The files. Made on demand: that takes a quarter of a second for LLP, and the cache does not need them."""
        return [self.folder / name for name in self.names]

    def missing(self) -> str:
        """How many files are missing and the first five; '' if none is."""
        names = [p.name for p in self.paths if not p.is_file()]
        if not names:
            return ""
        more = ", ..." if len(names) > 5 else ""
        return f"{len(names)} of {len(self.paths)} files are missing in {self.folder} ({', '.join(names[:5])}{more})"

    def check_headers(self, threads: int) -> None:
        """Set `self.shape` to the shape that most files have. Raises InputError for the first file that differs."""
        headers = list(map_files(read_npy_header, self.paths, threads, str(self.folder)))
        for path, (shape, dtype) in zip(self.paths, headers, strict=True):
            if not self.layout.fits(shape, dtype):
                raise InputError(f"{path}: holds {shape} {dtype}, expected {self.layout} ({self.layout.what})")
        (self.shape, _), count = Counter(headers).most_common(1)[0]
        for path, (shape, _) in zip(self.paths, headers, strict=True):
            if shape != self.shape:
                raise InputError(f"{path}: holds {shape}, but {count} other files of {self.folder} hold {self.shape}")

    def stored_dtype(self, feature_dtype: str) -> np.dtype:
        """The dtype in which pooled arrays are kept: labels in a byte, logits as they are, features as asked for."""
        return np.dtype(self.layout.kept or feature_dtype)

    def read(self, index: int) -> np.ndarray:
        """The array of video `index`, (rows, D), as stored. Raises InputError if it is damaged."""
        return read_checked(self.paths[index], self.layout)

    def check_all(self, threads: int, progress: str) -> None:
        """Read every file and keep nothing. Raises InputError for the first damaged one."""
        for _ in map_files(lambda path: read_checked(path, self.layout) is None, self.paths, threads, progress):
            pass

    def blocks(self, dtype: np.dtype, threads: int, progress: str) -> Iterator[np.ndarray]:
        """All arrays in order, pooled to segments: (n, T, D) of up to READ_AT_ONCE videos.

        Raises InputError if a file is damaged, or holds values too large for `dtype`.
        """
        bar = tqdm(desc=progress, total=len(self.paths), leave=False, unit="file", delay=1)
        with ThreadPoolExecutor(max(1, threads)) as executor, bar:
            for first in range(0, len(self.paths), READ_AT_ONCE):
                paths = self.paths[first : first + READ_AT_ONCE]
                yield np.stack(list(executor.map(lambda path: self._pooled(path, dtype), paths)))
                bar.update(len(paths))

    def _pooled(self, path: Path, dtype: np.dtype) -> np.ndarray:
        with np.errstate(over="ignore"):
            values = pool(read_checked(path, self.layout)).astype(dtype)
        if values.dtype == np.float16 and not np.isfinite(values).all():
            raise InputError(f"{path}: holds values too large for float16")
        return values

    def read_all(self, feature_dtype: str, threads: int, progress: str) -> np.ndarray:
        """All arrays, pooled: (N, T, D). Raises InputError as `blocks` does."""
        values = np.empty((len(self.paths), T, self.shape[1]), self.stored_dtype(feature_dtype))
        for number, rows in enumerate(self.blocks(values.dtype, threads, progress)):
            values[number * READ_AT_ONCE :][: len(rows)] = rows
        return values


def read_checked(path: Path, layout: Layout) -> np.ndarray:
    """The array of a file, (rows, D), as stored.

    Raises InputError if it is damaged, or holds NaN, or labels other than 0 and 1.
    """
    array = read_npy(path)
    if layout.dtype == np.int64:
        if not np.isin(array, (0, 1)).all():
            raise InputError(f"{path}: holds values other than 0 and 1")
    elif not np.isfinite(array).all():
        raise InputError(f"{path}: holds NaN or infinite values; rebuild the file")
    return array


def require_files(folders: Iterable[FeatureFolder], threads: int) -> None:
    """Raises InputError if files are missing in any of the folders, or are not what they must be."""
    folders = list(folders)
    missing = [text for folder in folders if (text := folder.missing())]
    if missing:
        raise InputError(f"{'; '.join(missing)}; {WHERE_TO_GET}")
    for folder in folders:
        folder.check_headers(threads)


def find_folders(
    split: Split,
    *,
    audio_dir: Path,
    video_dir: Path,
    st_dir: Path,
    a_pseudo_dir: Path | None = None,
    v_pseudo_dir: Path | None = None,
    a_logits_dir: Path | None = None,
    v_logits_dir: Path | None = None,
    num_classes: int,
) -> dict[str, FeatureFolder]:
    """The folders of a split's files, by what they hold; a folder of pseudo labels or of logits may be None.

    Raises InputError as FeatureFolder does.
    """
    layouts = {stream: stream_layout(stream) for stream in STREAMS} | dict.fromkeys(LABELS, label_layout(num_classes))
    layouts |= dict.fromkeys(LOGITS, logits_layout(num_classes))
    given = (audio_dir, video_dir, st_dir, a_pseudo_dir, v_pseudo_dir, a_logits_dir, v_logits_dir)
    folders = zip(layouts.items(), given, strict=True)
    return {name: FeatureFolder(folder, split, layout) for (name, layout), folder in folders if folder}
