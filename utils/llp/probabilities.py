"""`probabilities.npz`: what a network says of the videos of a split, for every data set.

Axes: N videos, T_i seconds of video i, S of all videos, M = 2 modalities (audio, visual), C classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import atomic_path
from utils.llp.datasets import LLP, DataSet
from utils.llp.lengths import stated_lengths

FILE = "probabilities.npz"
BOUNDED = ("frame_prob", "video_prob")  # global_prob of HAN's pooling may exceed 1: its weights are normalised apart
ROUNDING = 1e-4  # by which those may leave 0 to 1: they are sums in float32
EXPECTED = "expected arrays by name, as main.py --save_predictions writes them"


class Probabilities(NamedTuple):
    """Of N videos, one after the other; only `lengths` must be there.

    Attributes:
        lengths: (N,) int, T_i.
        frame_prob: (S, M, C) in [0, 1], a class is heard, and seen, in a second.
        global_prob: (N, C), it is in the video. video_prob: (N, M, C), it is heard, and seen, in the video.
        frame_score: (S, C + 1), of each class and, last, of background. gate: (S,), logit that there is an event.
        event: (N, C), score of the video's event.
    """

    lengths: np.ndarray
    frame_prob: np.ndarray | None = None
    global_prob: np.ndarray | None = None
    video_prob: np.ndarray | None = None
    frame_score: np.ndarray | None = None
    gate: np.ndarray | None = None
    event: np.ndarray | None = None

    def arrays(self, dataset: DataSet) -> tuple[np.ndarray, np.ndarray]:
        """What is decided by: of the videos (N, C), or (N, M, C) if the data set has a gate for each modality; of the
        seconds (N, T, M, C), or (S, M, C) if videos differ in length.

        Raises InputError if one is missing.
        """
        if missing := self.missing(dataset):
            raise InputError(f"the probabilities have no {' and no '.join(missing)}, by which {dataset.name} decides")
        seconds = (-1, dataset.seconds) if dataset.seconds else (-1,)
        return getattr(self, gate_name(dataset)), self.frame_prob.reshape(*seconds, *self.frame_prob.shape[1:])

    def missing(self, dataset: DataSet) -> list[str]:
        """The names of what the data set decides by and is not there."""
        return [name for name in (gate_name(dataset), "frame_prob") if getattr(self, name) is None]

    def ragged(self, dataset: DataSet) -> np.ndarray | None:
        """The lengths, (N,) int, if videos differ in them."""
        return None if dataset.seconds else self.lengths


def gate_name(dataset: DataSet) -> str:
    """What decides which classes are in a video."""
    return "video_prob" if dataset.gate == "modality" else "global_prob"


def write_probabilities(path: Path, filenames: Sequence[str], probabilities: Probabilities) -> None:
    """Write a file that `read_probabilities` reads, atomically; filenames: N."""
    there = {name: array for name, array in probabilities._asdict().items() if array is not None}
    with atomic_path(path) as tmp, open(tmp, "wb") as file:
        np.savez(file, filename=np.array(filenames), **there)


def read_probabilities(path: Path, filenames: Sequence[str], dataset: DataSet = LLP) -> Probabilities:
    """What a file says of the N videos `filenames`, in their order. `lengths` may be missing if all are equally long.

    Raises InputError if the file is missing, damaged or lacks a video, or an array has another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, {EXPECTED}")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        names = [str(name) for name in found["filename"]]
    except Exception as error:  # damaged archives raise any of a dozen kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: {EXPECTED} ({reason:.200})") from error
    total = len(names)
    lengths = _lengths(path, found, names, dataset)
    places = {name: i for i, name in enumerate(names)}
    if len(places) < total:
        raise InputError(f"{path}: names a video twice; expected each once in `filename`")
    if missing := [name for name in filenames if name not in places]:
        raise InputError(f"{path}: says nothing of {len(missing)} of {len(filenames)} videos, such as {missing[0]}")
    arrays = _arrays(path, found, lengths, dataset)
    chosen = np.array([places[name] for name in filenames], np.int64)
    if chosen.tolist() != list(range(total)):
        starts = np.cumsum(lengths) - lengths
        rows = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in chosen])
        arrays = {k: a[rows if k in ("frame_prob", "frame_score", "gate") else chosen] for k, a in arrays.items()}
    return Probabilities(lengths[chosen], **arrays)


def _lengths(path: Path, found: Mapping[str, np.ndarray], names: Sequence[str], dataset: DataSet) -> np.ndarray:
    """Seconds of the N videos `names`, (N,) int.

    Raises InputError if they are missing, or not those of the data set.
    """
    total = len(names)
    known = dict.fromkeys(names, dataset.seconds) if dataset.seconds else stated_lengths(dataset)
    lengths = found.get("lengths", np.full(total, dataset.seconds) if dataset.seconds else None)
    if lengths is None:
        raise InputError(f"{path}: has no `lengths`, expected the seconds of each of its {total} videos")
    if lengths.shape != (total,) or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        what = f"`lengths` is {lengths.shape} {lengths.dtype}"
        raise InputError(f"{path}: {what}, expected a whole number of at least 1 for each of {total} videos")
    for name, seconds in zip(names, lengths.tolist(), strict=True):
        if known.get(name, seconds) != seconds:
            raise InputError(f"{path}: {name} has {seconds} seconds, but {known[name]} in {dataset.name}")
    return lengths.astype(np.int64)


def _arrays(path: Path, found: dict[str, np.ndarray], lengths: np.ndarray, dataset: DataSet) -> dict[str, np.ndarray]:
    """The arrays of a file, by name. Raises InputError if one has another shape, or holds no finite numbers."""
    N, S, C = len(lengths), int(lengths.sum()), len(dataset.classes)
    shapes = {"frame_prob": (S, 2, C), "global_prob": (N, C), "video_prob": (N, 2, C)}
    shapes |= {"frame_score": (S, C + 1), "gate": (S,), "event": (N, C)}
    arrays = {name: found[name] for name in shapes if name in found}
    if "frame_prob" in arrays and dataset.seconds and arrays["frame_prob"].ndim == 4:
        arrays["frame_prob"] = arrays["frame_prob"].reshape(-1, *arrays["frame_prob"].shape[2:])
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype.kind != "f":
            what = f"{name} is {array.shape} {array.dtype}"
            raise InputError(f"{path}: {what}, expected floats of shape {shapes[name]} for {dataset.name}")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds NaN or infinite numbers")
        if name in BOUNDED and np.abs(array - 0.5).max(initial=0) > 0.5 + ROUNDING:
            raise InputError(f"{path}: {name} holds numbers outside 0 to 1, expected probabilities")
    return arrays
