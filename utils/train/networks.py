"""The flags of the networks. Each default stands once, in the signature of the network."""

import argparse
import inspect
from collections.abc import Mapping

from nets import NETWORKS
from nets.han import NORM_PLACES
from nets.parser import SEGMENTS
from utils.base import flags
from utils.base.errors import InputError

Setting = int | float | str | bool
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


def require_rows(model: str, rows: int, where: str) -> None:
    """Raises InputError if a network cannot take this many rows of audio features a video, from `where`."""
    if model == "UWAV" and rows != SEGMENTS:
        raise InputError(f"{where}: holds {rows} rows a video, expected {SEGMENTS} for --model UWAV; leave --exact out")
