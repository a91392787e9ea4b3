"""Pretrained networks that make features: CLIP, CLAP, VGGish, ResNet-152, R(2+1)D-18.

Not here: going through many videos (extract).
Imports: base, llp, media, features.

A new encoder is a row of utils/features/kinds.py and the file that the row names, with a function
`load(kind, checkpoint, device, precision, **options)` that returns an `Encoder`.
"""

import importlib
from pathlib import Path
from typing import Protocol

from utils.base.errors import InputError
from utils.encoders.hub import Unavailable
from utils.features.kinds import FeatureKind

CLIP_MODEL, CLIP_PRETRAINED = "ViT-L-14-quickgelu", "openai"  # OpenAI trained with QuickGELU


class Encoder(Protocol):
    """A network in evaluation mode that makes features of one kind, of sound or of images.

    Attributes:
        kind: which.
        prepare: may be called in threads. Sound, (n,) float32 at kind.rate Hz, and the length of a video of one window
            in seconds (None: a window of ten seconds) -> the network's input; `segments`, if they are not ten. Or an
            image, (H, W, 3) uint8 RGB -> one frame of the input; a video has kind.rate * T of them, evenly spaced.
        embed: prepared sounds, or sequences of prepared frames, of B videos -> (B, rows, size) float32.
    """

    kind: FeatureKind
    prepare: object
    embed: object


def load_encoder(
    kind: FeatureKind,
    checkpoint: Path | None = None,
    device: object = "cpu",
    precision: str = "fp32",
    flag: str = "--checkpoint",
    **options,
) -> Encoder:
    """The encoder of a kind, with local weights or those published, and `options` of its own `load`.

    `precision` is fp32, bf16 or fp16, `flag` the one of the command that gives the checkpoint. Raises InputError if
    the weights cannot be loaded.
    """
    module = importlib.import_module(f"utils.encoders.{kind.encoder}")
    try:
        return module.load(kind, checkpoint and Path(checkpoint), device, precision, **options)
    except Unavailable as error:
        raise InputError(f"{error}; give a local copy with {flag} FILE") from error
    except InputError as error:
        if checkpoint and str(error).startswith(f"{checkpoint}:"):
            raise InputError(f"{flag} {error}") from error
        raise


def checkpoint_flag(kind: FeatureKind) -> str:
    """The flag of utils/parse_video.py for local weights of a kind's encoder."""
    return f"--{kind.name.lower().removesuffix('_18')}_checkpoint"
