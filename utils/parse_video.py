"""Find the audio, visual and audio-visual events of videos with a trained checkpoint.

    python utils/parse_video.py holiday.mp4 --checkpoint models/model_VALOR++/checkpoint_best.pt --out events

    python utils/parse_video.py holiday.mp4 --reuse --threshold 0.3 --out events

Any media file of any length. Written per video to OUT/<name of the file>: events.csv, events.json, events.vtt
(subtitles), events.txt (Audacity labels), events.eaf (ELAN), timeline.png, report.html, a page to look at, and
parsed.npz, from which --reuse decides anew in seconds. The features that the checkpoint needs are computed and not kept
unless --keep_features says where. docs/PARSING.md describes the files, and what happens at the end of a video. A name
that begins with a dash is given as ./-name, or after --.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import require_room_for_files, require_writable
from utils.encoders import CLIP_MODEL, checkpoint_flag
from utils.features.kinds import KINDS

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
    """Flags of the command."""
    args_parser = flags.ArgumentParser(prog="parse_video.py", description=__doc__)
    add = args_parser.add_argument
    add("videos", type=Path, nargs="+", metavar="VIDEO", help="media files")
    text = "the parser: checkpoint_best.pt of a run, or valor, valor+, valor++, which is fetched to models/ if missing"
    add("--checkpoint", metavar="FILE|NAME", help=text)
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    model = args_parser.add_argument_group("the parser, if the files beside the checkpoint do not say")
    flags.add_dataset_flags(model, of_run=True)
    model.add_argument("--nhead", type=flags.positive_int, help="attention heads (default: the run's, or 8)")
    model.add_argument("--norm_where", choices=("post_norm", "pre_norm"), help="default: the run's, or post_norm")
    add = args_parser.add_argument_group("events").add_argument
    text = "decide anew from what an earlier run left in --out: another --threshold, --classes or multiple of --hop"
    add("--reuse", action="store_true", help=text)
    text = "seconds from one window of ten to the next; windows that overlap are averaged (default: 10, or as kept)"
    add("--hop", type=whole_hop, metavar="S", help=text)
    text = "a probability of at least this is a decision"
    add("--threshold", type=probability, default=0.5, metavar="P", help=text)
    add("--embed", action="store_true", help="put the video, if it is small, into report.html")
    add("--spectrogram", action="store_true", help="draw the log-mel spectrogram in report.html, too")
    text = "write the features of each window, too, to DIR/<feature>/<name>.npy"
    add("--keep_features", type=Path, metavar="DIR", help=text)
    text = "local weights, instead of those published"
    add = args_parser.add_argument_group("networks of the features", text).add_argument
    for kind in KINDS.values():
        add(checkpoint_flag(kind), type=Path, metavar="FILE", help=f"of {kind.title}")
    add("--clip_model", default=CLIP_MODEL, metavar="NAME", help="--model of utils/clip_preprocess.py")
    add("--clip_pretrained", metavar="TAG", help="--pretrained of utils/clip_preprocess.py")
    add("--gpu", default="0", help="number of the CUDA device, -1: CPU; without CUDA always the CPU")
    add("--precision", choices=flags.PRECISIONS, default="fp32", help="of these networks")
    return args_parser


def load_video_parser(args: argparse.Namespace):
    """The parser that the flags describe, with its encoders."""
    from utils.base.devices import network_device
    from utils.download.published import checkpoint_path
    from utils.parse import VideoParser

    training = {"dataset": args.dataset, "classes": args.classes, "nhead": args.nhead, "norm_where": args.norm_where}
    weights = {name: getattr(args, checkpoint_flag(kind).removeprefix("--")) for name, kind in KINDS.items()}
    options = {"CLIP": {"model": args.clip_model, "pretrained": args.clip_pretrained}}
    networks = {"device": network_device(args.gpu, args.precision), "precision": args.precision}
    path = checkpoint_path(args.checkpoint)
    return VideoParser.load(path, checkpoints=weights, options=options, **training, **networks)


def feature_writer(folder: Path | None, name: str):
    """The function that keeps a window's features under a video's `name`, None if they are not kept."""
    if folder is None:
        return None
    from utils.base.npy import write_npy

    def keep(window: str, features) -> None:
        for kind, array in features.items():
            write_npy(folder / kind / f"{name}{window}.npy", array)

    return keep


def print_events(video, folder: Path, events, threshold: float) -> None:
    """A short table of a video's events; of one without, its likeliest classes."""
    from prettytable import PrettyTable

    from utils.parse.events import as_text, likeliest

    path = as_text(video.path)
    for note in video.notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    print(f"{path}: {len(events)} events, in {as_text(folder)}")
    if not len(events):
        classes = ", ".join(f"{name} {peak:.2f}" for name, peak in likeliest(video))
        print(f"none reaches --threshold {threshold}; the likeliest, with their probabilities: {classes}")
    else:
        table = PrettyTable(["onset", "offset", "modality", "event", "confidence"], align="l")
        for e in events.head(SHOWN).itertuples():
            table.add_row([f"{e.onset:.1f}", f"{e.offset:.1f}", e.modality, e.event_labels, f"{e.confidence:.2f}"])
        print(table.get_string())
        if len(events) > SHOWN:
            print(f"... and {len(events) - SHOWN} more")


