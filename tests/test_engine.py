"""Losses, learning rates, clipping and epoch means, worked by hand."""

import math

import pytest
import torch
from torch import nn

from nets import MMIL_Net
from nets.mmil_net import ParserOutput
from utils import engine
from utils.cli import InputError

COSINE = {"scheduler": "warm_up_cos_anneal", "lr": 1e-3, "stepsize": 10, "gamma": 0.1, "lr_min": 1e-6}
STEP = COSINE | {"scheduler": "steplr", "warm_up_epoch": 5}


def test_warm_up_then_half_a_cosine():
    rate = [engine.learning_rate(e, epochs=60, warm_up_epoch=10, **COSINE) for e in range(1, 61)]
    assert rate[:10] == [1e-3 * e / 10 for e in range(1, 11)]
    assert rate[34] == pytest.approx((1e-3 + 1e-6) / 2)  # epoch 35: half way
    assert rate[59] == pytest.approx(1e-6)
    assert rate[9:] == sorted(rate[9:], reverse=True)


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_no_epoch_left_for_the_cosine(epochs):
    rate = [engine.learning_rate(e, epochs=epochs, warm_up_epoch=5, **COSINE) for e in range(1, epochs + 1)]
    assert rate == [1e-3 * e / 5 for e in range(1, epochs + 1)]  # the release divides by zero in the last of 5


def test_no_warm_up():
    assert engine.learning_rate(1, epochs=2, warm_up_epoch=0, **COSINE) == pytest.approx((1e-3 + 1e-6) / 2)


def test_steps_round_as_torchs_scheduler_does():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=STEP["lr"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    for epoch in range(1, 61):
        assert engine.learning_rate(epoch, epochs=60, **STEP) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def test_losses_by_hand():
    logits = torch.tensor([[[[2.0, -1.0], [0.5, 0.0]]]])  # (B=1, T=1, M=2, C=2)
    global_prob = torch.tensor([[0.8, 1.0]])
    output = ParserOutput(global_prob, None, None, logits.sigmoid(), logits)
    batch = {
        "weak": torch.tensor([[1.0, 0.0]]),
        "pseudo_a": torch.tensor([[[1.0, 1.0]]]),
        "pseudo_v": torch.tensor([[[0.0, 1.0]]]),
    }
    losses = engine.parser_losses(output, batch, ("video", "audio", "visual"))
    one = torch.tensor(1 - 1e-7).item()  # the clamp, as float32 has it
    expected = {
        "loss_video": -(math.log(0.8) + math.log(1 - one)) / 2,
        "loss_valor_a": (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2,
        "loss_valor_v": (math.log(1 + math.exp(0.5)) + math.log(2)) / 2,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-6)
    assert losses["loss_all"].item() == pytest.approx(sum(expected.values()), rel=1e-6)


@pytest.mark.parametrize(("terms", "names"), [
    (("video",), {"loss_video", "loss_all"}),
    (("audio", "visual"), {"loss_valor_a", "loss_valor_v", "loss_all"}),
])  # fmt: skip
def test_ablations_need_only_their_labels(terms, names):
    logits = torch.zeros(1, 10, 2, 3)
    output = ParserOutput(torch.full((1, 3), 0.5), None, None, logits.sigmoid(), logits)
    labels = {"video": ("weak", torch.ones(1, 3)), "audio": ("pseudo_a", torch.ones(1, 10, 3)),
              "visual": ("pseudo_v", torch.ones(1, 10, 3))}  # fmt: skip
    losses = engine.parser_losses(output, dict(labels[t] for t in terms), terms)
    assert losses.keys() == names
    assert losses["loss_all"].item() == pytest.approx(len(terms) * math.log(2), rel=1e-6)


def test_an_epochs_loss_weighs_batches_by_their_size():
    mean = engine.MeanLosses()
    mean.add({"loss_all": torch.tensor(1.0)}, 3)
    mean.add({"loss_all": torch.tensor(5.0)}, 1)
    assert mean.means() == {"loss_video": None, "loss_valor_a": None, "loss_valor_v": None, "loss_all": 2.0}


@pytest.mark.parametrize(("max_norm", "scale"), [(1.0, 0.2), (10.0, 1.0), (0.0, 1.0)])
def test_gradients_are_clipped_and_their_norm_is_that_afterwards(max_norm, scale):
    parameters = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    for parameter, value in zip(parameters, (3.0, 4.0), strict=True):
        parameter.grad = torch.tensor([value])
    norm = engine.clip_gradients(parameters, max_norm)
    assert [p.grad.item() for p in parameters] == pytest.approx([3 * scale, 4 * scale], rel=1e-6)
    assert norm.item() == pytest.approx(5 * scale, rel=1e-6)


def test_the_first_loss_that_is_not_finite_is_named():
    losses = {
        "loss_video": torch.tensor(1.0),
        "loss_valor_a": torch.tensor(math.nan),
        "loss_all": torch.tensor(math.nan),
    }
    with pytest.raises(InputError, match="loss_valor_a is nan at iteration 7"):
        engine.require_finite(losses, "at iteration 7")


def test_training_on_one_batch_learns_it():
    torch.manual_seed(0)
    net = MMIL_Net(8, 8, hidden_dim=32, nhead=4, ff_dim=32, num_classes=3)
    batch = {
        "audio": torch.randn(6, 10, 8), "visual": torch.randn(6, 10, 8), "visual_st": torch.randn(6, 10, 512),
        "weak": torch.randint(2, (6, 3)).float(), "pseudo_a": torch.randint(2, (6, 10, 3)).float(),
        "pseudo_v": torch.randint(2, (6, 10, 3)).float(),
    }  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = [
        engine.train_one_epoch(
            net, [batch], optimizer, device=torch.device("cpu"), terms=("video", "audio", "visual"), grad_norm=1.0,
            log_iteration=lambda values: None, first_iteration=0, log_every=1, progress="",
        )["loss_all"]
        for _ in range(150)
    ]  # fmt: skip
    assert losses[-1] < 0.25 * losses[0]
