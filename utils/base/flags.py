"""Command-line flags: their types, and the groups that several commands share."""

import argparse
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from utils.base.parser import ArgumentParser, refuse  # noqa: F401 (commands take them from here)

LLP_CLASSES = Path(__file__).parents[1] / "llp.yaml"
DATA_SETS = Path(__file__).parents[1] / "datasets"  # a YAML file of each data set that --dataset knows by name
PRECISIONS = ("fp32", "bf16", "fp16")
LABELS_FLAG, LOGITS_FLAG = "--pseudo_labels_saved_dir", "--logits_saved_dir"
GPU_HELP = "number of the CUDA device, -1: CPU; without CUDA always the CPU; under torchrun each process has its own"


def _checked(text: str, convert: Callable, fits: Callable, problem: str):
    """The number that a flag gives. Raises argparse's error if it does not fit."""
    value = convert(text)
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text} {problem}")
    return value


def _natural(text: str) -> int:
    """A whole number of at least 0, however large."""
    return _checked(text, int, lambda value: value >= 0, "is below 0")


def non_negative_int(text: str) -> int:
    """argparse type: a whole number of at least 0 that every library can count to."""
    return _checked(text, _natural, lambda value: value < 2**31, "is not below 2**31")


def positive_int(text: str) -> int:
    """argparse type: a whole number of at least 1 that every library can count to."""
    number = _checked(text, int, lambda value: value >= 1, "is not a whole number of at least 1")
    return non_negative_int(str(number))


def non_negative_float(text: str) -> float:
    """argparse type: a finite number of at least 0."""
    return _checked(text, float, lambda value: 0 <= value < math.inf, "is not a finite number of at least 0")


def seed(text: str) -> int:
    """argparse type: what torch takes as a seed."""
    return _checked(text, _natural, lambda value: value < 2**64, "is not below 2**64")


def positive_float(text: str) -> float:
    """argparse type: a finite number above 0."""
    return _checked(text, non_negative_float, lambda value: value > 0, "is not above 0")


def unit_float(text: str) -> float:
    """argparse type: a number in [0, 1), as Adam's betas are."""
    return _checked(text, non_negative_float, lambda value: value < 1, "is not in [0, 1)")


def at_most(limit: float) -> Callable[[str], float]:
    """argparse type: a number from 0 to `limit`."""
    return lambda text: _checked(text, float, lambda value: 0 <= value <= limit, f"is not a number from 0 to {limit}")


share = at_most(1)  # argparse type


def gives_way(value: bool | float | str) -> bool | float | str:
    """A flag's default that equals `value`, and can be told from what is given."""
    return type("Default", (type(value),), {})(value)


def is_given(value: object) -> bool:
    """Whether the value of a flag is given, and no default."""
    return value is not None and type(value).__name__ != "Default"


# flag -> what it is about, and its default for LLP; that of another data set is in its own folder
FOLDERS = {
    "audio_dir": ("audio features", "feats/vggish"),
    "video_dir": ("visual features", "feats/res152"),
    "st_dir": ("spatio-temporal features", "feats/r2plus1d_18"),
    "v_pseudo_data_dir": ("visual segment-level pseudo labels", "CLIP/segment_pseudo_labels"),
    "a_pseudo_data_dir": ("audio segment-level pseudo labels", "CLAP/segment_pseudo_labels"),
    "label_train": ("videos and their event names", "AVVP_train.csv"),
    "label_val": ("videos to validate on", "AVVP_val_pd.csv"),
    "label_test": ("videos to test on", "AVVP_test_pd.csv"),
}
DATA, OF_DATA_SET = "./data", "in the folder of the data set, ./data for LLP"


def folder_flags(data: Path) -> list[str]:
    """The flags of main.py for files in LLP's layout in a folder, as words of a command line."""
    return [*(f"--{name}={data / path}" for name, (_, path) in FOLDERS.items()), f"--gt_dir={data}"]


def add_data_flags(group: argparse._ArgumentGroup) -> None:
    """Where the features, labels and lists of the three splits are: main.py and utils/pack_features.py."""
    add_folder_flags(group, FOLDERS)


def add_folder_flags(group: argparse._ActionsContainer, table: Mapping[str, tuple[str, str]]) -> None:
    """Where something is; the defaults give way to those of another data set than LLP."""
    for name, (what, path) in table.items():
        group.add_argument(f"--{name}", default=gives_way(f"{DATA}/{path}"), help=what)


def add_pseudo_label_flags(group: argparse._ActionsContainer) -> None:
    """Where the teachers' pseudo labels are."""
    add_folder_flags(group, {name: entry for name, entry in FOLDERS.items() if "pseudo" in name})


def add_logits_flags(group: argparse._ActionsContainer, use: str = "") -> None:
    """Where the teachers' logits are, for commands that can do without; use: what they are for."""
    for flag, what in (("v", "visual"), ("a", "audio")):
        text = f"{use}{what} logits, (10, C) float32 a video, as the teachers' {LOGITS_FLAG} writes them"
        group.add_argument(f"--{flag}_logits_dir", type=Path, metavar="D", help=text)


def add_text_flags(group: argparse._ActionsContainer) -> None:
    """Where the texts of the classes are, for the commands of the temporal teacher."""
    for flag, teacher in (("a", "CLAP"), ("v", "CLIP")):
        text = f"texts of the classes in {teacher}'s space, (C, D) .npy, as embed_captions.py writes them"
        group.add_argument(f"--text_{flag}", type=Path, required=True, metavar="FILE", help=text)


