"""The training curves of a run, from its log.jsonl."""

import json
import math
from pathlib import Path

from utils.cli import InputError

# name here -> key of log.jsonl: both losses, Type@AV of the validation videos (segment level), the learning rate used
CURVES = {"train loss": "train_loss_all", "val loss": "val_loss_all", "Val F": "Seg-type", "learning rate": "lr"}


def read_curves(path: Path) -> dict[str, list[float | None]]:
    """`epoch` and CURVES, a value per epoch; None where it is no finite number.

    Raises InputError, with the line, where the file is no log.jsonl of main.py.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a run's log.jsonl")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file, expected a run's log.jsonl") from None
    if not lines:
        raise InputError(f"{path}: is empty, expected a run's log.jsonl with a line per epoch")
    epochs = [_epoch(path, number, line) for number, line in enumerate(lines, 1)]
    return {name: [epoch[key] for epoch in epochs] for name, key in {"epoch": "epoch", **CURVES}.items()}


def _epoch(path: Path, number: int, line: str) -> dict[str, float | None]:
    """The wanted values of one line; InputError where it has them not."""
    keys = ("epoch", *CURVES.values())
    try:
        values = json.loads(line)
        numbers = {key: math.nan if values[key] is None else float(values[key]) for key in keys}
        int(numbers["epoch"])  # fails for what is not finite
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        expected = f"expected JSON with {', '.join(keys)}"
        raise InputError(f"{path}, line {number}: not an epoch of a run's log.jsonl; {expected}") from None
    return {key: value if math.isfinite(value) else None for key, value in numbers.items()}
