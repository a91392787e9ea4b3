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


def require_finite(losses: Mapping[str, float], where: str) -> None:
    """InputError naming the first loss that is not finite."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise InputError(f"{name} is {value} {where}; training stopped: lower --lr or check the features")


class LossLog:
    """Losses of many batches, which stay on their device until somebody asks: asking waits for the device.

    Args:
        terms: keys of LOSS_TERMS, the losses that are computed.
    """

    def __init__(self, terms: Sequence[str]):
        self.names = [LOSS_TERMS[term] for term in LOSS_TERMS if term in terms] + [TOTAL]
        self.waiting, self.sums, self.videos = [], dict.fromkeys(self.names, 0.0), 0

    def add(self, values: Tensor, videos: int | None = None) -> None:
        """Take the values of one batch: (n,), the losses by `names`, then others; the last is the number of videos,
        unless that is given."""
        self.waiting.append((values, videos))

    def read(self, where: Callable[[int], str]) -> list[list[float]]:
        """The values of the batches since the last call, which now count; InputError for a loss that is not finite.

        Args:
            where: says of the i-th of them which it is.
        """
        if not self.waiting:
            return []
        rows = torch.stack([values for values, _ in self.waiting]).tolist()
        for i, (row, (_, videos)) in enumerate(zip(rows, self.waiting, strict=True)):
            losses = dict(zip(self.names, row, strict=False))
            require_finite(losses, where(i))
            count = int(row[-1]) if videos is None else videos
            for name, value in losses.items():
                self.sums[name] += value * count
            self.videos += count
        self.waiting = []
        return rows

    def means(self) -> dict[str, float | None]:
        """Means over videos, by every name of the logs; None for a term that was not computed."""
        return {name: self.sums[name] / self.videos if name in self.sums else None for name in LOSS_NAMES}


def train_one_epoch(
    step: Callable[[Mapping[str, Tensor]], Tensor],
    loader: Iterable[dict[str, Tensor]],
    *,
    terms: Sequence[str],
    log_iteration: Callable[[dict[str, float]], None],
    first_iteration: int,
    log_every: int,
    progress: str | None,
) -> dict[str, float | None]:
    """Train on every batch of `loader` once. The device is waited for only where something is logged.

    Args:
        step: a `TrainStep`.
        terms: keys of LOSS_TERMS.
        log_iteration: called every `log_every`-th iteration, counted over the run from `first_iteration`, with `iter`,
            the losses and `grad_norm` after clipping.
        progress: title of a progress bar; None for none.

    Returns:
        means of the losses over videos.

    Raises:
        InputError: a loss is not finite.
    """
    log = LossLog(terms)
    read_from = first_iteration
    bar = tqdm(loader, progress, leave=False, unit="batch", disable=progress is None)
    for iteration, batch in enumerate(bar, first_iteration):
        log.add(step(batch))
        if iteration % log_every == 0:
            *losses, norm, _ = log.read(lambda i, first=read_from: f"at iteration {first + i}")[-1]
            values = dict(zip(log.names, losses, strict=True))
            log_iteration({"iter": iteration, **{name: values.get(name) for name in LOSS_NAMES}, "grad_norm": norm})
            read_from = iteration + 1
    log.read(lambda i: f"at iteration {read_from + i}")
    return log.means()


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
    log, global_prob, frame_prob = LossLog(terms), [], []
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        output = forward(net, batch)
        global_prob.append(output.global_prob)
        frame_prob.append(output.frame_prob)
        if terms:
            losses = parser_losses(output, batch, terms)
            log.add(torch.stack([losses[name] for name in log.names]), len(output.global_prob))
    log.read(lambda i: "in validation")
    return Evaluation(
        torch.cat(global_prob).cpu().numpy(), torch.cat(frame_prob).cpu().numpy(), log.means() if terms else {}
    )


def forward(net: nn.Module, batch: Mapping[str, Tensor]) -> ParserOutput:
    """The network's output for a batch."""
    return net(batch["audio"], batch["visual"], batch["visual_st"])
