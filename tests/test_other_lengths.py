"""Videos of other lengths than ten seconds, from media files to features, pseudo labels and events."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import main
import nets
from tests import synthetic
from tests.conftest import SMALL, TRAIN
from tests.media_files import clock_video, make_video, second_of, seconds_heard
from tests.test_parse_video import StandIn
from utils import clap_preprocess, clip_preprocess, extract_features, parse_video
from utils.base.errors import InputError
from utils.extract.features import PIECE, FeatureExtractor
from utils.features.kinds import KINDS
from utils.llp.datasets import read_dataset
from utils.llp.videos import read_videos
from utils.media.clips import read_pictures, read_sound
from utils.metrics.eval_metrics import SCORE_NAMES
from utils.parse.events import decide_segments
from utils.parse.outputs import write_outputs
from utils.parse.parser import VideoParser


def write_yaml(folder, seconds, **entries):
    """A data set of two classes; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "seconds": seconds, "classes": ["cat", "dog"]} | entries))
    return path


@pytest.fixture(scope="module")
def clocks(tmp_path_factory):
    """A folder with videos of 5, 7.4 and 70 seconds that show and sound which second it is."""
    folder = tmp_path_factory.mktemp("clocks")
    for name, seconds in (("five", 5), ("seven", 7.4), ("long", 70)):
        clock_video(folder / f"{name}.mp4", seconds)
    return folder


@pytest.mark.parametrize(("name", "segments", "seconds"), [("five", 5, 5), ("five", None, 5), ("long", None, 70)])
def test_a_frame_and_a_part_of_the_sound_of_each_second(clocks, name, segments, seconds):
    content, *images = read_pictures(clocks / f"{name}.mp4", segments or 1, None, segments)
    assert len(content.is_there) == len(images) == seconds and content.is_there.all()
    shown = [second_of(image) for image in images[:12]]  # greys of later seconds are white
    late = [place - second for place, second in enumerate(shown)]  # by which a frame at the border of two is too early
    assert set(late) <= {0, 1} and (seconds > 10 or not any(late))
    content, samples = read_sound(clocks / f"{name}.mp4", 16000, None, segments)
    assert len(content.is_there) == seconds and content.is_there.all()
    assert seconds_heard(samples, 16000, seconds)[:30] == list(range(min(seconds, 30)))


