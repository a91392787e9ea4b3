"""Optional logging to Weights & Biases, under the published names."""

from pathlib import Path
from typing import Self

from utils.base.errors import InputError


class WandbLog:
    """A Weights & Biases run."""

    def __init__(self, run):
        self.run = run

    @classmethod
    def start(cls, project: str, name: str | None, arguments: dict, state: dict | None) -> Self:
        """Import wandb and start a run, or continue the one of `state`.

        Raises InputError if wandb is not installed, or has no key or no network.
        """
        try:
            import wandb
        except ImportError as error:
            raise InputError("--use_wandb needs wandb: pip install wandb") from error
        run_id = state["wandb_id"] if state else None
        try:
            return cls(wandb.init(project=project, name=name, config=arguments, id=run_id, resume="allow"))
        except Exception as error:  # wandb's own errors have no base that its stand-ins and older versions share
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            instead = "`wandb login` stores a key; WANDB_MODE=offline needs none"
            raise InputError(f"--use_wandb: wandb starts no run ({reason}); {instead}") from error

    @property
    def id(self) -> str:
        """What a resumed run is continued by."""
        return self.run.id

    def begin(self, run: Path) -> None:
        """It writes nothing to the folder of the run."""

    def log_iteration(self, line: dict) -> None:
        """line: of iterations.jsonl: `epoch`, `iter`, losses (None: not computed), `grad_norm`."""
        losses = {f"train {name}": value for name, value in line.items() if name.startswith("loss_")}
        self._log({**losses, "grad_norm": line["grad_norm"], "iters": line["iter"], "epoch": line["epoch"]})

    def log_epoch(self, line: dict) -> None:
        """line: of log.jsonl: `epoch`, `lr`, `seconds`, losses, scores."""
        published = {"audio": "Seg-a", "visual": "Seg-v", "type": "Seg-type"}
        f_scores = {f"Segment-level {kind} F score": line[key] for kind, key in published.items() if key in line}
        losses = {name.replace("_", " ", 1): value for name, value in line.items() if name.startswith("val_")}
        self._log({**losses, **f_scores, "lr": line["lr"], "epoch": line["epoch"]})

    def _log(self, values: dict) -> None:
        self.run.log({name: value for name, value in values.items() if value is not None})

    def finish(self) -> None:
        """Close the run."""
        self.run.finish()
