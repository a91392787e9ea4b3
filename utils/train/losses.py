"""The three losses, and their means over an epoch.

Source: VALOR (NeurIPS 2023), section 3.2. Axes: B videos, T segments, M = 2 modalities (audio, visual), C classes.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nets.mmil_net import ParserOutput
from utils.base.errors import InputError

# name on the command line -> name in the logs; also the order in which the terms are added
LOSS_TERMS = {"video": "loss_video", "audio": "loss_valor_a", "visual": "loss_valor_v"}
TOTAL = "loss_all"
LOSS_NAMES = (*LOSS_TERMS.values(), TOTAL)
PROBABILITY_MARGIN = 1e-7  # keeps log(global_prob) finite


def binary_cross_entropy(prob: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy of probabilities in (0, 1), (...) each -> a scalar; NaN if any probability is NaN.

    torch's function ends the program for NaN (on CUDA for good), so that the loss could not be named.
    """
    is_nan = prob.isnan()
    loss = F.binary_cross_entropy(prob.masked_fill(is_nan, 0.5), target)
    return loss.masked_fill(is_nan.any(), torch.nan)


def parser_losses(output: ParserOutput, batch: Mapping[str, Tensor], terms: Sequence[str]) -> dict[str, Tensor]:
    """The chosen terms of the loss and their sum.

    Args:
        output: of the network, for B videos.
        batch: weak (B, C), pseudo_a and pseudo_v (B, T, C), float 0/1; only what the terms need.
        terms: keys of LOSS_TERMS.

    Returns:
        name in the logs -> scalar, each a mean over its elements; `loss_all`, their sum.
    """
    audio_logits, visual_logits = output.frame_logits.unbind(dim=2)  # (B, T, C) each
    global_prob = output.global_prob.clamp(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    compute = {
        "video": lambda: binary_cross_entropy(global_prob, batch["weak"]),
        "audio": lambda: F.binary_cross_entropy_with_logits(audio_logits, batch["pseudo_a"]),
        "visual": lambda: F.binary_cross_entropy_with_logits(visual_logits, batch["pseudo_v"]),
    }
    losses = {name: compute[term]() for term, name in LOSS_TERMS.items() if term in terms}
    losses[TOTAL] = sum(losses.values())
    return losses


def require_finite(losses: Mapping[str, float], where: str) -> None:
    """Raises InputError, naming the first loss that is not finite."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise InputError(f"{name} is {value} {where}; training stopped: lower --lr or check the features")


class LossLog:
    """Losses of many batches. They are kept on their device: reading them waits for it.

    Args:
        terms: keys of LOSS_TERMS, the losses that are computed.
    """

    def __init__(self, terms: Sequence[str]):
        self.names = [LOSS_TERMS[term] for term in LOSS_TERMS if term in terms] + [TOTAL]
        self.waiting, self.sums, self.videos = [], dict.fromkeys(self.names, 0.0), 0

    def add(self, values: Tensor, videos: int | None = None) -> None:
        """Add one batch: (n,) values, the losses by `names`, then others; the last is the number of videos unless
        `videos` gives it."""
        self.waiting.append((values, videos))

    def read(self, where: Callable[[int], str]) -> list[list[float]]:
        """The values of the batches since the last call, which now count towards the means.

        Args:
            where: names the i-th of them in an error.

        Raises InputError if a loss is not finite.
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
