"""Losses, learning rates, clipping and epoch means, worked by hand."""

import math

import pytest
import torch
from torch import nn

from nets import MMIL_Net
from nets.mmil_net import ParserOutput
from utils.base.errors import InputError
from utils.train.engine import train_one_epoch
from utils.train.losses import LOSS_NAMES, LossLog, parser_losses
from utils.train.schedule import learning_rate
from utils.train.step import TrainStep, clip_gradients

COSINE = {"scheduler": "warm_up_cos_anneal", "lr": 1e-3, "stepsize": 10, "gamma": 0.1, "lr_min": 1e-6}
STEP = COSINE | {"scheduler": "steplr", "warm_up_epoch": 5}


def test_warm_up_then_half_a_cosine():
    rate = [learning_rate(e, epochs=60, warm_up_epoch=10, **COSINE) for e in range(1, 61)]
    assert rate[:10] == [1e-3 * e / 10 for e in range(1, 11)]
    assert rate[34] == pytest.approx((1e-3 + 1e-6) / 2)  # epoch 35: half way
    assert rate[59] == pytest.approx(1e-6)
    assert rate[9:] == sorted(rate[9:], reverse=True)


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_no_epoch_left_for_the_cosine(epochs):
    rate = [learning_rate(e, epochs=epochs, warm_up_epoch=5, **COSINE) for e in range(1, epochs + 1)]
    assert rate == [1e-3 * e / 5 for e in range(1, epochs + 1)]  # the release divides by zero in the last of 5


def test_no_warm_up():
    assert learning_rate(1, epochs=2, warm_up_epoch=0, **COSINE) == pytest.approx((1e-3 + 1e-6) / 2)


def test_steps_round_as_torchs_scheduler_does():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=STEP["lr"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    for epoch in range(1, 61):
        assert learning_rate(epoch, epochs=60, **STEP) == optimizer.param_groups[0]["lr"]
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
    losses = parser_losses(output, batch, ("video", "audio", "visual"))
    one = torch.tensor(1 - 1e-7).item()  # the clamp, as float32 has it
    expected = {
        "loss_video": -(math.log(0.8) + math.log(1 - one)) / 2,
        "loss_valor_a": (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2,
        "loss_valor_v": (math.log(1 + math.exp(0.5)) + math.log(2)) / 2,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-6)
    assert losses["loss_all"].item() == pytest.approx(sum(expected.values()), rel=1e-6)


VALOR_LOSSES = {"loss_valor_a", "loss_valor_v"}


@pytest.mark.parametrize(("terms", "names"), [(("video",), {"loss_video"}), (("audio", "visual"), VALOR_LOSSES)])
def test_ablations_need_only_their_labels(terms, names):
    logits = torch.zeros(1, 10, 2, 3)
    output = ParserOutput(torch.full((1, 3), 0.5), None, None, logits.sigmoid(), logits)
    labels = {
        "video": ("weak", torch.ones(1, 3)),
        "audio": ("pseudo_a", torch.ones(1, 10, 3)),
        "visual": ("pseudo_v", torch.ones(1, 10, 3)),
    }
    losses = parser_losses(output, dict(labels[t] for t in terms), terms)
    assert losses.keys() == names | {"loss_all"}
    assert losses["loss_all"].item() == pytest.approx(len(terms) * math.log(2), rel=1e-6)


def test_an_epochs_loss_weighs_batches_by_their_size():
    log = LossLog(("video",))
    log.add(torch.tensor([0.5, 1.0, 9.9, 3.0]))  # two losses, a norm, and the number of videos
    assert log.read(str) == [[0.5, 1.0, pytest.approx(9.9), 3.0]]
    log.add(torch.tensor([2.5, 5.0]), videos=1)
    log.add(torch.tensor([0.5, 1.0]), videos=0)
    assert len(log.read(str)) == 2 and log.read(str) == []
    assert log.means() == dict.fromkeys(LOSS_NAMES) | {"loss_video": 1.0, "loss_all": 2.0}


def test_nothing_is_read_off_the_device_between_two_lines_of_the_log():
    class Batch(torch.Tensor):
        """Counts how often its numbers are asked for."""

        asked = 0

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            cls.asked += function in (torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.__bool__)
            return super().__torch_function__(function, types, args, kwargs or {})

    values = torch.tensor([1.0, 1.0, 0.5, 4.0]).as_subclass(Batch)
    lines = []
    log = {"log_iteration": lines.append, "log_every": 10, "first_iteration": 3, "progress": None}
    train_one_epoch(lambda batch: values, [{}] * 25, terms=("video",), **log)
    assert [line["iter"] for line in lines] == [10, 20]
    assert Batch.asked == 3  # at both lines, and at the end


@pytest.mark.parametrize(("max_norm", "scale"), [(1.0, 0.2), (10.0, 1.0), (0.0, 1.0)])
def test_gradients_are_clipped_and_their_norm_is_that_afterwards(max_norm, scale):
    parameters = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    for parameter, value in zip(parameters, (3.0, 4.0), strict=True):
        parameter.grad = torch.tensor([value])
    norm = clip_gradients(parameters, max_norm)
    assert [p.grad.item() for p in parameters] == pytest.approx([3 * scale, 4 * scale], rel=1e-6)
    assert norm.item() == pytest.approx(5 * scale, rel=1e-6)


def test_the_first_loss_that_is_not_finite_is_named():
    good, bad = torch.tensor([1.0, 1.0, 0.5, 4.0]), torch.tensor([1.0, math.nan, math.nan, 4.0])
    rows = iter([good] * 4 + [bad] + [good] * 3)  # noticed at the next line of the log, or at the end
    log = {"log_iteration": lambda line: None, "log_every": 100, "first_iteration": 3, "progress": None}
    with pytest.raises(InputError, match="loss_all is nan at iteration 7"):
        train_one_epoch(lambda batch: next(rows), [{}] * 8, terms=("audio",), **log)


def test_training_on_one_batch_learns_it():
    torch.manual_seed(0)
    net = MMIL_Net(8, 8, hidden_dim=32, nhead=4, ff_dim=32, num_classes=3)
    batch = {
        "audio": torch.randn(6, 10, 8),
        "visual": torch.randn(6, 10, 8),
        "visual_st": torch.randn(6, 10, 512),
        "weak": torch.randint(2, (6, 3)).float(),
        "pseudo_a": torch.randint(2, (6, 10, 3)).float(),
        "pseudo_v": torch.randint(2, (6, 10, 3)).float(),
    }
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    terms = ("video", "audio", "visual")
    step = TrainStep(net, optimizer, terms=terms, grad_norm=1.0, device=torch.device("cpu"))
    log = {"log_iteration": lambda values: None, "log_every": 1, "first_iteration": 0, "progress": None}
    losses = [train_one_epoch(step, [batch], terms=terms, **log)["loss_all"] for _ in range(150)]
    assert losses[-1] < 0.25 * losses[0]
