"""The sound of media files, decoded as the published pipeline does: 16 bits, channels averaged, resampled by soxr HQ.

The step to 16 bits is part of the published pipeline; a decoder's own mono mix would be louder by sqrt(2).
Axes: n samples.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
import numpy as np
import soxr

from utils.base.errors import InputError
from utils.media.clock import time_of
from utils.media.decoding import decode
from utils.media.files import open_media
from utils.media.timeline import TOLERANCE, Span, Survey


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


class Piece(NamedTuple):
    """A part of a stretch of sound without gaps, on the time line of its file.

    Attributes:
        samples: (n,) float32.
        rate: samples a second.
        begin: seconds from the start of the file.
        is_first: whether a stretch begins with it, because of a gap, or of another sample rate.
    """

    samples: np.ndarray
    rate: int
    begin: float
    is_first: bool

    @property
    def end(self) -> float:
        """Seconds from the start of the file."""
        return self.begin + len(self.samples) / self.rate


def decode_audio(found: Survey) -> Iterator[Block]:
    """The sound of a media file, block by block, as far as it can be read. Raises InputError if there is none."""
    with open_media(found.path) as container:
        stream, frame = container.streams[found.sound.index], None
        resampler = setup = None
        for frame in decode(container, stream):
            if setup != (setup := (frame.format.name, frame.layout.name, frame.sample_rate)):
                yield from _flush(resampler)
                # packed: PyAV reads beyond the planes of eight channels and more
                resampler = av.AudioResampler(format="s16")
            begin = time_of(container, frame)
            for piece in resampler.resample(frame):
                yield _block(piece, None if begin is None else float(begin))
                begin = None
        if frame is None:
            raise InputError(f"{found.path}: its audio track holds no sound")
        yield from _flush(resampler)


def _flush(resampler: av.AudioResampler | None) -> Iterator[Block]:
    """What is left in a resampler."""
    for piece in resampler.resample(None) if resampler else ():
        yield _block(piece)


def _block(piece: av.AudioFrame, begin: float | None = None) -> Block:
    """16-bit samples, with their channels averaged."""
    planes = np.ascontiguousarray(piece.to_ndarray().reshape(-1, piece.layout.nb_channels).T)  # (channels, n)
    mono = (planes / np.float32(32768)).mean(axis=0, dtype=np.float32)
    return Block(mono, piece.sample_rate, begin)


def place(blocks: Iterable[Block]) -> Iterator[Piece]:
    """Blocks on the time line of their file, without what their time stamps say was already there.

    Stamps that differ from the count of samples by less than TOLERANCE are left out of account.
    """
    now, rate, count, base = 0.0, None, 0, 0.0  # `count` samples since `base`, the begin of a stretch
    for samples, block_rate, begin in blocks:
        late = 0.0 if begin is None else begin - now
        if late <= -TOLERANCE:
            samples = samples[round(-late * block_rate) :]
            late = 0.0
        if not len(samples):
            continue
        is_first = block_rate != rate or late >= TOLERANCE
        if is_first:
            base, count, rate = now + (late if late >= TOLERANCE else 0.0), 0, block_rate
        yield Piece(samples, rate, base + count / rate, is_first)
        count += len(samples)
        now = base + count / rate


def between(pieces: Iterable[Piece], begin: float, end: float) -> Iterator[Piece]:
    """The part of placed sound from `begin` to `end`, in seconds, counted from `begin`."""
    started = False
    for samples, rate, time, is_first in pieces:
        if time >= end:
            return
        first, last = (round((t - time) * rate) for t in (begin, end))
        kept = samples[max(first, 0) : max(last, 0)]
        if len(kept):
            yield Piece(kept, rate, max(time - begin, 0.0), is_first or not started)
            started = True


def stretches(pieces: Iterable[Piece], sample_rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """When each stretch without a gap begins, in seconds, and its sound: (ceil(n * sample_rate / rate),) each."""
    held: list[Piece] = []
    for piece in pieces:
        if piece.is_first and held:
            yield held[0].begin, resample(held, sample_rate)
            held = []
        held.append(piece)
    if held:
        yield held[0].begin, resample(held, sample_rate)


def resample(pieces: list[Piece], sample_rate: int) -> np.ndarray:
    """Pieces of n samples in all, joined and resampled to `sample_rate` in Hz: (ceil(n * sample_rate / rate),)."""
    mono, rate = np.concatenate([piece.samples for piece in pieces]), pieces[0].rate
    length = math.ceil(mono.size * sample_rate / rate)
    resampled = soxr.resample(mono, rate, sample_rate, quality="HQ")[:length]
    return resampled if len(resampled) == length else np.pad(resampled, (0, length - resampled.size))


def assemble(pieces: Iterable[Piece], seconds: float, sample_rate: int) -> tuple[np.ndarray, list[Span]]:
    """All sound of a stretch of `seconds`, with silence where there is none.

    Returns:
        (n,) float32; when there is sound. Sound that lacks less than TOLERANCE at its end is not filled up.
    """
    parts = list(stretches(pieces, sample_rate))
    spans = [(begin, begin + len(samples) / sample_rate) for begin, samples in parts]
    if len(parts) == 1 and spans[0][0] == 0 and seconds - spans[0][1] < TOLERANCE:
        return parts[0][1], spans
    end = spans[-1][1] if parts else 0.0
    sound = np.zeros(round(sample_rate * (seconds if seconds - end >= TOLERANCE else end)), np.float32)
    for begin, samples in parts:
        first = round(begin * sample_rate)
        sound[first : first + len(samples)] = samples[: len(sound) - first]
    return sound, spans
