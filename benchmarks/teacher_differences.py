"""Largest differences of teachers and base features from the golden values, and of frames from a video from JPEG's.

    python benchmarks/teacher_differences.py --golden ../shared/golden --clip ../shared/video

DIR of --clip holds BjCEufrlXm4.mp4 and frames/BjCEufrlXm4/, the published frames. Weights are synthetic.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from prettytable import PrettyTable

from benchmarks.bench_teachers import HUB, make_clip  # it also settles where the hub cache is
from tests import synthetic
from utils.base import command, flags
from utils.encoders import load_encoder
from utils.encoders.clap import SAMPLE_RATE, segment_starts
from utils.encoders.network import NetworkEncoder
from utils.encoders.vggish import log_mel
from utils.encoders.visual import ARCHITECTURES, Normalise
from utils.features.kinds import KINDS
from utils.llp import pseudo_labels
from utils.llp.classes import CLASSES, T
from utils.media.clips import read_audio, read_frames
from utils.media.frames import evenly_spaced, frame_files, read_image

NAME = "BjCEufrlXm4"


def clip_differences(golden: Path, clip: Path) -> None:
    """Frame choice, CLIP's input and pseudo labels; then frames straight from the video against JPEG files."""
    values = np.load(golden / "clip.npz")
    teacher = make_clip(torch.device("cpu"), "fp32")
    files = frame_files(clip / "frames", NAME)
    indices = evenly_spaced(len(files), T)
    pixels = torch.stack([teacher.preprocess(read_image(files[i])) for i in indices])
    table = PrettyTable(["clip.npz", "frames chosen", "pixels", "means", "deviations", "pseudo labels that differ"])
    different = 0
    for kind, threshold in (("visual", "clip_threshold"), ("audio", "clap_threshold")):
        thresholds = np.array([getattr(c, threshold) for c in CLASSES])
        labels = pseudo_labels.pseudo_labels(values[f"{kind}_logits"], values["weak_labels"], thresholds)
        different += int((labels != values[f"{kind}_pseudo"]).sum())
    table.add_row(
        [
            "difference",
            "0" if (indices == values["frame_indices"]).all() else "other frames",
            *(
                f"{np.abs(np.asarray(mine) - values[name]).max():.1e}"
                for mine, name in (
                    (pixels[:, :, ::14, ::14], "pixels_every_14"),
                    (pixels.mean((2, 3)), "frame_channel_mean"),
                    (pixels.std((2, 3)), "frame_channel_std"),
                )
            ),
            different,
        ]
    )
    print(table)

    images, _ = read_frames(clip / f"{NAME}.mp4", T)
    grey = np.stack(images).astype(float) - np.stack([read_image(files[i]) for i in indices])
    straight = teacher.embed_images(torch.stack([teacher.preprocess(image) for image in images]))
    by_files = teacher.embed_images(pixels)
    cosine = (straight * by_files).sum(dim=1)
    apart = by_files @ by_files.T
    print(
        f"--from_videos against JPEG files: pixels differ by {np.abs(grey).mean():.1f} of 255 on average (mean "
        f"{grey.mean():+.2f}); features of ViT-L/14 with random weights have a cosine of {cosine.min():.4f} to "
        f"{cosine.max():.4f}; those of different frames of the clip {apart.min():.4f} to "
        f"{apart.fill_diagonal_(-1).max():.4f}"
    )


