"""Draw which events were annotated and which predicted, on the time axis of each video.

    python utils/plot_timeline.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data --out timeline.png

One panel per video and modality; in it a row per event class, annotated above, predicted below.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # python utils/x.py puts utils/ first on the path: imports start at the repository instead
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils import cli

if __name__ == "__main__":
    cli.quiet_interrupts()

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from utils import figures, llp

TRUE_COLOUR, PREDICTED_COLOUR = figures.BLUE, figures.ORANGE


def draw_video(ax: Axes, true: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> None:
    """One panel: annotated and predicted events of one video in one modality, (C, T) bool each."""
    rows = np.flatnonzero(true.any(axis=1) | predicted.any(axis=1))
    for y, c in enumerate(rows):
        for segments, colour, top in ((true[c], TRUE_COLOUR, y + 0.06), (predicted[c], PREDICTED_COLOUR, y + 0.5)):
            events = llp.segments_to_events(segments[None, None], [""], [""])
            bars = [(onset, offset - onset) for onset, offset in zip(events.onset, events.offset, strict=True)]
            ax.broken_barh(bars, (top, 0.42), color=colour)
    seconds = true.shape[-1]
    ax.set(xlim=(0, seconds), ylim=(max(len(rows), 1), 0), xticks=range(seconds + 1))
    ax.set_yticks(np.arange(len(rows)) + 0.5, [class_names[c] for c in rows])
    ax.set_axisbelow(True)
    ax.grid(axis="x", linewidth=0.4)
    if not len(rows):
        ax.text(0.5, 0.5, "no events", transform=ax.transAxes, ha="center", va="center", color="grey")


def plot_timelines(
    path: Path,
    filenames: Sequence[str],
    truth: dict[str, np.ndarray],
    predictions: dict[str, np.ndarray],
    class_names: Sequence[str] = llp.CLASS_NAMES,
    title: str = "",
) -> None:
    """Draw all of `filenames`, N videos.

    Args:
        path: .png, .pdf or .svg. truth, predictions: `audio` and `visual`, (N, C, T) bool each.
    """
    shown = [truth[m] | predictions[m] for m in ("audio", "visual")]
    heights = [max(1, max(x[n].any(axis=1).sum() for x in shown)) + 0.9 for n in range(len(filenames))]
    figure, axes = plt.subplots(
        len(filenames), 2, figsize=(12, 0.9 + 0.42 * sum(heights)), squeeze=False, sharex=True, layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for n, name in enumerate(filenames):
        for ax, modality in zip(axes[n], ("audio", "visual"), strict=True):
            draw_video(ax, truth[modality][n], predictions[modality][n], class_names)
            ax.set_title(f"{name}, {modality}", fontsize=9, parse_math=False)
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    figure.legend(
        handles=[Patch(color=TRUE_COLOUR, label="annotated"), Patch(color=PREDICTED_COLOUR, label="predicted")],
        loc="outside upper right", ncols=2, frameon=False,
    )  # fmt: skip
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, parse_math=False)
    figures.save(figure, path)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = cli.ArgumentParser(
        prog="plot_timeline.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_scoring_flags(parser)
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="file names to draw (default: the first --count)")
    parser.add_argument("--count", type=cli.positive_int, default=4, help="videos to draw (default: %(default)s)")
    parser.add_argument("--title", default="", help="title of the figure")
    parser.add_argument("--out", type=Path, required=True, help="figure to write: .png, .pdf or .svg")
    return parser


def main(args: argparse.Namespace) -> None:
    """Draw. Raises InputError for bad input."""
    figures.require_format("--out", args.out)
    listed = llp.read_split(args.label_csv, weak_labels=False).filenames
    filenames = args.videos or listed[: args.count]
    unknown = [name for name in filenames if name not in listed]
    if unknown:
        raise cli.InputError(f"--videos {unknown[0]}: not in {args.label_csv}")
    class_names = llp.class_names(llp.read_classes(args.classes))
    predictions, _ = llp.read_predictions(args.pred_dir, listed, args.label_csv, class_names)
    truth = llp.read_truth(args.gt_dir, filenames, class_names)
    chosen = [listed.index(name) for name in filenames]
    predictions = {modality: segments[chosen] for modality, segments in predictions.items()}
    references = {"audio": truth.audio, "visual": truth.visual}
    plot_timelines(args.out, filenames, references, predictions, class_names, title=args.title)
    print(args.out)


if __name__ == "__main__":
    cli.run(main, get_args_parser())