def test_seconds_are_rounded_and_eight_frames_are_of_each(clocks):
    content, *images = read_pictures(clocks / "seven.mp4", 8, None, None)
    assert len(content.is_there) == 7 and len(images) == 56
    content, _ = read_sound(clocks / "seven.mp4", 16000, None, None)
    assert len(content.is_there) == 7  # though AAC's last frame ends later


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Small networks, whose files are in the returned folder."""
    synthetic.use_small_networks(monkeypatch)
    (tmp_path / "small").mkdir()
    synthetic.write_small_networks(tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "small"


@pytest.mark.parametrize(("seconds", "names", "rows"), [(5, ["five"], [5]), ("per_video", ["five", "long"], [5, 70])])
def test_features_of_each_length(small, clocks, command, seconds, names, rows):
    dataset = write_yaml(Path("data"), seconds)
    Path("list.csv").write_text("filename\n" + "".join(f"{name}\n" for name in names))
    for kind, flag, each in (
        ("vggish", "--audio_dir", 1),
        ("res152", "--from_videos", 8),
        ("r2plus1d_18", "--from_videos", 1),
    ):
        flags = ("--kind", kind, flag, clocks, "--label_all_dataset", "list.csv", "--checkpoint", small / f"{kind}.pt")
        result = command(extract_features, *flags, "--dataset", dataset, "--gpu", "-1", "--batch_size", "2")
        assert result.status == 0, result.err
        for name, count in zip(names, rows, strict=True):
            assert np.load(f"data/feats/{kind}/{name}.npy").shape == (count * each, KINDS[kind].size)


def test_pieces_change_no_number(small, clocks):
    """A video of more than PIECE seconds goes through the network in pieces."""
    dataset = read_dataset(write_yaml(Path("data"), "per_video"))
    Path("list.csv").write_text("filename\nlong\n")
    (video,) = read_videos("list.csv", dataset, weak_labels=False)
    for kind in ("vggish", "r2plus1d_18"):
        own = (KINDS[kind], clocks, False, "--out", "-1", "fp32")
        extractor = FeatureExtractor(*own, dataset, checkpoint=small / f"{kind}.pt")
        extractor.load()
        content, seconds = extractor.read(video)
        assert 70 <= seconds < 70.5 and len(content[1]) > PIECE
        pieces = extractor.compute([content], [video])[0]["--out"]
        whole = extractor.encoder.embed([content[0]])[0]
        assert np.allclose(pieces, whole, atol=1e-5) and len(pieces) == len(content[1])


def test_teachers_label_each_second(small, clocks, clap_files, command):
    """CLIP and CLAP; weak labels of a modality, if the data set has them, are those that count."""
    data = Path("data")
    dataset = write_yaml(data, "per_video", weak={"audio": "train_audio.csv", "visual": "train_visual.csv"})
    classes = yaml.safe_load(dataset.read_text())["classes"]
    names = {"train": {"five": "cat,dog", "seven": "dog"}, "train_audio": {"five": "cat", "seven": ""}}
    names |= {"train_visual": {"five": "dog", "seven": "dog"}, "val": {"long": "cat"}, "test": {"long": "cat"}}
    for name, rows in names.items():
        lines = [f"{video}\t{labels}" for video, labels in rows.items()]
        (data / f"{name}.csv").write_text("\n".join(["filename\tevent_labels", *lines, ""]))
    low = [
        {"name": c, "clip_caption": c, "clap_caption": c, "clip_threshold": -1e9, "clap_threshold": -1e9}
        for c in classes
    ]
    Path("low.yaml").write_text(yaml.safe_dump(low))
    common = ("--dataset", dataset, "--classes", "low.yaml", "--gpu", "-1", "--workers", "1")
    clip = ("--from_videos", clocks, "--model", f"local-dir:{small / 'clip'}")
    clap = ("--audio_dir", clocks, "--checkpoint", clap_files / "clap.pt", "--any_vocabulary")
    refused = command(clap_preprocess, *clap, *common)
    assert refused.status == 2 and "--per_second" in refused.error
    for tool, flags, teacher, size in (
        (clip_preprocess, clip, "CLIP", 768),
        (clap_preprocess, (*clap, "--per_second"), "CLAP", 512),
    ):
        result = command(tool, *flags, *common, "--logits_saved_dir", f"data/{teacher}/logits")
        assert result.status == 0, result.err
        own = {"CLIP": {"five": [0, 1], "seven": [0, 1]}, "CLAP": {"five": [1, 0], "seven": [0, 0]}}[teacher]
        for name, seconds, weak in (("five", 5, own["five"]), ("seven", 7, own["seven"]), ("long", 70, [1, 0])):
            labels = np.load(f"data/{teacher}/segment_pseudo_labels/{name}.npy")
            assert labels.tolist() == [weak] * seconds and labels.dtype == np.int64
            features = np.load(f"data/{teacher}/features/{name}.npy")
            assert features.shape == (seconds, size)
            assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-4)
            assert np.load(f"data/{teacher}/logits/{name}.npy").shape == (seconds, 2)


# ---------------------------------------------------------------- parsing


def parser_of(tmp_path, seconds, **entries):
    """A parser of stand-in encoders whose network was trained on videos of that length."""
    torch.manual_seed(0)
    dataset = read_dataset(write_yaml(tmp_path / "data", seconds, **entries))
    net = nets.MMIL_Net(128, 2048, hidden_dim=8, nhead=1, ff_dim=8, num_classes=2).eval()
    log: list = []
    encoders = {
        "audio": StandIn("vggish", lambda samples, seconds: samples, log),
        "visual": StandIn("res152", lambda image: image[:1, :1].copy(), log),
        "visual_st": StandIn("r2plus1d_18", lambda image: 0, log),
    }
    return VideoParser(net, dataset, encoders)


def features_of(parser, path):
    """What the parser's encoders say of the windows of a video, pooled to segments, and the parsed video."""
    kept = {}
    video = parser.parse(path, keep=lambda window, features: kept.update({window: features}))
    pooled = {}
    for features in kept.values():
        for name, array in features.items():
            pooled.setdefault(name, []).append(array.reshape(10, -1, array.shape[1]).mean(axis=1))
    return video, pooled


def run(net, rows, lengths=None):
    with torch.no_grad():
        return net(*(torch.from_numpy(x)[None] for x in rows), lengths)


def test_a_network_of_any_length_sees_the_whole_video(tmp_path):
    parser = parser_of(tmp_path, "per_video", gate="modality")
    path = clock_video(tmp_path / "v.mp4", 24)
    video, pooled = features_of(parser, path)
    rows = [np.concatenate([first, second, third[6:]]) for first, second, third in pooled.values()]  # 0, 10, 14 on
    expected = run(parser.net, rows)
    assert len(video.frame_prob) == 24 and video.hop is None
    assert np.allclose(video.frame_prob, expected.frame_prob[0], atol=1e-6)
    gate = torch.stack([expected.a_prob[0], expected.v_prob[0]])
    assert np.allclose(video.global_prob, gate[None].expand(24, -1, -1), atol=1e-6)
    heard = (expected.frame_prob[0, :, 0] >= 0.5) & (expected.a_prob[0] >= 0.5)
    assert np.array_equal(decide_segments(video)[0], heard.T.numpy() & video.has_track[:, 0])
    write_outputs(tmp_path / "out", video, 0.5, {"dataset": "mine"}, embed=False)
    assert json.loads((tmp_path / "out/events.json").read_text())["settings"] == {"threshold": 0.5, "hop": None}
    assert "visualGate" in (tmp_path / "out/report.html").read_text()
    with pytest.raises(InputError, match="--hop 5"):
        parser.parse(path, hop=5)


