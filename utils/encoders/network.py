"""What VGGish, ResNet-152 and R(2+1)D-18 share: one network, weights from an address, inputs that are stacked.

Axes: B videos, N inputs of the network (seconds of sound, frames) in all of them.
"""

import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.types import Device

from utils.base import weights
from utils.encoders.hub import Unavailable
from utils.features.kinds import FeatureKind


class Architecture(NamedTuple):
    """A network and what goes into it.

    Attributes:
        build: makes it, with random weights.
        url: of the published weights; the name ends in the beginning of the file's SHA-256.
        prepare: `Encoder.prepare`.
        normalise: makes the module that turns stacked inputs into the network's.
    """

    build: Callable[[], nn.Module]
    url: str
    prepare: Callable
    normalise: Callable[[], nn.Module] = nn.Identity


class NetworkEncoder:
    """An `Encoder`: a network up to its feature vector, as `architecture` builds it.

    `precision` is that of its weights and of what goes in, fp32, bf16 or fp16; features are float32.
    """

    def __init__(
        self, kind: FeatureKind, architecture: Architecture, module: nn.Module, device: Device, precision: str
    ):
        self.kind, self.prepare, self.device = kind, architecture.prepare, torch.device(device)
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.normalise = architecture.normalise().to(device)
        if hasattr(module, "fc"):
            module.fc = nn.Identity()  # the pooled vector is the feature
        # the layout that images come in; ResNet-152 takes three quarters of the time in it, on a CPU
        is_3d = any(p.dim() > 4 for p in module.parameters())
        layout = torch.channels_last_3d if is_3d else torch.channels_last
        self.module = module.to(device, self.dtype, memory_format=layout).eval()

    @torch.no_grad()
    def embed(self, contents: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """B videos, each of N / B prepared inputs (...) -> (B, rows, size) float32."""
        inputs = np.concatenate([np.stack(content) for content in contents])  # (N, ...)
        normalised = self.normalise(torch.from_numpy(inputs).to(self.device))
        features = self.module(normalised.to(self.dtype)).float().cpu()
        return features.unflatten(0, (len(contents), -1)).numpy()


def load_network(
    architectures: dict[str, Architecture], kind: FeatureKind, checkpoint: Path | None, device: Device, precision: str
) -> NetworkEncoder:
    """The network of a kind, with the weights of `checkpoint`, a state dict, or those published.

    Raises InputError if they cannot be had, or do not fit.
    """
    architecture = architectures[kind.name]
    url = architecture.url
    state = weights.read(checkpoint, f"weights of {kind.name}, such as {url}") if checkpoint else _fetch(url)
    with torch.device("meta"):  # without numbers, since the file has all of them
        module = architecture.build()
    with weights.must_fit(checkpoint or url, f"{kind.name}'s network"):
        module.load_state_dict(state, assign=True)
    return NetworkEncoder(kind, architecture, module, device, precision)


def _fetch(url: str) -> dict[str, torch.Tensor]:
    """Published weights, from torch's cache or the network."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise Unavailable(f"{url}: cannot be fetched ({' '.join(str(error).split())})") from error
    return weights.read(path)
