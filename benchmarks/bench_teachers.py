"""Time of the two teachers against the published way of working, real architectures with random weights.

    python benchmarks/bench_teachers.py --video VIDEO.mp4 [--gpu 0 --precision bf16]

The published way takes one video at a time, reads and encodes it once for features and again for pseudo labels; for
CLIP it encodes the captions for every video. The two ways are timed in turn, in a process each; figures are medians,
ratios are from this one run. With a GPU it also tells videos per second in large batches. Needs no downloads: weights
and tokenizers are synthetic.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # imports start at the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

HUB = Path(tempfile.mkdtemp(prefix="valor-hub-"))
os.environ |= {"HF_HOME": str(HUB), "HF_HUB_OFFLINE": "1"}  # before huggingface_hub is imported

import numpy as np
import torch

from tests import synthetic
from utils import extract_frames
from utils.base import command, flags
from utils.base.devices import keep_large_blocks, select_device
from utils.encoders import CLIP_MODEL
from utils.encoders.clap import CLIP_SAMPLES, SAMPLE_RATE, ClapTeacher, build_module, fit_to_clip, split_segments
from utils.encoders.clip import ClipTeacher
from utils.extract.outputs import Output
from utils.features.kinds import KINDS
from utils.llp import pseudo_labels
from utils.llp.classes import CLASSES, C, T
from utils.llp.videos import Video
from utils.media.clips import read_audio, read_frames
from utils.media.ffmpeg import find_ffmpeg
from utils.media.frames import evenly_spaced, frame_files, read_image

FINISHED = 11849  # videos of LLP


def make_clip(device: torch.device, precision: str) -> ClipTeacher:
    """ViT-L/14 with random weights."""
    import open_clip

    torch.manual_seed(0)
    model = open_clip.create_model(CLIP_MODEL, load_weights=False, precision=precision)
    return ClipTeacher(KINDS["CLIP"], model, open_clip.get_tokenizer(CLIP_MODEL), device, precision)


def make_clap(device: torch.device, precision: str) -> ClapTeacher:
    """CLAP's fusion model with random weights, a full-size RoBERTa among them."""
    from transformers import RobertaConfig, RobertaModel

    synthetic.write_hub_cache(HUB)
    module = build_module(any_vocabulary=True)
    module.model.text_branch = RobertaModel(RobertaConfig(vocab_size=50265, max_position_embeddings=514))
    return ClapTeacher(KINDS["CLAP"], module, device, precision)


def timed(way, repeats: int, device: torch.device) -> float:
    """Median seconds of `way`, after one call to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        way()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def show(what: str, published: float, here: float, wanted: float) -> None:
    """Seconds per video of both ways, and their ratio."""
    ratio = f"ratio {published / here:.2f} (wanted {wanted})"
    print(f"{what:18} published {published:7.3f} s   here {here:7.3f} s   {ratio}", flush=True)


# ----------------------------------------------------------------------------------------- the published way, and ours


def clip_ways(teacher: ClipTeacher, frames: Path, batch: int) -> dict:
    """CLIP from JPEG frames, to features and pseudo labels of a video; and parts of it."""
    captions = [c.clip_caption for c in CLASSES]
    thresholds, weak = np.array([c.clip_threshold for c in CLASSES]), np.ones((batch, C))
    text = teacher.embed_captions(captions)

    def read():
        files = frame_files(frames.parent, frames.name)
        images = (read_image(files[i]) for i in evenly_spaced(len(files), T))
        return torch.stack([teacher.preprocess(image) for image in images])

    def published():
        teacher.embed_images(read()).cpu()
        images, own_text = teacher.embed_images(read()), teacher.embed_captions(captions)
        pseudo_labels.pseudo_labels(teacher.logits(images, own_text).cpu().numpy(), weak[0], thresholds)

    def here():
        images = teacher.embed_images(torch.cat([read() for _ in range(batch)])).unflatten(0, (batch, T))
        pseudo_labels.pseudo_labels(teacher.logits(images, text).cpu().numpy(), weak, thresholds)

    pixels = read()
    return {
        "published": published,
        "here": here,
        "reading": read,
        "captions": lambda: teacher.embed_captions(captions),
        "network": lambda: teacher.embed_images(pixels).cpu(),
    }


def clap_ways(teacher: ClapTeacher, video: Path, batch: int) -> dict:
    """CLAP from a media file, to features and pseudo labels of a video; and parts of it."""
    from laion_clap.training.data import float32_to_int16, get_audio_features, int16_to_float32

    model, config = teacher.module.model, teacher.module.model_cfg["audio_cfg"]
    text = teacher.embed_captions([c.clap_caption for c in CLASSES])  # once, in both ways

    def read():
        return read_audio(video, SAMPLE_RATE)

    @torch.no_grad()
    def published():
        whole = torch.from_numpy(int16_to_float32(float32_to_int16(fit_to_clip(read()))))
        model.get_audio_embedding([get_audio_features({}, whole, CLIP_SAMPLES, "fusion", "repeatpad", config)])
        sounds = teacher.module.get_audio_embedding_from_data(split_segments(read()), use_tensor=False)
        teacher.logits(torch.from_numpy(sounds).to(teacher.device), text).cpu()

    def here():
        sounds, maps = teacher.embed_segments([teacher.preprocess(read()) for _ in range(batch)])
        teacher.logits(sounds, text).cpu(), maps.cpu()

    sound = read()
    content = teacher.preprocess(sound)
    return {
        "published": published,
        "here": here,
        "reading": read,
        "mels": lambda: teacher.preprocess(sound),
        "network": lambda: teacher.embed_segments([content])[1].cpu(),
    }


def worker(pipe, teacher: str, ours: bool, args: argparse.Namespace, path: Path) -> None:
    """A process that holds one teacher and times what it is asked to: the two ways do not share memory settings."""
    device = select_device(args.gpu)
    if ours:
        keep_large_blocks()
    make, ways = {"CLIP": (make_clip, clip_ways), "CLAP": (make_clap, clap_ways)}[teacher]
    ways = ways(make(device, args.precision), path, args.batch_size)
    pipe.send(list(ways))
    while name := pipe.recv():
        pipe.send(timed(ways[name], 1, device))


def bench_teacher(teacher: str, path: Path, wanted: float, args: argparse.Namespace) -> None:
    """Both ways in turn, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in ("published", "here"):
        pipes[name], end = context.Pipe()
        processes.append(context.Process(target=worker, args=(end, teacher, name == "here", args, path), daemon=True))
        processes[-1].start()
        parts = pipes[name].recv()
    seconds = {name: [] for name in pipes}
    for _ in range(args.repeats):
        for name, pipe in pipes.items():
            pipe.send(name)
            seconds[name].append(pipe.recv())
    show(f"{teacher}, a video", np.median(seconds["published"]), np.median(seconds["here"]) / args.batch_size, wanted)
    text = []
    for part in [p for p in parts if p not in pipes]:
        pipes["here"].send(part)
        text.append(f"{part} {pipes['here'].recv():.3f} s")
    print(f"{'':18} once each: {', '.join(text)}", flush=True)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(None)
        process.join()


