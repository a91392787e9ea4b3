"""Deciding anew from what is kept, the sound that is drawn, the texts for other programs, videos without events."""

# ruff: noqa: F811

import json
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests import synthetic
from tests.media_files import ffmpeg, make_video
from tests.test_parse_video import example, parse, small, small_networks, video_of  # noqa: F401 (fixtures)
from utils import parse_video
from utils.base.errors import InputError
from utils.llp.classes import CLASS_NAMES, CLASSES, write_classes
from utils.parse import formats
from utils.parse import parser as parser_module
from utils.parse.events import Windows, find_events, likeliest, peaks
from utils.parse.kept import FILE, read_kept, write_kept
from utils.parse.page import sound_data
from utils.parse.sound import SoundPainter
from utils.report.html import distinct_colours


@pytest.fixture
def parsed(parse):
    """`out/clip`, parsed with windows that are 2 s apart, and the command to parse."""
    make_video(Path("clip.mp4"), seconds=17)
    result = parse("clip.mp4", "--hop", "2", "--threshold", "0.4", "--spectrogram")
    assert result.status == 0, result.err
    return parse


def texts(folder: Path) -> dict[str, str]:
    """The events of a run in each form, without what names the checkpoint."""
    found = {name: Path(folder, name).read_text() for name in ("events.csv", "events.vtt", "events.txt", "events.eaf")}
    return found | {"events.json": json.loads(Path(folder, "events.json").read_text())}


@pytest.mark.parametrize("flags", [("--threshold", "0.2"), ("--hop", "4"), ("--hop", "10", "--threshold", "0.6"), ()])
def test_what_is_decided_anew_is_what_a_new_run_decides(parsed, command, flags):
    kept = Path("out/clip", FILE).read_bytes()
    again = command(parse_video, "clip.mp4", "--reuse", "--out", "out", *flags)
    assert again.status == 0, again.err
    reused = texts("out/clip")
    assert Path("out/clip", FILE).read_bytes() == kept  # for the next time
    hop = () if "--hop" in flags else ("--hop", "2")
    assert parsed("clip.mp4", *hop, *flags).status == 0
    assert texts("out/clip") == reused


