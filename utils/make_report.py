"""Write the page of a test run: scores with intervals, classes, training curves, every video.

    python utils/make_report.py --pred_dir DIR --label_csv data/AVVP_test_pd.csv --gt_dir data --out results.html

DIR is what `main.py --save_predictions` writes, or holds any other pred_audio.csv and pred_visual.csv. The page is one
file and needs no network. --compare adds a second run; --figures draws figures for papers, --latex writes rows of a
table. docs/RESULTS_PAGE.md explains the numbers.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import as_text, require_room_for_files, require_writable, write_text
from utils.llp.annotations import PREDICTION_FILES, read_evaluation
from utils.llp.carried import predictions_dataset
from utils.llp.datasets import DataSet
from utils.metrics.protocols import all_scores, main_score, tables_text
from utils.report.latex import table_rows
from utils.report.page import Results, ScoredRun, render, score_rows
from utils.report.run_names import run_labels, run_names


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="make_report.py", description=__doc__)
    flags.add_scoring_flags(parser)
    parser.add_argument("--name", help="name of the run; if not given, that of its folder")
    parser.add_argument("--compare", type=Path, metavar="DIR2", help="predictions of a second run on the same videos")
    parser.add_argument("--compare_name", metavar="NAME", help="name of the second run; if not given, that of DIR2")
    help_text = "log.jsonl of the run, for its training curves, and of the second run"
    parser.add_argument("--log", type=Path, nargs="+", action="extend", default=[], metavar="F", help=help_text)
    parser.add_argument("--out", type=Path, required=True, help="page to write, an HTML file")
    help_text = "also write the scores and their intervals as rows of a LaTeX table"
    parser.add_argument("--latex", type=Path, metavar="FILE", help=help_text)
    help_text = "also write figures for papers: timelines and classes, PNG and PDF"
    parser.add_argument("--figures", type=Path, metavar="DIR", help=help_text)
    help_text = "--figures: file names to draw (default: the worst, the median and the best)"
    parser.add_argument("--videos", nargs="+", metavar="NAME", help=help_text)
    return parser


def read_results(args: argparse.Namespace, dataset: DataSet) -> Results:
    """Everything the flags name, read and scored. Raises InputError for bad input."""
    folders, given = [args.pred_dir], {"--name": args.name}
    if args.compare:
        folders, given = [*folders, args.compare], given | {"--compare_name": args.compare_name}
    names = run_names(folders, given)
    if len(args.log) > len(folders):
        expected = "one for the run, or --compare" if len(folders) == 1 else "one for each of the two runs"
        raise InputError(f"--log: {len(args.log)} files, expected {expected}")
    evaluation = read_evaluation(folders, args.label_csv, args.gt_dir, dataset)
    runs = [
        ScoredRun.of(name, as_text(folder), predictions, evaluation.reference)
        for name, folder, predictions in zip(names, folders, evaluation.predictions, strict=True)
    ]
    if not args.log:
        return Results(evaluation, runs)
    from utils.train.training_log import read_curves  # torch, which the page does without

    return Results(evaluation, runs, [read_curves(path, main_score(dataset)) for path in args.log])


def require_own_place(args: argparse.Namespace, dataset: DataSet) -> None:
    """Raises InputError if what is written would replace a file that is read, or one thing is in the way of another."""
    folders = [folder for folder in (args.pred_dir, args.compare) if folder]
    read = [folder / name for folder in folders for name in PREDICTION_FILES.values()]
    paths = dataset.paths({"label_csv": args.label_csv, "gt_dir": args.gt_dir})
    read += [Path(paths["gt_dir"], name) for name in dataset.reference.values()]
    read += [path for path in (paths["label_csv"], *args.log, args.classes) if path]
    written = {flag: path for flag, path in (("--out", args.out), ("--latex", args.latex)) if path}
    for flag, out in written.items():
        for path in map(Path, read):
            if out.exists() and path.exists() and out.samefile(path):
                raise InputError(f"{flag} {out}: is {path}, which is read; choose another name")
        others = {"--figures": args.figures, **written}
        for other, path in others.items():
            if path and other != flag and out.absolute() in (path.absolute(), *path.absolute().parents):
                raise InputError(f"{flag} {out}: is in the way of {other} {path}; choose another name")


def main(args: argparse.Namespace) -> None:
    """Read, score, write. Raises InputError for bad input, before anything is written."""
    require_writable("--out", args.out)
    require_writable("--latex", args.latex)
    require_writable("--figures", args.figures, folder=True)
    dataset = predictions_dataset(args.pred_dir, args.dataset, args.classes)
    require_own_place(args, dataset)
    if args.videos and not args.figures:
        raise InputError("--videos has no meaning without --figures; the page shows all videos")
    if args.compare_name is not None and not args.compare:
        raise InputError("--compare_name has no meaning without --compare; --name names the run of --pred_dir")
    results = read_results(args, dataset)
    results.evaluation.indices("--videos", args.videos or ())
    for line in results.evaluation.issues:
        print(f"note: {line}", file=sys.stderr)
    scores = score_rows(results)
    page = render(results, scores)

    require_room_for_files("--out", args.out.parent)
    require_room_for_files("--latex", args.latex and args.latex.parent)
    require_room_for_files("--figures", args.figures)
    reference, labels = results.evaluation.reference, run_labels([run.name for run in results.runs])
    rows = [all_scores(dataset, None, (run.audio, run.visual), reference)[1] for run in results.runs]
    print(tables_text(dataset, dict(zip(labels, rows, strict=True)), "Predictions"))
    if args.latex:
        write_text(args.latex, table_rows(results, scores))
        print(args.latex)
    if args.figures:
        from utils.report.paper_figures import write_figures  # matplotlib, which the page does without

        for path in write_figures(args.figures, results, args.videos):
            print(path)
    write_text(args.out, page)  # last: if it exists, the run was complete
    count = len(results.filenames)
    print(f"{args.out}: {count} {'videos' if count > 1 else 'video'}; open it in a browser")


if __name__ == "__main__":
    command.run(main, get_args_parser())
