"""What labels mean: which whole segments an event covers, and which modality a name says.

The rule of rounding is `whole_segments`; docs/OWN_DATA.md says it in the words of a user.
"""

import collections
import math
import re
from collections.abc import Iterable

HALF = 0.5 - 1e-6  # of a segment; times are decimal fractions, which floats only nearly are
AUDIO, VISUAL = "audio", "visual"
# words of a tier's or control's name, or before the colon of a label, that say the modality
WORDS = {"audio": AUDIO, "sound": AUDIO, "heard": AUDIO, "visual": VISUAL, "picture": VISUAL, "seen": VISUAL}
BOTH = {"both", "av", "audiovisual"}

Interval = tuple[float, float]


def join(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times, in order, without overlap: intervals that overlap or touch become one."""
    joined: list[Interval] = []
    for onset, offset in sorted(intervals):
        if joined and onset <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], offset))
        else:
            joined.append((onset, offset))
    return joined


def whole_segments(intervals: Iterable[Interval]) -> set[int]:
    """The segments that an event covers; times are in segments, of which number k lasts from k to k + 1.

    A segment counts if at least half of it is covered. An interval that covers half of no segment counts in the one
    that it covers most, of two alike in the first.
    """
    intervals = join(intervals)
    covered = collections.Counter()
    parts = []
    for onset, offset in intervals:
        own = {k: min(offset, k + 1) - max(onset, k) for k in range(math.floor(onset), math.ceil(offset))}
        covered.update(own)
        parts.append(own)
    half = {k for k, part in covered.items() if part >= HALF}
    short = [own for own in parts if not half & own.keys()]
    return half | {max(own, key=lambda k: (round(own[k], 6), -k)) for own in short}


def modalities_of(text: str) -> set[str]:
    """Which modalities a name says: `audio`, `visual`, both or neither. Words are told by signs and capital letters."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)}
    return {AUDIO, VISUAL} if words & BOTH else {WORDS[word] for word in words & WORDS.keys()}


def count_runs(segments: set[int]) -> int:
    """How many runs of consecutive numbers there are."""
    return sum(k - 1 not in segments for k in segments)
