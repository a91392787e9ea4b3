"""Local files of weights: the one reader, which runs no code from them and says in one line what is wrong.

A state dict maps names of parameters to tensors of any shape (...).
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from utils.base import torchscript
from utils.base.errors import InputError

ZIP = b"PK\x03\x04"  # how a zip file begins
FOLDER = 0x10  # an attribute of DOS
MAX_COMPRESSED = 2**26  # bytes that all of an archive may have more than the archive itself


def require(path: Path, what: str) -> None:
    """Raise InputError if there is no file at `path`; `what` was expected there."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected {what}")


@contextlib.contextmanager
def readable(path: Path, what: str = "file of weights") -> Iterator[None]:
    """Raise InputError if the file at `path`, which should be a `what`, makes the block fail in any way."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # what libraries raise for damaged bytes is any of a dozen kinds
        if any(word in str(error) for word in ("Unsupported", "weights_only")):
            reason = "it holds Python objects, which are never loaded"  # torch advises to run whatever code is in it
        else:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path}: not a {what}, or damaged; copy or download it again ({reason})") from error


def load(path: Path, what: str = "file of weights", data: bytes | None = None) -> object:
    """What torch.save wrote to a file, on the CPU.

    Args:
        what: the file should be, for the message.
        data: the file's bytes, if they have been read already.

    Raises InputError if the file is damaged, or holds more than tensors and plain values.
    """
    with readable(path, what), open(path, "rb") if data is None else io.BytesIO(data) as file:
        _archive_of(file)
        return _load(file)


def _load(file: BinaryIO) -> object:
    """What torch.save wrote to an open file."""
    # what training checkpoints hold beside tensors: learning rates that numpy computed
    numbers = [np.core.multiarray.scalar, np.dtype, *(type(np.dtype(d)) for d in ("f8", "f4", "i8"))]
    file.seek(0)
    with torch.serialization.safe_globals(numbers):
        return torch.load(file, map_location="cpu", weights_only=True)


def require_intact(path: Path) -> None:
    """Raise InputError if a checksum of what torch.save wrote differs; files of other kinds may hold anything."""
    with readable(path), open(path, "rb") as file:
        _archive_of(file)


def _archive_of(file: BinaryIO) -> zipfile.ZipFile | None:
    """The zip file, which torch writes since 1.6; None if it is none: older ones have no checksums.

    Raises ValueError, or an error of zipfile's, if a checksum differs, or it holds more than a file of its size can.
    """
    if file.read(len(ZIP)) != ZIP:
        return None
    archive, size = zipfile.ZipFile(file), file.seek(0, io.SEEK_END)
    if sum(i.file_size for i in archive.infolist()) > size + MAX_COMPRESSED:  # torch compresses code, and no numbers
        raise ValueError("it unpacks to more than its numbers")
    names = {name.lower() for name in archive.namelist()}  # torch ignores case
    if len(names) < len(archive.infolist()):
        raise ValueError("it lists a file twice")
    if any(info.is_dir() or info.external_attr & FOLDER for info in archive.infolist()):
        raise ValueError("it lists a folder")  # of which torch reads nothing, and takes what is in memory
    if damaged := archive.testzip():
        raise ValueError(f"the checksum of {damaged} differs")
    return archive


def read(path: Path, what: str = "weights") -> dict[str, torch.Tensor]:
    """The state dict in a file: safetensors, a TorchScript archive as OpenAI's are, or PyTorch's own, also one inside a
    training checkpoint. Its tensors have any shape (...).

    Raises InputError if there is no file, where `what` was expected, or it is damaged, or holds no state dict.
    """
    require(path, what)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        with readable(path):
            return load_file(path)
    with readable(path), open(path, "rb") as file:
        if (archive := _archive_of(file)) and torchscript.is_torchscript(archive):
            return torchscript.state_dict(archive)
        state = _load(file)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: holds no state dict")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


@contextlib.contextmanager
def must_fit(source: object, what: str) -> Iterator[None]:
    """Let load_state_dict fail with its first complaint. Raises InputError if the weights of `source` do not fit."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        text = lines[1] if len(lines) > 1 else lines[0]
        mismatch = text if len(text) < 200 else f"{text[:200]} ..."
        raise InputError(f"{source}: does not fit {what} ({mismatch})") from error
