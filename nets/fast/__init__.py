"""The networks of nets/ with faster layers: same parameters, same numbers to rounding.

Not here: anything that changes what a network computes.
Imports: nets.
"""

import torch
from torch import nn

from nets.fast.attention import FastAttention
from nets.fast.dropout import FastDropout
from nets.fast.linear import FastLinear
from nets.mmil_net import MMIL_Net

LAYERS = {nn.Linear: FastLinear, nn.MultiheadAttention: FastAttention, nn.Dropout: FastDropout}


class FastMMIL_Net(MMIL_Net):
    """MMIL_Net with the layers of this room.

    Args:
        settings: of MMIL_Net. dtype: of matrix products; weights, norms, probabilities and gradients keep theirs.
    """

    def __init__(self, *settings, dtype: torch.dtype = torch.float32, **named_settings):
        super().__init__(*settings, **named_settings)
        for module in self.modules():
            if type(module) in LAYERS:
                module.__class__ = LAYERS[type(module)]  # the subclass differs in `forward` alone
                module.product_dtype = dtype
        for module in self.hat_encoder.modules():
            module.output_dtype = dtype  # the sums with the streams are in the dtype of the weights again
