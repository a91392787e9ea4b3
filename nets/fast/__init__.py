"""The networks of nets/ with faster layers: same parameters, same numbers to rounding.

Not here: anything that changes what a network computes.
Imports: nets.
"""

import torch
from torch import nn

from nets.fast.attention import FastAttention
from nets.fast.dropout import FastDropout
from nets.fast.linear import FastLinear
from nets.fast.pyramid import FastPyramid
from nets.fast.temporal import FastTemporalBlock
from nets.parser import Parser
from nets.pyramid import Pyramid, TemporalBlock

LAYERS = {nn.Linear: FastLinear, nn.MultiheadAttention: FastAttention, nn.Dropout: FastDropout}
LAYERS |= {TemporalBlock: FastTemporalBlock, Pyramid: FastPyramid}


def for_device(net: Parser, device: torch.device) -> Parser:
    """The network as it runs on a device by default: with the layers of this room on a CPU, as it is elsewhere.

    They have never run on a GPU: none was at hand. There they are experimental (main.py --experimental).
    """
    return accelerate(net) if device.type == "cpu" else net


def accelerate(net: Parser, dtype: torch.dtype = torch.float32) -> Parser:
    """Give a network the layers of this room, in place, and return it.

    dtype: of matrix products; weights, norms, probabilities and gradients keep theirs.
    """
    for module in net.modules():
        if type(module) in LAYERS:
            module.__class__ = LAYERS[type(module)]  # the subclass differs in `forward` alone
            module.product_dtype = dtype
    for module in net.encoder.modules():
        module.output_dtype = dtype  # the sums with the streams are in the dtype of the weights again
    return net
