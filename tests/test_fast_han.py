"""The layers with their gradient written out, against the published layers and autograd."""

import pytest
import torch

from nets import MMIL_Net
from nets.mmil_net import ParserOutput
from utils.train.losses import parser_losses

TERMS = ("video", "audio", "visual")


def network(norm_where: str, layers: int, fast: bool, dtype=torch.float64, **kwargs) -> MMIL_Net:
    torch.manual_seed(0)
    net = MMIL_Net(6, 7, hidden_dim=8, nhead=2, ff_dim=12, num_layers=layers, norm_where=norm_where, num_classes=3)
    net = net.to(dtype)
    return net.use_fast_layers(dtype, **kwargs) if fast else net


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


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("norm_where", ["post_norm", "pre_norm"])
def test_the_same_outputs_gradients_and_random_numbers(norm_where, layers, training):
    (slow, slow_grads), (fast, fast_grads) = (
        run(network(norm_where, layers, fast).train(training), batch()) for fast in (False, True)
    )
    state = torch.get_rng_state()
    run(network(norm_where, layers, False).train(training), batch())
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-11, atol=1e-13)
    assert slow_grads.keys() == fast_grads.keys()
    for name, grad in slow_grads.items():
        torch.testing.assert_close(
            fast_grads[name], grad, rtol=1e-9, atol=1e-14, msg=lambda text, n=name: f"{n}: {text}"
        )


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


def test_without_gradients_nothing_is_kept():
    net = network("post_norm", 2, True).eval()
    data = batch()
    with torch.no_grad():
        output = net(data["audio"], data["visual"], data["visual_st"])
    assert output.frame_logits.grad_fn is None
    torch.testing.assert_close(output.global_prob, run(net, data)[0].global_prob)


def test_no_video_gives_gradients_of_zero():
    net = network("post_norm", 2, True).train()
    data = batch(0)
    output = net(data["audio"], data["visual"], data["visual_st"])
    (output.frame_logits.sum() + output.global_prob.sum()).backward()
    unused = {name for name, p in net.named_parameters() if p.grad is None}
    assert unused == {f"hat_encoder.final_norm_{m}.{p}" for m in "av" for p in ("weight", "bias")}
    assert all(not p.grad.any() for p in net.parameters() if p.grad is not None)


def test_weights_changed_before_the_backward_pass_are_noticed():
    net, data = network("post_norm", 1, True), batch()
    loss = parser_losses(net(data["audio"], data["visual"], data["visual_st"]), data, TERMS)["loss_all"]
    with torch.no_grad():
        net.hat_encoder.layers[0].linear1.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("which", [0, 1])
def test_a_stream_changed_before_the_backward_pass_is_noticed(which):
    encoder = network("post_norm", 1, True).hat_encoder
    streams = [torch.randn(10, 2, 8, dtype=torch.float64) for _ in range(2)]
    out = encoder(*streams)
    streams[which].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out[0].sum().backward()


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
        net = network(norm_where, 2, True, torch.float32).eval().use_fast_layers(precision)
        output, grads = run(net, data)
        assert {g.dtype for g in grads.values()} == {x.dtype for x in output} == {torch.float32}
        outputs.append(output.frame_logits), gradients.append(torch.cat([g.flatten() for g in grads.values()]))
    assert 0 < (outputs[0] - outputs[1]).abs().max() < 0.05
    assert 0 < (gradients[0] - gradients[1]).norm() < 0.03 * gradients[0].norm()
