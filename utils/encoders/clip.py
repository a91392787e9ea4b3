"""The visual teacher, CLIP, through open_clip (the paper's section 3.2), and an encoder of its features.

Axes: N images, B videos of T = 10 frames, C captions, D embedding size, S image side. The published labels came from
OpenAI's ViT-L/14 weights in another library; tests hold the two implementations beside each other.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.types import Device

from utils.base import weights
from utils.base.errors import InputError
from utils.encoders import CLIP_MODEL, CLIP_PRETRAINED, hub
from utils.encoders.clip_weights import hub_weights, load_weights, pretrained_config
from utils.features.kinds import FeatureKind

LOCAL = "local-dir:"  # how open_clip calls a model in a folder


def preprocess(image: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """CLIP's input, as the published labels were made.

    To [0, 1], resized to a square without keeping the aspect ratio, bilinear without antialiasing, normalised.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: S.
        mean, std: of the three channels.

    Returns:
        (3, S, S) float32.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


class ClipTeacher:
    """An `Encoder` and teacher: open_clip's model and tokenizer.

    `precision` is that of the weights and of what goes in, fp32, bf16 or fp16; results are float32.
    """

    def __init__(
        self, kind: FeatureKind, model: torch.nn.Module, tokenizer, device: Device = "cpu", precision: str = "fp32"
    ):
        from open_clip import get_input_dtype

        self.kind, self.device = kind, torch.device(device)
        self.model, self.tokenizer = model.to(device).eval(), tokenizer
        self.dtype = get_input_dtype(precision) or torch.float32
        size = model.visual.image_size
        self.image_size = size[0] if isinstance(size, (tuple, list)) else size
        self.mean, self.std = model.visual.image_mean, model.visual.image_std

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (3, S, S) float32."""
        return preprocess(image, self.image_size, self.mean, self.std)

    def embed(self, contents: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
        """B videos of T prepared frames -> (B, T, D) float32, of length 1."""
        return self._embed_videos(contents).cpu().numpy()

    preprocess = prepare

    def label(self, contents: Sequence, captions: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Features (B, T, D) and logits (B, T, C) of B videos of T prepared frames, given (C, D) captions."""
        images = self._embed_videos(contents)
        return images.cpu().numpy(), self.logits(images, captions).cpu().numpy()

    def _embed_videos(self, contents: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        pixels = torch.stack([image for images in contents for image in images])
        return self.embed_images(pixels).unflatten(0, (len(contents), -1))

    @torch.no_grad()
    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) float32 -> (N, D) float32, of length 1."""
        pixels = pixels.to(self.device, self.dtype, non_blocking=True)
        return F.normalize(self.model.encode_image(pixels).float(), dim=-1)

    @torch.no_grad()
    def embed_captions(self, captions: Sequence[str]) -> torch.Tensor:
        """C captions -> (C, D) float32, of length 1."""
        tokens = self.tokenizer(list(captions)).to(self.device)
        return F.normalize(self.model.encode_text(tokens).float(), dim=-1)

    @torch.no_grad()
    def logits(self, images: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Scaled similarities: (..., D), (C, D) -> (..., C) float32."""
        return self.model.logit_scale.exp().float() * images @ captions.T


def load(
    kind: FeatureKind,
    checkpoint: Path | None,
    device: Device,
    precision: str,
    model: str = CLIP_MODEL,
    pretrained: str | None = None,
) -> ClipTeacher:
    """A model of open_clip with its weights. Raises InputError if there are none, or they do not fit.

    Args:
        checkpoint: a state dict of open_clip or transformers, or OpenAI's own archive. None: from the hub.
        model: as open_clip knows it, also `hf-hub:ORG/REPO` and `local-dir:FOLDER`, which bring their weights.
        pretrained: tag of its weights on the hub (None: OpenAI's), or of those that a `checkpoint` holds. It decides
            how images are normalised, and the activation.
    """
    hub.offline_without_network()  # before open_clip imports the hub's client
    import open_clip

    checkpoint, config = (checkpoint, {}) if ":" in model else _choose_weights(model, pretrained, checkpoint)
    preprocessing = {key: config[key] for key in ("mean", "std") if config.get(key) is not None}
    forced = {"force_quick_gelu": bool(config.get("quick_gelu")), "force_preprocess_cfg": preprocessing or None}
    own = checkpoint is None  # the model brings its weights
    if own and model.startswith(LOCAL):
        for path in Path(model.removeprefix(LOCAL)).glob("*.[bp]*"):  # .bin, .pt, .pth
            weights.require_intact(path)  # which open_clip does not
    source = {"load_weights": own, "require_pretrained": own, "pretrained_text": False}
    try:
        with hub.quiet_logs():
            network = open_clip.create_model(model, precision=precision, device="cpu", **source, **forced)
            tokenizer = open_clip.get_tokenizer(model)
    except Exception as error:  # what damaged weights of its own raise is any of a dozen kinds
        raise InputError(f"--model {model}: {' '.join(str(error).split()) or type(error).__name__}") from error
    if checkpoint is not None:
        load_weights(network, checkpoint)
    return ClipTeacher(kind, network, tokenizer, device, precision)


def _choose_weights(model: str, pretrained: str | None, checkpoint: Path | None) -> tuple[Path, dict]:
    """The file of weights of a model that open_clip lists, and what open_clip knows of weights of that tag."""
    import open_clip

    if model not in open_clip.list_models():
        raise InputError(f"--model {model}: open_clip knows no such model; open_clip.list_models() names them")
    if checkpoint is None:
        pretrained = pretrained or CLIP_PRETRAINED
    config = pretrained_config(model, pretrained) if pretrained else {}
    return checkpoint or hub_weights(config, f"{model}, {pretrained}"), config
