"""`arguments.txt` of a run: written, read, and compared when the run is resumed."""

import os
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import read_text

ARGUMENTS = "arguments.txt"
MAX_ARGUMENTS = 2**20  # bytes
PATHS = {"audio_dir", "video_dir", "st_dir", "a_pseudo_data_dir", "v_pseudo_data_dir", "label_train", "label_val"}
PATHS |= {"gt_dir", "packed", "a_logits_dir", "v_logits_dir", "label_thresholds", "annotations", "text_a", "text_v"}
# Arguments that change no number of a run; all others must be the same when it is resumed.
FREE_TO_CHANGE = {"gpu", "mode", "label_test", "model_name", "model_save_dir", "resume", "seeds", "num_workers"}
FREE_TO_CHANGE |= {"use_wandb", "wandb_project_name", "wandb_run_name", "tensorboard", "checkpoint"}
FREE_TO_CHANGE |= {"json", "save_predictions", "classwise"}
FREE_TO_CHANGE |= {"thresholds", "tune_thresholds", "log_every", "save_epochs", "no_cache", "cache_dir", "memory_limit"}
FREE_TO_CHANGE |= {"classes", "dataset"}  # `run_dataset` compares them
NOT_FLAGS = {
    "device": "the device",
    "processes": "the number of processes",
    "packed_plan": "the contents of --packed, by its plan,",
    "teacher_thresholds": "the list of the teachers' thresholds",
}


def arguments_text(arguments: dict) -> str:
    """`arguments.txt`, as `read_arguments` reads it. Raises InputError if a value is not one line."""
    for name, value in arguments.items():
        if f"{value}|".splitlines() != [f"{value}|"]:
            raise InputError(f"--{name} {str(value)!r}: holds a line end, expected one line, as {ARGUMENTS} keeps it")
    lines = [f"{key}: {value}" for key, value in arguments.items()]
    return "\n".join(["-" * 25 + "start" + "-" * 25, *lines, "-" * 26 + "end" + "-" * 26, ""])


def read_arguments(folder: Path) -> dict[str, str]:
    """`arguments.txt` of a run, this program's or the release's, as strings; empty if there is none.

    Raises InputError if it is not text.
    """
    path = Path(folder) / ARGUMENTS
    if not path.exists():
        return {}
    lines = read_text(path, "expected the arguments of a run", MAX_ARGUMENTS).splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def plain(value) -> bool | int | float | str:
    """An argument as it is written down."""
    return value if isinstance(value, (bool, int, float)) else str(value)


def require_same_arguments(state: dict, current: dict, where: Path) -> None:
    """Raises InputError naming the arguments that change numbers and differ from those of a run's `state`.

    A path may be written in another way.
    """
    saved, saved_cwd = state["arguments"], state["working_directory"]
    current = {name: plain(value) for name, value in current.items()}

    def same(name, old, new):
        if old == new or name not in PATHS:
            return old == new
        return os.path.realpath(os.path.join(saved_cwd, old)) == os.path.realpath(new)

    different = [
        f"{NOT_FLAGS.get(name, f'--{name}')} was {saved[name]}, is {value}"
        for name, value in current.items()
        if name not in FREE_TO_CHANGE and name in saved and not same(name, saved[name], value)
    ]
    if different:
        raise InputError(f"{where}: cannot resume with other arguments: {'; '.join(different)}")
