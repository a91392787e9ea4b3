"""Training for one epoch, evaluation, and the three losses (paper, section 3.2; spec, section 4).

Axes: B or N videos, T segments, M = 2 modalities, C classes.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from nets.mmil_net import ParserOutput
from utils.cli import InputError

# name on the command line -> name in the logs; also the order in which the terms are added
LOSS_TERMS = {"video": "loss_video", "audio": "loss_valor_a", "visual": "loss_valor_v"}
TOTAL = "loss_all"
LOSS_NAMES = (*LOSS_TERMS.values(), TOTAL)
PROBABILITY_MARGIN = 1e-7  # keeps log(global_prob) finite


def learning_rate(
    epoch: int,
    *,
    scheduler: str,
    lr: float,
    epochs: int,
    stepsize: int,
    gamma: float,
    warm_up_epoch: int,
    lr_min: float,
) -> float:
    """Learning rate of epoch 1..epochs.

    steplr: multiplied by gamma after every `stepsize` epochs. warm_up_cos_anneal: linear to lr over `warm_up_epoch`
    epochs, then half a cosine down to lr_min; where no epoch is left for the cosine, the last epoch has lr.
    """
    if scheduler == "steplr":
        for _ in range((epoch - 1) // stepsize):  # one product a step, as StepLR does: the same rounding
            lr = lr * gamma
        return lr
    if epoch < warm_up_epoch:
        return lr * epoch / warm_up_epoch
    if epochs == warm_up_epoch:
        return lr
    progress = (epoch - warm_up_epoch) / (epochs - warm_up_epoch)
    return lr_min + (lr - lr_min) / 2 * (1 + math.cos(math.pi * progress))


def cross_entropy(prob: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy of probabilities in (0, 1); NaN where any is NaN.

    torch's function ends the program there instead (on CUDA for good), and the loss could not be named.
    """
    wrong = prob.isnan()
    loss = F.binary_cross_entropy(prob.masked_fill(wrong, 0.5), target)
    return loss.masked_fill(wrong.any(), torch.nan)


def parser_losses(output: ParserOutput, batch: Mapping[str, Tensor], terms: Sequence[str]) -> dict[str, Tensor]:
    """The chosen terms of the loss and their sum.

    Args:
        output: of the network, B videos.
        batch: weak (B, C), pseudo_a and pseudo_v (B, T, C), float 0/1; only what the terms need.
        terms: keys of LOSS_TERMS.

    Returns:
        name in the logs -> scalar, each a mean over its elements; `loss_all`, their sum.
    """
    audio_logits, visual_logits = output.frame_logits.unbind(dim=2)  # (B, T, C) each
    margin = PROBABILITY_MARGIN
    compute = {
        "video": lambda: cross_entropy(output.global_prob.clamp(margin, 1 - margin), batch["weak"]),
        "audio": lambda: F.binary_cross_entropy_with_logits(audio_logits, batch["pseudo_a"]),
        "visual": lambda: F.binary_cross_entropy_with_logits(visual_logits, batch["pseudo_v"]),
    }
    losses = {name: compute[term]() for term, name in LOSS_TERMS.items() if term in terms}
    losses[TOTAL] = sum(losses.values())
    return losses


class MeanLosses:
    """Means over videos of losses that are means over batches, summed on the device they are on."""

    def __init__(self):
        self.sums, self.videos = {}, 0

    def add(self, losses: Mapping[str, Tensor], videos: int) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double() * videos
        self.videos += videos

    def means(self) -> dict[str, float | None]:
        """Every name of the logs; None for a term that was not computed."""
        return {name: float(self.sums[name]) / self.videos if name in self.sums else None for name in LOSS_NAMES}


def require_finite(losses: Mapping[str, Tensor], where: str) -> None:
    """InputError naming the first loss that is not finite."""
    values = torch.stack(list(losses.values())).tolist()
    for name, value in zip(losses, values, strict=True):
        if not math.isfinite(value):
            raise InputError(f"{name} is {value} {where}; training stopped: lower --lr or check the features")


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Clip gradients to L2 norm `max_norm` (0: leave them) and return the norm they have afterwards, a scalar."""
    norm = nn.utils.clip_grad_norm_(parameters, max_norm if max_norm > 0 else math.inf)
    return norm * (max_norm / (norm + 1e-6)).clamp(max=1) if max_norm > 0 else norm  # 1e-6: as torch clips


def train_one_epoch(
    net: nn.Module,
    loader: Iterable[dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    terms: Sequence[str],
    grad_norm: float,
    log_iteration: Callable[[dict[str, float]], None],
    first_iteration: int,
    log_every: int,
    progress: str,
) -> dict[str, float | None]:
    """Train on every batch of `loader` once.

    Args:
        terms: keys of LOSS_TERMS. grad_norm: L2 norm that gradients are clipped to, 0: none.
        log_iteration: called every `log_every`-th iteration, counted over the run from `first_iteration`, with `iter`,
            the losses and `grad_norm` after clipping.

    Returns:
        means of the losses over videos.

    Raises:
        InputError: a loss is not finite.
    """
    net.train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    mean = MeanLosses()
    for iteration, batch in enumerate(tqdm(loader, progress, leave=False, unit="batch"), first_iteration):
        batch = {name: value.to(device) for name, value in batch.items()}
        losses = parser_losses(_forward(net, batch), batch, terms)
        require_finite(losses, f"at iteration {iteration}")

        optimizer.zero_grad(set_to_none=True)
        losses[TOTAL].backward()
        norm = clip_gradients(parameters, grad_norm)
        optimizer.step()

        mean.add(losses, len(batch["audio"]))
        if iteration % log_every == 0:
            values = {name: losses[name].item() if name in losses else None for name in LOSS_NAMES}
            log_iteration({"iter": iteration, **values, "grad_norm": norm.item()})
    return mean.means()


class Evaluation(NamedTuple):
    """What the network says of N videos, and the mean losses where they were asked for."""

    global_prob: np.ndarray  # (N, C) float32
    frame_prob: np.ndarray  # (N, T, M, C) float32
    losses: dict[str, float | None]


@torch.no_grad()
def evaluate(
    net: nn.Module, loader: Iterable[dict[str, Tensor]], *, device: torch.device, terms: Sequence[str] = ()
) -> Evaluation:
    """Run the network on every batch of `loader`; with `terms`, compute these losses, too.

    Raises:
        InputError: a loss is not finite.
    """
    net.eval()
    mean, global_prob, frame_prob = MeanLosses(), [], []
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        output = _forward(net, batch)
        global_prob.append(output.global_prob)
        frame_prob.append(output.frame_prob)
        if terms:
            losses = parser_losses(output, batch, terms)
            require_finite(losses, "in validation")
            mean.add(losses, len(batch["audio"]))
    return Evaluation(
        torch.cat(global_prob).cpu().numpy(), torch.cat(frame_prob).cpu().numpy(), mean.means() if terms else {}
    )


def _forward(net: nn.Module, batch: Mapping[str, Tensor]) -> ParserOutput:
    return net(batch["audio"], batch["visual"], batch["visual_st"])
