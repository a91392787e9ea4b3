"""stub"""

import numpy as np


def argmax_accuracy(s, t):
    return 100 * float((s.argmax(1) == t).mean())


def decisions(e, g):
    S, C = len(g), e.shape[1]
    c = np.repeat(e.argmax(1), S // len(e))
    return (np.arange(C) == c[:, None]) & (g > 0)[:, None]


def gate_accuracy(e, g, t):
    c = np.repeat(e.argmax(1), len(g) // len(e))
    return 100 * float((np.where(1 / (1 + np.exp(-g)) > 0.5, c, e.shape[1]) == t).mean())


def event_accuracy(d, t):
    return 100 * float((np.where(d.any(1), d.argmax(1), d.shape[1]) == t).sum() / (len(t) + 1e-8))


def floors(t, v, n):
    return {
        "floor_background": 100 * float((t == t.max()).mean()),
        "floor_true_class": 100 * float((t == np.repeat(v, n)).mean()),
    }
