"""Training for one epoch, and evaluation. Axes: B or N videos, T segments, M = 2 modalities, C classes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from utils.base.progress import tqdm
from utils.metrics.decision_thresholds import DEFAULT, Thresholds
from utils.metrics.eval_metrics import binarize
from utils.train.losses import LossLog, logged
from utils.train.recipe import PLAIN, Recipe, segments_of
from utils.train.step import forward, forward_losses, on_device


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
    frame_prob: np.ndarray  # (N, T, M, C) float32; with lengths (S, M, C), the segments of all videos in one row
    losses: dict[str, float | None]
    video_prob: np.ndarray | None = None  # (N, M, C) float32, whether an event is heard and seen in the video
    lengths: np.ndarray | None = None  # (N,) int64, segments of each video; S is their sum. None: all have T

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
        loader: batches as dataloader.py describes them: (B, ...) tensors. With `index`, (B,), the places of the videos,
            they may come in any order.

    Raises InputError if a loss is not finite.
    """
    net.eval()
    log, global_prob, video_prob, frame_prob, known = LossLog(terms), [], [], [], {"lengths": [], "index": []}
    for batch in loader:
        batch = on_device(batch, device)
        output, found = forward_losses(net, batch, terms, recipe) if terms else (forward(net, batch), {})
        global_prob.append(output.global_prob)
        video_prob.append(torch.stack([output.a_prob, output.v_prob], dim=1))
        frame_prob.append(segments_of(output.frame_prob, batch.get("lengths")))
        for name, values in known.items():
            values += [batch[name].cpu()] if name in batch else []
        if terms:
            log.add(torch.stack([found[name] for name in log.names]), len(output.global_prob))
    log.read(lambda i: "in validation")
    arrays = [torch.cat(values).cpu().numpy() for values in (global_prob, frame_prob, video_prob)]
    lengths, index = (torch.cat(values).numpy() if values else None for values in known.values())
    return _in_order(Evaluation(*arrays[:2], log.means() if terms else {}, arrays[2], lengths), index)


def _in_order(found: Evaluation, index: np.ndarray | None) -> Evaluation:
    """The same, its videos in the order of index, (N,): their places in the split. None: they are in order."""
    if index is None:
        return found
    order = np.argsort(index, kind="stable")
    lengths, frame_prob = found.lengths, found.frame_prob
    if lengths is None:
        frame_prob = frame_prob[order]
    else:
        videos = np.split(frame_prob, lengths.cumsum()[:-1])
        lengths, frame_prob = lengths[order], np.concatenate([videos[i] for i in order])
    each = {"global_prob": found.global_prob[order], "video_prob": found.video_prob[order]}
    return found._replace(**each, frame_prob=frame_prob, lengths=lengths)
