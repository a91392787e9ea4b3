"""Dropout masks drawn cheaply: four from one random number of 64 bits."""

import math

import torch
from torch import Tensor, nn


def dropout_mask(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
    """A mask of `shape`: 0 with probability p, else 1 / (1 - p).

    torch's own dropout takes two numbers of a Mersenne Twister for each element on a CPU, a fifth of a training step.
    Here each element has 16 bits of one draw, so p is rounded to a multiple of 2^-16.

    Args:
        like: a tensor of the dtype and device of the mask.
    """
    count = math.prod(shape)
    numbers = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    kept = numbers.view(torch.int16)[:count].ge_(round(p * 2**16) - 2**15)  # 0 or 1, much faster than as bool
    return kept.view(shape).to(like.dtype).mul_(1 / (1 - p))


class FastDropout(nn.Dropout):
    """nn.Dropout with masks of `dropout_mask`."""

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        return x * dropout_mask(x.shape, self.p, x) if self.training and self.p else x