def test_other_class_names_and_what_cannot_be_reused(parsed, command):
    def again(*flags):
        return command(parse_video, "clip.mp4", "--reuse", "--out", "out", *flags)

    write_classes(Path("mine.yaml"), [one._replace(name=f"My {one.name}") for one in CLASSES])
    assert again("--classes", "mine.yaml", "--threshold", "0.2").status == 0
    labels = pd.read_csv("out/clip/events.csv").event_labels
    assert len(labels) and labels.str.startswith("My ").all()
    write_classes(Path("three.yaml"), CLASSES[:3])
    for flags, message in (
        (("--classes", "three.yaml"), "--classes: lists 3 classes, expected the 25 of the checkpoint"),
        (("--hop", "3"), "--hop 3: expected a multiple of 2, by which the kept windows are apart; leave --reuse out"),
        (
            ("--checkpoint", "x.pt"),
            "--reuse with another --checkpoint needs the features that a run with --keep_features",
        ),
        (("--spectrogram",), "--spectrogram has no meaning with --reuse"),
        (("--out", "other"), "other/clip/parsed.npz: no such file, from which --reuse decides; leave --reuse out"),
    ):
        result = again(*flags)
        assert result.status == 2 and message in result.error, result.err
    data = Path("out/clip", FILE).read_bytes()
    Path("out/clip", FILE).write_bytes(data[: len(data) // 2])
    assert "not a file of parse_video.py" in again().error
    Path("out/clip", FILE).write_bytes(data)
    with open("clip.mp4", "ab") as file:
        file.write(b"longer")
    assert "is of another file than clip.mp4, or that has changed since" in again().error
    missing = command(parse_video, "clip.mp4", "--out", "out")
    assert missing.status == 2 and "--checkpoint is missing: a run's checkpoint_best.pt, or valor," in missing.error


@pytest.mark.parametrize(("seconds", "hop"), [(17, "5"), (2, "10")])
def test_another_checkpoint_decides_from_kept_features(parse, command, seconds, hop, monkeypatch):
    """As a run that computes them; no encoder is loaded."""
    make_video(Path("clip.mp4"), seconds=seconds)
    other = synthetic.write_small_parser(Path("other/checkpoint_best.pt"), seed=7)
    assert parse("clip.mp4", "--hop", hop, "--keep_features", "kept").status == 0
    assert parse("clip.mp4", "--hop", hop, "--threshold", "0.4", checkpoint=other).status == 0
    expected = texts("out/clip")
    assert parse("clip.mp4", "--hop", hop).status == 0
    assert texts("out/clip") != expected
    with monkeypatch.context() as patch:
        patch.setattr(parser_module, "load_encoder", None)
        flags = ("--threshold", "0.4", "--keep_features", "kept", "--checkpoint", other, "--gpu", "-1")
        result = command(parse_video, "clip.mp4", "--reuse", "--out", "out", *flags)
    assert result.status == 0, result.err
    assert texts("out/clip") == expected
    wide = synthetic.write_small_parser(Path("wide/checkpoint_best.pt"), 768, 768)
    for flags, message in (
        (("--checkpoint", other, "--keep_features", "none"), "no such file, which an earlier run with --keep_features"),
        (("--checkpoint", wide, "--keep_features", "kept"), "kept/CLAP/clip"),
    ):
        result = command(parse_video, "clip.mp4", "--reuse", "--out", "out", *flags)
        assert result.status == 2 and message in result.error, result.err
    kept = next(Path("kept/vggish").iterdir())
    np.save(kept, np.zeros((10, 5), np.float32))
    flags = ("--checkpoint", other, "--keep_features", "kept")
    result = command(parse_video, "clip.mp4", "--reuse", "--out", "out", *flags)
    assert result.status == 2 and "holds (10, 5), expected (rows, 128) for the checkpoint" in result.error


def test_an_hour_is_decided_anew_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    starts = np.arange(0, 3591)
    windows = Windows(starts, rng.random((3591, 10, 2, 25), np.float32), rng.random((3591, 25), np.float32))
    video = video_of(np.zeros((3600, 25)), np.zeros((3600, 25)), names=CLASS_NAMES)
    video = video._replace(path=tmp_path / "a.mp4", hop=1, windows=windows)
    video.path.touch()
    write_kept(tmp_path / FILE, video, {"checkpoint": "x"})
    start = time.perf_counter()
    found, model = read_kept(tmp_path / FILE, video.path)
    again = found.with_hop(5)
    assert time.perf_counter() - start < 10
    assert model == {"checkpoint": "x"} and again.hop == 5 and len(again.windows.starts) == 719
    assert again.frame_prob[7] == pytest.approx(windows.frame_prob[[0, 5], [7, 2]].mean(axis=0), abs=1e-6)
    assert found.frame_prob[0] == pytest.approx(windows.frame_prob[0, 0], abs=1e-6)
    with pytest.raises(InputError, match="the network has seen no windows"):
        example().with_hop(5)


def test_peaks_are_the_highest_thresholds_with_an_event():
    video = example()
    values = peaks(video)
    assert values == pytest.approx([1.0, 0.49])
    assert likeliest(video, 1) == [("Dog", 1.0)]
    for c, name in enumerate(video.class_names):
        assert name in set(find_events(video, values[c]).event_labels)
        assert name not in set(find_events(video, np.nextafter(values[c], np.float32(2))).event_labels)
    deaf = video._replace(has_track=np.tile([False, True], (20, 1)))
    assert peaks(deaf) == pytest.approx([0.9, 0.0])
    gates = np.stack([np.full((20, 2), 0.3), np.full((20, 2), 0.7)], axis=1)  # of each modality
    assert peaks(video._replace(global_prob=gates)) == pytest.approx([0.7, 0.3])


def test_a_video_without_events_says_what_is_likeliest(parse):
    make_video(Path("clip.mp4"), seconds=2)
    result = parse("clip.mp4", "--threshold", "0.999")
    assert result.status == 0 and "clip.mp4: 0 events" in result.out
    said = re.search(r"none reaches --threshold 0.999; the likeliest, with their probabilities: (.*)", result.out)[1]
    names, values = zip(*(entry.rsplit(" ", 1) for entry in said.split(", ")), strict=True)
    assert len(names) == 5 and set(names) <= set(CLASS_NAMES)
    assert [float(v) for v in values] == sorted(map(float, values), reverse=True)


def test_the_waveform_is_the_extremes_of_each_bin():
    """A ramp and steps by hand, windows that overlap, another sample rate, a gap."""
    painter = SoundPainter(20.0)
    assert painter.rate == 100
    samples = np.zeros(160_000, np.float32)
    samples[160:320] = 0.5  # the second hundredth
    samples[500], samples[510] = -1.0, 1.0
    painter.add(0, samples, 16_000)
    painter.add(6, np.full(160_000, 0.25, np.float32), 16_000)  # its first four seconds are there already
    picture = painter.picture()
    assert len(picture.low) == len(picture.high) == 2000 and picture.mel is None
    assert picture.high[:4].tolist() == [0, 64, 0, 127] and picture.low[:4].tolist() == [0, 64, 0, -127]
    assert not picture.high[4:1000].any() and (picture.low[1000:1600] == 32).all() and not picture.low[1600:].any()
    other = SoundPainter(3.005)
    other.add(0, np.repeat([0.0, 0.5], 24_000 * 3).astype(np.float32)[: 48_000 * 3 + 240], 48_000)
    assert len(other.high) == 301 and (other.high[:145] == 0).all() and (other.high[160:295] == 64).all()
    assert [SoundPainter(seconds).rate for seconds in (600, 601, 3600, 10**6)] == [100, 50, 10, 1]


def test_the_spectrogram_shows_a_tone_in_its_band():
    from utils.encoders.vggish import HIGHEST, LOWEST, MEL_BANDS, hertz_to_mel

    painter = SoundPainter(20.0, spectrogram=True)
    t = np.arange(160_000) / 16_000
    for start, hertz in ((0, 440), (10, 3000)):
        painter.add(start, (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32), 16_000)
    mel = painter.picture().mel
    assert mel.shape == (64, 2000) and mel.dtype == np.uint8
    edges = np.linspace(hertz_to_mel(LOWEST), hertz_to_mel(HIGHEST), MEL_BANDS + 2)
    for part, hertz in ((mel[:, 100:900], 440), (mel[:, 1100:1900], 3000)):
        band = np.argmin(np.abs(edges[1:-1] - hertz_to_mel(hertz)))
        assert np.abs(part.argmax(axis=0) - band).max() <= 1 and part.max() > 150 and np.median(part) < 60
    halves = SoundPainter(20.0, spectrogram=True)
    sound = np.sin(2 * np.pi * 440 * np.arange(320_000) / 16_000).astype(np.float32)
    whole = SoundPainter(20.0, spectrogram=True)
    for start in (0, 10):
        whole.add(start, sound[start * 16_000 :][:160_000], 16_000)
    for start in range(11):  # windows that overlap
        halves.add(start, sound[start * 16_000 :][:160_000], 16_000)
    assert (whole.picture().mel == halves.picture().mel).all()
    quiet = whole.picture().mel[40:, 2:]  # far from the tone: no clicks where windows meet
    assert np.ptp(quiet.astype(int), axis=1).max() <= 3
    data = sound_data(painter.picture())
    assert len(data["mel"]) == 1 and data["tileWidth"] == 4096 and data["rate"] == 100


def test_the_sound_of_a_file_is_drawn_while_it_is_decoded(parse):
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='if(between(t,12,14),0.5,0)':s=16000:d=21", "-c:a", "pcm_s16le", "pulse.mkv")
    assert parse("pulse.mkv", "--hop", "5").status == 0
    video, _ = read_kept(Path("out/pulse", FILE), Path("pulse.mkv"))
    loud = np.flatnonzero(video.sound.high > 50) / video.sound.rate
    assert loud.min() == pytest.approx(12, abs=0.05) and loud.max() == pytest.approx(14, abs=0.05)
    make_video(Path("mute.mp4"), seconds=2, sound="")
    assert parse("mute.mp4").status == 0 and read_kept(Path("out/mute", FILE), Path("mute.mp4"))[0].sound is None


def test_elan_file_holds_the_events():
    events = find_events(example())
    root = ElementTree.fromstring(formats.elan_text(events, "a b.mp4", './a "b" & <c>.mp4'))
    media = root.find("HEADER/MEDIA_DESCRIPTOR").attrib
    assert media["RELATIVE_MEDIA_URL"] == './a "b" & <c>.mp4' and media["MIME_TYPE"] == "video/mp4"
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    found = {
        (tier.get("TIER_ID"), slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a[0].text)
        for tier in root.iter("TIER")
        for a in tier.iter("ALIGNABLE_ANNOTATION")
    }
    assert found == {("audio: Dog", 8000, 12000, "Dog"), ("visual: Dog", 10000, 13000, "Dog")}
    types = {t.get("LINGUISTIC_TYPE_ID") for t in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} <= types


def test_no_two_classes_have_the_same_colour():
    for count in (1, 7, 8, 25, 100, 500):
        colours = distinct_colours(count)
        assert len(set(colours)) == count and all(re.fullmatch("#[0-9A-F]{6}", c) for c in colours)
