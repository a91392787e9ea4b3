"""Reference annotations and predictions: their files, their versions, their known defects.

Axes: N videos, C classes, T segments of one second."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.base.files import atomic_path
from utils.llp.classes import CLASS_NAMES
from utils.llp.events import Events, events_to_segments, read_events, segments_to_events
from utils.llp.videos import SPLIT_COLUMNS, SPLIT_FILES, read_table

REFERENCE_FILES = {"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"}
PREDICTION_FILES = {"audio": "pred_audio.csv", "visual": "pred_visual.csv"}


# ---------------------------------------------------------------------------------------------- quirks
def describe_quirks(events: Events, known: set[str] | None, unknown_to: str) -> str:
    """One line that counts the rows of an event file that label nothing or nobody; '' where there is none.

    Args:
        known: names of all videos that may have rows, None where that is not known; `unknown_to` says of others what
            they are not in.
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
    return f"{events.path}: {len(rows)} rows, of which without effect: {found}" if found else ""


def annotated_videos(folder: Path) -> set[str] | None:
    """All names of LLP's val and test CSVs in `folder`, or None where they are not both there."""
    paths = [Path(folder) / SPLIT_FILES[split] for split in ("val", "test")]
    if not all(p.is_file() for p in paths):
        return None
    return {name for p in paths for name in read_table(p, SPLIT_COLUMNS[:1])["filename"]}


# The rows in which LLP's two published audio files differ, and the digest of each whole file.
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
    """Which of LLP's two published audio annotations this is, judged by its content.

    The 2020 file, which the paper's numbers used, has three rows with a damaged file name; April 2024 repaired them.
    """
    names = set(audio.filename.tolist())
    versions = []
    if names.issuperset(_DAMAGED):
        versions.append("2020")
    if names.issuperset(_REPAIRED) and not names & set(_DAMAGED):
        versions.append("2024")
    if not versions:
        return f"not LLP's published audio annotations ({len(audio.filename)} rows in {audio.path})"
    changed = (
        ""
        if digest(audio, class_names) == _DIGESTS[versions[0]]
        else ", changed: its other rows are not those published"
    )
    return f"{versions[0]} version of LLP's audio annotations ({len(audio.filename)} rows{changed})"


# ---------------------------------------------------------------------------------------------- truth, predictions
class Reference(NamedTuple):
    """Dense annotations of N videos, (N, C, T) bool each, and what was odd about their files."""

    audio: np.ndarray
    visual: np.ndarray
    version: str
    quirks: list[str]


def read_reference(folder: Path, filenames: Sequence[str], class_names: Sequence[str] = CLASS_NAMES) -> Reference:
    """Dense annotations of the videos `filenames` from the two CSVs in `folder`; no row: nothing happens there."""
    events = {m: read_events(Path(folder) / name, class_names) for m, name in REFERENCE_FILES.items()}
    annotated = annotated_videos(folder)
    return Reference(
        **{m: events_to_segments(e, filenames, len(class_names)) for m, e in events.items()},
        version=annotation_version(events["audio"], class_names),
        quirks=[
            line for e in events.values() if (line := describe_quirks(e, annotated, "that neither val nor test lists"))
        ],
    )


def read_predictions(
    folder: Path, filenames: Sequence[str], asked_by: Path, class_names: Sequence[str] = CLASS_NAMES
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decisions from the two CSVs that `write_predictions` writes; no row: nothing was predicted.

    Args:
        filenames: N videos; asked_by: the file that lists them, for messages.

    Returns:
        audio and visual (N, C, T) bool, by these names; what was odd about the files, a line each.
    """
    events = {m: read_events(Path(folder) / name, class_names) for m, name in PREDICTION_FILES.items()}
    rows = np.concatenate([e.filename for e in events.values()])
    if len(rows) and not np.isin(rows, listed := list(filenames)).any():
        raise InputError(
            f"{folder}: none of its {len(rows)} rows names a video of {asked_by}; names are whole, such as {listed[0]}"
        )
    quirks = (describe_quirks(e, set(filenames), "that are not asked for") for e in events.values())
    segments = {m: events_to_segments(e, filenames, len(class_names)) for m, e in events.items()}
    return segments, [line for line in quirks if line]


def write_predictions(
    folder: Path,
    filenames: Sequence[str],
    audio: np.ndarray,
    visual: np.ndarray,
    class_names: Sequence[str] = CLASS_NAMES,
) -> None:
    """Write `pred_audio.csv` and `pred_visual.csv` to `folder` from (N, C, T) bool decisions."""
    for modality, segments in (("audio", audio), ("visual", visual)):
        with atomic_path(Path(folder) / PREDICTION_FILES[modality]) as tmp:
            segments_to_events(segments, filenames, class_names).to_csv(tmp, sep="\t", index=False)
