"""Optional logging to TensorBoard, in the folder of the run."""

from pathlib import Path
from typing import Self

from utils.base.errors import InputError

FOLDER = "tensorboard"  # in the folder of the run


class TensorboardLog:
    """A writer of TensorBoard's files, or nothing: with `writer` None every method does nothing."""

    def __init__(self, writer=None):
        self.writer = writer

    @classmethod
    def start(cls, run: Path) -> Self:
        """Import TensorBoard, and write to the folder of a run.

        Raises InputError if TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs TensorBoard: pip install tensorboard") from error
        return cls(SummaryWriter(str(run / FOLDER)))

    def log_iteration(self, epoch: int, values: dict) -> None:
        """values: `iter`, losses (None: not computed) and `grad_norm` of a training step, as in iterations.jsonl."""
        self._log("iteration", {name: value for name, value in values.items() if name != "iter"}, values["iter"])

    def log_epoch(self, line: dict) -> None:
        """line: as in log.jsonl."""
        self._log("epoch", {name: value for name, value in line.items() if name != "epoch"}, line["epoch"])

    def _log(self, kind: str, values: dict, step: int) -> None:
        if self.writer:
            for name, value in values.items():
                if value is not None:
                    self.writer.add_scalar(f"{kind}/{name}", value, step)

    def finish(self) -> None:
        """Write what is left, and close the files."""
        if self.writer:
            self.writer.close()
