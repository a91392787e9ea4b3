"""Simulated videos in LLP's form: tracks, features in which they can be seen, and two teachers that err.

Axes: N videos, C classes, T segments, D size of a feature vector. Modalities: 0 audio, 1 visual. All numbers of a block
of videos follow from the seed, the split and the block's place, so that more videos leave the first ones as they are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.features.kinds import KINDS, FeatureKind, pool
from utils.features.pooling import pool_clap_map
from utils.llp.classes import CLASSES, TEACHER_THRESHOLDS, EventClass, T, class_names
from utils.llp.names import ID_LENGTH
from utils.llp.pseudo_labels import pseudo_labels
from utils.simulation.posterior import Posterior, posterior
from utils.simulation.statistics import Statistics, draw_tracks, read_statistics

BASE = ("vggish", "res152", "r2plus1d_18")  # kinds that LLP itself is published with
LOGIT_NOISE = 1.5  # standard deviation of a teacher's logit, about that of CLIP's and CLAP's
BLOCK = 64  # videos that are drawn together


class Teacher(NamedTuple):
    """The dials of a simulated teacher. Perfect: a large separation, no errors, no leak."""

    separation: float  # d': distance of the logits of present and absent, in standard deviations of their noise
    errors: float  # probability that a class of a video is the wrong way round in all its segments together
    leak: float  # 0 to 1: how far the mean logit is pulled from what its own modality says to what the other one says


class Dials(NamedTuple):
    """A world: how clear the features are, and how good the teachers."""

    snr_audio: float  # d' of a class in a segment, from all audio features of the segment together
    snr_visual: float  # the same, from both visual inputs of the network together
    audio: Teacher
    visual: Teacher


# In both worlds the teachers score what CLAP's and CLIP's labels score on LLP's test videos, found by
# benchmarks/calibrate_simulation.py. In the first the visual teacher mostly takes what is heard
# for seen; in the second both are wrong about whole videos more often.
WORLDS = {
    "llp": Dials(3.0, 3.0, Teacher(2.01, 0.02, 0.0), Teacher(3.24, 0.05, 0.4)),
    "llp2": Dials(2.5, 3.5, Teacher(2.65, 0.1, 0.0), Teacher(2.49, 0.1, 0.1)),
}


class Videos(NamedTuple):
    """N simulated videos, and all that LLP and its teachers would say of them, and more."""

    filenames: list[str]
    tracks: np.ndarray  # (N, 2, C, T) bool: the truth
    logits: np.ndarray  # (N, 2, T, C) float32: of the audio and the visual teacher
    pseudo: np.ndarray  # (N, 2, T, C) int64: their pseudo labels
    features: dict[str, np.ndarray]  # kind -> (N, rows, D) float32

    @property
    def weak(self) -> np.ndarray:
        """(N, C) bool: the classes that are heard or seen."""
        return self.tracks.any(axis=(1, 3))


def video_names(split: str, first: int, count: int) -> list[str]:
    """Names of LLP's form, `train000007_0_10`, that say which video of which split it is."""
    return [f"{split}{i:0{ID_LENGTH - len(split)}d}_0_10" for i in range(first, first + count)]


def teacher_logits(rng: np.random.Generator, tracks: np.ndarray, teachers: Sequence[Teacher]) -> np.ndarray:
    """(N, 2, T, C) float64 logits around thresholds of zero, from (N, 2, C, T) tracks."""
    logits = np.empty(tracks.transpose(0, 1, 3, 2).shape)
    for m, teacher in enumerate(teachers):
        wrong = rng.random((*tracks.shape[:1], 1, tracks.shape[2])) < teacher.errors  # (N, 1, C)
        own, other = (tracks[:, i].transpose(0, 2, 1) for i in (m, 1 - m))
        pulled = (1 - teacher.leak) * (own ^ wrong) + teacher.leak * other
        logits[:, m] = teacher.separation * (pulled - 0.5) + rng.standard_normal(own.shape)
    return LOGIT_NOISE * logits


def _number(kind: FeatureKind) -> int:
    """Of the random numbers of a kind, which further kinds in KINDS do not change; 0 are those of the tracks."""
    return 1 + list(KINDS).index(kind.name)


