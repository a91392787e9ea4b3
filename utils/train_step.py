"""One step of training: forward, losses, backward, clipping, update. It never waits for the device.

`GraphedStep` does the same on CUDA as two recorded graphs, so that a step costs the kernels' time and not that of
launching them. Axes: B videos.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils import engine
from utils.processes import SINGLE, Processes


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Clip gradients to L2 norm `max_norm` (0: leave them) and return the norm they have afterwards, a scalar."""
    norm = nn.utils.clip_grad_norm_(parameters, max_norm if max_norm > 0 else math.inf)
    return norm * (max_norm / (norm + 1e-6)).clamp(max=1) if max_norm > 0 else norm  # 1e-6: as torch clips


class TrainStep:
    """Trains `net` on a batch.

    With several processes each has its part of the batch: gradients and losses are added up, weighted by the videos of
    each part, so that the step is that of one process with the whole batch.

    Args:
        terms: keys of engine.LOSS_TERMS. grad_norm: L2 norm that gradients are clipped to, 0: none.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        terms: Sequence[str],
        grad_norm: float,
        device: torch.device,
        processes: Processes = SINGLE,
    ):
        self.net, self.optimizer, self.terms, self.grad_norm = net, optimizer, terms, grad_norm
        self.device, self.processes = device, processes
        self.parameters = [p for p in net.parameters() if p.requires_grad]

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Make one step.

        Args:
            batch: of this process, as dataloader.py describes it.

        Returns:
            The losses of the whole batch in the order of LossLog.names, the norm of the gradients after clipping, and
            the number of videos: (len(names) + 2,) float32, on the device.
        """
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        self.net.train()
        sums = self.compute_gradients(batch)
        self.processes.add_up(sums)
        return self.update(sums)

    def compute_gradients(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Forward and backward.

        Returns:
            Losses and the number of videos; with several processes both times the videos of this part, and the
            gradients after them, in one vector that can be added up.
        """
        self.optimizer.zero_grad(set_to_none=True)
        videos = len(batch["audio"])
        output = engine.forward(self.net, batch)
        if videos:
            losses = engine.parser_losses(output, batch, self.terms)
            values = torch.stack(list(losses.values()))
            total = losses[engine.TOTAL]
        else:  # a small last batch leaves nothing for this process: its gradients are zeros
            total = output.frame_logits.sum() + output.global_prob.sum()
            values = total.detach().repeat(len(self.terms) + 1)
        count = torch.full((1,), float(videos), device=self.device)
        if self.processes.count == 1:
            total.backward()
            return torch.cat([values.detach(), count])
        (total * videos).backward()
        gradients = [p.grad.flatten() for p in self.parameters if p.grad is not None]
        return torch.cat([values.detach() * videos, count, *gradients])

    def update(self, sums: Tensor) -> Tensor:
        """Clip the gradients, update the weights, and return the step's values."""
        losses, rest = sums[: len(self.terms) + 1], sums[len(self.terms) + 1 :]
        count, flat = rest[:1], rest[1:]
        if self.processes.count > 1:
            losses, flat = losses / count, flat / count
            used = [p for p in self.parameters if p.grad is not None]
            for parameter, values in zip(used, flat.split([p.numel() for p in used]), strict=True):
                parameter.grad = values.view_as(parameter)
        norm = clip_gradients(self.parameters, self.grad_norm)
        self.optimizer.step()
        return torch.cat([losses, norm.detach().view(1), count])


# ------------------------------------------------------------------------------------------------- CUDA graphs

Replay = Callable[[], None]


def record_cuda_graph(function: Replay) -> Replay:
    """Record what `function` launches, without running it, and return what launches all of it again."""
    graph = torch.cuda.CUDAGraph()
    # "thread_local", since nccl's own thread may ask the device something meanwhile
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"):
        function()
    return graph.replay


class _Recording(NamedTuple):
    """A step for batches of one size: where its inputs and results lie, and what computes the one from the other."""

    batch: dict[str, Tensor]
    sums: list[Tensor]
    values: list[Tensor]
    compute_gradients: Replay
    update: Replay


class GraphedStep(TrainStep):
    """The same step from recorded graphs, one pair for each size of a batch.

    Args:
        record: turns a function that works on fixed tensors into what repeats it; tests replace it.
    """

    WARM_UP = 3  # steps before recording, in which libraries choose their kernels and allocate their memory

    def __init__(self, *args, record: Callable[[Replay], Replay] = record_cuda_graph, **kwargs):
        super().__init__(*args, **kwargs)
        self.record, self.recordings = record, {}

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        size = len(batch["audio"])
        self.net.train()
        if size not in self.recordings:
            self.recordings[size] = self._record(batch)
        recording = self.recordings[size]
        for name, value in batch.items():
            recording.batch[name].copy_(value, non_blocking=True)
        recording.compute_gradients()
        self.processes.add_up(recording.sums[0])
        recording.update()
        return recording.values[0].clone()

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
        """Make some steps of this process alone, and undo what they changed, without moving any tensor."""
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        moments = copy.deepcopy(self.optimizer.state_dict()["state"])
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), _side_stream(self.device):
            for _ in range(self.WARM_UP):
                self.update(self.compute_gradients(batch))
        self.net.load_state_dict(weights)  # in place
        for number, parameter in enumerate(self._optimised()):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                before = moments.get(number, {}).get(name)
                value.zero_() if before is None else value.copy_(before)

    def _optimised(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]


@contextlib.contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Let CUDA work run beside the main stream, as recording wants its warm-up."""
    if device.type != "cuda":
        yield
        return
    stream, main = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        yield
    main.wait_stream(stream)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set it for all parameters; where it lies on the device, as recorded graphs need it, in its place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
