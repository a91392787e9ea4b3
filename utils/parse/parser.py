"""Videos in, events out, for notebooks and for utils/parse_video.py.

    from utils.parse import VideoParser, parse_videos

    video_parser = VideoParser.load("models/model_VALOR++/checkpoint_best.pt")
    events = parse_videos(["a.mp4", "b.mp4"], video_parser)    # a pandas table, a row per event
    video = video_parser.parse("a.mp4")                        # the probabilities behind it

Axes: T = 10 segments of a window, n of a video, M = 2 modalities (audio, visual), C classes.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch.types import Device

from nets import Parser
from nets.fast import for_device
from utils.base.devices import network_device
from utils.base.errors import InputError
from utils.base.progress import tqdm
from utils.base.read_ahead import read_ahead
from utils.encoders import Encoder, checkpoint_flag, load_encoder
from utils.features.kinds import CLAP_EMBEDDING, STREAMS, pool
from utils.llp.classes import T
from utils.llp.datasets import LLP, PER_VIDEO, DataSet
from utils.media import windows
from utils.media.timeline import SINGLE
from utils.metrics.eval_metrics import THRESHOLD
from utils.parse.collect import SecondFeatures, WindowProbabilities
from utils.parse.events import ParsedVideo, as_text, find_events
from utils.parse.networks import load_network
from utils.parse.reader import Reader, describe


def window_name(seconds: float, start: int) -> str:
    """What the features of a window are called after the name of their video; nothing, if it is the only one."""
    return "" if seconds <= SINGLE else f"_{start}_{start + T}"


def window_bar(starts: Sequence[int], name: str) -> tqdm:
    """A bar of a video's windows, on the terminal: `progress` of `VideoParser.parse`."""
    return tqdm(starts, name, unit="window", leave=False)


