"""What several runs with different seeds have in common: mean and standard deviation of their scores."""

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.base.files import write_json
from utils.metrics.tables import score_table

FILE = "seeds.json"


def summarise(scores: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | list[float] | None]]:
    """Of each of the ten scores the mean, the standard deviation (n - 1; None for one run) and the runs' values."""
    summary = {}
    for name in scores[0]:
        values = [run[name] for run in scores]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        summary[name] = {"mean": math.fsum(values) / len(values), "std": deviation, "values": values}
    return summary


def report(run: Path, seeds: Sequence[int], scores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """Write seeds.json beside the runs, and return the same as a table.

    run: path of the runs, without `_seed<S>`; scores: by seed, of those that have a best checkpoint, and by split, Val
    and Test.
    """
    missing = [seed for seed in seeds if seed not in scores]
    if missing:
        print(f"note: no epoch scored above 0 with seeds {', '.join(map(str, missing))}", file=sys.stderr)
    if not scores:
        return "no run scored above 0: there is nothing to average"
    path = run.parent / FILE
    _keep_other(path, run.name)
    splits = {split: summarise([run[split] for run in scores.values()]) for split in next(iter(scores.values()))}
    result = {"model_name": run.name, "seeds": list(scores), **{split.lower(): s for split, s in splits.items()}}
    write_json(path, result)
    rows = {}
    for split, summary in splits.items():
        for seed, values in scores.items():
            rows[f"{split}, seed {seed}"] = values[split]
        rows[f"{split}, mean"] = {name: s["mean"] for name, s in summary.items()}
        rows[f"{split}, standard deviation"] = {name: s["std"] for name, s in summary.items()}
    return f"{score_table(rows)}\n{path}"


def _keep_other(path: Path, name: str) -> None:
    """Rename an existing seeds.json of another model, so that it is not overwritten."""
    if not path.is_file():
        return
    try:
        other = str(json.loads(path.read_text())["model_name"])
    except (ValueError, KeyError, TypeError):
        other = "other"
    if other != name:
        kept = path.with_name(f"{Path(other).name}_{FILE}")
        path.replace(kept)
        print(f"note: {path} belonged to {other}; renamed to {kept}", file=sys.stderr)
