"""Features of many videos by one encoder.

Axes: rows, size of a feature as in utils/features/kinds.py; H, W of an image.
"""

import sys
from pathlib import Path

import numpy as np

from utils.encoders import load_encoder
from utils.extract.outputs import Extractor
from utils.features.kinds import FeatureKind
from utils.llp.classes import T
from utils.llp.names import clip_times
from utils.llp.videos import Video
from utils.media.clips import read_jpegs, read_pictures, read_sound
from utils.media.files import find_media
from utils.media.isolated import isolated


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

    def read(self, video: Video) -> tuple[tuple[object, np.ndarray], float]:
        """The encoder's input and in which segments there is anything, (T,) bool; the length in seconds.

        Raises InputError if the video cannot be read.
        """
        times = clip_times(video.filename)
        if self.kind.stream == "audio":
            content, samples = isolated(read_sound, find_media(self.folder, *video.names), self.kind.rate, times)
            if content.seconds > T + 1 and self.kind.rows == T:
                text = f"{video.filename} lasts {content.seconds:.1f} s; its ten vectors are of the first {T} s"
                print(f"warning: {text}", file=sys.stderr)
            return (self.prepare(samples), content.is_there), content.seconds
        count = self.kind.rate * T
        if self.from_frames:
            images = isolated(read_jpegs, self.folder, video.names, count, times)
        else:
            images = isolated(read_pictures, find_media(self.folder, *video.names), count, times)
        content = next(images)
        return ([self.prepare(image) for image in images], content.is_there), content.seconds

    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """The features of each video, (rows, size) float32."""
        return [{self.flag: features} for features in self.encoder.embed([content for content, _ in contents])]
