"""Long videos in the faster networks: in blocks and pieces they are what they are as a whole, with less memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nets.fast import attention, pyramid
from tests.test_lengths import NETWORKS, build, pad, videos

LENGTHS = [70, 3, 41]


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that any operation returns."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("piece", [1, 8, 33, 69])
def test_pieces_of_a_pyramid_are_the_whole(monkeypatch, piece, levels):
    """Beside the plain network, in float64; four levels reach 30 segments, so that some pieces see the whole video."""
    plain, fast = (
        build("pyramid", accelerated, torch.float64, num_layers=levels).double().eval() for accelerated in (False, True)
    )
    batch, lengths = pad([[x.double() for x in inputs] for inputs in videos(LENGTHS)], torch.nan)
    monkeypatch.setattr(pyramid, "PIECE", piece)
    with torch.no_grad():
        for inputs in ((*batch, lengths), [x[:1] for x in batch]):
            for found, expected in zip(fast(*inputs), plain(*inputs), strict=True):
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_blocks_of_queries_draw_the_same_dropout_again_in_the_backward_pass(monkeypatch):
    """A block is computed twice; without that, its scores are kept and the gradients are the same."""
    net = build("post_norm", True).train()
    batch, lengths = pad(videos(LENGTHS))
    monkeypatch.setattr(attention, "BLOCK", 70 * 16)
    gradients = []
    for again in (True, False):
        if not again:
            monkeypatch.setattr(attention, "checkpoint", lambda function, *args, use_reentrant: function(*args))
        torch.manual_seed(7)
        net.zero_grad()
        net(*batch, lengths).frame_logits.square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[1])
    torch.manual_seed(8)  # dropout has a part in them
    net.zero_grad()
    net(*batch, lengths).frame_logits.square().sum().backward()
    assert not torch.allclose(net.fc_a.weight.grad, gradients[0]["fc_a.weight"])


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_needs_memory_in_proportion_to_the_length(monkeypatch, name):
    """Twice the segments: no tensor of the evaluation more than doubles. In one block, the largest has four times."""
    net = build(name, True).eval()

    def numbers(segments):
        [inputs] = videos([segments])
        with torch.no_grad(), Largest() as largest:
            net(*inputs)
        return largest.numbers

    whole = numbers(800) / numbers(400)
    monkeypatch.setattr(attention, "BLOCK", 2**12)
    monkeypatch.setattr(pyramid, "PIECE", 64)
    assert numbers(800) / numbers(400) <= 2 and whole > 3.9
