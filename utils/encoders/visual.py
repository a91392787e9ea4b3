"""The three base features of LLP: VGGish, ResNet-152 and R(2+1)D-18 (paper, section 4.1; spec, section 9).

Axes: N images, snippets or sounds, T = 10 segments, F = 80 frames (8 a second), S image side.
"""

import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import ResNet152_Weights, resnet152
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from utils.base.errors import InputError
from utils.base.weights import first_mismatch, load_state_dict, require_weights
from utils.encoders.vggish import VGGISH_URL, Vggish, log_mel
from utils.llp.classes import FPS, T

FRAMES = FPS * T  # of a video, that the visual networks see


# ------------------------------------------------------------------------------------------- what the other two look at
def resnet_image(image: np.ndarray) -> np.ndarray:
    """Shorter side to 256, centre 224 x 224: (H, W, 3) uint8 RGB -> (224, 224, 3) uint8."""
    resized = transforms.resize(Image.fromarray(image), 256, InterpolationMode.BILINEAR)
    return np.asarray(transforms.center_crop(resized, 224))


def r2plus1d_image(image: np.ndarray) -> np.ndarray:
    """To 112 x 112 whatever the shape: (H, W, 3) uint8 RGB -> (112, 112, 3) uint8."""
    return np.asarray(transforms.resize(Image.fromarray(image), [112, 112], InterpolationMode.BILINEAR))


class Normalise(nn.Module):
    """(N, S, S, 3) uint8 -> (N, 3, S, S), to [0, 1], then by mean and standard deviation of the three channels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.permute(0, 3, 1, 2) / 255 - self.mean) / self.std


class Snippets(nn.Module):
    """(N * 8, 3, S, S) consecutive frames -> (N, 3, 8, S, S)."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.unflatten(0, (-1, FPS)).transpose(1, 2)


class Kind(NamedTuple):
    """One of the three features: what its network sees or hears of a video, and how that becomes its vectors."""

    rows: int  # of its input, in a video
    prepare: Callable[[np.ndarray], np.ndarray]
    normalise: Callable[[], nn.Module]
    build: Callable[[], nn.Module]
    url: str  # of the published weights; the name ends in the beginning of the file's SHA-256


KINDS = {
    "vggish": Kind(T, log_mel, nn.Identity, Vggish, VGGISH_URL),
    "res152": Kind(
        FRAMES,
        resnet_image,
        lambda: Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # of ImageNet
        resnet152,
        ResNet152_Weights.IMAGENET1K_V1.url,
    ),
    "r2plus1d_18": Kind(
        FRAMES,
        r2plus1d_image,
        lambda: nn.Sequential(Normalise((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)), Snippets()),
        r2plus1d_18,
        R2Plus1D_18_Weights.KINETICS400_V1.url,
    ),
}


class BaseNetwork:
    """The network of one of KINDS in evaluation mode, up to its feature vector.

    Args:
        kind: which one.
        module: its network, as KINDS builds it.
        precision: of its weights and of what goes in, fp32, bf16 or fp16; results are float32.
    """

    def __init__(self, kind: str, module: nn.Module, device: torch.device, precision: str = "fp32"):
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        if hasattr(module, "fc"):
            module.fc = nn.Identity()  # the pooled vector goes out as it is
        self.kind, self.device = KINDS[kind], device
        self.normalise = self.kind.normalise().to(device)
        two_dimensional = all(p.dim() <= 4 for p in module.parameters())
        # the layout that images come in; ResNet-152 takes three quarters of the time in it, on a CPU
        layout = torch.channels_last if two_dimensional else torch.channels_last_3d
        self.module = module.to(device, self.dtype, memory_format=layout).eval()

    @classmethod
    def load(
        cls,
        kind: str,
        checkpoint: Path | None = None,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        flag: str = "--checkpoint",
    ) -> Self:
        """The network with its weights: a local `checkpoint`, a state dict, or those published.

        Args:
            flag: that gives the checkpoint, for messages.

        Raises InputError where they cannot be had, or do not fit.
        """
        url = KINDS[kind].url
        if checkpoint is None:
            state, path = _fetch(url, flag), url
        else:
            path = Path(checkpoint)
            require_weights(path, f"weights of {kind}, such as {url}")
            state = load_state_dict(path)
        with torch.device("meta"):  # without numbers, since all of them are in the file
            module = KINDS[kind].build()
        try:
            module.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit {kind}'s network ({first_mismatch(error)})") from error
        return cls(kind, module, torch.device(device), precision)

    @torch.no_grad()
    def embed(self, contents: Sequence[np.ndarray]) -> np.ndarray:
        """B videos, each (rows, ...) prepared inputs -> (B, T, 128 | 512) or (B, F, 2048) float32."""
        inputs = self.normalise(torch.from_numpy(np.concatenate(contents)).to(self.device))
        features = self.module(inputs.to(self.dtype)).float().cpu()
        return features.unflatten(0, (len(contents), -1)).numpy()


def _fetch(url: str, flag: str) -> dict[str, torch.Tensor]:
    """Published weights, from torch's cache or the network; InputError where they cannot be had."""
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{url}: cannot be fetched ({reason}); give a local copy with {flag} FILE") from error
