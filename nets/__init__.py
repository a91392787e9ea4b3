"""The papers: encoders, attentive MMIL pooling, the parsers of `NETWORKS`, a teacher. Imports only torch.

Not here: anything about files, training or speed; nets/fast/ has the same layers, faster.
Imports: nothing of this project.
"""

from nets.mm_pyramid import MM_Pyramid
from nets.mmil_net import MMIL_Net
from nets.parser import Parser
from nets.temporal_teacher import TemporalTeacher
from nets.uwav import UWAV_Net

__all__ = ["NETWORKS", "MMIL_Net", "MM_Pyramid", "Parser", "TemporalTeacher", "UWAV_Net", "build"]

NETWORKS = {"MMIL_Net": MMIL_Net, "MM_Pyramid": MM_Pyramid, "UWAV": UWAV_Net}  # by the names that --model takes


def build(model: str = "MMIL_Net", **settings) -> Parser:
    """A network of NETWORKS, freshly initialised. settings: its arguments; the others are as published.

    Raises:
        ValueError: there is no such network, or settings do not fit each other.
    """
    if model not in NETWORKS:
        raise ValueError(f"model is {model!r}, expected one of {', '.join(NETWORKS)}")
    return NETWORKS[model](**settings)
