"""Media files: found, opened, decoded; every error names the file."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av

from utils.base.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")
SUFFIXES = (".mp4", ".wav", *VIDEO_SUFFIXES[1:], ".flac", ".m4a", ".mp3", ".ogg", ".opus")


def find_media(folder: Path, *names: str) -> Path:
    """The media file of the first of `names` that has one, with any of SUFFIXES; InputError where none has."""
    for name in names:
        for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
            path = Path(folder) / f"{name}{suffix}"
            if path.is_file():
                return path
    raise InputError(f"no file {names[0]}.mp4 in {folder} (nor {', '.join(SUFFIXES[1:])})")


@contextlib.contextmanager
def open_media(path: Path) -> Iterator["av.container.InputContainer"]:
    """Open a media file; whatever the decoder raises inside becomes an InputError that names the file."""
    if Path(path).stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    try:
        # "file:" lest a name with a colon be taken for a protocol; bytes that are no text may be in a file's metadata
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror or error})") from error


def decode(container, stream, before: Callable[[av.Packet], None] | None = None) -> Iterator[av.frame.Frame]:
    """The frames of a stream; packets that cannot be decoded are passed over, as ffmpeg does.

    Args:
        before: called with each packet before it is decoded.

    Raises the decoder's error where no packet can be decoded.
    """
    problem, good = None, False
    for packet in container.demux(stream):
        if before:
            before(packet)
        try:
            for frame in packet.decode():
                good = True
                yield frame
        except av.error.FFmpegError as error:
            problem = error
    if problem and not good:
        raise problem


def time_of(container, moment: "av.Packet | av.VideoFrame") -> Fraction:
    """When a packet or frame is shown, in seconds from the start of the file."""
    return moment.pts * moment.time_base - Fraction(container.start_time or 0, av.time_base)


def require_whole(container, stream, end: float) -> None:
    """InputError where a stream ends, at `end` in seconds, over a second before the time its header states."""
    if stream.duration is not None:
        stated = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        stated = container.duration / av.time_base
    else:
        return
    frame = 1 / float(getattr(stream, "guessed_rate", None) or 1)  # a slow video's last frame lasts long
    if end < stated - 1 - frame:
        raise InputError(f"{name_of(container)}: truncated, its {stream.type} ends at {end:.1f} s of {stated:.1f} s")


def name_of(container) -> str:
    """The path a container was opened with."""
    return container.name.removeprefix("file:")


def best_streams(container) -> dict[str, "av.stream.Stream | None"]:
    """The tracks that are parsed: `video` and `audio`, None for one that is missing. A cover is no video."""
    streams = {kind: container.streams.best(kind) for kind in ("video", "audio")}
    video = streams["video"]
    if video is not None and (video.disposition & av.stream.Disposition.attached_pic or video.codec_context is None):
        streams["video"] = None
    if streams["audio"] is not None and streams["audio"].codec_context is None:
        streams["audio"] = None
    return streams


def next_frame(frames: Iterator, started: bool):
    """The next one; None at the end, and at an error after the first was decoded."""
    try:
        return next(frames, None)
    except (av.error.FFmpegError, ValueError):
        if not started:
            raise
        return None
