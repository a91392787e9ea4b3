"""The audio teacher: CLAP features and segment-level pseudo labels of all videos, in one pass over their sound.

    python utils/clap_preprocess.py

Reads data/raw_videos/<id>.mp4 (or .wav), each once. Written per video: features (64, 768) float32, CLAP's token map
of the ten seconds (row = frequency * 32 + time), and pseudo labels (10, 25) int64: 1 if an event that the video is
known to have is heard in that second. With --dataset, videos may have other lengths and classes: (T, C), and, with
--per_second, features (T, 512). The command can be interrupted; rerun it to resume. Weights (630k-fusion-best.pt
of lukewys/laion_clap) come from the hub, or from --checkpoint.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.features.kinds import CLAP_EMBEDDING, KINDS, file_layout

FEATURES_FLAG = "--audio_feats_saved_dir"
GPU_BATCH = 4  # videos


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="clap_preprocess.py", description=__doc__)
    source = parser.add_argument_group("source")
    text = "folder of <id>.mp4 or <id>.wav"
    source.add_argument("--audio_dir", type=Path, default=Path("./data/raw_videos"), help=text)
    flags.add_teacher_flags(parser, "CLAP", FEATURES_FLAG, GPU_BATCH)
    text = f"features are the embeddings of the ten segments, (10, {CLAP_EMBEDDING}), which temporal_labels.py takes"
    parser.add_argument("--per_second", action="store_true", help=f"{text}; in a folder of their own")
    model = parser.add_argument_group("for trials without network")
    text = "also run with a tokenizer that is not RoBERTa's, such as a synthetic one"
    model.add_argument("--any_vocabulary", action="store_true", help=text)
    return parser


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 if some videos failed. Raises InputError for bad input."""
    from utils.extract import teachers
    from utils.extract.runner import Settings
    from utils.llp.classes import T
    from utils.llp.datasets import read_dataset
    from utils.llp.missing import how_to_get

    dataset = read_dataset(args.dataset, args.classes)
    if not args.audio_dir.is_dir():
        raise InputError(f"{args.audio_dir}: no such folder, expected videos as <id>.mp4{how_to_get(args.audio_dir)}")
    kind, source, lists = KINDS["CLAP"], (args.audio_dir, False), (args.label_all_dataset, dataset)
    layout = file_layout(kind, dataset.seconds) if not args.per_second else kind.layout
    folders = flags.teacher_folders(args, FEATURES_FLAG, kind.name, dataset.folder)
    settings = Settings.of(vars(args) | {"gpu_batch": GPU_BATCH})
    if args.per_second:
        if dataset.seconds == T and folders[FEATURES_FLAG] == Path(dataset.folder, kind.folder):
            raise InputError(f"--per_second: {folders[FEATURES_FLAG]} is for token maps; choose {FEATURES_FLAG}")
        layout = layout._replace(rows=(dataset.seconds,) if dataset.seconds else (), columns=CLAP_EMBEDDING)
    options = {name: getattr(args, name) for name in ("checkpoint", "gpu", "precision", "any_vocabulary", "per_second")}
    return teachers.run(kind, layout, source, *lists, folders, settings, **options)


if __name__ == "__main__":
    command.run(main, get_args_parser())
