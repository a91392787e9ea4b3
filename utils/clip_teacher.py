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

from utils import hub
from utils.cli import InputError
from utils.teachers import CLIP_MODEL, CLIP_PRETRAINED
from utils.weights import first_mismatch, read_state_dict, require_weights


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
        config = _tag(name, pretrained) if pretrained and ":" not in name else {}
        preprocessing = {key: config[key] for key in ("mean", "std") if config.get(key) is not None}
        try:
            with hub.quiet_logs():
                model = open_clip.create_model(
                    name, precision=precision, device="cpu", load_weights=own_weights, require_pretrained=own_weights,
                    pretrained_text=False, force_quick_gelu=bool(config.get("quick_gelu")),
                    force_preprocess_cfg=preprocessing or None,
                )  # fmt: skip
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


def _tag(name: str, pretrained: str) -> dict:
    """What open_clip knows of a model's weights; InputError where it knows none of this tag."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        known = f"choose from {', '.join(tags)}" if tags else "give --checkpoint FILE"
        raise InputError(f"--pretrained {pretrained}: open_clip has no such weights of {name}; {known}")
    return open_clip.get_pretrained_cfg(name, pretrained)


def hub_weights(name: str, pretrained: str, flag: str = "--checkpoint") -> str:
    """Path of a model's weights from the hub; InputError where there are none, or no network."""
    import open_clip

    config = _tag(name, pretrained)
    repo = (config.get("hf_hub") or f"{name}, {pretrained}").rstrip("/")
    try:
        with hub.quiet_logs():
            return open_clip.download_pretrained(config)
    except (OSError, RuntimeError, ValueError) as error:
        instead = f"give a local copy with {flag} FILE"
        raise hub.unavailable("open_clip_model.safetensors", repo, instead) from error


# ------------------------------------------------------------------------------------------------------- local weights


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a local file into an open_clip model; InputError where it cannot be read or is of another model."""
    import open_clip

    require_weights(path, "CLIP's weights")
    big_vision = path.suffix in (".npz", ".npy")
    state = {} if big_vision else read_state_dict(path)
    try:
        if big_vision:
            open_clip.load_checkpoint(model, str(path))
        else:
            model.load_state_dict(_fit(model, state))
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: does not fit the model ({first_mismatch(error)})") from error


def _fit(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict under the names that open_clip's `model` uses."""
    from open_clip.model import convert_to_custom_text_state_dict

    if "vision_model.embeddings.class_embedding" in state:
        state = from_transformers(state)
    names = model.state_dict()
    if "positional_embedding" in state and "positional_embedding" not in names:
        state = convert_to_custom_text_state_dict(state)
    if "logit_scale" in state:
        state["logit_scale"] = state["logit_scale"].reshape(names["logit_scale"].shape)
    state.pop("text.transformer.embeddings.position_ids", None)  # transformers no longer has it
    return state


# transformers' names of a transformer block -> open_clip's
_BLOCK = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
_OUTSIDE_BLOCKS = {
    "logit_scale": "logit_scale",
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
} | {
    f"{theirs}.{kind}": f"{ours}.{kind}"
    for kind in ("weight", "bias")
    for theirs, ours in (
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
        ("text_model.final_layer_norm", "ln_final"),
    )
}


def from_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of transformers' CLIPModel under open_clip's names.

    open_clip keeps query, key and value in one matrix, and its two projections transposed.
    """
    converted = {}
    for name, value in state.items():
        if name.endswith("position_ids"):
            continue
        if name in _OUTSIDE_BLOCKS:
            ours = _OUTSIDE_BLOCKS[name]
            converted[ours] = value.T if ours in ("visual.proj", "text_projection") else value
            continue
        tower, _, _, number, rest = name.split(".", 4)  # vision_model.encoder.layers.0.self_attn.q_proj.weight
        block = f"{'visual.' if tower == 'vision_model' else ''}transformer.resblocks.{number}."
        part, kind = rest.rsplit(".", 1)
        if part == "self_attn.q_proj":
            theirs = name.replace("q_proj", "{}_proj")
            converted[f"{block}attn.in_proj_{kind}"] = torch.cat([state[theirs.format(x)] for x in "qkv"])
        elif part not in ("self_attn.k_proj", "self_attn.v_proj"):
            converted[f"{block}{_BLOCK[part]}.{kind}"] = value
    return converted
