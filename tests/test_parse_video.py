"""utils/parse_video.py: windows and events worked out by hand, files it writes, and that it says what main.py says."""

import csv
import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import main
from nets import MMIL_Net
from tests import synthetic
from tests.conftest import SHARED, find
from tests.media_files import clock_video, cut_short, ffmpeg, make_video
from utils import clap_preprocess, clip_preprocess, extract_features, parse_video
from utils.base.errors import InputError
from utils.features.kinds import KINDS
from utils.llp.annotations import PREDICTION_FILES, REFERENCE_FILES
from utils.llp.classes import CLASS_NAMES
from utils.llp.datasets import LLP
from utils.llp.events import events_to_segments, read_events
from utils.media import windows
from utils.media.audio import Block, assemble, place
from utils.media.clips import read_audio, read_frames
from utils.media.frames import choose_frames, constant_rate_frames
from utils.media.timeline import find_tracks
from utils.media.windows import AudioWindows, FrameSampler, FrameWindows, survey, window_starts
from utils.parse import formats, outputs, page
from utils.parse.events import ParsedVideo, Windows, decide_segments, find_events
from utils.parse.page import render, to_integers
from utils.parse.parser import VideoParser, parse_videos


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Weights of small networks, and small parsers of both kinds of features."""
    folder = tmp_path_factory.mktemp("small")
    synthetic.write_small_networks(folder)
    synthetic.write_small_parser(folder / "VALOR/checkpoint_best.pt")
    synthetic.write_small_parser(folder / "VALOR++/checkpoint_best.pt", 768, 768)
    return folder


@pytest.fixture
def small_networks(monkeypatch):
    """The base features come from small networks."""
    synthetic.use_small_networks(monkeypatch)


def weight_flags(small: Path) -> list:
    flags = {f"--{k.removesuffix('_18')}_checkpoint": small / f"{k}.pt" for k in synthetic.SMALL_BASES}
    return [x for pair in flags.items() for x in pair]


@pytest.fixture
def parse(command, small, small_networks, tmp_path, monkeypatch):
    """Run the tool with VALOR's small networks, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*flags, checkpoint=small / "VALOR/checkpoint_best.pt", last=()):
        usual = ("--checkpoint", checkpoint, "--out", "out", "--gpu", "-1", *weight_flags(small))
        return command(parse_video, *flags, *usual, *last)

    return run


@pytest.mark.parametrize(
    ("seconds", "hop", "starts"),
    [
        (4, 10, [0]),
        (10.5, 1, [0]),
        (10.6, 10, [0, 1]),
        (20, 10, [0, 10]),
        (20.4, 10, [0, 10]),
        (20.5, 10, [0, 10, 11]),
        (30, 5, [0, 5, 10, 15, 20]),
        (23, 5, [0, 5, 10, 13]),
    ],
)
def test_windows_are_at_the_hops_and_at_the_end(seconds, hop, starts):
    assert window_starts(seconds, hop) == starts
    assert windows.segment_count(seconds) == starts[-1] + 10


def test_segments_are_seconds_and_those_of_a_short_video_its_tenths():
    assert windows.segment_edges(10.03).tolist() == list(range(11))
    assert windows.segment_edges(9.8).tolist() == [*range(10), 9.8]
    assert windows.segment_edges(5.0).tolist() == pytest.approx([0.5 * i for i in range(11)])
    assert windows.segment_edges(23.7).tolist() == [*range(24), 23.7]
    assert windows.segment_edges(23.3).tolist() == list(range(24))


def test_windows_that_overlap_are_averaged():
    prob, gate = np.array([0.2, 0.6]), np.array([[0.4], [0.8]])
    two = Windows(np.array([0, 5]), prob.reshape(2, 1, 1, 1) + np.zeros((2, 10, 2, 1)), gate)
    frame_prob, global_prob = two.means(15)
    expected = [0.2] * 5 + [0.4] * 5 + [0.6] * 5
    assert frame_prob[:, 0, 0] == pytest.approx(expected) and frame_prob[:, 1, 0] == pytest.approx(expected)
    assert global_prob[:, 0] == pytest.approx([0.4] * 5 + [0.6] * 5 + [0.8] * 5)


