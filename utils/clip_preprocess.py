"""The visual teacher: CLIP features and segment-level pseudo labels of all videos, in one pass over their frames.

    python utils/extract_frames.py        # once: data/raw_videos/<id>.mp4 -> data/video_frames/<id>/000001.jpg ...
    python utils/clip_preprocess.py

Of each video ten frames, evenly spaced, go through CLIP. Written per video: features (10, 768) float32, of length 1,
and pseudo labels (10, 25) int64: 1 where an event that the video is known to have is seen in that second. Finished
videos are skipped, so that the command can be stopped and given again. Weights come from the hub, or from --checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # python utils/x.py puts utils/ first on the path: imports start at the repository instead
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils import cli

if __name__ == "__main__":
    cli.quiet_interrupts()

import numpy as np

from utils import llp, network_flags, teachers
from utils.arrays import Layout
from utils.extraction import Segments, add_flags

FEATURES_FLAG = "--visual_feats_saved_dir"
FEATURES = Layout((llp.T,), None, np.float32, "CLIP features")  # 768 columns with the published model


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = cli.ArgumentParser(
        prog="clip_preprocess.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_argument_group("source").add_mutually_exclusive_group()
    source.add_argument("--video_frame_dir", type=Path, default=Path("./data/video_frames"),
                        help="folder of <id>/000001.jpg ..., 8 frames a second (default: %(default)s)")  # fmt: skip
    source.add_argument("--from_videos", type=Path, metavar="DIR",
                        help="folder of <id>.mp4: take the ten frames from there, without JPEG files")  # fmt: skip
    teachers.add_flags(parser, "CLIP", FEATURES_FLAG, batch_size=8)
    model = parser.add_argument_group("another CLIP")
    model.add_argument("--model", default=teachers.CLIP_MODEL, metavar="NAME",
                       help="in open_clip, or hf-hub:ORG/REPO, local-dir:FOLDER (default: %(default)s)")  # fmt: skip
    model.add_argument("--pretrained", metavar="TAG",
                       help="which of its weights on the hub, or of which a --checkpoint is a copy: normalisation and "
                       f"activation are theirs (default: {teachers.CLIP_PRETRAINED}; of a --checkpoint: what --model "
                       "says)")  # fmt: skip
    add_flags(parser)
    return parser


def load(args: argparse.Namespace, classes: Sequence[llp.EventClass]):
    """The functions that read a video and that compute (`teachers.run`)."""
    import torch

    from utils import media
    from utils.clip_teacher import ClipTeacher

    device = network_flags.select_device(args)
    teacher = ClipTeacher.load(args.model, args.pretrained, args.checkpoint, device, args.precision)
    captions = teacher.embed_captions([c.clip_caption for c in classes])  # (C, D)

    def read(video: llp.Video) -> Segments:
        if args.from_videos:
            images, count = media.read_frames(media.find_media(args.from_videos, *video.names), llp.T)
        else:
            files = media.frame_files(args.video_frame_dir, *video.names)
            images = (media.read_image(files[i]) for i in media.evenly_spaced(len(files), llp.T))
            count = len(files)
        return Segments(torch.stack([teacher.preprocess(image) for image in images]), count / media.FPS)

    def embed(contents: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        features = teacher.embed_images(torch.cat(contents)).unflatten(0, (len(contents), llp.T))  # (B, T, D)
        return features.cpu().numpy(), teacher.logits(features, captions).cpu().numpy()

    return read, embed


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 where some videos failed. Raises InputError for bad input."""
    folder = args.from_videos or args.video_frame_dir
    if not folder.is_dir():
        make = "" if args.from_videos else "; utils/extract_frames.py makes it, or give --from_videos"
        raise cli.InputError(f"{folder}: no such folder{make}")
    return teachers.run(
        "CLIP", args, FEATURES_FLAG, FEATURES, lambda classes: load(args, classes), threshold="clip_threshold"
    )


if __name__ == "__main__":
    cli.run(main, get_args_parser())
