"""The visual teacher: CLIP, through open_clip (paper, section 3.2; spec, section 7).

Axes: N images, C captions, D embedding size, S image side. The published labels came from OpenAI's ViT-L/14 weights in
another library; tests hold the two implementations beside each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F

from utils.base.errors import InputError
from utils.encoders import CLIP_MODEL, CLIP_PRETRAINED, hub
from utils.encoders.clip_weights import hub_weights, load_weights, pretrained_config


def preprocess(image: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """CLIP's input, as the published labels were made.

    To [0, 1], resized to a square without keeping the aspect ratio, bilinear without antialiasing, normalised.

    Args: image: (H, W, 3) uint8 RGB; mean, std: of the three channels.

    Returns: (3, S, S) float32.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


class ClipTeacher:
    """An open_clip model in evaluation mode.

    Args:
        model, tokenizer: as open_clip makes them.
        precision: of the weights and of what goes in, fp32, bf16 or fp16; results are float32.
    """

    def __init__(self, model: torch.nn.Module, tokenizer, device: torch.device, precision: str = "fp32"):
        from open_clip import get_input_dtype

        self.model, self.tokenizer, self.device = model.eval(), tokenizer, device
        self.dtype = get_input_dtype(precision) or torch.float32
        size = model.visual.image_size
        self.image_size = size[0] if isinstance(size, (tuple, list)) else size
        self.mean, self.std = model.visual.image_mean, model.visual.image_std

    @classmethod
    def load(
        cls,
        name: str = CLIP_MODEL,
        pretrained: str | None = None,
        checkpoint: Path | None = None,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        flag: str = "--checkpoint",
    ) -> Self:
        """A model of open_clip with its weights.

        Args:
            name: as open_clip knows it, also `hf-hub:ORG/REPO` and `local-dir:FOLDER`.
            pretrained: which of its weights on the hub (None: OpenAI's). They say how images are normalised, and which
                activation the network has; with a `checkpoint`, give the tag whose weights it holds.
            checkpoint: a local file: a state dict of open_clip or transformers (.pt, .bin, .safetensors), or OpenAI's
                own archive.
            flag: that gives the checkpoint, for messages.

        Raises:
            InputError: there is no such model, or its weights cannot be had or do not fit.
        """
        import open_clip

        if ":" not in name and name not in open_clip.list_models():
            raise InputError(f"--model {name}: open_clip knows no such model; open_clip.list_models() names them")
        own_weights = ":" in name and checkpoint is None
        if ":" not in name and checkpoint is None:
            pretrained = pretrained or CLIP_PRETRAINED
            checkpoint = hub_weights(name, pretrained, flag)
        config = pretrained_config(name, pretrained) if pretrained and ":" not in name else {}
        preprocessing = {key: config[key] for key in ("mean", "std") if config.get(key) is not None}
        try:
            with hub.quiet_logs():
                model = open_clip.create_model(
                    name,
                    precision=precision,
                    device="cpu",
                    load_weights=own_weights,
                    require_pretrained=own_weights,
                    pretrained_text=False,
                    force_quick_gelu=bool(config.get("quick_gelu")),
                    force_preprocess_cfg=preprocessing or None,
                )
                tokenizer = open_clip.get_tokenizer(name)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"--model {name}: {' '.join(str(error).split())}") from error
        if checkpoint is not None:
            load_weights(model, Path(checkpoint))
        return cls(model.to(device), tokenizer, torch.device(device), precision)

    def preprocess(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (3, S, S) float32."""
        return preprocess(image, self.image_size, self.mean, self.std)

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
