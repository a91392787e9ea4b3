"""Find the audio, visual and audio-visual events of videos with a trained checkpoint.

    python utils/parse_video.py holiday.mp4 --checkpoint models/model_VALOR++/checkpoint_best.pt --out events

Any media file of any length. Written per video to OUT/<name of the file>: events.csv, events.json, events.vtt
(subtitles), events.txt (Audacity labels), timeline.png and report.html, a page to look at. The features that the
checkpoint needs are computed on the way and not kept unless --keep_features says where. docs/PARSING.md describes the
files, and what happens at the end of a video. A name that begins with a dash is given as ./-name, or after --.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.devices import network_device
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable
from utils.encoders import CLIP_MODEL

SHOWN = 20  # events of a video that are printed


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


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="parse_video.py", description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="media files")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="the parser: checkpoint_best.pt of a run, or a published one",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    model = parser.add_argument_group("the parser, where the files beside the checkpoint do not say")
    flags.add_classes_flag(model, default=None, or_else="the run's own copy, or LLP's 25")
    model.add_argument("--nhead", type=flags.positive_int, help="attention heads (default: the run's, or 8)")
    model.add_argument("--norm_where", choices=("post_norm", "pre_norm"), help="default: the run's, or post_norm")
    result = parser.add_argument_group("events")
    result.add_argument(
        "--hop",
        type=whole_hop,
        default=10,
        metavar="S",
        help="seconds from one window of ten to the next; windows that overlap are averaged",
    )
    result.add_argument(
        "--threshold", type=probability, default=0.5, metavar="P", help="a probability of at least this is a decision"
    )
    result.add_argument("--embed", action="store_true", help="put the video, if it is small, into report.html")
    result.add_argument(
        "--keep_features",
        type=Path,
        metavar="DIR",
        help="write the features of each window, too, to DIR/<feature>/<name>.npy",
    )
    networks = parser.add_argument_group("networks of the features", "local weights, instead of those published")
    for name, what in (
        ("clip", "CLIP"),
        ("clap", "CLAP"),
        ("vggish", "VGGish"),
        ("res152", "ResNet-152"),
        ("r2plus1d", "R(2+1)D-18"),
    ):
        networks.add_argument(f"--{name}_checkpoint", type=Path, metavar="FILE", help=f"of {what}")
    networks.add_argument(
        "--clip_model", default=CLIP_MODEL, metavar="NAME", help="--model of utils/clip_preprocess.py"
    )
    networks.add_argument("--clip_pretrained", metavar="TAG", help="--pretrained of utils/clip_preprocess.py")
    networks.add_argument("--gpu", default="0", help="number of the CUDA device, -1: CPU; without CUDA always the CPU")
    networks.add_argument("--precision", choices=flags.PRECISIONS, default="fp32", help="of these networks")
    return parser


def load_parser(args: argparse.Namespace):
    """The parser of the flags, with its networks."""
    from utils.parse.networks import Weights
    from utils.parse.parser import VideoParser

    weights = Weights(
        args.vggish_checkpoint,
        args.res152_checkpoint,
        args.r2plus1d_checkpoint,
        args.clip_checkpoint,
        args.clap_checkpoint,
        args.clip_model,
        args.clip_pretrained,
    )
    return VideoParser.load(
        args.checkpoint,
        classes=args.classes,
        nhead=args.nhead,
        norm_where=args.norm_where,
        weights=weights,
        device=network_device(args),
        precision=args.precision,
    )


def feature_writer(folder: Path | None, name: str):
    """The function that keeps a window's features under a video's `name`, None where nobody wants them."""
    if folder is None:
        return None
    from utils.base.npy import write_npy

    def keep(window: str, features) -> None:
        for kind, array in features.items():
            write_npy(folder / kind / f"{name}{window}.npy", array)

    return keep


def print_events(path: Path, folder: Path, events, notes) -> None:
    """A short table of a video's events."""
    from prettytable import PrettyTable

    from utils.parse.events import as_text

    for note in notes:
        print(f"note: {as_text(path)}: {note}", file=sys.stderr)
    print(f"{as_text(path)}: {len(events)} events, in {as_text(folder)}")
    if len(events):
        table = PrettyTable(["onset", "offset", "modality", "event", "confidence"], align="l")
        for row in events.head(SHOWN).itertuples():
            table.add_row(
                [f"{row.onset:.1f}", f"{row.offset:.1f}", row.modality, row.event_labels, f"{row.confidence:.2f}"]
            )
        print(table.get_string())
        if len(events) > SHOWN:
            print(f"... and {len(events) - SHOWN} more")


def main(args: argparse.Namespace) -> int:
    """Parse the videos; the exit status is 1 where some failed. Raises InputError for bad input, or if all failed."""
    from utils.media.windows import survey
    from utils.parse.outputs import output_names, write_outputs
    from utils.parse.page import require_small

    for flag, folder in (("--out", args.out), ("--keep_features", args.keep_features)):
        require_writable(flag, folder, folder=True)
        require_room_for_files(flag, folder)
    if len(args.videos) == 1:  # a bad file is known before the networks are loaded
        survey(args.videos[0])
    parser = load_parser(args)
    failed = []
    for path, name in zip(args.videos, output_names(args.videos), strict=True):
        try:
            if args.embed and path.is_file():
                require_small(path)
            video = parser.parse(path, args.hop, feature_writer(args.keep_features, name), progress=True)
            events = write_outputs(args.out / name, video, args.threshold, parser.model, args.embed)
        except InputError as error:
            if len(args.videos) == 1:
                raise
            failed.append(path)
            print(f"failed: {error}", file=sys.stderr, flush=True)
            continue
        print_events(path, args.out / name, events, video.notes)
    if len(failed) == len(args.videos):
        raise InputError(f"none of the {len(failed)} videos could be parsed")
    if failed:
        print(f"{len(args.videos) - len(failed)} videos parsed, {len(failed)} failed", file=sys.stderr)
    return command.EXIT_SOME_FAILED if failed else 0


if __name__ == "__main__":
    command.run(main, get_args_parser())
