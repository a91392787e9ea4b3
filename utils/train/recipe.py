"""What a network learns from: targets of its segments, and the recipes of the field that change them.

Sources: UWAV (CVPR 2025): soft labels, section 3.3 (eq. 12); re-weighting, section 3.4 (eqs. 17 to 19); mixup, section
3.5. MUG (ICCV 2025): recombination. Where UWAV's paper and its release differ, a parameter chooses.
Axes: B videos, T segments, M = 2 modalities (audio, visual), C classes, D hidden; S the segments of all videos of a
batch with `lengths`, without the padding behind them, which may hold anything.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nets.padding import blank, padding_of
from utils.llp.pseudo_labels import NOTHING, above

MODALITIES = ("a", "v")  # suffixes of the arrays and losses of the audio and the visual stream
TARGETS = ("binary", "soft")
SCALES = ("classes", "one")
SIDES = {"a": ("audio", "pseudo_a"), "v": ("visual", "visual_st", "pseudo_v")}  # what a modality owns of a batch


def segments_of(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The segments of all videos without padding: (B, T, ...) -> (S, ...). Without lengths, (B,) int64, x itself."""
    if lengths is None:
        return x
    padding = padding_of(lengths, x, "cpu")  # there, counting them makes no device wait
    if padding is None:
        return x.flatten(0, 1)
    rows = padding.logical_not().flatten().nonzero().squeeze(1)
    return x.flatten(0, 1)[rows.to(x.device, non_blocking=True)]


def binary_labels(logits: Tensor, thresholds: Tensor, weak: Tensor) -> Tensor:
    """1 where a teacher's logit is above its class's threshold, and the video has the class: (B, T, C) of 0 and 1.

    logits: (B, T, C) float32; thresholds: (C,), -inf accepts every segment; weak: (B, C) 0/1.
    """
    return above(logits, thresholds) * weak[:, None]


def soft_labels(logits: Tensor, thresholds: Tensor, weak: Tensor, temperature: float) -> Tensor:
    """sigmoid((logit - threshold) / temperature) where the video has the class, else 0: (B, T, C) (UWAV, eq. 12).

    logits: (B, T, C) float32; thresholds: (C,); weak: (B, C) 0/1. A threshold of -inf is replaced by the least logit
    of its class in the batch, minus 1, as in the release; so these targets depend on the batch. The release has a
    temperature of 2, the paper 1; towards 0 they become `binary_labels`.
    """
    contains = above(logits, torch.full_like(thresholds, -torch.inf))  # not where a modality contains nothing
    lowest = logits.masked_fill(~contains, torch.inf).amin((0, 1)) - 1
    thresholds = torch.where(thresholds.isneginf(), lowest, thresholds)
    return torch.sigmoid((logits - thresholds) / temperature) * (weak[:, None] * contains)


def class_weights(labels: np.ndarray, share: float, scale: str) -> tuple[float, float]:
    """Weights of the segment loss for classes that a video has, and for those that it has not (UWAV, eqs. 17 to 19).

    Args:
        labels: (N, T, C) binary, of the whole split, or (S, C); binary also if the targets are soft.
        share: W. scale: `one`, as in the paper: W (1 - r) and r, r being the share of positive cells; `classes`, as in
            the release: both times C.
    """
    positive = np.asarray(labels, np.float64).mean(tuple(range(labels.ndim - 1))).sum()  # events a second
    size = labels.shape[-1]
    weights = share * (size - positive), positive
    return weights if scale == "classes" else (weights[0] / size, weights[1] / size)


def draw_mixup(alpha: float, count: int, device: torch.device | str = "cpu") -> tuple[float, Tensor]:
    """One lambda ~ Beta(alpha, alpha), 1 if alpha is 0, and a random permutation of `count` segments, (count,) int64.

    Both from torch's global generators: lambda from the CPU's, the permutation from the device's.
    """
    mixed = torch.distributions.Beta(alpha, alpha).sample().item() if alpha > 0 else 1.0
    return mixed, torch.randperm(count, device=device)


