"""Features of many videos by one encoder.

Axes: rows, size of a feature as in utils/features/kinds.py; H, W of an image.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.encoders import load_encoder
from utils.extract.outputs import Extractor
from utils.features.kinds import FeatureKind
from utils.llp.classes import FPS, T
from utils.llp.videos import Video
from utils.media.audio import read_audio
from utils.media.files import find_media
from utils.media.frames import evenly_spaced, frame_files, read_frames, read_image


class FeatureExtractor(Extractor):
    """Features of one kind.

    Args:
        folder: of media files, or of folders of JPEG frames.
        from_frames: whether it holds frames.
        flag: of the output.
        gpu: number of the CUDA device, -1 for the CPU.
        options: of `load_encoder`.
    """

    def __init__(
        self, kind: FeatureKind, folder: Path, from_frames: bool, flag: str, gpu: str, precision: str, **options
    ):
        self.kind, self.folder, self.from_frames, self.flag = kind, folder, from_frames, flag
        self.gpu, self.precision, self.options = gpu, precision, options

    def load(self) -> None:
        """Load the encoder. Raises InputError if it cannot be loaded."""
        from utils.base.devices import network_device  # here, since torch takes seconds to import

        device = network_device(self.gpu, self.precision)
        self.encoder = load_encoder(self.kind, device=device, precision=self.precision, **self.options)
        self.prepare = self.encoder.prepare

    def read(self, video: Video) -> tuple[object, float]:
        """The encoder's input, and the length in seconds. Raises InputError if the video cannot be read."""
        if self.kind.stream == "audio":
            return self._read_audio(video)
        images, count = self._read_images(video, self.kind.rate * T)
        return [self.prepare(image) for image in images], count / FPS

    def _read_audio(self, video: Video) -> tuple[object, float]:
        samples = read_audio(find_media(self.folder, *video.names), self.kind.rate)
        seconds = len(samples) / self.kind.rate
        if seconds > T + 1 and self.kind.rows == T:
            text = f"{video.filename} lasts {seconds:.1f} s; its ten vectors are of the first {T} s"
            print(f"warning: {text}", file=sys.stderr)
        return self.prepare(samples), seconds

    def _read_images(self, video: Video, count: int) -> tuple[Iterable[np.ndarray], int]:
        """`count` evenly spaced frames, (H, W, 3) uint8 RGB each, and the number of all at 8 a second."""
        if not self.from_frames:
            return read_frames(find_media(self.folder, *video.names), count)
        files = frame_files(self.folder, *video.names)
        return (read_image(files[i]) for i in evenly_spaced(len(files), count)), len(files)

    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """The features of each video, (rows, size) float32."""
        return [{self.flag: features} for features in self.encoder.embed(contents)]
