"""Weights of CLIP, from the hub or a local file, under the names that open_clip uses.

A state dict maps names of parameters to tensors of any shape (...).
"""

import sys
from pathlib import Path

import torch

from utils.base import weights
from utils.base.errors import InputError
from utils.encoders import hub

OPENAI_SETTINGS = ("input_resolution", "context_length", "vocab_size")  # that only OpenAI's files hold, beside weights


def pretrained_config(model: str, pretrained: str) -> dict:
    """What open_clip knows of a model's weights. Raises InputError if it knows none of this tag."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags:
        known = f"choose from {', '.join(tags)}" if tags else "give --checkpoint FILE"
        raise InputError(f"--pretrained {pretrained}: open_clip has no such weights of {model}; {known}")
    return open_clip.get_pretrained_cfg(model, pretrained)


def hub_weights(config: dict, name: str) -> Path:
    """The file that a `pretrained_config` describes, from the hub. Raises Unavailable if it cannot be fetched.

    `name` stands in the message if the config names no repository.
    """
    import open_clip

    try:
        with hub.quiet_logs():
            return Path(open_clip.download_pretrained(config))
    except (OSError, RuntimeError, ValueError) as error:
        repo = (config.get("hf_hub") or name).rstrip("/")
        raise hub.Unavailable(hub.missing(repo, "open_clip_model.safetensors", error)) from error


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a local file into an open_clip model. Raises InputError if it cannot be read or is of another model.

    OpenAI's weights bring their activation, with a note if the model has another.
    """
    import open_clip

    weights.require(path, "CLIP's weights")
    if path.suffix in (".npz", ".npy"):  # big_vision's
        with weights.readable(path), weights.must_fit(path, "the model"):
            open_clip.load_checkpoint(model, str(path))
        return
    state = weights.read(path)
    settings = [state.pop(name, None) for name in OPENAI_SETTINGS]
    with weights.must_fit(path, "the model"):
        model.load_state_dict(_fit(model, state))
    if all(value is not None for value in settings) and _use_quick_gelu(model):
        print(
            f"note: {path}: OpenAI's weights, so that the model's GELU is replaced by their QuickGELU", file=sys.stderr
        )


def _use_quick_gelu(model: torch.nn.Module) -> bool:
    """Replace each GELU of a model by the QuickGELU that OpenAI's were trained with; returns whether there was one."""
    from open_clip.transformer import QuickGELU

    found = [(m, name) for m in model.modules() for name, child in m.named_children() if type(child) is torch.nn.GELU]
    for module, name in found:
        setattr(module, name, QuickGELU())
    return bool(found)


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


# transformers' names -> open_clip's, one after another
_NAMES = (
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm", "ln_final"),
    ("layer_norm", "ln_"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.q_proj.", "attn.in_proj_"),
    ("self_attn.", "attn."),
    ("vision_model.pre_layrnorm", "visual.ln_pre"),
    ("vision_model.post_layernorm", "visual.ln_post"),
    ("vision_model.embeddings.patch_embedding", "visual.conv1"),
    ("vision_model.embeddings.", "visual."),
    ("text_model.embeddings.", ""),
    ("position_embedding.weight", "positional_embedding"),
    ("visual_projection.weight", "visual.proj"),
    ("text_projection.weight", "text_projection"),
)


def from_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of transformers' CLIPModel under open_clip's names, tensors of any shape (...).

    open_clip keeps query, key and value in one matrix, and its two projections transposed.
    """
    converted = {}
    for name, value in state.items():
        if name.endswith("position_ids") or ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            value = torch.cat([state[name.replace("q_proj", f"{x}_proj")] for x in "qkv"])
        elif name in ("visual_projection.weight", "text_projection.weight"):
            value = value.T
        for theirs, ours in _NAMES:
            name = name.replace(theirs, ours)
        converted[name] = value
    return converted
