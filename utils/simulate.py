"""Write a simulated LLP whose truth is known, in the published layout, to try recipes on before real data.

    python utils/simulate.py --out simulated --train 2000 --val 300 --test 500
    python utils/simulate.py --out simulated --statistics_from data --like llp2 --snr_visual 2 --seed 1

Label tracks are drawn from the statistics of real ones. Features are directions of the classes and noise. Two teachers
with errors write logits and pseudo labels. Beside LLP's files there are

    truth_train.csv   filename, onset, offset, event_labels, modality (audio or visual): the dense truth of the
                      training videos, which LLP does not have. Segments onset to offset - 1 are positive.
    posterior/val, posterior/test   probabilities.npz, pred_audio.csv and pred_visual.csv, as main.py
                      --save_predictions writes: what is the best to be known from the base features.
    summary.json      the ten scores of the teachers' labels, of those published, and of the posterior.

The posterior is exact for one who knows the world and has no weak labels: every label track and set of classes is
summed over. It is decided as a student is, at the thresholds of video and segments that are best on val. F does not add
up over segments, so that a cleverer decision could score a little more: of the best possible, it is a lower bound.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import time
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files
from utils.features.kinds import KINDS
from utils.llp.annotations import REFERENCE_FILES
from utils.llp.classes import class_names
from utils.llp.datasets import LONGEST, read_dataset
from utils.llp.videos import SPLIT_FILES
from utils.metrics.tables import score_table
from utils.simulation.files import write_world
from utils.simulation.ragged import write_ragged
from utils.simulation.statistics import LLP_STATISTICS, Statistics, measure_folder, read_statistics
from utils.simulation.world import BASE, WORLDS, Dials, World

COUNTS = {"train": 600, "val": 100, "test": 150}  # videos, by default
MOST_VIDEOS = 100_000  # of a split


def split_size(text: str) -> int:
    """argparse type: a number of videos, from 1 to MOST_VIDEOS."""
    number = flags.positive_int(text)
    if number > MOST_VIDEOS:
        raise argparse.ArgumentTypeError(f"{text} is above {MOST_VIDEOS}")
    return number


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="simulate.py", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder to write to, new or empty")
    for split, count in COUNTS.items():
        add(f"--{split}", type=split_size, default=count, metavar="N", help=f"videos of the {split} split")
    add("--seed", type=flags.non_negative_int, default=0, help="the same seed and sizes give the same files")
    add("--all_features", action="store_true", help="write CLIP's and CLAP's features, too, as clear as the others")
    text = "videos of MIN to MAX seconds instead of ten, in the layout of convert_dataset.py, without the posterior"
    add("--seconds", type=flags.positive_int, nargs=2, metavar=("MIN", "MAX"), help=text)
    text = (
        "folder of LLP's reference CSVs, to measure the statistics; if not given, ./data if it has them, else a table"
    )
    add("--statistics_from", type=Path, metavar="DIR", help=text)
    flags.add_dataset_flags(parser)
    add = parser.add_argument_group("the world").add_argument
    add("--like", choices=WORLDS, default="llp", help="the world whose numbers hold where no flag says another")
    for modality in ("audio", "visual"):
        text = f"d' of a class in the {modality} features of a segment: distance of means over deviation"
        add(f"--snr_{modality}", type=flags.positive_float, metavar="D", help=text)
    for modality, other in (("audio", "visual"), ("visual", "audio")):
        teacher = f"the {modality} teacher"
        text = f"d' of the logits of {teacher}"
        add(f"--{modality}_separation", type=flags.non_negative_float, metavar="D", help=text)
        text = f"probability that {teacher} is wrong about a class in all segments of a video"
        add(f"--{modality}_errors", type=flags.share, metavar="P", help=text)
        text = f"how far {teacher} is pulled from its own to the {other} truth, 0 to 1"
        add(f"--{modality}_leak", type=flags.share, metavar="P", help=text)
    return parser


def dials(args: argparse.Namespace) -> Dials:
    """The numbers of --like, with those that flags say."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    world = WORLDS[args.like]
    world = world._replace(**{name: given[name] for name in ("snr_audio", "snr_visual") if name in given})
    teachers = {}
    for modality in ("audio", "visual"):
        teacher = getattr(world, modality)
        names = {name: f"{modality}_{name}" for name in teacher._fields}
        teachers[modality] = teacher._replace(**{n: given[flag] for n, flag in names.items() if flag in given})
    return world._replace(**teachers)


def statistics(args: argparse.Namespace, names: tuple[str, ...]) -> tuple[Statistics, str]:
    """The statistics that the flags ask for, and where they are from. Raises InputError if files are missing."""
    folder = args.statistics_from
    if folder is None and all(Path("data", name).is_file() for name in REFERENCE_FILES.values()):
        folder = Path("data")
    if folder:
        return measure_folder(folder, names), f"{folder}/{', '.join(REFERENCE_FILES.values())}"
    return read_statistics(LLP_STATISTICS, names), f"the project's table of LLP's val and test ({LLP_STATISTICS.name})"


def main(args: argparse.Namespace) -> None:
    """Write the data set. Raises InputError for bad input, or if --out exists and is not an empty folder."""
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise InputError(f"{args.out}: exists and is not an empty folder; choose another --out")
    require_room_for_files("--out", args.out)
    if args.seconds and not args.seconds[0] <= args.seconds[1] <= LONGEST:
        raise InputError(f"--seconds {args.seconds[0]} {args.seconds[1]}: expected MIN, and MAX from MIN to {LONGEST}")
    classes = read_dataset(args.dataset, args.classes).classes
    measured, source = statistics(args, class_names(classes))
    kinds = [kind for kind in KINDS.values() if args.all_features or kind.name in BASE]
    world = World(dials(args), measured, args.seed, kinds, classes)
    print(f"statistics of label tracks: {source}, {measured.set_counts.sum()} videos", flush=True)
    start, counts = time.perf_counter(), {split: getattr(args, split) for split in SPLIT_FILES}
    if args.seconds:
        scores = write_ragged(args.out, world, counts, tuple(args.seconds))
        print(score_table({f"teachers, {split}": row for split, row in scores.items()}, "Labels"))
    else:
        summary = write_world(args.out, world, counts)
        rows = {f"{title}, {split}": s for split in ("val", "test") for title, s in summary[split].items()}
        print(score_table(rows | {"published teachers, LLP test": summary["published"]}, "Labels"))
        print("posterior: decided at {video} (video) and {segment} (segments)".format(**summary["thresholds"]))
    seconds = time.perf_counter() - start
    rate = sum(counts.values()) / seconds
    print(f"{args.out}: {', '.join(f'{n} {split}' for split, n in counts.items())} videos, {rate:.0f} a second")


if __name__ == "__main__":
    command.run(main, get_args_parser())
