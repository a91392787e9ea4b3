"""The visual teacher: CLIP features and segment-level pseudo labels of all videos, in one pass over their frames.

    python utils/extract_frames.py        # once: data/raw_videos/<id>.mp4 -> data/video_frames/<id>/000001.jpg ...
    python utils/clip_preprocess.py

Of each video ten frames, evenly spaced, go through CLIP. Written per video: features (10, 768) float32, of length 1,
and pseudo labels (10, 25) int64: 1 where an event that the video is known to have is seen in that second. Finished
videos are skipped, so that the command can be stopped and given again. Weights come from the hub, or from --checkpoint.
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
from utils.encoders import CLIP_MODEL, CLIP_PRETRAINED
from utils.extract.outputs import Segments
from utils.extract.teachers import add_flags, run
from utils.llp.classes import FPS, EventClass, T
from utils.llp.videos import Video

FEATURES_FLAG = "--visual_feats_saved_dir"
FEATURES = Layout((T,), None, np.float32, "CLIP features")  # 768 columns with the published model


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="clip_preprocess.py", description=__doc__)
    source = parser.add_argument_group("source").add_mutually_exclusive_group()
    source.add_argument(
        "--video_frame_dir",
        type=Path,
        default=Path("./data/video_frames"),
        help="folder of <id>/000001.jpg ..., 8 frames a second",
    )
    source.add_argument(
        "--from_videos",
        type=Path,
        metavar="DIR",
        help="folder of <id>.mp4: take the ten frames from there, without JPEG files",
    )
    add_flags(parser, "CLIP", FEATURES_FLAG, batch_size=8)
    model = parser.add_argument_group("another CLIP")
    model.add_argument(
        "--model", default=CLIP_MODEL, metavar="NAME", help="in open_clip, or hf-hub:ORG/REPO, local-dir:FOLDER"
    )
    model.add_argument(
        "--pretrained",
        metavar="TAG",
        help="which of its weights on the hub, or of which a --checkpoint is a copy: normalisation and "
        f"activation are theirs (default: {CLIP_PRETRAINED}; of a --checkpoint: what --model "
        "says)",
    )
    add_extraction_flags(parser)
    return parser


def load(args: argparse.Namespace, classes: Sequence[EventClass]):
    """The functions that read a video and that compute (`teachers.run`)."""
    import torch

    from utils.encoders.clip import ClipTeacher
    from utils.media.files import find_media
    from utils.media.frames import evenly_spaced, frame_files, read_frames, read_image

    device = network_device(args)
    teacher = ClipTeacher.load(args.model, args.pretrained, args.checkpoint, device, args.precision)
    captions = teacher.embed_captions([c.clip_caption for c in classes])  # (C, D)

    def read(video: Video) -> Segments:
        if args.from_videos:
            images, count = read_frames(find_media(args.from_videos, *video.names), T)
        else:
            files = frame_files(args.video_frame_dir, *video.names)
            images = (read_image(files[i]) for i in evenly_spaced(len(files), T))
            count = len(files)
        return Segments(torch.stack([teacher.preprocess(image) for image in images]), count / FPS)

    def embed(contents: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        features = teacher.embed_images(torch.cat(contents)).unflatten(0, (len(contents), T))  # (B, T, D)
        return features.cpu().numpy(), teacher.logits(features, captions).cpu().numpy()

    return read, embed


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 where some videos failed. Raises InputError for bad input."""
    folder = args.from_videos or args.video_frame_dir
    if not folder.is_dir():
        make = "" if args.from_videos else "; utils/extract_frames.py makes it, or give --from_videos"
        raise InputError(f"{folder}: no such folder{make}")
    return run("CLIP", args, FEATURES_FLAG, FEATURES, lambda classes: load(args, classes), threshold="clip_threshold")


if __name__ == "__main__":
    command.run(main, get_args_parser())
