"""Labels as other programs write them: Audacity's label tracks, ELAN's .eaf files, Label Studio's JSON."""

import collections
import json
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from utils.base.errors import InputError
from utils.base.files import read_bounded, read_text

PARSED = "events"  # parse_video.py calls its label track so, in a folder that is named after the video
FPS = 24.0  # what Label Studio counts frames by, unless the <Video> tag says otherwise
UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file


class Label(NamedTuple):
    """An event as it was drawn: seconds, its text, and the name of the tier or control that it belongs to."""

    onset: float
    offset: float
    text: str
    place: str = ""


class Labelled(NamedTuple):
    """The labels of one recording.

    Attributes:
        path: where they were read.
        names: what the recording may be called, without suffix; the first is the likeliest.
        skipped: how many entries are no events, by what they are.
    """

    path: Path
    names: tuple[str, ...]
    labels: list[Label]
    skipped: collections.Counter[str]


def read_labels(paths: Sequence[Path], fps: float = FPS) -> list[Labelled]:
    """The labels of files, and of all files of folders that have one of the suffixes of READERS.

    fps: frames a second of the videos, for labels of Label Studio that are given in frames.

    Raises InputError if a file is missing or not of its form, or there are none.
    """
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise InputError(f"{paths[0]}: holds no labels, expected files that end in {', '.join(READERS)}")
    return [labelled for file in files for labelled in READERS[file.suffix.lower()](file, fps)]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS and p.is_file())
        # what parse_video.py writes beside its label track, which is the file to correct
        return [p for p in found if not (p.suffix != ".txt" and p.stem == PARSED and p.with_suffix(".txt") in found)]
    if not path.exists():
        raise InputError(f"{path}: no such file or folder, expected labels in files that end in {', '.join(READERS)}")
    if path.suffix.lower() not in READERS:
        raise InputError(f"{path}: expected a folder, or a file that ends in {', '.join(READERS)}")
    return [path]


def read_audacity(path: Path, fps: float = FPS) -> Iterator[Labelled]:
    """A label track: a line `onset, offset, text` for each label, separated by tabs; lines of frequencies are skipped.

    Raises InputError, with the line, if the file is missing or not of this form.
    """
    expected = "a label track of Audacity: onset, offset and text, separated by tabs"
    labels = []
    for number, line in enumerate(read_text(path, f"expected {expected}").splitlines(), 1):
        if not line.strip() or line.startswith("\\"):  # \ <lowest> <highest> frequency
            continue
        match = re.fullmatch(r"\s*(-?[\d.,]+)\t(-?[\d.,]+)(?:\t(.*))?", line)  # some languages write 1,5
        try:
            onset, offset = (float(match[i].replace(",", ".")) for i in (1, 2))
        except (TypeError, ValueError):
            raise InputError(f"{path}, line {number}: {line!r:.100}, expected {expected}") from None
        labels.append(Label(onset, offset, (match[3] or "").strip()))
    name, repeated = path.stem, collections.Counter()
    if path.stem == PARSED:  # there, what is both heard and seen is listed a third time
        name, every = path.parent.name, len(labels)
        labels = [label for label in labels if not label.text.startswith("audio_visual:")]
        repeated["audio_visual labels of parse_video.py, which repeat the single ones"] = every - len(labels)
    yield Labelled(path, (name,), labels, +repeated)


def read_elan(path: Path, fps: float = FPS) -> Iterator[Labelled]:
    """An annotation document of ELAN: an event for each annotation of each tier.

    Raises InputError if the file is missing, cannot be read, or its times are not those of its media file; or if
    pympi-ling is not installed.
    """
    try:
        import pympi  # here, since only these files need it
    except ImportError as error:
        raise InputError(f"{path}: needs pympi-ling, which is not installed: pip install pympi-ling") from error
    read_bounded(path, "expected an .eaf file of ELAN")
    try:
        document = pympi.Eaf(str(path), suppress_version_warning=True)
        rows = [(t, *row[:3]) for t in document.get_tier_names() for row in document.get_annotation_data_for_tier(t)]
        media = document.media_descriptors
        is_shifted = any(int(m.get("TIME_ORIGIN") or 0) for m in media)
    except Exception as error:  # pympi lets pass what XML and its own dictionaries raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not an .eaf file that can be read ({reason}); save it anew in ELAN") from error
    if is_shifted:
        raise InputError(f"{path}: its media have an offset, expected none; save it anew in ELAN without")
    timed = [row for row in rows if None not in row[1:3]]
    labels = [Label(onset / 1000, offset / 1000, (text or "").strip(), tier) for tier, onset, offset, text in timed]
    names = dict.fromkeys((path.stem, *(_stem(m["MEDIA_URL"]) for m in media if m.get("MEDIA_URL"))))
    untimed = collections.Counter({"annotations without a time": len(rows) - len(timed)})
    yield Labelled(path, tuple(names), labels, +untimed)


def _stem(url: str) -> str:
    """Name of the file that an address is of, '' if none; or that its query is of: `/local-files/?d=a/holiday.mp4`."""
    parts = urllib.parse.urlsplit(url)
    for text in (urllib.parse.unquote(parts.path), *(value for _, value in urllib.parse.parse_qsl(parts.query))):
        if PurePosixPath(text).suffix:
            return PurePosixPath(text).stem
    return ""


def read_label_studio(path: Path, fps: float = FPS) -> Iterator[Labelled]:
    """The tasks of a JSON export of Label Studio. Of several annotations of a task, the first that was not cancelled.

    Raises InputError if the file is missing or not of this form.
    """
    expected = "Label Studio's export as JSON (not JSON-MIN): a list of tasks with data and annotations"
    try:
        tasks = json.loads(read_text(path, f"expected {expected}"))
        for task in tasks if isinstance(tasks, list) else [tasks]:
            urls = [str(url) for url in (*task["data"].values(), task.get("file_upload")) if isinstance(url, str)]
            stems = [stem for url in urls if (stem := _stem(url))]
            names = dict.fromkeys(name for stem in stems for name in (UPLOAD.sub("", stem, 1), stem))
            done = [a for a in task["annotations"] if not a.get("was_cancelled")]
            skipped = collections.Counter({"further annotations of a task": len(done[1:])})
            labels = [
                label for result in (done or [{"result": []}])[0]["result"] for label in _of(result, fps, skipped)
            ]
            if names:
                yield Labelled(path, tuple(names), labels, +skipped)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: expected {expected}") from error


def _of(result: dict, fps: float, skipped: collections.Counter[str]) -> Iterator[Label]:
    """The labels of one result: of a span in seconds, or of ranges of frames, of which the first is number 1."""
    value, kind = result["value"], result.get("type", "")
    texts = value.get(kind) or value.get("labels") or ()
    spans = [((r["start"] - 1) / fps, r["end"] / fps) for r in value.get("ranges", ())]
    if not spans and "start" in value and "end" in value:
        spans = [(value["start"], value["end"])]
    if not spans or not texts:
        skipped[f"results of the kind {kind or 'unknown'}"] += 1
    for onset, offset in spans:
        for text in texts:
            yield Label(float(onset), float(offset), text.strip(), result.get("from_name", ""))


READERS = {".txt": read_audacity, ".eaf": read_elan, ".json": read_label_studio}
