"""clip_preprocess.py and clap_preprocess.py as commands, with small or synthetic weights."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.media_files import cut_short, ffmpeg, make_video
from tests.synthetic import write_small_clip
from utils import clap_preprocess, clip_preprocess, extract_frames
from utils.encoders import load_encoder
from utils.extract import features
from utils.features.kinds import KINDS
from utils.llp import pseudo_labels
from utils.llp.classes import CLASS_NAMES, CLASSES
from utils.media.frames import read_image

LABELS = {"a-b_c______": "Dog,Speech", "second_____": "Cat", "threevideos": "Car,Singing,Clapping"}
FOLDERS = ("--pseudo_labels_saved_dir", "labels", "--logits_saved_dir", "logits")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """data/raw_videos with three videos of 10, 4 and 12 seconds, their frames, a list, and a small CLIP."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, seconds, tone in zip(LABELS, (10, 4, 12), (300, 600, 900), strict=True):
        make_video(folder / f"data/raw_videos/{name}.mp4", "25", seconds, "96x64", f"sine=frequency={tone}")
    rows = [f"{name}_0_10\t{labels}" for name, labels in LABELS.items()]
    (folder / "data/AVVP_dataset_full.csv").write_text("\n".join(["filename\tevent_labels", *rows]) + "\n")
    args = ["--video_path", folder / "data/raw_videos", "--out_dir", folder / "data/video_frames"]
    assert extract_frames.main(extract_frames.get_args_parser().parse_args([str(a) for a in args])) == 0
    write_small_clip(folder / "small")
    return folder