def numbered(path: Path, seconds: float, sound: bool = True, rate: int = 16000) -> Path:
    """A video whose picture's grey level is 8 times the second, and whose sound is a ramp."""
    source = f"color=black:size=64x48:rate=25:duration={seconds},geq=lum='16+8*floor(T)':cb=128:cr=128"
    audio = ["-f", "lavfi", "-i", f"aevalsrc=t/64:s={rate}:d={seconds}"] if sound else []
    ffmpeg("-f", "lavfi", "-i", source, *audio, "-c:v", "libx264", "-crf", "1", "-c:a", "pcm_s16le", path)
    return path


def grey(image: np.ndarray) -> float:
    return float(image.mean())


def read_all(path: Path, hop: int, count: int = 10, sample_rate: int = 16000):
    """Grey levels and sound of all windows."""
    found = survey(path)
    starts = window_starts(found.seconds, hop)
    reader = FrameWindows(path, found, {"grey": FrameSampler(count, grey)}, starts)
    sounds = AudioWindows(path, found, sample_rate)
    return starts, [reader.read(s)["grey"] for s in starts], [sounds.read(s) for s in starts], reader


@pytest.mark.parametrize("hop", [3, 10])
def test_each_window_sees_and_hears_its_own_ten_seconds(hop, tmp_path):
    starts, seen, heard, reader = read_all(numbered(tmp_path / "v.mkv", 23.7), hop)
    positions = np.round(np.linspace(0, 79, 10)) / 8
    for start, greys, samples in zip(starts, seen, heard, strict=True):
        seconds = np.minimum(start + positions + 0.0625, 23.69)
        level = (16 + 8 * np.floor(seconds) - 16) * 255 / 219
        assert np.abs(np.array(greys) - level).max() < 10  # a frame near a border may be of the second beside it
        assert np.abs(np.array(greys) - level).mean() < 3
        times = start + np.arange(160000) / 16000
        expected = np.where(times < 23.7, times / 64, 0)
        assert np.abs(samples - expected)[times < 23.6].max() < 1e-3 and not samples[times > 23.75].any()
    assert len(reader.kept) <= 80 + 8


def test_frames_are_those_that_the_whole_video_gives(tmp_path):
    path = make_video(tmp_path / "v.mp4", rate="29.97", seconds=25)
    count = read_frames(path, 1)[1]
    found = find_tracks(path)
    chosen = choose_frames(found.picture.times, found.picture.rate)
    assert sum(1 for _ in constant_rate_frames(found)) == len(chosen) == count
    _, seen, _, _ = read_all(path, 10, count=80)
    all_images, _ = read_frames(path, count)
    assert seen[1] == [grey(image) for image in all_images[80:160]]


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (96000, 6)])
def test_sound_of_windows_is_that_of_the_whole(rate, channels, tmp_path):
    path = tmp_path / "tone.mkv"
    noise = "|".join(f"0.1*sin({300 + 40 * c}*t*(1+t/9))" for c in range(channels))
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={noise}:s={rate}:d=24", "-c:a", "pcm_s16le", path)
    whole = read_audio(path, 48000)
    found = survey(path)
    reader = AudioWindows(path, found, 48000)
    assert found.video_end is None and found.seconds == pytest.approx(24, abs=0.05)
    for start in window_starts(found.seconds, 10):
        window = reader.read(start)
        assert window.shape == (480000,)
        expected = whole[start * 48000 :][:480000]
        assert np.abs(window[: len(expected)] - expected).max() < 1e-4
        assert sum(len(samples) for _, samples in reader.held) < 25 * 48000


def test_a_gap_in_the_sound_is_silence():
    """Time stamps that jump by 3 s after 8 s."""
    blocks = [Block(np.full(100, 0.5, np.float32), 100, float(t + (3 if t >= 8 else 0))) for t in range(12)]
    samples, spans = assemble(place(blocks), 15, 100)
    assert samples.tolist() == np.repeat([0.5] * 8 + [0] * 3 + [0.5] * 4, 100).tolist()
    assert spans == [(0, 8), (11, 15)]
    again = [Block(np.full(100, 0.5, np.float32), 100, t) for t in (0.0, 0.5, 1.5)]  # half a second is there twice
    assert sum(len(piece.samples) for piece in place(again)) == 250
    late = [Block(np.full(100, 0.5, np.float32), 100, t) for t in (4.0, 5.1)]  # 0.1 s is left as it is
    samples, spans = assemble(place(late), 8, 100)
    assert samples.tolist() == np.repeat([0, 0.5, 0], [400, 200, 200]).tolist() and spans == [(4, 6)]


