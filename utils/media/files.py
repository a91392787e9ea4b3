"""Media files: found, opened, and which of their tracks are used. Every error names the file."""

import contextlib
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream

from utils.base.errors import InputError
from utils.llp.missing import how_to_get

_VIDEO = (
    ".mp4 .mkv .webm .mov .m4v .avi .ts .mts .m2ts .mpg .mpeg .m2v .vob .wmv .asf .flv .f4v .3gp .3g2 .ogv .mxf .gif "
    ".mjpeg .h264 .264 .h265 .hevc .y4m .dv .rm .rmvb .divx .nut"
)
_AUDIO = (
    ".wav .flac .m4a .mp3 .ogg .opus .aac .aif .aiff .wma .mka .m4b .oga .ac3 .eac3 .amr .au .caf .w64 .mp2 .spx .ape "
    ".wv .tta .dts .weba"
)
VIDEO_SUFFIXES = tuple(_VIDEO.split())
SUFFIXES = (".mp4", ".wav", *_VIDEO.split()[1:], *_AUDIO.split()[1:])  # in the order in which they are looked for
NO_MEDIA = ("tty",)  # ffmpeg would draw a text file as a picture
SHOWN = 5  # names of files that are left out
DEFAULT_TRACK = 5_000_000  # what ffmpeg adds to the size of a track that its file calls the default


def find_media(folder: Path, *names: str) -> Path:
    """The media file, with any of SUFFIXES, of the first of `names` that has one. Raises InputError if none has."""
    for name in names:
        for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
            path = Path(folder) / f"{name}{suffix}"
            if path.is_file():
                return path
    raise InputError(f"no file {names[0]}.mp4 in {folder} (nor with another suffix of media files: .wav, .mkv, ...)")


class MediaFile(NamedTuple):
    """A file of a folder; `id`: its name without suffix; `problem`: why it cannot be used, '' if it can."""

    id: str
    path: Path
    problem: str


def list_media(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[MediaFile]:
    """The files of a folder with these suffixes, by name; of two with the same name, the second has a problem.

    Raises InputError if there are none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected videos as <id>.mp4{how_to_get(folder)}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise InputError(f"{folder}: holds no videos ({', '.join(suffixes)})")
    report_skipped(folder, suffixes)
    owner = {path.stem: path for path in reversed(files)}
    problems = ["" if owner[path.stem] == path else f"{owner[path.stem]} has the same name" for path in files]
    return [MediaFile(path.stem, path, problem) for path, problem in zip(files, problems, strict=True)]


def report_skipped(folder: Path, suffixes: Collection[str]) -> None:
    """Say once, on the standard error stream, which files of a folder have none of these suffixes, and are left out."""
    others = [p.name for p in sorted(Path(folder).iterdir()) if p.is_file() and not p.name.startswith(".")]
    others = [name for name in others if Path(name).suffix.lower() not in suffixes]
    if others:
        more = f", and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        what = f"{len(others)} files that are not of the kind that is read"
        print(f"note: {folder}: left out {what}: {', '.join(others[:SHOWN])}{more}", file=sys.stderr)


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file. Raises InputError if it is empty; the decoder's errors inside become InputErrors, too."""
    if Path(path).stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    try:
        # "file:" because a name with a colon would be taken for a protocol; metadata need not be valid text
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        reason = f"cannot be decoded ({error.strerror or error})"
        raise InputError(f"{path}: {reason}; expected a video or sound file") from error


def is_cover(stream: Stream) -> bool:
    """Whether a video track is a picture beside the sound."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def choose_tracks(container: InputContainer) -> dict[str, Stream]:
    """The tracks that are used, of `video` and `audio` those that can be decoded.

    The rule of the ffmpeg program (fftools/ffmpeg_opt.c of 5.1): the track that the file calls its default, then the
    largest picture, or the most channels; of equal ones the first. A cover picture is no video.
    """
    tracks = [stream for stream in container.streams if stream.type in ("video", "audio") and stream.codec_context]
    tracks = [stream for stream in tracks if stream.type == "audio" or not is_cover(stream)]

    def score(stream: Stream) -> int:
        size = stream.channels or 0 if stream.type == "audio" else (stream.width or 0) * (stream.height or 0)
        return size + DEFAULT_TRACK * bool(stream.disposition & av.stream.Disposition.default)

    best = {}
    for stream in tracks:
        if stream.type not in best or score(stream) > score(best[stream.type]):
            best[stream.type] = stream
    return best


def name_of(container: InputContainer) -> str:
    """The path that a container was opened with."""
    return container.name.removeprefix("file:")
