"""The faster layers against the published ones, autograd, and their definitions."""

import copy

import pytest
import torch
import torch.nn.functional as F

import nets
from nets import MMIL_Net
from nets.fast import accelerate, dropout, linear
from nets.fast.temporal import FastTemporalBlock
from nets.mmil_net import ParserOutput
from nets.pyramid import TemporalBlock
from utils.train.losses import parser_losses

TERMS = ("video", "audio", "visual")
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float64: 1e-13}


def network(norm_where: str, layers: int, fast: bool, dtype=torch.float64, product_dtype=None) -> MMIL_Net:
    torch.manual_seed(0)
    sizes = {"hidden_dim": 8, "nhead": 2, "ff_dim": 12, "num_layers": layers, "num_classes": 3}
    net = MMIL_Net(6, 7, **sizes, norm_where=norm_where)
    return (accelerate(net, product_dtype or dtype) if fast else net).to(dtype)


def batch(videos: int = 5, dtype=torch.float64) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    shapes = {"audio": (videos, 10, 6), "visual": (videos, 10, 7), "visual_st": (videos, 10, 512)}
    labels = {"weak": (videos, 3), "pseudo_a": (videos, 10, 3), "pseudo_v": (videos, 10, 3)}
    values = {name: torch.randn(shape, dtype=dtype) for name, shape in shapes.items()}
    return values | {name: torch.randint(2, shape).to(dtype) for name, shape in labels.items()}


def run(net: MMIL_Net, data) -> tuple[ParserOutput, dict[str, torch.Tensor]]:
    """Output and gradients, with the numbers of one seed."""
    torch.manual_seed(2)
    output = net(data["audio"], data["visual"], data["visual_st"])
    parser_losses(output, data, TERMS)["loss_all"].backward()
    return output, {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


# ------------------------------------------------------------------------------------------------------- the network


def test_parameters_and_their_first_values_are_the_published_ones():
    slow, fast = (network("post_norm", 3, fast, torch.float32).state_dict() for fast in (False, True))
    assert list(slow) == list(fast)
    assert all(torch.equal(slow[name], fast[name]) for name in slow)


@pytest.mark.usefixtures("torch_masks")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("norm_where", ["post_norm", "pre_norm"])
def test_the_same_outputs_gradients_and_random_numbers(norm_where, layers, training):
    (slow, slow_grads), state = run(network(norm_where, layers, False).train(training), batch()), torch.get_rng_state()
    fast, fast_grads = run(network(norm_where, layers, True).train(training), batch())
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-11, atol=1e-13)
    assert slow_grads.keys() == fast_grads.keys()
    for name, grad in slow_grads.items():
        torch.testing.assert_close(
            fast_grads[name], grad, rtol=1e-9, atol=1e-14, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.usefixtures("torch_masks")
@pytest.mark.parametrize("norm_where", ["post_norm", "pre_norm"])
def test_in_float32_where_other_libraries_compute_the_products(norm_where):
    runs = [
        run(network(norm_where, 2, fast, torch.float32).train(), batch(dtype=torch.float32)) for fast in (False, True)
    ]
    (slow, slow_grads), (fast, fast_grads) = runs
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
    for name, grad in slow_grads.items():
        assert (fast_grads[name] - grad).norm() <= 1e-5 * grad.norm() + 1e-7, name


NETWORKS = {"MM_Pyramid": {"num_layers": 3}, "UWAV": {"num_layers": 2, "num_MMIL_layers": 2}}


def other_network(model: str, fast: bool, dtype=torch.float64, product_dtype=None) -> nets.Parser:
    torch.manual_seed(0)
    sizes = {"input_a_dim": 6, "input_v_dim": 7, "hidden_dim": 8, "nhead": 2, "ff_dim": 12, "num_classes": 3}
    net = nets.build(model, **sizes, **NETWORKS[model])
    return (accelerate(net, product_dtype or dtype) if fast else net).to(dtype)


@pytest.mark.usefixtures("torch_masks")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("model", NETWORKS)
def test_the_same_for_every_network(model, training):
    """In float64: outputs, gradients, what gets none, and random numbers."""
    (slow, slow_grads), state = run(other_network(model, False).train(training), batch()), torch.get_rng_state()
    fast, fast_grads = run(other_network(model, True).train(training), batch())
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-11, atol=1e-13)
    assert slow_grads.keys() == fast_grads.keys()
    for name, grad in slow_grads.items():
        torch.testing.assert_close(fast_grads[name], grad, rtol=1e-9, atol=1e-14, msg=name)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_video_gives_gradients_of_zero_in_every_network(model, precision):
    net = other_network(model, True, torch.float32, precision).train()
    data = batch(0, torch.float32)
    output = net(data["audio"], data["visual"], data["visual_st"])
    (output.frame_logits.sum() + output.global_prob.sum()).backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    assert set(gradients) == {name for name, _ in net.named_parameters() if "final_norm" not in name}
    assert not any(grad.any() for grad in gradients.values())


