"""The three base features, for videos that are not in LLP's download: VGGish, ResNet-152, R(2+1)D-18.

    python utils/extract_features.py --kind vggish --audio_dir data/raw_videos
    python utils/extract_features.py --kind res152 --from_videos data/raw_videos
    python utils/extract_features.py --kind r2plus1d_18 --from_videos data/raw_videos

Written per video to data/feats/<kind>: VGGish (10, 128), a vector per second; ResNet-152 (80, 2048), 8 frames per
second; R(2+1)D-18 (10, 512), a snippet of 8 frames per second; float32. Pictures come from the JPEG frames that
utils/extract_frames.py writes, or straight from the videos. Finished videos are skipped, so that the command can be
stopped and given again. Weights are fetched from where they are published, or taken from --checkpoint.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import sys
from pathlib import Path

import numpy as np

from utils.base import command, flags
from utils.base.devices import network_device
from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX
from utils.extract.outputs import Output, Segments, extract
from utils.extract.videos import list_files, list_videos
from utils.features.kinds import KINDS
from utils.llp.classes import FPS, T
from utils.llp.videos import Video

FRAME_DIR, AUDIO_DIR = Path("./data/video_frames"), Path("./data/raw_videos")
HEARD = ("vggish",)  # the others look
OUT_FLAG = "--out_dir"
# videos in a batch: of ResNet-152's 80 frames each, of R(2+1)D's and VGGish's ten seconds
BATCH_SIZES = {"vggish": 16, "res152": 1, "r2plus1d_18": 4}


def kinds() -> list[str]:
    """The features that this tool makes, by the name of their folder in data/feats."""
    return [name for name, kind in KINDS.items() if kind.folder.startswith("feats/")]


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="extract_features.py", description=__doc__)
    parser.add_argument("--kind", choices=kinds(), required=True, help="which of the features")
    source = parser.add_argument_group("source")
    pictures = source.add_mutually_exclusive_group()
    pictures.add_argument(
        "--video_frame_dir",
        type=Path,
        metavar="DIR",
        help=f"res152, r2plus1d_18: folder of <id>/000001.jpg ..., 8 frames a second (default: {FRAME_DIR})",
    )
    pictures.add_argument(
        "--from_videos",
        type=Path,
        metavar="DIR",
        help="res152, r2plus1d_18: folder of <id>.mp4, without JPEG files on the way",
    )
    source.add_argument(
        "--audio_dir", type=Path, metavar="DIR", help=f"vggish: folder of <id>.mp4 or <id>.wav (default: {AUDIO_DIR})"
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--label_all_dataset", type=Path, metavar="FILE", help="CSV that lists the videos (default: all in the folder)"
    )
    data.add_argument(OUT_FLAG, type=Path, help="folder to write to (default: ./data/feats/<kind>)")
    sizes = ", ".join(f"{kind} {size}" for kind, size in BATCH_SIZES.items())
    flags.add_network_flags(parser, None, sizes)
    flags.add_extraction_flags(parser)
    return parser


def source_folder(args: argparse.Namespace) -> Path:
    """Where the videos, frames or sounds are; InputError for a flag that the kind has no use for, or no folder."""
    unused = ("video_frame_dir", "from_videos") if args.kind in HEARD else ("audio_dir",)
    for name in unused:
        if getattr(args, name):
            use = "sound, from --audio_dir" if args.kind in HEARD else "pictures, from --from_videos DIR"
            raise InputError(f"--{name}: --kind {args.kind} is made of {use}")
    if args.kind in HEARD:
        folder, make = args.audio_dir or AUDIO_DIR, "expected videos as <id>.mp4"
    elif args.from_videos:
        folder, make = args.from_videos, "expected videos as <id>.mp4"
    else:
        folder, make = args.video_frame_dir or FRAME_DIR, "utils/extract_frames.py makes it, or give --from_videos"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {make}")
    return folder


def videos_of(args: argparse.Namespace, folder: Path) -> list[Video]:
    """The videos of --label_all_dataset, else all of the folder."""
    if args.label_all_dataset:
        return list_videos(args.label_all_dataset)
    from utils.media.files import SUFFIXES, VIDEO_SUFFIXES

    if args.kind in HEARD:
        return list_files(folder, lambda path: path.suffix.lower() in SUFFIXES)
    if args.from_videos:
        return list_files(folder, lambda path: path.suffix.lower() in VIDEO_SUFFIXES)
    return list_files(folder, lambda path: path.is_dir() and not path.name.endswith(TMP_SUFFIX))


def load(args: argparse.Namespace, folder: Path):
    """The functions that read a video and that compute (`extraction.extract`)."""
    from utils.encoders.vggish import SAMPLE_RATE, log_mel, to_16_bit
    from utils.encoders.visual import FRAMES, BaseNetwork
    from utils.media.files import find_media
    from utils.media.frames import evenly_spaced, frame_files, read_frames, read_image
    from utils.media.sound import read_sound

    device = network_device(args)
    network = BaseNetwork.load(args.kind, args.checkpoint, device, args.precision)

    def read(video: Video) -> Segments:
        if args.kind in HEARD:
            samples = read_sound(find_media(folder, *video.names), SAMPLE_RATE)
            seconds = len(samples) / SAMPLE_RATE
            if seconds > T + 1:
                print(
                    f"warning: {video.filename} lasts {seconds:.1f} s; its ten vectors are of the first {T} s",
                    file=sys.stderr,
                )
            return Segments(log_mel(to_16_bit(samples)), seconds)
        if args.from_videos:
            images, count = read_frames(find_media(folder, *video.names), FRAMES)
        else:
            files = frame_files(folder, *video.names)
            images = (read_image(files[i]) for i in evenly_spaced(len(files), FRAMES))
            count = len(files)
        prepared = np.stack([network.kind.prepare(image) for image in images])
        return Segments(prepared, count / FPS)

    def compute(contents: list[np.ndarray], videos: list[Video]) -> list[dict[str, np.ndarray]]:
        return [{OUT_FLAG: features} for features in network.embed(contents)]

    return read, compute


def main(args: argparse.Namespace) -> int:
    """Go through the videos; the exit status is 1 where some failed. Raises InputError for bad input."""
    folder = source_folder(args)
    args.batch_size = args.batch_size or BATCH_SIZES[args.kind]
    layout = KINDS[args.kind].layout
    out = Output(args.out_dir or Path("./data/feats", args.kind), layout)
    return extract(args.kind, args, videos_of(args, folder), {OUT_FLAG: out}, lambda: load(args, folder))


if __name__ == "__main__":
    command.run(main, get_args_parser())
