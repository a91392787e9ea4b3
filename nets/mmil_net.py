"""MMIL_Net: features of two modalities -> which events are heard and seen, when. The parser of HAN and of VALOR.

Source: VALOR (NeurIPS 2023), section 3.1; HAN (ECCV 2020), sections 4.2 and 4.3.
"""

from nets.han import DROPOUT, HANEncoder
from nets.parser import CLAP_MAP, ST_DIM, LinearFront, ParserOutput, mmil_pooling, pool_time, upsample_clap_map

__all__ = ["CLAP_MAP", "MMIL_Net", "ParserOutput", "mmil_pooling", "pool_time", "upsample_clap_map"]


class MMIL_Net(LinearFront):
    """The parser. Parameters are named as in the published checkpoints, so that those load unchanged.

    Args:
        input_a_dim: Da, size of an audio feature vector. input_v_dim: Dv, size of a visual one.
        hidden_dim: D. nhead: attention heads, a divisor of D. ff_dim: width of the feed-forward blocks.
        num_layers: HAN layers. norm_where: `post_norm` or `pre_norm`. num_classes: C. dropout: its rate.
        input_st_dim: Ds, size of a spatio-temporal feature vector.

    Raises:
        ValueError: nhead does not divide hidden_dim, or norm_where is unknown.
    """

    def __init__(
        self,
        input_a_dim: int = 128,
        input_v_dim: int = 2048,
        hidden_dim: int = 512,
        nhead: int = 8,
        ff_dim: int = 1024,
        num_layers: int = 1,
        norm_where: str = "post_norm",
        num_classes: int = 25,
        dropout: float = DROPOUT,
        input_st_dim: int = ST_DIM,
    ):
        super().__init__(input_a_dim, input_v_dim, hidden_dim, nhead, num_classes, input_st_dim)
        self.hat_encoder = HANEncoder(hidden_dim, nhead, ff_dim, num_layers, norm_where, dropout)

    @property
    def encoder(self) -> HANEncoder:
        """Audio, visual (B, T, D), padding (B, T) or None -> the streams."""
        return self.hat_encoder
