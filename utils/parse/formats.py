"""A video's events as texts that other programs read. The page writes the same ones (templates/report.html)."""

import itertools
import mimetypes
from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd

from utils.base.files import csv_line

SHOWN = {"audio": "audio", "visual": "visual", "audio_visual": "audio and visual"}
ELAN_DATE = "2000-01-01T00:00:00+00:00"  # the format demands one; a fixed one keeps files of equal events equal
ELAN_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


def csv_text(events: pd.DataFrame) -> str:
    """events.csv: a row per event, comma-separated."""
    return "".join(f"{csv_line(row)}\n" for row in (events.columns, *events.itertuples(index=False)))


def clock(seconds: float) -> str:
    """1 hour, 2 minutes and 3.5 s -> 01:02:03.500."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def vtt_text(events: pd.DataFrame, class_names: Sequence[str]) -> str:
    """events.vtt: a subtitle for each stretch in which the same events go on, a line per class."""
    onset, offset, labels = (events[column].to_numpy() for column in ("onset", "offset", "event_labels"))
    kinds, cues = events.modality.map(SHOWN).to_numpy(), []
    for start, end in itertools.pairwise(np.unique([*onset, *offset])):
        current = (onset <= start) & (offset >= end)
        # in the table, an audio-visual event follows the audio and the visual one that it is part of
        shown = dict(zip(labels[current], kinds[current], strict=True))
        if shown:
            lines = [f"{escape(label)} ({shown[label]})" for label in sorted(shown, key=class_names.index)]
            cues.append("\n".join([f"{clock(start)} --> {clock(end)}", *lines, ""]))
    return "\n".join(["WEBVTT", "", *cues])


def audacity_text(events: pd.DataFrame) -> str:
    """events.txt: Audacity's label track, `onset, offset, label` separated by tabs."""
    rows = zip(events.onset, events.offset, events.modality, events.event_labels, strict=True)
    return "".join(f"{onset:.6f}\t{offset:.6f}\t{kind}: {label}\n" for onset, offset, kind, label in rows)


def elan_text(events: pd.DataFrame, filename: str, url: str) -> str:
    """events.eaf: ELAN's annotations, with a tier `audio: CLASS` or `visual: CLASS` for each that occurs.

    A tier of ELAN holds no two annotations at a time, so each class needs its own; what is both is on two tiers.
    filename: of the media file, by which its type is guessed; url: of it, relative to the folder of events.eaf.
    """
    tiers, slots = {}, []
    for number, e in enumerate(events[events.modality != "audio_visual"].itertuples(), 1):
        first, last = 2 * number - 1, 2 * number
        times = zip((first, last), (e.onset, e.offset), strict=True)
        slots += [f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{round(time * 1000)}"/>' for n, time in times]
        place = f'ANNOTATION_ID="a{number}" TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}"'
        value = f"<ANNOTATION_VALUE>{escape(e.event_labels)}</ANNOTATION_VALUE>"
        annotation = f"<ANNOTATION><ALIGNABLE_ANNOTATION {place}>{value}</ALIGNABLE_ANNOTATION></ANNOTATION>"
        tiers.setdefault(f"{e.modality}: {e.event_labels}", []).append(annotation)
    media = f'MEDIA_URL={_quoted(url)} MIME_TYPE="{media_type(filename)}" RELATIVE_MEDIA_URL={_quoted(url)}'
    space = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="{ELAN_SCHEMA}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<ANNOTATION_DOCUMENT AUTHOR="" DATE="{ELAN_DATE}" FORMAT="3.0" VERSION="3.0" {space}>',
        f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR {media}/></HEADER>',
        *["<TIME_ORDER>", *slots, "</TIME_ORDER>"],
    ]
    for name, annotations in sorted(tiers.items()):
        lines += [f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={_quoted(name)}>', *annotations, "</TIER>"]
    kind = '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>'
    return "\n".join([*lines, kind, "</ANNOTATION_DOCUMENT>", ""])


def _quoted(text: str) -> str:
    """An attribute of XML, in double quotes."""
    return f'"{escape(text, {chr(34): "&quot;"})}"'


def media_type(filename: str) -> str:
    """By the name; browsers and ELAN look at the content anyway."""
    return mimetypes.guess_type(filename)[0] or "video/mp4"
