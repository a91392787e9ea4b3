"""Videos in, events out, for notebooks and for utils/parse_video.py.

    from utils.video_parser import VideoParser, Weights, parse_videos

    parser = VideoParser.load("models/model_VALOR++/checkpoint_best.pt")
    events = parse_videos(["a.mp4", "b.mp4"], parser)     # a pandas table, a row per event
    video = parser.parse("a.mp4")                         # the probabilities behind it

The parser and the networks of the features that it needs are loaded once. Axes: T = 10 segments of a window, n of a
video, M = 2 modalities (audio, visual), C classes.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from nets import MMIL_Net
from nets.han import NORM_PLACES
from utils.base.errors import InputError
from utils.base.read_ahead import read_ahead
from utils.features.kinds import pool
from utils.llp.classes import T, read_class_names
from utils.media.sound import SoundReader
from utils.media.windows import PictureReader, Survey, segment_count, segment_edges, survey, window_starts
from utils.metrics.eval_metrics import THRESHOLD
from utils.parse.events import ParsedVideo, WindowAverage, as_text, find_events, join_events
from utils.parse.networks import (
    AUDIO_FEATURES,
    SPATIO_TEMPORAL,
    VISUAL_FEATURES,
    Hearing,
    Seeing,
    Weights,
    load_hearing,
    load_seeing,
)
from utils.train import checkpoint
from utils.train.run_folder import class_file, read_arguments


def load_net(
    path: Path, classes: Path | None, nhead: int | None, norm_where: str | None
) -> tuple[MMIL_Net, tuple[str, ...], dict]:
    """The parser of a checkpoint in evaluation mode, its class names, and its settings, named like main.py's flags.

    Sizes come from the weights; classes, heads and norm placement from the files beside them, else what is given, else
    LLP and the published settings.

    Raises:
        InputError: the checkpoint cannot be used, or what is given is not what it was trained with.
    """
    path = Path(path)
    state = checkpoint.load(path)
    try:
        sizes = checkpoint.describe_weights(state)
    except (KeyError, IndexError, AttributeError, TypeError):
        raise InputError(
            f"{path}: holds no MMIL_Net weights, expected a plain state_dict as in {checkpoint.BEST}"
        ) from None
    for name, known in (("input_a_dim", AUDIO_FEATURES), ("input_v_dim", VISUAL_FEATURES)):
        if sizes[name] not in known:
            expected = " or ".join(f"{size} ({feature})" for size, feature in known.items())
            raise InputError(f"{path}: has {name} {sizes[name]}, expected {expected}: no feature tool makes such")
    recorded = read_arguments(path.parent)
    norm_where = norm_where or recorded.get("norm_where", NORM_PLACES[0])
    nhead = nhead or int(recorded.get("nhead", 8))
    class_path = class_file(path.parent, classes)
    names = read_class_names(class_path)
    settings = sizes | {"num_classes": len(names), "nhead": nhead, "norm_where": norm_where}
    try:
        net = MMIL_Net(**settings).use_fast_layers()
    except ValueError as error:
        raise InputError(f"{path}: {error}; give --nhead") from error
    sources = {"num_classes": f"that of {class_path} (--classes)"}
    checkpoint.load_weights(path, net, settings, sources, recorded)
    return net.eval(), names, settings


class VideoParser:
    """A trained parser with the networks of its features.

    Args:
        net: in evaluation mode, on `device`.
        class_names: C names.
        hearing, visual, spatio_temporal: the networks of its three features.
        model: what the outputs say of it.
    """

    def __init__(
        self,
        net: MMIL_Net,
        class_names: Sequence[str],
        hearing: Hearing,
        visual: Seeing,
        spatio_temporal: Seeing,
        device: torch.device | str = "cpu",
        model: dict | None = None,
    ):
        self.net, self.class_names, self.device = net, tuple(class_names), torch.device(device)
        self.hearing, self.seeing = hearing, {"visual": visual, "visual_st": spatio_temporal}
        self.model = model or {}
        self._nothing: dict[str, np.ndarray] = {}  # features of silence, and of black frames

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        classes: Path | None = None,
        nhead: int | None = None,
        norm_where: str | None = None,
        weights: Weights | None = None,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
    ) -> Self:
        """A checkpoint and the networks that its sizes ask for.

        Args:
            path: checkpoint_best.pt of a run, or a published one.
            classes: a class file; nhead, norm_where: of the training. None: from the files beside the checkpoint, else
                LLP and the published settings.
            precision: of the feature networks, fp32, bf16 or fp16.

        Raises:
            InputError: a file is missing, damaged, or does not fit.
        """
        net, names, settings = load_net(Path(path), classes, nhead, norm_where)
        weights, device = weights or Weights(), torch.device(device)
        audio, visual = AUDIO_FEATURES[settings["input_a_dim"]], VISUAL_FEATURES[settings["input_v_dim"]]
        model = {
            "checkpoint": as_text(path),
            "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
            **settings,
            "features": [audio, visual, SPATIO_TEMPORAL],
            "precision": precision,
        }
        return cls(
            net.to(device),
            names,
            load_hearing(audio, weights, device, precision),
            load_seeing(visual, weights, device, precision),
            load_seeing(SPATIO_TEMPORAL, weights, device, precision),
            device,
            model,
        )

    def parse(
        self,
        path: Path | str,
        hop: int = T,
        keep: Callable[[str, dict[str, np.ndarray]], None] | None = None,
        progress: bool = False,
    ) -> ParsedVideo:
        """What the parser says of one video of any length.

        Args:
            hop: seconds from one window of ten to the next, 1 to 10; windows that overlap are averaged.
            keep: called with each window's time, `_20_30` (empty where it is the only one), and its features,
                (10 | 64 | 80, D) float32 by their name.
            progress: show a bar.

        Raises:
            InputError: the file cannot be decoded, or has neither picture nor sound.
        """
        path = Path(path)
        if not 1 <= hop <= T:
            raise InputError(f"--hop {hop}: expected 1 to {T} seconds")
        found = survey(path)
        starts = window_starts(found.seconds, hop)
        average = WindowAverage(segment_count(found.seconds), len(self.class_names))
        read = self._reader(path, found, starts)
        bar = tqdm(starts, as_text(path.name), unit="window", disable=not progress, leave=False)
        for start, result in zip(bar, read_ahead(read, starts, workers=1, ahead=1), strict=True):
            if result.error:
                raise (
                    result.error
                    if isinstance(result.error, (InputError, OSError))
                    else InputError(f"{path}: {result.problem}")
                ) from result.error
            features = self.embed(result.value)
            if keep:
                keep("" if found.is_single else f"_{start}_{start + T}", features)
            average.add(start, *self._probabilities(features, path))
        frame_prob, global_prob = average.means()
        edges = segment_edges(found.seconds)
        return ParsedVideo(
            path,
            found.seconds,
            edges,
            frame_prob,
            global_prob,
            has_track(found, edges),
            self.class_names,
            hop,
            describe(found, edges),
        )

    def _reader(self, path: Path, found: Survey, starts: list[int]) -> Callable[[int], dict[str, object]]:
        """The function that reads the next window: what each network hears or sees, by its name."""
        looks = {network.name: network.look for network in self.seeing.values()}
        pictures = None if found.picture_end is None else PictureReader(path, found, looks, starts)
        sounds = None if found.sound_end is None else SoundReader(path, found, self.hearing.sample_rate)
        seconds = found.seconds if found.is_single else None

        def read(start: int) -> dict[str, object]:
            window = pictures.read(start) if pictures else {}
            if sounds:
                window[self.hearing.name] = self.hearing.prepare(sounds.read(start), seconds)
            return window

        return read

    def embed(self, window: dict[str, object]) -> dict[str, np.ndarray]:
        """A window's features by their name, as they are published; silence and black frames for a missing track."""
        return {
            network.name: network.embed(window[network.name]) if network.name in window else self._missing(network)
            for network in (self.hearing, *self.seeing.values())
        }

    def _missing(self, network: Hearing | Seeing) -> np.ndarray:
        """Features of ten seconds of nothing, computed once."""
        if network.name not in self._nothing:
            if isinstance(network, Hearing):
                content = network.prepare(np.zeros(T * network.sample_rate, np.float32), None)
            else:
                content = [network.look.prepare(np.zeros((256, 256, 3), np.uint8))] * network.look.count
            self._nothing[network.name] = network.embed(content)
        return self._nothing[network.name]

    @torch.no_grad()
    def _probabilities(self, features: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray]:
        """(T, M, C) segment and (C,) window probabilities of one window."""
        pooled = [pool(array) for array in features.values()]
        if not all(np.isfinite(array).all() for array in pooled):
            raise InputError(f"{path}: its features are not finite; try --precision fp32")
        output = self.net(*(torch.from_numpy(array)[None].to(self.device) for array in pooled))
        return output.frame_prob[0].cpu().numpy(), output.global_prob[0].cpu().numpy()


