"""utils/cut_clips.py: every clip shows and sounds the seconds in its name."""

import pytest

from tests.media_files import clock_video, ffmpeg, second_of, seconds_heard
from utils import cut_clips
from utils.llp.names import clip_times
from utils.media.clips import read_audio, read_frames


@pytest.mark.parametrize(
    ("seconds", "length", "expected"),
    [
        (25, 10, [(0, 10), (10, 20), (20, 25)]),
        (20.4, 10, [(0, 10), (10, 20)]),
        (19.7, 10, [(0, 10), (10, 20)]),
        (18.25, 10, [(0, 10), (10, 18.25)]),
        (0.5, 10, []),
        (7, 3, [(0, 3), (3, 6), (6, 7)]),
    ],
)
def test_clips_follow_one_another(seconds, length, expected):
    assert cut_clips.clip_times(seconds, length) == expected


def test_each_clip_is_what_its_name_says(command, tmp_path):
    (tmp_path / "in").mkdir()
    clock_video(tmp_path / "in/garden cam.mkv", 12, "30")
    ffmpeg("-i", tmp_path / "in/garden cam.mkv", "-vn", tmp_path / "in/talk.wav")
    (tmp_path / "in/empty.mp4").touch()
    flags = ("--videos", tmp_path / "in", "--out", tmp_path / "out", "--length", 5, "--list", tmp_path / "list.csv")
    result = command(cut_clips, *flags)
    assert result.status == 1 and "2 videos done" in result.out and "1 failed" in result.out
    names = [f"{name}_{a}_{b}" for name in ("garden cam", "talk") for a, b in ((0, 5), (5, 10), (10, 12))]
    assert (tmp_path / "list.csv").read_text().splitlines() == ["filename\tevent_labels", *(f"{n}\t" for n in names)]
    for begin, end in ((0, 5), (5, 10), (10, 12)):
        path, count = tmp_path / f"out/garden cam_{begin}_{end}.mp4", end - begin
        assert seconds_heard(read_audio(path, 16000), 16000, count) == list(range(begin, end))
        images = read_frames(path, 8 * count)[0]
        assert [second_of(images[8 * k + 4]) for k in range(count)] == list(range(begin, end))
        samples = read_audio(tmp_path / f"out/talk_{begin}_{end}.mp4", 16000)
        assert seconds_heard(samples, 16000, count) == list(range(begin, end))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.mp4")}
    (tmp_path / "out/talk_0_5.mp4").write_bytes(b"damaged")
    assert command(cut_clips, *flags).status == 1
    changed = [path.name for path, time in made.items() if path.stat().st_mtime_ns != time]
    assert changed == ["talk_0_5.mp4"] and len(read_audio(tmp_path / "out/talk_0_5.mp4", 8000)) > 39000


def test_a_still_screen_is_shown_from_the_start_of_a_clip(command, tmp_path):
    (tmp_path / "in").mkdir()
    screen = ("-fps_mode", "passthrough")
    clock_video(tmp_path / "in/screen.mkv", 20, "50", "select='lt(mod(t,6),0.5)'", "", *screen)  # seconds 0, 6, 12
    assert command(cut_clips, "--videos", tmp_path / "in", "--out", tmp_path / "out").status == 0
    images = read_frames(tmp_path / "out/screen_10_20.mp4", 80)[0]
    assert [second_of(images[k]) for k in (0, 4, 12, 20, 28)] == [6, 6, 6, 12, 12]
    assert clip_times("screen_10_20") == (10, 20)


def test_bad_folders_are_one_line(command, tmp_path):
    result = command(cut_clips, "--videos", tmp_path / "none", "--out", tmp_path / "out")
    assert result.status == 2 and "no such folder" in result.err
    result = command(cut_clips, "--videos", tmp_path, "--out", tmp_path / "out")
    assert result.status == 2 and "holds no videos" in result.err
