"""The sound of media files, decoded as the published pipeline does: 16 bits, channels averaged, resampled by soxr HQ.

The step to 16 bits is part of the published pipeline; a decoder's own mono mix would be louder by sqrt(2).
Axes: n samples.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soxr

from utils.base.errors import InputError
from utils.media.files import best_streams, decode, open_media, require_complete, time_of

GAP = 0.1  # seconds by which the time stamps of the sound may differ from the count of its samples


class Block(NamedTuple):
    """A piece of decoded sound.

    Attributes:
        samples: (n,) float32, mono, 1.0 = full scale.
        rate: samples a second. The decoder knows it; what the container states may be half of it (HE-AAC).
        begin: in seconds from the start of the file, None if unknown.
    """

    samples: np.ndarray
    rate: int
    begin: float | None = None


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """All sound of a media file: (ceil(n * sample_rate / rate),) float32 for n decoded samples at `rate`.

    Raises InputError if the file cannot be decoded, has no sound, or ends early.
    """
    return resample(list(decode_audio(path, strict=True)), sample_rate)


def resample(blocks: list[Block], sample_rate: int) -> np.ndarray:
    """Blocks of n samples in all, joined and resampled to `sample_rate` in Hz: (ceil(n * sample_rate / rate),)."""
    mono, rate = np.concatenate([block.samples for block in blocks]), blocks[-1].rate
    length = math.ceil(mono.size * sample_rate / rate)
    resampled = soxr.resample(mono, rate, sample_rate, quality="HQ")[:length]
    return np.pad(resampled, (0, length - resampled.size))


def decode_audio(path: Path, strict: bool) -> Iterator[Block]:
    """The sound of a media file, block by block.

    Args:
        strict: raise InputError if the file ends early or the sound changes its format; else stop there.

    Raises InputError if the file has no audio track, or nothing of it can be decoded.
    """
    with open_media(path) as container:
        stream = best_streams(container).get("audio")
        if stream is None:
            raise InputError(f"{path}: has no audio track")
        resampler, frame, rate = av.AudioResampler(format="s16p"), None, None
        for frame in decode(container, stream, strict):
            try:
                if rate not in (None, frame.sample_rate):
                    raise ValueError("its sample rate changes")
                pieces = resampler.resample(frame)
            except ValueError as error:  # the resampler's, if the channels change
                if strict:
                    raise InputError(f"{path}: cannot be decoded ({error})") from error
                return
            rate, begin = frame.sample_rate, time_of(container, frame)
            for piece in pieces:
                yield Block(_to_mono(piece), rate, None if begin is None else float(begin))
                begin = None
        if frame is None:
            raise InputError(f"{path}: its audio track holds no sound")
        for piece in resampler.resample(None):
            yield Block(_to_mono(piece), rate)
        if strict and frame.time is not None:
            require_complete(container, stream, frame.time + frame.samples / frame.sample_rate)


def _to_mono(piece: av.AudioFrame) -> np.ndarray:
    """Mean of the channels, (n,) float32, of planar 16-bit samples."""
    return (piece.to_ndarray() / np.float32(32768)).mean(axis=0, dtype=np.float32)


def fill_gaps(blocks: Iterable[Block], end: float) -> Iterator[Block]:
    """The same sound with silence in the gaps of its time stamps, without what they say was already there.

    Args:
        end: of the sound in seconds; later time stamps are ignored.
    """
    count = 0
    for samples, rate, begin in blocks:
        late = 0 if begin is None or begin > end else round(begin * rate) - count
        if late > GAP * rate:
            count += late
            for first in range(0, late, rate):
                yield Block(np.zeros(min(rate, late - first), np.float32), rate)
        elif late < -GAP * rate:
            samples = samples[-late:]
        count += len(samples)
        if len(samples):
            yield Block(samples, rate)
