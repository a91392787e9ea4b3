"""The flags of every tool that runs a network over videos: where, with which weights, how precisely."""

import argparse
from pathlib import Path

from utils import cli

PRECISIONS = ("fp32", "bf16", "fp16")


def add_flags(parser: argparse.ArgumentParser, batch_size: int, batch_size_text: str = "%(default)s") -> None:
    """Add them; `batch_size`: the default number of videos in a batch, `batch_size_text`: that in words."""
    model = parser.add_argument_group("model")
    model.add_argument("--gpu", default="0",
                       help="number of the CUDA device, -1: CPU; without CUDA always the CPU; under torchrun each "
                       "process has its own (default: %(default)s)")  # fmt: skip
    model.add_argument("--checkpoint", type=Path, metavar="FILE", help="local weights, instead of those published")
    model.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network (default: %(default)s)")
    model.add_argument("--batch_size", type=cli.positive_int, default=batch_size,
                       help=f"videos in a batch (default: {batch_size_text})")  # fmt: skip


def select_device(args: argparse.Namespace):
    """The torch device of this process: `--gpu`, or the process's own under torchrun."""
    import torch

    from utils.devices import gpu_of_this_process, keep_large_blocks, select_device

    keep_large_blocks()
    if args.precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False  # convolutions, too
    return select_device(gpu_of_this_process(args.gpu))