@pytest.mark.parametrize("distance", [1, 4, 16])
def test_a_temporal_block_by_products(distance):
    """In float64 inside float32 weights: outputs and gradients of the convolutions."""
    torch.manual_seed(0)
    slow = TemporalBlock(6, distance)
    fast = copy.deepcopy(slow)
    fast.__class__, fast.product_dtype = FastTemporalBlock, torch.float64
    x = torch.randn(3, 10, 6)
    outputs = [block(x) for block in (slow, fast)]
    torch.testing.assert_close(outputs[1].float(), outputs[0])
    for output in outputs:
        output.square().sum().backward()
    for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad)


@pytest.mark.parametrize("model", NETWORKS)
def test_bfloat16_stays_close_for_every_network(model):
    outputs = []
    for precision in (torch.float32, torch.bfloat16):
        net = other_network(model, True, torch.float32, precision).eval()
        output, grads = run(net, batch(dtype=torch.float32))
        assert {g.dtype for g in grads.values()} == {x.dtype for x in output} == {torch.float32}
        outputs.append(output.frame_logits)
    assert 0 < (outputs[0] - outputs[1]).abs().max() < 0.1


def test_without_gradients_nothing_is_kept():
    net = network("post_norm", 2, True).eval()
    data = batch()
    with torch.no_grad():
        output = net(data["audio"], data["visual"], data["visual_st"])
    assert output.frame_logits.grad_fn is None
    torch.testing.assert_close(output.global_prob, run(net, data)[0].global_prob)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_video_gives_gradients_of_zero(dtype):
    net = network("post_norm", 2, True, dtype).train()
    data = batch(0, dtype)
    output = net(data["audio"], data["visual"], data["visual_st"])
    (output.frame_logits.sum() + output.global_prob.sum()).backward()
    unused = {name for name, p in net.named_parameters() if p.grad is None}
    assert unused == {f"hat_encoder.final_norm_{m}.{p}" for m in "av" for p in ("weight", "bias")}
    assert all(not p.grad.any() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("fast", [False, True])
def test_layers_that_no_loss_uses_get_no_gradient(fast):
    """Zeros instead would let the optimizer's decay move them."""
    net, data = network("post_norm", 1, fast), batch()
    output = net(data["audio"], data["visual"], data["visual_st"])
    parser_losses(output, data, ("audio", "visual"))["loss_all"].backward()
    assert net.fc_av_att.weight.grad is None and net.fc_frame_att.bias.grad is None
    assert net.fc_prob.weight.grad.any()


@pytest.mark.parametrize("norm_where", ["post_norm", "pre_norm"])
def test_bfloat16_stays_close_and_its_weights_float32(norm_where):
    data = batch(dtype=torch.float32)
    outputs, gradients = [], []
    for precision in (torch.float32, torch.bfloat16):
        net = network(norm_where, 2, True, torch.float32, precision).eval()
        output, grads = run(net, data)
        assert {g.dtype for g in grads.values()} == {x.dtype for x in output} == {torch.float32}
        outputs.append(output.frame_logits), gradients.append(torch.cat([g.flatten() for g in grads.values()]))
    assert 0 < (outputs[0] - outputs[1]).abs().max() < 0.05
    assert 0 < (gradients[0] - gradients[1]).norm() < 0.03 * gradients[0].norm()


# ---------------------------------------------------------------------------------------------------- linear layers


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(params=["oneDNN", "torch"])
def library(request, monkeypatch):
    """Both libraries, if this machine has both."""
    if request.param == "torch":
        monkeypatch.setattr(linear, "has_onednn", lambda: False)
    elif not linear.has_onednn():
        pytest.skip("this processor or this torch has no oneDNN")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("layout", ["rows", "columns", "part"])
@pytest.mark.parametrize("shape", [(6, 5, 24), (30, 24), (1, 24), (0, 10, 24)])
def test_products_and_gradients(shape, layout, dtype):
    """Against float64: weights as they are, transposed, and a part of larger ones."""
    weight = {
        "rows": random(17, 24, seed=1),
        "columns": random(24, 17, seed=1).t(),
        "part": random(40, 24, seed=1)[5:22],
    }[layout]
    values = [random(*shape), weight, random(17, seed=2)]
    ours, theirs = ([v.to(kind).detach().requires_grad_() for v in values] for kind in (torch.float32, torch.float64))
    out, expected = linear.linear(*ours, dtype), F.linear(*theirs)
    assert out.shape == expected.shape and out.dtype == dtype
    factors = random(*expected.shape, seed=3)
    (out * factors).sum().backward(), (expected * factors.double()).sum().backward()
    for found, wanted in zip([out, *(v.grad for v in ours)], [expected, *(v.grad for v in theirs)], strict=True):
        size = wanted.abs().max().item() if wanted.numel() else 0
        rounding = max(ROUNDING[dtype], ROUNDING[torch.float32])  # gradients are float32
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=rounding * size)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("changed", [0, 1])
def test_what_is_changed_before_the_backward_pass_is_noticed(changed):
    values = [random(3, 4), random(5, 4), random(5)]
    out = linear.linear(*(v.requires_grad_() for v in values), torch.float32)
    with torch.no_grad():
        values[changed].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("enabled", [True, False])
