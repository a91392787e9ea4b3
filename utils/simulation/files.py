"""A simulated world as files, in LLP's published layout.

Axes: N videos, C classes, T segments.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.base.files import require_space, write_json
from utils.base.progress import tqdm
from utils.features.kinds import KINDS, LABELS, LOGITS
from utils.llp.annotations import REFERENCE_FILES, write_predictions
from utils.llp.classes import T
from utils.llp.datasets import LLP
from utils.llp.events import EVENT_COLUMNS, segments_to_events, write_events
from utils.llp.names import video_id
from utils.llp.probabilities import Probabilities
from utils.llp.pseudo_labels import label_layout, logits_layout
from utils.llp.tables import write_table
from utils.llp.videos import ALL_VIDEOS_FILE, SPLIT_COLUMNS, SPLIT_FILES
from utils.metrics.decision_thresholds import Thresholds
from utils.metrics.eval_metrics import SCORE_NAMES, binarize
from utils.metrics.tables import PUBLISHED_TEACHERS
from utils.simulation.posterior import Posterior
from utils.simulation.scores import posterior_scores, posterior_thresholds, teacher_scores
from utils.simulation.world import BLOCK, World, video_names

TRUTH_FILE, TRUTH_COLUMNS = "truth_train.csv", (*EVENT_COLUMNS, "modality")
MARGIN = 2**20  # bytes of a disk, beside the arrays


def write_world(out: Path, world: World, counts: dict[str, int]) -> dict:
    """Write the videos of train, val and test to the folder `out`; returns what `summary.json` holds.

    counts: split -> number of videos. Memory: a block of videos, and 3 kB a video. Raises InputError if the disk is
    too small.
    """
    names = world.statistics.class_names
    layouts = [*(kind.layout for kind in world.kinds), *2 * [label_layout(len(names)), logits_layout(len(names))]]
    per_video = sum(-(-layout.file_size // 4096) * 4096 for layout in layouts)  # in blocks of a disk
    require_space(out, MARGIN + per_video * sum(counts.values()), "for the arrays of these videos")
    out.mkdir(parents=True, exist_ok=True)
    summary = {"dials": world.dials._asdict(), "seed": world.seed, "videos": counts, "published": {}}
    summary["dials"] |= {modality: getattr(world.dials, modality)._asdict() for modality in REFERENCE_FILES}
    summary["published"] = {name: PUBLISHED_TEACHERS.get(name) for name in SCORE_NAMES}
    tracks = {}
    for split, count in counts.items():
        tracks[split], pseudo, found = write_arrays(out, world, split, count)
        if split == "train":
            continue
        if split == "val":  # which comes before test
            thresholds = posterior_thresholds(tracks[split], found)
            summary["thresholds"] = thresholds._asdict()
        write_posterior(out / "posterior" / split, video_names(split, 0, count), found, thresholds, names)
        summary[split] = {
            "teachers": teacher_scores(tracks[split], pseudo),
            "posterior": posterior_scores(tracks[split], found, thresholds),
        }
    write_lists(out, tracks, names)
    write_json(out / "summary.json", summary)
    return summary


def write_arrays(out: Path, world: World, split: str, count: int) -> tuple[np.ndarray, np.ndarray, Posterior | None]:
    """The .npy files of a split; returns (N, 2, C, T) tracks, (N, 2, T, C) pseudo labels, and the posterior.

    The posterior of the training videos is not computed: None.
    """
    tracks, pseudo, found = [], [], []
    for videos in tqdm(world.blocks(split, count), split, -(-count // BLOCK), mininterval=1):
        arrays = {KINDS[name].folder: array for name, array in videos.features.items()}
        arrays |= {folder: videos.pseudo[:, m] for m, folder in enumerate(LABELS.values())}
        arrays |= {folder: videos.logits[:, m] for m, folder in enumerate(LOGITS.values())}
        for folder, array in arrays.items():
            (out / folder).mkdir(parents=True, exist_ok=True)
            for name, one in zip(videos.filenames, array, strict=True):
                np.save(out / folder / f"{video_id(name)}.npy", one)
        tracks.append(videos.tracks)
        pseudo.append(videos.pseudo.astype(np.uint8))
        if split != "train":
            found.append(world.posterior(videos.features))
    whole = Posterior(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else None
    return np.concatenate(tracks), np.concatenate(pseudo), whole


def write_lists(out: Path, tracks: dict[str, np.ndarray], class_names: Sequence[str]) -> None:
    """The CSVs of all splits: weak labels, the reference of val and test, the truth of train.

    tracks: split -> (N, 2, C, T) bool.
    """
    rows, events = {}, {}
    for split, array in tracks.items():
        filenames = video_names(split, 0, len(array))
        labels = [",".join(np.array(class_names)[weak]) for weak in array.any(axis=(1, 3))]
        rows[split] = list(zip(filenames, labels, strict=True))
        write_table(out / SPLIT_FILES[split], SPLIT_COLUMNS, rows[split])
        for m, modality in enumerate(REFERENCE_FILES):
            events[split, modality] = segments_to_events(array[:, m], filenames, class_names)
    write_table(out / ALL_VIDEOS_FILE, SPLIT_COLUMNS, [row for split in rows.values() for row in split])
    for modality, name in REFERENCE_FILES.items():
        write_events(out / name, pd.concat([events[split, modality] for split in ("val", "test")]))
    truth = pd.concat([events["train", modality].assign(modality=modality) for modality in REFERENCE_FILES])
    truth = truth.sort_values("filename", kind="stable")
    write_table(out / TRUTH_FILE, TRUTH_COLUMNS, truth[list(TRUTH_COLUMNS)].itertuples(index=False))


def write_posterior(
    folder: Path, filenames: Sequence[str], found: Posterior, thresholds: Thresholds, class_names: Sequence[str]
) -> None:
    """What main.py --save_predictions writes, of a posterior: probabilities, and events at thresholds."""
    predictions = binarize(*found, *thresholds)
    frame_prob = found.frame_prob.reshape(-1, *found.frame_prob.shape[2:])
    said = Probabilities(np.full(len(filenames), T), frame_prob, found.global_prob)
    write_predictions(folder, filenames, *predictions, LLP.named(class_names), said)
