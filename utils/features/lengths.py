"""Videos that differ in length: where their rows are, how they are padded, and which go into one batch.

Axes: N or B videos, T segments of the longest video of a batch, S of all videos.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from utils.llp.pseudo_labels import NOTHING

PER_VIDEO = ("weak", "weak_a", "weak_v")  # arrays with a row for each video, not for each second
PADDING = {"logits_a": NOTHING, "logits_v": NOTHING}  # by kind; else 0
WASTE = 1.25  # padded seconds squared of videos that may share a batch, over those without padding
MOST_SQUARED = 2**20  # seconds squared of a batch: attention compares all seconds of a video with each other


class Rows:
    """Where the rows of videos are in arrays of (S, ...): those of the first video come first. lengths: (N,) int."""

    def __init__(self, lengths: np.ndarray | Tensor):
        self.lengths = torch.as_tensor(lengths, dtype=torch.int64)
        self.starts = torch.cumsum(self.lengths, 0) - self.lengths

    def of(self, videos: Tensor) -> Tensor:
        """The rows of some videos, one after the other: (n,) int -> (sum of their lengths,) int."""
        lengths = self.lengths[videos]
        ends = torch.cumsum(lengths, 0)
        return torch.arange(int(lengths.sum())) + (self.starts[videos] - (ends - lengths)).repeat_interleave(lengths)

    def batch(self, arrays: Mapping[str, Tensor], videos: Tensor) -> dict[str, Tensor]:
        """Some videos of arrays, by kind, padded to the longest of them: (n,) int -> (n, T, ...) float32 each.

        Also `lengths`, (n,) int64. Arrays of PER_VIDEO are not padded.
        """
        lengths = self.lengths[videos]
        steps = torch.arange(int(lengths.max()) if len(lengths) else 1)  # a shard of a small batch may be empty
        valid = steps < lengths[:, None]  # (n, T)
        rows = torch.where(valid, self.starts[videos][:, None] + steps, 0)
        batch = {"lengths": lengths}
        for kind, array in arrays.items():
            if kind in PER_VIDEO:
                batch[kind] = array[videos.to(array.device)].float()
            else:
                values = array[rows.to(array.device)].float()
                outside = ~valid.to(array.device)
                batch[kind] = values.masked_fill(outside[..., None], PADDING.get(kind, 0.0))
        return batch


def similar_lengths(lengths: Sequence[int] | Tensor) -> list[Tensor]:
    """Groups of videos that may share a batch, all videos, shortest first: (n,) int each.

    In a group, padding makes at most WASTE of the seconds squared, and so of the seconds.
    """
    lengths = torch.as_tensor(lengths, dtype=torch.int64)
    order = torch.sort(lengths, stable=True).indices
    groups, first, total = [], 0, 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > first and (place - first + 1) * length**2 > WASTE * (total + length**2):
            groups.append(order[first:place])
            first, total = place, 0
        total += length**2
    return [*groups, order[first:]] if len(order) else []


def batches_of(groups: Sequence[Tensor], lengths: Tensor, batch_size: int, order: Tensor) -> list[Tensor]:
    """Batches of at most `batch_size` videos of one group and of MOST_SQUARED seconds squared, or of one video.

    groups: of `similar_lengths`; order: (N,) int, in which the videos of a group are taken. How many batches there are
    does not depend on it.
    """
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    batches = []
    for group in groups:
        count = min(batch_size, max(1, MOST_SQUARED // int(lengths[group].max()) ** 2))
        batches += group[torch.argsort(place[group])].split(count)
    return batches
