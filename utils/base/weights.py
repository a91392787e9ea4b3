"""Local files of weights: the one reader, which runs no code from them and says in one line what is wrong.

A state dict maps names of parameters to tensors of any shape (...).
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from utils.base.errors import InputError


def require(path: Path, what: str) -> None:
    """Raise InputError if there is no file at `path`; `what` was expected there."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected {what}")


def load(path: Path, what: str = "file of weights", data: bytes | None = None) -> object:
    """What torch.save wrote to a file, on the CPU.

    Args:
        what: the file should be, for the message.
        data: the file's bytes, if they have been read already.

    Raises InputError if the file is damaged, or holds more than tensors and plain values.
    """
    # what training checkpoints hold beside tensors: learning rates that numpy computed
    numbers = [np.core.multiarray.scalar, np.dtype, *(type(np.dtype(d)) for d in ("f8", "f4", "i8"))]
    try:
        with torch.serialization.safe_globals(numbers):
            return torch.load(path if data is None else io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises for damaged bytes is any of a dozen kinds
        if any(word in str(error) for word in ("Unsupported", "weights_only")):
            reason = "it holds Python objects, which are never loaded"  # torch advises to run whatever code is in it
        else:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path}: not a {what}, or damaged; copy or download it again ({reason})") from error


def read(path: Path, what: str = "weights") -> dict[str, torch.Tensor]:
    """The state dict in a file: safetensors, a TorchScript archive as OpenAI's are, or PyTorch's own, also one inside a
    training checkpoint. Its tensors have any shape (...).

    Raises InputError if there is no file, where `what` was expected, or it is damaged, or holds no state dict.
    """
    require(path, what)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path}: not a file of weights, or damaged; copy it again ({error})") from error
    if zipfile.is_zipfile(path) and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(path).namelist()):
        state = dict(torch.jit.load(path, map_location="cpu").state_dict())
        return {name: value for name, value in state.items() if "." in name or value.ndim or name == "logit_scale"}
    state = load(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: holds no state dict")
    return {name.removeprefix("module."): value for name, value in state.items()}


@contextlib.contextmanager
def must_fit(source: object, what: str) -> Iterator[None]:
    """Let load_state_dict fail with its first complaint. Raises InputError if the weights of `source` do not fit."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = lines[1] if len(lines) > 1 else lines[0]
        mismatch = text if len(text) < 200 else f"{text[:200]} ..."
        raise InputError(f"{source}: does not fit {what} ({mismatch})") from error
