"""VGGish, the audio network of the base features (the paper's section 4.1): its input and its layers.

Axes: n samples at 16 kHz, T segments of one second, 10 for LLP, N seconds.
"""

import functools

import numpy as np
import torch
from torch import nn

from utils.encoders.network import Architecture, load_network
from utils.llp.classes import T

SAMPLE_RATE = 16000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms
MEL_FRAMES, MEL_BANDS = 96, 64  # of the input, 0.96 s
LOWEST, HIGHEST = 125.0, 7500.0  # Hz, edges of the bands
LOG_OFFSET = 0.01


def hertz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Mel scale of HTK, 1127 ln(1 + f / 700), elementwise: (...) -> (...)."""
    return 1127 * np.log(1 + np.asarray(hertz, float) / 700)


def mel_bands() -> np.ndarray:
    """(FFT // 2 + 1, MEL_BANDS) weights: triangles of height 1, straight in mel and not in Hz as elsewhere."""
    edges = np.linspace(hertz_to_mel(LOWEST), hertz_to_mel(HIGHEST), MEL_BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    mel = hertz_to_mel(np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT)[:, None]
    return np.maximum(0, np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)))


def log_mel(samples: np.ndarray, segments: int = T) -> np.ndarray:
    """For each of T seconds, the first 96 frames of its log-mel spectrogram.

    Args:
        samples: (n,) int16 at 16 kHz, mono; cut after `segments` seconds, or filled with silence.

    Returns:
        (T, 96 time, 64 bands) float32.
    """
    length = segments * SAMPLE_RATE
    seconds = np.zeros(length)
    seconds[: len(samples)] = samples[:length] / 32768
    windows = np.lib.stride_tricks.sliding_window_view(seconds.reshape(segments, SAMPLE_RATE), WINDOW, axis=1)
    windows = windows[:, : MEL_FRAMES * HOP : HOP]  # (T, 96, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic
    magnitude = np.abs(np.fft.rfft(windows * hann, FFT))  # (T, 96, 257)
    return np.log(magnitude @ mel_bands() + LOG_OFFSET).astype(np.float32)


def to_16_bit(samples: np.ndarray) -> np.ndarray:
    """Samples of 1.0 = full scale, (n,), as int16, (n,)."""
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def prepare(samples: np.ndarray, seconds: float | None = None, segments: int = T) -> np.ndarray:
    """(n,) float32 -> log-mels of T seconds; of a shorter video, of the second that each T-th of it is in.

    VGGish takes seconds, while the other networks take tenths of a video.

    Args:
        seconds: the length of a video of one window, None for a window of T seconds.
        segments: T.

    Returns:
        (T, 96 time, 64 bands) float32.
    """
    mel = log_mel(to_16_bit(samples), segments)
    if seconds is None or seconds >= segments - 0.5:
        return mel
    return mel[((np.arange(segments) + 0.5) * seconds / segments).astype(int)]


class Vggish(nn.Module):
    """VGGish up to its 128 numbers per second, without PCA and quantisation.

    Parameter names are those of the widely used PyTorch file of the weights.
    """

    def __init__(self):
        super().__init__()
        layers, channels = [], 1
        for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        flat = channels * (MEL_FRAMES // 16) * (MEL_BANDS // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128), nn.ReLU()
        )

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(N, 96, 64) log-mel -> (N, 128)."""
        maps = self.features(mel[:, None])  # (N, channel, time, frequency)
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # as TensorFlow flattens: channels last


URL = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
ARCHITECTURES = {"vggish": Architecture(Vggish, URL, prepare)}
load = functools.partial(load_network, ARCHITECTURES)
