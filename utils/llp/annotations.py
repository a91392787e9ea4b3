"""Reference annotations and predictions: their files, their versions, their known defects.

Axes: N videos, C classes, T segments of one second.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.base.files import atomic_path
from utils.base.flags import LLP_CLASSES
from utils.llp.classes import CLASS_NAMES, read_class_names
from utils.llp.events import Events, events_to_segments, read_events, segments_to_events, write_events
from utils.llp.tables import read_table
from utils.llp.videos import SPLIT_COLUMNS, SPLIT_FILES, Split, read_split

REFERENCE_FILES = {"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"}
PREDICTION_FILES = {"audio": "pred_audio.csv", "visual": "pred_visual.csv"}


def annotation_issues(events: Events, known: set[str] | None, unknown_to: str) -> list[str]:
    """One line that counts the rows of an event file that have no effect; no line if all have one.

    known: names of all videos that may have rows, or None if unknown; `unknown_to` describes other names.
    """
    rows = pd.DataFrame(dict(zip(Events._fields[1:], events[1:], strict=True)))
    counts = {
        "empty (onset = offset)": (rows.onset == rows.offset).sum(),
        "reversed (offset < onset)": (rows.offset < rows.onset).sum(),
        "duplicate": rows.duplicated().sum(),
    }
    if known is not None:
        unknown = ~rows.filename.isin(known)
        counts[f"for {rows.filename[unknown].nunique()} names {unknown_to}"] = unknown.sum()
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return [f"{events.path}: {len(rows)} rows; without effect: {found}"] if found else []


def dense_video_names(folder: Path) -> set[str] | None:
    """All names of LLP's val and test CSVs in `folder`, or None if one of the two is missing."""
    paths = [Path(folder) / SPLIT_FILES[split] for split in ("val", "test")]
    if not all(p.is_file() for p in paths):
        return None
    return {name for p in paths for name in read_table(p, SPLIT_COLUMNS[:1])["filename"]}


# Names in which LLP's two published audio files differ, and the digest of each file's rows.
_REPAIRED = ("JfZEqeLZqWk_30_40", "KvIjsmANkxI_10_20")
_DAMAGED = ("Baby_cry_infant_cry", "KvIjsmANkxI_10_20`")
_DIGESTS = {
    "2020": "44ea9eb9b36fd53148d6242f70d171770afee5b1dddff31ab2bd72cdd6660b60",
    "2024": "9a18c2c99139dbe5e94334674f1eec2877a6acd40a23c582115922c5504f2079",
}


def digest(events: Events, class_names: Sequence[str] = CLASS_NAMES) -> str:
    """SHA-256 of the rows, whatever their order, line ends or number format."""
    rows = zip(*events[1:4], (class_names[i] for i in events.label), strict=True)
    return hashlib.sha256("\n".join(sorted("\t".join(map(str, row)) for row in rows)).encode()).hexdigest()


def annotation_version(audio: Events, class_names: Sequence[str] = CLASS_NAMES) -> str:
    """Which of LLP's two published versions these audio annotations are, judged by their content.

    The 2020 file, which the paper's numbers used, has three rows with a damaged file name, repaired in April 2024.
    """
    names = set(audio.filename.tolist())
    if names.issuperset(_DAMAGED):
        version = "2020"
    elif names.issuperset(_REPAIRED) and names.isdisjoint(_DAMAGED):
        version = "2024"
    else:
        return f"not LLP's published audio annotations ({len(audio.filename)} rows in {audio.path})"
    is_published = digest(audio, class_names) == _DIGESTS[version]
    changed = "" if is_published else ", changed: its other rows are not those published"
    return f"{version} version of LLP's audio annotations ({len(audio.filename)} rows{changed})"


class Reference(NamedTuple):
    """Dense annotations of N videos, (N, C, T) bool each, their version, and what was odd about their files."""

    audio: np.ndarray
    visual: np.ndarray
    version: str
    issues: list[str]


