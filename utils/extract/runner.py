"""How a command goes through a list of videos: restartable, in shards, one bad video costs that video only.

A finished video is one whose outputs exist and open. Bad videos are listed with their reason in a CSV, and make the
exit status 1.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Self

from utils.base import command
from utils.base.distributed import torchrun_rank
from utils.base.errors import InputError
from utils.base.files import append_line, csv_line, locked, require_writable, write_text
from utils.base.progress import tqdm
from utils.base.read_ahead import Read
from utils.llp.classes import T
from utils.llp.videos import Video

SHORT = T - 1  # seconds; shorter videos are processed all the same, and counted in a warning


class Settings(NamedTuple):
    """The flags of `flags.add_extraction_flags`, and --batch_size; None: `gpu_batch` or `cpu_batch`, by the device.

    On the CPU, most networks are as fast with a video at a time, and each one moves the bar.
    """

    workers: int
    num_shards: int = 1
    shard: int = 0
    failures: Path | None = None
    print_progress: bool = False
    batch_size: int | None = None
    gpu_batch: int = 1
    cpu_batch: int = 1

    @classmethod
    def of(cls, flags: Mapping[str, object]) -> Self:
        """Those of a command's flags that are settings."""
        return cls(**{name: flags[name] for name in cls._fields if name in flags})


class Shard(NamedTuple):
    """One of `count` equal parts of a list, by stride."""

    index: int
    count: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The part that the flags and, under torchrun, the rank of this process say.

        With both, each of the K parts is split again among the processes of its torchrun. Raises InputError if there
        is no such part.
        """
        if settings.shard >= settings.num_shards:
            last = settings.num_shards - 1
            raise InputError(f"--shard {settings.shard}: expected 0 to {last} with --num_shards {settings.num_shards}")
        rank, world_size = torchrun_rank()
        return cls(settings.shard * world_size + rank, settings.num_shards * world_size)

    def failures_file(self, given: Path | None, folder: Path) -> Path:
        """Where this part lists its failures. A `given` name gets a suffix only if processes of torchrun share it."""
        path = given or Path(folder) / "failures.csv"
        if self.count == 1 or (given and torchrun_rank()[1] == 1):
            return path
        return path.with_name(f"{path.stem}.shard{self.index}{path.suffix}")


class Run:
    """One run of a command over its part of a list of videos: what is left to do, what failed, the progress bar.

    Use it as a context; `finish` ends it. Raises InputError for an impossible part of the list.

    Args:
        what: name of the work, for the progress bar.
        folder: in which the failures are listed unless --failures says where.
    """

    def __init__(self, what: str, settings: Settings, folder: Path):
        self.shard, self.folder = Shard.of(settings), Path(folder)
        self.failures = self.shard.failures_file(settings.failures, folder)
        require_writable("--failures", self.failures)
        self.what = what if self.shard.count == 1 else f"{what} {self.shard.index}/{self.shard.count}"
        self.print_progress = settings.print_progress
        self.counts = dict.fromkeys(("done", "skipped", "failed", "short"), 0)
        self.bar = None

    def __enter__(self) -> Self:
        # two processes with the same part would write the same files
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
            items: videos, each with an `id` and a `problem`, '' if it has none.
        """
        self.part = items[self.shard.index :: self.shard.count]
        good = [item for item in self.part if not item.problem]
        checked = tqdm(good, "looking for finished videos", leave=False, unit="video", delay=1)
        left = [item for item in checked if not is_finished(item)]
        self.counts["skipped"] = len(good) - len(left)
        self.bad = [item for item in self.part if item.problem]
        self.total = len(left) + len(self.bad)
        return left

    def begin(self) -> None:
        """Show the progress bar, now that networks are loaded, and list the bad items as failed."""
        self.failures.unlink(missing_ok=True)  # it lists what failed in the last run
        settings = {"unit": "video", "mininterval": 0.5, "position": int(os.environ.get("LOCAL_RANK", "0"))}
        self.bar = tqdm(desc=self.what, total=self.total, disable=self.total == 0, **settings)
        for item in self.bad:
            self.fail(item, item.problem)

    def done(self, video: Video, seconds: float) -> None:
        """Count a video of this length as processed."""
        self.counts["short"] += seconds < SHORT
        self._count("done", video, "done")

    def skip(self, video: Video) -> None:
        """Count a video, of which nothing was left to do, as finished before."""
        self._count("skipped", video, "finished before")

    def fail(self, video: Video, reason: str) -> None:
        """List a video as failed."""
        if not self.counts["failed"]:
            write_text(self.failures, "id,reason\n")
        append_line(self.failures, csv_line([video.id, " ".join(reason.split())]))
        self._count("failed", video, reason)

    def readable(self, reads: Iterable[Read]) -> Iterator[Read]:
        """The videos that could be read; the others are listed as failed."""
        for result in reads:
            if result.problem:
                self.fail(result.video, result.problem)
            else:
                yield result

    def _count(self, result: str, video, text: str) -> None:
        command.check_interrupt()
        self.counts[result] += 1
        self.bar.update()
        if self.print_progress:
            self.bar.write(f"{self.bar.n}/{self.bar.total} {video.id}: {text}", file=sys.stdout)

    def finish(self) -> int:
        """Print how many videos are done, and return the exit status: 1 if some failed."""
        self.bar.close()
        done, skipped, failed, short = self.counts.values()
        if short:
            text = f"warning: {short} videos are shorter than {SHORT} s; their ten segments are shorter than 1 s"
            print(text, file=sys.stderr)
        listed = f", listed in {self.failures}" if failed else ""
        print(f"{self.what}: {done} videos done, {skipped} were finished before, {failed} failed{listed}", flush=True)
        if torchrun_rank()[1] > 1:  # wait for the others: torchrun ends them as soon as one fails
            import torch.distributed as dist

            dist.init_process_group("gloo", timeout=timedelta(days=30))
            dist.barrier()
            dist.destroy_process_group()
        return command.EXIT_SOME_FAILED if failed else 0