def video_of(audio, visual, gate=None, names=("Dog", "<Cat> & 'co'"), path="a b.mp4") -> ParsedVideo:
    """Probabilities (n, C) of a video of n seconds."""
    frame_prob = np.stack([audio, visual], axis=1).astype(np.float32)
    n, _, C = frame_prob.shape
    gate = np.ones((n, C)) if gate is None else np.asarray(gate)
    prob = frame_prob, gate.astype(np.float32)
    return ParsedVideo(Path(path), n, np.arange(n + 1.0), *prob, np.ones((n, 2), bool), names[:C], 10, ["a note"])


def example() -> ParsedVideo:
    """Twenty seconds: Dog heard from 8 to 12, seen from 10 to 13; the other class heard, but not in the window."""
    audio, visual = np.zeros((20, 2)), np.zeros((20, 2))
    audio[8:12, 0] = 0.6, 0.8, 0.8, 1.0
    visual[10:13, 0] = 0.6, 0.6, 0.9
    audio[2:4, 1] = 0.9
    gate = np.ones((20, 2))
    gate[:, 1] = 0.49
    return video_of(audio, visual, gate)


def test_an_event_that_runs_over_a_border_is_one():
    events = find_events(example())
    assert events.drop(columns="filename").values.tolist() == [
        ["audio", 8.0, 12.0, "Dog", 0.8],
        ["visual", 10.0, 13.0, "Dog", 0.7],
        ["audio_visual", 10.0, 12.0, "Dog", 0.75],  # (0.9 + 0.6) / 2
    ]
    assert set(events.filename) == {"a b.mp4"}


def test_threshold_and_missing_tracks():
    assert len(find_events(example(), 0.45)) == 4  # the gate lets the second class pass
    loud = find_events(example(), 0.75)
    assert loud.drop(columns="filename").values.tolist() == [
        ["audio", 9.0, 12.0, "Dog", 0.8667],
        ["visual", 12.0, 13.0, "Dog", 0.9],
    ]
    silent = example()._replace(has_track=np.tile([False, True], (20, 1)))
    assert find_events(silent).modality.tolist() == ["visual"]


def test_text_formats(tmp_path):
    audio, visual = np.zeros((5, 2)), np.zeros((5, 2))
    audio[0:3, 0], visual[2:5, 1], audio[2:3, 1] = 0.75, 0.5, 1
    video = video_of(audio, visual)
    events = find_events(video)
    outputs.write_outputs(tmp_path / "out", video, 0.5, {}, embed=False)
    assert (tmp_path / "out/events.csv").read_text().splitlines() == [
        "filename,modality,onset,offset,event_labels,confidence",
        "a b.mp4,audio,0.0,3.0,Dog,0.75",
        "a b.mp4,audio,2.0,3.0,<Cat> & 'co',1.0",
        "a b.mp4,visual,2.0,5.0,<Cat> & 'co',0.5",
        "a b.mp4,audio_visual,2.0,3.0,<Cat> & 'co',0.75",
    ]
    assert formats.vtt_text(events, video.class_names).split("\n\n") == [
        "WEBVTT",
        "00:00:00.000 --> 00:00:02.000\nDog (audio)",
        "00:00:02.000 --> 00:00:03.000\nDog (audio)\n&lt;Cat&gt; &amp; 'co' (audio and visual)",
        "00:00:03.000 --> 00:00:05.000\n&lt;Cat&gt; &amp; 'co' (visual)\n",
    ]
    assert formats.audacity_text(events).splitlines()[0] == "0.000000\t3.000000\taudio: Dog"
    value = json.loads(outputs.json_text(video, events, 0.5, {"checkpoint": "x"}))
    first = {"modality": "audio", "onset": 0.0, "offset": 3.0, "event_labels": "Dog", "confidence": 0.75}
    assert value["events"][0] == first
    assert value["tracks"] == {"audio": True, "visual": True} and value["settings"] == {"threshold": 0.5, "hop": 10}
    assert formats.clock(3723.0456) == "01:02:03.046"


