"""Sound and picture of odd files on one time line: clock videos say which second is seen and heard."""

import shutil
import subprocess

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.media_files import clock_video, cut_short, ffmpeg, make_video, second_of, seconds_heard
from utils import extract_frames
from utils.base.errors import InputError
from utils.llp.names import clip_times
from utils.media.audio import Block, place
from utils.media.clips import EXTENT, describe_picture, read_audio, read_frames, read_jpegs, read_pictures, read_sound
from utils.media.files import find_media, list_media
from utils.media.frames import read_image
from utils.media.pixels import upright
from utils.media.timeline import clip_span, find_tracks, presence
from utils.media.windows import survey

WHOLE = list(range(10))
PASS = ("-fps_mode", "passthrough")
VORBIS = ("-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime", "-c:a", "libvorbis")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A clock video of ten seconds."""
    return clock_video(tmp_path_factory.mktemp("plain") / "plain.mp4")


def heard(path, times=None) -> tuple[list, list[bool]]:
    content, samples = read_sound(path, 16000, times)
    return seconds_heard(samples, 16000), content.is_there.tolist()


def seen(path, times=None) -> tuple[list, list[bool]]:
    """Seconds that are seen in the middle of each tenth."""
    content, *images = read_pictures(path, 80, times)
    return [second_of(images[8 * k + 4]) for k in range(10)], content.is_there.tolist()


def test_a_plain_clock_is_seen_and_heard(plain):
    assert heard(plain) == seen(plain) == (WHOLE, [True] * 10)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_sound_that_begins_late_is_preceded_by_silence(suffix, plain, tmp_path):
    late = tmp_path / f"late.{suffix}"
    ffmpeg("-i", plain, "-itsoffset", 4, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", "-t", 10, late)
    assert heard(late) == ([None] * 4 + [0, 1, 2, 3, 4, 5], [False] * 4 + [True] * 6)
    assert seen(late) == (WHOLE, [True] * 10)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "webm"])
def test_sound_that_ends_early_or_has_a_gap_is_silent_there(suffix, tmp_path):
    coding = VORBIS if suffix == "webm" else ()
    short = clock_video(tmp_path / f"short.{suffix}", 10, "25", "", "atrim=0:5", *coding)
    assert heard(short) == ([0, 1, 2, 3, 4] + [None] * 5, [True] * 5 + [False] * 5)
    gap = clock_video(tmp_path / f"gap.{suffix}", 10, "25", "", "aselect='not(between(t,4,5.99))'", *coding)
    expected = [None if k in (4, 5) else k for k in range(10)]
    assert heard(gap) == (expected, [k is not None for k in expected])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_picture_that_ends_early_begins_late_or_has_a_gap(suffix, plain, tmp_path):
    short = clock_video(tmp_path / f"short.{suffix}", 10, "25", "trim=0:5")
    assert seen(short) == ([0, 1, 2, 3] + [4] * 6, [True] * 5 + [False] * 5)
    late = tmp_path / f"late.{suffix}"
    ffmpeg("-itsoffset", 3, "-i", plain, "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", "-t", 10, late)
    assert seen(late) == ([0] * 4 + [1, 2, 3, 4, 5, 6], [False] * 3 + [True] * 7)
    gap = clock_video(tmp_path / f"gap.{suffix}", 10, "25", "select='not(between(t,4,5.99))'", "", *PASS)
    seconds, is_there = seen(gap)
    assert is_there == [k not in (4, 5) for k in range(10)] and seconds[6:] == [6, 7, 8, 9]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_still_screen_is_no_gap(suffix, tmp_path):
    coding = VORBIS if suffix == "webm" else ()
    screen = clock_video(tmp_path / f"v.{suffix}", 10, "50", "select='lt(mod(t,3),0.5)'", "", *PASS, *coding)
    seconds, is_there = seen(screen)
    assert is_there == [True] * 10 and seconds[:6] == [0, 0, 0, 3, 3, 3]


def changes_each_second(path, until: float):
    """Ten seconds of sound, and a picture of a frame each second until then, at a rate of 25 as its file says."""
    changes = f"select='eq(mod(n,25),0)*lt(t,{until})'"
    return clock_video(path, 10, "25", changes, "", *PASS, *VORBIS)


def test_the_last_frame_of_a_varying_rate_is_shown_to_the_end(command, tmp_path):
    (tmp_path / "v").mkdir()
    path = changes_each_second(tmp_path / "v/slide.webm", 5.5)
    expected = ([0, 1, 2, 3, 4, 5, 5, 5, 5, 5], [True] * 10)
    assert seen(path) == expected
    assert find_tracks(path).picture.held == pytest.approx(4.96, abs=0.05)
    assert command(extract_frames, "--video_path", tmp_path / "v", "--out_dir", tmp_path / "f").status == 0
    content, *images = read_jpegs(tmp_path / "f", ("slide",), 80)
    assert ([second_of(images[8 * k + 4]) for k in range(10)], content.is_there.tolist()) == expected
    single = changes_each_second(tmp_path / "single.webm", 0.5)
    assert seen(single) == ([0] * 10, [True] * 10)
    slow = clock_video(tmp_path / "slow.mkv", 10, "1", "trim=0:5")  # a constant rate
    assert seen(slow)[1] == [True] * 5 + [False] * 5


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_a_recording_that_begins_between_key_frames(suffix, tmp_path):
    """As ffmpeg: the picture begins with the first frame that can be decoded, the sound before."""
    whole, cut = tmp_path / "whole.ts", tmp_path / f"cut.{suffix}"
    coding = ("-c:v", "mpeg2video", "-q:v", 2, "-g", 50, "-bf", 2, "-sc_threshold", 10**9, "-c:a", "mp2")
    clock_video(whole, 14, "25", "noise=alls=8:allf=t", "", *coding)
    if suffix == "ts":
        data = whole.read_bytes()
        cut.write_bytes(data[len(data) // 14 // 188 * 188 :])  # from about second 1 on
    else:
        ffmpeg("-ss", 2.5, "-i", whole, "-c", "copy", cut)  # at a key frame, but frames before need the last group
    found = find_tracks(cut)
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", cut, "-map", "0:v", "-copyts", "-frames:v", "1"]
    lines = subprocess.run([*program, "-f", "framecrc", "-"], capture_output=True, text=True, check=True).stdout
    first = int(lines.splitlines()[-1].split(",")[1]) / 25
    with av.open(str(cut)) as container:
        first -= container.start_time / av.time_base
    assert found.picture.spans[0][0] == pytest.approx(first, abs=0.03) and first > 0.3
    count = round(found.seconds * 8)
    assert len(read_frames(cut, count)[0]) == count
    assert found.sound.spans[0][0] < 0.05 and survey(cut).notes == ()


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_a_still_image_is_no_video(suffix, plain, tmp_path):
    image = tmp_path / "picture.mp4"
    ffmpeg("-i", plain, "-frames:v", 1, tmp_path / f"picture.{suffix}")
    (tmp_path / f"picture.{suffix}").rename(image)
    with pytest.raises(InputError, match=r"picture\.mp4: is a single picture \(\w+\), expected a video or sound"):
        survey(image)
    ffmpeg("-i", plain, "-frames:v", 9, "-c:v", "mjpeg", tmp_path / "many.mjpeg")
    assert survey(tmp_path / "many.mjpeg").picture.end == pytest.approx(9 / 25)


def joined(path, *parts) -> None:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))


def test_time_stamps_that_begin_again_go_on(tmp_path):
    first = clock_video(tmp_path / "1.ts", 5)
    second = tmp_path / "2.ts"
    ffmpeg("-ss", 5, "-i", clock_video(tmp_path / "whole.mp4"), "-c:v", "libx264", "-crf", 10, second)
    joined(tmp_path / "joined.ts", first, second)
    assert seen(tmp_path / "joined.ts") == heard(tmp_path / "joined.ts") == (WHOLE, [True] * 10)
    other = tmp_path / "other.ts"
    ffmpeg("-i", second, "-c:v", "copy", "-ar", 22050, "-ac", 2, other)
    joined(tmp_path / "changes.ts", first, other)
    assert heard(tmp_path / "changes.ts") == (WHOLE, [True] * 10)
    large = tmp_path / "large.ts"
    ffmpeg("-i", second, "-vf", "scale=192:128", "-c:v", "libx264", "-crf", 10, "-c:a", "copy", large)
    joined(tmp_path / "size.ts", first, large)
    assert seen(tmp_path / "size.ts") == (WHOLE, [True] * 10)
    ffmpeg("-i", second, "-c:v", "mpeg2video", "-c:a", "copy", large)  # which one decoder cannot follow
    joined(tmp_path / "codec.ts", first, large)
    with pytest.raises(InputError, match=r"of the frames needed cannot be decoded, the first at 5\.\d s"):
        seen(tmp_path / "codec.ts")


@pytest.mark.parametrize(("offset", "suffix"), [(3, "mkv"), (3, "ts"), (95440, "ts")])
def test_clocks_that_do_not_begin_at_zero(offset, suffix, plain, tmp_path):
    """The clock of MPEG-TS goes round after 2**33 / 90000 = 95443.7 s."""
    path = tmp_path / f"v.{suffix}"
    ffmpeg("-i", plain, "-c", "copy", "-output_ts_offset", offset, path)
    assert seen(path) == heard(path) == (WHOLE, [True] * 10)
    assert survey(path).notes == ()


def test_time_stamps_beyond_a_day_are_refused(tmp_path):
    path = tmp_path / "bomb.mkv"
    with av.open(str(clock_video(tmp_path / "v.mkv", 2, "10"))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(source.streams.video[0]))[:-1]:
            packet.stream = stream
            if packet.pts == 1900:
                packet.pts = 10**10
            target.mux(packet)
    with pytest.raises(InputError, match=r"its time stamps reach 2778 hours, expected at most 24"):
        survey(path)


def corners(image: np.ndarray) -> list:
    """Mean colours of the four corners of an image."""
    parts = [image[y, x] for y in (slice(None, 12), slice(-12, None)) for x in (slice(None, 12), slice(-12, None))]
    return [part.mean(axis=(0, 1)).round() for part in parts]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", ["", "-display_hflip", "-display_vflip"])
def test_orientation_is_that_of_ffmpeg(degrees, mirror, tmp_path):
    make_video(tmp_path / "plain.mp4", sound="", seconds=1, size="96x64")
    flags = ("-display_rotation", degrees, *filter(None, [mirror]))
    ffmpeg(*flags, "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "turned.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "turned.mp4", "-frames:v", "1"]
    subprocess.run([*command, tmp_path / "frame.png"], check=True)
    with av.open(str(tmp_path / "frame.png")) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    image = read_frames(tmp_path / "turned.mp4", 1)[0][0]
    assert image.shape == expected.shape
    assert np.abs(np.array(corners(image)) - corners(expected)).max() < 12


def test_display_matrices_by_hand():
    image = np.arange(6).reshape(2, 3, 1)  # [[0 1 2] [3 4 5]]
    turned = {(1, 0, 0, 1): [[0, 1, 2], [3, 4, 5]], (-1, 0, 0, 1): [[2, 1, 0], [5, 4, 3]]}
    turned |= {(1, 0, 0, -1): [[3, 4, 5], [0, 1, 2]], (-1, 0, 0, -1): [[5, 4, 3], [2, 1, 0]]}
    turned |= {(0, 1, -1, 0): [[3, 0], [4, 1], [5, 2]], (0, -1, 1, 0): [[2, 5], [1, 4], [0, 3]]}
    for (a, b, c, d), expected in turned.items():
        matrix = np.array([a, b, 0, c, d, 0, 0, 0, 0], np.int32) * 65536
        assert upright(image, matrix)[..., 0].tolist() == expected


def test_the_track_is_that_of_ffmpeg(plain, tmp_path):
    make_video(tmp_path / "large.mp4", sound="", size="192x128")
    both = ("-i", plain, "-i", tmp_path / "large.mp4", "-map", "0:v", "-map", "1:v", "-map", "0:a", "-c", "copy")
    ffmpeg(*both, tmp_path / "large_second.mkv")  # neither is the default: the larger one
    ffmpeg(*both, "-disposition:v:0", "default", "-disposition:v:1", "0", tmp_path / "default_first.mkv")
    ffmpeg(*both, "-disposition:v:0", "0", "-disposition:v:1", "default", tmp_path / "default_second.mkv")
    for name in ("large_second", "default_first", "default_second"):
        path = tmp_path / f"{name}.mkv"
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-frames:v", "1", tmp_path / f"{name}.jpg"],
            check=True,
        )
        assert read_frames(path, 1)[0][0].shape == read_image(tmp_path / f"{name}.jpg").shape, name


def test_a_cover_is_no_film(plain, tmp_path):
    ffmpeg("-i", plain, "-frames:v", 1, tmp_path / "cover.jpg")
    cover = ("-i", plain, "-i", tmp_path / "cover.jpg", "-map", "0:a", "-map", "1", "-c", "copy")
    ffmpeg(*cover, "-disposition:v:0", "attached_pic", tmp_path / "song.m4a")
    with pytest.raises(InputError, match=r"has no video track \(a cover picture only\)"):
        read_frames(tmp_path / "song.m4a", 10)
    assert survey(tmp_path / "song.m4a").video_end is None
    assert heard(tmp_path / "song.m4a")[0] == WHOLE


@pytest.mark.parametrize("channels", [7, 8, 9, 16, 24])
def test_many_channels_are_averaged(channels, tmp_path):
    tones = "|".join(f"{0.02 * (c + 1)}" for c in range(channels))
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={tones}:s=8000:d=1", "-c:a", "pcm_s16le", tmp_path / "s.wav")
    samples = read_audio(tmp_path / "s.wav", 8000)
    assert len(samples) == 8000
    np.testing.assert_allclose(samples, 0.01 * (channels + 1), atol=2e-5)


@pytest.mark.parametrize("suffix", ["wav", "mkv", "webm", "flv"])
def test_truncated_files_of_other_formats_are_refused(suffix, tmp_path):
    coding = VORBIS if suffix == "webm" else ()
    path = tmp_path / f"v.{suffix}"
    if suffix == "wav":
        ffmpeg("-f", "lavfi", "-i", "sine=duration=10", path)
    else:
        clock_video(path, 10, "25", "", "", *coding)
    assert len(read_audio(path, 8000)) > 79000
    cut_short(path)
    with pytest.raises(InputError, match=r"truncated.* ends at .* s of 10\.\d s"):
        read_audio(path, 8000)
    assert any("truncated" in note for note in survey(path).notes)


def test_wav_of_a_pipe_states_no_length(tmp_path):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=3", "-f", "wav", "-"]
    (tmp_path / "s.wav").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert len(read_audio(tmp_path / "s.wav", 8000)) == 24000


def test_a_damaged_stretch_is_noticed(plain, tmp_path):
    path = shutil.copy(plain, tmp_path / "v.mp4")
    with av.open(str(path)) as container:
        packets = [(float(p.pts * p.time_base), p.pos, p.size) for p in container.demux() if p.size]
    data = bytearray(path.read_bytes())
    for time, position, size in packets:
        if 4 <= time < 6:
            data[position + 8 : position + size] = b"\xff" * max(0, size - 8)
    path.write_bytes(data)
    seconds, is_there = heard(path)
    assert seconds[:4] + seconds[6:] == [0, 1, 2, 3, 6, 7, 8, 9] and is_there == [k not in (4, 5) for k in range(10)]
    with pytest.raises(InputError, match="damaged, .* of the frames needed cannot be decoded"):
        seen(path)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("BjCEufrlXm4_20_30", (20, 30)),
        ("-_Cabcdefgh_3_4.5", (3, 4.5)),
        ("BjCEufrlXm4_30_20", None),
        ("garden_cam_10_20", (10, 20)),
        ("holiday_2023_2024", None),
        ("take_1_2", None),
        ("BjCEufrlXm4", None),
        ("a_b", None),
    ],
)
def test_times_of_names(name, times):
    assert clip_times(name) == times


def test_the_part_of_a_file_that_its_name_means():
    assert clip_span("x", 10.4, (20, 30)) == (0, 10.4)  # it is the clip
    assert clip_span("x", 7, (20, 30)) == (0, 7)
    assert clip_span("x", 40, (20, 30)) == (20, 30)
    assert clip_span("x", 29.6, (20, 30)) == (20, 29.6)
    assert clip_span("x", 40, None) == (0, 40)
    with pytest.raises(InputError, match=r"x: lasts 25\.0 s; expected the 10 s from 20 to 30 s"):
        clip_span("x", 25, (20, 30))


def test_a_longer_file_is_cut_to_the_times_of_its_name(tmp_path):
    path = clock_video(tmp_path / "v.mp4", 12)
    assert heard(path, (2, 12)) == seen(path, (2, 12)) == (list(range(2, 12)), [True] * 10)
    assert heard(path, (0, 10)) == seen(path, (0, 10)) == (WHOLE, [True] * 10)
    folder = tmp_path / "frames/v"
    folder.mkdir(parents=True)
    ffmpeg("-i", path, "-r", 8, "-q:v", 2, folder / "%06d.jpg")
    content, *images = read_jpegs(tmp_path / "frames", ("v",), 80, (2, 12))
    assert [second_of(images[8 * k + 4]) for k in range(10)] == list(range(2, 12)) and content.seconds == 10


@pytest.mark.parametrize("rate", ["8", "10", "25", "30000/1001"])
def test_no_frame_of_a_cut_is_of_another_second(rate, command, tmp_path):
    """Of ten frames and of eighty, straight from the video and from JPEG files; the picture is white from 2 to 12 s."""
    white = f"color=black:size=64x48:rate={rate}:duration=16,geq=lum='16+219*between(T,2,11.9999)':cb=128:cr=128"
    (tmp_path / "v").mkdir()
    ffmpeg("-f", "lavfi", "-i", white, "-c:v", "libx264", "-pix_fmt", "yuv420p", tmp_path / "v/white.mp4")
    assert command(extract_frames, "--video_path", tmp_path / "v", "--out_dir", tmp_path / "f").status == 0
    for count in (10, 80):
        _, *straight = read_pictures(tmp_path / "v/white.mp4", count, (2, 12))
        _, *files = read_jpegs(tmp_path / "f", ("white",), count, (2, 12))
        for images in (straight, files):
            assert len(images) == count and min(image.mean() for image in images) > 250


def test_frames_know_when_there_is_a_picture(tmp_path):
    path = clock_video(tmp_path / "v.mp4", 10, "25", "trim=0:5")
    [(track, seconds, text)] = describe_picture(path)
    assert track == 0 and seconds == pytest.approx(10, abs=0.05)
    folder = tmp_path / "frames/v"
    folder.mkdir(parents=True)
    ffmpeg("-i", path, "-r", 8, "-q:v", 2, folder / "%06d.jpg")
    (folder / EXTENT).write_text(text)
    content, *images = read_jpegs(tmp_path / "frames", ("v",), 80)
    assert content.is_there.tolist() == [True] * 5 + [False] * 5
    assert [second_of(images[8 * k + 4]) for k in range(5)] == [0, 1, 2, 3, 4]
    [(_, _, text)] = describe_picture(clock_video(tmp_path / "whole.mp4", 3))
    assert text == ""
    (folder / EXTENT).write_text("{")
    with pytest.raises(InputError, match="is damaged; remove"):
        list(read_jpegs(tmp_path / "frames", ("v",), 10))


def test_presence_by_hand():
    edges = np.arange(5.0)
    assert presence([(0, 1.2), (2.74, 3.5)], edges).tolist() == [True, False, True, True]
    assert presence([(0, 4)], edges, lost=[(1, 2)]).tolist() == [True, False, True, True]
    assert presence([], edges).tolist() == [False] * 4
    assert presence([(0, 0.16)], np.linspace(0, 1, 6)).tolist() == [True, False, False, False, False]  # of 0.2 s each


def test_sound_is_placed_by_its_time_stamps():
    """Against a slow oracle: every sample is put at its time, one by one."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        time, blocks, line = 0.0, [], {}
        for _ in range(12):
            time += generator.choice([0, 0, 0, 0.3, 2.0])
            samples = generator.random(int(generator.integers(1, 40))).astype(np.float32)
            blocks.append(Block(samples, 100, round(time, 2)))
            line |= {round(time * 100) + i: float(sample) for i, sample in enumerate(samples)}
            time += len(samples) / 100
        placed = {}
        for piece in place(blocks):
            first = round(piece.begin * 100)
            placed |= {first + i: float(sample) for i, sample in enumerate(piece.samples)}
        assert placed == line


def test_files_that_are_left_out_are_named_once(tmp_path, capsys):
    for name in ("a.mp4", "b.TS", "c.wmv", "d.aiff", "notes.txt", "e.srt", ".hidden"):
        (tmp_path / name).touch()
    assert [file.id for file in list_media(tmp_path)] == ["a", "b", "c", "d"]
    error = capsys.readouterr().err
    assert error.count("left out 2 files") == 1 and "e.srt, notes.txt" in error
    for name in ("a", "b", "c", "d"):
        assert find_media(tmp_path, name).stem == name
    assert find_tracks(clock_video(tmp_path / "x.mpg", 1)).picture is not None