@pytest.fixture
def workplace(recorded, tmp_path, monkeypatch) -> Path:
    """A copy of `recorded` to work in."""
    shutil.copytree(recorded, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def arrays(kind: str) -> dict[str, np.ndarray]:
    return {p.stem: np.load(p) for p in sorted(Path(kind).glob("*.npy"))}


def check_labels(threshold: str) -> None:
    """Labels are what the logits and the weak labels give."""
    labels, logits = arrays("labels"), arrays("logits")
    assert list(labels) == list(logits) == sorted(LABELS)
    for name, names in LABELS.items():
        weak = np.isin(CLASS_NAMES, names.split(","))
        thresholds = np.array([getattr(c, threshold) for c in CLASSES])
        assert logits[name].shape == (10, 25) and logits[name].dtype == np.float32
        assert labels[name].shape == (10, 25) and labels[name].dtype == np.int64
        np.testing.assert_array_equal(labels[name], pseudo_labels.pseudo_labels(logits[name], weak, thresholds))


CLIP = ("--model", "local-dir:small", "--gpu", "-1", *FOLDERS, "--visual_feats_saved_dir", "features")


def test_clip_writes_what_the_teacher_says_of_ten_frames(workplace, command):
    result = command(clip_preprocess, *CLIP)
    assert result.status == 0, result.err
    check_labels("clip_threshold")
    teacher = load_encoder(KINDS["CLIP"], model="local-dir:small")
    captions = teacher.embed_captions([c.clip_caption for c in CLASSES])
    for name, found in arrays("features").items():
        files = sorted(Path("data/video_frames", name).iterdir())
        files = files[:80] if name == "threevideos" else files  # its name says that ten of its twelve seconds are meant
        chosen = [files[round(x)] for x in np.linspace(0, len(files) - 1, 10)]
        pixels = torch.stack([teacher.preprocess(read_image(path)) for path in chosen])
        mine = teacher.embed_images(pixels)
        assert found.shape == (10, 32) and found.dtype == np.float32
        np.testing.assert_allclose(found, mine, atol=1e-6)
        np.testing.assert_allclose(arrays("logits")[name], teacher.logits(mine, captions), atol=1e-4)
    assert "warning: 1 videos are shorter than 9 s" in result.err


def test_frames_straight_from_the_videos_are_near(workplace, command):
    assert command(clip_preprocess, *CLIP).status == 0
    from_frames = arrays("features")
    shutil.rmtree("features")
    shutil.rmtree("data/video_frames")
    assert command(clip_preprocess, *CLIP, "--from_videos", "data/raw_videos").status == 0
    for name, found in arrays("features").items():
        assert (found * from_frames[name]).sum(axis=1).min() > 0.95  # cosine; JPEG's loss is what differs


def test_labels_follow_the_thresholds_and_it_says_how_many_were_rewritten(workplace, command):
    assert "written from logits" not in command(clip_preprocess, *CLIP).out
    first, kept = arrays("labels"), {kind: arrays(kind) for kind in ("features", "logits")}
    rows = [c._replace(clip_threshold=-1e9)._asdict() for c in CLASSES]
    Path("low.yaml").write_text(yaml.safe_dump(rows))
    result = command(clip_preprocess, *CLIP, "--classes", "low.yaml")
    changed = sum(not np.array_equal(first[name], labels) for name, labels in arrays("labels").items())
    assert changed > 1 and f"CLIP: {changed} label files written from logits" in result.out
    assert "loading the network" not in result.err
    for name, names in LABELS.items():
        assert np.array_equal(arrays("labels")[name], [np.isin(CLASS_NAMES, names.split(",")).astype(int)] * 10)
    assert "written from logits" not in command(clip_preprocess, *CLIP, "--classes", "low.yaml").out
    Path("labels/second_____.npy").unlink()
    assert "CLIP: 1 label file written from logits" in command(clip_preprocess, *CLIP, "--classes", "low.yaml").out
    for kind, before in kept.items():
        assert all(np.array_equal(array, before[name]) for name, array in arrays(kind).items())


@pytest.mark.parametrize("batch_size", [2, 8])
def test_batches_do_not_change_the_output(batch_size, workplace, command):
    assert command(clip_preprocess, *CLIP).status == 0
    expected = arrays("features"), arrays("labels")
    for folder in ("features", "labels"):
        shutil.rmtree(folder)
    assert command(clip_preprocess, *CLIP, "--batch_size", batch_size).status == 0
    for name in LABELS:
        np.testing.assert_allclose(arrays("features")[name], expected[0][name], atol=1e-6)
        np.testing.assert_array_equal(arrays("labels")[name], expected[1][name])


def test_wrong_clip_flags_cost_one_line(workplace, command):
    for flags, text in (
        (("--model", "nothing"), "open_clip knows no such model"),
        (("--checkpoint", "missing.pt"), "missing.pt: no such file"),
        (("--model", "local-dir:nowhere"), "--model local-dir:nowhere"),
        (("--video_frame_dir", "nowhere"), "utils/extract_frames.py makes it"),
        (("--from_videos", "nowhere"), "nowhere: no such folder"),
        (("--label_all_dataset", "nothing.csv"), "nothing.csv: no such file"),
        (("--logits_saved_dir", "labels"), "are both labels"),
        (("--classes", "nothing.yaml"), "nothing.yaml: no such file"),
        (("--from_videos", "data/raw_videos", "--video_frame_dir", "data/video_frames"), "not allowed with"),
        (("--gpu", "first"), "expected the number of one CUDA device"),
    ):
        result = command(clip_preprocess, *CLIP, *flags)
        assert result.status == 2 and text in result.error, result.err
    assert not Path("labels").exists() and not Path("features").exists()


THREE = """
- {name: Dog, clip_caption: "A photo of a dog.", clap_caption: dog, clip_threshold: -5, clap_threshold: -100}
- {name: Speech, clip_caption: "A photo of people.", clap_caption: speech, clip_threshold: 0.5, clap_threshold: 0}
- {name: Door knock, clip_caption: "A photo of a door.", clap_caption: knock, clip_threshold: 15, clap_threshold: 1.5}
"""


def test_own_classes_give_their_number_of_columns(workplace, command):
    Path("three.yaml").write_text(THREE)
    Path("own.csv").write_text("filename\tevent_labels\na-b_c______\tDoor knock,Dog\nsecond_____\tCat\n")
    flags = (*CLIP, "--classes", "three.yaml", "--label_all_dataset", "own.csv")
    result = command(clip_preprocess, *flags)
    assert result.status == 1  # Cat is unknown now
    assert arrays("labels")["a-b_c______"].shape == arrays("logits")["a-b_c______"].shape == (10, 3)
    assert arrays("labels")["a-b_c______"][:, 1].sum() == 0
    result = command(clip_preprocess, *CLIP)
    assert result.status == 2 and "made with other --classes" in result.error
    assert arrays("labels")["a-b_c______"].shape == (10, 3)


def test_labels_are_made_from_logits_that_are_there(workplace, command):
    assert command(clip_preprocess, *CLIP).status == 0
    shutil.rmtree("labels")
    rows = [c._asdict() | {"clip_threshold": -1000} for c in CLASSES]
    Path("low.yaml").write_text(yaml.safe_dump(rows))
    result = command(clip_preprocess, *CLIP, "--classes", "low.yaml", "--checkpoint", "not needed")
    assert result.status == 0 and "3 were finished before" in result.out, result.err
    for name, names in LABELS.items():
        weak = np.isin(CLASS_NAMES, names.split(","))
        np.testing.assert_array_equal(arrays("labels")[name], np.tile(weak, (10, 1)))


def test_clap_reads_each_sound_once_and_lists_bad_ones(workplace, command, clap_files, monkeypatch):
    reads = []
    original = features.isolated
    monkeypatch.setattr(features, "isolated", lambda *args: reads.append(args[1]) or original(*args))
    raw = Path("data/raw_videos")
    ffmpeg("-i", raw / "second_____.mp4", raw / "second_____.wav")
    (raw / "second_____.mp4").unlink()
    make_video(raw / "silent_____.mp4", sound="", seconds=1)
    (raw / "empty______.mp4").touch()
    cut_short(make_video(raw / "cut________.mp4", "25", 6, "64x48", "sine=frequency=440", "-movflags", "+faststart"))
    with open("data/AVVP_dataset_full.csv", "a") as file:
        file.writelines(f"{name}_0_10\tDog\n" for name in ("silent_____", "empty______", "cut________"))
    weights = ("--checkpoint", clap_files / "clap.pt", "--any_vocabulary", "--gpu", "-1")
    flags = (*weights, *FOLDERS, "--audio_feats_saved_dir", "features")
    result = command(clap_preprocess, *flags)
    assert result.status == 1, result.err
    assert len(reads) == 6
    check_labels("clap_threshold")
    assert {a.shape for a in arrays("features").values()} == {(64, 768)}
    assert {a.dtype for a in arrays("features").values()} == {np.dtype(np.float32)}
    with open("labels/failures.csv", newline="") as file:
        reasons = dict(csv.reader(file))
    assert "no audio track" in reasons["silent_____"] and "0 bytes" in reasons["empty______"]
    assert "truncated" in reasons["cut________"]
    result = command(clap_preprocess, *flags)
    assert result.status == 1 and "0 videos done, 3 were finished before, 3 failed" in result.out
