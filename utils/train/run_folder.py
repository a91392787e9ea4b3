"""The folder of a run, `models/<model_name>/`: its arguments, its logs, and whether a run can go on in it."""

import contextlib
import json
import math
import shutil
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, append_line, locked_path, remove_leftovers, write_bytes, write_text
from utils.base.flags import LLP_CLASSES
from utils.llp.carried import CLASSES, DATA_SET, carried_dataset, is_same
from utils.llp.classes import read_class_names
from utils.llp.datasets import LLP, DataSet, read_dataset, write_dataset
from utils.train import checkpoint
from utils.train.arguments import ARGUMENTS, arguments_text, read_arguments, require_same_arguments

EPOCH_LOG = "log.jsonl"
ITERATION_LOG = "iterations.jsonl"
TENSORBOARD = "tensorboard"  # a folder
STATE = dict.fromkeys(("epoch", "iteration", "best_epoch"), int) | {"working_directory": str, "wandb_id": str | None}
STATE |= dict.fromkeys(("best_scores", "model", "optimizer", "random", "arguments"), dict)


class RunFolder:
    """A run's folder. Lines are written at once, checkpoints atomically.

    The state of a run is `checkpoint_last.pt`, written last in an epoch. What was written after it belongs to an
    unfinished epoch, and is dropped when the run is resumed.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._lock = contextlib.ExitStack()

    def require_new(self) -> None:
        """Raises InputError if the folder exists."""
        if self.path.exists():
            raise InputError(f"{self.path}: exists; continue it with --resume, or choose another --model_name")

    def state_to_resume(self, arguments: dict) -> dict | None:
        """The state of the locked run, or None if no epoch was finished.

        Raises InputError if it is no run, its checkpoint cannot be read, or `arguments` differ in what changes numbers.
        """
        last = self.path / checkpoint.LAST
        if last.is_file():
            state = checkpoint.load(last)
            wanted = STATE.items()
            if not isinstance(state, dict) or not all(k in state and isinstance(state[k], kind) for k, kind in wanted):
                raise InputError(f"{last}: is not a checkpoint_last.pt written by main.py; choose another --model_name")
            require_same_arguments(state, arguments, self.path)
            return state
        if any(self.path.iterdir()) and not (self.path / ITERATION_LOG).is_file():
            # a published model, say: starting over would destroy it
            raise InputError(f"{self.path}: holds no run of this program to resume; choose another --model_name")
        if self.is_trained():
            what = "the epochs that it has finished cannot be continued"
            raise InputError(f"{last}: no such file, so that {what}; put it back, or choose another --model_name")
        return None

    def is_trained(self) -> bool:
        """Whether the folder holds more than what an unfinished first epoch leaves: something that must be kept."""
        if (self.path / checkpoint.LAST).is_file():
            return True
        logs = [_log(self.path / name).splitlines() for name in (EPOCH_LOG, ITERATION_LOG)]
        epochs = [_epoch_of(line) for lines in logs for line in lines]
        weights = {path.name for path in self.path.glob("*.pt")}
        of_first = {checkpoint.BEST, checkpoint.epoch_name(1)} if logs[0] else set()  # written after the log
        only_epoch = read_arguments(self.path).get("epochs") == "1" and bool(weights)
        return any(1 < epoch < math.inf for epoch in epochs) or bool(weights - of_first) or only_epoch

    def begin(self, arguments: dict, class_file: Path, start_over: bool, dataset: DataSet = LLP) -> None:
        """Make and lock the folder, or with `start_over` drop what an unfinished first epoch left in the locked one.

        class_file: the classes of the run, which are copied into the folder; of another data set than LLP, that is.
        """
        # before anything is dropped or made: the class file may be the folder's own
        classes, text = Path(class_file).read_bytes(), arguments_text(arguments)
        if start_over:
            self.remove_files()
        else:
            self.require_new()
            self.path.mkdir(parents=True)
            self.lock()
        (self.path / ITERATION_LOG).touch()
        write_text(self.path / ARGUMENTS, text)
        if dataset.name == LLP.name:
            write_bytes(self.path / CLASSES, classes)
        else:
            write_dataset(self.path / DATA_SET, dataset)

    def remove_files(self) -> None:
        """Remove what this program writes before an epoch is finished."""
        remove_leftovers(self.path)
        shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)
        # The iteration log goes last: as long as it exists, the folder is known as a run that can be started over.
        checkpoints = (checkpoint.LAST, checkpoint.BEST, checkpoint.epoch_name(1))
        for name in (*checkpoints, ARGUMENTS, CLASSES, DATA_SET, EPOCH_LOG, ITERATION_LOG):
            (self.path / name).unlink(missing_ok=True)
            (self.path / (name + TMP_SUFFIX)).unlink(missing_ok=True)

    def discard_unfinished(self) -> None:
        """Remove a run in which no epoch was finished."""
        if not self.is_trained():
            self.remove_files()
            if not any(self.path.iterdir()):
                self.path.rmdir()

    def lock(self) -> None:
        """Keep other processes from this run until `unlock`.

        Raises InputError if another process trains it, or there is no run.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no run to resume; leave --resume out to start one")
        self._lock.enter_context(locked_path(self.path, f"{self.path}: another process is training this run"))

    def unlock(self) -> None:
        """Let other processes write to this run."""
        self._lock.close()

    def log_epoch(self, line: dict) -> None:
        """Append a line to log.jsonl."""
        append_line(self.path / EPOCH_LOG, json.dumps(line))

    def log_iteration(self, line: dict) -> None:
        """Append a line to iterations.jsonl."""
        append_line(self.path / ITERATION_LOG, json.dumps(line))

    def cut_logs(self, last_epoch: int) -> None:
        """Keep the complete lines of finished epochs, and remove files that a kill left half-written."""
        remove_leftovers(self.path)
        for name in (EPOCH_LOG, ITERATION_LOG):
            text = _log(self.path / name)
            kept = "".join(line + "\n" for line in text.splitlines() if _epoch_of(line) <= last_epoch)
            if kept != text:
                write_text(self.path / name, kept)


