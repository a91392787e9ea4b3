"""Features of many videos by one encoder.

Axes: rows, size of a feature as in utils/features/kinds.py; H, W of an image.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.encoders import load_encoder
from utils.extract.outputs import Extractor
from utils.features.kinds import FeatureKind
from utils.llp.classes import T
from utils.llp.datasets import LLP, DataSet
from utils.llp.lengths import stated_lengths
from utils.llp.names import clip_times
from utils.llp.videos import Video
from utils.media.clips import read_jpegs, read_pictures, read_sound
from utils.media.files import find_media
from utils.media.isolated import isolated

PIECE = 64  # seconds of a video that go through a network at once
NUMBERS = {T: "ten"}


class FeatureExtractor(Extractor):
    """Features of one kind.

    Args:
        folder: of media files, or of folders of JPEG frames.
        from_frames: whether it holds frames.
        dataset: of the videos: how many seconds they have (if they differ: those of its list, else of the files), and
            how their files are named.
        flag: of the output.
        gpu: number of the CUDA device, -1 for the CPU.
        options: of `load_encoder`.
    """

    def __init__(
        self,
        kind: FeatureKind,
        folder: Path,
        from_frames: bool,
        flag: str,
        gpu: str,
        precision: str,
        dataset: DataSet = LLP,
        **options,
    ):
        self.kind, self.folder, self.from_frames, self.flag = kind, folder, from_frames, flag
        self.gpu, self.precision, self.dataset, self.options = gpu, precision, dataset, options
        self.lengths = stated_lengths(dataset)

    def load(self) -> None:
        """Load the encoder. Raises InputError if it cannot be loaded."""
        from utils.base.devices import network_device  # here, since torch takes seconds to import

        device = network_device(self.gpu, self.precision)
        self.on_gpu = device.type == "cuda"
        self.encoder = load_encoder(self.kind, device=device, precision=self.precision, **self.options)
        self.prepare = self.encoder.prepare

    def read(self, video: Video) -> tuple[tuple[object, np.ndarray], float]:
        """The encoder's input and in which segments there is anything, (T,) bool; the length in seconds.

        Raises InputError if the video cannot be read.
        """
        times = clip_times(video.filename) if self.dataset.ids == LLP.ids else None
        segments = self.dataset.seconds or self.lengths.get(video.filename)
        if self.kind.stream == "audio":
            path = find_media(self.folder, *video.sources)
            content, samples = isolated(read_sound, path, self.kind.rate, times, segments)
            if segments and content.seconds > segments + 1 and self.kind.rows == T:
                count = NUMBERS.get(segments, segments)
                text = (
                    f"{video.filename} lasts {content.seconds:.1f} s; its {count} vectors are of the first {segments} s"
                )
                print(f"warning: {text}", file=sys.stderr)
            number = len(content.is_there)
            more = {} if number == T else {"segments": number}
            return (self.prepare(samples, **more), content.is_there), content.seconds
        count = self.kind.rate * (segments or 1)
        if self.from_frames:
            images = isolated(read_jpegs, self.folder, video.sources, count, times, segments)
        else:
            images = isolated(read_pictures, find_media(self.folder, *video.sources), count, times, segments)
        content = next(images)
        return ([self.prepare(image) for image in images], content.is_there), content.seconds

    def in_pieces(self, function: Callable[[Sequence], Sequence[np.ndarray]], contents: list) -> list[list[np.ndarray]]:
        """What `function` makes of what was read of videos, as arrays by video: B times (T, ...) each.

        It gets a batch as it is if all videos have the same few seconds, else a piece of one video at a time, so that
        neither other videos nor its length change what is held at once.
        """
        if self.dataset.seconds and self.dataset.seconds <= PIECE:
            return list(zip(*function(contents), strict=True))
        step = PIECE * (1 if self.kind.stream == "audio" else self.kind.rate)
        found = []
        for content in contents:
            rows = content.mel if hasattr(content, "mel") else content
            parts = [function([content[i : i + step]]) for i in range(0, len(rows), step)]
            found.append([np.concatenate([array[0] for array in arrays]) for arrays in zip(*parts, strict=True)])
        return found

    def compute(self, contents: list, videos: list[Video]) -> list[dict[str, np.ndarray]]:
        """The features of each video, (rows, size) float32."""
        found = self.in_pieces(lambda part: (self.encoder.embed(part),), [content for content, _ in contents])
        return [{self.flag: features} for (features,) in found]
