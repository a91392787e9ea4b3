"""One kind of feature or label file for all videos of a split: found, checked, read."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.base.errors import InputError
from utils.base.npy import Layout, read_npy, read_npy_header
from utils.features.kinds import stream_layout
from utils.llp.pseudo_labels import label_layout
from utils.llp.videos import Split

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


def find_folders(
    split: Split,
    *,
    audio_dir: Path,
    video_dir: Path,
    st_dir: Path,
    a_pseudo_dir: Path | None,
    v_pseudo_dir: Path | None,
    num_classes: int,
) -> dict[str, FeatureFolder]:
    """The folders of a split's files, by what they hold; InputError where two videos would read the same files."""
    kinds = {
        "audio": (audio_dir, stream_layout("audio")),
        "visual": (video_dir, stream_layout("visual")),
        "visual_st": (st_dir, stream_layout("visual_st")),
        "pseudo_a": (a_pseudo_dir, label_layout(num_classes)),
        "pseudo_v": (v_pseudo_dir, label_layout(num_classes)),
    }
    _require_own_files(split)
    return {name: FeatureFolder(folder, split.ids, layout) for name, (folder, layout) in kinds.items() if folder}


def _require_own_files(split: Split) -> None:
    """InputError where two videos of different names would read the same files."""
    owner = {}
    for name, video in zip(split.filenames, split.ids, strict=True):
        if owner.setdefault(video, name) != name:
            raise InputError(
                f"{split.path}: {owner[video]} and {name} would both read {video}.npy; files are named by the first "
                f"{len(video)} characters, which must differ"
            )