def class_file(folder: Path, given: Path | None) -> Path:
    """The class file of a run on LLP: its own copy, else the one that is `given`, else LLP's.

    Raises InputError if the run has other classes than `given`.
    """
    copy = Path(folder) / CLASSES
    if not copy.is_file():
        return given or LLP_CLASSES
    if given:
        wanted, found = (read_class_names(path) for path in (given, copy))
        if wanted != found:
            raise InputError(f"--classes {given}: its {len(wanted)} classes are not the {len(found)} of {copy}")
    return copy


def run_dataset(folder: Path, given: str | Path | None, classes: Path | None) -> DataSet:
    """The data set of a run: its own copy, else the one that --dataset and --classes give, else LLP.

    Raises InputError if the run has another one than is given, or other classes.
    """
    copy = Path(folder) / DATA_SET
    if not copy.is_file():
        file = class_file(folder, classes) if (Path(folder) / CLASSES).is_file() else classes
        found = read_dataset(given, file)
        if file != classes and found.name != LLP.name:
            raise InputError(f"--dataset {given}: is not LLP, on which {folder} was trained")
        return found
    found = carried_dataset(folder)
    wanted = read_dataset(given or copy, classes)
    if not is_same(wanted._replace(classes=found.classes), found):
        raise InputError(f"--dataset {given}: is not the data set of {copy}")
    if wanted.class_names != found.class_names:
        what = f"--classes {classes}" if classes else f"--dataset {given}"
        raise InputError(f"{what}: its {len(wanted.classes)} classes are not the {len(found.classes)} of {copy}")
    return found._replace(folder=wanted.folder) if given else found


def _log(path: Path) -> str:
    """The text of a log, '' if there is no such file; what is no text cannot be a line of a finished epoch."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _epoch_of(line: str) -> float:
    """Epoch of a log line; infinite for one that was cut off, or says nothing of the kind."""
    try:
        return float(int(json.loads(line)["epoch"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf
