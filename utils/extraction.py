"""How a tool goes through a list of videos: restartable, in shards, one bad video costs that video only.

A finished video is one whose outputs exist and open. Bad videos are listed with their reason in a CSV, and make the
exit status 1. Reading runs ahead in threads, a bounded number of videos at a time, so that memory does not depend on
the length of the list.
"""

import argparse
import contextlib
import csv
import io
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from tqdm import tqdm

from utils import cli
from utils.arrays import Layout, read_npy_header, write_npy
from utils.cli import InputError
from utils.files import TMP_SUFFIX, append_line, locked, write_text
from utils.llp import T, Video, read_videos

SHORT = T - 1  # seconds; shorter videos are processed all the same, and counted in a warning


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that every such tool has."""
    group = parser.add_argument_group("going through many videos")
    group.add_argument("--workers", type=cli.positive_int, default=min(8, os.cpu_count() or 1),
                       help="videos that are read at the same time (default here: %(default)s)")  # fmt: skip
    group.add_argument("--num_shards", type=cli.positive_int, default=1, metavar="K",
                       help="split the list in K parts, for K machines (default: %(default)s)")  # fmt: skip
    group.add_argument("--shard", type=cli.non_negative_int, default=0, metavar="I",
                       help="which part to do, 0 to K - 1 (default: %(default)s)")  # fmt: skip
    group.add_argument("--failures", type=Path, metavar="FILE",
                       help="CSV of the videos that failed, `id,reason` (default: failures.csv in the first output "
                       "folder, failures.shardI.csv with several shards)")  # fmt: skip
    group.add_argument("--print_progress", action="store_true", help="print a line for each video, too")


class Shard(NamedTuple):
    """One of `count` equal parts of a list, by stride."""

    index: int
    count: int

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """The part that the flags and, under torchrun, the rank of this process say; InputError for an impossible one.

        With both, each of the K parts is split again among the processes of its torchrun.
        """
        if args.shard >= args.num_shards:
            last = args.num_shards - 1
            raise InputError(f"--shard {args.shard}: expected 0 to {last} with --num_shards {args.num_shards}")
        rank, world = cli.torchrun_rank()
        return cls(args.shard * world + rank, args.num_shards * world)

    def failures_file(self, given: Path | None, folder: Path) -> Path:
        """Where this part lists what failed. A `given` name is kept but where the processes of torchrun share it."""
        path = given or Path(folder) / "failures.csv"
        if self.count == 1 or (given and cli.torchrun_rank()[1] == 1):
            return path
        return path.with_name(f"{path.stem}.shard{self.index}{path.suffix}")


def wait_for_other_ranks() -> None:
    """Under torchrun, return when all processes have come here: it ends the others as soon as one fails."""
    if cli.torchrun_rank()[1] > 1:
        from datetime import timedelta

        import torch.distributed as dist

        dist.init_process_group("gloo", timeout=timedelta(days=30))
        dist.barrier()
        dist.destroy_process_group()


def list_videos(path: Path, class_names: Sequence[str] | None = None) -> list[Video]:
    """The videos of a CSV, bad rows among them. A row that is there twice is one video; two may not share an id.

    Args:
        class_names: of the weak labels; None where nobody asks for them.

    Raises InputError where the file cannot be read or lists no video.
    """
    rows = read_videos(path, class_names or (), weak_labels=class_names is not None)
    videos = [v._replace(problem=v.problem and f"{path}, line {v.line}: {v.problem}") for v in rows]
    return _once_each(_own_ids(videos))


def list_files(folder: Path, is_one: Callable[[Path], bool]) -> list[Video]:
    """A folder's files or subfolders, each a video without labels; InputError where there are none.

    Two files of one name, `a.mp4` and `a.wav`, are one video; two names may not share an id.
    """
    names = sorted({path.stem if path.is_file() else path.name for path in Path(folder).iterdir() if is_one(path)})
    if not names:
        raise InputError(f"{folder}: holds no videos")
    return _own_ids([Video(0, name, None, "") for name in names])


def _own_ids(videos: Sequence[Video]) -> list[Video]:
    """The same videos; a problem where another one, before it, has the same id."""
    owners, own = {}, []
    for video in videos:
        owner = owners.setdefault(video.id, video.filename)
        if owner != video.filename:
            problem = f"{owner} has the same first {len(video.id)} characters as {video.filename}: they name the files"
            video = video._replace(problem=problem)
        own.append(video)
    return own


def _once_each(videos: Sequence[Video]) -> list[Video]:
    """One of each video; a problem where its rows differ."""
    unique = {}
    for video in videos:
        first = unique.setdefault(video.filename, video)
        if not first.problem and (video.problem or not np.array_equal(first.weak, video.weak)):
            problem = video.problem or f"line {video.line}: listed twice, with other event names"
            unique[video.filename] = first._replace(problem=problem)
    return list(unique.values())


class Run:
    """One run of a tool over its part of a list of videos: what is left to do, what failed, the progress bar.

    Use it as a context; `finish` ends it.

    Args:
        what: name of the work, for the progress bar.
        args: the flags of `add_flags`.
        first_output: folder in which the failures are listed unless --failures says where.
    """

    def __init__(self, what: str, args: argparse.Namespace, first_output: Path):
        self.shard, self.folder = Shard.of(args), Path(first_output)
        self.failures = self.shard.failures_file(args.failures, first_output)
        cli.require_writable("--failures", self.failures)
        self.what = what if self.shard.count == 1 else f"{what} {self.shard.index}/{self.shard.count}"
        self.print_progress = args.print_progress
        self.counts = dict.fromkeys(("done", "skipped", "failed", "short"), 0)
        self.bar = None

    def __enter__(self) -> Self:
        # two processes at the same part would write the same files
        part = f"{os.path.realpath(self.folder)} {self.what} {self.shard}"
        self._lock = locked(part, f"{self.folder}: another process is at this part of the list")
        self._lock.__enter__()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._lock.__exit__(kind, error, traceback)
        if self.bar is not None:
            self.bar.close()

    def left_to_do(self, items: Sequence, is_finished: Callable[[object], bool]) -> list:
        """The items of this part, `part`, that are left to do; those with a problem are `bad`. Call `begin` next.

        Args:
            items: videos, each with an `id` and a `problem`, '' where there is none.
        """
        self.part = items[self.shard.index :: self.shard.count]
        good = [item for item in self.part if not item.problem]
        looked_at = tqdm(good, "looking at what is there", leave=False, unit="video", delay=1)
        left = [item for item in looked_at if not is_finished(item)]
        self.counts["skipped"] = len(good) - len(left)
        self.bad = [item for item in self.part if item.problem]
        self.total = len(left) + len(self.bad)
        return left

    def begin(self) -> None:
        """Show the progress bar, now that networks are loaded, and list the bad items as failed."""
        self.failures.unlink(missing_ok=True)  # it lists what failed in the last run
        self.bar = tqdm(desc=self.what, total=self.total, unit="video", mininterval=0.5, disable=self.total == 0,
                        position=int(os.environ.get("LOCAL_RANK", "0")))  # fmt: skip
        for item in self.bad:
            self.fail(item, item.problem)

    def done(self, video, seconds: float | None = None) -> None:
        """Count a video as processed; `seconds`: its length, if known."""
        self.counts["short"] += seconds is not None and seconds < SHORT
        self._count("done", video, "done")

    def fail(self, video, reason: str) -> None:
        """List a video as failed."""
        if not self.counts["failed"]:
            write_text(self.failures, "id,reason\n")
        row = io.StringIO()
        csv.writer(row, lineterminator="").writerow([video.id, " ".join(reason.split())])
        append_line(self.failures, row.getvalue())
        self._count("failed", video, reason)

    def _count(self, result: str, video, text: str) -> None:
        cli.check_interrupt()
        self.counts[result] += 1
        self.bar.update()
        if self.print_progress:
            self.bar.write(f"{self.bar.n}/{self.bar.total} {video.id}: {text}", file=sys.stdout)

    def finish(self) -> int:
        """Print what became of the videos, and return the exit status: 1 where some failed."""
        self.bar.close()
        done, skipped, failed, short = self.counts.values()
        if short:
            print(f"warning: {short} videos are shorter than {SHORT} s; their ten segments are shorter than 1 s",
                  file=sys.stderr)  # fmt: skip
        listed = f", listed in {self.failures}" if failed else ""
        print(f"{self.what}: {done} videos done, {skipped} were finished before, {failed} failed{listed}", flush=True)
        wait_for_other_ranks()
        return cli.EXIT_SOME_FAILED if failed else 0


# -------------------------------------------------------------------------------------------------- reading ahead


class Read(NamedTuple):
    """What reading a video gave, or why it gave nothing."""

    video: object
    value: object
    problem: str = ""
    error: Exception | None = None


def read_ahead(
    read: Callable[[object], object],
    videos: Iterable,
    workers: int,
    ahead: int,
    stop: Callable[[], None] = lambda: None,
) -> Iterator[Read]:
    """Read videos in `workers` threads, in order, at most `ahead` of them before they are asked for.

    Whatever `read` raises becomes the video's problem. `stop` is called at the end or when nobody wants more: it may
    let reads that are going on end soon.
    """

    def attempt(video):
        try:
            return Read(video, read(video))
        except Exception as error:  # noqa: BLE001  a decoder may raise anything, and that costs this video only
            return Read(video, None, _reason(error), error)

    videos = iter(videos)
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = deque(pool.submit(attempt, video) for video in islice(videos, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(attempt, video) for video in islice(videos, 1))
            yield result
    finally:
        stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


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
        cli.require_writable(flag, output.folder, folder=True)
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