def test_equal_stems_get_a_number():
    paths = [Path(p) for p in ("a/clip.mp4", "b/clip.mov", "clip_2.mp4", "c/Clip.mp4", "-x.mp4")]
    assert outputs.output_names(paths) == ["clip", "clip_2", "clip_2_2", "Clip_3", "-x"]
    dots = [Path("...mp4"), Path("a/..mp4"), Path(".mp4"), Path("x...mp4")]  # never the folder above
    assert outputs.output_names(dots) == ["video", "video_2", ".mp4", "x.."]


def test_page_cannot_be_broken_out_of(tmp_path):
    name = "</script><script>alert(1)</script>"
    video = video_of(np.ones((3, 1)), np.ones((3, 1)), names=(name,), path="</title>\"'&<b>é.mp4")
    text = render(video, 0.5, {"features": ["<i>"], "checkpoint": "@@DATA@@"}, tmp_path, embed=False)
    assert "alert(1)</script>" not in text and "<b>" not in text and "<i>" not in text and text.count("</title>") == 1
    data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
    assert data["classes"] == [name] and data["audio"] == [[10000] * 3]


def test_probabilities_of_a_page_keep_their_side_of_the_threshold():
    values = np.array([0.49999, 0.5, 0.50001, 0.29999], np.float32)
    assert to_integers(values) == [4999, 5000, 5000, 2999]


def test_short_clip_equals_main_on_the_tools_features(small, small_networks, command, tmp_path, monkeypatch):
    """VALOR's features: same decisions, probabilities to 1e-5."""
    vggish = "--kind vggish --audio_dir videos --checkpoint"
    res152 = "--kind res152 --from_videos videos --checkpoint"
    tools = {
        "--audio_dir": (extract_features, *vggish.split(), small / "vggish.pt", "--out_dir"),
        "--video_dir": (extract_features, *res152.split(), small / "res152.pt", "--out_dir"),
    }
    check_equality(small, command, tmp_path, monkeypatch, "VALOR", tools)


def test_short_clip_equals_main_on_the_teachers_features(
    small, small_networks, clap_files, command, tmp_path, monkeypatch
):
    """VALOR++'s features: CLAP's real architecture, a small CLIP."""
    clap, listed = clap_files / "clap.pt", "--label_all_dataset list.csv --pseudo_labels_saved_dir labels"
    audio = f"--audio_dir videos --any_vocabulary {listed}_a --checkpoint"
    visual = f"--from_videos videos {listed}_v --model"
    tools = {
        "--audio_dir": (clap_preprocess, *audio.split(), clap, "--audio_feats_saved_dir"),
        "--video_dir": (clip_preprocess, *visual.split(), f"local-dir:{small / 'clip'}", "--visual_feats_saved_dir"),
    }
    check_equality(small, command, tmp_path, monkeypatch, "VALOR++", tools, clap)


def check_equality(small, command, tmp_path, monkeypatch, model, tools, clap=None):
    monkeypatch.chdir(tmp_path)
    name = "BjCEufrlXm4"
    clip = find(f"{name}.mp4", SHARED / "video")
    Path("videos").mkdir()
    shutil.copy(clip, "videos")
    Path("list.csv").write_text(f"filename\tevent_labels\n{name}_20_30\tDog\n")
    for file in REFERENCE_FILES.values():
        Path(file).write_text("filename\tonset\toffset\tevent_labels\n")
    r2plus1d = "--kind r2plus1d_18 --from_videos videos --checkpoint"
    tools["--st_dir"] = (extract_features, *r2plus1d.split(), small / "r2plus1d_18.pt", "--out_dir")
    folders = []
    for number, (flag, (tool, *own)) in enumerate(tools.items()):
        result = command(tool, *own, f"feats{number}", "--gpu", "-1", "--workers", "1")
        assert result.status == 0, result.err
        folders += [flag, f"feats{number}"]
    network = f"--mode test --model_name {model} --hidden_dim 16 --nhead 2 --ff_dim 32 --gpu -1"
    data = "--label_test list.csv --gt_dir . --no_cache --save_predictions predicted"
    result = command(main, "--model_save_dir", small, *network.split(), *data.split(), *folders)
    assert result.status == 0, result.err
    expected = np.load("predicted/probabilities.npz")
    frame = expected["frame_prob"]  # of one video
    checkpoints = {kind: small / f"{kind}.pt" for kind in synthetic.SMALL_BASES} | {"CLAP": clap}
    options = {"CLIP": {"model": f"local-dir:{small / 'clip'}"}}
    parser = VideoParser.load(small / model / "checkpoint_best.pt", checkpoints=checkpoints, options=options)
    kept = {}
    video = parser.parse(clip, keep=lambda window, features: kept.update(features))
    pairs = ((video.frame_prob, frame), (video.global_prob, expected["global_prob"][0]))
    difference = max(np.abs(mine - mains).max() for mine, mains in pairs)
    print(f"{model}: largest difference of probabilities {difference:.1e}")
    assert difference <= 1e-5
    assert 0.2 < (video.frame_prob > 0.5).mean() < 0.8 and video.frame_prob.std() > 0.1
    decisions = decide_segments(video)
    table = find_events(video)
    for kind, index in (("audio", 0), ("visual", 1)):
        rows = read_events(Path("predicted", PREDICTION_FILES[kind]))
        reference = events_to_segments(rows, [f"{name}_20_30"])[0]
        assert (decisions[index] == reference).all() and reference.any()
        mine = table[table.modality == kind]
        own = {(r.onset, r.offset, r.event_labels) for r in mine.itertuples()}
        assert own == {(float(on), float(off), CLASS_NAMES[c]) for on, off, c in zip(*rows[2:], strict=True)}
    for number, features in enumerate(parser.model["features"]):
        found, made = kept[features], np.load(f"feats{number}/{name}.npy")
        assert found.shape == made.shape and np.abs(found - made).max() <= 1e-4 * np.abs(made).max()


