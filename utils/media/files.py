"""Media files: found, opened, decoded. Every error names the file.

Decoding is strict or tolerant. Strict, for features of a data set: a file that ends early is an error. Tolerant, for
parsing any video: it is decoded as far as it goes. In both, single packets that cannot be decoded are passed over, as
ffmpeg does.
"""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from utils.base.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")
SUFFIXES = (".mp4", ".wav", *VIDEO_SUFFIXES[1:], ".flac", ".m4a", ".mp3", ".ogg", ".opus")
TRUNCATED = 1.0  # seconds that a track may lack at its end


def find_media(folder: Path, *names: str) -> Path:
    """The media file, with any of SUFFIXES, of the first of `names` that has one. Raises InputError if none has."""
    for name in names:
        for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
            path = Path(folder) / f"{name}{suffix}"
            if path.is_file():
                return path
    raise InputError(f"no file {names[0]}.mp4 in {folder} (nor {', '.join(SUFFIXES[1:])})")


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
        raise InputError(f"{path}: cannot be decoded ({error.strerror or error})") from error


def decode(
    container: InputContainer, stream: Stream, strict: bool, before: Callable[[av.Packet], None] = lambda packet: None
) -> Iterator[av.frame.Frame]:
    """The frames of a stream, without those of packets that cannot be decoded.

    Args:
        strict: raise the decoder's error if the file cannot be read to its end; else stop there.
        before: called with each packet before it is decoded.

    Raises the decoder's error if nothing can be decoded.
    """
    problem, started = None, False
    try:
        for packet in container.demux(stream):
            before(packet)
            try:
                for frame in packet.decode():
                    started = True
                    yield frame
            except av.error.FFmpegError as error:
                problem = error
    except (av.error.FFmpegError, ValueError):
        if strict or not started:
            raise
    if problem and not started:
        raise problem


def time_of(container: InputContainer, moment: "av.Packet | av.frame.Frame") -> Fraction | None:
    """When a packet or frame is presented, in seconds from the start of the file. None if the file does not say."""
    if moment.pts is None:
        return None
    return moment.pts * moment.time_base - Fraction(container.start_time or 0, av.time_base)


def is_in_storage_order(container: InputContainer, stream: Stream) -> bool:
    """Whether the times of packets are of no use: AVI numbers frames in the order in which they are stored."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def require_complete(container: InputContainer, stream: Stream, end: float) -> None:
    """Raise InputError if a stream ends, at `end` in seconds, over a second before the time that its header states."""
    if stream.duration is not None:
        stated = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        stated = container.duration / av.time_base
    else:
        return
    frame = 1 / float(getattr(stream, "guessed_rate", None) or 1)  # a slow video's last frame lasts long
    if end < stated - TRUNCATED - frame:
        raise InputError(f"{name_of(container)}: truncated, its {stream.type} ends at {end:.1f} s of {stated:.1f} s")


def name_of(container: InputContainer) -> str:
    """The path that a container was opened with."""
    return container.name.removeprefix("file:")


def best_streams(container: InputContainer) -> dict[str, Stream]:
    """The tracks to parse, those of `video` and `audio` that can be decoded. A cover picture is no video."""
    streams = {kind: container.streams.best(kind) for kind in ("video", "audio")}
    streams = {kind: stream for kind, stream in streams.items() if stream and stream.codec_context}
    if "video" in streams and streams["video"].disposition & av.stream.Disposition.attached_pic:
        del streams["video"]
    return streams
