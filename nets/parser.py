"""What all networks share: embedded features -> encoder -> three heads -> attentive MMIL pooling.

Source: HAN (ECCV 2020), section 4.3; VALOR (NeurIPS 2023), section 3.1.
Axes: B videos, T segments (10 in LLP), M = 2 modalities (audio, visual), C classes, D hidden. In a batch of
videos of different lengths T is the greatest; nets/padding.py describes the others.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.padding import blank, padding_of

SEGMENTS = 10
FRAMES_PER_SEGMENT = 8  # ResNet-152 features: 8 frames a second
CLAP_MAP = (2, 32)  # CLAP's token map: frequency rows x time steps
UPSAMPLED = 1024  # time steps that the CLAP map is interpolated to before pooling
ST_DIM = 512  # R(2+1)D-18


class ParserOutput(NamedTuple):
    """What a network returns, in the published order."""

    global_prob: Tensor  # (B, C) the event is in the video
    a_prob: Tensor  # (B, C) the event is heard in the video
    v_prob: Tensor  # (B, C) the event is seen in the video
    frame_prob: Tensor  # (B, T, M, C) sigmoid of frame_logits
    frame_logits: Tensor  # (B, T, M, C)


def mmil_pooling(frame_prob: Tensor, frame_att: Tensor, av_att: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Attentive multimodal multiple-instance pooling of segment probabilities to video probabilities.

    Args:
        frame_prob: (B, T, M, C) in [0, 1]. frame_att: (B, T, M, C), sums to 1 over T. av_att: (B, T, M, C), sums to 1
            over M.

    Returns:
        global_prob, a_prob, v_prob: (B, C) each.
    """
    weighted = frame_att * frame_prob
    a_prob, v_prob = weighted.sum(dim=1).unbind(dim=1)  # (B, C) each
    global_prob = (weighted * av_att).sum(dim=2).sum(dim=1)
    return global_prob, a_prob, v_prob


