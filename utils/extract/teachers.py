"""What the tools of both teachers share: their flags, their outputs, and pseudo labels from what a teacher says."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.base import flags
from utils.base.npy import Layout, read_npy, write_npy
from utils.encoders import hub
from utils.extract.outputs import Output, extract
from utils.extract.videos import list_videos
from utils.llp import pseudo_labels
from utils.llp.classes import EventClass, class_names, read_classes

LOGITS_FLAG = "--logits_saved_dir"
LABELS_FLAG = "--pseudo_labels_saved_dir"


def add_flags(parser: argparse.ArgumentParser, teacher: str, features_flag: str, batch_size: int) -> None:
    """The flags of a teacher's tool, beside those that say where its videos are.

    Args:
        teacher: name of its folder in data/.
        features_flag: published name of the flag for its features.
        batch_size: default number of videos in a batch.
    """
    data = parser.add_argument_group("data")
    data.add_argument(
        "--label_all_dataset",
        type=Path,
        default="./data/AVVP_dataset_full.csv",
        help="the videos and their event names",
    )
    data.add_argument(
        LABELS_FLAG,
        type=Path,
        default=f"./data/{teacher}/segment_pseudo_labels",
        help="folder to write pseudo labels to, (10, C) int64",
    )
    data.add_argument(
        features_flag, type=Path, default=f"./data/{teacher}/features", help="folder to write features to, float32"
    )
    data.add_argument(
        LOGITS_FLAG,
        type=Path,
        metavar="DIR",
        help="folder to write the logits to, too, (10, C) float32, before thresholds",
    )
    flags.add_classes_flag(data)
    flags.add_network_flags(parser, batch_size)


def run(
    what: str,
    args: argparse.Namespace,
    features_flag: str,
    features: Layout,
    load: Callable[[Sequence[EventClass]], tuple[Callable, Callable]],
    threshold: str,
) -> int:
    """Features, pseudo labels and, where asked for, logits of all videos; returns the exit status.

    Args:
        what: name of the teacher.
        features: what a file of its features holds.
        load: builds the teacher and asks it about the classes' captions, once. Returns a function that reads a video
            and one that takes what was read of B videos and returns features (B, ...) and logits (B, T, C), float32.
        threshold: which threshold of a class is the teacher's.

    Raises:
        InputError: for anything that stops the whole run.
    """
    classes = read_classes(args.classes)
    thresholds = np.array([getattr(c, threshold) for c in classes])
    folders = {name: getattr(args, name.removeprefix("--")) for name in (LABELS_FLAG, features_flag, LOGITS_FLAG)}
    layouts = (pseudo_labels.label_layout(len(classes)), features, pseudo_labels.logits_layout(len(classes)))
    outputs = {
        flag: Output(folder, layout) for (flag, folder), layout in zip(folders.items(), layouts, strict=True) if folder
    }

    def load_and_label():
        hub.offline_without_network()
        read, embed = load(classes)

        def compute(contents, videos):
            arrays, logits = embed(contents)
            labels = pseudo_labels.pseudo_labels(logits, np.stack([v.weak for v in videos]), thresholds)
            return [
                dict(zip((LABELS_FLAG, features_flag, LOGITS_FLAG), triple, strict=True))
                for triple in zip(labels, arrays, logits, strict=True)
            ]

        return read, compute

    def label_from_logits(video):
        """Labels alone are missing, with other thresholds, say: they need no network."""
        others = [flag for flag in (features_flag, LOGITS_FLAG) if flag in outputs]
        if len(others) < 2 or not all(outputs[flag].is_finished(video) for flag in others):
            return False
        logits = read_npy(outputs[LOGITS_FLAG].path(video))
        write_npy(outputs[LABELS_FLAG].path(video), pseudo_labels.pseudo_labels(logits, video.weak, thresholds))
        return True

    videos = list_videos(args.label_all_dataset, class_names(classes))
    return extract(what, args, videos, outputs, load_and_label, label_from_logits)
