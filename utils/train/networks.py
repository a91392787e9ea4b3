"""The flags of the networks. Each default stands once, in the signature of the network."""

import argparse
import copy
import inspect
import sys
from collections.abc import Mapping

import torch

from nets import NETWORKS, Parser
from nets.fast import accelerate
from nets.han import NORM_PLACES
from nets.parser import SEGMENTS
from utils.base import flags
from utils.base.errors import InputError

Setting = int | float | str | bool
EXPERIMENTAL = (
    "on a GPU, train with faster layers and recorded CUDA graphs. EXPERIMENTAL: these have never run on a GPU; "
    "where they fail, plain ones take over, with a note"
)
SHAPE = {  # flags that are arguments of a network
    "hidden_dim": {"type": flags.positive_int, "help": "width of the network"},
    "nhead": {"type": flags.positive_int, "help": "attention heads, a divisor of hidden_dim"},
    "ff_dim": {"type": flags.positive_int, "help": "width of the feed-forward blocks"},
    "num_layers": {"type": flags.positive_int, "help": "layers of HAN, levels of the pyramid"},
    "norm_where": {"choices": NORM_PLACES, "help": "place of the layer norms"},
    "dropout": {"type": flags.unit_float, "help": "rate of dropout"},
    "num_proj_layers": {"type": flags.positive_int, "help": "linear layers that fuse the visual features"},
    "num_MMIL_layers": {"type": flags.positive_int, "help": "linear layers of each attention of the pooling"},
    "published_slots": {
        "action": argparse.BooleanOptionalAction,
        "help": "exchange audio and visual, as the published code does",
    },
}


def network_defaults(model: str) -> dict[str, Setting]:
    """The flags of SHAPE that a network takes, and their defaults."""
    parameters = inspect.signature(NETWORKS[model]).parameters
    return {name: parameters[name].default for name in SHAPE if name in parameters}


def add_network_flags(group: argparse._ArgumentGroup) -> None:
    """--model, and the flags of its networks. The published defaults of MMIL_Net give way to another's in `settle`."""
    group.add_argument("--model", choices=NETWORKS, default="MMIL_Net", help="network")
    for size, kind in (("input_v_dim", "a visual"), ("input_a_dim", "an audio")):
        help_text = f"size of {kind} feature (default: read off the files)"
        group.add_argument(f"--{size}", type=flags.positive_int, help=help_text)
    defaults = {model: network_defaults(model) for model in NETWORKS}
    for name, settings in SHAPE.items():
        of_models = ", ".join(f"{model} {own[name]}" for model, own in defaults.items() if name in own)
        settings = settings | {"help": f"{settings['help']} (default: {of_models})"}
        published = defaults["MMIL_Net"].get(name)
        group.add_argument(f"--{name}", default=None if published is None else flags.gives_way(published), **settings)


def settle(model: str, given: Mapping[str, Setting | None]) -> dict[str, Setting]:
    """The settings of a network: what is `given` by name of its flag, else the network's own default.

    Raises InputError if a flag is given that the network does not take, or nhead does not divide hidden_dim.
    """
    own = network_defaults(model)
    given = {name: value for name, value in given.items() if flags.is_given(value)}
    foreign = [f"--{name}" for name in given if name not in own]
    if foreign:
        raise InputError(f"{', '.join(foreign)} has no meaning with --model {model}")
    settled = own | given
    if settled["hidden_dim"] % settled["nhead"]:
        raise InputError(f"--nhead {settled['nhead']} does not divide --hidden_dim {settled['hidden_dim']}")
    return settled


def accelerated(net: Parser, settings: Mapping[str, Setting], dtype: torch.dtype, device: torch.device) -> Parser:
    """A network with the layers of nets/fast/, and products in `dtype`.

    These have never run on a GPU: there the network stays as it is, and a note says so, if they fail on random features
    or compute something else.
    """
    if device.type == "cpu":
        return accelerate(net, dtype)
    sizes = (settings["input_a_dim"], settings["input_v_dim"], settings["input_st_dim"])
    features = [torch.randn(2, SEGMENTS, size, generator=torch.Generator().manual_seed(0)) for size in sizes]
    inputs = [x.to(device) for x in features]
    fast, training = accelerate(copy.deepcopy(net), dtype), net.training
    try:
        with torch.no_grad():
            plain, found = (x.eval()(*inputs).frame_prob for x in (net, fast))
        largest = float((plain - found).abs().max())
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[0][:150]
    else:
        tolerance = 1e-4 if dtype == torch.float32 else 5e-2  # a bf16 number has 8 bits
        problem = None if largest <= tolerance else f"probabilities differ by {largest:.1e}"
    net.train(training)
    if problem is None:
        return accelerate(net, dtype)
    print(f"note: the faster layers do not work on {device} ({problem}); training with plain ones", file=sys.stderr)
    return net


def require_rows(model: str, rows: int, where: str) -> None:
    """Raises InputError if a network cannot take this many rows of audio features a video, from `where`."""
    if model == "UWAV" and rows != SEGMENTS:
        raise InputError(f"{where}: holds {rows} rows a video, expected {SEGMENTS} for --model UWAV; leave --exact out")
