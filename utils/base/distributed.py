"""Several processes that train one network, under torchrun; a single process is the case of one.

    torchrun --nproc_per_node=K main.py ...

Each rank has its shard of every batch, and all hold the same weights: gradients are summed over the ranks.
"""

import functools
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, Self

SEED_STRIDE = 2**32  # distance between the dropout seeds of two ranks
TIMEOUT = timedelta(days=1)  # a rank may wait while rank 0 reads a data set for the first time


def torchrun_rank() -> tuple[int, int]:
    """Rank and world size of this process, (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


class ProcessGroup(NamedTuple):
    """The ranks that train together. With a world size of 1 every method returns its argument at once."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def init(cls, device_type: str) -> Self:
        """Join the processes of torchrun, if there are any: over nccl for `cuda`, else over gloo."""
        group = cls(*torchrun_rank())
        if group.world_size > 1:
            if group.rank:  # if rank 0 fails, a rank that waits for it inside gloo cannot run Python's handler
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _dist().init_process_group("cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo", timeout=TIMEOUT)
        return group

    def destroy(self) -> None:
        """Leave the group once all ranks have come here."""
        if self.world_size > 1:
            self.barrier()
            _dist().destroy_process_group()

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the rank that reads, writes, validates and prints."""
        return self.rank == 0

    def rank_zero_first(self, function: Callable[[], Any]) -> Any:
        """What `function` returns: rank 0 calls it first, the others after it has returned there."""
        value = function() if self.is_rank_zero else None
        self.barrier()
        return value if self.is_rank_zero else function()

    def barrier(self) -> None:
        """Return once all ranks have come here."""
        if self.world_size > 1:
            _dist().barrier(group=_cpu_group())

    def all_reduce(self, values) -> None:
        """Replace a tensor of any shape by its sum over all ranks, in place."""
        if self.world_size > 1:
            _dist().all_reduce(values)

    def broadcast_object(self, value: Any) -> Any:
        """Rank 0's value on all ranks; a picklable object."""
        box = [value]
        if self.world_size > 1:
            _dist().broadcast_object_list(box, src=0, group=_cpu_group())
        return box[0]

    def all_gather_object(self, value: Any) -> list:
        """The values of all ranks, by rank."""
        values = [value] * self.world_size
        if self.world_size > 1:
            _dist().all_gather_object(values, value, group=_cpu_group())
        return values

    def shard(self, indices):
        """This rank's part of a batch, of (B,) indices every `world_size`-th: parts differ by at most one."""
        return indices[self.rank :: self.world_size]


def _dist():
    """torch.distributed, imported on demand: extraction asks for its rank without torch."""
    import torch.distributed

    return torch.distributed


@functools.cache
def _cpu_group():
    """A gloo group for objects, made once."""
    return _dist().new_group(backend="gloo", timeout=TIMEOUT)


SINGLE = ProcessGroup()
