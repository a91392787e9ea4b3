"""Score segment-level pseudo labels against the dense annotations of val or test videos.

    python utils/score_pseudo_labels.py
    python utils/score_pseudo_labels.py --sweep all --v_logits_dir data/CLIP/logits --a_logits_dir data/CLAP/logits

The first prints the ten scores of the CLIP and CLAP labels together on test (or --label_csv data/AVVP_val_pd.csv),
next to the weak labels copied to all segments and the published figures. The second shows F on val as a function of
each class's threshold, from the logits that the teachers write with --logits_saved_dir, to choose thresholds for
other teachers or classes.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_figure_name, require_writable, write_json
from utils.base.npy import Layout
from utils.features.folder import FeatureFolder, require_files
from utils.llp import pseudo_labels
from utils.llp.annotations import Reference, read_reference
from utils.llp.classes import CLASS_NAMES, TEACHER_THRESHOLDS, class_indices, write_classes
from utils.llp.datasets import LLP, DataSet, read_dataset
from utils.llp.events import Segments
from utils.llp.ragged import Ragged
from utils.llp.videos import Split, read_split
from utils.metrics.eval_metrics import SCORE_NAMES, ten_scores, video_scores
from utils.metrics.protocols import score_names
from utils.metrics.tables import PUBLISHED_TEACHERS, score_table
from utils.metrics.threshold_sweep import Sweep

THREADS = 8
FIGURE = "threshold_sweep.png"


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="score_pseudo_labels.py", description=__doc__)
    flags.add_reference_flags(parser, "the data set's test videos, with --sweep its val videos")
    flags.add_pseudo_label_flags(parser)
    help_text = "write the ten scores, or with --sweep its table, to this file"
    parser.add_argument("--json", type=Path, metavar="F", help=help_text)
    choosing = parser.add_argument_group("choosing thresholds")
    add = choosing.add_argument
    add("--sweep", metavar="CLASS|all", help="show F against the threshold of this class, or of all")
    flags.add_logits_flags(choosing)
    text = f"where to draw the curves (default: {FIGURE} beside the folder of logits, and so of labels)"
    add("--figure", type=Path, metavar="F", help=text)
    add("--best_classes", type=Path, metavar="F", help="write a class file with the best thresholds instead of its own")
    text = "the same with the exact optimum, for main.py --label_thresholds; -inf accepts every segment"
    add("--exact_classes", type=Path, metavar="F", help=text)
    return parser


def read_rows(folder: Path, split: Split, layout: Layout, seconds: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The (T, C) arrays of a split, one after the other, (S, C), and the lengths of its N videos, (N,) int.

    Raises InputError for missing or wrong files.
    """
    files = FeatureFolder(folder, split, layout, seconds or 0)
    require_files([files], THREADS)
    files.lengths = lengths = files.rows
    return files.read_all("float32", THREADS, str(folder)), lengths


def read_noted_reference(args: argparse.Namespace, dataset: DataSet, split: Split, lengths: np.ndarray) -> Reference:
    """The annotations of the N videos of a split, (N,) seconds long; prints what is odd about them."""
    reference = read_reference(args.gt_dir, split.filenames, dataset, None if dataset.seconds else lengths)
    for line in reference.issues:
        print(f"note: {line}", file=sys.stderr)
    return reference


def as_ragged(segments: Segments) -> Ragged:
    """(N, C, T) bool with the lengths of the videos."""
    return segments if isinstance(segments, Ragged) else Ragged.of(segments, np.full(len(segments), segments.shape[-1]))


def score(args: argparse.Namespace, dataset: DataSet, split: Split) -> None:
    """Print the scores of the pseudo labels, of the weak labels, and those published."""
    layout = pseudo_labels.label_layout(len(dataset.classes), dataset.seconds)
    folders = (args.a_pseudo_data_dir, args.v_pseudo_data_dir)
    (audio, lengths), (visual, _) = (read_rows(folder, split, layout, dataset.seconds) for folder in folders)
    reference = read_noted_reference(args, dataset, split, lengths)
    truth = as_ragged(reference.audio), as_ragged(reference.visual)
    copied = Ragged(np.repeat(split.weak > 0, lengths, axis=0), lengths)
    scores = ten_scores(video_scores(Ragged(audio, lengths), Ragged(visual, lengths), *truth))
    rows = {
        f"pseudo labels, {args.label_csv.stem}": scores,
        "weak labels in all segments": ten_scores(video_scores(copied, copied, *truth)),
    }
    rows = {name: {key: values[key] for key in score_names(dataset)} for name, values in rows.items()}
    if dataset.name == LLP.name and dataset.class_names == CLASS_NAMES:
        rows["published pseudo labels, LLP test"] = {name: PUBLISHED_TEACHERS.get(name) for name in SCORE_NAMES}
    print(f"Annotations: {reference.version}")
    print(score_table(rows, "Labels"))
    if args.json:
        write_json(args.json, scores)


