"""One step of training: forward, losses, backward, clipping, update. It never waits for the device.

`GraphedStep` does the same on CUDA as two recorded graphs, so that a step costs the kernels' time and not that of
launching them. Axes: B videos.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from utils.base.distributed import SINGLE, ProcessGroup
from utils.train.engine import forward
from utils.train.losses import TOTAL, parser_losses


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
        processes: ProcessGroup = SINGLE,
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
        output = forward(self.net, batch)
        if videos:
            losses = parser_losses(output, batch, self.terms)
            values = torch.stack(list(losses.values()))
            total = losses[TOTAL]
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