class World:
    """Everything that videos are drawn from: a few numbers, statistics of tracks, and a direction for each class.

    Given its tracks, a row of features of a segment is the sum of the orthonormal directions of the classes that are
    heard (audio) or seen (visual) in it, times an amplitude, plus white noise of variance 1 in each number. In the mean
    of the rows of a segment, a class that is there and one that is not so differ by snr_audio standard deviations in an
    audio kind, and by snr_visual / sqrt(2) in a visual one, of which the network takes two. CLAP's rows are spread
    evenly over the segments; its pooling, which overlaps, makes them a little less clear.
    """

    def __init__(
        self,
        dials: Dials = WORLDS["llp"],
        statistics: Statistics | None = None,
        seed: int = 0,
        kinds: Sequence[FeatureKind] = tuple(KINDS[name] for name in BASE),
        classes: Sequence[EventClass] = CLASSES,
    ):
        """statistics: if not given, those of LLP. Raises InputError if they, or the kinds, do not fit the classes."""
        self.dials, self.seed, self.kinds, self.classes = dials, seed, kinds, tuple(classes)
        self.statistics = statistics or read_statistics(class_names=class_names(classes))
        self.thresholds = np.array(
            [[getattr(c, name) for c in classes] for name in TEACHER_THRESHOLDS.values()]
        )  # (2, C)
        if np.isinf(self.thresholds).any():
            raise InputError("a class has a threshold of -inf, around which no logits can lie; expected a number")
        self.directions = {}
        for kind in kinds:
            if kind.size < len(classes):
                found = f"features of size {kind.size} and {len(classes)} classes"
                raise InputError(f"{kind.name}: {found}, expected no more classes than numbers in a feature")
            noise = self._rng(0, 0, _number(kind)).standard_normal((kind.size, len(classes)))
            self.directions[kind.name] = np.linalg.qr(noise)[0].T.astype(np.float32)  # (C, D)

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *place])

    def amplitude(self, kind: FeatureKind) -> float:
        """The length of a class's direction in one row of features."""
        snr = self.dials.snr_audio if kind.stream == "audio" else self.dials.snr_visual / np.sqrt(2)
        return snr / np.sqrt(kind.rows / T)

    def blocks(self, split: str, count: int) -> Iterator[Videos]:
        """The first `count` videos of a split, BLOCK or fewer at a time."""
        for block, first in enumerate(range(0, count, BLOCK)):
            place = (1 + ("train", "val", "test").index(split), block)
            rng = self._rng(*place)
            tracks = draw_tracks(rng, self.statistics, BLOCK)
            logits = teacher_logits(rng, tracks, self.dials[2:]) + self.thresholds[:, None]
            n = min(BLOCK, count - first)
            tracks, logits = tracks[:n], logits[:n].astype(np.float32)
            weak = tracks.any(axis=(1, 3))
            pseudo = np.stack([pseudo_labels(logits[:, m], weak, self.thresholds[m]) for m in (0, 1)], axis=1)
            rngs = {kind: self._rng(*place, _number(kind)) for kind in self.kinds}
            features = {kind.name: self._features(rng, kind, tracks) for kind, rng in rngs.items()}
            yield Videos(video_names(split, first, n), tracks, logits, pseudo, features)

    def _features(self, rng: np.random.Generator, kind: FeatureKind, tracks: np.ndarray) -> np.ndarray:
        """(N, rows, D) float32 features of (N, 2, C, T) tracks."""
        segments = tracks[:, 0 if kind.stream == "audio" else 1].transpose(0, 2, 1).astype(np.float32)  # (N, T, C)
        steps = 2 if kind.pool is pool_clap_map else 1  # frequency rows, each with all time steps
        segment = np.tile(np.arange(kind.rows // steps) * T * steps // kind.rows, steps)  # of each row
        means = np.float32(self.amplitude(kind)) * (segments @ self.directions[kind.name])
        features = rng.standard_normal((len(tracks), kind.rows, kind.size), np.float32)
        features += means[:, segment]
        return features

    def videos(self, split: str, count: int) -> Videos:
        """The first `count` videos of a split in memory, features pooled to T rows (110 kB a video)."""
        blocks = []
        for block in self.blocks(split, count):
            pooled = {name: np.stack([pool(video) for video in array]) for name, array in block.features.items()}
            blocks.append(block._replace(features=pooled))
        features = {kind.name: np.concatenate([b.features[kind.name] for b in blocks]) for kind in self.kinds}
        arrays = [np.concatenate(parts) for parts in zip(*(b[1:4] for b in blocks), strict=True)]
        return Videos([name for b in blocks for name in b.filenames], *arrays, features)

    def posterior(self, features: dict[str, np.ndarray]) -> Posterior:
        """What can be known of the tracks of N videos from their base features, kind -> (N, rows, D), pooled or not.

        It is the exact posterior of one who knows this world, but no weak labels and no other features.
        """
        ratios = np.zeros((len(next(iter(features.values()))), 2, *self.thresholds.shape[1:], T))  # (N, 2, C, T)
        for kind in self.kinds:
            if kind.name in BASE:
                rows = kind.rows / T  # of a segment: their mean times their number is all that counts
                amplitude = self.amplitude(kind)
                seen = np.stack([pool(video) for video in features[kind.name]]) @ self.directions[kind.name].T
                modality = 0 if kind.stream == "audio" else 1
                ratios[:, modality] += rows * amplitude * (seen.transpose(0, 2, 1) - amplitude / 2)
        return posterior(ratios, self.statistics)
