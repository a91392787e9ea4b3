"""Clips from a video site, by real yt-dlp, from a local server with the faults of real ones."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.media_files import cut_short, ffmpeg, make_video
from tests.mock_site import Page, Site
from utils import download_dataset
from utils.base.errors import InputError
from utils.download import clips, watch
from utils.download.clips import Clip, Unavailable
from utils.extract.videos import list_videos
from utils.llp.datasets import LLP
from utils.media.clips import read_audio, read_frames

MP4 = {"Content-Type": "video/mp4"}
SECONDS = 40  # of the videos on the site


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A video that tells the time: in second s the brightness is 5 s + 20, the pitch of its tone 100 (s + 2) Hz."""
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    picture = f"nullsrc=size=64x48:rate=25:duration={SECONDS},geq=lum='5*floor(T)+20':cb=128:cr=128"
    sound = f"aevalsrc='0.5*sin(2*PI*100*(floor(t)+2)*t)':sample_rate=16000:duration={SECONDS}"
    coding = ["-c:v", "libx264", "-g", "100", "-pix_fmt", "yuv420p", "-c:a", "aac"]  # key frames: every 4 s
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *coding, path)
    return path


def times_seen(path: Path) -> list[float]:
    """The second of the source that each eighth of a second of a clip shows."""
    images, count = read_frames(path, 80)
    assert 79 <= count <= 82
    luma = np.array([image.mean() for image in images])  # video levels: 16 to 235 became 0 to 255
    return ((luma * 219 / 255 + 16 - 20) / 5).tolist()


def times_heard(path: Path) -> list[float]:
    """The second of the source that each second of a clip sounds like, in its middle."""
    samples = read_audio(path, 16000)
    parts = [samples[16000 * s + 6000 : 16000 * s + 10000] for s in range(10)]
    return [np.abs(np.fft.rfft(part)).argmax() * 4 / 100 - 2 for part in parts]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site; the test is in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clips, "FIRST_WAIT", 0.01)
    with Site() as site:
        yield site


def write_list(*names: str) -> Path:
    """A list of clips, without event names."""
    path = Path("list.csv")
    path.write_text("".join(f"{line}\n" for line in ("filename", *names)))
    return path


def flags(site: Site, *more) -> list[str]:
    where = ["--videos_saved_dir", "out", "--label_all_dataset", "list.csv"]
    return [*where, "--url_template", f"{site.url}/v/{{id}}.mp4", "--workers", "2", *more]


@pytest.fixture
def download(command, site):
    return lambda *more: command(download_dataset, *flags(site, *more))


def failures() -> dict[str, str]:
    """id -> reason."""
    lines = Path("out/failures.csv").read_text().splitlines()
    assert lines[0] == "id,reason"
    return dict(line.split(",", 1) for line in lines[1:])


def test_the_ten_seconds_asked_for(download, site, source):
    """By parts of the file, from the whole of it, from a fractional time, from the start; ids with - and _."""
    content = source.read_bytes()
    names = ("-bcdefghij_", "fractional0", "from_start0", "whole_00000")
    for name in names:
        site.add(f"/v/{name}.mp4", content, headers=MP4, ranges=name != "whole_00000")
    write_list("-bcdefghij__22_32", "whole_00000_22_32", "fractional0_11.5_21.5", "from_start0_0_10")
    result = download()
    assert result.status == 0, result.err
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{name}.mp4" for name in names]
    for name, start in (("-bcdefghij_", 22), ("whole_00000", 22), ("from_start0", 0)):
        path = Path(f"out/{name}.mp4")
        assert clips.check_clip(path) == pytest.approx(10, abs=0.1)
        assert np.round(times_seen(path)[4::8]).tolist() == [start + s for s in range(10)]  # the middle of each second
        assert np.round(times_heard(path)).tolist() == [start + s for s in range(10)]
    half = times_seen(Path("out/fractional0.mp4"))
    assert np.round(half[2]) == 11 and np.round(half[6]) == 12 and np.round(half[-2]) == 21
    # of the whole file only a part was asked for, where that is possible
    assert any(where for _, path, where in site.requests if "-bcdefghij_" in path)


