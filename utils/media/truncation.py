"""Whether a media file ends before the time that its header states. Times are seconds from the start of the file."""

import contextlib
import wave

import av
from av.container import InputContainer
from av.stream import Stream

from utils.media.clock import has_clock

TRUNCATED = 1.0  # seconds that a track may lack at its end


def track_problem(container: InputContainer, stream: Stream, begin: float, end: float) -> str:
    """Why a track that begins and ends then, in seconds, is truncated, '' if it is not."""
    stated = _stated_wave(container)
    if stated is None:
        if stream.duration is None or has_clock(container):  # estimated from the file itself
            return ""
        stated = float(stream.duration * stream.time_base) + max(begin, 0.0)
    frame = 1 / float(getattr(stream, "guessed_rate", None) or 1)  # a slow video's last frame lasts long
    if end >= stated - TRUNCATED - frame:
        return ""
    return f"truncated, its {stream.type} ends at {end:.1f} s of {stated:.1f} s"


def _stated_wave(container: InputContainer) -> float | None:
    """Seconds that the header of a WAV file states, which ffmpeg cuts to what there is. None of other files."""
    if container.format.name != "wav":
        return None
    with contextlib.suppress(wave.Error, EOFError, OSError), wave.open(container.name.removeprefix("file:")) as file:
        frames = file.getnframes()
        size = frames * file.getsampwidth() * file.getnchannels()
        if size < 2**31 - 2**16:  # programs that write to a pipe do not know it, and state 2 or 4 GB
            return frames / file.getframerate()
    return None


def file_problem(container: InputContainer, end: float | None) -> str:
    """Why a file whose last track ends then, in seconds, is truncated, '' if it is not."""
    if end is None or container.duration is None or has_clock(container) or container.format.name == "mp3":
        return ""
    stated, start = container.duration / av.time_base, (container.start_time or 0) / av.time_base
    last = end + max(start, 0.0)
    return "" if last >= stated - TRUNCATED else f"truncated: it ends at {last:.1f} s of {stated:.1f} s"
