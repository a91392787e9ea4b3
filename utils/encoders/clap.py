"""The audio teacher, LAION-CLAP's fusion model (the paper's section 3.2), and an encoder of its features.

Axes: n samples at 48 kHz, B sounds, N sounds and segments, T = 10 segments, C captions, D embedding size. One pass of
CLAP's own network over a sound's ten segments and over the complete sound gives both outputs of the teacher: the
segments' embeddings, and the token map of the complete sound. The features alone need the latter only, an eleventh of
the work.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.types import Device

from utils.base import weights
from utils.base.errors import InputError
from utils.encoders import hub
from utils.features.kinds import FeatureKind
from utils.llp.classes import T

SAMPLE_RATE = 48000
CLIP_SAMPLES = 10 * SAMPLE_RATE  # of the network's input
PROMPT = "This is a sound of "  # before each CLAP caption
REPO, WEIGHTS = "lukewys/laion_clap", "630k-fusion-best.pt"
TOKENIZER_REPOS = ("roberta-base", "bert-base-uncased", "facebook/bart-base")  # laion_clap loads all when imported
VOCABULARY = 50265  # of roberta-base
LONG_SEED = 0  # of the three random windows that CLAP takes from a segment of over 10 s


def segment_starts(length: int, segments: int = T) -> np.ndarray:
    """First samples of the T segments of a sound, (T,) int; each is length // T long."""
    return np.round(np.linspace(0, length, segments + 1))[:segments].astype(int)


def split_segments(samples: np.ndarray, segments: int = T) -> list[np.ndarray]:
    """The T segments of a sound: (n,) -> (n // T,) each."""
    size = len(samples) // segments
    return [samples[start : start + size] for start in segment_starts(len(samples), segments)]


def fit_to_clip(samples: np.ndarray) -> np.ndarray:
    """A sound of any length resampled, by index, to exactly ten seconds: (n,) -> (480000,)."""
    return samples[np.round(np.linspace(0, len(samples) - 1, CLIP_SAMPLES)).astype(int)]


class ClapInput(NamedTuple):
    """The network's input for the T segments of a sound and, if that is of ten seconds, then for all of it."""

    mel: torch.Tensor  # (T + 1, 1 | 4, frames, bands) float32, log-mel; four kinds of window if a segment is long
    longer: torch.Tensor  # (T + 1, 1) bool, whether it is longer than the network's input
    has_whole: bool = True

    def __getitem__(self, segments: slice) -> "ClapInput":
        """Some segments alone."""
        whole = len(self.mel) - self.has_whole
        return ClapInput(self.mel[:whole][segments], self.longer[:whole][segments], False)


