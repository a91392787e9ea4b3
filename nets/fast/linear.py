"""Linear layers with products in a chosen dtype, by the fastest library at hand.

torch gives float32 products to MKL, which is slower than oneDNN on processors that are not Intel's. Gradients of
weights stay with torch: one of their factors is transposed, which oneDNN would copy.
"""

import functools
import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@functools.cache
def has_onednn() -> bool:
    """Whether oneDNN offers products of float32 matrices, in a function that takes them as they are."""
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    return is_x86 and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        rows, inputs = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.mkldnn._linear_pointwise(rows, weight.t(), None, "none", [], "").view(x.shape)
        return grad_x, torch.mm(rows.t(), inputs), rows.sum(0)


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """x W^T + b in `dtype`: (..., K), (N, K), (N,) -> (..., N). Gradients in float32 cannot be differentiated again."""
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if (
        dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel()
        and torch.backends.mkldnn.enabled
        and has_onednn()
    ):
        return _OneDNNLinear.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class FastLinear(nn.Linear):
    """nn.Linear by `linear`. Its output has the dtype of the weights, or `output_dtype`."""

    product_dtype = torch.float32
    output_dtype = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return linear(x, self.weight, self.bias, self.product_dtype).to(self.output_dtype or self.weight.dtype)