def has_track(found: Survey, edges: np.ndarray) -> np.ndarray:
    """In which segments there is sound, and a picture: (n, M) bool. A video of one window has it in all or none."""
    ends = (found.sound_end, found.picture_end)
    starts = np.zeros(len(edges) - 1) if found.is_single else edges[:-1]
    return np.stack([starts < (-1 if end is None else end) for end in ends], axis=1)


def describe(found: Survey, edges: np.ndarray) -> list[str]:
    """What a reader of the events should know of the file."""
    notes = list(found.notes)
    if found.sound_end is None:
        notes.append("no audio track: visual events only")
    if found.picture_end is None:
        notes.append("no video track: audio events only")
    if found.seconds < T - 1:
        notes.append(f"shorter than {T - 1} s: its ten segments last {edges[1]:.2f} s each")
    return notes


def parse_videos(
    videos: Path | str | Sequence[Path | str], parser: VideoParser, hop: int = T, threshold: float = THRESHOLD
) -> pd.DataFrame:
    """The events of one or several videos.

    Args:
        videos: path or paths of media files of any length.
        parser: `VideoParser.load(...)`.
        hop: seconds from one window of ten to the next, 1 to 10.
        threshold: a probability of at least this is a decision, in (0, 1).

    Returns:
        A row per event: filename, modality (`audio`, `visual`, `audio_visual`), onset, offset (seconds of the video),
        event_labels, confidence (mean probability over the event's segments).

    Raises:
        InputError: a file cannot be decoded.
    """
    paths = [videos] if isinstance(videos, (str, Path)) else list(videos)
    if not paths:
        raise InputError("no video was given")
    return join_events([find_events(parser.parse(path, hop), threshold) for path in paths])
