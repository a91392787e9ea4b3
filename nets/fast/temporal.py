"""MM-Pyramid's temporal blocks, in another dtype than their input's as matrix products."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nets.fast.linear import linear
from nets.pyramid import TemporalBlock


class FastTemporalBlock(TemporalBlock):
    """TemporalBlock by `linear`: the three taps side by side are the columns of one product."""

    product_dtype = torch.float32

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D) in the dtype of x."""
        if x.dtype == self.product_dtype:  # torch's convolution is as fast
            return super().forward(x)
        conv, segments, dtype = self.conv1, x.shape[1], self.product_dtype
        distance = conv.dilation[0]
        padded = F.pad(x.to(dtype), (0, 0, distance, distance))  # (B, T + 2 d, D)
        taps = torch.cat([padded[:, i * distance :][:, :segments] for i in range(3)], dim=-1)  # (B, T, 3D)
        inner = torch.relu(linear(taps, conv.weight.transpose(1, 2).flatten(1), conv.bias, dtype))
        return torch.relu(x + linear(inner, self.conv2.weight.squeeze(2), self.conv2.bias, dtype))
