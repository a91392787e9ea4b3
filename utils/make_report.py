"""Write the page of a test run: scores with intervals, classes, training curves, every video.

    python utils/make_report.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data --out results.html

DIR is what `main.py --save_predictions` writes, or holds any other pred_audio.csv and pred_visual.csv. The page is one
file and needs no network. --compare adds a second run; --figures draws figures for papers. docs/RESULTS_PAGE.md
explains the numbers.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable, write_text
from utils.llp.annotations import PREDICTION_FILES, read_evaluation
from utils.llp.carried import carried_dataset
from utils.llp.datasets import DataSet
from utils.metrics.protocols import all_scores, main_score, tables_text
from utils.report.page import Results, ScoredRun, render


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="make_report.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--compare", type=Path, metavar="DIR2", help="predictions of a second run on the same videos")
    parser.add_argument("--log", type=Path, metavar="F", help="log.jsonl of the run, for its training curves")
    parser.add_argument("--out", type=Path, required=True, help="page to write, an HTML file")
    help_text = "also write figures for papers: timelines and classes, PNG and PDF"
    parser.add_argument("--figures", type=Path, metavar="DIR", help=help_text)
    help_text = "--figures: file names to draw (default: the worst, the median and the best)"
    parser.add_argument("--videos", nargs="+", metavar="NAME", help=help_text)
    return parser


def read_results(args: argparse.Namespace, dataset: DataSet) -> Results:
    """Everything the flags name, read and scored. Raises InputError for bad input."""
    folders = [args.pred_dir, *([args.compare] if args.compare else [])]
    evaluation = read_evaluation(folders, args.label_csv, args.gt_dir, dataset)
    names = [f"{x}: {path}" for x, path in zip("AB", folders, strict=True)] if args.compare else [str(args.pred_dir)]
    pairs = zip(names, evaluation.predictions, strict=True)
    runs = [ScoredRun.of(name, predictions, evaluation.reference) for name, predictions in pairs]
    if not args.log:
        return Results(evaluation, runs, None)
    from utils.train.training_log import read_curves  # torch, which the page does without

    return Results(evaluation, runs, read_curves(args.log, main_score(dataset)))


def require_own_place(args: argparse.Namespace, dataset: DataSet) -> None:
    """Raises InputError if the page would replace a file that is read, or is in the way of the figures."""
    folders = [folder for folder in (args.pred_dir, args.compare) if folder]
    read = [folder / name for folder in folders for name in PREDICTION_FILES.values()]
    paths = dataset.paths({"label_csv": args.label_csv, "gt_dir": args.gt_dir})
    read += [Path(paths["gt_dir"], name) for name in dataset.reference.values()]
    read += [path for path in (paths["label_csv"], args.log, args.classes) if path]
    for path in map(Path, read):
        if args.out.exists() and path.exists() and args.out.samefile(path):
            raise InputError(f"--out {args.out}: is {path}, which is read; choose another name")
    if args.figures and args.out.absolute() in (args.figures.absolute(), *args.figures.absolute().parents):
        raise InputError(f"--out {args.out}: is in the way of --figures {args.figures}; choose another name")


def main(args: argparse.Namespace) -> None:
    """Read, score, write. Raises InputError for bad input, before anything is written."""
    require_writable("--out", args.out)
    require_writable("--figures", args.figures, folder=True)
    dataset = carried_dataset(args.pred_dir, args.dataset, args.classes)
    require_own_place(args, dataset)
    if args.videos and not args.figures:
        raise InputError("--videos has no meaning without --figures; the page shows all videos")
    results = read_results(args, dataset)
    results.evaluation.indices("--videos", args.videos or ())
    for line in results.evaluation.issues:
        print(f"note: {line}", file=sys.stderr)
    page = render(results)

    require_room_for_files("--out", args.out.parent)
    require_room_for_files("--figures", args.figures)
    reference = results.evaluation.reference
    rows = {run.name: all_scores(dataset, None, (run.audio, run.visual), reference)[1] for run in results.runs}
    print(tables_text(dataset, rows, "Predictions"))
    if args.figures:
        from utils.report.paper_figures import write_figures  # matplotlib, which the page does without

        for path in write_figures(args.figures, results, args.videos):
            print(path)
    write_text(args.out, page)  # last: if it exists, the run was complete
    count = len(results.filenames)
    print(f"{args.out}: {count} {'videos' if count > 1 else 'video'}; open it in a browser")


if __name__ == "__main__":
    command.run(main, get_args_parser())
