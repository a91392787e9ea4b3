"""What a teacher makes of many videos: features, pseudo labels and, if wanted, logits, in one pass.

Axes: B videos, T segments, C classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.base.flags import LABELS_FLAG, LOGITS_FLAG
from utils.base.npy import Layout, read_npy, write_npy
from utils.extract.features import FeatureExtractor
from utils.extract.outputs import Output, extract
from utils.extract.runner import Settings
from utils.extract.videos import list_videos
from utils.features.kinds import FeatureKind
from utils.llp import pseudo_labels
from utils.llp.classes import EventClass
from utils.llp.datasets import DataSet
from utils.llp.videos import Video, read_split


class TeacherExtractor(FeatureExtractor):
    """Features, pseudo labels and logits by the teacher that is the encoder of a kind, CLIP or CLAP.

    Args:
        outputs: by flag.
        source: as FeatureExtractor's arguments.
    """

    def __init__(
        self, outputs: Mapping[str, Output], classes: Sequence[EventClass], kind: FeatureKind, *source, **more
    ):
        super().__init__(kind, *source, **more)
        self.outputs = outputs
        self.captions = [getattr(c, f"{kind.encoder}_caption") for c in classes]
        self.thresholds = np.array([getattr(c, f"{kind.encoder}_threshold") for c in classes])

    def load(self) -> None:
        """Load the teacher, and encode the classes' captions once. Raises InputError if it cannot be loaded."""
        super().load()
        self.prepare = self.encoder.preprocess
        self.encoded_captions = self.encoder.embed_captions(self.captions)  # (C, D)

    def complete(self, video: Video) -> bool:
        """Make labels from existing logits, if they are missing, or were made with other thresholds or weak labels."""
        others = [self.outputs[flag] for flag in (self.flag, LOGITS_FLAG) if flag in self.outputs]
        if len(others) < 2 or not all(output.is_finished(video) for output in others):
            return False
        logits, file = read_npy(self.outputs[LOGITS_FLAG].path(video)), self.outputs[LABELS_FLAG].path(video)
        labels = pseudo_labels.pseudo_labels(logits, video.weak, self.thresholds)
        if not self.outputs[LABELS_FLAG].is_finished(video) or not np.array_equal(read_npy(file), labels):
            write_npy(file, labels)
            self.rewritten += 1
        return True

    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """Of each video, labels (T, C) int64, features (rows, D) float32 and logits (T, C) float32, by flag."""
        inputs = [content for content, _ in contents]
        found = self.in_pieces(lambda part: self.encoder.label(part, self.encoded_captions), inputs)
        arrays = []
        for (features, logits), (_, is_there), video in zip(found, contents, videos, strict=True):
            logits = np.where(is_there[:, None], logits, np.float32(pseudo_labels.NOTHING))
            labels = pseudo_labels.pseudo_labels(logits, video.weak, self.thresholds)
            arrays.append({LABELS_FLAG: labels, self.flag: features, LOGITS_FLAG: logits})
        return arrays


def run(
    kind: FeatureKind,
    features: Layout,
    source: tuple[Path, bool],
    lists: Sequence[Path] | None,
    dataset: DataSet,
    folders: Mapping[str, Path | None],
    settings: Settings,
    **options,
) -> int:
    """Features, pseudo labels and, if wanted, logits of all videos; returns the exit status.

    Args:
        features: what a file of the teacher's features holds.
        source: the folder of videos or frames, and whether it holds frames.
        lists: CSVs of the videos and their event names; None: those of the data set.
        folders: of labels, features and logits, by flag, in this order; None for logits that are not wanted.
        options: of `load_encoder`.

    Raises InputError for bad input, or if memory does not suffice.
    """
    classes, seconds = dataset.classes, dataset.seconds
    labels, logits = (
        layout(len(classes), seconds) for layout in (pseudo_labels.label_layout, pseudo_labels.logits_layout)
    )
    layouts = (labels, features, logits)
    pairs = zip(folders.items(), layouts, strict=True)
    outputs = {flag: Output(folder, layout) for (flag, folder), layout in pairs if folder}
    extractor = TeacherExtractor(outputs, classes, kind, *source, list(folders)[1], dataset=dataset, **options)
    videos = list_videos(lists or dataset.lists, dataset, True)
    own = weak_of_modality("audio" if kind.stream == "audio" else "visual", dataset)
    videos = [video._replace(weak=own.get(video.filename, video.weak)) for video in videos]
    return extract(kind.name, extractor, videos, outputs, settings)


def weak_of_modality(modality: str, dataset: DataSet) -> dict[str, np.ndarray]:
    """Weak labels, (C,) 0/1, that are known of a modality itself, by video; none if the data set has no such list.

    Raises InputError if the list is missing or wrong.
    """
    if modality not in dataset.weak:
        return {}
    split = read_split(dataset.path(dataset.weak[modality]), dataset, may_be_empty=True)
    return dict(zip(split.filenames, split.weak, strict=True))
