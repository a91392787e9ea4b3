"""Synthetic weights of the real teachers, and synthetic sounds. They can be made again and predict nothing."""

import json
import subprocess
import sys
import types
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
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


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
    torch.manual_seed(0)
    module = architectures()[kind].build()
    for name, parameter in module.named_parameters():
        if name.endswith("bn3.weight"):  # else each of ResNet-152's 50 blocks would double the numbers
            torch.nn.init.constant_(parameter, 0.2)
    return module


# of SmallBase: cells of its input, sizes of its layer
SMALL_BASES = {"vggish": ((4, 4), (16, 128)), "res152": ((4, 4), (48, 2048)), "r2plus1d_18": ((2, 4, 4), (96, 512))}


class SmallBase(torch.nn.Module):
    """A stand-in for one of the networks of the base features: means over cells of its input, and one layer."""

    def __init__(self, kind: str):
        super().__init__()
        self.cells, sizes = SMALL_BASES[kind]
        self.layer = torch.nn.Linear(*sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 96, 64) | (N, 3, S, S) | (N, 3, 8, S, S) -> (N, D)."""
        x = x[:, None] if x.dim() == 3 else x
        pool = torch.nn.functional.adaptive_avg_pool3d if x.dim() == 5 else torch.nn.functional.adaptive_avg_pool2d
        return self.layer(pool(x, self.cells).flatten(1))


def architectures() -> dict:
    """The networks of the base features, by kind."""
    from utils.encoders import vggish, visual

    return vggish.ARCHITECTURES | visual.ARCHITECTURES


def use_small_networks(monkeypatch) -> None:
    """Let SmallBase stand in for the networks of the base features."""
    from utils.encoders import vggish, visual

    for module in (vggish, visual):
        for kind, architecture in module.ARCHITECTURES.items():
            small = architecture._replace(build=lambda kind=kind: SmallBase(kind))
            monkeypatch.setitem(module.ARCHITECTURES, kind, small)


def add_stub_encoder(monkeypatch) -> None:
    """A new audio encoder, as a user adds it: a row of the table of kinds, and a module; 61 numbers a second."""
    from utils.features.kinds import KINDS, FeatureKind

    class Stub:
        def __init__(self, kind):
            self.kind = kind

        def prepare(self, samples, seconds=None):
            return np.resize(samples, 10 * 61).reshape(10, 61)

        def embed(self, contents):
            return np.stack(contents).astype(np.float32)

    module = types.ModuleType("utils.encoders.stub")
    module.load = lambda kind, checkpoint, device, precision: Stub(kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(KINDS, "stub", FeatureKind("stub", "Stub", "feats/stub", "audio", 10, 61, 8000, "stub"))


def write_small_networks(folder: Path, clap: Path | None = None) -> dict[str, object]:
    """Weights of all networks that utils/parse_video.py may need, small; returns its flags for them."""
    flags = {}
    for seed, kind in enumerate(SMALL_BASES):
        torch.manual_seed(seed)
        flag = f"--{kind.removesuffix('_18')}_checkpoint"
        flags[flag] = folder / f"{kind}.pt"
        torch.save(SmallBase(kind).state_dict(), flags[flag])
    flags["--clip_model"] = write_small_clip(folder / "clip", embed_dim=768)
    return flags | ({"--clap_checkpoint": clap} if clap else {})


def write_small_parser(path: Path, audio: int = 128, visual: int = 2048, classes: int = 25, seed: int = 0) -> Path:
    """A checkpoint of a small parser, whose probabilities are spread over 0 to 1."""
    from nets import MMIL_Net

    torch.manual_seed(seed)
    net = MMIL_Net(audio, visual, hidden_dim=16, nhead=2, ff_dim=32, num_classes=classes)
    with torch.no_grad():
        for layer, scale in ((net.fc_prob, 3), (net.fc_a, 4), (net.fc_v, 4), (net.fc_st, 4)):
            layer.weight.mul_(scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), path)
    (path.parent / "arguments.txt").write_text("nhead: 2\nnorm_where: post_norm\n")
    return path


def write_small_clip(folder: Path, seed: int = 0, embed_dim: int = 32, quick_gelu: bool = True) -> str:
    """A CLIP of the published architecture, 2 layers of 64, with random weights; returns its open_clip name."""
    import open_clip

    folder.mkdir(parents=True)
    config = {
        "model_cfg": SMALL_CLIP | {"embed_dim": embed_dim, "quick_gelu": quick_gelu},
        "preprocess_cfg": OPENAI_PREPROCESS,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


class Holder(torch.nn.Module):
    """A module that holds others."""

    def forward(self, x):
        return x


def write_openai_archive(path: Path, state: dict[str, torch.Tensor]) -> None:
    """A TorchScript archive of a state dict, in the form in which OpenAI publishes CLIP."""
    holder = Holder()
    for name, value in state.items():
        module = holder
        *parts, last = name.split(".")
        for part in parts:
            if not hasattr(module, part):
                module.add_module(part, Holder())
            module = getattr(module, part)
        module.register_parameter(last, torch.nn.Parameter(value))
    for name in ("input_resolution", "context_length", "vocab_size"):
        holder.register_buffer(name, torch.tensor(7))
    torch.jit.script(holder).save(path)


def write_hub_cache(folder: Path) -> None:
    """A Hugging Face cache with small stand-ins for what laion_clap fetches when it is imported."""
    subprocess.run([sys.executable, MAKE_HUB_CACHE, folder], check=True, capture_output=True)


def write_clap(path: Path) -> None:
    """A checkpoint of CLAP's real architecture with golden weights; needs a hub cache in HF_HOME."""
    from utils.encoders.clap import build_module

    module = build_module(any_vocabulary=True)
    golden_weights(module.model.audio_branch)
    golden_weights(module.model.audio_projection)
    state = {f"module.{name}": value for name, value in module.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]  # as the published file has it
    torch.save({"epoch": 1, "state_dict": state, "lr": np.float64(1e-4)}, path)
