"""One kind of feature or label file for all videos of a split: found, checked, read."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.base.npy import Layout, read_npy, read_npy_header
from utils.base.progress import tqdm
from utils.features.kinds import LABELS, LOGITS, STREAMS, pool, stream_layout
from utils.llp.classes import T
from utils.llp.datasets import LLP, DataSet
from utils.llp.lengths import read_lengths
from utils.llp.missing import how_to_get
from utils.llp.names import existing_files, video_id
from utils.llp.pseudo_labels import label_layout, logits_layout
from utils.llp.videos import Split

WHERE_TO_GET = "utils/download_features.py fetches LLP's, docs/DATA.md says how to make others"
READ_AT_ONCE = 256  # videos
RAGGED = 0  # rows of a file, if each video has its own number
SLACK, SLACK_SHARE = 2, 0.1  # seconds, and share of a video, by which its features may be shorter or longer


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

    Videos that differ in length have a layout without rows: set `lengths`, (N,) int, before reading.

    Args:
        seconds: T of all videos. rates: rows a second of features, by their size; others have one.

    Raises InputError if there is no such folder, or if two videos of different names would read the same file.
    """

    lengths: np.ndarray | None = None
    lengths_from = "as its data set says"

    def __init__(
        self, folder: Path, split: Split, layout: Layout, seconds: int = T, rates: Mapping[int, float] | None = None
    ):
        self.folder, self.layout, self.seconds, self.rates = Path(folder), layout, seconds, dict(rates or {})
        if not self.folder.is_dir():
            expected = f"expected {layout.what} as <id>.npy{how_to_get(folder) or f'; {WHERE_TO_GET}'}"
            raise InputError(f"{folder}: no such folder, {expected}")
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
        self.rows = np.array([shape[0] for shape, _ in headers])
        shapes = [shape if self.layout.rows else (RAGGED, shape[1]) for shape, _ in headers]
        self.shape, count = Counter(shapes).most_common(1)[0]
        for path, (found, _), shape in zip(self.paths, headers, shapes, strict=True):
            if shape != self.shape:
                usual = self.shape if self.layout.rows else f"(rows, {self.shape[1]})"
                raise InputError(f"{path}: holds {found}, but {count} other files of {self.folder} hold {usual}")
        if self.lengths is not None:
            self._require_lengths()

    @property
    def rate(self) -> float:
        """Rows a second of features of this size. Raises InputError if the data set knows none of this size."""
        if self.rates and self.shape[1] not in self.rates:
            expected = " or ".join(map(str, self.rates))
            raise InputError(f"{self.folder}: holds features of size {self.shape[1]}, expected {expected}")
        return self.rates.get(self.shape[1], 1)

    def _require_lengths(self) -> None:
        """Raises InputError for the first file whose rows are too few or too many for the length of its video."""
        is_label = self.layout.kept is not None
        allowed = 0 if is_label else np.maximum(SLACK, SLACK_SHARE * self.lengths)
        wrong = np.abs(self.rows / (1 if is_label else self.rate) - self.lengths) > allowed
        if wrong.any():
            i = int(np.argmax(wrong))
            what = f"holds {self.rows[i]} rows" + (f", {self.rate:g} a second" * (not is_label))
            known = f"its video has {self.lengths[i]} seconds, {self.lengths_from}"
            raise InputError(f"{self.paths[i]}: {what}, but {known}; one of the two is wrong")

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
        """All arrays in order, pooled to segments: (n, T, D) of up to READ_AT_ONCE videos; (rows, D) if they differ in
        length.

        Raises InputError if a file is damaged, or holds values too large for `dtype`.
        """
        bar = tqdm(desc=progress, total=len(self.paths), leave=False, unit="file", delay=1)
        with ThreadPoolExecutor(max(1, threads)) as executor, bar:
            for first in range(0, len(self.paths), READ_AT_ONCE):
                videos = range(first, min(first + READ_AT_ONCE, len(self.paths)))
                arrays = list(executor.map(lambda video: self._pooled(video, dtype), videos))
                yield np.stack(arrays) if self.lengths is None else np.concatenate(arrays)
                bar.update(len(videos))

    def _pooled(self, video: int, dtype: np.dtype) -> np.ndarray:
        path, seconds = self.paths[video], self.seconds if self.lengths is None else int(self.lengths[video])
        with np.errstate(over="ignore"):
            values = pool(read_checked(path, self.layout), seconds).astype(dtype)
        if values.dtype == np.float16 and not np.isfinite(values).all():
            raise InputError(f"{path}: holds values too large for float16")
        return values

    def read_all(self, feature_dtype: str, threads: int, progress: str) -> np.ndarray:
        """All arrays, pooled: (N, T, D), or (S, D) if videos differ in length. Raises InputError as `blocks` does."""
        values, first = np.empty(self.pooled_shape, self.stored_dtype(feature_dtype)), 0
        for rows in self.blocks(values.dtype, threads, progress):
            values[first : first + len(rows)] = rows
            first += len(rows)
        return values

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """(N, T, D), or (S, D), S being the seconds of all videos. `check_headers` has been called."""
        videos = (len(self.names), self.seconds) if self.lengths is None else (self.pooled_seconds,)
        return (*videos, self.shape[1])

    @property
    def pooled_seconds(self) -> int:
        """Seconds of all videos."""
        return len(self.names) * self.seconds if self.lengths is None else int(self.lengths.sum())


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
    dataset: DataSet = LLP,
) -> dict[str, FeatureFolder]:
    """The folders of a split's files, by what they hold; a folder of pseudo labels or of logits may be None.

    Raises InputError as FeatureFolder does.
    """
    seconds, num_classes = dataset.seconds, len(dataset.classes)
    layouts = {stream: stream_layout(stream, dataset) for stream in STREAMS}
    layouts |= dict.fromkeys(LABELS, label_layout(num_classes, seconds))
    layouts |= dict.fromkeys(LOGITS, logits_layout(num_classes, seconds))
    given = (audio_dir, video_dir, st_dir, a_pseudo_dir, v_pseudo_dir, a_logits_dir, v_logits_dir)
    folders = zip(layouts.items(), given, strict=True)
    return {
        name: FeatureFolder(folder, split, layout, seconds or 0, dataset.rates(name))
        for (name, layout), folder in folders
        if folder
    }


def find_lengths(
    split: Split, folders: Mapping[str, FeatureFolder], dataset: DataSet, threads: int
) -> np.ndarray | None:
    """Seconds of videos that differ in length, (N,) int, which the folders now know: the data set's, else audio's.

    None if all are equally long. Raises InputError if files are missing or wrong.
    """
    if dataset.seconds:
        return None
    if dataset.lengths:
        lengths = read_lengths(dataset.path(dataset.lengths), split.filenames)
    else:
        audio = folders["audio"]
        require_files([audio], threads)
        lengths = np.maximum(1, np.ceil(audio.rows / audio.rate - 1e-6)).astype(np.int64)
    for folder in folders.values():
        folder.lengths = lengths
        if not dataset.lengths:
            folder.lengths_from = f"by the rows of {folders['audio'].folder}"
    return lengths