def test_odd_characters_in_names_and_folders(download, site, source):
    folder, name = "out $HOME ${x} $5 %s %% ~ 'é\"", "sh$o%t é $HOME"
    site.add(f"/v/{name}.mp4", source.read_bytes(), headers=MP4)
    write_list(f"{name}_20_30")
    before = set(Path.cwd().iterdir())
    result = download("--videos_saved_dir", folder)
    assert result.status == 0, result.err
    assert [p.name for p in Path(folder).iterdir()] == [f"{name}_20_30.mp4"]
    assert set(Path.cwd().iterdir()) - before == {Path.cwd() / folder}


def ffmpeg_parents() -> list[str]:
    """The processes that have started one of ffmpeg that still runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            text = path.read_text()
            found += [text.split()[3]] if "(ffmpeg)" in text else []
    return found


@pytest.mark.parametrize("page", [{}, {"ranges": False}, {"raw": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000}])
def test_a_site_that_drips_costs_its_video_only(download, site, source, monkeypatch, page):
    monkeypatch.setattr(watch, "WINDOW", 3.0)
    monkeypatch.setattr(watch, "POLL", 0.1)
    site.add("/v/good_______.mp4", source.read_bytes(), headers=MP4)
    site.add("/v/slow_______.mp4", source.read_bytes(), headers=MP4, block=20, delay=0.1, **page)
    write_list("slow________0_10", "good________0_10")
    start = time.monotonic()
    result = download()
    assert result.status == 1 and "why: 1 slow" in result.out and time.monotonic() - start < 20
    assert failures() == {"slow_______": "slow: less than 1000 bytes a second came in 0 minutes"}
    assert sorted(p.name for p in Path("out").iterdir()) == ["failures.csv", "good_______.mp4"]
    deadline = time.monotonic() + 5  # a killed process is listed until the system has removed it
    while (left := str(os.getpid()) in ffmpeg_parents()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_a_site_that_sends_without_end_is_left(download, site, source, monkeypatch):
    monkeypatch.setattr(clips, "LARGEST", 10_000)
    site.add("/v/endless____.mp4", source.read_bytes(), headers=MP4, ranges=False, with_length=False)
    write_list("endless_____20_30")
    monkeypatch.setattr(clips.ClipDownloader, "_fetch_section", lambda *args: None)  # ffmpeg reads what it needs
    assert download().status == 1
    assert failures() == {"endless____": "too large: the site sends more than 10 kB"}


COOKIES = "# Netscape HTTP Cookie File\n\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tsession\tsecret\n"


def test_cookies_are_sent_and_their_file_stays_as_it_is(download, site, source):
    for i in range(4):
        site.add(f"/v/video_{i}0000.mp4", source.read_bytes(), headers=MP4 | {"Set-Cookie": f"new{i}=1"})
    write_list(*(f"video_{i}0000_20_30" for i in range(4)))
    Path("cookies.txt").write_text(COOKIES)
    assert download("--cookies", "cookies.txt", "--workers", "4").status == 0
    assert Path("cookies.txt").read_text() == COOKIES
    assert any("session=secret" in sent for sent in site.cookies)


def test_what_fails_is_listed_with_its_reason_and_the_rest_is_done(download, site, source, tmp_path):
    content = source.read_bytes()
    site.add("/v/good_000000.mp4", content, headers=MP4)
    site.add("/v/once_429000.mp4", content, headers=MP4, status=[429])
    site.add("/v/forever_429.mp4", content, headers=MP4, status=[429] * 20)
    site.add("/v/forever_403.mp4", content, headers=MP4, status=[403] * 20)
    site.add("/v/forever_500.mp4", content, headers=MP4, status=[500] * 50)
    site.add("/v/late_403_00.mp4", content, headers=MP4, status=[200] + [403] * 20)
    site.add("/v/web_page_00.mp4", b"<html>no video</html>", headers={"Content-Type": "text/html"})
    site.add("/v/no_sound_00.mp4", make_video(tmp_path / "s.mp4", seconds=12, sound="").read_bytes(), headers=MP4)
    site.add("/v/damaged_000.mp4", content[: len(content) // 2], headers=MP4)
    site.add("/v/too_short_0.mp4", content, headers=MP4)
    site.add("/v/ends_early0.mp4", content, headers=MP4)
    Path("out/good_000000.mp4.tmp").mkdir(parents=True)  # of a killed run
    Path("out/is_a_folder.mp4").mkdir()
    names = "good_000000 once_429000 forever_429 forever_403 forever_500 late_403_00 web_page_00 damaged_000"
    names = (*names.split(), "gone_000000", "is_a_folder")
    others = ("no_sound_00_1_11", "too_short_0_50_60", "ends_early0_35_45", "no_times", "x_30_20")
    write_list(*(f"{name}_20_30" for name in names), *others)
    result = download("--retries", "1")
    assert result.status == 1 and "videos: 3 videos done, 0 were finished before, 12 failed" in result.out
    found = failures()
    expected = {
        "forever_429": "blocked: Unable to download webpage: HTTP Error 429: Too Many Requests",
        "forever_403": "refused: Unable to download webpage: HTTP Error 403: Forbidden",
        "forever_500": "network: Unable to download webpage: HTTP Error 500",
        "late_403_00": "refused: ",
        "web_page_00": "no video: Unsupported URL",
        "no_sound_00": "no sound: the video has no audio track",
        "damaged_000": "damaged: the video cannot be decoded",
        "is_a_folder": "other: out/is_a_folder.mp4 is a folder",
        "gone_000000": "removed: Unable to download webpage: HTTP Error 404: Not Found",
        "too_short_0": '"too short: the video lasts 40.0 s, and the clip begins at 50 s"',
        "no_times": "\"list.csv, line 15: 'no_times' does not end in start and end in seconds",
        "x_30_20": "\"list.csv, line 16: 'x_30_20' does not end in start and end in seconds",
    }
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert found[name].startswith(reason), name
    assert "why: 2 bad row, 2 refused" in result.out and "tmp" not in result.out
    assert "blocked: the site has had enough" in result.out
    good = ("good_000000", "once_429000", "ends_early0")
    left = [*(f"{name}.mp4" for name in (*good, "is_a_folder")), "failures.csv"]
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(left)
    assert clips.check_clip(Path("out/ends_early0.mp4")) == pytest.approx(5, abs=0.1)
    assert "1 videos are shorter than 9 s" in result.err
    assert "Traceback" not in result.err and "ERROR" not in result.err + result.out


def test_valid_files_stay_and_others_are_fetched_again(download, site, source):
    for name in ("sound_00000", "cut_off_000", "empty_00000", "web_page_00"):
        site.add(f"/v/{name}.mp4", source.read_bytes(), headers=MP4)
    write_list("sound_00000_0_10", "cut_off_000_0_10", "empty_00000_0_10", "web_page_00_0_10")
    assert download().status == 0
    before = Path("out/sound_00000.mp4").stat().st_mtime_ns
    cut_short(Path("out/cut_off_000.mp4"), 0.9)
    Path("out/empty_00000.mp4").write_bytes(b"")
    Path("out/web_page_00.mp4").write_text("<html>")
    site.requests.clear()
    result = download()
    assert result.status == 0 and "3 videos done, 1 were finished before, 0 failed" in result.out
    assert Path("out/sound_00000.mp4").stat().st_mtime_ns == before
    assert not [path for _, path, _ in site.requests if "sound_00000" in path]
    site.requests.clear()
    assert download().status == 0 and site.requests == []


def test_a_connection_that_breaks_is_taken_up_again(download, site, source):
    """The whole file is fetched, in three pieces, since the server gives no parts at first."""
    content = source.read_bytes()
    page = site.add("/v/breaks_0000.mp4", content, headers=MP4, stop_after=[len(content), *[len(content) // 3] * 8])
    write_list("breaks_0000_20_30")
    assert download("--retries", "5").status == 0
    assert clips.check_clip(Path("out/breaks_0000.mp4")) == pytest.approx(10, abs=0.1)
    assert len(page.stop_after) < 8


def test_a_source_that_was_cut_off_gives_no_shorter_clip(download, site, tmp_path):
    """Its header, which comes first, says 40 s; 24 s of it are there."""
    whole = make_video(tmp_path / "v.mkv", "10", 40, "64x48", "sine=440", "-c:v", "libx264", "-c:a", "aac")
    site.add("/v/cut_short00.mp4", whole.read_bytes()[: int(0.6 * whole.stat().st_size)], headers=MP4, ranges=False)
    write_list("cut_short00_20_30")
    assert download().status == 1
    assert re.match(r"damaged: \d\.\d s came of a clip of 10\.0 s", failures()["cut_short00"])
    assert [p.name for p in Path("out").iterdir()] == ["failures.csv"]


def test_other_codings_become_h264_and_aac(download, site, tmp_path):
    webm = make_video(tmp_path / "v.webm", "10", 12, "32x32", "sine=440", "-c:v", "libvpx", "-c:a", "libvorbis")
    site.add("/v/webm_000000.mp4", webm.read_bytes(), headers={"Content-Type": "video/webm"})
    write_list("webm_000000_1_11")
    assert download().status == 0
    assert clips.check_clip(Path("out/webm_000000.mp4")) == pytest.approx(10, abs=0.15)


def test_without_a_system_ffmpeg(download, site, source, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    site.add("/v/video_00000.mp4", source.read_bytes(), headers=MP4)
    write_list("video_00000_20_30")
    assert download().status == 0
    assert any(where not in ("", "bytes=0-") for _, _, where in site.requests)  # ffmpeg looked for the place
    assert os.environ["PATH"] == str(tmp_path / "empty")


def start(site: Site, *more) -> subprocess.Popen:
    command = [sys.executable, ROOT / "utils/download_dataset.py", *flags(site, *more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle(download, site, source, kind):
    """Two clips are there, two on their way, which then take no time."""
    names = [f"video_{i}0000" for i in range(4)]
    for name in names:
        site.add(f"/v/{name}.mp4", source.read_bytes(), headers=MP4, delay=0.0 if name < "video_2" else 1.0)
    write_list(*(f"{name}_20_30" for name in names))
    process = start(site)
    deadline = time.monotonic() + 60
    while len(list(Path("out").glob("*.mp4"))) < 2 or len(list(Path("out").glob("*.mp4.tmp"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, kind)
    _, err = process.communicate(timeout=60)
    sound = [p.name for p in Path("out").glob("*.mp4") if clips.is_finished(p)]
    assert sorted(sound) == ["video_00000.mp4", "video_10000.mp4"] == sorted(p.name for p in Path("out").glob("*.mp4"))
    if kind == signal.SIGINT:
        assert process.returncode == 130 and "Traceback" not in err and "interrupted" in err
        assert list(Path("out").glob("*.tmp")) == []
    for page in site.pages.values():
        page.delay = 0.0
    Path("out/video_00000.mp4.tmp").mkdir(exist_ok=True)  # a kill just after the clip was whole leaves this
    result = download()
    assert result.status == 0 and "2 videos done, 2 were finished before, 0 failed" in result.out
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{name}.mp4" for name in names]


def test_a_full_disk_ends_the_run(site, source):
    """A limit on the size of files stands for it: writes fail in the same way."""
    for i in range(3):
        site.pages[f"/v/video_{i}0000.mp4"] = Page(source.read_bytes(), headers=MP4)
    write_list(*(f"video_{i}0000_20_30" for i in range(3)))
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[1:]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "from utils import download_dataset as d; from utils.base.command import run\n"
        "run(d.main, d.get_args_parser())"
    )
    argv = [sys.executable, "-c", script, ROOT, *flags(site, "--retries", "0")]
    result = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert result.returncode == 2 and "out: disk: " in result.stderr and "File too large" in result.stderr
    assert [p.name for p in Path("out").iterdir()] == []


@pytest.mark.parametrize(
    ("filename", "clip"),
    [
        ("BjCEufrlXm4_20_30", ("BjCEufrlXm4", 20.0)),
        ("AP0061o0Nvk_101.8_111.8", ("AP0061o0Nvk", 101.8)),
        ("-0_1_22__33_0_10", ("-0_1_22__33", 0.0)),
        ("a_1_2_3_4_5_30_40", ("a_1_2_3_4_5", 30.0)),
    ],
)
def test_which_clip_a_name_means(filename, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (video,) = list_videos(write_list(filename))
    assert Clip.of(video) == (*clip, 10)


def test_whole_videos_of_data_sets_of_any_length(download, site, source):
    """As they are, if they are H.264 and AAC in mp4; clips whose seconds a list does not say are refused."""
    site.add("/v/longer-id.mp4", source.read_bytes(), headers=MP4)
    Path("d.yaml").write_text("{name: mine, seconds: per_video, classes: [a]}")
    write_list("longer-id", "gone")
    result = download("--dataset", "d.yaml")
    assert result.status == 1 and set(failures()) == {"gone"}
    assert Path("out/longer-id.mp4").read_bytes() == source.read_bytes()
    refused = download("--dataset", "ave")
    assert refused.status == 2 and "its lists do not say which 10 seconds of a video are meant" in refused.error


def test_all_of_llps_names_mean_a_clip(llp_dir):
    videos = download_dataset.list_clips([llp_dir / "AVVP_dataset_full.csv"], LLP)
    assert len(videos) == 11849 and not [v for v in videos if v.problem]
    clips = [Clip.of(v) for v in videos]
    assert all(clip.name == video.id for clip, video in zip(clips, videos, strict=True))
    assert sum(clip.start % 1 != 0 for clip in clips) == 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[youtube] abc: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] abc: Video unavailable. This video is private", "private"),
        ("[youtube] abc: Video unavailable. This video has been removed by the uploader", "removed"),
        ("[youtube] abc: This video is no longer available because the account has been terminated", "removed"),
        ("[youtube] abc: Video unavailable", "removed"),
        ("[youtube] abc: Video unavailable. The uploader has not made this video available in your country", "region"),
        ("[youtube] abc: Sign in to confirm your age. This video may be inappropriate for some users.", "age"),
        ("[youtube] abc: Sign in to confirm you're not a bot. Use --cookies-from-browser", "blocked"),
        ("[youtube] abc: Unable to download API page: HTTP Error 429: Too Many Requests", "blocked"),
        ("unable to download video data: HTTP Error 403: Forbidden", "refused"),
        ("[youtube] abc: Unable to download webpage: [Errno -2] Name or service not known: cannot resolve", "network"),
        ("[youtube] abc: Unable to download webpage: The read operation timed out", "network"),
        ("[youtube] abc: Requested format is not available", "no video"),
        ("unable to write data: [Errno 28] No space left on device", "disk"),
        ("[Errno 13] Permission denied: 'x.mp4.part'", "disk"),
        ("[youtube] abc: This live event will begin in a few moments.", "no video"),
        ("[youtube] abc: This video requires payment to watch", "private"),
        ("an unknown message", "other"),
    ],
)
def test_reasons(text, kind):
    error = Unavailable.because(RuntimeError(f"ERROR: {text}"))
    assert error.kind == kind and str(error).startswith(f"{kind}: ")
    assert "ERROR" not in str(error) and "[youtube]" not in str(error)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--url_template", "http://127.0.0.1/v"), "expected an address with {id}, such as https://www.youtube.com"),
        (("--url_template", "{id}.mp4"), "expected an address with {id}"),
        (("--url_template", "foo://{id}"), "expected an address with {id}"),
        (("--cookies", "none.txt"), "--cookies none.txt: no such file"),
        (("--cookies", "list.csv"), "--cookies list.csv: "),
        (("--cookies_from_browser", "nonesuch"), "--cookies_from_browser nonesuch: "),
        (("--cookies_from_browser", "firefox"), "--cookies_from_browser firefox: "),
        (("--videos_saved_dir", "list.csv"), "--videos_saved_dir list.csv: is a file, expected a folder"),
        (("--label_all_dataset", "none.csv"), "none.csv: no such file"),
        (("--workers", "0"), "0 is not a whole number of at least 1"),
    ],
)
def test_bad_flags(download, site, more, message):
    write_list("BjCEufrlXm4_20_30")
    result = download(*more)
    assert result.status == 2 and message in result.error
    assert not Path("out").exists() and site.requests == []


def test_what_is_no_clip(tmp_path, source):
    for name, problem in (("sound.m4a", "has no picture"), ("video.webm", "its video is vp8, expected h264")):
        coding = ["-vn", "-c:a", "copy"] if name == "sound.m4a" else ["-t", "1", "-c:v", "libvpx", "-c:a", "libvorbis"]
        ffmpeg("-i", source, *coding, tmp_path / name)
        with pytest.raises(InputError, match=problem):
            clips.check_clip(tmp_path / name)
