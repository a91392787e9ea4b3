"""Checkpoints: weights that are interchangeable with the published files, and the state that a run resumes from.

`checkpoint_best.pt` is a plain `state_dict`; `checkpoint_last.pt` one dict of plain values and tensors. Both are read
with `weights_only=True`, which runs no code from the file, and written atomically.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from nets import NETWORKS
from nets.parser import ST_DIM
from utils.base import weights as weights_file
from utils.base.errors import InputError
from utils.base.files import write_bytes

BEST, LAST = "checkpoint_best.pt", "checkpoint_last.pt"
NO_WEIGHTS = f"holds no weights of {', '.join(NETWORKS)}, expected a plain state_dict as in {BEST}"


def epoch_name(epoch: int) -> str:
    """File name of the weights after `epoch`, as the release names them."""
    return f"checkpoint_epoch_{epoch}.pt"


def save(path: Path, value) -> None:
    """torch.save, atomically."""
    # Through memory, so that a full disk is an OSError and not an internal error of torch's writer.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getbuffer())


def require(path: Path) -> None:
    """Raises InputError if there is no checkpoint at `path`."""
    if not Path(path).is_file():
        published = "put the published model there (python utils/download_features.py --parts models)"
        raise InputError(f"{path}: no such checkpoint; train first, or {published}, or give --checkpoint valor++")


def load(path: Path, data: bytes | None = None):
    """Read a checkpoint onto the CPU, from `data` if its bytes have been read already.

    Raises InputError if it is missing or cannot be read.
    """
    require(path)
    return weights_file.load(path, "PyTorch checkpoint", data)


def describe_weights(weights: dict[str, torch.Tensor], st_dim: int = ST_DIM) -> dict[str, int | str]:
    """The network that a state_dict of (...) tensors belongs to, `model`, and its sizes, named like main.py's flags.

    st_dim: size of visual_st for UWAV, whose weights hold only the sum of the two visual sizes.

    Raises KeyError or IndexError if it is that of no network.
    """

    def count(prefix: str) -> int:
        return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})

    def size(layer: str, axis: int) -> int:
        return weights[f"{layer}.weight"].shape[axis]

    found = {"hidden_dim": size("fc_prob", 1), "num_classes": size("fc_prob", 0)}
    if any(name.startswith("MMP.") for name in weights):
        found |= {"model": "MM_Pyramid", "num_layers": count("MMP.capture.msa.")}
        found["ff_dim"] = size("MMP.capture.msa.0.vsablock.layer.feed_forward.w_1", 0)
    else:
        found |= {"model": "MMIL_Net", "num_layers": count("hat_encoder.layers.")}
        found["ff_dim"] = size("hat_encoder.layers.0.linear1", 0)
    if not any(name.startswith("fc_a.layers.") for name in weights):
        return found | {f"input_{m}_dim": size(f"fc_{m}", 1) for m in ("a", "v", "st")}
    found |= {"model": "UWAV", "input_a_dim": size("fc_a.layers.0", 1)}
    found |= {"num_proj_layers": count("fc_fusion.layers."), "num_MMIL_layers": count("fc_frame_att.layers.")}
    return found | {"input_v_dim": size("fc_fusion.layers.0", 1) - st_dim, "input_st_dim": st_dim}


def is_state_dict(value: object) -> bool:
    """Whether it is a dict of names and plain tensors of floating-point numbers, each of them in the file."""
    return isinstance(value, dict) and all(isinstance(k, str) and _is_plain(v) for k, v in value.items())


def _is_plain(value: object) -> bool:
    if not (isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout == torch.strided):
        return False
    return value.nbytes <= value.untyped_storage().nbytes()  # not one number that is repeated without end


def load_weights(
    path: Path,
    net: nn.Module,
    settings: dict[str, int | float | str],
    sources: dict[str, str],
    recorded: dict[str, str],
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Load a plain state_dict into `net`.

    Args:
        settings: of `net`, named like the flags of main.py; `model`: which network it is.
        sources: for some of these names, where the setting comes from if not from the flag, for the message.
        recorded: the settings that the weights were trained with, as far as they are known and not in the weights.
        weights: what `load` returned, if the file has been read already; tensors of any shape (...).

    Raises InputError if the file is missing, damaged, no state_dict of this network, or of other sizes.
    """
    weights = load(path) if weights is None else weights
    try:
        found = describe_weights(weights, settings.get("input_st_dim", ST_DIM)) if is_state_dict(weights) else {}
    except (KeyError, IndexError):
        found = {}
    if not found:
        raise InputError(f"{path}: {NO_WEIGHTS}")
    if found["model"] != settings["model"]:
        raise InputError(f"{path}: holds weights of {found['model']}, but --model is {settings['model']}")
    found = recorded | found
    different = [
        f"{name} {found[name]}, but {sources.get(name, f'--{name}')} is {value}"
        for name, value in settings.items()
        if name in found and name != "dropout" and str(found[name]) != str(value)
    ]
    if different:
        raise InputError(f"{path}: was trained with {'; '.join(different)}")
    _require_fit(path, net, weights)
    net.load_state_dict(weights)


def _require_fit(path: Path, net: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Raises InputError if `weights` are not the finite parameters of `net`."""
    expected = {name: value.shape for name, value in net.state_dict().items()}
    wrong = [name for name in expected if name not in weights or weights[name].shape != expected[name]]
    wrong += [name for name in weights if name not in expected]
    if wrong:
        first = ", ".join(wrong[:5])
        raise InputError(f"{path}: {len(wrong)} parameters are missing, unknown or of other shape: {first}")
    require_finite(path, weights)


def require_finite(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Raises InputError if any of the weights, (...) tensors by name, holds NaN or infinite values."""
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise InputError(f"{path}: holds NaN or infinite weights")
