"""What LLP's label tracks are like, as counts: which classes occur together, and when each is heard and seen.

Axes: N videos, C classes, T segments, G sets of classes, M modes, K parts. A track is the (T,) bool of one class in one
modality of a video; it is empty, whole (all T segments), or a part. A mode says this of both tracks of a class.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from utils.base.errors import InputError
from utils.base.files import read_text, write_text
from utils.llp.annotations import REFERENCE_FILES, dense_video_names, read_reference
from utils.llp.classes import CLASS_NAMES, T
from utils.llp.datasets import LLP
from utils.llp.events import read_events

LLP_STATISTICS = Path(__file__).with_name("llp_statistics.yaml")
NONE, WHOLE, PART = 0, 1, 2
# (audio, visual) of each mode; two parts are the same in SAME, and differ in DIFFERENT
MODES = tuple((a, v) for a in (NONE, WHOLE, PART) for v in (NONE, WHOLE, PART) if a or v) + ((PART, PART),)
SAME, DIFFERENT = len(MODES) - 2, len(MODES) - 1
PRIOR = 2.0  # videos' worth of the mean over classes that the modes of each class are smoothed with
SCALINGS, TINY = 10, 1e-300
BITS = 2 ** np.arange(T)


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Counts that the tracks of simulated videos are drawn from.

    What they keep: the joint distribution of a video's classes; of each class the shares of heard only, seen only and
    both, of whole videos in each of these cases, and of equal tracks; of all parts together their place, length and
    number of runs in each modality, and how much two parts overlap that differ. What they leave out: parts of
    different classes are independent, parts are of the same kind in all classes and modes, and so are modes of
    different classes of a video.
    """

    class_names: tuple[str, ...]
    sets: np.ndarray  # (G, C) bool, distinct
    set_counts: np.ndarray  # (G,) int
    mode_counts: np.ndarray  # (C, M) int, in the order of MODES
    parts: np.ndarray  # (K, T) bool, distinct
    part_counts: np.ndarray  # (2, K) int: as audio, as visual track
    overlap: float  # mean intersection over union of the audio and the visual part of a class, if they differ

    @functools.cached_property
    def set_shares(self) -> np.ndarray:
        """(G,) float64: probability of each set of classes."""
        return self.set_counts / self.set_counts.sum()

    @functools.cached_property
    def mode_shares(self) -> np.ndarray:
        """(C, M) float64: probabilities of the modes of a class that is in the video, slightly smoothed."""
        mean = self.mode_counts.sum(axis=0) / self.mode_counts.sum()
        counts = self.mode_counts + PRIOR * mean
        return counts / counts.sum(axis=1, keepdims=True)

    @functools.cached_property
    def part_shares(self) -> np.ndarray:
        """(3, K) float64: probabilities of the parts as audio tracks, as visual tracks, and as tracks of both."""
        counts = np.concatenate([self.part_counts, self.part_counts.sum(axis=0, keepdims=True)])
        return counts / counts.sum(axis=1, keepdims=True)

    @functools.cached_property
    def pair_shares(self) -> np.ndarray:
        """(K, K) float64: probabilities of two parts of a class, audio and visual, that differ.

        Proportional to x[i] y[j] exp(b IoU[i, j]), i != j, with x and y such that the sums of rows and columns are the
        `part_shares`, and b such that the mean IoU is `overlap`.
        """
        audio, visual, _ = self.part_shares
        iou, low, high = _iou(self.parts[:, None], self.parts), -32.0, 32.0
        for _ in range(24):
            middle = (low + high) / 2
            pairs = np.exp(middle * iou) * (1 - np.eye(len(iou)))
            for _ in range(SCALINGS):
                pairs *= (audio / np.maximum(pairs.sum(axis=1), TINY))[:, None]
                pairs *= visual / np.maximum(pairs.sum(axis=0), TINY)
            pairs /= pairs.sum()
            low, high = (middle, high) if (pairs * iou).sum() < self.overlap else (low, middle)
        return pairs