def clap_differences(golden: Path, clip: Path) -> None:
    """Sound, segments, log-mels, token map and embeddings."""
    synthetic.write_hub_cache(HUB)
    synthetic.write_clap(HUB / "clap.pt")
    teacher = load_encoder(KINDS["CLAP"], HUB / "clap.pt", any_vocabulary=True)
    values, facts = np.load(golden / "clap.npz"), json.loads((golden / "clap.json").read_text())
    table = PrettyTable(
        [
            "clap.npz (L2, relative)",
            "samples",
            "starts",
            "mel over time",
            "mel over bands",
            "map",
            "embeddings",
            "map (absolute)",
            "embeddings (absolute)",
        ]
    )
    for case, fact in facts.items():
        own = case in synthetic.SOUNDS
        sound = synthetic.golden_sound(case) if own else read_audio(clip / f"{case}.mp4", SAMPLE_RATE)
        content = teacher.preprocess(sound)
        embeddings, maps = teacher.embed_segments([content])
        mel = content.mel[T, 0].numpy()
        mine = {
            "mel_mean_over_time": mel.mean(axis=0),
            "mel_mean_over_bands": mel.mean(axis=1),
            "feature_map": maps[0].numpy(),
            "segment_embeddings": embeddings[0].numpy(),
        }
        gaps = {name: value - values[f"{case}/{name}"] for name, value in mine.items()}
        relative = [np.linalg.norm(gap) / np.linalg.norm(values[f"{case}/{name}"]) for name, gap in gaps.items()]
        absolute = [np.abs(gaps[name]).max() for name in ("feature_map", "segment_embeddings")]
        starts = np.abs(segment_starts(len(sound)) - fact["starts"]).max()
        table.add_row([case, len(sound) - fact["samples"], starts, *(f"{x:.1e}" for x in (*relative, *absolute))])
        if not own:
            loudness = np.sqrt((sound[: 10 * SAMPLE_RATE].reshape(10, -1).astype(float) ** 2).mean(axis=1))
            gaps = np.abs(sound[20000:20004] - fact["first"]).max(), np.abs(loudness - fact["per_second_rms"]).max()
    print(table)
    print(f"the clip's sound: samples 20000 to 20003 differ by {gaps[0]:.1e}, loudness per second by {gaps[1]:.1e}")


def base_differences(golden: Path, clip: Path) -> None:
    """VGGish's log-mel and the other two networks' pixels; what another source of frames does to their features."""
    values = np.load(golden / "features.npz")
    files = frame_files(clip / "frames", NAME)
    indices = evenly_spaced(len(files), 8 * T)
    published = [read_image(files[i]) for i in indices]
    straight, _ = read_frames(clip / f"{NAME}.mp4", 8 * T)
    print(f"features.npz: frames chosen: {(indices != values['frame_indices_80']).sum()} differ")
    mel = log_mel(synthetic.rising_tone())
    print(f"vggish: log-mel differs by {np.abs(mel - values['vggish_log_mel']).max():.1e}")
    for name, golden_name, step in (("res152", "res152", 28), ("r2plus1d_18", "r2plus1d", 14)):
        network = NetworkEncoder(KINDS[name], ARCHITECTURES[name], synthetic.base_module(name), "cpu", "fp32")
        prepared = [np.stack([network.prepare(image) for image in images]) for images in (published, straight)]
        normalise = next(m for m in network.normalise.modules() if isinstance(m, Normalise))
        pixels = normalise(torch.from_numpy(prepared[0]))
        mean, std = values[f"{golden_name}_mean_std"]
        gaps = (
            np.abs(pixels[:, :, ::step, ::step] - values[f"{golden_name}_pixels_every_{step}"]).max(),
            np.abs(pixels.mean((2, 3)) - mean).max(),
            np.abs(pixels.std((2, 3)) - std).max(),
        )
        by_files, by_video = (network.embed([images])[0] for images in prepared)
        other = np.linalg.norm(by_video - by_files) / np.linalg.norm(by_files - by_files.mean(0))
        print(
            f"{name}: pixels, channel means and deviations differ by {gaps[0]:.1e}, {gaps[1]:.1e}, {gaps[2]:.1e}; with "
            f"random weights, features --from_videos differ from those by JPEG files by {other:.0%} of what the "
            "clip's own differ from their mean"
        )


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the tool."""
    parser = flags.ArgumentParser(prog="teacher_differences.py", description=__doc__)
    parser.add_argument("--golden", type=Path, required=True, help="folder of the golden values")
    parser.add_argument("--clip", type=Path, required=True, metavar="DIR", help="folder of the real clip")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    base_differences(args.golden, args.clip)
    try:
        clap_differences(args.golden, args.clip)
        clip_differences(args.golden, args.clip)
    finally:
        shutil.rmtree(HUB)


if __name__ == "__main__":
    command.run(main, get_args_parser())
