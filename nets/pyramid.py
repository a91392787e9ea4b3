"""MM-Pyramid's encoder: levels of windowed attention and dilated convolution, and a fusion of all levels.

Source: Yu et al., "MM-Pyramid: Multimodal Pyramid Attentional Network for Audio-Visual Event Localization and Video
Parsing", ACM MM 2022; what its text leaves open is as the published code computes it.
Axes: B videos, T segments, D hidden, F feed-forward, H heads, L levels. Tensors are batch first and contiguous in the
shapes that are given here, since the dropout masks of a seed depend on the layout that they are drawn in.
"""

import copy

import torch
from torch import Tensor, nn

ATTENTION_DROPOUT, DROPOUT = 0.1, 0.2
MASKED = -1e9  # the score of a pair outside the window: exp of it is exactly 0


def outside_window(segments: int, window: int, device: torch.device) -> Tensor:
    """Which pairs of segments are more than `window` apart: (T, T) bool."""
    position = torch.arange(segments, device=device)
    return (position[:, None] - position).abs() > window


class Attention(nn.Module):
    """Multi-head attention. linears: of query, key, value and output; all four start equal."""

    def __init__(self, hidden_dim: int, nhead: int):
        super().__init__()
        linear = nn.Linear(hidden_dim, hidden_dim)
        self.linears = nn.ModuleList(copy.deepcopy(linear) for _ in range(4))
        self.dropout = nn.Dropout(ATTENTION_DROPOUT)
        self.nhead = nhead

    def forward(self, query: Tensor, other: Tensor, outside: Tensor | None = None) -> Tensor:
        """Attend to `other`: (B, T, D), (B, S, D) -> (B, T, D). outside: bool, pairs that have no part.

        outside: (T, S), or (B, 1, T, S) if the videos differ.
        """
        q, k, v = (
            linear(x).unflatten(-1, (self.nhead, -1)).transpose(1, 2)
            for linear, x in zip(self.linears[:3], (query, other, other), strict=True)
        )  # (B, H, T | S, D / H)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (B, H, T, S)
        if outside is not None:
            scores = scores.masked_fill(outside, MASKED)
        context = self.dropout(torch.softmax(scores, dim=-1)) @ v
        return self.linears[3](context.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers, D -> F -> D."""

    def __init__(self, hidden_dim: int, ff_dim: int):
        super().__init__()
        self.w_1 = nn.Linear(hidden_dim, ff_dim)
        self.w_2 = nn.Linear(ff_dim, hidden_dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.w_2(self.dropout(torch.relu(self.w_1(x))))


class Residual(nn.Module):
    """The norm before a part of a layer, and the dropout behind it."""

    def __init__(self, hidden_dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(DROPOUT)


class Layer(nn.Module):
    """Attention, then a feed-forward block. Keys and values get no norm, and nothing does after the last sum.

    feed_forward: what the layer's own starts as a copy of.
    """

    def __init__(self, attention: Attention, feed_forward: FeedForward):
        super().__init__()
        hidden_dim = feed_forward.w_1.in_features
        self.self_attn = attention  # so named as published, in the cross-modal layer too
        self.feed_forward = copy.deepcopy(feed_forward)
        self.sublayer = nn.ModuleList(Residual(hidden_dim) for _ in range(2))

    def forward(self, x: Tensor, other: Tensor, outside: Tensor | None = None) -> Tensor:
        """Update x from `other`: (B, T, D), (B, S, D), `outside` of Attention -> (B, T, D)."""
        first, second = self.sublayer
        x = x + first.dropout(self.self_attn(first.norm(x), other, outside))
        return x + second.dropout(self.feed_forward(second.norm(x)))


class Level(nn.Module):
    """Self and cross-modal attention of both streams, and the gates that add them. Nothing reads another's result."""

    def __init__(self, hidden_dim: int, nhead: int, feed_forward: FeedForward):
        super().__init__()
        # The published names have one more level.
        self.vsablock, self.asablock, self.cmablock = (
            nn.ModuleDict({"layer": Layer(Attention(hidden_dim, nhead), feed_forward)}) for _ in range(3)
        )
        self.lv1, self.lv2, self.la1, self.la2 = (nn.Linear(2 * hidden_dim, hidden_dim) for _ in range(4))

    def forward(self, visual: Tensor, audio: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D), (B, T, D), `outside` of Attention -> (B, T, D), (B, T, D)."""
        visual_self = self.vsablock["layer"](visual, visual, outside)
        audio_self = self.asablock["layer"](audio, audio, outside)
        cross = self.cmablock["layer"]
        visual_cross, audio_cross = cross(visual, audio, outside), cross(audio, visual, outside)
        return (
            self._gate(self.lv1, self.lv2, visual_self, visual_cross),
            self._gate(self.la1, self.la2, audio_self, audio_cross),
        )

    def _gate(self, first: nn.Linear, second: nn.Linear, own: Tensor, cross: Tensor) -> Tensor:
        both = torch.cat([own, cross], dim=-1)  # (B, T, 2D)
        return torch.sigmoid(first(both)) * own + torch.sigmoid(second(both)) * cross


class TemporalBlock(nn.Module):
    """A convolution over three segments that are `dilation` apart, and one over each segment."""

    def __init__(self, hidden_dim: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv1d(hidden_dim, hidden_dim, kernel_size=3, dilation=dilation, padding=dilation)
        self.conv2 = nn.Conv1d(hidden_dim, hidden_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        inner = torch.relu(self.conv1(x.transpose(1, 2)))  # (B, D, T)
        return torch.relu(x + self.conv2(inner).transpose(1, 2))


class Capture(nn.Module):
    """The pyramid. Windows and dilations double from level to level; no level has fewer segments."""

    def __init__(self, hidden_dim: int, nhead: int, ff_dim: int, num_layers: int):
        super().__init__()
        self.vnetwork, self.anetwork, self.msa = (nn.ModuleList() for _ in range(3))
        Attention(hidden_dim, nhead)  # The published code draws one that nothing uses.
        feed_forward = FeedForward(hidden_dim, ff_dim)
        for i in range(num_layers):
            self.vnetwork.append(TemporalBlock(hidden_dim, 2**i))
            self.anetwork.append(TemporalBlock(hidden_dim, 2**i))
            self.msa.append(Level(hidden_dim, nhead, feed_forward))

    def forward(
        self, visual: Tensor, audio: Tensor, padding: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """(B, T, D), (B, T, D) -> of each stream the outputs of all levels, L times (B, T, D).

        padding: (B, T) bool, segments behind the end of a video. No other attends to them, and convolutions find zeros
        there, as they do behind the last of the T segments.
        """
        visual_levels, audio_levels = [], []
        for i, level in enumerate(self.msa):
            outside = outside_window(visual.shape[1], 2**i, visual.device)
            if padding is not None:
                outside = outside | padding[:, None, None]  # (B, 1, T, T)
            visual, audio = level(visual, audio, outside)
            if padding is not None:
                visual, audio = (x.masked_fill(padding[:, :, None], 0) for x in (visual, audio))
            visual, audio = self.vnetwork[i](visual), self.anetwork[i](audio)
            visual_levels.append(visual), audio_levels.append(audio)
        return visual_levels, audio_levels


class Fusion(nn.Module):
    """For each segment and stream: attention among the levels, then their sum, weighted by one gate each."""

    def __init__(self, hidden_dim: int, nhead: int, ff_dim: int):
        super().__init__()
        layer = Layer(Attention(hidden_dim, nhead), FeedForward(hidden_dim, ff_dim))
        self.vadaptiveinteraction, self.aadaptiveinteraction = layer, copy.deepcopy(layer)
        self.vselectfusion, self.aselectfusion = (nn.Linear(hidden_dim, 1) for _ in range(2))

    def forward(self, visual: list[Tensor], audio: list[Tensor]) -> tuple[Tensor, Tensor]:
        """L times (B, T, D) of each stream -> (B, T, D), (B, T, D)."""
        return (
            self._fuse(self.vadaptiveinteraction, self.vselectfusion, visual),
            self._fuse(self.aadaptiveinteraction, self.aselectfusion, audio),
        )

    def _fuse(self, layer: Layer, select: nn.Linear, levels: list[Tensor]) -> Tensor:
        x = torch.stack(levels, dim=2).flatten(0, 1)  # (B * T, L, D)
        x = layer(x, x)
        weighted = torch.sigmoid(select(x)) * x
        return weighted.sum(dim=1).view(levels[0].shape)


class Pyramid(nn.Module):
    """The encoder: `num_layers` levels of `capture`, then `fusion`."""

    def __init__(self, hidden_dim: int, nhead: int, ff_dim: int, num_layers: int):
        super().__init__()
        self.capture = Capture(hidden_dim, nhead, ff_dim, num_layers)
        self.fusion = Fusion(hidden_dim, nhead, ff_dim)

    def forward(self, audio: Tensor, visual: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, D), (B, T, D), and padding (B, T) bool -> (B, T, D), (B, T, D). Dropout draws for visual first."""
        visual, audio = self.fusion(*self.capture(visual, audio, padding))
        return audio, visual
