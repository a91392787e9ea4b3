"""Weights & Biases and TensorBoard, which draw the curves of a run: optional, and fed with what the run logs."""

from collections.abc import Callable
from typing import NamedTuple

from utils.train.tensorboard_log import TensorboardLog
from utils.train.wandb_log import WandbLog

Tracker = TensorboardLog | WandbLog


def add_tracker_flags(add: Callable) -> None:
    """Which of them a run uses; add: the method of a group of flags."""
    add("--use_wandb", action="store_true", help="log to Weights & Biases, too")
    add("--wandb_project_name", default="Baseline", help="Weights & Biases project")
    add("--wandb_run_name", help="Weights & Biases name of the run")
    add("--tensorboard", action="store_true", help="log to TensorBoard, too: `tensorboard --logdir MODEL_SAVE_DIR`")


class Wanted(NamedTuple):
    """Which of them a run uses, and the run's names for Weights & Biases."""

    wandb: bool = False
    project: str = ""
    name: str | None = None
    tensorboard: bool = False


def start(wanted: Wanted, settings: dict, state: dict | None) -> list[Tracker]:
    """Those that are wanted. settings: of the run, by flag. state: of the run that is resumed, None of a new one.

    Raises InputError if one is not installed, or starts no run.
    """
    found = [WandbLog.start(wanted.project, wanted.name, settings, state)] if wanted.wandb else []
    return found + ([TensorboardLog.start()] if wanted.tensorboard else [])