def test_a_short_video_has_its_own_seconds(tmp_path):
    parser = parser_of(tmp_path, "per_video")
    video, pooled = features_of(parser, clock_video(tmp_path / "v.mp4", 5))
    rows = [parts[0].reshape(5, 2, -1).mean(axis=1) for parts in pooled.values()]
    assert video.edges.tolist() == pytest.approx([0, 1, 2, 3, 4, 5], abs=0.02)
    assert np.allclose(video.frame_prob, run(parser.net, rows).frame_prob[0], atol=1e-6)


@pytest.mark.parametrize("seconds", [5, 20])
def test_networks_of_other_fixed_lengths_see_so_many_seconds(tmp_path, seconds):
    parser = parser_of(tmp_path, seconds)
    video, pooled = features_of(parser, clock_video(tmp_path / "v.mp4", 40))
    rows = [np.concatenate(parts) for parts in pooled.values()]
    assert len(rows[0]) == 40
    for start in range(0, 40, seconds):
        expected = run(parser.net, [x[start : start + seconds] for x in rows])
        assert np.allclose(video.frame_prob[start : start + seconds], expected.frame_prob[0], atol=1e-6)
        assert np.allclose(video.global_prob[start], expected.global_prob[0], atol=1e-6)


def test_a_video_shorter_than_those_of_the_training(tmp_path):
    parser = parser_of(tmp_path, 90)
    video, pooled = features_of(parser, clock_video(tmp_path / "v.mp4", 30))
    rows = [np.repeat(np.concatenate(parts), 3, axis=0) for parts in pooled.values()]  # 30 seconds as 90 segments
    expected = run(parser.net, rows).frame_prob[0].reshape(30, 3, 2, 2).mean(dim=1)
    assert np.allclose(video.frame_prob, expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [5, 90])
def test_from_yaml_to_scores_and_a_parsed_video(small, command, seconds):
    """Own clips of five and of ninety seconds, by commands alone; of the networks only their size is small."""
    dataset, data = write_yaml(Path("data"), seconds), Path("data")
    lists = {"train": ["a", "b", "c"], "val": ["d", "e"], "test": ["f", "g"]}
    for split, names in lists.items():
        for name in names:
            make_video(Path(f"videos/{name}.mp4"), seconds=seconds, rate="8")
        rows = [f"{name}\t{('cat', 'dog')[k % 2]}" for k, name in enumerate(names)]
        (data / f"{split}.csv").write_text("\n".join(["filename\tevent_labels", *rows, ""]))
    for modality, onset in (("audio", 0), ("visual", 2)):
        rows = [f"{name}\t{onset}\t{seconds - 1}\tcat" for name in "df"]
        (data / f"eval_{modality}.csv").write_text("\n".join(["filename\tonset\toffset\tevent_labels", *rows, ""]))
    for teacher in ("CLAP", "CLIP"):
        folder = data / teacher / "segment_pseudo_labels"
        folder.mkdir(parents=True)
        for name in "abcde":
            np.save(folder / f"{name}.npy", np.ones((seconds, 2), np.int64))
    weights = {kind: small / f"{kind}.pt" for kind in ("vggish", "res152", "r2plus1d_18")}
    for kind, path in weights.items():
        source = "--audio_dir" if kind == "vggish" else "--from_videos"
        own = ("--kind", kind, source, "videos", "--dataset", dataset, "--checkpoint", path, "--gpu", "-1")
        assert command(extract_features, *own).status == 0
    rates = ("--epochs", "30", "--lr", "1e-2", "--stepsize", "100")
    assert command(main, *TRAIN, *rates, "--dataset", dataset, "--model_name", "own").status == 0
    result = command(main, *SMALL, "--mode", "test", "--model_name", "own", "--json", "scores.json")
    assert result.status == 0, result.err
    assert set(json.loads(Path("scores.json").read_text())) == set(SCORE_NAMES)
    flags = [f"--{kind.removesuffix('_18')}_checkpoint={path}" for kind, path in weights.items()]
    parsed = ("--checkpoint", "models/own/checkpoint_best.pt", "--out", "events", "--gpu", "-1", *flags)
    result = command(parse_video, "videos/f.mp4", *parsed)
    assert result.status == 0, result.err
    found = json.loads(Path("events/f/events.json").read_text())
    assert (found["model"]["seconds"], found["model"]["dataset"]) == (seconds, "mine")
    assert found["seconds"] == pytest.approx(seconds, abs=0.1)
    assert all(0 <= event["onset"] < event["offset"] <= seconds + 0.1 for event in found["events"])
    refused = command(parse_video, "videos/f.mp4", *parsed, "--hop", "5")
    assert refused.status == 2 and "--hop 5: the network is not of windows of 10 seconds" in refused.error