FILES = [
    "events.csv",
    "events.eaf",
    "events.json",
    "events.txt",
    "events.vtt",
    "parsed.npz",
    "report.html",
    "timeline.png",
]


def test_many_kinds_of_files_in_one_call(parse, tmp_path):
    """Odd names and sizes, variable rate, rotation, no sound, no picture, 5.1; equal stems; several windows."""
    odd = 'it\'s "a" <clip> $1 é'
    make_video(Path(f"{odd}.mp4"), "30", 12.7, "66x50", "sine=frequency=300:sample_rate=8000")
    gap = ("-vf", "setpts='if(gt(N,30),PTS+2/TB,PTS)'", "-fps_mode", "vfr")
    make_video(Path("other", f"{odd}.mkv"), "25", 4, "64x48", "", *gap)
    make_video(Path("upright.mp4"), "8", 2, "64x48", "sine=frequency=300:sample_rate=96000")
    ffmpeg("-display_rotation", "90", "-i", "upright.mp4", "-c", "copy", "turned.mp4")
    surround = "sine=frequency=500:duration=11,aformat=channel_layouts=5.1"
    ffmpeg("-f", "lavfi", "-i", surround, "-c:a", "flac", "./-x.flac")
    names = [f"{odd}.mp4", f"other/{odd}.mkv", "turned.mp4", "./-x.flac"]
    result = parse(*names, "--hop", "5", "--embed", "--keep_features", "kept")
    assert result.status == 0, result.err
    kept = {str(p.relative_to("kept")): np.load(p).shape for p in Path("kept").rglob("*.npy")}
    assert len(kept) == 3 * (2 + 1 + 1 + 2) and kept[f"vggish/{odd}_3_13.npy"] == (10, 128)
    assert kept["res152/turned.npy"] == (80, 2048) and kept["r2plus1d_18/-x_1_11.npy"] == (10, 512)
    folders = [odd, f"{odd}_2", "turned", "-x"]
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(folders)
    values = []
    for folder, name in zip(folders, names, strict=True):
        assert sorted(p.name for p in Path("out", folder).iterdir()) == FILES
        value = json.loads(Path("out", folder, "events.json").read_text(encoding="utf-8"))
        assert value["filename"] == Path(name).name
        with open(Path("out", folder, "events.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(value["events"]) and all(float(r["offset"]) <= value["seconds"] + 0.01 for r in rows)
        values.append(value)
    long, silent, turned, dark = values
    assert silent["tracks"] == {"audio": False, "visual": True} and dark["tracks"] == {"audio": True, "visual": False}
    modalities = [{event["modality"] for event in value["events"]} for value in (silent, dark)]
    assert modalities == [{"visual"}, {"audio"}]
    assert "no audio track: visual events only" in silent["notes"] and "no audio track" in result.err
    assert any(e["offset"] == 12.7 for e in long["events"])
    assert "shorter than 9 s: its ten segments last 0.20 s each" in turned["notes"]


def test_a_new_encoder_is_a_row_and_a_module(parse, monkeypatch):
    synthetic.add_stub_encoder(monkeypatch)
    make_video(Path("v.mp4"), seconds=2)
    checkpoint = synthetic.write_small_parser(Path("stub/checkpoint_best.pt"), 61)
    result = parse("v.mp4", "--stub_checkpoint", "none.pt", checkpoint=checkpoint)
    assert result.status == 0, result.err
    assert json.loads(Path("out/v/events.json").read_text())["model"]["features"][0] == "stub"


def test_a_rotated_video_is_seen_upright(tmp_path):
    make_video(tmp_path / "upright.mp4", "8", 2, "64x48", "")
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "upright.mp4", "-c", "copy", tmp_path / "turned.mp4")
    shapes = []
    found = survey(tmp_path / "turned.mp4")
    look = {"a": FrameSampler(10, lambda image: shapes.append(image.shape))}
    FrameWindows(tmp_path / "turned.mp4", found, look, [0]).read(0)
    assert set(shapes) == {(64, 48, 3)}


def test_a_bad_video_costs_one_line(parse, tmp_path):
    Path("text.mp4").write_text("not a video\n" * 50)
    Path("notes.txt").write_text("not a video\n" * 50)
    Path("empty.mp4").touch()
    Path("folder.mp4").mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc2=duration=0.1", "-f", "mp4", "whole.mp4")
    cut_short(Path("whole.mp4"), 0.9)  # the index is at the end
    for name, text in (
        ("text.mp4", "cannot be decoded"),
        ("notes.txt", "notes.txt: "),
        ("empty.mp4", "is empty (0 bytes)"),
        ("folder.mp4", "is a folder, expected a video"),
        ("missing.mp4", "no such file"),
        ("whole.mp4", "has neither a picture nor sound that can be decoded"),
    ):
        result = parse(name)
        assert result.status == 2 and text in result.error, result.err
        print(result.error)
    assert not Path("out").exists()
    result = parse("text.mp4", "empty.mp4")
    assert result.status == 2 and "none of the 2 videos could be parsed" in result.error
    make_video(Path("good.mp4"), seconds=2)
    result = parse("text.mp4", "good.mp4")
    assert result.status == 1 and "failed: text.mp4: cannot be decoded" in result.err
    assert [p.name for p in Path("out").iterdir()] == ["good"]


@pytest.mark.parametrize(("name", "extra"), [("cut.mp4", ("-movflags", "+faststart")), ("cut.mkv", ())])
def test_a_truncated_video_is_parsed_as_far_as_it_goes(name, extra, parse):
    make_video(Path(name), "25", 30, "64x48", "sine=frequency=440", *extra)
    cut_short(Path(name), 0.5)
    result = parse(name)
    assert result.status == 0, result.err
    value = json.loads(Path("out/cut/events.json").read_text())
    assert 10 < value["seconds"] < 20
    assert any("truncated" in note and " s of 30.0 s" in note for note in value["notes"]), value["notes"]
    assert f"note: {name}: truncated" in result.err
    print(value["notes"])


def test_bad_flags_and_checkpoints_cost_one_line(parse, small, tmp_path):
    make_video(Path("good.mp4"), seconds=1)
    other = synthetic.write_small_parser(Path("other/checkpoint_best.pt"), 100)
    torch.save({"a": torch.zeros(2)}, "no_parser.pt")
    Path("damaged.pt").write_bytes(b"no checkpoint")
    rest = "clip_caption: a, clap_caption: a, clip_threshold: 1, clap_threshold: 1"
    Path("three.yaml").write_text("".join(f"- {{name: {name}, {rest}}}\n" for name in "abc"))
    for flags, text in (
        (("--checkpoint", other), "has input_a_dim 100, expected 128 (vggish) or 768 (CLAP)"),
        (("--checkpoint", "no_parser.pt"), "holds no weights of MMIL_Net"),
        (("--checkpoint", "damaged.pt"), "not a PyTorch checkpoint"),
        (("--checkpoint", "missing.pt"), "missing.pt: no such checkpoint"),
        (("--classes", "three.yaml"), "was trained with num_classes 25, but that of three.yaml (--classes) is 3"),
        (("--nhead", "3"), "nhead 3 does not divide hidden_dim 16"),
        (("--nhead", "4"), "was trained with nhead 2, but --nhead is 4"),
        (("--vggish_checkpoint", "v.pt"), "--vggish_checkpoint v.pt: no such file, expected weights of vggish, such"),
        (("--res152_checkpoint", small / "vggish.pt"), "vggish.pt: does not fit res152's network"),
        (("--hop", "2.5"), "2.5 is not a whole number of seconds from 1 to 10"),
        (("--hop", "abc"), "abc is not a whole number of seconds from 1 to 10"),
        (("--out", "/proc/none"), "--out /proc/none: nothing can be written in /proc"),
        (("--threshold", "1.5"), "1.5 is not between 0 and 1"),
        (("--out", "good.mp4"), "--out good.mp4: is a file, expected a folder"),
    ):
        result = parse("good.mp4", last=flags)
        assert result.status == 2 and text in result.error, result.err
        print("\n" + result.error)
    assert not Path("out").exists()


def test_names_that_are_no_text_and_videos_too_large_to_embed(parse, monkeypatch):
    make_video(Path("good.mp4"), seconds=1)
    name = os.fsdecode(b"caf\xe9.mp4")
    Path("good.mp4").rename(name)
    result = parse(name)
    assert result.status == 0 and "caf\ufffd.mp4: " in result.out, result.err
    assert json.loads(Path("out", Path(name).stem, "events.json").read_text())["filename"] == "caf\ufffd.mp4"
    assert "../../caf%E9.mp4" in Path("out", Path(name).stem, "report.html").read_text()
    monkeypatch.setattr(page, "EMBED_LIMIT", 2**10)
    Path(name).rename("good.mp4")
    result = parse("good.mp4", "--embed")
    assert result.status == 2 and "leave --embed out to link it" in result.error


def test_what_a_writer_cannot_finish_is_not_there(parse, monkeypatch, tmp_path):
    make_video(Path("good.mp4"), seconds=1)
    assert parse("good.mp4").status == 0
    before = {p.name: p.read_bytes() for p in Path("out/good").iterdir()}
    Path("out/good/mine.txt").write_text("a user's own")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "draw_timeline", fail)
    result = parse("good.mp4", "--threshold", "0.3")
    assert result.status == 2 and "No space left on device" in result.error
    assert {p.name: p.read_bytes() for p in Path("out/good").iterdir() if p.name != "mine.txt"} == before
    assert [p.name for p in Path("out").iterdir()] == ["good"] and Path("out/good/mine.txt").is_file()


