"""The random numbers of a run: all come from torch's global generators (spec, section 4)."""

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed numpy and torch."""
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)  # the CPU and all CUDA devices


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """State of the generators that a run on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
