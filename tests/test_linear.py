"""Linear layers by oneDNN against products in float64."""

import pytest
import torch
import torch.nn.functional as F

from nets import linear as fast
from nets.linear import add_product, linear, product

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float64: 1e-13}


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(params=["oneDNN", "torch"])
def library(request, monkeypatch):
    """Both libraries, where this machine has both."""
    if request.param == "torch":
        monkeypatch.setattr(fast, "_has_onednn", lambda: False)
    elif not fast._has_onednn():
        pytest.skip("this processor or this torch has no oneDNN")


def close(found, expected, dtype, stored=None):
    assert found.dtype == (stored or dtype)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=ROUNDING[dtype] * expected.abs().max().item())


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("rows", [64, 1])
@pytest.mark.parametrize("layout", ["rows", "columns", "part"])
def test_products(layout, rows, dtype):
    """Weights as they are, transposed (as gradients of inputs need them), and a part of larger ones."""
    stored = torch.float64 if dtype == torch.float64 else torch.float32  # of a sum
    x, bias, total = (
        random(rows, 24, dtype=dtype),
        random(17, dtype=dtype, seed=1),
        random(rows, 17, dtype=stored, seed=2),
    )
    weight = {
        "rows": random(17, 24, dtype=dtype, seed=3),
        "columns": random(24, 17, dtype=dtype, seed=3).t(),
        "part": random(40, 24, dtype=dtype, seed=3)[5:22],
    }[layout]
    expected = x.double() @ weight.double().t()
    close(product(x, weight), expected, dtype)
    close(product(x, weight, bias), expected + bias.double(), dtype)
    close(product(x, weight, bias, relu=True), (expected + bias.double()).relu(), dtype)
    before = total.clone()
    close(add_product(total, x, weight), expected + before.double(), dtype, stored)
    assert torch.equal(total, before)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6, 5, 24), (30, 24), (0, 10, 24)])
def test_gradients(shape, dtype):
    values = [random(*shape), random(17, 24, seed=1), random(17, seed=2)]
    ours, theirs = ([v.to(kind, copy=True).requires_grad_() for v in values] for kind in (torch.float32, torch.float64))
    out, expected = linear(*ours, dtype), F.linear(*theirs)
    weights = random(*expected.shape, seed=3)
    (out * weights).sum().backward(), (expected * weights.double()).sum().backward()
    assert out.shape == expected.shape and out.dtype == torch.float32
    for found, wanted in zip([out, *(v.grad for v in ours)], [expected, *(v.grad for v in theirs)], strict=True):
        assert found.dtype == torch.float32 and found.shape == wanted.shape
        size = wanted.abs().max().item() if wanted.numel() else 0
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=ROUNDING[dtype] * size)


def test_weights_changed_before_the_backward_pass_are_noticed():
    x, weight = random(3, 4), random(5, 4).requires_grad_()
    out = linear(x, weight, random(5).requires_grad_(), torch.float32)
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_an_input_changed_before_the_backward_pass_is_noticed():
    x = random(3, 4)
    out = linear(x, random(5, 4).requires_grad_(), random(5).requires_grad_(), torch.float32)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_onednn_can_be_switched_off():
    x = random(8, 8)
    (before,) = torch.backends.mkldnn.set_flags(False)[:1]
    try:
        assert not fast._by_onednn(x)
    finally:
        torch.backends.mkldnn.set_flags(before)
    assert fast._by_onednn(x) == fast._has_onednn()
    assert not fast._by_onednn(x.double()) and not fast._by_onednn(x[:0])