class StandIn:
    """An encoder that logs how much it is given."""

    def __init__(self, kind: str, prepare, log: list):
        self.kind, self.prepare, self.log = KINDS[kind], prepare, log
        self.rng = np.random.default_rng(0)

    def embed(self, contents):
        self.log += map(len, contents)
        return self.rng.standard_normal((len(contents), self.kind.rows, self.kind.size)).astype(np.float32)


def stand_in(log: list) -> VideoParser:
    """A parser of stand-in encoders that count what they are given."""
    net = MMIL_Net(128, 2048, hidden_dim=8, nhead=1, ff_dim=8).eval()
    encoders = {
        "audio": StandIn("vggish", lambda samples, seconds: samples, log),
        "visual": StandIn("res152", lambda image: image[:1, :1].copy(), log),
        "visual_st": StandIn("r2plus1d_18", lambda image: 0, log),
    }
    return VideoParser(net, LLP, encoders)


def test_one_call_from_paths_to_events(tmp_path):
    a, b = make_video(tmp_path / "a.mp4", seconds=2), make_video(tmp_path / "b.mp4", seconds=21)
    log: list = []
    events = parse_videos([a, str(b)], stand_in(log), threshold=0.3)
    assert log == [16000 * 2 + len(read_audio(a, 16000)) - 32000, 80, 80] + [160000, 80, 80] * 3
    assert events.columns.tolist() == ["filename", "modality", "onset", "offset", "event_labels", "confidence"]
    assert set(events.filename) <= {"a.mp4", "b.mp4"}
    with pytest.raises(InputError, match="expected 1 to 10 seconds"):
        parse_videos(a, stand_in([]), hop=11)


