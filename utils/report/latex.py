"""The scores of a test run as rows of a LaTeX table."""

from collections.abc import Sequence

from utils.metrics.bootstrap import DRAWS, LEVEL
from utils.metrics.protocols import scope_notes, score_names
from utils.report.page import Results

ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {c: f"{{{c}}}" for c in "[*"}  # after the end of a row they would be its options
)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return text.translate(ESCAPES)


def table_rows(results: Results, scores: Sequence[dict]) -> str:
    """Rows with `&` and `\\\\`, to stand in any `tabular`: of each run its scores, and below them their intervals.

    scores: what `score_rows` returns. Comments say what the columns are, and what a reader should know.
    """
    dataset, split = results.evaluation.dataset, results.evaluation.split
    columns = score_names(dataset)
    by_name = {row["name"]: row["runs"] for row in scores}
    videos = f"{len(split.filenames):,} {'videos' if len(split.filenames) > 1 else 'video'} of {split.path.name}"
    intervals = f"{LEVEL:.0%} intervals of {DRAWS:,} bootstrap draws of the {videos}"
    notes = [*([results.caution] if results.caution else []), *scope_notes(dataset)]
    lines = [f"run & {' & '.join(columns)}", f"F-scores in percent; below them {intervals}", *notes]
    lines = ["% " + " ".join(line.split()) for line in lines]
    for r, run in enumerate(results.runs):
        means, *ends = zip(*(by_name[name][r] for name in columns), strict=True)
        small = [rf"{{\scriptsize [{low:.2f}, {high:.2f}]}}" for low, high in zip(*ends, strict=True)]
        lines.append(" & ".join([escape(run.name), *(f"{mean:.2f}" for mean in means)]) + r" \\")
        lines.append("& " + " & ".join(small) + r" \\")
    return "\n".join(lines) + "\n"
