"""A training step recorded as CUDA graphs, which a GPU replays without waiting for Python.

Experimental: no GPU was at hand when this was written. What cannot be recorded is done step by step.
"""

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from utils.base.errors import is_out_of_memory
from utils.train.step import TrainStep

Replay = Callable[[], None]


def record_cuda_graph(function: Replay) -> Replay:
    """Record the kernels that `function` launches, without running them; the returned function launches them again."""
    graph = torch.cuda.CUDAGraph()
    # "thread_local", since nccl's own thread may ask the device something meanwhile
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"):
        function()
    return graph.replay


class _Recording(NamedTuple):
    """A recorded step for batches of one size: its input and output tensors, and the graphs that compute them."""

    batch: dict[str, Tensor]
    sums: list[Tensor]
    values: list[Tensor]
    compute_gradients: Replay
    update: Replay


class GraphedStep(TrainStep):
    """The same step from recorded graphs, one pair for each batch size.

    record: records a function that works on fixed tensors, and returns its replay; tests replace it.
    """

    WARM_UP = 3  # steps before recording, in which libraries choose their kernels and allocate their memory

    def __init__(self, *args, record: Callable[[Replay], Replay] = record_cuda_graph, **kwargs):
        super().__init__(*args, **kwargs)
        self.record, self.recordings, self.is_recorded = record, {}, True

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        size = len(batch["audio"])
        self.net.train()
        if self.is_recorded and size not in self.recordings:
            self._try_to_record(size, batch)
        if not self.is_recorded:
            return super().__call__(batch)
        recording = self.recordings[size]
        for name, value in batch.items():
            recording.batch[name].copy_(value, non_blocking=True)
        recording.compute_gradients()
        self.group.all_reduce(recording.sums[0])
        recording.update()
        return recording.values[0].clone()

    def _try_to_record(self, size: int, batch: Mapping[str, Tensor]) -> None:
        """Record the step of one batch size; if that fails, let every step be a plain one from now on, and say so."""
        try:
            self.recordings[size] = self._record(batch)
        except RuntimeError as error:
            if self.group.world_size > 1 or is_out_of_memory(error):  # the others would go on with what they recorded
                raise
            self.is_recorded = False
            self.recordings.clear()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"note: CUDA graphs cannot be recorded ({reason:.150}); going on without them", file=sys.stderr)

    def _record(self, batch: Mapping[str, Tensor]) -> _Recording:
        fixed = {name: value.to(self.device).clone() for name, value in batch.items()}
        self._warm_up(fixed)
        sums, values = [None], [None]

        def compute_gradients():
            sums[0] = self.compute_gradients(fixed)

        def update():
            values[0] = self.update(sums[0])

        return _Recording(fixed, sums, values, self.record(compute_gradients), self.record(update))

    def _warm_up(self, batch: Mapping[str, Tensor]) -> None:
        """Take some steps in this process alone, and undo what they changed, without moving any tensor."""
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        moments = copy.deepcopy(self.optimizer.state_dict()["state"])
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), _side_stream(self.device):
                for _ in range(self.WARM_UP):
                    self.update(self.compute_gradients(batch))
        finally:
            self._undo(weights, moments)

    def _undo(self, weights: Mapping[str, Tensor], moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Give parameters and moments of the optimizer, of any shape (...), the values that they had, in place."""
        self.net.load_state_dict(weights)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, parameter in enumerate(parameters):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                before = moments.get(number, {}).get(name)
                value.zero_() if before is None else value.copy_(before)


@contextlib.contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Run CUDA work on a stream of its own, as the warm-up before recording must."""
    if device.type != "cuda":
        yield
        return
    stream, main = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        yield
    main.wait_stream(stream)
