"""Arrays that a tool writes, a file per video and output."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, require_writable
from utils.base.npy import Layout, read_npy_header, write_npy
from utils.base.read_ahead import Read, read_ahead
from utils.extract.runner import Run
from utils.llp.videos import Video


# -------------------------------------------------------------------------------------------------- array outputs
class Output(NamedTuple):
    """A folder of `<id>.npy` that a tool writes."""

    folder: Path
    layout: Layout

    def path(self, video: Video) -> Path:
        """The file of a video."""
        return Path(self.folder) / f"{video.id}.npy"

    def is_finished(self, video: Video) -> bool:
        """Whether the file exists and opens; InputError where it belongs to another list of classes."""
        path = self.path(video)
        try:
            shape, dtype = read_npy_header(path)
        except (FileNotFoundError, InputError):
            return False
        if self.layout.fits(shape, dtype):
            return True
        if self.layout.columns and self.layout._replace(columns=None).fits(shape, dtype):
            raise InputError(
                f"{path}: holds {shape} {self.layout.what}, expected {self.layout}: made with other --classes; choose "
                "another output folder, or remove it"
            )
        return False


def require_new_folders(outputs: Mapping[str, Output]) -> None:
    """InputError where an output folder is a file, or two kinds would be written to one folder."""
    seen = {}
    for flag, output in outputs.items():
        require_writable(flag, output.folder, folder=True)
        other = seen.setdefault(os.path.realpath(output.folder), flag)
        if other != flag:
            raise InputError(f"{other} and {flag} are both {output.folder}; expected a folder for each")


class Segments(NamedTuple):
    """What a teacher looks at or listens to in one video, and the video's length in seconds."""

    content: object
    seconds: float


def extract(
    what: str,
    args: argparse.Namespace,
    videos: Sequence[Video],
    outputs: Mapping[str, Output],
    load: Callable[[], tuple[Callable[[Video], Segments], Callable[[list, list[Video]], list[dict[str, np.ndarray]]]]],
    complete: Callable[[Video], bool] = lambda video: False,
) -> int:
    """Read videos, compute in batches, and write one `.npy` per video and output.

    Args:
        what: name of the work.
        videos: as `list_videos` or `list_files` lists them.
        outputs: by flag; the first one's folder also holds the list of failures.
        load: builds the network; called only where there is something to do. It returns two functions. The first reads
            one video, in a thread; an InputError or OSError of it costs that video. The second computes the arrays of
            each video, by flag, from the contents of a batch and their videos.
        complete: finishes a video without the network, if it can, and says whether it did.

    Returns:
        The exit status.

    Raises:
        InputError: outputs are in the way, or memory does not suffice.
    """
    require_new_folders(outputs)
    with Run(what, args, next(iter(outputs.values())).folder) as run:
        left = run.left_to_do(
            videos, lambda video: all(output.is_finished(video) for output in outputs.values()) or complete(video)
        )
        if left:
            remove_leftovers(outputs.values(), left)
            print(f"{run.what}: {len(left)} videos to do, loading the network", file=sys.stderr, flush=True)
            read, compute = load()
        run.begin()
        if left:
            reads = read_ahead(read, left, args.workers, ahead=2 * args.batch_size + args.workers)
            with contextlib.closing(reads), ThreadPoolExecutor(args.workers) as writers:
                for batch in batches(reads, args.batch_size, run):
                    results = _compute(compute, batch)
                    for result, arrays in zip(batch, results, strict=True):
                        _keep(run, result, outputs, arrays, writers)
        return run.finish()


def _compute(compute, batch: list[Read]) -> list[dict[str, np.ndarray]]:
    """The arrays of a batch; InputError where memory does not suffice."""
    try:
        return compute([r.value.content for r in batch], [r.video for r in batch])
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error):
            raise InputError("too little memory for a batch; lower --batch_size") from error
        raise


def _keep(run: Run, result: Read, outputs: Mapping[str, Output], arrays, writers: ThreadPoolExecutor) -> None:
    """Write the arrays of one video, or list it as failed where they cannot be used."""
    bad = [flag for flag in outputs if not np.isfinite(arrays[flag]).all()]
    if bad:
        run.fail(result.video, f"values for {', '.join(bad)} are not finite; try --precision fp32")
        return
    list(writers.map(lambda flag: write_npy(outputs[flag].path(result.video), arrays[flag]), outputs))
    run.done(result.video, result.value.seconds)


def batches(reads: Iterable[Read], size: int, run: Run) -> Iterator[list[Read]]:
    """Groups of `size` videos that could be read; the others are listed as failed on the way."""
    batch = []
    for result in reads:
        if result.problem:
            run.fail(result.video, result.problem)
            continue
        batch.append(result)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def remove_leftovers(outputs: Iterable[Output], videos: Sequence[Video]) -> None:
    """Remove the temporary files that a killed run left of these videos."""
    ids = {video.id for video in videos}
    for output in outputs:
        for path in Path(output.folder).glob(f"*.npy{TMP_SUFFIX}"):
            if path.name.removesuffix(f".npy{TMP_SUFFIX}") in ids:
                path.unlink(missing_ok=True)