def read_reference(folder: Path, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES) -> Reference:
    """Dense annotations of the N videos `filenames` from the two CSVs in `folder`; a video without rows has no events.

    Raises InputError if a file is missing or wrong.
    """
    events = [read_events(Path(folder) / name, class_names) for name in REFERENCE_FILES.values()]
    segments = [events_to_segments(e, filenames, len(class_names)) for e in events]
    known = dense_video_names(folder)
    issues = [line for e in events for line in annotation_issues(e, known, "that neither val nor test lists")]
    return Reference(*segments, annotation_version(events[0], class_names), issues)


class Predictions(NamedTuple):
    """Predictions for N videos, (N, C, T) bool each, and what was odd about their files."""

    audio: np.ndarray
    visual: np.ndarray
    issues: list[str]


def read_predictions(
    folder: Path, filenames: Sequence[str], listed_in: Path, class_names: Sequence[str] = CLASS_NAMES
) -> Predictions:
    """Predictions from the two CSVs that `write_predictions` writes; a video without rows predicts nothing.

    filenames: N videos; listed_in: the file that lists them, for messages.
    Raises InputError if a file is missing or wrong, or has rows of which none names one of the videos.
    """
    events = [read_events(Path(folder) / name, class_names) for name in PREDICTION_FILES.values()]
    listed = list(filenames)
    strange = [e for e in events if len(e.filename) and not np.isin(e.filename, listed).any()]
    if strange:  # both of them, or one
        where, rows = folder if len(strange) == 2 else strange[0].path, sum(len(e.filename) for e in strange)
        expected = f"expected full names, such as {listed[0]}"
        raise InputError(f"{where}: none of its {rows} rows names a video of {listed_in}; {expected}")
    segments = [events_to_segments(e, filenames, len(class_names)) for e in events]
    issues = [line for e in events for line in annotation_issues(e, set(filenames), "that are not asked for")]
    return Predictions(*segments, issues)


class Evaluation(NamedTuple):
    """The N videos of a split, their reference, and predictions for them from one folder or more."""

    split: Split
    class_names: tuple[str, ...]
    reference: Reference
    predictions: list[Predictions]

    @property
    def issues(self) -> list[str]:
        """What was odd about the files, a line each: first those of the predictions, then those of the reference."""
        return [line for source in (*self.predictions, self.reference) for line in source.issues]

    def indices(self, flag: str, names: Sequence[str]) -> list[int]:
        """Places of videos in the split. Raises InputError, with the flag, if one is not in it."""
        places = {name: i for i, name in enumerate(self.split.filenames)}
        unknown = [name for name in names if name not in places]
        if unknown:
            raise InputError(f"{flag} {unknown[0]}: not in {self.split.path}")
        return [places[name] for name in names]


def read_evaluation(
    pred_dirs: Sequence[Path], label_csv: Path, gt_dir: Path, classes: Path = LLP_CLASSES
) -> Evaluation:
    """Read everything that scores, pages and timelines of predictions need: the flags of `add_scoring_flags`.

    Raises InputError if a file is missing or wrong.
    """
    class_names = read_class_names(classes)
    split = read_split(label_csv, weak_labels=False)
    predictions = [read_predictions(folder, split.filenames, label_csv, class_names) for folder in pred_dirs]
    return Evaluation(split, class_names, read_reference(gt_dir, split.filenames, class_names), predictions)


def write_predictions(
    folder: Path,
    filenames: Sequence[str],
    audio: np.ndarray,
    visual: np.ndarray,
    class_names: Sequence[str] = CLASS_NAMES,
    **probabilities: np.ndarray,
) -> None:
    """Write `pred_audio.csv` and `pred_visual.csv` to `folder` from (N, C, T) bool predictions.

    probabilities: to write to `probabilities.npz`, too: global_prob (N, C) and frame_prob (N, T, 2, C).

    Raises InputError if a name cannot stand in the CSVs.
    """
    for name, segments in zip(PREDICTION_FILES.values(), (audio, visual), strict=True):
        write_events(Path(folder) / name, segments_to_events(segments, filenames, class_names))
    if probabilities:
        with atomic_path(Path(folder) / "probabilities.npz") as tmp, open(tmp, "wb") as file:
            np.savez(file, filename=np.array(filenames), **probabilities)
