"""JPEG frames: the published pixels, and folders that are whole or not there."""

import shutil
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tests.conftest import SHARED
from tests.media_files import cut_short, make_video
from tests.test_media import clip, debian_ffmpeg  # noqa: F401  (clip is a fixture)
from utils import extract_frames
from utils.media.ffmpeg import find_ffmpeg
from utils.media.frames import read_image

NAME = "BjCEufrlXm4"


@pytest.fixture
def videos(tmp_path, monkeypatch) -> Path:
    """Three small videos, in the default folder of the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("-starts with dash", "plain", "100%d"):
        make_video(tmp_path / f"data/raw_videos/{name}.mp4", seconds=1.5)
    return tmp_path / "data/raw_videos"


def frames_of(folder: Path) -> list[np.ndarray]:
    return [read_image(path) for path in sorted(folder.glob("*.jpg"))]


def run_on_clip(command, clip, tmp_path) -> list[np.ndarray]:  # noqa: F811
    (tmp_path / "in").mkdir()
    shutil.copy(clip, tmp_path / "in")
    result = command(extract_frames, "--video_path", tmp_path / "in", "--out_dir", tmp_path / "out")
    assert result.status == 0, result.err
    return frames_of(tmp_path / "out" / NAME)


def test_debians_ffmpeg_gives_the_published_pixels(command, clip, tmp_path):  # noqa: F811
    debian_ffmpeg()
    published = frames_of(SHARED / "video/frames" / NAME)
    frames = run_on_clip(command, clip, tmp_path)
    assert len(frames) == len(published) == 82
    for mine, theirs in zip(frames, published, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_wheels_ffmpeg_gives_nearly_the_published_pixels(command, clip, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_ffmpeg() == imageio_ffmpeg.get_ffmpeg_exe()
    published = frames_of(SHARED / "video/frames" / NAME)
    frames = run_on_clip(command, clip, tmp_path)
    assert len(frames) == 82
    for mine, theirs in zip(frames, published, strict=True):
        error = ((mine.astype(float) - theirs) ** 2).mean()
        assert 10 * np.log10(255**2 / max(error, 1e-9)) > 38  # dB


def test_a_second_run_does_no_work(videos, command):
    result = command(extract_frames)
    assert result.status == 0 and "3 videos done" in result.out
    out = Path("data/video_frames")
    assert sorted(p.name for p in out.iterdir()) == ["-starts with dash", "100%d", "plain"]
    names = [p.name for p in sorted((out / "plain").iterdir())]
    assert names == [f"{i + 1:06d}.jpg" for i in range(len(names))] and len(names) >= 12
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert "0 videos done, 3 were finished before" in command(extract_frames).out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


@pytest.mark.parametrize("damage", ["empty frame", "cut last frame", "gap", "leftover"])
def test_damaged_folders_are_made_again(damage, videos, command):
    command(extract_frames)
    folder = Path("data/video_frames/plain")
    before = frames_of(folder)
    if damage == "empty frame":
        (folder / "000003.jpg").write_bytes(b"")
    elif damage == "cut last frame":
        cut_short(max(folder.iterdir()))
    elif damage == "gap":
        (folder / "000002.jpg").unlink()
    else:  # of a run that was killed
        folder.rename(folder.with_name("plain.tmp"))
    assert "1 videos done, 2 were finished before" in command(extract_frames).out
    after = frames_of(folder)
    assert len(after) == len(before) and all(map(np.array_equal, after, before))
    assert not folder.with_name("plain.tmp").exists()


def test_bad_videos_are_listed_and_leave_nothing(videos, command):
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no video")
    cut = make_video(videos / "cut.mp4", "25", 6, "64x48", "sine=frequency=440", "-movflags", "+faststart")
    cut_short(cut)
    make_video(videos / "plain.mkv", seconds=1)
    result = command(extract_frames)
    assert result.status == 1 and "3 videos done, 0 were finished before, 4 failed" in result.out
    text = Path("data/video_frames/failures.csv").read_text()
    for part in ("empty.mp4: is empty", "text.mp4: cannot be decoded", "cut.mp4: truncated", "plain.mkv has the same"):
        assert part in text
    assert not [p for p in Path("data/video_frames").iterdir() if p.name in ("empty", "text", "cut")]


def test_a_link_in_the_place_of_a_temporary_folder_is_not_followed(videos, command, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "000001.jpg").write_bytes(b"mine")
    Path("data/video_frames").mkdir(parents=True)
    Path("data/video_frames/plain.tmp").symlink_to(elsewhere)
    assert command(extract_frames).status == 0
    assert (elsewhere / "000001.jpg").read_bytes() == b"mine" and len(list(elsewhere.iterdir())) == 1
    assert frames_of(Path("data/video_frames/plain"))


def test_a_users_own_files_are_never_removed(videos, command):
    folder = Path("data/video_frames/plain")
    folder.mkdir(parents=True)
    (folder / "00001.jpg").write_bytes(b"numbered otherwise")
    result = command(extract_frames)
    assert result.status == 1 and "2 videos done" in result.out
    assert (folder / "00001.jpg").read_bytes() == b"numbered otherwise"
    (folder / "00001.jpg").unlink()
    assert command(extract_frames).status == 0
    (folder / ".DS_Store").touch()
    assert "3 were finished before" in command(extract_frames).out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--video_path", "nowhere"), "nowhere: no such folder"),
        (("--video_path", "."), "holds no videos"),
        (("--out_dir", "file"), "file: is a file, expected a folder"),
        (("--workers", "0"), "not a whole number of at least 1"),
        (("--vid_path", "x"), "unrecognized arguments"),
    ],
)
def test_wrong_flags_cost_one_line(flags, text, videos, command):
    Path("file").touch()
    result = command(extract_frames, *flags)
    assert result.status == 2 and text in result.error
