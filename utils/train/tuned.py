"""`thresholds.json` of a run: the decision thresholds that were chosen on validation videos."""

import hashlib
import json
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.base.files import read_text, write_json
from utils.llp.annotations import Reference
from utils.llp.datasets import DataSet
from utils.llp.probabilities import Probabilities
from utils.metrics.decision_thresholds import Thresholds, choose_thresholds
from utils.metrics.protocols import main_score
from utils.train import checkpoint

FILE = "thresholds.json"
HOW = "choose them with --mode val --tune_thresholds"


def _digest(folder: Path) -> str:
    return hashlib.sha256((Path(folder) / checkpoint.BEST).read_bytes()).hexdigest()


def choose(folder: Path, said: Probabilities, dataset: DataSet, reference: Reference, per_class: bool) -> Thresholds:
    """Choose thresholds on the videos of `reference` for the run's best checkpoint, and write them to its folder.

    said: what the checkpoint says of these videos.
    """
    truth = reference.audio, reference.visual
    thresholds, score = choose_thresholds(
        *said.arrays(dataset), *truth, per_class, said.ragged(dataset), dataset.av_only
    )
    found = {main_score(dataset): score, "checkpoint": _digest(folder)}
    write_json(Path(folder) / FILE, plain(thresholds)["thresholds"] | found)
    return thresholds


def read(folder: Path, num_classes: int) -> Thresholds:
    """What `choose` wrote. Raises InputError if there is no such file, it is damaged, or of another checkpoint."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; {HOW}")
    try:
        values = json.loads(read_text(path, "expected thresholds of a run", 2**20))
        found = Thresholds(*(np.asarray(values[name], float) for name in Thresholds._fields))
        is_right = all(x.shape in ((), (num_classes,)) and (0 < x).all() and (x < 1).all() for x in found)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_right = False
    if not is_right:
        raise InputError(f"{path}: expected video and segment thresholds between 0 and 1, one or {num_classes}; {HOW}")
    if values.get("checkpoint") != _digest(folder):
        raise InputError(f"{path}: was chosen for another {checkpoint.BEST}; {HOW} again")
    return found


def plain(thresholds: Thresholds) -> dict[str, dict[str, float | list[float]]]:
    """Thresholds as JSON has them."""
    return {"thresholds": {name: np.asarray(value).tolist() for name, value in thresholds._asdict().items()}}


def describe(folder: Path, thresholds: Thresholds) -> str:
    """Thresholds in one line."""
    if any(np.ndim(x) for x in thresholds):
        return f"one for each class, in {Path(folder) / FILE}"
    return f"video {float(thresholds.video):.2f}, segment {float(thresholds.segment):.2f}"
