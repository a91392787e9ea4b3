"""The table of feature kinds: the data set, downloads, extractors, the parser and the synthetic data read it.

A new encoder is a row of KINDS and the file in utils/encoders that the row names. Axes: T = 10 segments, D size of a
feature vector, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.npy import Layout
from utils.features.pooling import pool_clap_map, pool_evenly, pool_frames
from utils.llp.classes import FPS, C, T
from utils.llp.datasets import LLP, STREAMS, DataSet  # noqa: F401 (STREAMS: a name of this module, too)
from utils.llp.pseudo_labels import label_layout

CLAP_EMBEDDING = 512  # numbers of CLAP's embedding of a second
LABELS = {"pseudo_a": "CLAP/segment_pseudo_labels", "pseudo_v": "CLIP/segment_pseudo_labels"}  # kind -> folder in data/
LOGITS = {"logits_a": "CLAP/logits", "logits_v": "CLIP/logits"}  # the same, of which a recipe makes labels


class FeatureKind(NamedTuple):
    """One kind of feature, a `.npy` file of (rows, size) float32 for each video."""

    name: str  # on the command line and in file names
    title: str  # in messages
    folder: str  # of its files, below data/
    stream: str  # the input of the network that it is for, one of STREAMS
    rows: int  # of a file as published
    size: int  # of a feature vector as published
    rate: int  # of the encoder's input: audio samples a second, or frames a second
    encoder: str  # module of utils/encoders whose `load` returns the network
    # turns (rows, size) into (T, size); None if the file has a row for each segment
    pool: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def layout(self) -> Layout:
        """What a published file of this kind holds."""
        return Layout((self.rows,), self.size, np.float32, f"{self.title} features")


KINDS = {
    kind.name: kind
    for kind in (
        FeatureKind("vggish", "VGGish", "feats/vggish", "audio", T, 128, 16000, "vggish"),
        FeatureKind("res152", "ResNet-152", "feats/res152", "visual", FPS * T, 2048, FPS, "visual", pool_frames),
        FeatureKind("r2plus1d_18", "R(2+1)D-18", "feats/r2plus1d_18", "visual_st", T, 512, FPS, "visual"),
        FeatureKind("CLIP", "CLIP", "CLIP/features", "visual", T, 768, 1, "clip"),
        FeatureKind("CLAP", "CLAP", "CLAP/features", "audio", 64, 768, 48000, "clap", pool_clap_map),
    )
}


def kinds_of(stream: str) -> list[FeatureKind]:
    """The kinds that one input of the network can take."""
    return [kind for kind in KINDS.values() if kind.stream == stream]


def stream_layout(stream: str, dataset: DataSet = LLP) -> Layout:
    """What a file for one input of the network may hold: a known number of rows, of any size.

    Of videos of ten seconds these are the rows of `KINDS`; of others those of the same kinds, as far as they have a
    whole number of rows a second, which CLAP's map of ten seconds has not; and those that the data set names. Videos
    that differ in length may have any number of rows. Unless the data set says so, spatio-temporal features have one
    size, since the published networks have.
    """
    kinds, own = kinds_of(stream), dataset.rates(stream)
    title = {"visual_st": "spatio-temporal"}.get(stream, stream)
    size = kinds[0].size if stream == "visual_st" and not own else None
    rows = ()
    if seconds := dataset.seconds:
        published = (kind.rows * seconds / T for kind in kinds if seconds == T or kind.rows % T == 0)
        rows = tuple(dict.fromkeys(map(round, (seconds, *published, *(rate * seconds for rate in own.values())))))
    return Layout(rows, size, np.float32, f"{title} features")


def file_layout(kind: FeatureKind, seconds: int | None) -> Layout:
    """What a file of a kind holds for videos of so many seconds, or, if that is None, of any number.

    Raises InputError for CLAP's map of ten seconds, if that is not what they have.
    """
    if seconds == T:
        return kind.layout
    if kind.rows % T:
        raise InputError(f"{kind.name} features cover {T} seconds; expected --per_second for videos of other lengths")
    return kind.layout._replace(rows=(kind.rows // T * seconds,) if seconds else ())


def pool(array: np.ndarray, seconds: int = T) -> np.ndarray:
    """Features of any kind, or labels: (rows, D) -> (T, D). Of ten seconds, the number of rows tells the kind."""
    by_rows = {kind.rows: kind.pool for kind in KINDS.values() if kind.pool and seconds == T}
    if len(array) == seconds:
        return array
    if len(array) in by_rows:
        return by_rows[len(array)](array)
    return pool_evenly(array, seconds) if len(array) % seconds else pool_frames(array, seconds)


def folder_layouts(num_classes: int = C) -> dict[str, Layout]:
    """Every published folder of `<id>.npy` below data/, features and pseudo labels, and what its files hold."""
    features = {kind.folder: kind.layout for kind in KINDS.values()}
    return features | dict.fromkeys(LABELS.values(), label_layout(num_classes))
