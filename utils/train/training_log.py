"""The training curves of a run, from its log.jsonl."""

import json
import math
from collections.abc import Collection
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import read_text

# name here -> key of log.jsonl: both losses, Type@AV of the validation videos (segment level), the learning rate used
CURVES = {"train loss": "train_loss_all", "val loss": "val_loss_all", "Val F": "Seg-type", "learning rate": "lr"}


def read_curves(path: Path, val_f: str = CURVES["Val F"]) -> dict[str, list[float | None]]:
    """`epoch` and CURVES, a value per epoch; None if it is not a finite number. val_f: the score that is called Val F.

    Raises InputError, with the line, if the file is not a log.jsonl of main.py.
    """
    path = Path(path)
    lines = read_text(path, "expected a run's log.jsonl").splitlines()
    if not lines:
        raise InputError(f"{path}: is empty, expected a run's log.jsonl with a line per epoch")
    curves = {"epoch": "epoch", **CURVES, "Val F": val_f}
    epochs = [_curve_values(path, number, line, curves.values()) for number, line in enumerate(lines, 1)]
    return {name: [epoch[key] for epoch in epochs] for name, key in curves.items()}


def _curve_values(path: Path, number: int, line: str, keys: Collection[str]) -> dict[str, float | None]:
    """The values of one line. Raises InputError if a key is missing."""
    try:
        values = json.loads(line)
        numbers = {key: math.nan if values[key] is None else float(values[key]) for key in keys}
        int(numbers["epoch"])  # fails if it is not finite
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        expected = f"expected JSON with {', '.join(keys)}"
        raise InputError(f"{path}, line {number}: not an epoch of a run's log.jsonl; {expected}") from None
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}
