"""From labels of recordings to events of videos in whole segments, and what is dropped on the way.

Axes: C classes, T segments of a video.
"""

import collections
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.base.errors import InputError
from utils.convert.label_files import Label, Labelled
from utils.convert.meaning import AUDIO, VISUAL, Interval, count_runs, modalities_of, whole_segments
from utils.llp.classes import OTHERS
from utils.llp.datasets import DataSet
from utils.llp.events import EVENT_COLUMNS, LAST, segments_to_events
from utils.llp.lengths import stated_lengths
from utils.llp.names import TIMED_NAME, file_names

PREFIX = re.compile(r"(audio|visual|audio_visual)\s*:\s*(.+)", re.IGNORECASE | re.DOTALL)
SHOWN = 5  # names in a note
UNSAID = "without a modality"
BEYOND = "beyond the end of their video"


class Place(NamedTuple):
    """Where a video lies in a recording: segment k begins at second `begin` + k * `unit`. length: T, or None."""

    begin: float
    unit: float
    length: int | None

    def holds(self, second: float) -> bool:
        """Whether a time of the recording is in the video."""
        return self.begin <= second < (math.inf if self.length is None else self.begin + self.length * self.unit)


class Imported(NamedTuple):
    """What labels say of videos in whole segments.

    Attributes:
        weak: the classes of each video, by its name; none: nothing happens in it.
        events: rows of EVENT_COLUMNS, by modality of the data set.
        notes: what was dropped, and how labels were read, in lines.
    """

    weak: dict[str, list[int]]
    events: dict[str, pd.DataFrame]
    notes: list[str]


Events = dict[tuple[str, int], list[Interval]]  # by modality and class, in seconds of the recording


class Reader:
    """Reads labels as events of a data set's classes, and counts what it drops.

    default: modalities of labels that say none.
    """

    def __init__(self, dataset: DataSet, default: Sequence[str]):
        self.default = tuple(default)
        self.counts, self.unknown = collections.Counter(), collections.Counter()
        names = dataset.class_names
        self.known = {_plain(name): i for i, name in enumerate(names)} | {name: i for i, name in enumerate(names)}

    def events(self, labelled: Sequence[Labelled], places: Sequence[Place]) -> Events:
        """The events of a recording, whose videos lie at `places`. Raises InputError for an impossible time."""
        found: Events = {}
        for label, path in [(label, one.path) for one in labelled for label in one.labels]:
            if bad := [time for time in (label.onset, label.offset) if not abs(time) <= LAST]:  # NaN, too
                raise InputError(f"{path}: {label.text!r:.100} has the time {bad[0]:g} s, expected at most {LAST}")
            index, modalities = self._meaning(label)
            if index is None:
                self.unknown[label.text] += 1
            elif label.offset < label.onset:
                self.counts["that end before they begin"] += 1
            elif label.offset == label.onset:
                self.counts["empty (without a duration)"] += 1
            else:
                for modality in modalities:
                    found.setdefault((modality, index), []).append((label.onset, label.offset))
        for one in labelled:
            self.counts.update(one.skipped)
        return {key: self._distinct(intervals, places) for key, intervals in found.items()}

    def _meaning(self, label: Label) -> tuple[int | None, Sequence[str]]:
        """Index of the class, None if it is unknown, and the modalities of a label."""
        text, said = label.text, modalities_of(label.place)
        if _plain(text) not in self.known and (match := PREFIX.fullmatch(text)):
            text, said = match[2], modalities_of(match[1])
        index = self.known.get(text, self.known.get(_plain(text)))
        self.counts[UNSAID] += index is not None and not said
        return index, sorted(said or self.default)

    def _distinct(self, intervals: list[Interval], places: Sequence[Place]) -> list[Interval]:
        """The intervals of one class and modality; counts what does not become an event of its own."""
        distinct = sorted(set(intervals))
        self.counts["duplicate"] += len(intervals) - len(distinct)
        kept = []
        for interval in distinct:
            segments = whole_segments([interval])
            inside = [any(place.holds(k + 0.5) for place in places) for k in segments]
            self.counts[BEYOND] += not any(inside)
            self.counts["cut at the end of their video"] += any(inside) and not all(inside)
            kept += [interval] if any(inside) else []
        self.counts["merged with another of its class"] += len(kept) - count_runs(whole_segments(kept))
        return kept

    def notes(self) -> list[str]:
        """What was counted, in lines."""
        unsaid, counts = self.counts[UNSAID], {what: n for what, n in self.counts.items() if n and what != UNSAID}
        lines = [f"labels that were left out, cut or merged: {', '.join(f'{n} {what}' for what, n in counts.items())}"]
        lines = lines if counts else []
        if self.unknown:
            names = ", ".join(f"{name!r:.100} {count}" for name, count in self.unknown.most_common())
            lines.append(f"labels of unknown classes are left out: {names}; {OTHERS}")
        if unsaid:
            default = " and ".join(self.default)
            lines.append(f"labels that say neither audio nor visual: {unsaid}, counted as {default} (--modality)")
        return lines


