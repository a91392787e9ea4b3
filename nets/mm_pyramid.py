"""MM_Pyramid: the parser of MM-Pyramid, HAN's front and heads around an encoder of its own.

Source: Yu et al., "MM-Pyramid", ACM MM 2022; HAN (ECCV 2020), section 4.3.
"""

from torch import Tensor

from nets.parser import ST_DIM, LinearFront
from nets.pyramid import Pyramid


class MM_Pyramid(LinearFront):
    """The parser. Parameters are named as in the published code, without those that nothing uses.

    Args:
        input_a_dim: Da, size of an audio feature vector. input_v_dim: Dv, size of a visual one.
        hidden_dim: D. nhead: attention heads, a divisor of D. ff_dim: width of the feed-forward blocks.
        num_layers: levels of the pyramid. num_classes: C.
        published_slots: exchange the streams, as the published code does: what the outputs call audio is then the
            visual stream, and the reverse.
        input_st_dim: Ds, size of a spatio-temporal feature vector.

    Raises:
        ValueError: nhead does not divide hidden_dim.
    """

    def __init__(
        self,
        input_a_dim: int = 128,
        input_v_dim: int = 2048,
        hidden_dim: int = 512,
        nhead: int = 8,
        ff_dim: int = 512,
        num_layers: int = 4,
        num_classes: int = 25,
        published_slots: bool = False,
        input_st_dim: int = ST_DIM,
    ):
        super().__init__(input_a_dim, input_v_dim, hidden_dim, nhead, num_classes, input_st_dim)
        self.MMP = Pyramid(hidden_dim, nhead, ff_dim, num_layers)
        self.published_slots = published_slots

    @property
    def encoder(self) -> Pyramid:
        """Audio, visual (B, T, D), padding (B, T) or None -> the streams."""
        return self.MMP

    def encode(self, audio: Tensor, visual: Tensor, visual_st: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The inputs of `forward` -> features after the encoder (B, T, M, D), audio first but for `published_slots`."""
        features = super().encode(audio, visual, visual_st, lengths)
        return features.flip(2) if self.published_slots else features
