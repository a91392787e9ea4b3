"""The networks of the features that a parser needs."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from utils.base.errors import InputError
from utils.encoders import CLIP_MODEL, hub
from utils.encoders.vggish import SAMPLE_RATE, log_mel, to_16_bit
from utils.encoders.visual import FRAMES, BaseNetwork
from utils.features.kinds import kinds_of
from utils.llp.classes import T
from utils.media.windows import Look

AUDIO_FEATURES = {kind.size: kind.name for kind in kinds_of("audio")}  # size of a vector -> what it comes from
VISUAL_FEATURES = {kind.size: kind.name for kind in kinds_of("visual")}
SPATIO_TEMPORAL = "r2plus1d_18"


class Weights(NamedTuple):
    """Local files of the networks' weights; None: those published, from the cache or the network.

    Attributes:
        clip_model, clip_pretrained: of open_clip, as --model and --pretrained of utils/clip_preprocess.py.
    """

    vggish: Path | None = None
    res152: Path | None = None
    r2plus1d: Path | None = None
    clip: Path | None = None
    clap: Path | None = None
    clip_model: str = CLIP_MODEL
    clip_pretrained: str | None = None


class Hearing(NamedTuple):
    """The network of the audio features: `prepare` takes (n,) float32 sound and the length of a short video in seconds
    (None: a window of ten), `embed` what that gives; it returns features as they are published, (10 | 64, Da)."""

    name: str
    sample_rate: int
    prepare: Callable[[np.ndarray, float | None], object]
    embed: Callable[[object], np.ndarray]


class Seeing(NamedTuple):
    """A network of visual features: what it sees, and `embed` from `look.count` of those to (10 | 80, Dv)."""

    name: str
    look: Look
    embed: Callable[[list], np.ndarray]


# ---------------------------------------------------------------------------------------------------------- networks
@contextlib.contextmanager
def naming_flag(flag: str, file: Path | None) -> Iterator[None]:
    """Let an error of a weights file begin with the flag that gave it."""
    try:
        yield
    except InputError as error:
        if file is not None and str(error).startswith(str(file)):
            raise InputError(f"{flag} {error}") from error
        raise


def load_hearing(name: str, weights: Weights, device: torch.device, precision: str) -> Hearing:
    """VGGish or CLAP; InputError where its weights cannot be had."""
    if name == "vggish":
        flag = "--vggish_checkpoint"
        with naming_flag(flag, weights.vggish):
            network = BaseNetwork.load("vggish", weights.vggish, device, precision, flag)
        return Hearing(name, SAMPLE_RATE, vggish_input, lambda mel: network.embed([mel])[0])
    from utils.encoders import clap

    hub.offline_without_network()
    flag = "--clap_checkpoint"
    with naming_flag(flag, weights.clap):  # nobody asks about captions, so that any tokenizer will do
        teacher = clap.ClapTeacher.load(weights.clap, device, precision, any_vocabulary=True, flag=flag)
    return Hearing(
        name,
        clap.SAMPLE_RATE,
        lambda samples, seconds: teacher.hear_whole(samples),
        lambda mel: teacher.token_maps([mel])[0].cpu().numpy(),
    )


def vggish_input(samples: np.ndarray, seconds: float | None) -> np.ndarray:
    """Log-mels of ten seconds; of a shorter video, of the second that each tenth of it is in: (T, 96, 64).

    VGGish alone hears seconds, where the other networks hear and see tenths of a video.
    """
    mel = log_mel(to_16_bit(samples))
    if seconds is None or seconds >= T - 0.5:
        return mel
    return mel[((np.arange(T) + 0.5) * seconds / T).astype(int)]


def load_seeing(name: str, weights: Weights, device: torch.device, precision: str) -> Seeing:
    """ResNet-152, R(2+1)D-18 or CLIP; InputError where its weights cannot be had."""
    if name != "CLIP":
        short = name.removesuffix("_18")
        file, flag = getattr(weights, short), f"--{short}_checkpoint"
        with naming_flag(flag, file):
            network = BaseNetwork.load(name, file, device, precision, flag)
        look = Look(FRAMES, network.kind.prepare)
        return Seeing(name, look, lambda images: network.embed([np.stack(images)])[0])
    from utils.encoders.clip import ClipTeacher

    hub.offline_without_network()
    flag = "--clip_checkpoint"
    with naming_flag(flag, weights.clip):
        teacher = ClipTeacher.load(weights.clip_model, weights.clip_pretrained, weights.clip, device, precision, flag)
    return Seeing(
        name, Look(T, teacher.preprocess), lambda images: teacher.embed_images(torch.stack(images)).cpu().numpy()
    )
