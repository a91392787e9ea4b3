"""The flags of the commands that parse videos, and the parser that these describe. Light: --help loads no torch."""

import argparse
from pathlib import Path

from utils.base import flags
from utils.encoders import CLIP_MODEL, checkpoint_flag
from utils.features.kinds import KINDS


def whole_hop(text: str) -> int:
    """argparse type: 1 to 10 whole seconds."""
    if text.removesuffix(".0") not in map(str, range(1, 11)):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of seconds from 1 to 10")
    return int(float(text))


def probability(text: str) -> float:
    """argparse type: a number between 0 and 1."""
    value = flags.positive_float(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_parser_flags(args_parser: argparse.ArgumentParser, **settings) -> None:
    """Which parser it is; settings: further ones of --checkpoint."""
    text = "the parser: checkpoint_best.pt of a run, or valor, valor+, valor++, which is fetched to models/ if missing"
    args_parser.add_argument("--checkpoint", metavar="FILE|NAME", help=text, **settings)
    model = args_parser.add_argument_group("the parser, if the files beside the checkpoint do not say")
    flags.add_dataset_flags(model, of_run=True)
    model.add_argument("--nhead", type=flags.positive_int, help="attention heads (default: the run's, or 8)")
    model.add_argument("--norm_where", choices=("post_norm", "pre_norm"), help="default: the run's, or post_norm")


def add_event_flags(group: argparse._ActionsContainer, default_hop: str = "10") -> None:
    """How events are decided and shown; default_hop: in words."""
    text = f"seconds from one window of ten to the next; windows that overlap are averaged (default: {default_hop})"
    group.add_argument("--hop", type=whole_hop, metavar="S", help=text)
    text = "a probability of at least this is a decision"
    group.add_argument("--threshold", type=probability, default=0.5, metavar="P", help=text)
    text = "draw the log-mel spectrogram in report.html, too"
    group.add_argument("--spectrogram", action="store_true", help=text)


def add_network_flags(args_parser: argparse.ArgumentParser) -> None:
    """Which networks compute the features, and where."""
    text = "local weights, instead of those published"
    add = args_parser.add_argument_group("networks of the features", text).add_argument
    for kind in KINDS.values():
        add(checkpoint_flag(kind), type=Path, metavar="FILE", help=f"of {kind.title}")
    add("--clip_model", default=CLIP_MODEL, metavar="NAME", help="--model of utils/clip_preprocess.py")
    add("--clip_pretrained", metavar="TAG", help="--pretrained of utils/clip_preprocess.py")
    add("--gpu", default="0", help="number of the CUDA device, -1: CPU; without CUDA always the CPU")
    add("--precision", choices=flags.PRECISIONS, default="fp32", help="of these networks")


def load_parser(args: argparse.Namespace, **settings):
    """The VideoParser that these flags describe; settings: further ones of its `load`.

    Raises InputError if a file is missing or wrong.
    """
    from utils.base.devices import network_device
    from utils.download.published import checkpoint_path
    from utils.parse.parser import VideoParser

    training = {"dataset": args.dataset, "classes": args.classes, "nhead": args.nhead, "norm_where": args.norm_where}
    weights = {name: getattr(args, checkpoint_flag(kind).removeprefix("--")) for name, kind in KINDS.items()}
    options = {"CLIP": {"model": args.clip_model, "pretrained": args.clip_pretrained}}
    networks = {"device": network_device(args.gpu, args.precision), "precision": args.precision}
    path = checkpoint_path(args.checkpoint)
    return VideoParser.load(path, checkpoints=weights, options=options, **training, **networks, **settings)
