"""LFAV (Hou et al., 2023), as its authors publish it: CSVs of videos of minutes, weak and dense, for sound and picture.

An event covers its last second, too; the files keep offsets as they are, and dataset.yaml says so.
"""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from utils.base.errors import InputError
from utils.convert.outputs import Converted, Table, event_table, split_table
from utils.llp.datasets import LONGEST, SPLITS, read_dataset
from utils.llp.events import EVENT_COLUMNS
from utils.llp.tables import read_table
from utils.llp.videos import SPLIT_COLUMNS, require_distinct

MODALITIES = ("audio", "visual")
WEAK = {"train": "train_weakly.csv", "val": "val_weak_av.csv", "test": "test_weak_av.csv"}


def convert(source: Path) -> Converted:
    """LFAV in this project's form. source: the folder of its CSVs, or one whose folder csv/ has them.

    Raises InputError if a file is missing or wrong.
    """
    dataset = read_dataset("lfav")
    folder = Path(source, "csv") if Path(source, "csv").is_dir() else Path(source)
    known, tables, notes = set(dataset.class_names), {}, []
    for split in SPLITS:
        union = _read_weak(folder / WEAK[split])
        own = {modality: _read_weak(folder / f"{split}_{modality}_weakly.csv") for modality in MODALITIES}
        notes.append(_compare_union(split, union, own, known))
        tables[dataset.splits[split]] = _split(folder / WEAK[split], union, known, notes, keep_empty=False)
        for modality, file in dataset.weak.items() if split == "train" else ():
            path = folder / f"{split}_{modality}_weakly.csv"
            tables[file] = _split(path, own[modality], known, notes, keep_empty=True)
    for modality in MODALITIES:
        paths = [folder / f"{split}_{modality}.csv" for split in ("val", "test")]
        rows = [row for path in paths for row in _events(path, known, notes)]
        tables[dataset.reference[modality]] = event_table(rows)
    return Converted(dataset, tables, [], notes)


def _read_weak(path: Path) -> dict[str, list[str]]:
    """The names of each video's events, by video. Raises InputError if the file is missing or wrong."""
    table = read_table(path, SPLIT_COLUMNS)
    if table.empty or (table["filename"] == "").any():
        raise InputError(f"{path}: lists {'no video' if table.empty else 'a video without a name'}, expected names")
    require_distinct(path, table["filename"].tolist())
    labels = [[name.strip() for name in names.split(",") if name.strip()] for names in table["event_labels"]]
    return dict(zip(table["filename"], labels, strict=True))


def _compare_union(split: str, union: dict[str, list[str]], own: dict[str, dict], known: Collection[str]) -> str:
    """A line that counts the videos for which the file of both modalities does not say what those of each say together.

    Names of unknown events are not compared.
    """
    videos = sorted({*union, *own["audio"], *own["visual"]})
    together = {video: [*own["audio"].get(video, ()), *own["visual"].get(video, ())] for video in videos}
    other = [v for v in videos if (set(union.get(v, ())) ^ set(together[v])) & set(known)]
    where = f" ({', '.join(other[:5])})" if other else ""
    return f"{split}: {len(videos)} videos; other than the union of the two modalities: {len(other)}{where}"


def _split(
    path: Path, videos: dict[str, list[str]], known: Collection[str], notes: list[str], keep_empty: bool
) -> Table:
    """The list of videos without names of unknown events; without videos that have no event left, or with them."""
    kept = {video: [name for name in names if name in known] for video, names in videos.items()}
    empty = [video for video, names in kept.items() if not names]
    _note_unknown(path, (name for names in videos.values() for name in names if name not in known), notes)
    if empty:
        what = "kept, without events" if keep_empty else "left out"
        notes.append(f"{path.name}: videos without a known event: {len(empty)}, {what} ({', '.join(empty[:5])})")
    return split_table((video, ",".join(names)) for video, names in kept.items() if names or keep_empty)


def _note_unknown(path: Path, names: Collection[str], notes: list[str]) -> None:
    """Add a line about names that LFAV's list of classes does not have."""
    if count := Counter(names):
        found = ", ".join(f"{name!r:.50} {number}" for name, number in sorted(count.items()))
        notes.append(f"{path.name}: names of unknown events left out: {found}")


def _events(path: Path, known: Collection[str], notes: list[str]) -> list[tuple]:
    """The annotations of a file, as written, without those of unknown events.

    Raises InputError if the file is missing, or a time is no whole second.
    """
    table = read_table(path, EVENT_COLUMNS)
    for column in ("onset", "offset"):
        wrong = ~table[column].map(lambda text: bool(re.fullmatch(r"[0-9]{1,9}", text)))
        if wrong.any():
            line = table.index[wrong][0]
            found = f"{column} is {table.loc[line, column]!r:.200}"
            raise InputError(f"{path}, line {line}: {found}, expected a whole second")
    is_known = table["event_labels"].isin(known)
    _note_unknown(path, table["event_labels"][~is_known], notes)
    notes.append(_count_events(path, table))
    return list(table[is_known].itertuples(index=False, name=None))


def _count_events(path: Path, table: pd.DataFrame) -> str:
    """A line that counts what is odd about annotations; all of it is kept."""
    onset, offset = table["onset"].astype(int), table["offset"].astype(int)
    far = sorted(set(table["filename"][offset > LONGEST]))
    counts = {
        "offset = onset (one second)": (offset == onset).sum(),
        "offset < onset (nothing)": (offset < onset).sum(),
        "duplicates": table.duplicated().sum(),
        f"after {LONGEST} s{' '.join(['', *far[:5]])}": (offset > LONGEST).sum(),
    }
    found = ", ".join(f"{number} {what}" for what, number in counts.items())
    return f"{path.name}: {len(table)} rows as written, of them {found}"