def there(segments: str) -> list[bool]:
    """`++-` -> in which of three segments a track is there."""
    return [segment == "+" for segment in segments]


def test_nothing_is_decided_where_there_is_nothing(tmp_path):
    """In a video of one window and in longer ones: beyond the end of a track, in gaps, in damaged stretches."""
    cases = {
        "short": (10, "trim=0:5", "aselect='not(between(t,2,3.99))'", "++--++++++", "+++++-----"),
        "long": (24, "", "aselect='not(between(t,2,6.99))',atrim=0:20", "++" + "-" * 5 + "+" * 13 + "-" * 4, "+" * 24),
    }
    for name, (seconds, picture, sound, heard, seen) in cases.items():
        path = clock_video(tmp_path / f"{name}.mkv", seconds, "25", picture, sound)
        video = stand_in([]).parse(path)
        assert video.has_track[:, 0].tolist() == there(heard), name
        assert video.has_track[:, 1].tolist() == there(seen), name
        certain = video._replace(frame_prob=np.ones_like(video.frame_prob), global_prob=np.ones_like(video.global_prob))
        decided = decide_segments(certain)  # (3, C, n)
        assert decided[0].all(axis=0).tolist() == there(heard) and decided[1].all(axis=0).tolist() == there(seen)
        assert any(note.startswith("no sound from 2.0 to ") for note in video.notes)
    path = clock_video(tmp_path / "damaged.mp4", 24)
    with av.open(str(path)) as container:
        packets = [(float(p.pts * p.time_base), p.pos, p.size) for p in container.demux() if p.size]
    data = bytearray(path.read_bytes())
    for time, position, size in packets:
        if 13 <= time < 16:
            data[position + 8 : position + size] = b"\xff" * max(0, size - 8)
    path.write_bytes(data)
    video = stand_in([]).parse(path)
    assert video.has_track.all(axis=1).tolist() == there("+" * 13 + "---" + "+" * 8)


