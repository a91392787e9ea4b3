"""Videos of different lengths in one batch, behind whose ends lies padding, which may hold anything: NaN, too.

Padding is replaced and not multiplied by a mask, since 0 times NaN is NaN. Axes: B videos, T segments of the longest.
"""

import torch
from torch import Tensor


def padding_of(lengths: Tensor | None, like: Tensor, device: torch.device | str | None = None) -> Tensor | None:
    """Which segments are padding: (B, T) bool on `device`, by default that of `like`. None if no segment is.

    Args:
        lengths: (B,) int64, the segments of each video; those on a GPU are waited for. None: all are T.
        like: (B, T, ...), the batch.

    Raises:
        ValueError: a length is not in 1..T, or there is not one for each video.
    """
    if lengths is None:
        return None
    lengths, (videos, segments) = lengths.cpu(), like.shape[:2]
    if lengths.shape != (videos,):
        raise ValueError(f"lengths has shape {tuple(lengths.shape)}, expected ({videos},), one for each video")
    shortest, longest = map(int, lengths.aminmax()) if videos else (segments, segments)
    if shortest < 1 or longest > segments:
        raise ValueError(f"lengths are {shortest} to {longest}, expected 1 to {segments}, the segments of the batch")
    if shortest == segments:
        return None
    padding = torch.arange(segments) >= lengths[:, None]
    return padding.to(like.device if device is None else device, non_blocking=True)


def blank(x: Tensor, padding: Tensor) -> Tensor:
    """Zeros at the padding, whatever is there: x (B, n T, ...), n rows a segment, and padding (B, T) -> as x.

    Raises:
        ValueError: x has another number of rows.
    """
    rows, segments = x.shape[1], padding.shape[1]
    if rows % segments:
        raise ValueError(f"an input has {rows} rows a video, expected a multiple of its {segments} segments")
    padding = padding.repeat_interleave(rows // segments, dim=1) if rows != segments else padding
    return x.masked_fill(padding.view(*x.shape[:2], *[1] * (x.dim() - 2)), 0)
