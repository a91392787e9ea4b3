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
from utils.base.errors import InputError, one_line
from utils.base.files import require_room_for_files, require_writable
from utils.parse import flags as parse_flags

SHOWN = 20  # events of a video that are printed


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    args_parser = flags.ArgumentParser(prog="parse_video.py", description=__doc__)
    add = args_parser.add_argument
    add("videos", type=Path, nargs="+", metavar="VIDEO", help="media files")
    parse_flags.add_parser_flags(args_parser)
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    events = args_parser.add_argument_group("events")
    add = events.add_argument
    text = "decide anew from what an earlier run left in --out: another --threshold, --classes or multiple of --hop; "
    text += "or another --checkpoint, from the features in --keep_features"
    add("--reuse", action="store_true", help=text)
    parse_flags.add_event_flags(events, default_hop="10, or as kept")
    add("--embed", action="store_true", help="put the video, if it is small, into report.html")
    text = "write the features of each window, too, to DIR/<feature>/<name>.npy; --reuse reads them"
    add("--keep_features", type=Path, metavar="DIR", help=text)
    parse_flags.add_network_flags(args_parser)
    return args_parser


def print_events(video, folder: Path, events, threshold: float) -> None:
    """A short table of a video's events; of one without, its likeliest classes."""
    from prettytable import PrettyTable

    from utils.parse.events import as_text, likeliest

    path = as_text(video.path)
    for note in video.notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    print(f"{path}: {len(events)} event{'s' * (len(events) != 1)}, in {as_text(folder)}")
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
        return make_reuse(args)
    from utils.media.windows import survey
    from utils.parse.features import feature_writer
    from utils.parse.parser import window_bar

    if len(args.videos) == 1:  # a bad file is noticed before the networks are loaded
        survey(args.videos[0])
    video_parser = parse_flags.load_parser(args)

    def compute(path: Path, name: str):
        drawn = {"progress": window_bar, "spectrogram": args.spectrogram}
        keep = feature_writer(args.keep_features, name)
        return video_parser.parse(path, args.hop or 10, keep, **drawn), video_parser.model

    return compute


def make_reuse(args: argparse.Namespace):
    """As `make_parse`, from what an earlier run kept: its probabilities, or, with --checkpoint, its features."""
    from utils.llp.datasets import read_dataset
    from utils.parse.features import feature_reader
    from utils.parse.kept import FILE, read_kept

    video_parser = parse_flags.load_parser(args, kept_only=True) if args.checkpoint else None
    is_renamed = not video_parser and (args.dataset or args.classes)
    names = read_dataset(args.dataset, args.classes).class_names if is_renamed else None

    def reuse(path: Path, name: str):
        video, model = read_kept(args.out / name / FILE, path, names)
        video = video.with_hop(args.hop) if args.hop else video
        if video_parser:
            video = video_parser.again(video, feature_reader(args.keep_features, name, video_parser, video))
            model = video_parser.model
        return video, model

    return reuse


def check_args(args: argparse.Namespace) -> None:
    """Raises InputError for flags that do not go together, or folders that cannot be written to."""
    if args.reuse and args.spectrogram:
        raise InputError("--spectrogram has no meaning with --reuse, which decodes nothing; leave one of them out")
    if args.reuse and bool(args.checkpoint) != bool(args.keep_features):
        needed = "the features that a run with --keep_features DIR wrote"
        raise InputError(f"--reuse with another --checkpoint needs {needed}; give both flags")
    if not args.reuse and not args.checkpoint:
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
            print(f"failed: {one_line(error, path)}", file=sys.stderr, flush=True)
            continue
        print_events(video, args.out / name, events, args.threshold)
    if failed == len(args.videos):
        raise InputError(f"none of the {failed} videos could be parsed")
    if failed:
        print(f"{len(args.videos) - failed} videos parsed, {failed} failed", file=sys.stderr)
    return command.EXIT_SOME_FAILED if failed else 0


if __name__ == "__main__":
    command.run(main, get_args_parser())
