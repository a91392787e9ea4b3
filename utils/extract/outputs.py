"""Arrays that a command makes of many videos: read in threads, computed in batches, a `.npy` file per video and output.

Reading runs a bounded number of videos ahead, so that memory does not depend on the length of the list.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import remove_leftovers, require_writable
from utils.base.npy import Layout, read_npy_header, write_npy
from utils.base.read_ahead import Read, read_ahead
from utils.extract.runner import Run, Settings
from utils.llp.videos import Video


class Output(NamedTuple):
    """A folder of `<id>.npy` that a command writes."""

    folder: Path
    layout: Layout

    def path(self, video: Video) -> Path:
        """The file of a video."""
        return Path(self.folder) / f"{video.id}.npy"

    def is_finished(self, video: Video) -> bool:
        """Whether the file exists and opens. Raises InputError if it belongs to another list of classes."""
        path = self.path(video)
        try:
            shape, dtype = read_npy_header(path)
        except (FileNotFoundError, InputError):
            return False
        if self.layout.fits(shape, dtype):
            return True
        if self.layout.columns and self.layout._replace(columns=None).fits(shape, dtype):
            what = f"holds {shape} {self.layout.what}, expected {self.layout}: made with other --classes"
            raise InputError(f"{path}: {what}; choose another output folder, or remove it")
        return False


class Extractor:
    """Makes arrays of videos with a network. `read` is called in threads.

    rewritten: label files that `complete` wrote. on_gpu: whether the network is, once it is loaded.
    """

    rewritten, on_gpu = 0, False

    def load(self) -> None:
        """Load the network; called only if there is something to do. Raises InputError if it cannot be loaded."""

    def complete(self, video: Video) -> bool:
        """Finish a video without the network, if possible, and say whether it is finished."""
        return False

    def read(self, video: Video) -> tuple[object, float]:
        """What `compute` needs of a video, and its length in seconds. Any error costs this video only."""
        raise NotImplementedError

    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """From what was read of a batch of videos, the arrays of each by the flag of their output: (rows, D)."""
        raise NotImplementedError


def extract(
    what: str, extractor: Extractor, videos: Sequence[Video], outputs: Mapping[str, Output], settings: Settings
) -> int:
    """Write the arrays of videos, and return the exit status.

    Args:
        what: name of the work.
        videos: as `list_videos` or `list_files` lists them.
        outputs: by flag; the first one's folder also holds the list of failures.

    Raises InputError if the outputs cannot be written, or memory does not suffice.
    """
    require_new_folders(outputs)

    def is_finished(video: Video) -> bool:
        return extractor.complete(video) or all(output.is_finished(video) for output in outputs.values())

    with Run(what, settings, next(iter(outputs.values())).folder) as run:
        left = run.left_to_do(videos, is_finished)
        if count := extractor.rewritten:
            print(f"{run.what}: {count} label file{'s' * (count > 1)} written from logits", flush=True)
        if left:
            for output in outputs.values():  # what a killed run left
                remove_leftovers(output.folder, {output.path(video).name for video in left})
            print(f"{run.what}: {len(left)} videos to do, loading the network", file=sys.stderr, flush=True)
            extractor.load()
        run.begin()
        size = settings.batch_size or (settings.gpu_batch if extractor.on_gpu else settings.cpu_batch)
        reads = read_ahead(extractor.read, left, settings.workers, 2 * size + settings.workers)
        with contextlib.closing(reads), ThreadPoolExecutor(settings.workers) as writers:
            good = run.readable(reads)
            while batch := list(itertools.islice(good, size)):
                for result, arrays in zip(batch, _compute(extractor, batch), strict=True):
                    _write(run, result, outputs, arrays, writers)
        return run.finish()


def require_new_folders(outputs: Mapping[str, Output]) -> None:
    """Raise InputError if an output folder is a file, or two outputs would be written to one folder."""
    seen = {}
    for flag, output in outputs.items():
        require_writable(flag, output.folder, folder=True)
        other = seen.setdefault(os.path.realpath(output.folder), flag)
        if other != flag:
            raise InputError(f"{other} and {flag} are both {output.folder}; expected a folder for each")


def _compute(extractor: Extractor, batch: list[Read]) -> list[dict[str, np.ndarray]]:
    try:
        return extractor.compute([result.value[0] for result in batch], [result.video for result in batch])
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error):
            raise InputError("too little memory for a batch; lower --batch_size") from error
        raise


def _write(run: Run, result: Read, outputs: Mapping[str, Output], arrays, writers: ThreadPoolExecutor) -> None:
    """Write the arrays of one video, or list it as failed if they are not finite."""
    bad = [flag for flag in outputs if not np.isfinite(arrays[flag]).all()]
    if bad:
        run.fail(result.video, f"values for {', '.join(bad)} are not finite; try --precision fp32")
        return
    list(writers.map(lambda flag: write_npy(outputs[flag].path(result.video), arrays[flag]), outputs))
    run.done(result.video, result.value[1])
