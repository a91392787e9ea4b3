"""The audio-visual parser: HAN encoder and attentive MMIL pooling. Knows only torch."""

from nets.mmil_net import MMIL_Net

__all__ = ["MMIL_Net"]
