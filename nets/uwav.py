"""UWAV_Net: the parser of UWAV, a deeper HAN behind a wider front.

Source: Lai et al., "UWAV: Uncertainty-weighted Weakly-supervised Audio-Visual Video Parsing", CVPR 2025.
Axes: B videos, T segments, C classes, D hidden.
"""

import functools

import torch
from torch import Tensor, nn

from nets.han import DROPOUT, HANEncoder
from nets.parser import ST_DIM, Parser


class MLP(nn.Module):
    """`count` linear layers with ReLU between them, `hidden` units wide inside; one layer is named `layers.0`, too."""

    def __init__(self, inputs: int, outputs: int, hidden: int, count: int):
        super().__init__()
        inner = [hidden] * (count - 1)
        self.layers = nn.ModuleList(map(nn.Linear, [inputs, *inner], [*inner, outputs]))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class UWAV_Net(Parser):
    """The parser, with the settings of the published run as defaults.

    Args:
        input_a_dim: Da, size of an audio feature vector. input_v_dim, input_st_dim: Dv and Ds, those of the two visual
            ones. hidden_dim: D. nhead: attention heads, a divisor of D. ff_dim: width of the feed-forward blocks.
        num_layers: HAN layers. norm_where: `post_norm` or `pre_norm`. num_classes: C. dropout: its rate.
        num_proj_layers: linear layers that fuse the two visual features.
        num_MMIL_layers: linear layers of each attention of the pooling.

    Raises:
        ValueError: nhead does not divide hidden_dim, or norm_where is unknown.
    """

    def __init__(
        self,
        input_a_dim: int = 128,
        input_v_dim: int = 2048,
        input_st_dim: int = ST_DIM,
        hidden_dim: int = 512,
        nhead: int = 16,
        ff_dim: int = 2048,
        num_layers: int = 5,
        norm_where: str = "post_norm",
        num_classes: int = 25,
        dropout: float = DROPOUT,
        num_proj_layers: int = 1,
        num_MMIL_layers: int = 1,
    ):
        mlp = functools.partial(MLP, hidden=2 * hidden_dim)
        super().__init__(hidden_dim, nhead, num_classes, functools.partial(mlp, count=num_MMIL_layers))
        self.fc_a = mlp(input_a_dim, hidden_dim, count=2)
        self.fc_fusion = mlp(input_v_dim + input_st_dim, hidden_dim, count=num_proj_layers)
        self.hat_encoder = HANEncoder(hidden_dim, nhead, ff_dim, num_layers, norm_where, dropout)
        self.hidden_dim = hidden_dim

    @property
    def encoder(self) -> HANEncoder:
        """Audio, visual (B, T, D), padding (B, T) or None -> the streams."""
        return self.hat_encoder

    def embed(self, audio: Tensor, visual: Tensor, visual_st: Tensor | None) -> tuple[Tensor, Tensor]:
        """Float tensors -> (B, T, D), (B, T, D).

        Args:
            audio: (B, T, Da). visual: (B, T, Dv), or n frames a segment, (B, n T, Dv), whose mean is taken.
            visual_st: (B, T, Ds). None: visual goes on as it is, which needs Dv = D.

        Raises:
            ValueError: an input has another length, or visual another size than D beside no visual_st.
        """
        segments, rows, size = audio.shape[1], visual.shape[1], visual.shape[2]
        if rows % segments:
            raise ValueError(f"visual has {rows} rows a video, expected a multiple of audio's {segments}")
        visual = visual.unflatten(1, (segments, rows // segments)).mean(dim=2) if rows != segments else visual
        if visual_st is not None:
            visual = self.fc_fusion(torch.cat([visual, visual_st], dim=-1))
        elif size != self.hidden_dim:
            raise ValueError(f"visual has size {size}, expected hidden_dim {self.hidden_dim} without visual_st")
        return self.fc_a(audio), visual