def import_labels(
    labelled: Sequence[Labelled],
    dataset: DataSet,
    listed: Sequence[str] | None = None,
    default: Sequence[str] = (AUDIO, VISUAL),
) -> Imported:
    """The events of videos, from the labels of them or of the recordings that they are clips of.

    Args:
        listed: names of the videos; None: those that the labels are of.
        default: modalities of labels that say none.

    Raises InputError for an impossible time, or if no label is an event of a known class.
    """
    names = list(dict.fromkeys(one.names[0] for one in labelled)) if listed is None else list(listed)
    sources = _sources(labelled, dataset, names)
    reader, recordings = Reader(dataset, default), collections.defaultdict(list)
    for video, (recording, place) in sources.items():
        recordings[recording].append((video, place))
    of = _by_recording(labelled, recordings)
    weak, rows = dict.fromkeys(sources, ()), {modality: [] for modality in dataset.modalities}
    for recording, clips in recordings.items():
        events = reader.events(of[recording], [place for _, place in clips])
        for video, place in clips:
            audio, visual = segments = _segments(events, place, len(dataset.classes))
            there = dict(zip(dataset.modalities, [audio & visual] if dataset.av_only else segments, strict=True))
            weak[video] = np.flatnonzero(np.any([x.any(axis=1) for x in there.values()], axis=0)).tolist()
            for modality, one in there.items():
                rows[modality].append(segments_to_events(one[None], [video], dataset.class_names, dataset.offset))
    events = {modality: pd.concat(found or [pd.DataFrame(columns=EVENT_COLUMNS)]) for modality, found in rows.items()}
    notes = [*reader.notes(), *_unmatched(labelled, names, sources)]
    if listed is None and reader.counts[BEYOND]:
        notes.append("if the labels are of recordings that were cut into clips, give the list of the clips by --list")
    if not any(weak.values()):
        why = "; ".join(notes) or "there are no labels"
        raise InputError(f"{labelled[0].path}: no label is an event of a video; {why}")
    return Imported(weak, events, notes)


def _sources(labelled: Sequence[Labelled], dataset: DataSet, videos: Sequence[str]) -> dict[str, tuple[str, Place]]:
    """The recording of each video that has labels, by its name in them, and where the video lies in it."""
    there, every = {name for one in labelled for name in one.names}, set(videos)
    lengths, found = stated_lengths(dataset), {}
    for video, own in zip(videos, file_names(videos, dataset.ids), strict=True):
        length, clip = dataset.seconds or lengths.get(video), TIMED_NAME.fullmatch(video)
        begin, end = (float(clip[x]) for x in ("begin", "end")) if clip else (0.0, 0.0)
        recording = clip["id"] if begin < end else None
        # of a recording that has labels, or behind another clip of it: else the numbers may be no times
        is_clip = recording in there or f"{recording}_{begin - (length or 0):g}_{begin:g}" in every
        place = _place_of_clip(video, dataset, begin, end, length) if is_clip else Place(0.0, 1.0, length)
        if labels := [name for name in own if name in there]:
            found[video] = labels[0], place._replace(begin=0.0)
        elif recording in there:
            found[video] = recording, place
    return found


def _place_of_clip(video: str, dataset: DataSet, begin: float, end: float, length: int | None) -> Place:
    """Where a clip lies in its recording. Raises InputError if it is longer than the data set's videos."""
    seconds = end - begin
    if not dataset.seconds:
        return Place(begin, 1.0, length or max(1, round(seconds)))
    if seconds > length:
        found = f"is a clip of {seconds:g} s, expected {length} s, as in {dataset.name}"
        raise InputError(f"{video}: {found}; cut_clips.py --length {length} makes such clips")
    return Place(begin, seconds / length, length)  # the rest of a recording is shorter, in as many segments


def _by_recording(labelled: Sequence[Labelled], wanted: Mapping[str, object]) -> dict[str, list[Labelled]]:
    """The labels of each recording that is wanted: a file is of the first of its names that is."""
    found = collections.defaultdict(list)
    for one in labelled:
        if names := [name for name in one.names if name in wanted]:
            found[names[0]].append(one)
    return found


def _segments(events: Events, place: Place, classes: int) -> np.ndarray:
    """(2, C, T) bool: the audio and visual events of a video in whole segments."""
    times = {
        key: whole_segments(((a - place.begin) / place.unit, (b - place.begin) / place.unit) for a, b in intervals)
        for key, intervals in events.items()
    }
    last = max((max(segments) for segments in times.values() if segments), default=0)
    placed = np.zeros((2, classes, place.length or max(last + 1, 1)), bool)
    for (modality, index), segments in times.items():
        there = [k for k in segments if 0 <= k < placed.shape[2]]
        placed[int(modality == VISUAL), index, there] = True
    return placed


def _unmatched(
    labelled: Sequence[Labelled], videos: Sequence[str], sources: Mapping[str, tuple[str, Place]]
) -> list[str]:
    """Labels of no video, and videos without labels, in lines."""
    recordings = {recording for recording, _ in sources.values()}
    without = {
        "labels of no listed video": [one.names[0] for one in labelled if recordings.isdisjoint(one.names)],
        "listed videos without labels": [name for name in videos if name not in sources],
    }
    return [f"{what}: {len(found)} ({shown(found)})" for what, found in without.items() if found]


def shown(names: Sequence[str]) -> str:
    """Some names, and how many there are more."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _plain(name: str) -> str:
    """A class's name however it is written: in small letters, with spaces."""
    return re.sub(r"[\s_]+", " ", name).strip().casefold()
