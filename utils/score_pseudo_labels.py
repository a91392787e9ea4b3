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
from utils.llp.classes import (
    CLASS_NAMES,
    TEACHER_THRESHOLDS,
    EventClass,
    class_indices,
    class_names,
    read_classes,
    write_classes,
)
from utils.llp.videos import Split, read_split
from utils.metrics.eval_metrics import SCORE_NAMES, ten_scores, video_scores
from utils.metrics.tables import PUBLISHED_TEACHERS, score_table
from utils.metrics.threshold_sweep import Sweep

SCORED, SWEPT = Path("data/AVVP_test_pd.csv"), Path("data/AVVP_val_pd.csv")
THREADS = 8


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="score_pseudo_labels.py", description=__doc__)
    flags.add_reference_flags(parser, None, f"{SCORED}, with --sweep {SWEPT}")
    flags.add_pseudo_label_flags(parser)
    help_text = "write the ten scores, or with --sweep its table, to this file"
    parser.add_argument("--json", type=Path, metavar="F", help=help_text)
    choosing = parser.add_argument_group("choosing thresholds")
    add = choosing.add_argument
    add("--sweep", metavar="CLASS|all", help="show F against the threshold of this class, or of all")
    flags.add_logits_flags(choosing)
    add("--figure", type=Path, metavar="F", default="threshold_sweep.png", help="where to draw the curves")
    add("--best_classes", type=Path, metavar="F", help="write a class file with the best thresholds instead of its own")
    text = "the same with the exact optimum, for main.py --label_thresholds; -inf accepts every segment"
    add("--exact_classes", type=Path, metavar="F", help=text)
    return parser


def read_arrays(folder: Path, split: Split, layout: Layout) -> np.ndarray:
    """The (T, C) arrays of a split, as (N, C, T). Raises InputError for missing or wrong files."""
    files = FeatureFolder(folder, split, layout)
    require_files([files], THREADS)
    return files.read_all("float32", THREADS, str(folder)).transpose(0, 2, 1)


def score(args: argparse.Namespace, classes: tuple[EventClass, ...], split: Split, reference: Reference) -> None:
    """Print the ten scores of the pseudo labels, of the weak labels, and those published."""
    layout = pseudo_labels.label_layout(len(classes))
    folders = (args.a_pseudo_data_dir, args.v_pseudo_data_dir)
    audio, visual = (read_arrays(folder, split, layout).astype(bool) for folder in folders)
    copied = np.broadcast_to(split.weak.astype(bool)[..., None], audio.shape)
    scores = ten_scores(video_scores(audio, visual, reference.audio, reference.visual))
    rows = {
        f"pseudo labels, {args.label_csv.stem}": scores,
        "weak labels in all segments": ten_scores(video_scores(copied, copied, reference.audio, reference.visual)),
    }
    if class_names(classes) == CLASS_NAMES:
        rows["published pseudo labels, LLP test"] = {name: PUBLISHED_TEACHERS.get(name) for name in SCORE_NAMES}
    print(f"Annotations: {reference.version}")
    print(score_table(rows, "Labels"))
    if args.json:
        write_json(args.json, scores)


def sweep(args: argparse.Namespace, classes: tuple[EventClass, ...], split: Split, reference: Reference) -> None:
    """Print, draw and write F against thresholds, for the classes of --sweep and each teacher with logits.

    Raises InputError for an unknown class, or for missing or wrong logits.
    """
    names = class_names(classes)
    try:
        chosen = range(len(names)) if args.sweep == "all" else class_indices([args.sweep], names)
    except InputError as error:
        raise InputError(f"--sweep {args.sweep}: {error}") from None
    folders = {"audio": args.a_logits_dir, "visual": args.v_logits_dir}
    sweeps = []
    for modality, folder in folders.items():
        if folder:
            logits = read_arrays(folder, split, pseudo_labels.logits_layout(len(classes)))
            segments = getattr(reference, modality)
            for c in chosen:
                listed = split.weak[:, c] > 0
                used = getattr(classes[c], TEACHER_THRESHOLDS[modality])
                sweeps.append(Sweep.of(names[c], modality, logits[listed, c], segments[:, c], listed, used))
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
            write_thresholds(path, classes, best)
            print(path)
            kept = len(TEACHER_THRESHOLDS) * len(classes) - sum(value is not None for value in best.values())
            if kept:
                print(f"note: {path}: {kept} of its thresholds are those of {args.classes}", file=sys.stderr)


def sweep_table(sweeps: list[Sweep]) -> str:
    """One row for each class and modality: the threshold in use, the best one, the exact optimum, with their F."""
    columns = ("threshold", "F", "best_threshold", "best_F", "exact_threshold", "exact_F")
    table = PrettyTable(["class", "", "videos", *(c.replace("_", " ") for c in columns)], align="r")
    table.align["class"] = table.align[""] = "l"
    for s in sweeps:
        row = s.summary()
        numbers = ("-" if row[c] is None else f"{float(row[c]):.2f}" for c in columns)
        table.add_row([s.name, s.modality, row["videos"], *numbers])
    return f"F of segments, pooled over the videos of the split; labels only for classes among the weak labels\n{table}"


def write_thresholds(path: Path, classes: tuple[EventClass, ...], found: dict[tuple[str, str], float | None]) -> None:
    """Write a class file for --classes, with the threshold that was `found` for a class's name and teacher, if any."""
    own = ({t: found.get((c.name, t)) for t in TEACHER_THRESHOLDS.values()} for c in classes)
    new = [c._replace(**{t: x for t, x in one.items() if x is not None}) for c, one in zip(classes, own, strict=True)]
    write_classes(path, new)


def main(args: argparse.Namespace) -> None:
    """Score or sweep. Raises InputError for bad input."""
    if args.sweep and not (args.v_logits_dir or args.a_logits_dir):
        raise InputError("--sweep needs --v_logits_dir or --a_logits_dir, from the teachers' --logits_saved_dir")
    if not args.sweep and (args.v_logits_dir or args.a_logits_dir or args.best_classes or args.exact_classes):
        raise InputError(
            "--v_logits_dir, --a_logits_dir, --best_classes and --exact_classes belong to --sweep CLASS|all"
        )
    require_figure_name("--figure", args.figure)
    for flag in ("json", "figure", "best_classes", "exact_classes"):
        require_writable(f"--{flag}", getattr(args, flag))
    written = [path.resolve() for path in (args.classes, args.best_classes, args.exact_classes) if path]
    if len(set(written)) < len(written):
        raise InputError("--classes, --best_classes and --exact_classes name one file twice; choose different files")
    args.label_csv = args.label_csv or (SWEPT if args.sweep else SCORED)
    classes = read_classes(args.classes)
    split = read_split(args.label_csv, class_names(classes))
    reference = read_reference(args.gt_dir, split.filenames, class_names(classes))
    for line in reference.issues:
        print(f"note: {line}", file=sys.stderr)
    (sweep if args.sweep else score)(args, classes, split, reference)


if __name__ == "__main__":
    command.run(main, get_args_parser())
