"""Hybrid attention network (HAN): each stream attends to itself and to the other one.

Source: Tian et al., "Unified Multisensory Perception: Weakly-Supervised Audio-Visual Video Parsing", ECCV 2020,
section 4.2. Axes: T segments, B videos, D hidden. Tensors of the layers are (T, B, D), sequence first and contiguous,
since the dropout masks of a seed depend on the layout that they are drawn in.
"""

import copy

import torch
from torch import Tensor, nn

NORM_PLACES = ("post_norm", "pre_norm")
DROPOUT = 0.1


class HANLayer(nn.Module):
    """One layer: cross-modal and self attention side by side, then a feed-forward block.

    Args:
        hidden_dim: D. nhead: attention heads, a divisor of D. ff_dim: width of the feed-forward block.
        norm_where: `post_norm` or `pre_norm`. dropout: the rate, of the four places and inside both attentions.
    """

    def __init__(self, hidden_dim: int, nhead: int, ff_dim: int, norm_where: str, dropout: float = DROPOUT):
        super().__init__()
        # The order of construction is the order in which initial values are drawn.
        self.self_attn = nn.MultiheadAttention(hidden_dim, nhead, dropout=dropout)
        self.cm_attn = nn.MultiheadAttention(hidden_dim, nhead, dropout=dropout)
        self.linear1 = nn.Linear(hidden_dim, ff_dim)
        self.linear2 = nn.Linear(ff_dim, hidden_dim)
        self.norm1 = nn.LayerNorm(hidden_dim)
        self.norm2 = nn.LayerNorm(hidden_dim)
        self.dropout11 = nn.Dropout(dropout)  # after cross-modal attention
        self.dropout12 = nn.Dropout(dropout)  # after self attention
        self.dropout = nn.Dropout(dropout)  # inside the feed-forward block
        self.dropout2 = nn.Dropout(dropout)  # after it
        self.pre_norm = norm_where == "pre_norm"

    def forward(self, query: Tensor, other: Tensor, padding: Tensor | None = None) -> Tensor:
        """Update one stream from itself and the other: (T, B, D), (T, B, D) -> (T, B, D).

        padding: (B, T) bool, segments behind the end of a video, to which no other attends.
        """
        if self.pre_norm:
            query = self._attend(self.norm1(query), other, query, padding)
            return query + self._feed_forward(self.norm2(query))
        query = self.norm1(self._attend(query, other, query, padding))
        return self.norm2(query + self._feed_forward(query))

    def _attend(self, query: Tensor, other: Tensor, residual: Tensor, padding: Tensor | None) -> Tensor:
        # Cross-modal first: dropout takes its random numbers in this order.
        cross_modal, _ = self.cm_attn(query, other, other, key_padding_mask=padding)
        self_modal, _ = self.self_attn(query, query, query, key_padding_mask=padding)
        return residual + self.dropout11(cross_modal) + self.dropout12(self_modal)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(torch.relu(self.linear1(x)))))


class HANEncoder(nn.Module):
    """`num_layers` HAN layers that start as copies of one, shared by both streams.

    In each layer audio is updated first; visual then attends to the updated audio stream.

    Args:
        num_layers: how many. The others are those of HANLayer.

    Raises:
        ValueError: norm_where is unknown.
    """

    def __init__(
        self, hidden_dim: int, nhead: int, ff_dim: int, num_layers: int, norm_where: str, dropout: float = DROPOUT
    ):
        super().__init__()
        if norm_where not in NORM_PLACES:
            raise ValueError(f"norm_where is {norm_where!r}, expected one of {', '.join(NORM_PLACES)}")
        layer = HANLayer(hidden_dim, nhead, ff_dim, norm_where, dropout)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        # Published checkpoints hold these under both norm placements; post-norm does not use them.
        self.final_norm_a = nn.LayerNorm(hidden_dim)
        self.final_norm_v = nn.LayerNorm(hidden_dim)
        self.pre_norm = norm_where == "pre_norm"

    def forward(self, audio: Tensor, visual: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Audio, visual (B, T, D), and padding (B, T) bool -> audio, visual (B, T, D)."""
        audio, visual = (x.transpose(0, 1).contiguous() for x in (audio, visual))  # (T, B, D)
        for layer in self.layers:
            audio = layer(audio, visual, padding)
            visual = layer(visual, audio, padding)
        if self.pre_norm:
            audio, visual = self.final_norm_a(audio), self.final_norm_v(visual)
        return audio.transpose(0, 1), visual.transpose(0, 1)
