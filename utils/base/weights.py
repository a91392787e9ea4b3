"""Local files of weights: read without running code from them, and one line for what is wrong with one."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from utils.base.errors import InputError


def require_weights(path: Path, what: str) -> None:
    """InputError where there is no file at `path`; `what` was expected there."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected {what}")


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file: safetensors, a PyTorch state dict, or a TorchScript archive as OpenAI's are."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path}: not a file of weights, or a damaged one ({error})") from error
    if zipfile.is_zipfile(path) and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(path).namelist()):
        state = dict(torch.jit.load(path, map_location="cpu").state_dict())
        return {name: value for name, value in state.items() if "." in name or value.ndim or name == "logit_scale"}
    return load_state_dict(path)


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a PyTorch file, also one inside a training checkpoint, without running code from it.

    Raises InputError where there is none.
    """
    # what training checkpoints hold beside tensors: learning rates that numpy computed
    numbers = [np.core.multiarray.scalar, np.dtype, *(type(np.dtype(d)) for d in ("f8", "f4", "i8"))]
    try:
        with torch.serialization.safe_globals(numbers):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError) as error:
        lines = str(error).strip().splitlines()
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0] if lines else "damaged")
        raise InputError(f"{path}: not a file of weights, or a damaged one ({reason})") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: holds no state dict")
    return {name.removeprefix("module."): value for name, value in state.items()}


def first_mismatch(error: Exception) -> str:
    """The first complaint of load_state_dict, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[1] if len(lines) > 1 else lines[0]
    return text if len(text) < 200 else f"{text[:200]} ..."
