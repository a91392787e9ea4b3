"""The visual networks of the base features (the paper's section 4.1): ResNet-152 and R(2+1)D-18.

Axes: N frames or snippets of 8 frames, H, W of an image, S image side.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import ResNet152_Weights, resnet152
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from utils.encoders.network import Architecture, load_network
from utils.llp.classes import FPS


def resnet_image(image: np.ndarray) -> np.ndarray:
    """Shorter side to 256, centre 224 x 224: (H, W, 3) uint8 RGB -> (224, 224, 3) uint8."""
    resized = transforms.resize(Image.fromarray(image), 256, InterpolationMode.BILINEAR)
    return np.asarray(transforms.center_crop(resized, 224))


def r2plus1d_image(image: np.ndarray) -> np.ndarray:
    """To 112 x 112 whatever the shape: (H, W, 3) uint8 RGB -> (112, 112, 3) uint8."""
    return np.asarray(transforms.resize(Image.fromarray(image), [112, 112], InterpolationMode.BILINEAR))


class Normalise(nn.Module):
    """To [0, 1], then by mean and standard deviation of the three channels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, S, 3) uint8 -> (N, 3, S, S) float32."""
        return (images.permute(0, 3, 1, 2) / 255 - self.mean) / self.std


class Snippets(nn.Module):
    """Consecutive frames to snippets of eight."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(8 N, 3, S, S) -> (N, 3, 8, S, S)."""
        return frames.unflatten(0, (-1, FPS)).transpose(1, 2)


def _kinetics_snippets() -> nn.Module:
    return nn.Sequential(Normalise((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)), Snippets())


_imagenet = functools.partial(Normalise, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RESNET_URL, R2PLUS1D_URL = ResNet152_Weights.IMAGENET1K_V1.url, R2Plus1D_18_Weights.KINETICS400_V1.url
ARCHITECTURES = {
    "res152": Architecture(resnet152, RESNET_URL, resnet_image, _imagenet),
    "r2plus1d_18": Architecture(r2plus1d_18, R2PLUS1D_URL, r2plus1d_image, _kinetics_snippets),
}
load = functools.partial(load_network, ARCHITECTURES)