def bench_frames(video: Path, work: Path, repeats: int) -> None:
    """Ten frames as CLIP's input: JPEG files first, or straight from the video."""
    program, cpu = find_ffmpeg(), torch.device("cpu")

    def from_files():
        extract_frames.extract(program, video, work / "frames")
        files = frame_files(work, "frames")
        return [read_image(files[i]) for i in evenly_spaced(len(files), T)]

    pairs = [(timed(from_files, 1, cpu), timed(lambda: read_frames(video, 10), 1, cpu)) for _ in range(3 * repeats)]
    show("ten frames", *np.median(pairs, axis=0), 2)


def bench_finished(work: Path) -> None:
    """A second run over finished work: what it looks at before it knows that there is nothing to do."""
    videos = [Video(0, f"{i:011d}_0_10", None, "") for i in range(FINISHED)]
    outputs = {
        Output(work / "labels", pseudo_labels.label_layout(C)): np.zeros((T, C), np.int64),
        Output(work / "features", KINDS["CLIP"].layout): np.zeros((T, 768), np.float32),
    }
    for output, array in outputs.items():
        output.folder.mkdir()
        for video in videos:
            np.save(output.path(video), array)
    start = time.perf_counter()
    assert all(output.is_finished(video) for video in videos for output in outputs)
    rate = FINISHED / (time.perf_counter() - start)
    print(f"{'finished videos':18} {rate:.0f} a second are skipped (wanted 1000)", flush=True)


def bench_gpu(args: argparse.Namespace) -> None:
    """Videos per second of the networks, with what they are given already read, in large batches."""
    device, batch = select_device(args.gpu), 32
    clip, clap = make_clip(device, args.precision), make_clap(device, args.precision)
    pixels = torch.randn(batch * T, 3, 224, 224).pin_memory()
    contents = [clap.preprocess(synthetic.golden_sound("exact"))] * batch
    for name, way in (("CLIP", lambda: clip.embed_images(pixels)), ("CLAP", lambda: clap.embed_segments(contents))):
        print(f"{name} on the GPU: {batch / timed(way, args.repeats, device):.1f} videos a second", flush=True)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the benchmark."""
    parser = flags.ArgumentParser(prog="bench_teachers.py", description=__doc__)
    parser.add_argument("--video", type=Path, required=True, help="a 10 s clip with sound")
    parser.add_argument("--repeats", type=flags.positive_int, default=3, help="of each way")
    parser.add_argument("--batch_size", type=flags.positive_int, default=1, help="of our way")
    parser.add_argument("--teachers", nargs="*", default=["CLAP", "CLIP"], help="which to time (default: both)")
    parser.add_argument("--gpu", default="0", help="CUDA device, -1: CPU")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    device = select_device(args.gpu)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    print(f"{machine}, {args.precision}, torch {torch.__version__}, batches of {args.batch_size}", flush=True)
    work = Path(tempfile.mkdtemp(prefix="valor-bench-"))
    try:
        bench_frames(args.video, work, args.repeats)
        bench_finished(work)
        for teacher, path, wanted in (("CLAP", args.video, 1.1), ("CLIP", work / "frames", 1.9)):
            if teacher in args.teachers:
                bench_teacher(teacher, path, wanted, args)
        if device.type == "cuda":
            bench_gpu(args)
    finally:
        shutil.rmtree(work)
        shutil.rmtree(HUB)


if __name__ == "__main__":
    command.run(main, get_args_parser())
