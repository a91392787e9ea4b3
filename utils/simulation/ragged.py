"""A simulated world as videos of other lengths than ten seconds, in the layout of utils/convert_dataset.py.

A video is several simulated ten seconds, laid end to end and cut. Axes: N videos, C classes, T_i seconds of video i.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.base.npy import write_npy
from utils.features.kinds import LABELS, LOGITS
from utils.llp.classes import T
from utils.llp.datasets import LLP, SPLITS, DataSet, Feature, write_dataset
from utils.llp.events import segments_to_events, write_events
from utils.llp.pseudo_labels import pseudo_labels
from utils.llp.ragged import Ragged
from utils.llp.tables import write_table
from utils.llp.videos import SPLIT_COLUMNS
from utils.metrics.eval_metrics import ten_scores, video_scores
from utils.simulation.world import Videos, World

MODALITIES = ("audio", "visual")


def describe(world: World, seconds: tuple[int, int]) -> DataSet:
    """The data set of a world's videos; seconds: of the shortest and the longest.

    Raises InputError for CLAP's map, which covers ten seconds.
    """
    for kind in world.kinds:
        if kind.rows % T:
            raise InputError(f"--seconds: {kind.name} features cover ten seconds; leave out --all_features")
    features = {kind.name: Feature(kind.stream, kind.rows / T, kind.size) for kind in world.kinds}
    lists = {modality: f"train_{modality}.csv" for modality in MODALITIES}
    return LLP._replace(
        name="simulated",
        classes=world.classes,
        seconds=seconds[0] if seconds[0] == seconds[1] else None,
        ids="whole",
        splits={split: f"{split}.csv" for split in SPLITS},
        all_videos=None,
        reference={modality: f"eval_{modality}.csv" for modality in MODALITIES},
        weak=lists,
        features=features,
    )


def write_ragged(out: Path, world: World, counts: dict[str, int], seconds: tuple[int, int]) -> dict[str, dict]:
    """Write the videos of train, val and test to `out`; returns the teachers' scores by split.

    counts: split -> number of videos; seconds: of the shortest and the longest, between which lengths are drawn evenly.
    Raises InputError as `describe` does.
    """
    out.mkdir(parents=True, exist_ok=True)
    dataset = describe(world, seconds)
    dataset = dataset._replace(folder=str(out))
    events, scores = {modality: [] for modality in MODALITIES}, {}
    for split, count in counts.items():
        names = [f"{split}{i:07d}" for i in range(count)]
        rng = np.random.default_rng([world.seed, SPLITS.index(split), count])
        lengths = rng.integers(seconds[0], seconds[1] + 1, count)
        videos = list(_write_arrays(out, world, split, names, lengths))
        tracks, pseudo = ([Ragged(np.concatenate([v[i][m] for v in videos]), lengths) for m in (0, 1)] for i in (0, 1))
        both = tracks[0] | tracks[1]
        lists = {dataset.splits[split]: both}
        if split == "train":
            lists |= dict(zip(dataset.weak.values(), tracks, strict=True))
        else:
            scores[split] = ten_scores(video_scores(*pseudo, *tracks))
            for modality, segments in zip(MODALITIES, tracks, strict=True):
                events[modality].append(segments_to_events(segments, names, dataset.class_names))
        for name, segments in lists.items():
            write_lines(out / name, names, segments.any(), dataset)
    for modality, name in dataset.reference.items():
        write_events(out / name, pd.concat(events[modality]))
    write_dataset(out / "dataset.yaml", dataset)
    return scores


def write_lines(path: Path, names: list[str], weak: np.ndarray, dataset: DataSet) -> None:
    """A list of N videos and their event names; weak: (N, C) bool. A video may have no events in one modality."""
    labels = [dataset.separator.join(np.array(dataset.class_names)[row]) for row in weak]
    write_table(path, SPLIT_COLUMNS, zip(names, labels, strict=True), may_be_empty=True)


def _write_arrays(
    out: Path, world: World, split: str, names: list[str], lengths: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The .npy files of each video; yields its tracks and pseudo labels, (2, T_i, C) bool each."""
    parts = -(-lengths // T)
    stream = _single(world, split, int(parts.sum()))
    for name, length, count in zip(names, lengths, parts, strict=True):
        pieces = [next(stream) for _ in range(count)]
        tracks = np.concatenate([p.tracks for p in pieces], axis=-1)  # (2, C, 10 n)
        first = min(int(np.argmax(tracks.any(axis=(0, 1)))), count * T - length)  # so that something happens
        kept = slice(first, first + length)
        tracks = tracks[..., kept].transpose(0, 2, 1)  # (2, T_i, C)
        logits = np.concatenate([p.logits for p in pieces], axis=1)[:, kept]
        weak = tracks.any(axis=(0, 1))
        pseudo = [pseudo_labels(logits[m], weak, world.thresholds[m]) for m in (0, 1)]
        arrays = dict(zip((*LABELS.values(), *LOGITS.values()), (*pseudo, *logits), strict=True))
        for kind in world.kinds:
            rows = np.concatenate([p.features[kind.name] for p in pieces])
            arrays[kind.folder] = rows[first * kind.rows // T :][: length * kind.rows // T]
        for folder, array in arrays.items():
            write_npy(out / folder / f"{name}.npy", array)
        yield tracks, np.stack(pseudo) > 0


def _single(world: World, split: str, count: int) -> Iterator[Videos]:
    """The first `count` ten-second videos of a split, one by one: arrays without the axis of videos."""
    for block in world.blocks(split, count):
        for i in range(len(block.filenames)):
            features = {kind: array[i] for kind, array in block.features.items()}
            yield Videos([block.filenames[i]], block.tracks[i], block.logits[i], block.pseudo[i], features)
