"""TemporalTeacher: UWAV's generator of temporal pseudo labels, which sees the seconds of a video together.

Source: Lai et al., "UWAV: Uncertainty-weighted Weakly-supervised Audio-Visual Video Parsing", CVPR 2025, section 3.2.
Axes: B videos, T seconds, C classes, D hidden, Ea and Ev sizes of the text embeddings.
"""

import torch
from torch import Tensor, nn

from nets.uwav import MLP

A_LOGIT_SCALE, V_LOGIT_SCALE = 3.2912, 4.6052  # logarithms of CLAP's and CLIP's scales, used as factors as they stand
NOT_SEEN = -1e10  # added to attention scores outside a video; float32 has no digits left beside it


class SecondsEncoder(nn.Module):
    """PyTorch's post-norm transformer over the seconds of a video, without a position code."""

    def __init__(self, hidden_dim: int, nhead: int, ff_dim: int, num_layers: int, dropout: float):
        super().__init__()
        layer = nn.TransformerEncoderLayer(hidden_dim, nhead, ff_dim, dropout)
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), and what is added to the attention scores, (B nhead, T, T) -> (B, T, D)."""
        return self.encoder(x.transpose(0, 1), mask, is_causal=False).transpose(0, 1)


class TemporalTeacher(nn.Module):
    """Logits of each second and class: similarities of CLAP's and CLIP's embeddings, after a transformer, to texts.

    The texts are no part of the state_dict, so that weights serve any list of classes.

    Args:
        text_a: (C, Ea) float32, texts of the classes in CLAP's space, each of length 1. text_v: (C, Ev), in CLIP's.
        input_a_dim: Da, size of CLAP's embedding of a second. input_v_dim: Dv, size of CLIP's.
        hidden_dim: D. nhead: attention heads, a divisor of D. ff_dim: width of the feed-forward blocks.
        num_layers: layers of each of the two transformers. dropout: its rate.

    The defaults are the published settings.

    Raises:
        ValueError: nhead does not divide hidden_dim.
    """

    def __init__(
        self,
        text_a: Tensor,
        text_v: Tensor,
        input_a_dim: int = 512,
        input_v_dim: int = 768,
        hidden_dim: int = 1024,
        nhead: int = 16,
        ff_dim: int = 2048,
        num_layers: int = 5,
        dropout: float = 0.3,
    ):
        super().__init__()
        if hidden_dim % nhead:
            raise ValueError(f"nhead {nhead} does not divide hidden_dim {hidden_dim}")
        self.register_buffer("a_logit_scale", torch.tensor(A_LOGIT_SCALE))
        self.register_buffer("v_logit_scale", torch.tensor(V_LOGIT_SCALE))
        self.register_buffer("text_a", text_a, persistent=False)
        self.register_buffer("text_v", text_v, persistent=False)
        self.proj_a = MLP(input_a_dim, hidden_dim, 2 * hidden_dim, 2)
        self.proj_v = MLP(input_v_dim, hidden_dim, 2 * hidden_dim, 2)
        self.a_transformer = SecondsEncoder(hidden_dim, nhead, ff_dim, num_layers, dropout)
        self.v_transformer = SecondsEncoder(hidden_dim, nhead, ff_dim, num_layers, dropout)
        self.final_proj_a = MLP(hidden_dim, text_a.shape[1], text_a.shape[1], 2)
        self.final_proj_v = MLP(hidden_dim, text_v.shape[1], text_v.shape[1], 2)
        self.nhead = nhead

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Audio and visual logits, (B, T, C) float32 each.

        Seconds of a video do not see those after its end; those after its end see all T evenly.

        Args:
            audio: (B, T, Da) float32. visual: (B, T, Dv) float32. valid: (B, T), 1 or True for seconds of the video.
        """
        inside = valid > 0
        pairs = inside[:, :, None] & inside[:, None, :]  # (B, T, T)
        mask = torch.where(pairs, 0.0, NOT_SEEN).to(audio.dtype).repeat_interleave(self.nhead, dim=0)
        # the embeddings are not normalised, unlike the texts
        embedded_a = self.final_proj_a(self.a_transformer(self.proj_a(audio), mask))
        embedded_v = self.final_proj_v(self.v_transformer(self.proj_v(visual), mask))
        return embedded_a @ self.text_a.T * self.a_logit_scale, embedded_v @ self.text_v.T * self.v_logit_scale
