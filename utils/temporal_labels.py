"""Write the logits of UWAV's temporal teacher for the videos of a list, of which main.py makes soft or binary labels.

    python utils/temporal_labels.py --checkpoint models/temporal_teacher/checkpoint_best.pt --audio_dir CLAP \\
        --video_dir CLIP --text_a texts/text_a.npy --text_v texts/text_v.npy

Of each video it reads CLAP's and CLIP's embeddings, (L, D) float32 at any rate, averages them to its T seconds, ten
for LLP, and writes audio and visual logits, (T, C) float32 each, of all classes: no weak label and no threshold is
applied. The command can be interrupted; rerun it to resume.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import functools
from pathlib import Path

import numpy as np
import torch

from utils.base import command, devices, flags
from utils.base.errors import InputError
from utils.extract.outputs import Extractor, Output, extract
from utils.extract.runner import Settings
from utils.extract.videos import list_videos
from utils.features.dense_videos import pool_seconds, read_features
from utils.llp.datasets import DataSet, read_dataset
from utils.llp.lengths import stated_lengths
from utils.llp.pseudo_labels import logits_layout
from utils.llp.videos import Video
from utils.train import temporal

LOGITS_FLAGS = ("--a_logits_saved_dir", "--v_logits_saved_dir")


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="temporal_labels.py", description=__doc__)
    data = parser.add_argument_group("data")
    flags.add_list_flag(data)
    add = functools.partial(data.add_argument, type=Path, metavar="DIR")
    add("--audio_dir", required=True, help="CLAP's embeddings, <id>.npy, (L, D) float32")
    text = f"CLIP's embeddings, <id>.npy, (L, D) float32 (default: CLIP/features {flags.OF_DATA_SET})"
    add("--video_dir", help=text)
    flags.add_text_flags(data)
    for flag, what in zip(LOGITS_FLAGS, ("audio", "visual"), strict=True):
        text = f"folder to write {what} logits to, (T, C) float32 (default: UWAV/logits_{what[0]} {flags.OF_DATA_SET})"
        add(flag, help=text)
    flags.add_dataset_flags(data)
    add = parser.add_argument_group("model").add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE", help="weights that train_teacher.py wrote")
    text = "attention heads (default: what arguments.txt beside the checkpoint says, else 16)"
    add("--nhead", type=flags.positive_int, help=text)
    add("--gpu", default="0", help=flags.GPU_HELP)
    flags.add_extraction_flags(parser)
    return parser


class LogitsExtractor(Extractor):
    """The logits of a TemporalTeacher.

    Args:
        checkpoint, nhead: as for `load_teacher`. texts: (C, E) each, audio and visual. folders: of both features.
        gpu: number of the CUDA device, -1 for the CPU. dataset: of the videos.
    """

    def __init__(
        self,
        checkpoint: Path,
        nhead: int | None,
        texts: list[torch.Tensor],
        folders: tuple[Path, Path],
        gpu: str,
        dataset: DataSet,
    ):
        self.net, self.folders, self.gpu = temporal.load_teacher(checkpoint, *texts, nhead), folders, gpu
        self.dataset, self.lengths = dataset, stated_lengths(dataset)

    def load(self) -> None:
        """Bring the network to its device. Raises InputError if there is no such device."""
        self.device = devices.network_device(self.gpu, "fp32")
        self.net.to(self.device)

    def read(self, video: Video) -> tuple[list[torch.Tensor], float]:
        """Audio and visual features of a video, (T, D) each, and its length in seconds.

        Raises InputError if a file is missing, or is not of the size that the network takes.
        """
        found = []
        for folder, layer in zip(self.folders, (self.net.proj_a, self.net.proj_v), strict=True):
            paths = [folder / f"{name}.npy" for name in video.names]
            path, size = next((p for p in paths if p.is_file()), paths[-1]), layer.layers[0].in_features
            features = read_features(path)
            if features.shape[1] != size:
                raise InputError(f"{path}: holds features of size {features.shape[1]}, expected {size}")
            found.append(features)
        seconds = self.seconds(video, found[0])
        return [pool_seconds(features, seconds) for features in found], float(seconds)

    def seconds(self, video: Video, audio: torch.Tensor) -> int:
        """T of a video: the data set's, else that of its list of lengths, else the rows of (L, D) audio features."""
        if self.dataset.seconds:
            return self.dataset.seconds
        return self.lengths.get(video.filename, len(audio))

    @torch.no_grad()
    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """Audio and visual logits of each video, (T, C) float32, one video at a time."""
        valid = [torch.ones(1, len(content[0]), device=self.device) for content in contents]
        pairs = zip(contents, valid, strict=True)
        logits = [self.net(*(x[None].to(self.device) for x in content), seconds) for content, seconds in pairs]
        return [dict(zip(LOGITS_FLAGS, (z[0].cpu().numpy() for z in pair), strict=True)) for pair in logits]


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 if some videos failed. Raises InputError for bad input."""
    dataset = read_dataset(args.dataset, args.classes)
    names, folders = dataset.class_names, (args.audio_dir, args.video_dir or Path(dataset.folder, "CLIP/features"))
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected embeddings of seconds as <id>.npy")
    texts = [temporal.read_texts(path, len(names)) for path in (args.text_a, args.text_v)]
    videos = list_videos(args.label_all_dataset or dataset.lists, dataset)
    extractor = LogitsExtractor(args.checkpoint, args.nhead, texts, folders, args.gpu, dataset)
    given = (args.a_logits_saved_dir, args.v_logits_saved_dir)
    written = [folder or Path(dataset.folder, f"UWAV/logits_{m}") for folder, m in zip(given, "av", strict=True)]
    layout = logits_layout(len(names), dataset.seconds)
    outputs = {flag: Output(folder, layout) for flag, folder in zip(LOGITS_FLAGS, written, strict=True)}
    return extract("temporal teacher", extractor, videos, outputs, Settings.of(vars(args)))


if __name__ == "__main__":
    command.run(main, get_args_parser())
