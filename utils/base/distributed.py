"""Several processes that train one network, under torchrun; a single process is the case of one.

    torchrun --nproc_per_node=K main.py ...

Each process has its part of every batch, and all hold the same weights: gradients are added up between them.
"""

import os
import signal
from datetime import timedelta
from typing import NamedTuple, Self

import torch
from torch import Tensor


def torchrun_rank() -> tuple[int, int]:
    """Rank of this process and number of processes, (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


SEED_STRIDE = 2**32  # apart are the seeds of the processes' dropout
PATIENCE = timedelta(days=1)  # with a process that reads a data set for the first time


class ProcessGroup(NamedTuple):
    """This process and the others. With `count` 1 every method returns at once what it is given."""

    rank: int = 0
    count: int = 1

    @classmethod
    def start(cls, device: torch.device) -> Self:
        """Join the processes of torchrun, if there are any: over nccl for CUDA devices, else over gloo."""
        processes = cls(*torchrun_rank())
        if processes.count > 1:
            import torch.distributed as dist

            if processes.rank:  # it may be waiting for the first one, deaf to Python's handler, when that has failed
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        return processes

    def stop(self) -> None:
        """Leave the others, when all have come here."""
        if self.count > 1:
            self.wait()
            torch.distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reads, writes, validates and prints."""
        return self.rank == 0

    def in_turn(self, function):
        """What `function` returns here: called by the first process, and when it is done by the others."""
        value = function() if self.is_first else None
        self.wait()
        return value if self.is_first else function()

    def wait(self) -> None:
        """Return when all have come here."""
        if self.count > 1:
            torch.distributed.barrier(group=_cpu_group())

    def add_up(self, values: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.count > 1:
            torch.distributed.all_reduce(values)

    def of_first(self, value):
        """The first process's value, for all; a picklable object."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, group=_cpu_group())
        return box[0]

    def of_all(self, value) -> list:
        """The values of all processes, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        torch.distributed.all_gather_object(values, value, group=_cpu_group())
        return values

    def part(self, indices: Tensor) -> Tensor:
        """Which of a batch's videos are this process's: every `count`-th, so that parts differ by one at most."""
        return indices[self.rank :: self.count]


def _cpu_group():
    """A group over gloo, in which objects travel, made once."""
    if not hasattr(_cpu_group, "group"):
        _cpu_group.group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return _cpu_group.group


SINGLE = ProcessGroup()
