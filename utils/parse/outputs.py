"""The files that utils/parse_video.py writes of a video (docs/PARSING.md describes each)."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.base.files import TMP_SUFFIX
from utils.parse.events import MODALITIES, ParsedVideo, decide_segments, decided_classes, find_events
from utils.parse.page import render

FORMAT, VERSION = "valor-events", 1  # of events.json
SHOWN = {"audio": "audio", "visual": "visual", "audio_visual": "audio and visual"}


def output_names(videos: Sequence[Path]) -> list[str]:
    """A folder name for each video: its stem, with a number where another one before it has the same.

    A stem of dots alone, of `...mp4`, would be another folder than one's own: then it is `video`.
    """
    taken, names = set(), []
    for path in videos:
        stem = path.stem if path.stem.strip(".") else "video"
        name, number = stem, 1
        while name.casefold() in taken:  # some file systems do not tell a from A
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def csv_text(events: pd.DataFrame) -> str:
    """events.csv: comma-separated, with a header."""
    return events.to_csv(index=False, lineterminator="\n")


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


def clock(seconds: float) -> str:
    """1 hour, 2 minutes and 3.5 s -> 01:02:03.500."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def vtt_text(video: ParsedVideo, threshold: float) -> str:
    """events.vtt: a subtitle for each stretch in which the same events go on, a line per class."""
    audio, visual, both = decide_segments(video, threshold)  # (C, n) each
    cues, start = [], 0
    n = len(video.edges) - 1
    for end in range(1, n + 1):
        if end < n and all((x[:, end] == x[:, start]).all() for x in (audio, visual)):
            continue
        lines = []
        for c in np.flatnonzero(audio[:, start] | visual[:, start]):
            kind = "audio_visual" if both[c, start] else "audio" if audio[c, start] else "visual"
            lines.append(f"{_vtt_escape(video.class_names[c])} ({SHOWN[kind]})")
        if lines:
            cues.append("\n".join([f"{clock(video.edges[start])} --> {clock(video.edges[end])}", *lines, ""]))
        start = end
    return "\n".join(["WEBVTT", "", *cues])


def _vtt_escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def audacity_text(events: pd.DataFrame) -> str:
    """events.txt: Audacity's label track, `onset, offset, label` separated by tabs."""
    rows = zip(events.onset, events.offset, events.modality, events.event_labels, strict=True)
    return "".join(f"{onset:.6f}\t{offset:.6f}\t{kind}: {label}\n" for onset, offset, kind, label in rows)


def draw_timeline(path: Path, video: ParsedVideo, threshold: float) -> None:
    """timeline.png: a row per class, in it what is heard above and what is seen below; opacity is the confidence."""
    from matplotlib.patches import Patch

    from utils.report import figures
    from utils.report.html import class_colours

    plt = figures.plt
    classes = decided_classes(decide_segments(video, threshold))
    events, colours = find_events(video, threshold), class_colours(len(video.class_names))
    figure, ax = plt.subplots(figsize=(12, 1.4 + 0.45 * max(len(classes), 1)), layout="constrained")
    for row, c in enumerate(classes):
        for kind, top, hatch in (("audio", 0.08, ""), ("visual", 0.52, "////")):
            own = events[(events.event_labels == video.class_names[c]) & (events.modality == kind)]
            for onset, offset, confidence in zip(own.onset, own.offset, own.confidence, strict=True):
                colour = [int(colours[c][i : i + 2], 16) / 255 for i in (1, 3, 5)]
                ax.broken_barh(
                    [(onset, offset - onset)],
                    (row + top, 0.4),
                    facecolor=(*colour, opacity(confidence)),
                    edgecolor="#444444",
                    linewidth=0.4,
                    hatch=hatch,
                )
    ax.set(xlim=(0, video.edges[-1]), ylim=(max(len(classes), 1), 0), xlabel="seconds")
    ax.set_yticks(np.arange(len(classes)) + 0.5, [video.class_names[c] for c in classes], parse_math=False)
    ax.set_axisbelow(True)
    ax.grid(axis="x", linewidth=0.4)
    if not classes:
        ax.text(0.5, 0.5, "no events", transform=ax.transAxes, ha="center", va="center", color="grey")
    patches = [
        Patch(facecolor="#cccccc", edgecolor="#444444", hatch=h, label=t) for h, t in (("", "heard"), ("////", "seen"))
    ]
    figure.legend(handles=patches, loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(video.filename, x=0.01, ha="left", fontsize=11, parse_math=False)
    figures.save(figure, path)


def opacity(confidence: float) -> float:
    """Of an event in pictures and pages: 0.35 for none, 1 for a confidence of 1."""
    return 0.35 + 0.65 * float(confidence)


def write_outputs(folder: Path, video: ParsedVideo, threshold: float, model: dict, embed: bool) -> pd.DataFrame:
    """Write the six files of a video to `folder`, each whole or not at all, and return its events.

    Args:
        threshold: of the decisions.
        model: what is said of the parser.
        embed: put the video itself into the page.
    """
    folder = Path(folder)
    events = find_events(video, threshold)
    texts = {
        "events.csv": csv_text(events),
        "events.json": json_text(video, events, threshold, model),
        "events.vtt": vtt_text(video, threshold),
        "events.txt": audacity_text(events),
        "report.html": render(video, threshold, model, folder, embed),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(TMP_SUFFIX, ".parse_video-", folder.parent))  # beside it: on the same disk
    try:
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8")
        draw_timeline(work / "timeline.png", video, threshold)
        folder.mkdir(exist_ok=True)
        for path in sorted(work.iterdir()):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return events
