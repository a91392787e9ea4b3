"""`probabilities.npz`: what a network says of the videos of a split, for every data set.

Axes: N videos, T_i seconds of video i, S of all videos, M = 2 modalities (audio, visual), C classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.errors import InputError
from utils.base.files import atomic_path
from utils.llp.datasets import LLP, DataSet

FILE = "probabilities.npz"
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
        name = "video_prob" if dataset.gate == "modality" else "global_prob"
        if missing := [key for key in (name, "frame_prob") if getattr(self, key) is None]:
            raise InputError(f"the probabilities have no {' and no '.join(missing)}, by which {dataset.name} decides")
        seconds = (-1, dataset.seconds) if dataset.seconds else (-1,)
        return getattr(self, name), self.frame_prob.reshape(*seconds, *self.frame_prob.shape[1:])

    def ragged(self, dataset: DataSet) -> np.ndarray | None:
        """The lengths, (N,) int, if videos differ in them."""
        return None if dataset.seconds else self.lengths


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
        total = len(names)
        default = np.full(total, dataset.seconds) if dataset.seconds else None
        lengths = np.asarray(found.get("lengths", default)).astype(np.int64)
        if lengths.shape != (total,) or (lengths < 1).any():
            raise ValueError(f"lengths of {total} videos are {lengths.shape}")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{path}: {EXPECTED} ({str(error) or type(error).__name__:.200})") from error
    places = {name: i for i, name in enumerate(names)}
    if missing := [name for name in filenames if name not in places]:
        raise InputError(f"{path}: says nothing of {len(missing)} of {len(filenames)} videos, such as {missing[0]}")
    if len(places) < total:
        raise InputError(f"{path}: names a video twice")
    arrays = _arrays(path, found, lengths, dataset)
    chosen = np.array([places[name] for name in filenames], np.int64)
    if chosen.tolist() != list(range(total)):
        starts = np.cumsum(lengths) - lengths
        rows = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in chosen])
        arrays = {k: a[rows if k in ("frame_prob", "frame_score", "gate") else chosen] for k, a in arrays.items()}
    return Probabilities(lengths[chosen], **arrays)


def _arrays(path: Path, found: dict[str, np.ndarray], lengths: np.ndarray, dataset: DataSet) -> dict[str, np.ndarray]:
    """The arrays of a file, by name. Raises InputError if one has another shape, or holds no finite numbers."""
    N, S, C = len(lengths), int(lengths.sum()), len(dataset.classes)
    shapes = {"frame_prob": (S, 2, C), "global_prob": (N, C), "video_prob": (N, 2, C)}
    shapes |= {"frame_score": (S, C + 1), "gate": (S,), "event": (N, C)}
    arrays = {name: found[name] for name in shapes if name in found}
    if "frame_prob" in arrays and dataset.seconds and arrays["frame_prob"].ndim == 4:
        arrays["frame_prob"] = arrays["frame_prob"].reshape(-1, *arrays["frame_prob"].shape[2:])
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype.kind != "f" or not np.isfinite(array).all():
            what = f"{name} is {array.shape} {array.dtype}"
            raise InputError(f"{path}: {what}, expected finite numbers of shape {shapes[name]} for {dataset.name}")
    return arrays
