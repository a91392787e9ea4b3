"""Made-up weights of the real teachers, and made-up sounds. Anyone can make them again; they know nothing."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import torch

MAKE_HUB_CACHE = Path(__file__).with_name("golden") / "make_hub_cache.py"
SOUNDS = {"exact": (480000, 1), "short": (441007, 2), "long": (487654, 3)}  # samples at 48 kHz, seed

SMALL_CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
OPENAI_PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic", "resize_mode": "shortest",
}  # fmt: skip


def golden_sound(name: str) -> np.ndarray:
    """A rising tone in noise, (n,) float32 at 48 kHz (golden/README.md)."""
    samples, seed = SOUNDS[name]
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 48000
    sound = 0.3 * np.sin(2 * np.pi * 440 * t * (1 + 0.2 * t)) + 0.1 * rng.standard_normal(samples)
    return sound.astype(np.float32)


def rising_tone() -> np.ndarray:
    """Ten seconds of a rising tone in noise, (160000,) int16 at 16 kHz (golden/README.md, features.npz)."""
    t = np.arange(160000) / 16000
    sound = 0.3 * np.sin(2 * np.pi * 300 * t * (1 + 0.3 * t)) + 0.1 * np.random.default_rng(9).standard_normal(160000)
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)


@torch.no_grad()
def golden_weights(module: torch.nn.Module) -> None:
    """Weights by name: 0.03 times normal numbers for matrices, biases 0, other vectors 1 (golden/README.md)."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.03)
        else:
            parameter.fill_(0 if name.endswith("bias") else 1)


def base_module(kind: str) -> torch.nn.Module:
    """One of the networks of the base features at full size, with random weights whose features stay moderate."""
    from utils import base_features

    torch.manual_seed(0)
    module = base_features.KINDS[kind].build()
    for name, parameter in module.named_parameters():
        if name.endswith("bn3.weight"):  # else each of ResNet-152's 50 blocks would double the numbers
            torch.nn.init.constant_(parameter, 0.2)
    return module


def write_small_clip(folder: Path, seed: int = 0) -> str:
    """A CLIP of the published architecture, 2 layers of 64, with random weights; returns its open_clip name."""
    import open_clip

    folder.mkdir(parents=True)
    config = {"model_cfg": SMALL_CLIP, "preprocess_cfg": OPENAI_PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


def write_hub_cache(folder: Path) -> None:
    """A Hugging Face cache with small stand-ins for what laion_clap fetches when it is imported."""
    subprocess.run([sys.executable, MAKE_HUB_CACHE, folder], check=True, capture_output=True)


def write_clap(path: Path) -> None:
    """A checkpoint of CLAP's real architecture with golden weights; needs a hub cache in HF_HOME."""
    from utils.clap_teacher import build_module

    module = build_module(any_vocabulary=True)
    golden_weights(module.model.audio_branch)
    golden_weights(module.model.audio_projection)
    state = {f"module.{name}": value for name, value in module.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]  # as the published file has it
    torch.save({"epoch": 1, "state_dict": state, "lr": np.float64(1e-4)}, path)
