"""The files that utils/parse_video.py writes of a video (docs/PARSING.md describes each)."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import pandas as pd

from utils.base.errors import Busy
from utils.base.files import TMP_SUFFIX, encode, locked_path
from utils.parse import formats
from utils.parse.events import MODALITIES, ParsedVideo, find_events
from utils.parse.kept import FILE, write_kept
from utils.parse.page import link, render
from utils.report.html import distinct_colours

FORMAT, VERSION = "valor-events", 1  # of events.json
WORK = ".parse_video-"  # how names of temporary folders begin
EDGE = "#444444"  # of events in the timeline


def output_names(videos: Sequence[Path]) -> list[str]:
    """A folder name for each video, as `output_name` chooses it among those before."""
    names: dict[str, str] = {}
    for path in videos:
        name = output_name(path, names)
        names[name.casefold()] = name
    return list(names.values())


def output_name(path: Path, taken: Container[str]) -> str:
    """A folder name for a video: its stem, with a number if that is among the casefolded names `taken`.

    A stem of dots alone, of `...mp4`, would name another folder: then it is `video`.
    """
    stem = path.stem if path.stem.strip(".") else "video"
    name, number = stem, 1
    while name.casefold() in taken:  # some file systems ignore case
        number += 1
        name = f"{stem}_{number}"
    return name


def json_text(video: ParsedVideo, events: pd.DataFrame, threshold: float, model: dict) -> str:
    """events.json."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "filename": video.filename,
        "seconds": round(video.seconds, 3),
        "tracks": dict(zip(MODALITIES, video.has_track.any(axis=0).tolist(), strict=False)),
        "settings": {"threshold": threshold, "hop": video.hop},
        "model": {**model, "classes": list(video.class_names)},
        "notes": video.notes,
        "events": events.drop(columns="filename").to_dict("records"),
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def draw_timeline(path: Path, video: ParsedVideo, events: pd.DataFrame) -> None:
    """timeline.png: a row per class, in it what is heard above and what is seen below; opacity is the confidence."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    from utils.report import figures
    from utils.report.timelines import draw_events, label_rows

    colours = dict(zip(video.class_names, distinct_colours(len(video.class_names)), strict=True))
    classes = [name for name in video.class_names if name in set(events.event_labels)]
    figure, ax = figures.plt.subplots(figsize=(12, 1.4 + 0.45 * max(len(classes), 1)), layout="constrained")
    styles = {"audio": (0.08, ""), "visual": (0.52, "////")}  # top, hatch
    for event in events[events.modality.isin(styles)].itertuples():
        row, (top, hatch) = classes.index(event.event_labels), styles[event.modality]
        face = to_rgba(colours[event.event_labels], opacity(event.confidence))
        style = {"facecolor": face, "edgecolor": EDGE, "linewidth": 0.4, "hatch": hatch}
        draw_events(ax, [(event.onset, event.offset)], row + top, 0.4, **style)
    label_rows(ax, video.edges[-1], [name.replace("_", " ") for name in classes])
    ax.set_xlabel("seconds")
    labels = zip(("heard", "seen"), styles.values(), strict=True)
    patches = [Patch(facecolor="#cccccc", edgecolor=EDGE, hatch=hatch, label=text) for text, (_, hatch) in labels]
    figure.legend(handles=patches, loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(video.filename, x=0.01, ha="left", fontsize=11, parse_math=False)
    figures.save(figure, path)


def opacity(confidence: float) -> float:
    """Of an event in figures: 0.35 for a confidence of 0, 1 for 1."""
    return 0.35 + 0.65 * float(confidence)


def write_outputs(
    folder: Path, video: ParsedVideo, threshold: float, model: dict, embed: bool, keep: bool = True
) -> pd.DataFrame:
    """Write the files of a video to `folder`, each atomically, and return its events.

    Raises InputError if a name cannot be written as UTF-8.

    Args:
        threshold: of the decisions.
        model: what is said of the parser.
        embed: put the video itself into the page.
        keep: write parsed.npz, too, from which --reuse decides anew.
    """
    folder = Path(folder)
    events = find_events(video, threshold)
    texts = {
        "events.csv": formats.csv_text(events),
        "events.json": json_text(video, events, threshold, model),
        "events.vtt": formats.vtt_text(events, video.class_names),
        "events.txt": formats.audacity_text(events),
        "events.eaf": formats.elan_text(events, video.filename, link(video.path, folder)),
        "report.html": render(video, threshold, model, folder, embed),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(folder.parent) as work:  # beside it: on the same disk
        for name, text in texts.items():
            (work / name).write_bytes(encode(text, folder / name))
        draw_timeline(work / "timeline.png", video, events)
        if keep:
            write_kept(work / FILE, video, model)
        folder.mkdir(exist_ok=True)
        for path in sorted(work.iterdir()):
            os.replace(path, folder / path.name)
    return events


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder, locked while it is used; those that killed runs left are removed first."""
    for left in parent.glob(f"{WORK}*{TMP_SUFFIX}"):
        with contextlib.suppress(Busy, OSError), locked_path(left, "a run is writing to it"):
            shutil.rmtree(left, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        work = None
        while work is None:
            work = Path(tempfile.mkdtemp(TMP_SUFFIX, WORK, parent))
            try:
                stack.enter_context(locked_path(work, "another run takes it for a leftover"))
                work = work if work.is_dir() else None
            except (Busy, FileNotFoundError):
                work = None
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        yield work
