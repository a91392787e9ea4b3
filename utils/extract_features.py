"""The three base features, for videos that are not in LLP's download: VGGish, ResNet-152, R(2+1)D-18.

    python utils/extract_features.py --kind vggish --audio_dir data/raw_videos
    python utils/extract_features.py --kind res152 --from_videos data/raw_videos
    python utils/extract_features.py --kind r2plus1d_18 --from_videos data/raw_videos

Written per video to data/feats/<kind>: VGGish (10, 128), a vector per second; ResNet-152 (80, 2048), 8 frames per
second; R(2+1)D-18 (10, 512), a snippet of 8 frames per second; float32. Images come from the JPEG frames that
utils/extract_frames.py writes, or straight from the videos. The command can be interrupted; rerun it to resume.
Weights are fetched from where they are published, or taken from --checkpoint.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX
from utils.features.kinds import KINDS, FeatureKind, file_layout
from utils.llp.datasets import DataSet, read_dataset
from utils.llp.missing import how_to_get
from utils.llp.videos import Video

CPU_BATCH = 4  # videos of sound: one at a time takes VGGish twice as long; networks of images are as fast with one
FRAME_DIR, AUDIO_DIR = Path("./data/video_frames"), Path("./data/raw_videos")
OUT_FLAG = "--out_dir"


def gpu_batch(kind: FeatureKind) -> int:
    """Videos in a batch on a GPU: 16 of sound; of images, about 40 vectors."""
    return 16 if kind.stream == "audio" else max(1, 40 // kind.rows)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="extract_features.py", description=__doc__)
    kinds = [kind for kind in KINDS.values() if kind.folder.startswith("feats/")]  # the others are the teachers'
    choices = [kind.name for kind in kinds]
    parser.add_argument("--kind", choices=choices, required=True, help="which of the features")
    visual = ", ".join(kind.name for kind in kinds if kind.stream != "audio")
    audio = ", ".join(kind.name for kind in kinds if kind.stream == "audio")
    source = parser.add_argument_group("source")
    images = source.add_mutually_exclusive_group()
    text = f"{visual}: folder of <id>/000001.jpg ..., 8 frames a second (default: {FRAME_DIR})"
    images.add_argument("--video_frame_dir", type=Path, metavar="DIR", help=text)
    text = f"{visual}: folder of <id>.mp4, instead of JPEG frames"
    images.add_argument("--from_videos", type=Path, metavar="DIR", help=text)
    text = f"{audio}: folder of <id>.mp4 or <id>.wav (default: {AUDIO_DIR})"
    source.add_argument("--audio_dir", type=Path, metavar="DIR", help=text)
    data = parser.add_argument_group("data")
    text = "CSVs that list the videos (default: all in the folder)"
    data.add_argument("--label_all_dataset", type=Path, nargs="+", metavar="FILE", help=text)
    data.add_argument(OUT_FLAG, type=Path, help=f"folder to write to (default: feats/<kind> {flags.OF_DATA_SET})")
    flags.add_dataset_flag(data)
    on_gpu = ", ".join(f"{kind.name} {gpu_batch(kind)}" for kind in kinds)
    flags.add_network_flags(parser, f"on a GPU {on_gpu}; on the CPU {audio} {CPU_BATCH}, others 1")
    flags.add_extraction_flags(parser)
    return parser


def source_folder(args: argparse.Namespace, is_audio: bool) -> Path:
    """The folder to read. Raises InputError if it does not exist, or for a flag that the kind has no use for."""
    for name in ("video_frame_dir", "from_videos") if is_audio else ("audio_dir",):
        if getattr(args, name):
            use = "sound, from --audio_dir" if is_audio else "pictures, from --from_videos DIR"
            raise InputError(f"--{name}: --kind {args.kind} is made of {use}")
    if is_audio:
        folder, make = args.audio_dir or AUDIO_DIR, "expected videos as <id>.mp4"
    elif args.from_videos:
        folder, make = args.from_videos, "expected videos as <id>.mp4"
    else:
        make = "python utils/extract_frames.py makes it, or give --from_videos"
        folder = args.video_frame_dir or FRAME_DIR
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {make}{how_to_get(folder)}")
    return folder


def list_all(args: argparse.Namespace, folder: Path, is_audio: bool, dataset: DataSet) -> list[Video]:
    """The videos of --label_all_dataset, else all of the folder."""
    from utils.extract.videos import list_files, list_videos
    from utils.media.files import SUFFIXES, VIDEO_SUFFIXES, report_skipped

    if args.label_all_dataset:
        return list_videos(args.label_all_dataset, dataset)
    if is_audio or args.from_videos:
        suffixes = SUFFIXES if is_audio else VIDEO_SUFFIXES
        report_skipped(folder, suffixes)
        return list_files(folder, lambda path: path.is_file() and path.suffix.lower() in suffixes)
    return list_files(folder, lambda path: path.is_dir() and not path.name.endswith(TMP_SUFFIX))


def main(args: argparse.Namespace) -> int:
    """Go through the videos; the exit status is 1 if some failed. Raises InputError for bad input."""
    from utils.extract.features import FeatureExtractor
    from utils.extract.outputs import Output, extract
    from utils.extract.runner import Settings

    kind = KINDS[args.kind]
    is_audio = kind.stream == "audio"
    folder = source_folder(args, is_audio)
    source = (folder, not (is_audio or args.from_videos))
    dataset, network = read_dataset(args.dataset), (args.gpu, args.precision)
    extractor = FeatureExtractor(kind, *source, OUT_FLAG, *network, dataset, checkpoint=args.checkpoint)
    settings = Settings.of(vars(args) | {"gpu_batch": gpu_batch(kind), "cpu_batch": CPU_BATCH if is_audio else 1})
    out = args.out_dir or Path(dataset.folder, "feats", kind.name)
    outputs = {OUT_FLAG: Output(out, file_layout(kind, dataset.seconds))}
    return extract(kind.name, extractor, list_all(args, folder, is_audio, dataset), outputs, settings)


if __name__ == "__main__":
    command.run(main, get_args_parser())