def bin_edges(length: int, bins: int) -> list[tuple[int, int]]:
    """Start and end of each of `bins` adaptive-average-pooling bins over `length` positions; bins may overlap."""
    return [(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]


def upsample_clap_map(features: Tensor) -> Tensor:
    """CLAP's token map, row f * 32 + t, interpolated in time: (B, 64, Da) -> (B, 2, 1024, Da)."""
    B, _, dim = features.shape
    image = features.transpose(1, 2).reshape(B, dim, *CLAP_MAP)
    image = F.interpolate(image, size=(CLAP_MAP[0], UPSAMPLED), mode="bicubic", align_corners=False)
    return image.permute(0, 2, 3, 1)


def pool_time(x: Tensor, segments: int = SEGMENTS) -> Tensor:
    """Adaptive average pooling over time to T segments, (B, L, D) -> (B, T, D).

    Means of slices, since torch's adaptive pooling has no deterministic gradient on CUDA.
    """
    return torch.stack([x[:, a:b].mean(dim=1) for a, b in bin_edges(x.shape[1], segments)], dim=1)


class Parser(nn.Module):
    """The heads of a network and their pooling. A subclass adds `embed` and `encoder`.

    Args:
        hidden_dim: D. nhead: attention heads of the encoder, a divisor of D. num_classes: C.
        attention_head: makes the layer D -> C that an attention of the pooling is computed from.

    Raises:
        ValueError: nhead does not divide hidden_dim.
    """

    def __init__(
        self, hidden_dim: int, nhead: int, num_classes: int, attention_head: Callable[[int, int], nn.Module] = nn.Linear
    ):
        super().__init__()
        if hidden_dim % nhead:
            raise ValueError(f"nhead {nhead} does not divide hidden_dim {hidden_dim}")
        # The order of construction is the order in which initial values are drawn, here and in all subclasses.
        self.fc_prob = nn.Linear(hidden_dim, num_classes)
        self.fc_frame_att = attention_head(hidden_dim, num_classes)
        self.fc_av_att = attention_head(hidden_dim, num_classes)

    @property
    def encoder(self) -> nn.Module:
        """Relates segments and streams to each other: audio, visual (B, T, D), padding (B, T) or None -> the streams.

        A segment must depend on no padding; what the encoder returns there is not used.
        """
        raise NotImplementedError

    def embed(self, audio: Tensor, visual: Tensor, visual_st: Tensor | None) -> tuple[Tensor, Tensor]:
        """The inputs of `forward` -> audio, visual (B, T, D), the inputs of the encoder."""
        raise NotImplementedError

    def encode(self, audio: Tensor, visual: Tensor, visual_st: Tensor | None, lengths: Tensor | None = None) -> Tensor:
        """The inputs of `forward` -> features after the encoder (B, T, M, D), audio first; arbitrary at the padding."""
        padding = None
        if lengths is not None:
            each_segment = audio if visual_st is None else visual_st
            if audio.shape[1] != each_segment.shape[1]:  # CLAP's token map has no place for a length
                found = f"audio has {audio.shape[1]} rows a video"
                raise ValueError(f"{found}, expected {each_segment.shape[1]} with lengths: one for each segment")
            padding = padding_of(lengths, each_segment)
        if padding is not None:
            audio, visual, visual_st = (x if x is None else blank(x, padding) for x in (audio, visual, visual_st))
        return torch.stack(self.encoder(*self.embed(audio, visual, visual_st), padding), dim=2)

    def classify(self, features: Tensor, lengths: Tensor | None = None) -> ParserOutput:
        """Features of `encode` (B, T, M, D) -> probabilities of segments and videos; 0 for segments of padding."""
        padding = padding_of(lengths, features)
        features = features if padding is None else blank(features, padding)
        # Three products, not one: a layer whose output no loss uses must get no gradient, or it would decay.
        frame_logits = self.fc_prob(features)  # (B, T, M, C)
        frame_prob = torch.sigmoid(frame_logits)
        frame_att = self.fc_frame_att(features)
        if padding is not None:
            frame_logits, frame_prob = blank(frame_logits, padding), blank(frame_prob, padding)
            frame_att = frame_att.masked_fill(padding[:, :, None, None], -torch.inf)
        frame_att = torch.softmax(frame_att, dim=1)  # over segments
        av_att = torch.softmax(self.fc_av_att(features), dim=2)  # over modalities
        return ParserOutput(*mmil_pooling(frame_prob, frame_att, av_att), frame_prob, frame_logits)

    def forward(
        self, audio: Tensor, visual: Tensor, visual_st: Tensor | None, lengths: Tensor | None = None
    ) -> ParserOutput:
        """Parse B videos, given as float tensors.

        Args:
            audio: (B, T, Da). visual: (B, T, Dv), or several frames a segment, (B, n T, Dv). visual_st: (B, T, Ds).
                A network says which T, n and Ds it takes, and whether visual_st may be missing.
            lengths: (B,) int64, the segments of each video, from its first; on the CPU, where they are read. None, or
                all of them T: no video is padded, and nothing is masked.

        Raises:
            ValueError: an input has another length, or a length is not in 1..T.
        """
        return self.classify(self.encode(audio, visual, visual_st, lengths), lengths)


class LinearFront(Parser):
    """A parser with one linear layer for each input, as HAN has them. visual_st has T rows, 10 for LLP.

    Args:
        input_a_dim: Da, size of an audio feature vector. input_v_dim: Dv, size of a visual one.
        hidden_dim, nhead, num_classes: of Parser. input_st_dim: Ds, size of a spatio-temporal feature vector.
    """

    def __init__(
        self,
        input_a_dim: int,
        input_v_dim: int,
        hidden_dim: int,
        nhead: int,
        num_classes: int,
        input_st_dim: int = ST_DIM,
    ):
        super().__init__(hidden_dim, nhead, num_classes)
        self.fc_a = nn.Linear(input_a_dim, hidden_dim)
        self.fc_v = nn.Linear(input_v_dim, hidden_dim)
        self.fc_st = nn.Linear(input_st_dim, hidden_dim)
        self.fc_fusion = nn.Linear(2 * hidden_dim, hidden_dim)

    def embed(self, audio: Tensor, visual: Tensor, visual_st: Tensor) -> tuple[Tensor, Tensor]:
        """Float tensors -> (B, T, D), (B, T, D). Raw or pooled features are told apart by their length.

        Args:
            audio: (B, T, Da), or CLAP's token map of ten seconds (B, 64, Da).
            visual: (B, T, Dv), or 8 frames a second (B, 8 T, Dv).
            visual_st: (B, T, Ds).

        Raises:
            ValueError: an input has another length.
        """
        segments = visual_st.shape[1]
        audio = self._embed_audio(audio, segments)  # (B, T, D)
        visual = torch.cat([self._embed_visual(visual, segments), self.fc_st(visual_st)], dim=-1)  # (B, T, 2D)
        return audio, self.fc_fusion(visual)

    def _embed_audio(self, audio: Tensor, segments: int) -> Tensor:
        """(B, T | 64, Da) -> (B, T, D), in the published order of arithmetic."""
        rows = audio.shape[1]
        if rows == segments:
            return self.fc_a(audio)
        if rows != CLAP_MAP[0] * CLAP_MAP[1]:
            raise ValueError(f"audio has {rows} rows a video, expected {segments}, or 64 for CLAP's token map")
        if segments != SEGMENTS:
            covers = f"CLAP's token map covers {SEGMENTS} seconds"
            raise ValueError(f"audio has {rows} rows a video, expected {segments}: {covers}")
        x = self.fc_a(upsample_clap_map(audio))  # (B, 2, 1024, D)
        return pool_time(x.mean(dim=1), segments)

    def _embed_visual(self, visual: Tensor, segments: int) -> Tensor:
        """(B, T | 8 T, Dv) -> (B, T, D), in the published order of arithmetic."""
        rows, frames = visual.shape[1], segments * FRAMES_PER_SEGMENT
        if rows == segments:
            return self.fc_v(visual)
        if rows != frames:
            raise ValueError(f"visual has {rows} rows a video, expected {segments}, or {frames} for 8 frames a second")
        return self.fc_v(visual).unflatten(1, (segments, FRAMES_PER_SEGMENT)).mean(dim=2)
