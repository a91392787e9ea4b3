"""Dropout masks, scaled: 0, or 1 / keep with probability keep.

On a CPU torch's dropout takes two numbers of a Mersenne Twister for each element, one after another on one core, which
is a fifth of a training step. nets/mersenne_twister.py has the same generator in compiled code, ten times as fast: same
seed, same masks, same state afterwards. It takes two seconds to load, in a thread, which begins when torch has drawn
for some steps: short runs do without. Until it is ready, where numba is missing, and where torch draws in another way
(it does on Intel's processors), torch draws, and nobody can tell.
"""

import functools
import importlib.util
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

Fill = Callable[[np.ndarray, int, np.ndarray, np.uint64, np.generic], int]

STATE_WORDS = 624  # of the generator MT19937
# torch.Generator.get_state() of a CPU generator, in bytes: words left before the state is renewed, plus one (int32);
# the position of the next word (int64); the words, each in 64 bits.
LEFT, NEXT, WORDS = 8, 16, 24
UNIFORM_BITS = 53  # of a random number in [0, 1) that is compared with keep
LOAD_AFTER = 5e7  # numbers that torch has drawn, which takes it a quarter of a second
AS_BITS = {torch.bfloat16: torch.int16}  # types that numpy lacks, written as integers with the same bits


def draw_published(shapes: Sequence[tuple[int, ...]], keep: float, like: Tensor) -> list[Tensor]:
    """Masks from the numbers that torch's own dropout would take from its CPU generator, in its order.

    Not for several threads that draw at once. On another device the masks are those of that device's generator.

    Args:
        shapes: of the masks. keep: probability. like: a tensor of the masks' dtype and device.
    """
    sizes = [math.prod(shape) for shape in shapes]
    flat = like.new_empty(sum(sizes))
    fill = _fill_by_now(len(flat), like.dtype) if like.device.type == "cpu" else None
    if fill:
        draw_compiled(fill, flat, keep, torch.default_generator)
    else:
        flat.bernoulli_(keep).mul_(1 / keep)
    return _split(flat, sizes, shapes)


def draw_cheaply(shapes: Sequence[tuple[int, ...]], keep: float, like: Tensor) -> list[Tensor]:
    """Masks in the cheapest way: as above, and with its arguments, but on a CPU without numba four from one number."""
    if like.device.type != "cpu" or has_numba():
        return draw_published(shapes, keep, like)
    sizes = [math.prod(shape) for shape in shapes]  # 16 of 64 bits each; `keep` is rounded to 16 bits
    numbers = torch.empty((sum(sizes) + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = numbers.view(torch.int16)[: sum(sizes)] < round(keep * 2**16) - 2**15
    return _split(kept.to(like.dtype).mul_(1 / keep), sizes, shapes)


def _split(flat: Tensor, sizes: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    return [mask.view(shape) for mask, shape in zip(flat.split(sizes), shapes, strict=True)]


# --------------------------------------------------------------------------------------- torch's generator, compiled


@functools.cache
def has_numba() -> bool:
    """Whether there is something to compile with."""
    return importlib.util.find_spec("numba") is not None


_drawn = Counter()  # numbers by dtype


def _fill_by_now(count: int, dtype: torch.dtype) -> Fill | None:
    """What `draw_compiled` needs, if it is ready and there is one; `count` more numbers are to be drawn."""
    _drawn[dtype] += count
    if _drawn[dtype] < LOAD_AFTER:
        return None
    compiled = compiled_fill(dtype)
    return compiled.result() if compiled.done() else None


@functools.cache
def compiled_fill(dtype: torch.dtype) -> Future:
    """What `draw_compiled` needs for masks of a dtype, or None where there is none that draws as torch does.

    It is made ready in a thread. Whoever asks for the result waits for it.
    """
    thread = ThreadPoolExecutor(1)
    future = thread.submit(_load_fill, dtype)
    thread.shutdown(wait=False)
    return future


def _load_fill(dtype: torch.dtype) -> Fill | None:
    try:
        from nets.mersenne_twister import fill  # not before it is needed

        return fill if _draws_as_torch(fill, dtype) else None
    except ImportError:  # no numba, or one for another numpy
        return None
    except Exception as error:  # noqa: BLE001  whatever its compiler says, torch can draw; its cache may be damaged
        hint = "deleting nets/__pycache__ may help"
        warnings.warn(f"torch draws the dropout masks, which takes longer: {error}; {hint}", stacklevel=2)
        return None


def _draws_as_torch(fill: Fill, dtype: torch.dtype) -> bool:
    expected, found = (torch.Generator().manual_seed(0) for _ in range(2))
    expected_mask = torch.empty(2 * STATE_WORDS, dtype=dtype).bernoulli_(0.5, generator=expected).mul_(2)
    found_mask = torch.empty_like(expected_mask)
    draw_compiled(fill, found_mask, 0.5, found)
    return torch.equal(found_mask, expected_mask) and torch.equal(found.get_state(), expected.get_state())


def draw_compiled(fill: Fill, flat: Tensor, keep: float, generator: torch.Generator) -> None:
    """Fill `flat` (n,) with a mask, and move `generator` on, as `bernoulli_` does on a CPU."""
    if not len(flat):
        return
    state = generator.get_state()
    raw = state.numpy()
    left, following = raw[LEFT : LEFT + 4].view(np.int32), raw[NEXT : NEXT + 8].view(np.int64)
    words = raw[WORDS : WORDS + 8 * STATE_WORDS].view(np.uint64)
    key = words.astype(np.uint32)
    below = math.ceil(keep * 2**UNIFORM_BITS)  # u / 2^53 < keep for whole numbers u < this
    if flat.dtype in AS_BITS:
        bits = AS_BITS[flat.dtype]
        target, value = flat.view(bits).numpy(), flat.new_tensor(1 / keep).view(bits).numpy()[()]
    else:
        target = flat.numpy()
        value = target.dtype.type(1 / keep)
    position = fill(key, STATE_WORDS + 1 - int(left[0]), target, np.uint64(below), value)
    words[:] = key
    left[0], following[0] = STATE_WORDS + 1 - position, position
    generator.set_state(state)
