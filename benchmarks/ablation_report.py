"""The table and the figure of benchmarks/ablation.py."""

import json
from pathlib import Path

import numpy as np

from utils.base.files import atomic_path, write_text
from utils.metrics.bootstrap import Estimate, paired_interval

RUNS = "runs.jsonl"
REFERENCE = "VALOR"
WAYS = ("at 0.5", "tuned")
SCORE = "Seg-type"


def read_runs(folder: Path) -> list[dict]:
    """The finished runs; a line that was cut off is none."""
    path, runs = folder / RUNS, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            runs.append(json.loads(line))
        except ValueError:
            continue
    return runs


def scores(runs: list[dict], name: str, way: str, score: str = SCORE) -> dict[tuple[str, int], float]:
    """A score of a row of the table, by world and seed."""
    return {(r["world"], r["seed"]): r[way][score] for r in runs if r["name"] == name and way in r}


def difference(runs: list[dict], name: str, way: str, score: str = SCORE) -> Estimate | None:
    """Difference of a row from VALOR decided in the same way, over the worlds and seeds that both have."""
    mine, theirs = (scores(runs, one, way, score) for one in (name, REFERENCE))
    pairs = [mine[place] - theirs[place] for place in sorted(mine.keys() & theirs.keys())]
    return paired_interval(pairs) if len(pairs) > 1 and name != REFERENCE else None


def _mean(values) -> str:
    values = list(values)
    return f"{np.mean(values):.1f}" if values else "-"


def _change(change: Estimate | None) -> str:
    return f"{change.mean:+.1f} [{change.low:+.1f}, {change.high:+.1f}]" if change else "-"


def table(runs: list[dict], names: list[str]) -> str:
    """One row for each recipe, in Markdown."""
    worlds = sorted({r["world"] for r in runs})
    head = ["recipe", "Type at 0.5", "from VALOR", "Type, tuned", "from VALOR, tuned", "event Type at 0.5, tuned"]
    head += [f"tuned, {world}" for world in worlds if len(worlds) > 1] + ["s an epoch", "parameters, M"]
    rows = [head, ["---"] * len(head)]
    for name in names:
        own = [r for r in runs if r["name"] == name]
        at, tuned = (scores(runs, name, way) for way in WAYS)
        row = [name, _mean(at.values()), _change(difference(runs, name, WAYS[0])), _mean(tuned.values())]
        row += [_change(difference(runs, name, WAYS[1]))]
        row += [", ".join(_mean(scores(runs, name, way, "Event-type").values()) for way in WAYS)]
        for world in worlds if len(worlds) > 1 else []:
            row.append(_mean(value for (where, _), value in tuned.items() if where == world))
        row += [_mean(r["seconds"] for r in own if "seconds" in r)]
        row += [f"{own[0]['parameters'] / 1e6:.2f}" if own and "parameters" in own[0] else "-"]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw(path: Path, runs: list[dict], names: list[str]) -> None:
    """Differences from VALOR with their intervals, at 0.5 and at tuned thresholds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.42 * len(names) + 1.2), layout="constrained")
    for offset, way, color in zip((0.15, -0.15), WAYS, ("#b5651d", "#1f5fa8"), strict=True):
        found = [(y, difference(runs, name, way)) for y, name in enumerate(reversed(names))]
        y, changes = zip(*[(y + offset, change) for y, change in found if change], strict=True)
        mean, low, high = np.array(changes).T
        label = "decided at 0.5" if way == WAYS[0] else "decision thresholds chosen on val"
        axes.errorbar(mean, y, xerr=(mean - low, high - mean), fmt="o", ms=4, capsize=2, color=color, label=label)
    axes.axvline(0, color="gray", lw=0.8)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_xlabel("segment-level Type@AV, difference from VALOR (95 % paired bootstrap interval)")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    with atomic_path(path) as tmp:
        figure.savefig(tmp, dpi=150, format="png")
    plt.close(figure)


def write_report(folder: Path, names: list[str]) -> str:
    """Write ablation.md and ablation.png for all runs in the folder; returns the table."""
    runs = read_runs(folder)
    known = {r["name"] for r in runs}
    bounds = [name for name in dict.fromkeys(r["name"] for r in runs) if name not in names]
    text = table(runs, [*bounds, *[name for name in names if name in known]])
    write_text(folder / "ablation.md", text)
    shown = [name for name in names if difference(runs, name, WAYS[0])]
    if shown:
        draw(folder / "ablation.png", runs, shown)
    return text