def mix(features: Tensor, targets: Tensor, lam: float, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """Every segment of a batch mixed with another one: lam times itself, 1 - lam times its partner (UWAV, section 3.5).

    features (B, T, D), targets (B, T, C), permutation (B T,) -> mixed features (B T, D), mixed targets (B T, C); or,
    of segments of different videos in one row, (S, D), (S, C), (S,) -> (S, D), (S, C).
    """
    pairs = ((x, x[permutation]) for x in (features.flatten(0, -2), targets.flatten(0, -2)))
    return tuple(lam * x + (1 - lam) * partner for x, partner in pairs)


def recombine(batch: Mapping[str, Tensor], pictures: Sequence[int] | Tensor) -> dict[str, Tensor]:
    """The batch, and further videos: the sound of its i-th video with the picture of its pictures[i]-th (MUG).

    A new video has the targets of each side; its weak label, (C,), is the union of both over time. Soft targets count
    above 0.5, which is where their logit is above the threshold. If the batch has weak labels of each side, so has the
    new video. If it has lengths, (B,), the longer side is cut to the shorter one: what lies behind is 0.
    """
    if "lengths" in batch:
        lengths = batch["lengths"].cpu()
        sound_lengths = lengths[torch.arange(len(pictures)) % len(lengths)]
        lengths = torch.minimum(sound_lengths, lengths[torch.as_tensor(pictures).cpu()]).to(batch["lengths"].device)
    pictures = torch.as_tensor(pictures, device=batch["audio"].device)
    sounds = torch.arange(len(pictures), device=pictures.device) % len(batch["audio"])
    rows = {"a": sounds, "v": pictures}
    new = {name: batch[name][rows[m]] for m, names in SIDES.items() for name in names}
    if "lengths" in batch:
        new = _cut(new, lengths)
    heard, seen = (new[f"pseudo_{m}"].amax(1) for m in MODALITIES)  # (n, C)
    weak = {"weak": torch.maximum(heard, seen), "weak_a": heard, "weak_v": seen}
    new |= {name: (value > 0.5).to(value.dtype) for name, value in weak.items() if name in batch or name == "weak"}
    return {name: torch.cat([batch[name], value]) for name, value in new.items()}


def _cut(videos: Mapping[str, Tensor], lengths: Tensor) -> dict[str, Tensor]:
    """Zeros behind the first lengths[i] segments of video i in every array, (n, rows, ...), and these lengths."""
    padding = padding_of(lengths, videos["pseudo_a"])
    cut = dict(videos) if padding is None else {name: blank(x, padding) for name, x in videos.items()}
    return cut | {"lengths": lengths}


class Recipe(NamedTuple):
    """How the terms of the loss are computed; the default is VALOR's way.

    thresholds: by modality, (C,) float32, if a batch holds logits instead of binary pseudo labels.
    weights: by modality, of the segment loss for classes that a video has, and for the others; None: a plain mean.
    """

    targets: str = "binary"
    thresholds: Mapping[str, Tensor] | None = None
    temperature: float = 2.0
    segment_weight: float = 1.0
    weights: Mapping[str, tuple[float, float]] | None = None
    label_smoothing: float = 0.9
    mixup: float | None = None  # alpha
    recombine: float = 0.0  # new videos for each video of a batch

    @property
    def is_random(self) -> bool:
        """Whether a step draws numbers of its own, from the CPU's generator and over the whole batch."""
        return self.mixup is not None or self.recombine > 0

    def prepare(self, batch: Mapping[str, Tensor], training: bool) -> dict[str, Tensor]:
        """The batch with the targets of its segments, pseudo_a and pseudo_v (B, T, C); in training recombined."""
        batch = dict(batch)
        for m in MODALITIES:
            if (logits := batch.pop(f"logits_{m}", None)) is not None:
                padding = padding_of(batch.get("lengths"), logits)
                if padding is not None:
                    logits = logits.masked_fill(padding[:, :, None], NOTHING)  # has no part in the least logit
                weak = batch[f"weak_{m}" if f"weak_{m}" in batch else "weak"]
                known = logits, self.thresholds[m].to(logits.device), weak
                is_soft = self.targets == "soft"
                batch[f"pseudo_{m}"] = soft_labels(*known, self.temperature) if is_soft else binary_labels(*known)
        if training and self.recombine:
            videos = len(batch["audio"])
            count = round(self.recombine * videos)
            orders = [torch.randperm(videos) for _ in range(math.ceil(count / videos))]
            batch = recombine(batch, torch.cat(orders)[:count]) if count else batch
        return batch

    def mix(self, features: Tensor, batch: Mapping[str, Tensor], classifier: nn.Module) -> dict[str, Tensor]:
        """The classifier's logits of mixed segments and their targets, both (B T, C) or (S, C), for each modality.

        features: (B, T, M, D), of a prepared batch.
        """
        mixed = {}
        for m, stream in zip(MODALITIES, features.unbind(2), strict=True):
            stream, targets = (segments_of(x, batch.get("lengths")) for x in (stream, batch[f"pseudo_{m}"]))
            drawn = draw_mixup(self.mixup, math.prod(targets.shape[:-1]), stream.device)
            x, mixed[f"mixed_target_{m}"] = mix(stream, targets, *drawn)
            mixed[f"mixed_logits_{m}"] = classifier(x)
        return mixed


PLAIN = Recipe()
