"""Linear layers whose products are computed by the fastest library at hand, in a chosen type.

torch gives float32 products to MKL, which on processors that are not Intel's is slower than oneDNN, the library that
bfloat16 products go to. Gradients of weights stay where they are: their transposed factors cost oneDNN a copy.
"""

import functools
import platform

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@functools.cache
def _has_onednn() -> bool:
    """Whether oneDNN has products of float32 matrices, in a function that takes them as they are."""
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    return is_x86 and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _by_onednn(x: Tensor) -> bool:
    if x.dtype != torch.float32 or x.device.type != "cpu" or not len(x):
        return False
    return torch.backends.mkldnn.enabled and _has_onednn()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """x W^T + b: (n, K), (N, K), (N,) -> (n, N), of one dtype; relu: of that. Not for autograd."""
    if _by_onednn(x):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
    out = torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())
    return out.relu_() if relu else out


def add_product(total: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """total + x W^T, in the dtype of `total`, (n, N). Not for autograd."""
    if total.dtype != x.dtype:
        return total + torch.mm(x, weight.t())
    if _by_onednn(x):
        return torch.ops.mkldnn._linear_pointwise.binary(x, total, weight, None, "add")
    return torch.addmm(total, x, weight.t())


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, dtype):
        rows, cast = x.reshape(-1, x.shape[-1]).to(dtype), weight.to(dtype)
        ctx.shape, ctx.rows, ctx.cast, ctx.dtypes = x.shape, rows, cast, (x.dtype, weight.dtype)
        ctx.save_for_backward(x, weight)  # for autograd to notice whoever changes them
        return product(rows, cast, bias.to(dtype)).to(weight.dtype).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        ctx.saved_tensors  # noqa: B018  raises where they were changed
        x_dtype, dtype = ctx.dtypes
        grad = grad.reshape(-1, grad.shape[-1])
        bias = grad.sum(0)
        grad = grad.to(ctx.cast.dtype)
        to_x = product(grad, ctx.cast.t()).to(x_dtype).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return to_x, torch.mm(grad.t(), ctx.rows).to(dtype), bias, None


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """x W^T + b with products in `dtype`: (..., K), (N, K), (N,) -> (..., N) of the weights' dtype.

    Gradients flow to all three. They cannot be differentiated again.
    """
    return _Linear.apply(x, weight, bias, dtype)
