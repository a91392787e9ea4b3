"""Every tensor is on the device where it is used: checked without a GPU, by fake tensors that know their device.

An operation on tensors of two devices raises there, as it would on a GPU. What depends on numbers, which fake tensors
do not have, is left out: videos that differ in length, and the backward pass.
"""

import contextlib
import warnings

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import nets
from nets.fast import accelerate
from utils.train import recipe as recipe_module
from utils.train.recipe import Recipe
from utils.train.schedule import make_optimizer
from utils.train.step import TrainStep, forward, forward_losses, on_device

CUDA = torch.device("cuda")
B, T, C = 4, 10, 25
SIZES = {"audio": 128, "visual": 2048, "visual_st": 512}
TERMS = ("video", "audio", "visual")


def on_gpu(net: nn.Module) -> nn.Module:
    """The network with fake parameters and buffers on a GPU. `net.to` cannot exchange those of fake tensors."""
    for module in net.modules():
        for kept, make in ((module._parameters, nn.Parameter), (module._buffers, lambda x: x)):
            for name, tensor in kept.items():
                if tensor is not None:
                    kept[name] = make(torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA))
    return net


def batch(place: str, logits: bool = False) -> dict[str, torch.Tensor]:
    """As a loader makes them: on the CPU if the split is too large for the GPU, else there already."""
    shapes = {name: (B, T, size) for name, size in SIZES.items()}
    shapes |= {"weak": (B, C)} | {f"{'logits' if logits else 'pseudo'}_{m}": (B, T, C) for m in "av"}
    return {name: torch.rand(shape, device=place) for name, shape in shapes.items()}


RECIPES = {
    "plain": ({}, TERMS),
    "guided": ({"weights": dict.fromkeys("av", (1.0, 2.0)), "segment_weight": 12.0}, ("video", "guided")),
    "soft": ({"targets": "soft", "thresholds": None}, TERMS),
    "mixup": ({"mixup": 1.7}, (*TERMS, "mixup")),
    "recombined": ({"recombine": 1.0}, TERMS),
}


@pytest.fixture(params=list(nets.NETWORKS))
def network(request):
    """network(fast) -> one of the papers' networks, not yet on a GPU."""

    def make(fast: bool = False) -> nn.Module:
        net = nets.build(model=request.param, input_a_dim=128, input_v_dim=2048, num_classes=C)
        return accelerate(net) if fast else net

    return make


@contextlib.contextmanager
def fake_gpu():
    """Tensors have a device and a shape, and no numbers."""
    with warnings.catch_warnings(), FakeTensorMode(allow_non_fake_inputs=True):
        warnings.simplefilter("ignore")  # a fake tensor has no data, which torch looks for and warns
        yield


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
def test_forward_and_losses(network, fast, recipe, monkeypatch):
    draw = lambda alpha, count, device: (0.3, torch.randperm(count, device=device))  # lambda is a number
    monkeypatch.setattr(recipe_module, "draw_mixup", draw)
    settings, terms = RECIPES[recipe]
    net = network(fast).train()
    with fake_gpu():
        on_gpu(net)
        if "thresholds" in settings:
            settings = settings | {"thresholds": {m: torch.zeros(C, device=CUDA) for m in "av"}}
        for place in ("cpu", "cuda"):
            data = on_device(batch(place, recipe == "soft"), CUDA)
            output, found = forward_losses(net, data, terms, Recipe(**settings))
            assert {x.device.type for x in (*output, *found.values()) if x is not None} == {"cuda"}


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_clipping_and_the_optimizer(network, kind):
    """The backward pass needs a real device: gradients of its shapes stand for it."""
    net = network()
    with fake_gpu():
        on_gpu(net)
        optimizer = make_optimizer(net, CUDA, kind, fused=False, lr=1e-3)
        step = TrainStep(net, optimizer, terms=TERMS, grad_norm=1.0, device=CUDA)
        for parameter in step.parameters:
            parameter.grad = torch.empty_like(parameter)
        values = step.update(torch.zeros(step.count + 1, device=CUDA))
        state = [x for moments in optimizer.state.values() for name, x in moments.items() if name != "step"]
    assert values.device.type == "cuda" and values.shape == (step.count + 2,)
    assert state and {x.device.type for x in state} == {"cuda"}


def test_a_tensor_on_the_wrong_device_is_found(network):
    """The tests above can fail: a part that stayed on the CPU, an input that was not moved."""
    net = network().eval()
    with fake_gpu():
        on_gpu(net)
        with pytest.raises(RuntimeError, match="device"):
            forward(net, batch("cpu"))
        net.fc_prob.bias = nn.Parameter(torch.empty(C))
        with pytest.raises(RuntimeError, match="device"):
            forward(net, batch("cuda"))
