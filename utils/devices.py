"""Where a network runs: `--gpu`."""

import os

import torch

from utils.cli import InputError


def select_device(gpu: str, deterministic: bool = False) -> torch.device:
    """`--gpu N` -> CUDA device N, or the CPU for -1 and where there is no CUDA.

    Args:
        deterministic: let CUDA compute the same numbers each time, at some cost.

    Raises:
        InputError: there is no such device.
    """
    try:
        number = int(gpu)
    except ValueError:
        raise InputError(f"--gpu {gpu}: expected the number of one CUDA device, or -1 for the CPU") from None
    if number < 0 or not torch.cuda.is_available():
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise InputError(f"--gpu {number}: this machine has CUDA devices 0 to {torch.cuda.device_count() - 1}")
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
    return torch.device("cuda", number)
