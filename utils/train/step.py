"""One step of training: forward, losses, backward, clipping, update. It never waits for the device. Axes: B videos."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nets.mmil_net import ParserOutput
from utils.base.distributed import SINGLE, ProcessGroup
from utils.train import losses
from utils.train.recipe import PLAIN, Recipe

ON_CPU = ("lengths", "index")  # of a batch: what is read while the device works


def forward(net: nn.Module, batch: Mapping[str, Tensor]) -> ParserOutput:
    """The network's output for a batch: audio (B, T | 64, Da), visual (B, T | 80, Dv), visual_st (B, T, Ds).

    The batch may hold lengths (B,), on the CPU.
    """
    return net(*_inputs(batch))


def _inputs(batch: Mapping[str, Tensor]) -> list[Tensor]:
    lengths = [batch["lengths"]] if "lengths" in batch else []
    return [batch["audio"], batch["visual"], batch["visual_st"], *lengths]


def on_device(batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool = False) -> dict[str, Tensor]:
    """The batch's (B, ...) tensors on the device, but for those of ON_CPU."""
    moved = {name: x.to(device, non_blocking=non_blocking) for name, x in batch.items() if name not in ON_CPU}
    return moved | {name: batch[name] for name in ON_CPU if name in batch}


def forward_losses(
    net: nn.Module, batch: Mapping[str, Tensor], terms: Sequence[str], recipe: Recipe = PLAIN
) -> tuple[ParserOutput, dict[str, Tensor]]:
    """The network's output for a batch of (B, ...) tensors, as `forward` describes it, and the terms of the loss.

    The output is of the recipe's batch: in training that may have further videos at its end.
    """
    batch = recipe.prepare(batch, net.training)
    if "mixup" in terms:
        features = net.encode(*_inputs(batch))
        output = net.classify(features, batch.get("lengths"))
        batch |= recipe.mix(features, batch, net.fc_prob)
    else:
        output = forward(net, batch)
    return output, losses.parser_losses(output, batch, terms, recipe)


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Clip gradients to L2 norm `max_norm` (0: leave them) and return the norm they have afterwards, a () tensor."""
    norm = nn.utils.clip_grad_norm_(parameters, max_norm if max_norm > 0 else math.inf)
    return norm * (max_norm / (norm + 1e-6)).clamp(max=1) if max_norm > 0 else norm  # 1e-6: as torch clips


class TrainStep:
    """Trains `net` on a batch.

    With several ranks each has its shard of the batch: gradients and losses are summed, weighted by the videos of
    each shard, so that the step is that of one process with the whole batch. If it holds `lengths`, losses of segments
    are weighted by the segments of each shard.

    Args:
        terms: keys of LOSS_TERMS. grad_norm: L2 norm that gradients are clipped to, 0: none.
        recipe: how the terms are computed; one that is random is for one process.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        terms: Sequence[str],
        grad_norm: float,
        device: torch.device,
        group: ProcessGroup = SINGLE,
        recipe: Recipe = PLAIN,
    ):
        self.net, self.optimizer, self.terms, self.recipe = net, optimizer, terms, recipe
        self.grad_norm, self.device, self.group = grad_norm, device, group
        self.count = len(losses.loss_names(terms))  # of the losses
        self.parameters = [p for p in net.parameters() if p.requires_grad]

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Make one step.

        Args:
            batch: this rank's shard, as dataloader.py describes it.

        Returns:
            The losses of the whole batch in the order of LossLog.names, the norm of the gradients after clipping, and
            the number of videos: (len(names) + 2,) float32, on the device.
        """
        batch = on_device(batch, self.device, non_blocking=True)
        self.net.train()
        sums = self.compute_gradients(batch)
        self.group.all_reduce(sums)
        return self.update(sums)

    def compute_gradients(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Forward and backward, for (B, ...) tensors.

        Returns:
            (n,) losses and the number of videos; with several ranks the losses times the videos of this shard, and
            the gradients after them, in one vector that can be summed over the ranks.
        """
        self.optimizer.zero_grad(set_to_none=True)
        videos = len(batch["audio"])
        if self.group.world_size > 1 and "lengths" in batch:
            batch = batch | {"segment_share": self._segment_share(batch["lengths"])}
        if videos:
            _, found = forward_losses(self.net, batch, self.terms, self.recipe)
            values = torch.stack(list(found.values()))
            total = found[losses.TOTAL]
        else:  # a small last batch leaves nothing for this rank: its gradients are zeros
            output = forward(self.net, batch)
            total = output.frame_logits.sum() + output.global_prob.sum()
            values = total.detach().repeat(self.count)
        count = torch.full((1,), float(videos), device=self.device)
        if self.group.world_size == 1:
            total.backward()
            return torch.cat([values.detach(), count])
        (total * videos).backward()
        gradients = [p.grad.flatten() for p in self.parameters if p.grad is not None]
        return torch.cat([values.detach() * videos, count, *gradients])

    def _segment_share(self, lengths: Tensor) -> Tensor:
        """What turns the weight of a shard's videos, of `lengths` (B,), into that of its segments: a () tensor."""
        own = torch.tensor([float(len(lengths)), float(lengths.sum())], device=self.device)
        whole = own.clone()
        self.group.all_reduce(whole)
        videos, segments = own / whole
        return segments / videos

    def update(self, sums: Tensor) -> Tensor:
        """Clip the gradients, update the weights, and return the values of the step: (n,) -> (len(names) + 2,)."""
        values, rest = sums[: self.count], sums[self.count :]
        count, flat = rest[:1], rest[1:]
        if self.group.world_size > 1:
            values, flat = values / count, flat / count
            used = [p for p in self.parameters if p.grad is not None]
            for parameter, gradient in zip(used, flat.split([p.numel() for p in used]), strict=True):
                parameter.grad = gradient.view_as(parameter)
        norm = clip_gradients(self.parameters, self.grad_norm)
        self.optimizer.step()
        return torch.cat([values, norm.detach().view(1), count])
