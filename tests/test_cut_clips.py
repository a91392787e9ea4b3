"""utils/cut_clips.py: every clip shows and sounds the seconds in its name."""

import pytest

from tests.media_files import clock_video, damage, ffmpeg, joined_clocks, make_video, second_of, seconds_heard
from utils import cut_clips, extract_frames
from utils.base.errors import InputError
from utils.llp.names import clip_times
from utils.media.clips import read_audio, read_frames
from utils.media.timeline import find_tracks


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
    assert "0 videos done, 2 were finished before, 1 failed" in command(cut_clips, *flags).out
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


def cut_folder(command, tmp_path, *flags):
    """Run the command on tmp_path/in; the result, and the names of its list."""
    table = tmp_path / "list.csv"
    result = command(cut_clips, "--videos", tmp_path / "in", "--out", tmp_path / "out", "--list", table, *flags)
    return result, [line.strip() for line in table.read_text().splitlines()[1:]]


def test_clips_of_a_clock_that_begins_again(command, tmp_path):
    """ffmpeg would seek by a clock that shows each time three times."""
    joined_clocks(tmp_path / "in/joined.ts", 4, 4, 4)
    result, names = cut_folder(command, tmp_path, "--length", 5)
    assert result.status == 0 and names[:2] == ["joined_0_5", "joined_5_10"] and len(names) == 3
    for name, seconds in zip(names, (range(5), range(5, 10), range(10, 12)), strict=True):
        path, count = tmp_path / f"out/{name}.mp4", len(seconds)
        assert seconds_heard(read_audio(path, 16000), 16000, count) == list(seconds)
        images = read_frames(path, 8 * count)[0]
        assert [second_of(images[8 * k + 4]) for k in range(count)] == list(seconds)


def test_a_clip_that_is_not_as_long_as_its_name_says_fails(command, tmp_path, monkeypatch):
    make_video(tmp_path / "in/v.mp4", seconds=12)
    run = cut_clips.run_ffmpeg
    monkeypatch.setattr(cut_clips, "run_ffmpeg", lambda *flags, **options: run(*flags[:-1], "-t", "1.5", flags[-1]))
    result, names = cut_folder(command, tmp_path)
    assert result.status == 1 and names == [] and not list((tmp_path / "out").glob("*.mp4"))
    reason = (tmp_path / "out/failures.csv").read_text()
    assert "ffmpeg did not write v_0_10.mp4 as it should be (its picture ends at 1.5" in reason
    assert "expected 10.00 s" in reason


def test_a_damaged_middle_is_refused_by_all_tools(command, tmp_path):
    path = make_video(tmp_path / "in/v.mp4", "25", 12, "192x128", "", "-g", "25")
    damage(path, 5, 7)
    with pytest.raises(InputError) as error:
        read_frames(path, 12 * 8)
    problem = f"{error.value}".split(": ")[1]
    assert "frames needed cannot be decoded, the first at " in problem
    result, names = cut_folder(command, tmp_path)
    assert result.status == 1 and names == [] and problem in (tmp_path / "out/failures.csv").read_text()
    assert command(extract_frames, "--video_path", tmp_path / "in", "--out_dir", tmp_path / "frames").status == 1
    assert problem in (tmp_path / "frames/failures.csv").read_text()
    assert not (tmp_path / "frames/v").exists()


def test_a_last_still_is_shown_to_the_end(command, tmp_path):
    (tmp_path / "in").mkdir()
    still = ("-fps_mode", "passthrough", "-c:v", "libvpx", "-b:v", "1M", "-c:a", "libvorbis")
    clock_video(tmp_path / "in/slide.webm", 20, "25", "select='eq(mod(n,25),0)*lt(t,6.5)'", "", *still)
    result, names = cut_folder(command, tmp_path)
    assert result.status == 0 and names == ["slide_0_10", "slide_10_20"] and "note" not in result.err
    for name, seconds in (("slide_0_10", [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]), ("slide_10_20", [6] * 10)):
        images = read_frames(tmp_path / f"out/{name}.mp4", 80)[0]
        assert [second_of(images[8 * k + 4]) for k in range(10)] == seconds
        assert find_tracks(tmp_path / f"out/{name}.mp4").video_end == pytest.approx(10, abs=0.1)


def test_tracks_that_are_not_there_are_noted(command, tmp_path):
    (tmp_path / "in").mkdir()
    clock_video(tmp_path / "in/quiet.mp4", 12, "25", "", "atrim=0:4")
    clock_video(tmp_path / "in/dark.mp4", 12, "25", "trim=0:9")
    make_video(tmp_path / "in/moment.mp4", seconds=0.5)
    ffmpeg("-i", tmp_path / "in/dark.mp4", "-frames:v", 1, "-f", "image2", tmp_path / "in/picture.mp4")
    result, names = cut_folder(command, tmp_path, "--length", 5)
    assert names == [f"{name}_{a}_{b}" for name in ("dark", "quiet") for a, b in ((0, 5), (5, 10), (10, 12))]
    assert "note: 1 clips have no picture, because their videos have none there: dark_10_12\n" in result.err
    assert "note: 2 clips have no sound, because their videos have none there: quiet_5_10, quiet_10_12\n" in result.err
    assert find_tracks(tmp_path / "out/dark_10_12.mp4").picture is None
    reasons = (tmp_path / "out/failures.csv").read_text()
    assert result.status == 1 and "moment.mp4: lasts 0.5" in reasons and "expected at least 1 s for a clip" in reasons
    assert "picture.mp4: is a single picture (jpeg_pipe)" in reasons


def test_sound_before_a_late_picture_is_kept(command, tmp_path):
    whole = clock_video(tmp_path / "whole.mkv", 12)
    late = tmp_path / "in/late.webm"
    late.parent.mkdir()
    coding = ("-c:v", "libvpx", "-b:v", "1M", "-c:a", "libvorbis")
    ffmpeg("-i", whole, "-vf", "select='gte(t,3)'", "-fps_mode", "passthrough", *coding, late)
    result, names = cut_folder(command, tmp_path, "--length", 6)
    assert result.status == 0 and names[0] == "late_0_6"
    clip = tmp_path / "out/late_0_6.mp4"
    assert seconds_heard(read_audio(clip, 16000), 16000, 6) == list(range(6))
    assert find_tracks(clip).picture.spans[0] == pytest.approx((3, 6), abs=0.1)


def test_bad_folders_are_one_line(command, tmp_path):
    result = command(cut_clips, "--videos", tmp_path / "none", "--out", tmp_path / "out")
    assert result.status == 2 and "no such folder" in result.err
    result = command(cut_clips, "--videos", tmp_path, "--out", tmp_path / "out")
    assert result.status == 2 and "holds no videos" in result.err
