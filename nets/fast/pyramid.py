"""MM-Pyramid's encoder on long videos, in pieces."""

import torch
from torch import Tensor

from nets.pyramid import Pyramid

PIECE = 1024  # segments of a piece; a shorter video is one


class FastPyramid(Pyramid):
    """Pyramid, whose memory does not grow with T squared without gradients: no segment depends on distant ones."""

    def forward(self, audio: Tensor, visual: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, D), (B, T, D), and padding (B, T) bool -> (B, T, D), (B, T, D)."""
        segments = audio.shape[1]
        if torch.is_grad_enabled() or segments <= PIECE:
            return super().forward(audio, visual, padding)
        reach = 2 * (2 ** len(self.capture.msa) - 1)  # a level reaches its window, and its tap as far again
        pieces = []
        for start in range(0, segments, PIECE):
            first = max(0, start - reach)
            cut = slice(first, start + PIECE + reach)
            streams = super().forward(audio[:, cut], visual[:, cut], None if padding is None else padding[:, cut])
            pieces.append([x[:, start - first :][:, :PIECE] for x in streams])
        return tuple(torch.cat(streams, dim=1) for streams in zip(*pieces, strict=True))
