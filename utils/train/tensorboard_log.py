"""Optional logging to TensorBoard, in the folder of the run."""

import json
import shutil
from pathlib import Path
from typing import Self

from utils.base.errors import InputError
from utils.train.run_folder import EPOCH_LOG, ITERATION_LOG, TENSORBOARD


class TensorboardLog:
    """Files of TensorBoard that say what the logs of a run say. kind: TensorBoard's class of writers."""

    id = None  # nothing that a resumed run needs: it writes the files anew

    def __init__(self, kind: type):
        self.kind, self.writer = kind, None

    @classmethod
    def start(cls) -> Self:
        """Import TensorBoard. Raises InputError if it is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs TensorBoard: pip install tensorboard") from error
        return cls(SummaryWriter)

    def begin(self, run: Path) -> None:
        """Replace the files in the folder of a run by new ones, which hold what its logs hold so far."""
        shutil.rmtree(run / TENSORBOARD, ignore_errors=True)
        self.writer = self.kind(str(run / TENSORBOARD))
        for name, log in ((ITERATION_LOG, self.log_iteration), (EPOCH_LOG, self.log_epoch)):
            for line in (run / name).read_text(encoding="utf-8").splitlines() if (run / name).is_file() else ():
                log(json.loads(line))

    def log_iteration(self, line: dict) -> None:
        """line: of iterations.jsonl: `epoch`, `iter`, losses (None: not computed), `grad_norm`."""
        self._log("iteration", line, line["iter"])

    def log_epoch(self, line: dict) -> None:
        """line: of log.jsonl: `epoch`, `lr`, `seconds`, losses, scores."""
        self._log("epoch", line, line["epoch"])

    def _log(self, kind: str, line: dict, step: int) -> None:
        for name, value in line.items():
            if value is not None and name not in ("epoch", "iter"):
                self.writer.add_scalar(f"{kind}/{name}", value, step)

    def finish(self) -> None:
        """Write what is left, and close the files."""
        if self.writer:
            self.writer.close()
