"""Which of LLP's two published versions of its audio annotations a file is."""

import hashlib
from collections.abc import Iterable, Sequence

from utils.llp.classes import CLASS_NAMES
from utils.llp.events import Events

# Names in which LLP's two published audio files differ, and the digest of each file's rows.
_REPAIRED = ("JfZEqeLZqWk_30_40", "KvIjsmANkxI_10_20")
_DAMAGED = ("Baby_cry_infant_cry", "KvIjsmANkxI_10_20`")
NOT_PUBLISHED = "not LLP's published audio annotations"
_DIGESTS = {
    "2020": "44ea9eb9b36fd53148d6242f70d171770afee5b1dddff31ab2bd72cdd6660b60",
    "2024": "9a18c2c99139dbe5e94334674f1eec2877a6acd40a23c582115922c5504f2079",
}

# the digests of the names of LLP's validation and test videos
_LISTS = {
    "9c0d3a7acd27abf7bc8708e3cf5025b6ff9d15bf460384bc5ded1ec04c9d31e4",
    "eb64b9c3bf32f8573be8c3bb1ea08b1d119f0e321ccb82d5cbe98f3edd3e8c16",
}


def is_list_of_llp(filenames: Iterable[str]) -> bool:
    """Whether these are the videos that LLP validates on, or tests on."""
    return hashlib.sha256("\n".join(sorted(filenames)).encode()).hexdigest() in _LISTS


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
        return f"{NOT_PUBLISHED} ({len(audio.filename)} rows in {audio.path})"
    is_published = digest(audio, class_names) == _DIGESTS[version]
    changed = "" if is_published else ", changed: its other rows are not those published"
    return f"{version} version of LLP's audio annotations ({len(audio.filename)} rows{changed})"
