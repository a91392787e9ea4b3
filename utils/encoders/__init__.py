"""Pretrained networks that make features: CLIP, CLAP, VGGish, ResNet-152, R(2+1)D-18.

Not here: going through many videos (extract).
Imports: base, llp, media, features.

A new encoder is a row of utils/features/kinds.py and the file that the row names, with a function
`load(kind, checkpoint, device, precision, **options)` that returns an `Encoder`.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.base.errors import InputError
from utils.encoders.hub import Unavailable
from utils.features.kinds import FeatureKind

CLIP_MODEL, CLIP_PRETRAINED = "ViT-L-14-quickgelu", "openai"  # OpenAI trained with QuickGELU


class Encoder(Protocol):
    """A network in evaluation mode that makes features of one kind. Axes: B videos, n samples, H, W of an image."""

    kind: FeatureKind

    def prepare(self, content: np.ndarray, *seconds: float | None) -> object:
        """The input for one video's sound, or for one frame. May be called in threads.

        Args:
            content: audio kinds: (n,) float32 at kind.rate Hz; visual kinds: (H, W, 3) uint8 RGB, for each of
                kind.rate * T frames that are evenly spaced over the video.
            seconds: audio kinds: the length of a video of one window, None for a window of ten seconds.
        """

    def embed(self, contents: Sequence) -> np.ndarray:
        """Features of B videos, each a prepared sound or a sequence of prepared frames: (B, rows, size) float32."""


def load_encoder(
    kind: FeatureKind,
    checkpoint: Path | None = None,
    device="cpu",
    precision: str = "fp32",
    flag: str = "--checkpoint",
    **options,
) -> Encoder:
    """The encoder of a kind.

    Args:
        checkpoint: local weights; None: those published.
        device: a torch device, or its name.
        precision: fp32, bf16 or fp16; features are float32.
        flag: of the command, that gives the checkpoint.
        options: of the encoder's own `load`.

    Raises InputError if the weights cannot be had, or do not fit.
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