class VideoParser:
    """A trained network with the encoders of its features.

    Args:
        net: in evaluation mode, on `device`.
        dataset: that it was trained on: its C classes, and whether it takes windows of ten seconds or whole videos.
        encoders: of its three features, by stream (STREAMS); none: only features that were kept can be parsed.
        model: what the outputs say of it.
    """

    def __init__(
        self,
        net: Parser,
        dataset: DataSet,
        encoders: Mapping[str, Encoder],
        device: Device = "cpu",
        model: dict | None = None,
    ):
        self.net, self.dataset, self.device = net, dataset, torch.device(device)
        self.class_names = dataset.class_names
        self.encoders = [encoders[stream] for stream in STREAMS if encoders]
        self.audio, *self.visual = self.encoders or [None]
        self.model = model or {}
        self._silent: dict[str, np.ndarray] = {}  # features of silence, and of black frames

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        dataset: str | Path | None = None,
        classes: Path | None = None,
        nhead: int | None = None,
        norm_where: str | None = None,
        checkpoints: Mapping[str, Path | None] | None = None,
        options: Mapping[str, Mapping] | None = None,
        device: Device | None = None,
        precision: str = "fp32",
        kept_only: bool = False,
    ) -> Self:
        """A checkpoint, `path`, of a run or published, and the encoders that its sizes ask for, each loaded once.

        Args:
            dataset: as --dataset names it; classes: a class file; nhead, norm_where: of the training. None: from the
                files beside the checkpoint, else LLP and the published settings.
            checkpoints: local weights of encoders, by the name of their kind; the others are those published.
            options: further ones of `load_encoder`, by the name of the kind, such as {"CLIP": {"model": NAME}}.
            device: None: as the command chooses it, the first GPU if there is one.
            precision: of the encoders, fp32, bf16 or fp16. kept_only: leave the encoders out.

        Raises InputError if a file is missing, damaged, or does not fit.
        """
        device = network_device("0", precision) if device is None else device
        net, found, kinds, about = load_network(Path(path), dataset, classes, nhead, norm_where)
        encoders = {}
        for stream, kind in kinds.items() if not kept_only else ():
            own = {"any_vocabulary": True} if kind.encoder == "clap" else {}  # features need no captions: no tokenizer
            own |= {"per_second": True} if own and kind.size == CLAP_EMBEDDING else {}
            own |= (options or {}).get(kind.name, {})
            weights = (checkpoints or {}).get(kind.name)
            encoders[stream] = load_encoder(kind, weights, device, precision, checkpoint_flag(kind), **own)
        names = [kind.name for kind in kinds.values()]
        model = {"checkpoint": as_text(path), **about, "features": names, "precision": precision}
        if found.name != LLP.name:
            model |= {"dataset": found.name, "seconds": found.seconds or PER_VIDEO}
        return cls(for_device(net.to(device), torch.device(device)), found, encoders, device, model)

    def parse(
        self,
        path: Path | str,
        hop: int = T,
        keep: Callable[[str, dict[str, np.ndarray]], None] | None = None,
        progress: Callable[[Sequence[int], str], Iterable[int]] | None = None,
        spectrogram: bool = False,
    ) -> ParsedVideo:
        """What the parser says of one video of any length.

        Args:
            hop: seconds from one window of ten to the next, 1 to 10; windows that overlap are averaged. Networks of
                other lengths see all seconds of the video, or as many as in their training, and take no other hop.
            keep: called with each window's time, `_20_30` (empty if it is the only one), and its features,
                (10 | 64 | 80, D) float32 by the name of their kind.
            progress: called with the first seconds of all windows and the file's name; it returns an iterable of these
                seconds, each of which is asked for when its window's turn has come, as `window_bar` does.
            spectrogram: draw it, too.

        Raises InputError if the file cannot be decoded, has neither picture nor sound, or for a wrong hop.
        """
        self._check_hop(hop)
        found = windows.survey(path := Path(path))
        starts = windows.window_starts(found.seconds, hop)
        parts = self._parts(found.seconds, hop, path)
        turns = progress(starts, as_text(path.name)) if progress else starts
        reader = Reader(self, path, found, starts, spectrogram)
        reads = read_ahead(reader.read, starts, workers=1, ahead=1)
        for start, result in zip(turns, reads, strict=True):
            if result.error:
                is_ours = isinstance(result.error, InputError) or getattr(result.error, "filename", None)
                raise result.error if is_ours else InputError(f"{path}: {result.problem}") from result.error
            features = None if result.value is None else self.embed(result.value)  # None: a gap of the file
            if keep and features:
                keep(window_name(found.seconds, start), features)
            parts.add(start, features)
        track = reader.has_track(parts.edges)
        about = (track, self.class_names, parts.hop, describe(found, parts.edges, track))
        sound = reader.painter and reader.painter.picture()
        return ParsedVideo(path, found.seconds, parts.edges, *parts.means(), *about, parts.windows(), sound)

    def again(self, kept: ParsedVideo, read: Callable[[int], dict[str, np.ndarray] | None]) -> ParsedVideo:
        """What this parser says of a video that another one has parsed.

        kept: what that one said. read: called with the first second of each window, returns its features (rows, D) by
        the name of their kind, in the order of STREAMS; None: there is nothing in it.

        Raises InputError if this network divides the video in another way.
        """
        if (self.dataset.seconds == T) != (kept.windows is not None):
            raise InputError(f"{kept.path}: was parsed by a network of other lengths; leave --reuse out")
        starts = windows.window_starts(kept.seconds, T) if kept.windows is None else kept.windows.starts.tolist()
        parts = self._parts(kept.seconds, kept.hop or T, kept.path)
        for start in starts:
            parts.add(start, read(start))
        frame_prob, global_prob = parts.means()
        said = {"frame_prob": frame_prob, "global_prob": global_prob, "windows": parts.windows()}
        return kept._replace(class_names=self.class_names, hop=parts.hop, **said)

    def _check_hop(self, hop: int) -> None:
        """Raises InputError if windows cannot be so far apart."""
        if not 1 <= hop <= T:
            raise InputError(f"--hop {hop}: expected 1 to {T} seconds")
        if self.dataset.seconds != T and hop != T:
            raise InputError(f"--hop {hop}: the network is not of windows of {T} seconds; leave it out")

    def _parts(self, seconds: float, hop: int, path: Path) -> WindowProbabilities | SecondFeatures:
        """What collects the windows of a video, as the lengths of the training demand."""
        run = functools.partial(self._probabilities, path=path)
        if self.dataset.seconds == T:
            return WindowProbabilities(seconds, len(self.class_names), hop, run)
        return SecondFeatures(seconds, self.dataset, run, nothing=functools.partial(self.embed, {}))

    def embed(self, window: dict[str, object]) -> dict[str, np.ndarray]:
        """A window's features (rows, D) by the name of their kind; those of silence or black for a missing track."""
        features = {}
        for encoder in self.encoders:
            name = encoder.kind.name
            features[name] = encoder.embed([window[name]])[0] if name in window else self._nothing(encoder)
        return features

    def _nothing(self, encoder: Encoder) -> np.ndarray:
        """Features of ten seconds of silence, or of black frames, computed once."""
        name, rate = encoder.kind.name, encoder.kind.rate
        if name not in self._silent:
            if encoder is self.audio:
                content = encoder.prepare(np.zeros(T * rate, np.float32), None)
            else:
                content = [encoder.prepare(np.zeros((256, 256, 3), np.uint8))] * (rate * T)
            self._silent[name] = encoder.embed([content])[0]
        return self._silent[name]

    @torch.no_grad()
    def _probabilities(self, features: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray]:
        """(T, M, C) segment probabilities, and (C,), or (M, C) with a gate for each modality, of one window."""
        pooled = [pool(array) if self.dataset.seconds == T else array for array in features.values()]
        if not all(np.isfinite(array).all() for array in pooled):
            raise InputError(f"{path}: its features are not finite; try --precision fp32")
        output = self.net(*(torch.from_numpy(array)[None].to(self.device) for array in pooled))
        by_modality = self.dataset.gate == "modality"
        gate = torch.cat([output.a_prob, output.v_prob]) if by_modality else output.global_prob[0]
        return output.frame_prob[0].cpu().numpy(), gate.cpu().numpy()


def parse_videos(
    videos: Path | str | Sequence[Path | str], video_parser: VideoParser, hop: int = T, threshold: float = THRESHOLD
) -> pd.DataFrame:
    """The events of one or several videos.

    Args:
        videos: path or paths of media files of any length.
        video_parser: `VideoParser.load(...)`.
        hop: seconds from one window of ten to the next, 1 to 10.
        threshold: a probability of at least this is a decision, in (0, 1).

    Returns:
        A row per event: filename, modality (`audio`, `visual`, `audio_visual`), onset, offset (seconds of the video),
        event_labels, confidence (mean probability over the event's segments).

    Raises InputError if a file cannot be decoded.
    """
    paths = [videos] if isinstance(videos, (str, Path)) else list(videos)
    if not paths:
        raise InputError("no video was given")
    tables = [find_events(video_parser.parse(path, hop), threshold) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