def add_reference_flags(parser: argparse.ArgumentParser, default: str = "the data set's test videos") -> None:
    """The flags of every command that reads the reference annotations of a split; default: of --label_csv, in words."""
    help_text = f"the videos, in a column `filename` (default: {default})"
    parser.add_argument("--label_csv", type=Path, help=help_text)
    add_gt_dir_flag(parser)
    add_dataset_flags(parser)


def add_gt_dir_flag(group: argparse._ActionsContainer) -> None:
    """Where the reference annotations are."""
    text = "folder of the reference annotations, AVVP_eval_{audio,visual}.csv for LLP"
    group.add_argument("--gt_dir", default=gives_way(DATA), help=text)


def add_scoring_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that compares predictions with the reference."""
    add_pred_dir_flag(parser, required=True)
    add_reference_flags(parser)


def add_pred_dir_flag(group: argparse._ActionsContainer, **settings) -> None:
    """Where predictions are."""
    group.add_argument("--pred_dir", type=Path, help="folder of pred_{audio,visual}.csv and classes.yaml", **settings)


def add_dataset_flags(group: argparse._ActionsContainer, of_run: bool = False) -> None:
    """`--dataset NAME|FILE` and `--classes FILE`, for every command that knows classes; of_run: a run has its own."""
    add_dataset_flag(group, of_run)
    text = "YAML list of the event classes, like utils/llp.yaml; if not given, those of the data set"
    group.add_argument("--classes", type=Path, metavar="FILE", help=text)


def add_dataset_flag(group: argparse._ActionsContainer, of_run: bool = False) -> None:
    """`--dataset NAME|FILE`."""
    names = ", ".join(sorted(path.stem for path in DATA_SETS.glob("*.yaml")))
    default = f"{'the one of the run, else ' * of_run}llp"
    text = f"{names}, or a YAML file that describes the data set; if not given, {default}"
    group.add_argument("--dataset", metavar="NAME|FILE", help=text)


def add_network_flags(parser: argparse.ArgumentParser, usual: str) -> None:
    """The flags of every command that runs an encoder over videos: where, with which weights, how precisely.

    usual: videos in a batch, if --batch_size is not given, in words.
    """
    model = parser.add_argument_group("model")
    model.add_argument("--gpu", default="0", help=GPU_HELP)
    model.add_argument("--checkpoint", type=Path, metavar="FILE", help="local weights, instead of the published ones")
    model.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network")
    text = f"videos that the network gets at once (default: {usual})"
    model.add_argument("--batch_size", type=positive_int, help=text)


def add_teacher_flags(parser: argparse.ArgumentParser, teacher: str, features_flag: str, gpu_batch: int) -> None:
    """The flags of a teacher's command, beside those that say where its videos are.

    teacher: name of its folder in data/; features_flag: published name of the flag for its features.
    """
    data = parser.add_argument_group("data")
    add = data.add_argument
    add_list_flag(data)
    text = f"folder to write pseudo labels to, (T, C) int64 (default: {teacher}/segment_pseudo_labels {OF_DATA_SET})"
    add(LABELS_FLAG, type=Path, help=text)
    text = f"folder to write features to, float32 (default: {teacher}/features {OF_DATA_SET})"
    add(features_flag, type=Path, help=text)
    text = "folder to write the logits to, too, (T, C) float32, before thresholds"
    add(LOGITS_FLAG, type=Path, metavar="DIR", help=text)
    add_dataset_flags(data)
    add_network_flags(parser, f"{gpu_batch} on a GPU, 1 on the CPU, which is as fast with one")
    add_extraction_flags(parser)


def add_list_flag(group: argparse._ActionsContainer) -> None:
    """The videos that a command goes through."""
    text = "the videos and their event names (default: those of the data set, AVVP_dataset_full.csv for LLP)"
    group.add_argument("--label_all_dataset", type=Path, nargs="+", metavar="CSV", help=text)


def teacher_folders(args: argparse.Namespace, features_flag: str, teacher: str, data: str) -> dict[str, Path | None]:
    """The folders to write to that the flags of a teacher's command say, by flag; data: the data set's folder."""
    default = {LABELS_FLAG: "segment_pseudo_labels", features_flag: "features"}
    default = {flag: Path(data, teacher, folder) for flag, folder in default.items()}
    given = {flag: getattr(args, flag.removeprefix("--")) for flag in (*default, LOGITS_FLAG)}
    return {flag: folder or default.get(flag) for flag, folder in given.items()}


def add_extraction_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that goes through many videos."""
    add = parser.add_argument_group("going through many videos").add_argument
    add("--workers", type=positive_int, default=min(8, os.cpu_count() or 1), help="videos that are read at a time")
    add("--num_shards", type=positive_int, default=1, metavar="K", help="split the list in K parts, for K machines")
    add("--shard", type=non_negative_int, default=0, metavar="I", help="which part to do, 0 to K - 1")
    text = "CSV of the videos that failed, `id,reason` (default: failures.csv in the first output folder, "
    add("--failures", type=Path, metavar="FILE", help=f"{text}failures.shardI.csv with several shards)")
    add("--print_progress", action="store_true", help="print a line for each video, too")
