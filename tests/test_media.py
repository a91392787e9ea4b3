"""Pictures and sound of video files: the published choices, and files that are wrong."""

import gc
import itertools
import json
import math
import os
import shutil
import subprocess
import wave
from fractions import Fraction

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import soxr

from tests.conftest import SHARED, find
from tests.media_files import cut_short, ffmpeg, make_video
from utils.base.errors import InputError
from utils.llp.videos import Video
from utils.media import pixels
from utils.media.clips import read_audio, read_frames
from utils.media.files import find_media
from utils.media.frames import choose_frames, evenly_spaced, frame_files, read_image
from utils.media.timeline import find_tracks

CLIP = "BjCEufrlXm4"


@pytest.fixture(scope="session")
def clip():
    """The real LLP clip."""
    return find(f"{CLIP}.mp4", SHARED / "video")


def jpeg_route(program: str, video, folder) -> list:
    """Frames as the published command writes them, read back."""
    folder.mkdir()
    command = [program, "-nostdin", "-v", "error", "-i", f"file:{video}", "-r", "8", "%06d.jpg"]
    subprocess.run(command, cwd=folder, check=True)
    return [read_image(path) for path in sorted(folder.glob("*.jpg"))]


def test_evenly_spaced_rounds_half_to_even():
    assert evenly_spaced(6, 3).tolist() == [0, 2, 5]  # 2.5 -> 2
    assert evenly_spaced(8, 3).tolist() == [0, 4, 7]  # 3.5 -> 4
    assert evenly_spaced(1, 10).tolist() == [0] * 10
    assert evenly_spaced(82, 10).tolist() == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81]


def test_frames_at_8_a_second_are_all_chosen():
    assert choose_frames([Fraction(i, 8) for i in range(20)], Fraction(8)) == list(range(20))


def test_frames_chosen_at_30_a_second_by_hand():
    # Frame i is at output position 8 i / 30 and lasts 0.27. Frame 1: 0.27 - 1 + 0.27 = -0.47, kept; frame 2:
    # 0.53 - 2 + 0.27 = -1.2, dropped; frame 3: 0.8 - 2 + 0.27 = -0.93, kept; then each that is at most 1.37 early.
    chosen = choose_frames([Fraction(i, 30) for i in range(30)], Fraction(30))
    assert chosen == [0, 1, 3, 7, 10, 14, 18, 22, 25, 29]


def test_a_gap_is_filled_with_the_frame_before_it():
    times = [Fraction(0), Fraction(1, 8), Fraction(1), Fraction(9, 8)]
    # frame 2 is at position 8 while 2 were written: a gap of 6 + 1 = 7, of which round(6 - 0.6) = 5 repeat frame 1
    assert choose_frames(times, Fraction(8)) == [0, 1, 1, 1, 1, 1, 1, 2, 2, 3]


def test_no_frames_give_none():
    assert choose_frames([Fraction(0)], None) == [0]


def debian_ffmpeg() -> str:
    """The system's ffmpeg, where it is the 5.1 of Debian 12; else skip the test."""
    program = shutil.which("ffmpeg")
    version = subprocess.run([program, "-version"], check=True, capture_output=True, text=True) if program else None
    if version is None or "version 5.1" not in version.stdout:
        pytest.skip("needs ffmpeg 5.1 as the system's (apt-get install ffmpeg on Debian 12)")
    return program


RATES = ["1", "5", "7", "8", "10", "12", "15", "16", "24000/1001", "24", "25", "30000/1001", "30", "50", "60"]


@pytest.mark.parametrize("rate", [*RATES, "varying", "with a gap", "late"])
def test_frames_are_those_that_ffmpeg_writes(rate, tmp_path):
    """Against the program itself, where it is 5.1; each JPEG must be nearest to the frame that was chosen."""
    program = debian_ffmpeg()
    drop = {"varying": "not(mod(n\\,7))+not(mod(n\\,11))+lt(n\\,40)", "with a gap": "lt(n\\,30)+gt(n\\,130)"}.get(rate)
    extra = ["-vf", f"select='{drop}'", "-fps_mode", "vfr"] if drop else []
    extra += ["-output_ts_offset", "3"] if rate == "late" else []
    video = make_video(tmp_path / "v.mp4", rate if rate[0].isdigit() else "30", 6, "160x120", "", *extra)
    picture = find_tracks(video).picture
    chosen = choose_frames(picture.times, picture.rate)
    with av.open(str(video)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.int16)
    written = jpeg_route(program, video, tmp_path / "frames")
    assert len(chosen) == len(written)
    for index, image in zip(chosen, written, strict=True):
        distances = np.abs(frames - image).mean(axis=(1, 2, 3))
        assert distances[index] == distances.min()