def test_onednn_can_be_switched_off(enabled, monkeypatch):
    calls = []
    monkeypatch.setattr(linear, "has_onednn", lambda: calls.append(1) or False)
    with torch.backends.mkldnn.flags(enabled):
        linear.linear(random(8, 8), random(8, 8), random(8), torch.float32)
    assert len(calls) == enabled


# ----------------------------------------------------------------------------------------------------- dropout masks


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", [(4, 5, 6), (7,), (1,), (0, 3), (311, 313)])
def test_a_mask_holds_zeros_and_the_scale(shape, dtype):
    mask = dropout.dropout_mask(shape, 0.1, torch.empty((), dtype=dtype))
    assert mask.shape == shape and mask.dtype == dtype
    assert set(mask.unique().tolist()) <= {0, torch.tensor(1 / 0.9, dtype=dtype).item()}


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.75])
def test_zeros_are_as_frequent_as_asked_and_independent(p):
    torch.manual_seed(0)
    n = 4_000_000
    dropped = dropout.dropout_mask((n // 4, 4), p, torch.empty(())).eq(0).double()
    sigma = (p * (1 - p) / n) ** 0.5
    assert abs(dropped.mean() - p) <= 5 * sigma + 2**-17  # p is rounded to a multiple of 2^-16
    for shift in (1, 2, 3, 4):  # neighbours within one number of 64 bits, and across two
        flat = dropped.flatten()
        both = (flat[shift:] * flat[:-shift]).mean()
        assert abs(both - p * p) <= 5 * (p * p * (1 - p * p) / n) ** 0.5 + 2**-16
    assert (dropped.mean(0) - p).abs().max() <= 10 * sigma + 2**-17  # each of the four places


def test_the_seed_decides_and_evaluation_draws_nothing():
    torch.manual_seed(3)
    first, second = (dropout.dropout_mask((100,), 0.5, torch.empty(())) for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(dropout.dropout_mask((100,), 0.5, torch.empty(())), first) and not torch.equal(first, second)
    state, layer, x = torch.get_rng_state(), dropout.FastDropout(0.5).eval(), torch.ones(9)
    assert torch.equal(layer(x), x) and torch.equal(torch.get_rng_state(), state)
