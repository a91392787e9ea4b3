"""The losses of a batch, and their means over an epoch.

Sources: VALOR (NeurIPS 2023), section 3.2; `guided`: HAN (ECCV 2020), section 4.4; `mixup`: UWAV (CVPR 2025), section
3.5. Axes: B videos, T segments, M = 2 modalities (audio, visual), C classes; S segments of videos of different lengths.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nets.mmil_net import ParserOutput
from utils.base.errors import InputError
from utils.train.recipe import PLAIN, Recipe, segments_of

# term -> its losses by their names in the logs; also the order in which they are added. --mixup turns the last one on.
LOSS_TERMS = {
    "video": ("loss_video",),
    "audio": ("loss_valor_a",),
    "visual": ("loss_valor_v",),
    "guided": ("loss_guided_a", "loss_guided_v"),
    "mixup": ("loss_mixup_a", "loss_mixup_v"),
}
SEGMENT_TERMS = {"audio": "a", "visual": "v"}  # those that --segment_weight and --reweight are about
TOTAL = "loss_all"
LOSS_NAMES = ("loss_video", "loss_valor_a", "loss_valor_v", TOTAL)  # every log has these; others if they are computed
PROBABILITY_MARGIN = 1e-7  # keeps log(global_prob) finite


def loss_names(terms: Sequence[str]) -> list[str]:
    """Names in the logs of what these terms compute, and of their sum."""
    return [name for term, names in LOSS_TERMS.items() if term in terms for name in names] + [TOTAL]


def logged(values: Mapping[str, float]) -> dict[str, float | None]:
    """Losses as the logs have them: None for one of LOSS_NAMES that was not computed."""
    others = [name for name in values if name not in LOSS_NAMES]
    return {name: values.get(name) for name in (*LOSS_NAMES[:-1], *others, TOTAL)}


def binary_cross_entropy(prob: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy of probabilities in (0, 1), (...) each -> a scalar; NaN if any probability is NaN.

    torch's function ends the program for NaN (on CUDA for good), so that the loss could not be named.
    """
    is_nan = prob.isnan()
    loss = F.binary_cross_entropy(prob.masked_fill(is_nan, 0.5), target)
    return loss.masked_fill(is_nan.any(), torch.nan)


def video_loss(prob: Tensor, weak: Tensor) -> Tensor:
    """Mean binary cross-entropy of video probabilities, (B, C), kept off 0 and 1, and labels, (B, C): a scalar."""
    return binary_cross_entropy(prob.clamp(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN), weak)


def segment_loss(logits: Tensor, targets: Tensor, weak: Tensor, weights: tuple[float, float] | None) -> Tensor:
    """Mean binary cross-entropy of segments, (B, T, C) or (S, C) each, over all cells: a scalar.

    weights: of the cells of classes that a video has by its weak label, (B, C) or that of each segment, (S, C), and of
    the other cells; the mean is not divided by their sum (UWAV, eq. 17). None: all are 1.
    """
    if weights is None:
        return F.binary_cross_entropy_with_logits(logits, targets)
    weight = torch.where(weak > 0, weights[0], weights[1]).to(logits.dtype)
    weight = weight[:, None] if logits.dim() == 3 else weight  # (B, 1, C) or (S, C)
    return F.binary_cross_entropy_with_logits(logits, targets, weight)


def parser_losses(
    output: ParserOutput, batch: Mapping[str, Tensor], terms: Sequence[str], recipe: Recipe = PLAIN
) -> dict[str, Tensor]:
    """The chosen terms of the loss and their sum.

    Args:
        output: of the network, for B videos.
        batch: weak (B, C), pseudo_a and pseudo_v (B, T, C), float in [0, 1]; for `mixup` what `Recipe.mix` returns.
            Only what the terms and the recipe need. If it holds lengths, (B,), losses of segments are means over the
            segments of the videos, so that each second weighs the same; those of videos are means over videos still.
            If it holds weak_a or weak_v, (B, C), what a modality itself contains, these replace weak but in `video`.
            `guided` does not smooth weak_v: label smoothing is for what is known of the whole video alone.
            segment_share: a scalar, factor of the losses of segments, if this is a shard of a batch with lengths.
        terms: keys of LOSS_TERMS.

    Returns:
        name in the logs -> scalar, each a mean over its elements; `loss_all`, their sum, in which those of the segments
        have the recipe's factor.
    """
    audio_logits, visual_logits = output.frame_logits.unbind(dim=2)  # (B, T, C) each

    def mixed(m: str) -> Tensor:
        return F.binary_cross_entropy_with_logits(batch[f"mixed_logits_{m}"], batch[f"mixed_target_{m}"])

    compute = {
        "video": lambda: (video_loss(output.global_prob, batch["weak"]),),
        "audio": lambda: (_segments("a", audio_logits, batch, recipe),),
        "visual": lambda: (_segments("v", visual_logits, batch, recipe),),
        "guided": lambda: _guided(output, batch, recipe.label_smoothing),
        "mixup": lambda: (mixed("a"), mixed("v")),
    }
    losses, total = {}, 0
    for term in [term for term in LOSS_TERMS if term in terms]:
        found = compute[term]()
        losses |= zip(LOSS_TERMS[term], found, strict=True)
        total = total + sum(found) * (recipe.segment_weight if term in SEGMENT_TERMS else 1)
    return losses | {TOTAL: total}


def _segments(m: str, logits: Tensor, batch: Mapping[str, Tensor], recipe: Recipe) -> Tensor:
    """The loss of the segments of a modality."""
    lengths, weights = batch.get("lengths"), recipe.weights and recipe.weights[m]
    weak = batch.get(f"weak_{m}", batch.get("weak"))
    if lengths is not None and weights:
        weak = segments_of(weak[:, None].expand(logits.shape), lengths)  # (S, C)
    cells = (segments_of(x, lengths) for x in (logits, batch[f"pseudo_{m}"]))
    loss = segment_loss(*cells, weak, weights)
    return loss * batch["segment_share"] if "segment_share" in batch else loss


def _guided(output: ParserOutput, batch: Mapping[str, Tensor], smooth: float) -> tuple[Tensor, Tensor]:
    """The losses of what is heard and seen in a video."""
    weak = batch.get("weak")
    seen = batch["weak_v"] if "weak_v" in batch else smooth * weak + (1 - smooth) / 2
    return video_loss(output.a_prob, batch.get("weak_a", weak)), video_loss(output.v_prob, seen)


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
        self.names = loss_names(terms)
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
        """Means over videos, as `logged` describes them."""
        return logged({name: value / self.videos for name, value in self.sums.items()})
