"""Sound of media files, as the published pipeline decodes it."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soxr

from utils.base.errors import InputError
from utils.llp.classes import T
from utils.media.files import best_streams, decode, next_frame, open_media, require_whole, time_of
from utils.media.windows import Survey


# ---------------------------------------------------------------------------------------------------------------- sound
def read_sound(path: Path, sample_rate: int) -> np.ndarray:
    """The sound of a media file: decoded to 16 bits, channels averaged, resampled with soxr HQ.

    The step to 16 bits is part of the published pipeline; a decoder's own mono mix would be louder by sqrt(2).

    Returns:
        (ceil(n * sample_rate / rate),) float32 for n decoded samples at `rate`.

    Raises:
        InputError: the file cannot be decoded, has no sound, or ends early.
    """
    with open_media(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(f"{path}: has no audio track")
        blocks, rate = _decode_16_bit(path, container, stream)
    return resample(to_mono(np.concatenate(blocks, axis=1)), rate, sample_rate)


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels, of 1.0 = full scale: (channels, n) int16 -> (n,) float32."""
    return (samples / np.float32(32768)).mean(axis=0, dtype=np.float32)


def resample(mono: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """soxr HQ, from `rate` to `sample_rate` in Hz: (n,) float32 -> (ceil(n * sample_rate / rate),)."""
    length = math.ceil(mono.size * sample_rate / rate)
    resampled = soxr.resample(mono, rate, sample_rate, quality="HQ")[:length]
    return np.pad(resampled, (0, length - resampled.size))


def _decode_16_bit(path: Path, container, stream) -> tuple[list[np.ndarray], int]:
    """Blocks of decoded sound, (channels, n) int16, and their sample rate in Hz."""
    resampler = av.AudioResampler(format="s16p")
    blocks, frame = [], None
    try:
        for frame in decode(container, stream):
            blocks += resampler.resample(frame)
        blocks += resampler.resample(None)
    except ValueError as error:  # the stream changes its rate or its channels on the way
        raise InputError(f"{path}: cannot be decoded ({error})") from error
    if not blocks:
        raise InputError(f"{path}: its audio track holds no sound")
    if frame.time is not None:
        require_whole(container, stream, frame.time + frame.samples / frame.sample_rate)
    # The decoder knows the rate; what the container states may be half of it (HE-AAC).
    return [block.to_ndarray() for block in blocks], frame.sample_rate


GAP = 0.1  # seconds by which the time stamps of a sound may leave its samples


# ---------------------------------------------------------------------------------------------------------------- sound
def sound(path: Path) -> Iterator[tuple[np.ndarray, int, float | None]]:
    """Blocks of a file's sound: mono (n,) float32, their sample rate in Hz, when they begin in seconds, if known.

    What cannot be decoded is passed over; InputError where nothing can.
    """
    with open_media(path) as container:
        stream = best_streams(container)["audio"]
        resampler, started = av.AudioResampler(format="s16p"), False
        frames = decode(container, stream)
        rate = None
        while (frame := next_frame(frames, started)) is not None:
            if rate not in (None, frame.sample_rate):
                return  # other sound from here on
            rate, started = frame.sample_rate, True
            begin = None if frame.pts is None else float(time_of(container, frame))
            try:
                blocks = resampler.resample(frame)
            except ValueError:  # it changes its channels
                return
            for block in blocks:
                yield to_mono(block.to_ndarray()), rate, begin
                begin = None
        if not started:
            raise InputError(f"{path}: its audio track holds no sound")
        for block in resampler.resample(None):
            yield to_mono(block.to_ndarray()), rate, None


def on_time(blocks: Iterator[tuple[np.ndarray, int, float | None]], end: float) -> Iterator[tuple[np.ndarray, int]]:
    """The same sound with silence where its time stamps leave a gap, and without what they say was there before.

    Args:
        end: of the sound in seconds; later time stamps are not believed.
    """
    count = 0
    for block, rate, begin in blocks:
        late = 0 if begin is None or begin > end else round(begin * rate) - count
        if late > GAP * rate:
            count += late
            for first in range(0, late, rate):
                yield np.zeros(min(rate, late - first), np.float32), rate
        elif late < -GAP * rate:
            block = block[-late:]
        count += len(block)
        if len(block):
            yield block, rate


class SoundReader:
    """Windows of a file's sound, one after another, resampled to `sample_rate` in Hz on the way."""

    def __init__(self, path: Path, found: Survey, sample_rate: int):
        self.path, self.sample_rate, self.is_single = path, sample_rate, found.is_single
        self.stream = self._resampled(on_time(sound(path), found.sound_end))
        self.first, self.samples = 0, np.zeros(0, np.float32)  # where what is kept begins, and what is kept

    def _resampled(self, blocks: Iterator[tuple[np.ndarray, int]]) -> Iterator[np.ndarray]:
        resampler = None
        for block, rate in blocks:
            if resampler is None and rate != self.sample_rate:
                resampler = soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32", quality="HQ")
            yield resampler.resample_chunk(block) if resampler else block
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def read(self, start: int) -> np.ndarray:
        """The window that begins at `start` seconds, (n,) float32: all sound of a short file, else ten seconds.

        Where the sound has ended, silence is heard for the rest of the window.
        """
        if self.is_single:
            blocks = list(sound(self.path))
            return resample(np.concatenate([block for block, *_ in blocks]), blocks[0][1], self.sample_rate)
        first, length = start * self.sample_rate, T * self.sample_rate
        pieces, end = [self.samples], self.first + len(self.samples)
        while end < first + length and (piece := next(self.stream, None)) is not None:
            pieces.append(piece)
            end += len(piece)
            if end <= first:  # nobody hears it
                self.first, pieces = end, []
        held = np.concatenate([*pieces, np.zeros(0, np.float32)])
        drop = min(max(first - self.first, 0), len(held))
        self.samples, self.first = held[drop:], self.first + drop
        window = self.samples[:length]
        return np.pad(window, (0, length - len(window)))
