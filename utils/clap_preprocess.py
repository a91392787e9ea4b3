"""The audio teacher: CLAP features and segment-level pseudo labels of all videos, in one pass over their sound.

    python utils/clap_preprocess.py

Reads data/raw_videos/<id>.mp4 (or .wav), each once. Written per video: features (64, 768) float32, CLAP's token map
of the ten seconds (row = frequency * 32 + time), and pseudo labels (10, 25) int64: 1 where an event that the video is
known to have is heard in that second. Finished videos are skipped, so that the command can be stopped and given again.
Weights (630k-fusion-best.pt of lukewys/laion_clap) come from the hub, or from --checkpoint.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.base import command, flags
from utils.base.devices import network_device
from utils.base.errors import InputError
from utils.base.flags import add_extraction_flags
from utils.base.npy import Layout
from utils.extract.outputs import Segments
from utils.extract.teachers import add_flags, run
from utils.llp.classes import EventClass
from utils.llp.videos import Video

FEATURES_FLAG = "--audio_feats_saved_dir"
FEATURES = Layout((64,), 768, np.float32, "CLAP features")  # 2 frequency rows x 32 time steps of HTSAT-tiny


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="clap_preprocess.py", description=__doc__)
    source = parser.add_argument_group("source")
    source.add_argument(
        "--audio_dir", type=Path, default=Path("./data/raw_videos"), help="folder of <id>.mp4 or <id>.wav"
    )
    add_flags(parser, "CLAP", FEATURES_FLAG, batch_size=4)
    model = parser.add_argument_group("for trials without network")
    model.add_argument(
        "--any_vocabulary",
        action="store_true",
        help="also run with a tokenizer that is not RoBERTa's, such as a made-up one",
    )
    add_extraction_flags(parser)
    return parser


def load(args: argparse.Namespace, classes: Sequence[EventClass]):
    """The functions that read a video and that compute (`teachers.run`)."""
    from utils.encoders.clap import SAMPLE_RATE, ClapTeacher, Heard
    from utils.media.files import find_media
    from utils.media.sound import read_sound

    device = network_device(args)
    teacher = ClapTeacher.load(args.checkpoint, device, args.precision, args.any_vocabulary)
    captions = teacher.embed_captions([c.clap_caption for c in classes])  # (C, D)

    def read(video: Video) -> Segments:
        samples = read_sound(find_media(args.audio_dir, *video.names), SAMPLE_RATE)
        return Segments(teacher.hear(samples), len(samples) / SAMPLE_RATE)

    def embed(contents: list[Heard]) -> tuple[np.ndarray, np.ndarray]:
        segments, maps = teacher.embed(contents)  # (B, T, D), (B, 64, 768)
        return maps.cpu().numpy(), teacher.logits(segments, captions).cpu().numpy()

    return read, embed


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 where some videos failed. Raises InputError for bad input."""
    if not args.audio_dir.is_dir():
        raise InputError(f"{args.audio_dir}: no such folder, expected videos as <id>.mp4; docs/DATA.md says how")
    return run("CLAP", args, FEATURES_FLAG, FEATURES, lambda classes: load(args, classes), threshold="clap_threshold")


if __name__ == "__main__":
    command.run(main, get_args_parser())
