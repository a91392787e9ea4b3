"""The generator MT19937 in compiled code, and dropout masks from it. Needs numba.

Source: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.
"""

import numba
import numpy as np

from nets.dropout_masks import STATE_WORDS, UNIFORM_BITS

SHIFT = 397  # the distance that the state recurs over
UPPER, LOWER, TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
ONE, HIGH, WORD = np.uint32(1), np.uint32(2 ** (UNIFORM_BITS - 32) - 1), np.uint64(32)


def _jit(function):
    """Compile once a machine, or, where compiled code cannot be kept, once a process."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(nogil=True)(function)


@_jit
def temper(key, words):
    """The random numbers that a state gives, (624,) uint32 both."""
    for i in range(STATE_WORDS):
        y = key[i]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        words[i] = y ^ (y >> np.uint32(18))


@_jit
def renew(key):
    """The next state, in place."""
    for i in range(STATE_WORDS - SHIFT):
        y = (key[i] & UPPER) | (key[i + 1] & LOWER)
        key[i] = key[i + SHIFT] ^ (y >> ONE) ^ (TWIST * (y & ONE))
    for i in range(STATE_WORDS - SHIFT, STATE_WORDS - 1):
        y = (key[i] & UPPER) | (key[i + 1] & LOWER)
        key[i] = key[i + SHIFT - STATE_WORDS] ^ (y >> ONE) ^ (TWIST * (y & ONE))
    y = (key[STATE_WORDS - 1] & UPPER) | (key[0] & LOWER)
    key[STATE_WORDS - 1] = key[SHIFT - 1] ^ (y >> ONE) ^ (TWIST * (y & ONE))


@_jit
def choose(words, target, below, value):
    """target[i] = value where the i-th pair of words, upper bits first, is a number below `below`, else 0."""
    zero = value - value
    for i in range(len(target)):
        number = (np.uint64(words[2 * i] & HIGH) << WORD) | np.uint64(words[2 * i + 1])
        target[i] = value if number < below else zero


@_jit
def fill(key, position, target, below, value):
    """Fill `target` from the numbers at `position` on, each of two words; the state moves on.

    Args:
        key: (624,) uint32, the state. position: 0..624, of the next word. target: (n,). below: uint64, of 53 bits.
        value: of target's dtype.

    Returns:
        the position afterwards.
    """
    words = np.empty(STATE_WORDS, np.uint32)
    pair = np.empty(2, np.uint32)
    temper(key, words)
    done = 0
    while done < len(target):
        pairs = min((STATE_WORDS - position) // 2, len(target) - done)
        choose(words[position:], target[done : done + pairs], below, value)
        done, position = done + pairs, position + 2 * pairs
        if done == len(target):
            break
        pair[0] = words[STATE_WORDS - 1]
        renew(key)
        temper(key, words)
        if position == STATE_WORDS:
            position = 0
        else:  # a number across two states
            pair[1] = words[0]
            choose(pair, target[done : done + 1], below, value)
            done, position = done + 1, 1
    return position
