"""Dividing videos into train, val and test."""

from collections.abc import Sequence

import numpy as np

from utils.base.errors import InputError
from utils.llp.names import TIMED_NAME

SEED = 1


def split_by_recording(videos: Sequence[str], shares: Sequence[float]) -> list[list[str]]:
    """The videos of each part. Clips of one recording stay together: a network would know it from the training.

    Args:
        videos: their names; those of clips end in times.
        shares: how the recordings are divided, such as 6, 2, 2. Chance decides which goes where, the same in each run.

    Raises InputError if a part would be empty.
    """
    clips = {video: TIMED_NAME.fullmatch(video) for video in videos}
    recordings = {video: clip["id"] if clip else video for video, clip in clips.items()}
    names = sorted(set(recordings.values()))
    order = np.random.default_rng(SEED).permutation(len(names))
    ends = np.rint(np.cumsum(shares) / sum(shares) * len(names)).astype(int)
    counts = np.diff(ends, prepend=0)
    if (counts < 1).any():
        found = f"{len(names)} recordings with events, of which {', '.join(map(str, counts))} would go to the lists"
        raise InputError(f"--split {' '.join(f'{x:g}' for x in shares)}: {found}; expected at least one for each")
    part = {names[k]: int(np.searchsorted(ends, place, side="right")) for place, k in enumerate(order)}
    return [[video for video, recording in recordings.items() if part[recording] == p] for p in range(len(shares))]