def make_parse(args: argparse.Namespace):
    """The function that turns a path and the name of its outputs into a ParsedVideo and what is said of the parser.

    It computes, or reads what is kept. Raises InputError if the networks or the classes cannot be loaded.
    """
    if args.reuse:
        from utils.llp.datasets import read_dataset
        from utils.parse.kept import FILE, read_kept

        names = read_dataset(args.dataset, args.classes).class_names if args.dataset or args.classes else None

        def reuse(path: Path, name: str):
            video, model = read_kept(args.out / name / FILE, path, names)
            return video.with_hop(args.hop) if args.hop else video, model

        return reuse
    from utils.media.windows import survey

    if len(args.videos) == 1:  # a bad file is noticed before the networks are loaded
        survey(args.videos[0])
    video_parser = load_video_parser(args)

    def compute(path: Path, name: str):
        drawn = {"progress": True, "spectrogram": args.spectrogram}
        keep = feature_writer(args.keep_features, name)
        return video_parser.parse(path, args.hop or 10, keep, **drawn), video_parser.model

    return compute


def check_args(args: argparse.Namespace) -> None:
    """Raises InputError for flags that do not go together, or folders that cannot be written to."""
    if args.reuse:
        given = [flag for flag in ("checkpoint", "keep_features", "spectrogram") if getattr(args, flag)]
        if given:
            raise InputError(f"--{given[0]} has no meaning with --reuse, which computes nothing; leave one of them out")
    elif not args.checkpoint:
        raise InputError("--checkpoint is missing: a run's checkpoint_best.pt, or valor, valor+ or valor++")
    for flag, folder in (("--out", args.out), ("--keep_features", args.keep_features)):
        require_writable(flag, folder, folder=True)
        require_room_for_files(flag, folder)


def main(args: argparse.Namespace) -> int:
    """Parse the videos; the exit status is 1 if some failed. Raises InputError for bad input, or if all failed."""
    from utils.parse.outputs import output_names, write_outputs
    from utils.parse.page import require_small

    check_args(args)
    parse = make_parse(args)
    failed = 0
    for path, name in zip(args.videos, output_names(args.videos), strict=True):
        try:
            if args.embed and path.is_file():
                require_small(path)
            video, model = parse(path, name)
            events = write_outputs(args.out / name, video, args.threshold, model, args.embed, keep=not args.reuse)
        except (InputError, OSError) as error:  # it costs this video only
            if len(args.videos) == 1:
                raise
            failed += 1
            reason = f"{error.filename or path}: {error.strerror}" if getattr(error, "strerror", None) else error
            print(f"failed: {reason}", file=sys.stderr, flush=True)
            continue
        print_events(video, args.out / name, events, args.threshold)
    if failed == len(args.videos):
        raise InputError(f"none of the {failed} videos could be parsed")
    if failed:
        print(f"{len(args.videos) - failed} videos parsed, {failed} failed", file=sys.stderr)
    return command.EXIT_SOME_FAILED if failed else 0


if __name__ == "__main__":
    command.run(main, get_args_parser())