class ClapTeacher:
    """An `Encoder` and teacher: laion_clap.CLAP_Module with fusion.

    `precision` is fp32, or bf16 or fp16 for autocast, of sounds up to 100 s; results are float32. `per_second`: the
    features that `label` returns are the segments' embeddings, instead of the token map of the whole.
    """

    def __init__(
        self, kind: FeatureKind, module, device: Device = "cpu", precision: str = "fp32", per_second: bool = False
    ):
        self.kind, self.module, self.device = kind, module.to(device).eval(), torch.device(device)
        self.per_second = per_second
        self.autocast = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._random = threading.Lock()
        # torchaudio says so of each spectrogram that CLAP makes
        warnings.filterwarnings("ignore", message="Argument 'onesided' has been deprecated")

    def prepare(self, samples: np.ndarray, seconds: float | None = None) -> "torch.Tensor | ClapInput":
        """Input for a sound's token map: (n,) float32 at 48 kHz, n > 0 -> (1, frames, bands) float32.

        per_second: for its segments.
        """
        if self.per_second:
            return self.preprocess(samples)
        return self._features(fit_to_clip(samples))["mel_fusion"][:1]

    @torch.no_grad()
    def embed(self, contents: Sequence[torch.Tensor]) -> np.ndarray:
        """B prepared sounds -> token maps before pooling, (B, 64, 768) float32, row = frequency * 32 + time.

        per_second: embeddings of the segments, (B, T, D).
        """
        if self.per_second:
            return self.embed_segments(contents)[0].cpu().numpy()
        items = [{"mel_fusion": mel, "longer": torch.tensor([False])} for mel in contents]
        return self._forward(items, autocast=True)[1].cpu().numpy()

    def preprocess(self, samples: np.ndarray, segments: int = T) -> ClapInput:
        """Input for `label`, from a sound: (n,) float32 at 48 kHz with n > 0. May be called in threads."""
        has_whole = segments == T
        pieces = [*split_segments(samples, segments), *([fit_to_clip(samples)] if has_whole else [])]
        features = [self._features(piece) for piece in pieces]
        longer = torch.stack([f["longer"] for f in features])
        # For sounds of up to ten seconds the four windows are one and the same, and the network looks at the first.
        windows = 4 if longer.any() else 1
        return ClapInput(torch.stack([f["mel_fusion"][:windows] for f in features]), longer, has_whole)

    def label(self, contents: Sequence[ClapInput], captions: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Features (B, 64, 768), per_second (B, T, D), and logits (B, T, C) of B sounds, given (C, D) captions."""
        segments, maps = self.embed_segments(contents)
        features = segments if self.per_second or maps is None else maps
        return features.cpu().numpy(), self.logits(segments, captions).cpu().numpy()

    @torch.no_grad()
    def embed_segments(self, contents: Sequence[ClapInput]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both outputs for B sounds of as many segments each, in one pass of the network.

        Returns:
            embeddings of the segments, (B, T, D) float32 of length 1; token maps of the wholes, (B, 64, 768) float32,
            None if the inputs have none.
        """
        windows = max(content.mel.shape[1] for content in contents)
        pieces = [piece for content in contents for piece in zip(content.mel, content.longer, strict=True)]
        items = [{"mel_fusion": mel.expand(windows, -1, -1), "longer": longer} for mel, longer in pieces]
        # CLAP's fusion of windows does not run under autocast
        embeddings, maps = self._forward(items, autocast=not any(c.longer.any() for c in contents))
        embeddings = embeddings.unflatten(0, (len(contents), -1))
        has_whole = contents[0].has_whole
        token_maps = maps.unflatten(0, (len(contents), -1))[:, -1] if has_whole else None
        segments = embeddings[:, :-1] if has_whole else embeddings
        return torch.nn.functional.normalize(segments, dim=-1), token_maps

    @torch.no_grad()
    def embed_captions(self, captions: Sequence[str]) -> torch.Tensor:
        """C captions, to which the prompt is added -> (C, D) float32, of length 1."""
        return self.module.get_text_embedding([PROMPT + caption for caption in captions], use_tensor=True).float()

    @torch.no_grad()
    def logits(self, sounds: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Scaled similarities: (..., D), (C, D) -> (..., C) float32."""
        return self.module.model.logit_scale_a.exp().float() * sounds @ captions.T

    def _features(self, samples: np.ndarray) -> dict[str, torch.Tensor]:
        """CLAP's own log-mels of a sound, quantised to 16 bits and repeated to ten seconds."""
        from laion_clap.training.data import float32_to_int16, get_audio_features, int16_to_float32

        if not len(samples):  # a tenth of less than ten samples: silence
            samples = np.zeros(CLIP_SAMPLES, np.float32)
        audio = torch.from_numpy(int16_to_float32(float32_to_int16(samples)))
        config = self.module.model_cfg["audio_cfg"]
        with self._same_windows() if len(samples) > CLIP_SAMPLES else contextlib.nullcontext():
            return get_audio_features({}, audio, CLIP_SAMPLES, "fusion", "repeatpad", config)

    @contextlib.contextmanager
    def _same_windows(self):
        """Let CLAP choose the same windows of a long sound each time: it draws them from numpy's global generator."""
        with self._random:
            state = np.random.get_state()
            np.random.seed(LONG_SEED)
            try:
                yield
            finally:
                np.random.set_state(state)

    def _forward(self, items: list[dict[str, torch.Tensor]], autocast: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """N sounds -> embeddings (N, D) and token maps (N, 64, 768), float32."""
        maps = []

        def keep_first(module, inputs):  # it pools the token map first, (B, 768, 64), and class scores after it
            if not maps:
                maps.append(inputs[0])

        model = self.module.model
        handle = model.audio_branch.avgpool.register_forward_pre_hook(keep_first)
        try:
            with torch.autocast(self.device.type, self.autocast, enabled=autocast and bool(self.autocast)):
                embeddings = model.get_audio_embedding(items)
        finally:
            handle.remove()
        return embeddings.float(), maps[0].float().transpose(1, 2)


def load(
    kind: FeatureKind,
    checkpoint: Path | None,
    device: Device,
    precision: str,
    any_vocabulary: bool = False,
    per_second: bool = False,
) -> ClapTeacher:
    """The published model, HTSAT-tiny and RoBERTa with fusion, with a local copy of WEIGHTS or those of the hub.

    `any_vocabulary` allows another tokenizer than RoBERTa's: features alone need none; `per_second` as ClapTeacher's.

    Raises InputError if the
    weights or the tokenizers cannot be loaded, or do not fit.
    """
    hub.offline_without_network()  # before laion_clap imports the hub's client
    if checkpoint is None:
        checkpoint = Path(hub.fetch(REPO, WEIGHTS))
    state = weights.read(checkpoint, f"CLAP's {WEIGHTS} from {hub.ENDPOINT}/{REPO}")
    module = build_module(any_vocabulary)
    # an index that older versions of transformers kept among the weights; newer ones refuse it
    state.pop("text_branch.embeddings.position_ids", None)
    with weights.must_fit(checkpoint, "CLAP's fusion model"):
        module.model.load_state_dict(state)
    return ClapTeacher(kind, module, device, precision, per_second)


def build_module(any_vocabulary: bool):
    """laion_clap's module with random weights. Raises InputError if its tokenizers and RoBERTa cannot be had."""
    caches = ", ".join(TOKENIZER_REPOS)
    instead = f"with network it is fetched; without, set HF_HOME to a copy of a cache that has {caches}"
    try:
        # it prints, and warns of what does not matter here
        with contextlib.redirect_stdout(io.StringIO()), hub.quiet_logs(), warnings.catch_warnings(action="ignore"):
            from transformers.utils import logging

            logging.disable_progress_bar()
            import laion_clap
            from laion_clap.training.data import roberta_tokenizer

            size = len(roberta_tokenizer)
            if size < VOCABULARY and not any_vocabulary:
                # transformers silently makes an empty tokenizer if it finds no file for it
                found = f"the tokenizer of {TOKENIZER_REPOS[0]} has {size} tokens, expected {VOCABULARY}"
                why = "RoBERTa's own files are not in the Hugging Face cache and cannot be fetched"
                raise InputError(f"{found}: {why}; {instead}, or --any_vocabulary for a trial")
            return laion_clap.CLAP_Module(enable_fusion=True, device="cpu")
    except OSError as error:
        raise InputError(f"{hub.missing(TOKENIZER_REPOS[0], 'config.json')}; {instead}") from error
