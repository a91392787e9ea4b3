"""The visual teacher: CLIP features and segment-level pseudo labels of all videos, in one pass over their frames.

    python utils/extract_frames.py        # once: data/raw_videos/<id>.mp4 -> data/video_frames/<id>/000001.jpg ...
    python utils/clip_preprocess.py

Of each video ten frames, evenly spaced, go through CLIP. Written per video: features (10, 768) float32, of length 1,
and pseudo labels (10, 25) int64: 1 if an event that the video is known to have is seen in that second. With --dataset,
videos may have other lengths and classes: (T, 768) and (T, C). The command can be interrupted; rerun it to resume.
Weights come from the hub, or from --checkpoint.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.encoders import CLIP_MODEL, CLIP_PRETRAINED

FEATURES_FLAG = "--visual_feats_saved_dir"
GPU_BATCH = 8  # videos


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="clip_preprocess.py", description=__doc__)
    source = parser.add_argument_group("source").add_mutually_exclusive_group()
    text = "folder of <id>/000001.jpg ..., 8 frames a second"
    source.add_argument("--video_frame_dir", type=Path, default=Path("./data/video_frames"), help=text)
    text = "folder of <id>.mp4: take the ten frames from there, without JPEG files"
    source.add_argument("--from_videos", type=Path, metavar="DIR", help=text)
    flags.add_teacher_flags(parser, "CLIP", FEATURES_FLAG, GPU_BATCH)
    model = parser.add_argument_group("another CLIP")
    text = "in open_clip, or hf-hub:ORG/REPO, local-dir:FOLDER"
    model.add_argument("--model", default=CLIP_MODEL, metavar="NAME", help=text)
    text = "which of its weights on the hub; with --checkpoint, the tag that it is a copy of. They decide normalisation"
    text += f" and activation (default: {CLIP_PRETRAINED}; with --checkpoint: what --model says)"
    model.add_argument("--pretrained", metavar="TAG", help=text)
    return parser


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 if some videos failed. Raises InputError for bad input."""
    from utils.extract import teachers
    from utils.extract.runner import Settings
    from utils.features.kinds import KINDS, file_layout
    from utils.llp.datasets import read_dataset
    from utils.llp.missing import how_to_get

    dataset = read_dataset(args.dataset, args.classes)
    folder = args.from_videos or args.video_frame_dir
    if not folder.is_dir():
        make = "python utils/extract_frames.py makes it, or give --from_videos"
        raise InputError(f"{folder}: no such folder{how_to_get(folder) if args.from_videos else f'; {make}'}")
    kind, source, lists = KINDS["CLIP"], (folder, not args.from_videos), (args.label_all_dataset, dataset)
    layout = file_layout(kind, dataset.seconds)._replace(columns=None)  # 768 with the published model
    folders = flags.teacher_folders(args, FEATURES_FLAG, kind.name, dataset.folder)
    settings = Settings.of(vars(args) | {"gpu_batch": GPU_BATCH})
    options = {name: getattr(args, name) for name in ("checkpoint", "gpu", "precision", "model", "pretrained")}
    return teachers.run(kind, layout, source, *lists, folders, settings, **options)


if __name__ == "__main__":
    command.run(main, get_args_parser())
