"""Dropout masks: those of torch's own dropout, however they are drawn."""

import pytest
import torch

from nets import dropout_masks
from nets.dropout_masks import compiled_fill, draw_cheaply, draw_compiled, draw_published

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def torchs_own(shapes, dtype) -> list[torch.Tensor]:
    return [torch.nn.functional.dropout(torch.ones(shape, dtype=dtype), 0.1) for shape in shapes]


@pytest.mark.usefixtures("published_dropout")
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_published_masks_are_those_of_torchs_dropout(dtype, ready, monkeypatch):
    calls = []
    monkeypatch.setattr(dropout_masks, "LOAD_AFTER", 0)
    if ready:
        assert compiled_fill(dtype).result()
    else:
        monkeypatch.setattr(dropout_masks, "compiled_fill", lambda _: dropout_masks.Future())
    monkeypatch.setattr(dropout_masks, "draw_compiled", lambda *args: calls.append(1) or draw_compiled(*args))
    shapes = [(4, 5, 6), (7,), (1,), (311, 313), (0, 3)]
    found, expected = [], []
    for results, draw in (
        (found, lambda: draw_published(shapes, 0.9, torch.empty((), dtype=dtype))),
        (expected, lambda: torchs_own(shapes, dtype)),
    ):
        torch.manual_seed(3)
        results += [*draw(), torch.rand(5), *draw(), torch.randn(2), *draw()]
    assert len(calls) == (3 if ready else 0)
    for mask, wanted in zip(found, expected, strict=True):
        assert mask.shape == wanted.shape and mask.dtype == wanted.dtype and torch.equal(mask, wanted)


@pytest.mark.usefixtures("published_dropout")
@pytest.mark.parametrize("before", [0, 1, 2, 311, 622, 623, 624, 625])
@pytest.mark.parametrize("count", [0, 1, 2, 311, 312, 313, 1000])
def test_any_position_in_the_generators_state(before, count):
    """`before` words taken, so that numbers lie across two states."""
    fill = compiled_fill(torch.float32).result()
    ours, theirs = (torch.Generator().manual_seed(11) for _ in range(2))
    for generator in (ours, theirs):
        torch.empty(before, dtype=torch.int32).random_(generator=generator)
    for keep in (0.9, 0.5):
        mask = torch.empty(count)
        draw_compiled(fill, mask, keep, ours)
        expected = torch.empty(count).bernoulli_(keep, generator=theirs) / keep
        assert torch.equal(mask, expected)
        assert torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.usefixtures("published_dropout")
def test_a_thousand_numbers_near_the_threshold():
    """53 bits of each number are compared: `keep` just below, at and above numbers that are drawn."""
    fill = compiled_fill(torch.float64).result()
    numbers = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    for keep in (numbers[0].item(), numbers[1].item() + 2**-53, numbers[2].item() - 2**-53, 1.0):
        mask = torch.empty(1000, dtype=torch.float64)
        draw_compiled(fill, mask, keep, torch.Generator().manual_seed(5))
        assert torch.equal(mask > 0, numbers < keep)


def test_another_generator_is_noticed(monkeypatch):
    """Where torch draws in another way, as it does on Intel's processors, the compiled generator is not used."""
    monkeypatch.setattr(
        torch.Tensor, "bernoulli_", lambda self, p, generator=None: self.random_(2, generator=generator)
    )
    assert dropout_masks._load_fill(torch.float32) is None


def test_without_numba(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nets.mersenne_twister", None)
    assert dropout_masks._load_fill(torch.float32) is None


def test_an_error_of_the_compiler_leaves_it_to_torch(monkeypatch):
    """A damaged cache of compiled code, say."""

    def fail(*_):
        raise EOFError("Ran out of input")

    monkeypatch.setattr(dropout_masks, "draw_compiled", fail)
    with pytest.warns(UserWarning, match="torch draws the dropout masks, .*: Ran out of input"):
        assert dropout_masks._load_fill(torch.float32) is None


def test_short_runs_do_not_load_it(monkeypatch):
    asked = []
    monkeypatch.setattr(dropout_masks, "compiled_fill", lambda dtype: asked.append(dtype) or dropout_masks.Future())
    monkeypatch.setattr(dropout_masks, "LOAD_AFTER", 1000)
    monkeypatch.setattr(dropout_masks, "_drawn", dropout_masks.Counter())
    like = torch.empty(())
    for _ in range(9):
        draw_published([(10, 11)], 0.9, like)
    assert not asked
    draw_published([(10, 1)], 0.9, like)
    assert asked == [torch.float32]


def test_on_another_device_its_own_generator_draws(monkeypatch):
    monkeypatch.setattr(dropout_masks, "LOAD_AFTER", 0)
    compiled_fill(torch.float32).result()
    (mask,) = draw_published([(3, 4)], 0.9, torch.empty((), device="meta"))
    assert mask.device.type == "meta" and mask.shape == (3, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cheap_masks_without_numba(dtype, monkeypatch):
    monkeypatch.setattr(dropout_masks, "has_numba", lambda: False)
    torch.manual_seed(3)
    shapes = [(300, 7, 11), (1,), (1000, 333)]
    masks = draw_cheaply(shapes, 0.9, torch.empty((), dtype=dtype))
    assert [tuple(m.shape) for m in masks] == shapes and {m.dtype for m in masks} == {dtype}
    large = masks[2].float()
    assert set(large.unique().tolist()) == {0.0, torch.tensor(1 / 0.9, dtype=dtype).item()}
    large = (large > 0).float()
    error = (0.9 * 0.1 / large.numel()) ** 0.5
    assert abs(large.mean().item() - 0.9) < 5 * error
    lag = [(large.flatten()[k:] * large.flatten()[:-k]).mean().item() - 0.81 for k in (1, 2, 3, 4, 333)]
    assert max(map(abs, lag)) < 6 * error  # neighbours, which come from one random number, do not hang together
    again = draw_cheaply(shapes, 0.9, torch.empty((), dtype=dtype))
    assert not torch.equal(again[2], masks[2])


def test_cheap_masks_with_numba_are_the_published_ones():
    pytest.importorskip("numba")
    torch.manual_seed(3)
    (cheap,) = draw_cheaply([(100, 7)], 0.9, torch.empty((), dtype=torch.bfloat16))
    torch.manual_seed(3)
    assert torch.equal(cheap, torchs_own([(100, 7)], torch.bfloat16)[0])