def test_the_real_clips_frames_are_the_published_ones(clip, tmp_path):
    published = [read_image(p) for p in frame_files(SHARED / "video/frames", CLIP)]
    images, count = read_frames(clip, 10)
    assert count == len(published) == 82
    for image, index in zip(images, evenly_spaced(82, 10), strict=True):
        difference = image.astype(float) - published[index]
        assert np.abs(difference).mean() < 5.5 and np.abs(difference.mean()) < 0.6  # JPEG's loss, no bias
        others = [np.abs(image.astype(float) - other).mean() for other in published]
        assert others[index] < min(others) + 0.2  # neighbours in a still scene are as near


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_videos_are_turned_upright(degrees, tmp_path):
    make_video(tmp_path / "plain.mp4", sound="", seconds=2)
    ffmpeg("-display_rotation", degrees, "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "turned.mp4")
    images, _ = read_frames(tmp_path / "turned.mp4", 3)
    written = jpeg_route(imageio_ffmpeg.get_ffmpeg_exe(), tmp_path / "turned.mp4", tmp_path / "frames")
    assert images[0].shape == written[0].shape
    image, upright = images[0].astype(int), written[0]
    assert np.abs(image - upright).mean() < 15 < np.abs(image - upright[::-1]).mean()


def test_the_real_clips_sound_is_the_published_one(clip, golden):
    expected = json.loads(golden("clap.json").read_text())[CLIP]
    sound = read_audio(clip, 48000)
    assert sound.dtype == np.float32 and len(sound) == 480375
    np.testing.assert_allclose(sound[20000:20004], expected["first"], atol=1e-6)
    seconds = sound[:480000].reshape(10, 48000).astype(float)
    np.testing.assert_allclose(np.sqrt((seconds**2).mean(axis=1)), expected["per_second_rms"], atol=1e-6)
    assert np.abs(sound).max() > 1  # resampling overshoots; clipping comes later, in 16 bits


def write_wav(path, samples: np.ndarray, rate: int) -> None:
    """(channels, n) int16 -> a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((len(samples), 2, rate, 0, "NONE", ""))
        file.writeframes(np.ascontiguousarray(samples.T).tobytes())


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
def test_channels_are_averaged_and_resampled_with_soxr(channels, rate, tmp_path):
    samples = np.random.default_rng(channels).integers(-20000, 20000, (channels, rate // 3 + 1)).astype(np.int16)
    write_wav(tmp_path / "s.wav", samples, rate)
    mono = (samples / 32768).mean(axis=0).astype(np.float32)
    expected = soxr.resample(mono, rate, 48000, quality="HQ") if rate != 48000 else mono
    sound = read_audio(tmp_path / "s.wav", 48000)
    length = math.ceil(samples.shape[1] * 48000 / rate)
    assert len(sound) == length
    common = min(length, len(expected))
    np.testing.assert_allclose(sound[:common], expected[:common], atol=2e-6)
    assert not sound[common:].any()


def test_equal_channels_are_not_louder_than_one(tmp_path):
    tone = (10000 * np.sin(np.arange(4800) / 20)).astype(np.int16)
    write_wav(tmp_path / "one.wav", tone[None], 48000)
    write_wav(tmp_path / "two.wav", np.stack([tone, tone]), 48000)
    one, two = (read_audio(tmp_path / f"{name}.wav", 48000) for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    whole = make_video(tmp_path / "whole.mp4", "25", 10, "64x48", "sine=frequency=440", "-movflags", "+faststart")
    cut_short(shutil.copy(whole, tmp_path / "cut.mp4"))
    make_video(tmp_path / "silent.mp4", sound="", seconds=1)
    ffmpeg("-i", whole, "-vn", "-c", "copy", tmp_path / "blind.m4a")
    both = {"empty.mp4": "0 bytes", "text.mp4": "cannot be decoded", "cut.mp4": "truncated"}
    for name, text in (both | {"silent.mp4": "no audio track"}).items():
        with pytest.raises(InputError, match=text):
            read_audio(tmp_path / name, 48000)
    for name, text in (both | {"blind.m4a": "no picture"}).items():
        with pytest.raises(InputError, match=text):
            read_frames(tmp_path / name, 10)
    with pytest.raises(InputError, match="no such file"):
        read_audio(tmp_path / "missing.mp4", 48000)


def test_a_damaged_packet_does_not_cost_the_video(tmp_path):
    """As ffmpeg does, what can be decoded is used."""
    path = make_video(tmp_path / "v.mp4", seconds=3)
    whole_sound, (whole_frames, count) = read_audio(path, 48000), read_frames(path, 10)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size, p.stream.type) for p in container.demux() if p.size]
    data = bytearray(path.read_bytes())
    for kind, number in (("audio", 20), ("video", 2)):
        position, size, _ = [p for p in packets if p[2] == kind][number]
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    sound, (frames, damaged_count) = read_audio(path, 48000), read_frames(path, 10)
    assert abs(len(sound) - len(whole_sound)) <= 3 * 1024 * 48000 // 44100 + 3
    assert damaged_count == count and np.array_equal(frames[0], whole_frames[0])


@pytest.mark.parametrize("suffix", ["avi", "h264", "m4v"])
def test_frames_without_stated_times_follow_one_another(suffix, tmp_path):
    """AVI numbers frames in the order in which they are stored, raw streams not at all."""
    make_video(tmp_path / "v.mp4", seconds=3, sound="")
    ffmpeg("-i", tmp_path / "v.mp4", "-c", "copy", tmp_path / f"v.{suffix}")
    images, count = read_frames(tmp_path / "v.mp4", 10)
    others, other_count = read_frames(tmp_path / f"v.{suffix}", 10)
    assert abs(other_count - count) <= 1
    assert np.abs(np.stack(images).astype(int) - np.stack(others)).mean() < 3


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"text", b"\xff\xd8 nothing \xff\xd9", "cut off"])
def test_damaged_images_are_refused(data, tmp_path):
    if data == "cut off":  # which OpenCV alone would fill up with grey
        whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
        data = whole[: len(whole) // 2]
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.jpg: not a JPEG image"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("name", ["-with a dash", "ümläut", "per%06dcent", "colon:name", "'quote'"])
def test_odd_names_are_read(name, tmp_path):
    path = make_video(tmp_path / "plain.mp4", seconds=1).rename(tmp_path / f"{name}.mp4")
    assert find_media(tmp_path, name) == path
    assert len(read_audio(path, 48000)) > 40000
    assert len(read_frames(path, 10)[0]) == 10


def test_a_video_is_found_by_its_id_or_its_whole_name(tmp_path):
    (tmp_path / "abc.wav").touch()
    assert find_media(tmp_path, "id_________", "abc").name == "abc.wav"
    video = Video(2, "kitchen_cam_0_10.5", None, "")
    assert video.names == ("kitchen_cam_0_10.5", "kitchen_cam")
    (tmp_path / "kitchen_cam.MP4").touch()
    assert find_media(tmp_path, *video.names).name == "kitchen_cam.MP4"
    (tmp_path / "kitchen_cam_0_10.5.wav").touch()
    assert find_media(tmp_path, *video.names).name == "kitchen_cam_0_10.5.wav"
    (tmp_path / "id_________.mkv").touch()
    assert find_media(tmp_path, "id_________", "abc").name == "id_________.mkv"
    with pytest.raises(InputError, match=r"no file other\.mp4"):
        find_media(tmp_path, "other")


def test_frames_share_a_scaler(tmp_path):
    """Its threads would otherwise add up until a worker may make no more."""
    make_video(tmp_path / "v.mp4", "25", 4, "64x48", "")
    threads = lambda: len(os.listdir("/proc/self/task"))
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = list(itertools.islice(container.decode(video=0), 100))
        pixels.to_rgb(frames[0])
        before, images = threads(), []
        gc.disable()
        try:
            images = [pixels.to_rgb(frame) for frame in frames]
            assert threads() <= before + 2
        finally:
            gc.enable()
    assert len(images) == 100 and len({image.tobytes() for image in images}) > 50
