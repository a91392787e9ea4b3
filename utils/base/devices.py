"""Where a network runs: `--gpu`."""

import ctypes
import os
from pathlib import Path

import numpy as np
import torch

from utils.base.errors import InputError


def gpu_of_this_process(gpu: str) -> str:
    """`--gpu` as given, or, under torchrun, the number of this process; -1, the CPU, stays."""
    return gpu if gpu == "-1" else os.environ.get("LOCAL_RANK", gpu)


def select_device(gpu: str, deterministic: bool = False) -> torch.device:
    """`--gpu N` -> CUDA device N, or the CPU for -1 and where there is no CUDA.

    deterministic: let CUDA compute the same numbers each time, at some cost.
    Raises InputError if there is no such device.
    """
    try:
        number = int(gpu)
    except ValueError:
        raise InputError(f"--gpu {gpu}: expected the number of one CUDA device, or -1 for the CPU") from None
    if number < 0 or not torch.cuda.is_available():
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise InputError(f"--gpu {number}: this machine has CUDA devices 0 to {torch.cuda.device_count() - 1}")
    torch.cuda.set_device(number)  # graphs are recorded on the current device
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)  # as far as there are such algorithms
        torch.utils.deterministic.fill_uninitialized_memory = False  # all of it is written before it is read
    return torch.device("cuda", number)


def select_training_device(gpu: str, precision: str, exact: bool) -> torch.device:
    """The device of this process, deterministic, and ready for `precision` (fp32, tf32 or bf16).

    Raises InputError if there is no such device, or it has no tf32.
    """
    device = select_device(gpu_of_this_process(gpu), deterministic=True)
    if precision == "tf32" and device.type != "cuda":
        raise InputError("--precision tf32: only CUDA devices have it; choose fp32 or bf16")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if not exact:
        keep_large_blocks()
    return device


def available_memory() -> int:
    """Bytes of main memory that programs can still have, as far as the system tells, else half of all."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def keep_large_blocks() -> None:
    """Let the C library keep memory that this process frees, instead of giving it back to the system each time.

    On a CPU, tensors of some megabytes that come and go are otherwise mapped and cleared again in each layer: without
    that, CLAP takes 0.11 s instead of 0.15 s for ten seconds of sound, and a training step of the parser a tenth less.
    Memory use stays at its peak. glibc only; does nothing elsewhere.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**30)


def seed_everything(seed: int) -> None:
    """Seed numpy and torch."""
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)  # the CPU and all CUDA devices


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """State of the generators that a run on `device` draws from: (n,) uint8 each."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore the (n,) states that `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def network_device(gpu: str, precision: str) -> torch.device:
    """Where this process runs an encoder: `--gpu`, or the process's own under torchrun.

    Raises InputError if there is no such device.
    """
    keep_large_blocks()
    if precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False  # convolutions, too
    return select_device(gpu_of_this_process(gpu))