def _iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union along the last axis, of (..., T) bool tracks that are not empty."""
    return (one & other).sum(axis=-1) / (one | other).sum(axis=-1)


def measure(tracks: np.ndarray, class_names: Sequence[str] = CLASS_NAMES) -> Statistics:
    """The statistics of (N, 2, C, T) bool tracks, audio and visual.

    Raises InputError if no class has an audio and a visual part that differ.
    """
    present = tracks.any(axis=(1, 3))  # (N, C)
    sets, set_counts = np.unique(present[present.any(axis=1)], axis=0, return_counts=True)
    kind = np.where(tracks.all(axis=3), WHOLE, np.where(tracks.any(axis=3), PART, NONE))  # (N, 2, C)
    same = (tracks[:, 0] == tracks[:, 1]).all(axis=2)
    modes = np.select([(kind[:, 0] == a) & (kind[:, 1] == v) for a, v in MODES], np.arange(len(MODES)), -1)
    modes[(modes == SAME) & ~same] = DIFFERENT
    mode_counts = np.stack([(modes == m).sum(axis=0) for m in range(len(MODES))], axis=1)
    codes = [(tracks[:, m] @ BITS)[kind[:, m] == PART] for m in (0, 1)]
    parts = np.unique(np.concatenate(codes))
    part_counts = np.stack([(c[:, None] == parts).sum(axis=0) for c in codes])
    differ = modes == DIFFERENT
    if not differ.any():
        raise InputError("no class is heard and seen in different parts of a video; give annotations of more videos")
    overlap = float(_iou(tracks[:, 0][differ], tracks[:, 1][differ]).mean())
    parts = parts[:, None] & BITS > 0
    return Statistics(tuple(class_names), sets, set_counts, mode_counts, parts, part_counts, overlap)


def measure_folder(folder: Path, class_names: Sequence[str] = CLASS_NAMES) -> Statistics:
    """The statistics of the two reference CSVs in `folder`: of the videos of its val and test CSVs, else of all named.

    Raises InputError if a file is missing or wrong, or says too little.
    """
    dataset = LLP.named(class_names)
    named = {n for name in REFERENCE_FILES.values() for n in read_events(Path(folder) / name, dataset).filename}
    filenames = sorted(dense_video_names(folder) or named)
    reference = read_reference(folder, filenames, dataset)
    try:
        return measure(np.stack([reference.audio, reference.visual], axis=1), class_names)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write the counts as YAML, atomically: aggregate numbers only, no video."""
    rows = zip(statistics.sets, statistics.set_counts, strict=True)
    sets = [[int(count), *np.flatnonzero(row).tolist()] for row, count in rows]
    codes = (statistics.parts @ BITS).tolist()
    value = {
        "class_names": list(statistics.class_names),
        "sets": sorted(sets, reverse=True),
        "modes": statistics.mode_counts.tolist(),
        "parts": [[code, *counts] for code, counts in zip(codes, statistics.part_counts.T.tolist(), strict=True)],
        "overlap": round(statistics.overlap, 4),
    }
    head = "# Counts of LLP's val and test annotations; utils/simulation/statistics.py says what they are.\n"
    head += "# sets: videos, indices of their classes; modes: a row a class; parts: sum of 2**second, audio, visual.\n"
    write_text(path, head + yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=120))


def read_statistics(path: Path = LLP_STATISTICS, class_names: Sequence[str] = CLASS_NAMES) -> Statistics:
    """What `write_statistics` wrote. Raises InputError if the file is of other classes."""
    value = yaml.safe_load(read_text(path, "expected statistics of label tracks"))
    if value["class_names"] != list(class_names):
        raise InputError(f"{path.name}: statistics of other classes; give --statistics_from DIR with their annotations")
    sets = np.zeros((len(value["sets"]), len(class_names)), bool)
    for row, (_, *classes) in zip(sets, value["sets"], strict=True):
        row[classes] = True
    codes, *part_counts = np.array(value["parts"]).T
    counts = np.array([row[0] for row in value["sets"]])
    modes, parts = np.array(value["modes"]), codes[:, None] & BITS > 0
    return Statistics(tuple(class_names), sets, counts, modes, parts, np.stack(part_counts), value["overlap"])


def draw_tracks(rng: np.random.Generator, statistics: Statistics, count: int) -> np.ndarray:
    """(count, 2, C, T) bool: the audio and visual tracks of random videos; each video has a class at least."""
    present = statistics.sets[rng.choice(len(statistics.sets), count, p=statistics.set_shares)]
    video, label = np.nonzero(present)
    ends = statistics.mode_shares.cumsum(axis=1)[label]
    mode = np.minimum((rng.random((len(label), 1)) > ends).sum(axis=1), len(MODES) - 1)  # the last end is 1 or nearly
    *alone, both = (rng.choice(len(share), len(label), p=share) for share in statistics.part_shares)
    pairs = rng.choice(statistics.pair_shares.size, len(label), p=statistics.pair_shares.ravel())
    pairs = np.divmod(pairs, len(statistics.parts))
    tracks = np.zeros((count, 2, len(statistics.class_names), T), bool)
    for m in (0, 1):
        kind, part = np.array(MODES)[mode, m], np.select([mode == SAME, mode == DIFFERENT], [both, pairs[m]], alone[m])
        tracks[video, m, label] = (kind == WHOLE)[:, None] | (kind == PART)[:, None] & statistics.parts[part]
    return tracks