def sweep(args: argparse.Namespace, dataset: DataSet, split: Split) -> None:
    """Print, draw and write F against thresholds, for the classes of --sweep and each teacher with logits.

    Raises InputError for an unknown class, or for missing or wrong logits.
    """
    classes, names = dataset.classes, dataset.class_names
    try:
        chosen = range(len(names)) if args.sweep == "all" else class_indices([args.sweep], names)
    except InputError as error:
        raise InputError(f"--sweep {args.sweep}: {error}") from None
    folders = {"audio": args.a_logits_dir, "visual": args.v_logits_dir}
    sweeps, layout = [], pseudo_labels.logits_layout(len(classes), dataset.seconds)
    read = {m: read_rows(folder, split, layout, dataset.seconds) for m, folder in folders.items() if folder}
    lengths = next(iter(read.values()))[1]
    reference = read_noted_reference(args, dataset, split, lengths)
    for modality, (logits, _) in read.items():
        rows = as_ragged(getattr(reference, modality)).rows  # (S, C)
        for c in chosen:
            listed = np.repeat(split.weak[:, c] > 0, lengths)
            used, videos = getattr(classes[c], TEACHER_THRESHOLDS[modality]), int(split.weak[:, c].sum())
            sweeps.append(Sweep.of(names[c], modality, logits[listed, c], rows[:, c], listed, used, videos))
    print(f"Annotations: {reference.version}")
    print(sweep_table(sweeps))
    from utils.report.sweep_figure import draw_sweeps  # matplotlib, which scoring does without

    draw_sweeps(args.figure, sweeps)
    print(args.figure)
    if args.json:
        write_json(args.json, [s.summary() for s in sweeps])
    found = {"best_classes": lambda s: (s.best() or (None,))[0], "exact_classes": lambda s: s.exact[0]}
    for flag, threshold in found.items():
        if path := getattr(args, flag):
            best = {(s.name, TEACHER_THRESHOLDS[s.modality]): threshold(s) for s in sweeps}
            write_thresholds(path, dataset, best)
            print(path)
            kept = len(TEACHER_THRESHOLDS) * len(classes) - sum(value is not None for value in best.values())
            if kept:
                source = args.classes or dataset.name
                print(f"note: {path}: {kept} of its thresholds are those of {source}", file=sys.stderr)


def sweep_table(sweeps: list[Sweep]) -> str:
    """One row for each class and modality: the threshold in use, the best one, the exact optimum, with their F."""
    columns = {"threshold": "in use", "F": "F", "best_threshold": "best", "best_F": "best F"}
    columns |= {"exact_threshold": "exact", "exact_F": "exact F"}
    table = PrettyTable(["class", "", "videos", *columns.values()], align="r")
    table.align["class"] = table.align[""] = "l"
    table.max_width["class"] = 22  # of LLP's longest name; the table then has 99 columns
    for s in sweeps:
        row = s.summary()
        numbers = ("-" if row[c] is None else f"{float(row[c]):.2f}" for c in columns)
        table.add_row([s.name, s.modality, row["videos"], *numbers])
    note = "F of segments, pooled over the videos of the split; labels only for classes among the weak labels."
    return (
        f"{note}\nThresholds: the one in use, the best of those tried, and the exact optimum, each with its F.\n{table}"
    )


def write_thresholds(path: Path, dataset: DataSet, found: dict[tuple[str, str], float | None]) -> None:
    """Write a class file for --classes, with the threshold that was `found` for a class's name and teacher, if any."""
    classes = dataset.classes
    own = ({t: found.get((c.name, t)) for t in TEACHER_THRESHOLDS.values()} for c in classes)
    new = [c._replace(**{t: x for t, x in one.items() if x is not None}) for c, one in zip(classes, own, strict=True)]
    write_classes(path, new, dataset.separator)


def main(args: argparse.Namespace) -> None:
    """Score or sweep. Raises InputError for bad input."""
    if args.sweep and not (args.v_logits_dir or args.a_logits_dir):
        raise InputError("--sweep needs --v_logits_dir or --a_logits_dir, from the teachers' --logits_saved_dir")
    if not args.sweep and (args.v_logits_dir or args.a_logits_dir or args.best_classes or args.exact_classes):
        raise InputError(
            "--v_logits_dir, --a_logits_dir, --best_classes and --exact_classes belong to --sweep CLASS|all"
        )
    if args.sweep:
        args.figure = args.figure or Path(args.v_logits_dir or args.a_logits_dir).parent / FIGURE
        require_figure_name("--figure", args.figure)
    for flag in ("json", "figure", "best_classes", "exact_classes"):
        require_writable(f"--{flag}", getattr(args, flag))
    written = [path.resolve() for path in (args.classes, args.best_classes, args.exact_classes) if path]
    if len(set(written)) < len(written):
        raise InputError("--classes, --best_classes and --exact_classes name one file twice; choose different files")
    dataset = read_dataset(args.dataset, args.classes)
    args.label_csv = args.label_csv or dataset.path(dataset.splits["val" if args.sweep else "test"])
    vars(args).update(dataset.paths(vars(args)))
    split = read_split(args.label_csv, dataset)
    (sweep if args.sweep else score)(args, dataset, split)


if __name__ == "__main__":
    command.run(main, get_args_parser())
