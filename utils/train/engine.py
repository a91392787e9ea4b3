"""Training for one epoch, and evaluation. Axes: B or N videos, T segments, M = 2 modalities, C classes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from utils.metrics.decision_thresholds import DEFAULT, Thresholds
from utils.metrics.eval_metrics import binarize
from utils.train.losses import LossLog, logged
from utils.train.recipe import PLAIN, Recipe
from utils.train.step import forward, forward_losses


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
    """Train on every batch of `loader` once. The device is waited for only when something is logged.

    Args:
        step: a `TrainStep`.
        loader: batches of (B, ...) tensors, as dataloader.py describes them.
        terms: keys of LOSS_TERMS.
        log_iteration: called every `log_every`-th iteration, counted over the run from `first_iteration`, with `iter`,
            the losses and `grad_norm` after clipping.
        progress: title of a progress bar; None for no bar.

    Returns:
        means of the losses over videos.

    Raises InputError if a loss is not finite.
    """
    log = LossLog(terms)
    read_from = first_iteration
    bar = tqdm(loader, progress, leave=False, unit="batch", disable=progress is None)
    for iteration, batch in enumerate(bar, first_iteration):
        log.add(step(batch))
        if iteration % log_every == 0:
            *means, norm, _ = log.read(lambda i, first=read_from: f"at iteration {first + i}")[-1]
            values = dict(zip(log.names, means, strict=True))
            log_iteration({"iter": iteration, **logged(values), "grad_norm": norm})
            read_from = iteration + 1
    log.read(lambda i: f"at iteration {read_from + i}")
    return log.means()


class Evaluation(NamedTuple):
    """What the network says of N videos, and the mean losses if they were asked for."""

    global_prob: np.ndarray  # (N, C) float32
    frame_prob: np.ndarray  # (N, T, M, C) float32
    losses: dict[str, float | None]

    def predictions(self, thresholds: Thresholds = DEFAULT) -> tuple[np.ndarray, np.ndarray]:
        """Audio and visual decisions, (N, C, T) bool each."""
        return binarize(self.global_prob, self.frame_prob, *thresholds)


@torch.no_grad()
def evaluate(
    net: nn.Module,
    loader: Iterable[dict[str, Tensor]],
    *,
    device: torch.device,
    terms: Sequence[str] = (),
    recipe: Recipe = PLAIN,
) -> Evaluation:
    """Run the network on every batch of `loader`; with `terms`, compute these losses by the recipe, too.

    Args:
        loader: batches as dataloader.py describes them: (B, ...) tensors.

    Raises InputError if a loss is not finite.
    """
    net.eval()
    log, global_prob, frame_prob = LossLog(terms), [], []
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        output, found = forward_losses(net, batch, terms, recipe) if terms else (forward(net, batch), {})
        global_prob.append(output.global_prob)
        frame_prob.append(output.frame_prob)
        if terms:
            log.add(torch.stack([found[name] for name in log.names]), len(output.global_prob))
    log.read(lambda i: "in validation")
    return Evaluation(
        torch.cat(global_prob).cpu().numpy(), torch.cat(frame_prob).cpu().numpy(), log.means() if terms else {}
    )
