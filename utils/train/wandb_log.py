"""Optional logging to Weights & Biases, under the published names."""

from typing import Self

from utils.base.errors import InputError


class WandbLog:
    """A Weights & Biases run, or nothing: with `run` None every method does nothing."""

    def __init__(self, run=None):
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
    def id(self) -> str | None:
        """What a resumed run is continued by, None without one."""
        return self.run.id if self.run else None

    def log_iteration(self, epoch: int, values: dict) -> None:
        """values: `iter`, losses (None: not computed) and `grad_norm` of a training step."""
        if self.run:
            losses = {f"train {name}": value for name, value in values.items() if name.startswith("loss_")}
            self._log({**losses, "grad_norm": values["grad_norm"], "iters": values["iter"], "epoch": epoch})

    def log_epoch(self, epoch: int, lr: float, val_losses: dict, scores: dict[str, float]) -> None:
        """val_losses and the ten scores of the epoch's validation."""
        if self.run:
            published = {"audio": "Seg-a", "visual": "Seg-v", "type": "Seg-type"}
            f_scores = {f"Segment-level {kind} F score": scores[key] for kind, key in published.items()}
            losses = {f"val {name}": value for name, value in val_losses.items()}
            self._log({**losses, **f_scores, "lr": lr, "epoch": epoch})

    def _log(self, values: dict) -> None:
        self.run.log({name: value for name, value in values.items() if value is not None})

    def finish(self) -> None:
        """Close the run."""
        if self.run:
            self.run.finish()
