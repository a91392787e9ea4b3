"""What a page draws of a file's sound: its waveform and, on request, its log-mel spectrogram.

Both are made of the windows that are decoded for the networks. Axes: n samples, B bins of time, F mel bands.
"""

from typing import NamedTuple

import numpy as np

from utils.encoders import vggish
from utils.media.audio import Piece, resample

RATE = vggish.SAMPLE_RATE  # Hz, of everything here: VGGish's bands are drawn
BIN_RATES = (100, 50, 25, 10, 5, 1)  # a second; each divides RATE
MOST_BINS = 60_000  # of a video: ten minutes at 100 a second, 100 minutes at 10
BEFORE = vggish.WINDOW - vggish.HOP  # samples of a frame that are before its 10 ms
FLOOR, CEILING = np.log(vggish.LOG_OFFSET), 4.0  # of the logarithms that become 0 and 255


class SoundPicture(NamedTuple):
    """A file's sound, as a page draws it.

    Attributes:
        rate: bins a second.
        low, high: (B,) int8, the least and the greatest sample of each bin; 127 is full scale.
        mel: (F, B) uint8, loudness of VGGish's bands from the lowest, the loudest frame of each bin; None: not made.
    """

    rate: int
    low: np.ndarray
    high: np.ndarray
    mel: np.ndarray | None = None


class SoundPainter:
    """Makes a SoundPicture from windows of sound.

    Args:
        seconds: length of the video. spectrogram: whether to make it.
    """

    def __init__(self, seconds: float, spectrogram: bool = False):
        fitting = (rate for rate in BIN_RATES if seconds * rate <= MOST_BINS)
        self.rate = next(fitting, BIN_RATES[-1])
        bins = int(np.ceil(seconds * self.rate))
        self.low, self.high = (np.zeros(bins, np.int8) for _ in range(2))
        self.mel = np.zeros((vggish.MEL_BANDS, bins), np.uint8) if spectrogram else None
        self.filled = 0  # bins that are drawn
        self.before = np.zeros(BEFORE, np.float32)  # the samples before the next bin

    def add(self, start: int, samples: np.ndarray, sample_rate: int) -> None:
        """Draw the window that begins at `start` seconds, (n,) float32, behind what an earlier one had."""
        if sample_rate != RATE:
            samples = resample([Piece(samples, sample_rate, 0.0, True)], RATE)
        step, first = RATE // self.rate, start * self.rate
        if first > self.filled:  # a window without any sound was left out
            self.before[:] = 0
        begin = max(self.filled, first)
        count = min(-(-len(samples) // step), len(self.low) - first) - (begin - first)
        if count <= 0:
            return
        new = samples[(begin - first) * step :][: count * step]
        bins = np.pad(new, (0, count * step - len(new))).reshape(count, step)
        place = slice(begin, begin + count)
        self.low[place], self.high[place] = (
            np.clip(np.round(extreme * 127), -127, 127) for extreme in (bins.min(axis=1), bins.max(axis=1))
        )
        if self.mel is not None:
            joined = np.concatenate([self.before, bins.reshape(-1)])
            self.mel[:, place] = loudness(joined, count)
            self.before = joined[len(joined) - BEFORE :]
        self.filled = begin + count

    def picture(self) -> SoundPicture:
        """What has been drawn."""
        return SoundPicture(self.rate, self.low, self.high, self.mel)


def loudness(samples: np.ndarray, count: int) -> np.ndarray:
    """(BEFORE + n,) samples at RATE, n of them in `count` bins -> (F, B) uint8, of the loudest frame of each bin.

    Frames of 25 ms are 10 ms apart, and end where their bin does: so windows can be drawn one after another.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, vggish.WINDOW)[:: vggish.HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(vggish.WINDOW) / vggish.WINDOW)
    level = np.log(np.abs(np.fft.rfft(frames * hann, vggish.FFT)) @ vggish.mel_bands() + vggish.LOG_OFFSET)
    level = level.reshape(count, -1, level.shape[1]).max(axis=1)  # (B, F)
    return np.clip(np.round(255 * (level - FLOOR) / (CEILING - FLOOR)), 0, 255).astype(np.uint8).T
