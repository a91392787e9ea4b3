"""Features of a video's windows in files: `DIR/<kind>/<name><window>.npy`, kept by one run and read by another."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.base.npy import read_npy, write_npy
from utils.features.kinds import STREAMS
from utils.llp.classes import T
from utils.parse.events import ParsedVideo
from utils.parse.networks import SIZES
from utils.parse.parser import VideoParser, window_name

Features = dict[str, np.ndarray]  # (rows, D) by the name of their kind


def feature_writer(folder: Path | None, name: str) -> Callable[[str, Features], None] | None:
    """The function that keeps a window's features under a video's `name`, None if there is no folder for them."""
    if folder is None:
        return None

    def keep(window: str, features: Features) -> None:
        for kind, array in features.items():
            write_npy(folder / kind / f"{name}{window}.npy", array)

    return keep


def feature_reader(
    folder: Path, name: str, video_parser: VideoParser, kept: ParsedVideo
) -> Callable[[int], Features | None]:
    """The function that reads the features of the window that begins at a second, None if there is nothing in it.

    That raises InputError if they were not kept, or are not those that the parser takes.
    """
    kinds = dict(zip(video_parser.model["features"], (video_parser.model[SIZES[s]] for s in STREAMS), strict=True))

    def read(start: int) -> Features | None:
        features = {}
        for kind, size in kinds.items():
            path = folder / kind / f"{name}{window_name(kept.seconds, start)}.npy"
            if not path.is_file():
                if not features and not kept.has_track[start : start + T].any():
                    return None
                raise InputError(f"{path}: no such file, which an earlier run with --keep_features would have written")
            features[kind] = read_npy(path)
            if features[kind].ndim != 2 or features[kind].shape[1] != size:
                raise InputError(f"{path}: holds {features[kind].shape}, expected (rows, {size}) for the checkpoint")
        return features

    return read
