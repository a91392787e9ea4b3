"""The network: against the published network's values, and its invariants."""

import json

import numpy as np
import pytest
import torch

from nets import MMIL_Net
from nets.mmil_net import mmil_pooling
from utils.features.pooling import clap_time_weights, pool_clap_map, pool_frames

CASES = ["valor", "valor+", "valor++", "pre_norm"]


@pytest.fixture(scope="module")
def cases(golden):
    return json.loads(golden("net.json").read_text()), np.load(golden("net.npz"))


def build(case):
    torch.manual_seed(case["init_seed"])
    net = MMIL_Net(**case["args"])
    generator = torch.Generator().manual_seed(case["input_seed"])
    return net, [torch.randn(shape, generator=generator) for shape in case["input_shapes"]]


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_named_shaped_and_initialised_as_published(cases, name):
    case = cases[0][name]
    net, _ = build(case)
    assert list(net.state_dict()) == list(case["parameters"])
    for key, value in net.state_dict().items():
        expected = case["parameters"][key]
        assert list(value.shape) == expected["shape"]
        assert value.double().sum().item() == pytest.approx(expected["sum"], abs=1e-5)
        assert value.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-7)
        np.testing.assert_allclose(value.flatten()[:4], expected["first"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_published_ones(cases, name):
    net, inputs = build(cases[0][name])
    with torch.no_grad():
        output = net.eval()(*inputs)
    for key, value in output._asdict().items():
        np.testing.assert_allclose(value, cases[1][f"{name}/{key}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_dropout_and_gradients_are_the_published_ones(cases, published_dropout, name):
    case = cases[0][name]
    net, inputs = build(case)
    torch.manual_seed(case["train_forward_seed"])
    output = net.train()(*inputs)
    loss = output.global_prob.square().sum() + output.frame_logits.square().mean()
    loss.backward()
    assert loss.item() == pytest.approx(case["train_loss_value"], rel=1e-5)
    found = {key: p.grad.norm().item() for key, p in net.named_parameters() if p.grad is not None}
    expected = {
        key: norm for key, norm in case["grad_norms"].items() if norm is not None
    }  # None: not used in post-norm
    assert found.keys() == expected.keys()
    for key, norm in expected.items():
        assert found[key] == pytest.approx(norm, abs=1e-4 * max(norm, 1e-3)), key


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("train", [False, True])
def test_pooled_features_give_the_raw_features_outputs(cases, name, train):
    net, (audio, visual, visual_st) = build(cases[0][name])
    net.train(train)
    pooled_audio, pooled_visual = audio, visual
    if audio.shape[1] == 64:
        pooled_audio = torch.stack([torch.from_numpy(pool_clap_map(x.numpy())) for x in audio])
    if visual.shape[1] == 80:
        pooled_visual = torch.stack([torch.from_numpy(pool_frames(x.numpy())) for x in visual])
    outputs = []
    for inputs in ((audio, visual, visual_st), (pooled_audio, pooled_visual, visual_st)):
        torch.manual_seed(0)
        with torch.no_grad():
            outputs.append(net(*inputs))
    for raw, pooled in zip(*outputs, strict=True):
        torch.testing.assert_close(pooled, raw, rtol=0, atol=1e-5)


def cubic(x, a=-0.75):
    """Cubic convolution kernel (Keys, 1981), with torch's a."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0


def test_time_weights_of_the_clap_map_by_hand():
    upsample = np.zeros((1024, 32))
    for i in range(1024):
        centre = (i + 0.5) / 32 - 0.5  # align_corners=False
        for step in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            upsample[i, min(max(step, 0), 31)] += cubic(centre - step)
    pool = np.zeros((10, 1024))
    for segment in range(10):
        start, end = int(np.floor(segment * 102.4)), int(np.ceil((segment + 1) * 102.4))
        pool[segment, start:end] = 1 / (end - start)
    np.testing.assert_allclose(clap_time_weights(), pool @ upsample, rtol=0, atol=1e-7)
    np.testing.assert_allclose(clap_time_weights().sum(axis=1), 1, rtol=0, atol=1e-6)


def test_pooling_of_frames_is_their_mean():
    frames = (
        np.repeat(np.arange(10, dtype=np.float32), 8)[:, None] + np.tile(np.arange(8, dtype=np.float32), 10)[:, None]
    )
    assert pool_frames(frames)[:, 0].tolist() == [i + 3.5 for i in range(10)]


def test_a_video_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    net = MMIL_Net(16, 24, hidden_dim=32, nhead=4, ff_dim=48, num_layers=2, num_classes=5).eval()
    inputs = [torch.randn(6, 10, size) for size in (16, 24, 512)]
    with torch.no_grad():
        together = net(*inputs)
        alone = [net(*(x[i : i + 1] for x in inputs)) for i in range(6)]
    for i, name in enumerate(together._fields):
        torch.testing.assert_close(together[i], torch.cat([o[i] for o in alone]), rtol=0, atol=1e-6, msg=name)
    assert together.frame_logits.shape == (6, 10, 2, 5) and together.global_prob.shape == (6, 5)


def test_pooling_by_hand():
    frame_prob = torch.tensor([[[[0.2], [0.4]], [[0.6], [0.8]]]])  # (1, T=2, M=2, C=1)
    frame_att = torch.tensor([[[[0.5], [1.0]], [[0.5], [0.0]]]])
    av_att = torch.full((1, 2, 2, 1), 0.5)
    global_prob, a_prob, v_prob = mmil_pooling(frame_prob, frame_att, av_att)
    assert a_prob.item() == pytest.approx(0.4) and v_prob.item() == pytest.approx(0.4)
    assert global_prob.item() == pytest.approx(0.4)


def test_layers_start_as_copies_and_are_trained_apart():
    net = MMIL_Net(8, 8, hidden_dim=16, nhead=2, ff_dim=8, num_layers=3)
    first, *others = net.hat_encoder.layers
    for other in others:
        for a, b in zip(first.parameters(), other.parameters(), strict=True):
            assert a is not b and torch.equal(a, b)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="nhead 7 does not divide hidden_dim 512"):
        MMIL_Net(nhead=7)
    with pytest.raises(ValueError, match="norm_where is 'middle', expected one of post_norm, pre_norm"):
        MMIL_Net(norm_where="middle")
    net = MMIL_Net(8, 8, hidden_dim=16, nhead=2, ff_dim=8)
    good = torch.zeros(1, 10, 8), torch.zeros(1, 10, 8), torch.zeros(1, 10, 512)
    with pytest.raises(ValueError, match="audio has 12 rows"):
        net(torch.zeros(1, 12, 8), *good[1:])
    with pytest.raises(ValueError, match="visual has 16 rows"):
        net(good[0], torch.zeros(1, 16, 8), good[2])
