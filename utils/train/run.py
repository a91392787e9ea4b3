"""One training run: where it starts or resumes, what it prints and writes after each epoch. Rank 0 does the writing."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import nn

from utils.base.devices import random_state, set_random_state
from utils.base.distributed import ProcessGroup
from utils.base.errors import InputError
from utils.base.files import write_json
from utils.base.weights import must_fit
from utils.llp.datasets import LLP, DataSet
from utils.metrics.protocols import tables_text
from utils.metrics.tables import plain_scores
from utils.train import checkpoint, trackers
from utils.train.arguments import plain, require_same_arguments
from utils.train.losses import TOTAL
from utils.train.next_step import next_commands
from utils.train.run_folder import RunFolder, class_file
from utils.train.schedule import place_learning_rate


class Run:
    """A run in its folder. Use it as a context: inside, other processes cannot train the same run.

    Args:
        path: folder of the run.
        arguments: what changes its numbers, by the names of the flags, and `epochs`, `save_epochs`.
        resume: go on after its last finished epoch instead of starting in a new folder.
        classes: class file that --classes gives, if any.
        dataset: of the run.
        best_by: the validation scores whose mean is highest in the best epoch.

    Raises InputError if the folder exists, cannot be resumed, or was trained with other arguments.
    """

    def __init__(
        self,
        path: Path,
        group: ProcessGroup,
        arguments: dict,
        resume: bool,
        classes: Path | None,
        dataset: DataSet = LLP,
        best_by: tuple[str, ...] = ("Seg-type",),
    ):
        self.folder, self.group, self.resume, self.classes = RunFolder(path), group, resume, classes
        self.dataset, self.best_by = dataset, best_by
        self.judge = "F" if best_by[0].startswith("Seg") else " and ".join(best_by)
        self.arguments, self.trackers, self.began = arguments, [], False
        self.state: dict | None = None  # what checkpoint_last.pt holds

    def __enter__(self) -> Self:
        try:
            if self.group.is_rank_zero and self.resume:
                self.folder.lock()
                class_file(self.folder.path, self.classes)  # the same classes?
                self.state = self.folder.state_to_resume(self.arguments)
            elif self.group.is_rank_zero:
                self.folder.require_new()
            self.state = self.group.broadcast_object(self.state)
        except BaseException:
            self.folder.unlock()
            raise
        return self

    def __exit__(self, kind, error, traceback) -> None:
        is_bad = isinstance(error, (InputError, RuntimeError))  # a loss is not finite, too little memory
        if self.began and not self.epoch and is_bad:
            self.folder.discard_unfinished()
        self.folder.unlock()
        if isinstance(error, KeyboardInterrupt):
            text = f"go on in {self.folder.path} with --resume"
            raise KeyboardInterrupt(text if self.folder.path.exists() else "nothing was trained yet") from None
        if isinstance(error, torch.OutOfMemoryError):
            raise InputError(f"{self.device} has too little memory; lower --batch_size") from error

    @property
    def epoch(self) -> int:
        """The last finished epoch, 0 before the first."""
        return self.state["epoch"] if self.state else 0

    @property
    def iteration(self) -> int:
        """Iterations until the last finished epoch."""
        return self.state["iteration"]

    def title(self, epoch: int) -> str | None:
        """Title of the progress bar of an epoch; None on ranks that show no bar."""
        return f"Epoch {epoch}/{self.arguments['epochs']}" if self.group.is_rank_zero else None

    def begin(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        settings: dict,
        extra: dict,
        wanted: trackers.Wanted,
    ) -> None:
        """Bring network, optimizer and random numbers to the point where the run stopped, or make its folder.

        settings: all flags, with what was read off the files; extra: what else must be the same to resume; wanted: what
        draws the curves.

        Raises InputError if the arguments differ from those of the run, or a tracker is wanted and not installed.
        """
        self.arguments = self.arguments | settings | extra
        self.net, self.optimizer, self.device = net, optimizer, device
        if self.state:
            require_same_arguments(self.state, self.arguments, self.folder.path)
        settings = {name: plain(value) for name, value in settings.items()}
        if self.group.is_rank_zero:
            self.trackers = trackers.start(wanted, settings, self.state)
        if self.state:
            with must_fit(self.folder.path / checkpoint.LAST, "this run"):
                net.load_state_dict(self.state["model"])
                optimizer.load_state_dict(self.state["optimizer"])
                place_learning_rate(optimizer, device)
                states = [self.state["random"], *self.state.get("random_of_others", ())]
                set_random_state(states[self.group.rank], device)
            if self.group.is_rank_zero:
                self.folder.cut_logs(self.epoch)
        else:
            if self.group.is_rank_zero:
                classes = class_file(self.folder.path, self.classes)
                self.folder.begin(settings, classes, self.resume, self.dataset)
            self.state = {"epoch": 0, "iteration": 0, "best_epoch": 0, "best_scores": {}}
        self.began = self.group.is_rank_zero
        for tracker in self.trackers:
            tracker.begin(self.folder.path)

    def log_iteration(self, epoch: int, values: dict[str, float]) -> None:
        """Log the losses of one iteration."""
        if self.group.is_rank_zero:
            line = {"epoch": epoch, **values}
            self.folder.log_iteration(line)
            for tracker in self.trackers:
                tracker.log_iteration(line)

    def finish_epoch(
        self,
        epoch: int,
        iterations: int,
        lr: float,
        seconds: float,
        losses: dict,
        validation: tuple[dict, dict[str, float]] | None,
    ) -> None:
        """Print and log the results of an epoch, keep the best weights, and write everything to resume from.

        Args:
            iterations: in the epoch. losses: of training, by their names in the logs.
            validation: the same of validation, and the ten scores; rank 0 alone has them.
        """
        random, *others = self.group.all_gather_object(random_state(self.device))
        self.state |= {"epoch": epoch, "iteration": self.state["iteration"] + iterations}
        if not self.group.is_rank_zero:
            return
        val_losses, scores = validation
        self._report(epoch, lr, seconds, losses, val_losses, scores)
        weights = self.net.state_dict()
        if self._judged(scores) > self._judged(self.state["best_scores"]):
            self.state |= {"best_epoch": epoch, "best_scores": scores}
            checkpoint.save(self.folder.path / checkpoint.BEST, weights)
        if self.arguments["save_epochs"]:
            checkpoint.save(self.folder.path / checkpoint.epoch_name(epoch), weights)
        self.state |= {
            "model": weights,
            "optimizer": self.optimizer.state_dict(),
            "random": random,
            "arguments": {name: plain(value) for name, value in self.arguments.items()},
            "working_directory": str(Path.cwd()),
            "wandb_id": next((tracker.id for tracker in self.trackers if tracker.id), None),
        } | ({"random_of_others": others} if others else {})
        checkpoint.save(self.folder.path / checkpoint.LAST, self.state)  # last: only now is the epoch finished

    def _judged(self, scores: dict[str, float]) -> float:
        """What tells the best epoch: the mean of those scores that are defined; 0 without scores."""
        values = [scores[name] for name in self.best_by if not math.isnan(scores.get(name, math.nan))]
        return sum(values) / len(values) if values else 0.0

    def _report(self, epoch: int, lr: float, seconds: float, losses, val_losses, scores) -> None:
        """Print the published line, and log everything."""
        head = f"Epoch[{epoch}/{self.arguments['epochs']}](Time:{seconds:.2f} sec)(lr:{lr:.6f})"
        both = f"Train Loss: {losses[TOTAL]:.3f} Val Loss: {val_losses[TOTAL]:.3f}"
        print(f"{head} {both}  Val {self.judge}: {self._judged(scores):.3f}", flush=True)
        train = {f"train_{name}": value for name, value in losses.items()}
        val = {f"val_{name}": value for name, value in val_losses.items()}
        line = {"epoch": epoch, "lr": lr, "seconds": seconds, **train, **val, **scores}
        self.folder.log_epoch(line)
        for tracker in self.trackers:
            tracker.log_epoch(line)

    def finish(self, json: Path | None, commands: Sequence[str] | None = None) -> dict[str, float]:
        """Print and return the validation scores of the best epoch; print where its weights are, and what to type next.

        json: to write the scores to. commands: that make use of the weights; None: of a parser of events.
        """
        for tracker in self.trackers:
            tracker.finish()
        scores, best = self.state["best_scores"], self.folder.path / checkpoint.BEST
        if not self.group.is_rank_zero:
            return scores
        if not self.state["best_epoch"]:
            where = f"{self.folder.path}: no epoch scored above 0 in {' and '.join(self.best_by)} on validation"
            print(f"{where}: there is no {best.name}")
            return scores
        print(f"Best {'F ' * (self.judge == 'F')}scores (at epoch {self.state['best_epoch']}):")
        print(tables_text(self.dataset, {"Val": scores}))
        if best.is_file():
            print(f"{best} holds these weights", flush=True)
        else:
            print(f"note: {best}, which scored this, is no longer there", file=sys.stderr)
        if best.is_file() and not self.arguments.get("seeds"):  # several seeds are tested at once
            commands = next_commands(self.arguments, self.dataset, best) if commands is None else commands
            print("Next:", *commands, sep="\n  ")
        if json:
            write_json(json, plain_scores(scores))
        return scores