def test_windows_without_media_are_left_out(tmp_path):
    """A gap of three hours costs nothing."""
    path = tmp_path / "gap.mkv"
    plain = clock_video(tmp_path / "v.mkv", 20, "25", "", "", "-bf", "0")
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                late = 3 * 3600 * 1000 if packet.dts is not None and packet.dts >= 10_000 else 0
                packet.stream = streams[packet.stream]
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
                target.mux(packet)
    log: list = []
    video = stand_in(log).parse(path)
    assert len(log) < 30 and len(video.has_track) == pytest.approx(3 * 3600 + 20, abs=1)
    assert video.has_track[:10].all() and video.has_track[-9:].all() and not video.has_track[12:-12].any()


def test_memory_stays_at_a_window(tmp_path, monkeypatch):
    """Of 60 s no more is held than a window of frames as the networks see them, and of sound."""
    path = make_video(tmp_path / "long.mp4", "10", 60, "32x32")
    most = {"frames": 0, "samples": 0}
    sizes = {FrameWindows: lambda r: len(r.kept), AudioWindows: lambda r: sum(len(samples) for _, samples in r.held)}
    for kind, reader in (("frames", FrameWindows), ("samples", AudioWindows)):

        def read(self, start, original=reader.read, size=sizes[reader], kind=kind):
            result = original(self, start)
            most[kind] = max(most[kind], size(self))
            return result

        monkeypatch.setattr(reader, "read", read)
    log = []
    video = stand_in(log).parse(path, hop=5)
    assert len(log) == 3 * 11 and len(video.frame_prob) == 60
    assert most["frames"] <= 81 and most["samples"] < 12 * 16000


def test_survey_of_a_cover_is_no_picture(tmp_path):
    make_video(tmp_path / "c.mp4", seconds=1, sound="")
    ffmpeg("-i", tmp_path / "c.mp4", "-frames:v", "1", tmp_path / "cover.png")
    cover = ("-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=3", *cover, tmp_path / "song.mp3")
    found = survey(tmp_path / "song.mp3")
    assert found.video_end is None and found.audio_end == pytest.approx(3, abs=0.1)


def test_timeline_is_a_picture(tmp_path):
    for number, video in enumerate((example(), video_of(np.zeros((3, 1)), np.zeros((3, 1)), names=("$x$",)))):
        path = tmp_path / f"{number}.png"
        outputs.draw_timeline(path, video, find_events(video))
        assert path.read_bytes().startswith(b"\x89PNG")


def test_survey_says_how_long_each_track_is(tmp_path):
    path = make_video(tmp_path / "v.mp4", seconds=3)
    assert survey(path).video_end == pytest.approx(3, abs=0.1)
