"""UWAV's temporal teacher: published values, loss and seconds by hand, its commands from features to main.py."""

import json
import math

import numpy as np
import pytest
import torch

import main
from nets import TemporalTeacher
from tests import conftest
from tests.conftest import ROOT, TRAIN
from tests.media_files import make_video
from tests.synthetic import write_small_clip
from tests.test_networks import check
from tests.test_resume import contents, equal, interrupt, stop_at_call
from utils import clap_preprocess, embed_captions, score_pseudo_labels, temporal_labels, train_teacher
from utils.base.npy import read_npy
from utils.encoders import load_encoder
from utils.features.dense_videos import DenseSplit, DenseVideo, Event, pool_seconds, read_annotations, seconds_labels
from utils.features.kinds import KINDS
from utils.llp.classes import CLASS_NAMES, CLASSES, class_names, read_classes
from utils.llp.videos import read_split
from utils.media.clips import read_audio
from utils.metrics.eval_metrics import SCORE_NAMES
from utils.train import temporal
from utils.train.temporal import evaluate, load_teacher, read_texts, teacher_loss

WIDTHS = {"hidden_dim": 16, "nhead": 4, "ff_dim": 24, "num_layers": 2}


def small(classes=5, **settings):
    torch.manual_seed(0)
    texts = [torch.nn.functional.normalize(torch.randn(classes, size), dim=1) for size in (12, 14)]
    return TemporalTeacher(*texts, input_a_dim=6, input_v_dim=7, **WIDTHS | settings)


# the network


@pytest.mark.usefixtures("published_dropout")
def test_it_is_the_published_one():
    """Initial values, logits, losses, gradients, seconds and pooling; skipped without the golden values."""
    script = conftest.find("check_uwav.py", conftest.SHARED / "uwav")
    printed = check(script, script.parent, ROOT / "tests/adapters/uwav.py", "--parts", "stage1", "--path", ROOT)
    assert "stage1: 411 comparisons, 0 out of tolerance" in printed


def slow_logits(net, m, x, text, factor):
    """One modality of one video from the definition, head by head: (T, D) -> (T, C)."""
    w = {k.removeprefix(f"{m}_transformer.encoder."): v for k, v in net.state_dict().items()}
    linear = lambda x, name: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    mlp = lambda x, name: linear(linear(x, f"{name}.layers.0").clamp(min=0), f"{name}.layers.1")

    def norm(x, name):
        centred = x - x.mean(1, keepdim=True)
        return (
            centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    x = mlp(x, f"proj_{m}")
    for i in range(2):
        q, k, v = (x @ w[f"layers.{i}.self_attn.in_proj_weight"].T + w[f"layers.{i}.self_attn.in_proj_bias"]).chunk(
            3, 1
        )
        heads = [(a @ b.T / 2).softmax(1) @ c for a, b, c in zip(*(z.split(4, 1) for z in (q, k, v)), strict=True)]
        x = norm(x + linear(torch.cat(heads, 1), f"layers.{i}.self_attn.out_proj"), f"layers.{i}.norm1")
        wide = linear(x, f"layers.{i}.linear1").clamp(min=0)
        x = norm(x + linear(wide, f"layers.{i}.linear2"), f"layers.{i}.norm2")
    return mlp(x, f"final_proj_{m}") @ text.T * factor


def test_logits_from_the_definition():
    net = small().eval()
    audio, visual = torch.randn(1, 6, 6), torch.randn(1, 6, 7)
    a, v = net(audio, visual, torch.ones(1, 6))
    torch.testing.assert_close(a[0], slow_logits(net, "a", audio[0], net.text_a, 3.2912), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(v[0], slow_logits(net, "v", visual[0], net.text_v, 4.6052), atol=1e-5, rtol=1e-5)


def test_padding_changes_no_logit_of_a_video():
    net, generator = small().eval(), torch.Generator().manual_seed(1)
    lengths, longest = (7, 3, 1), 9
    audio, visual = (torch.randn(3, longest, size, generator=generator) for size in (6, 7))
    valid = (torch.arange(longest) < torch.tensor(lengths)[:, None]).float()
    padded = net(audio, visual, valid)
    for i, n in enumerate(lengths):
        alone = net(audio[i : i + 1, :n], visual[i : i + 1, :n], torch.ones(1, n))
        for one, all_of_them in zip(alone, padded, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i, :n], atol=1e-5, rtol=0)
    assert all(z.isfinite().all() for z in padded)


def test_a_padded_query_attends_evenly_to_all_seconds():
    net = small().eval()
    attention, seen = net.a_transformer.encoder.layers[0].self_attn, {}
    attention.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], out=output[0]))
    net(torch.randn(1, 5, 6), torch.randn(1, 5, 7), torch.tensor([[1.0, 1, 1, 0, 0]]))
    values = seen["x"][:, 0] @ attention.in_proj_weight[32:].T + attention.in_proj_bias[32:]  # (T, D)
    evenly = attention.out_proj(values.mean(dim=0))
    for padded in (3, 4):
        torch.testing.assert_close(seen["out"][padded, 0], evenly, atol=1e-5, rtol=1e-5)
    assert (seen["out"][0, 0] - evenly).abs().max() > 1e-3


def test_texts_are_no_weights_and_can_be_exchanged():
    net, other = small(), small(classes=9)
    assert not [name for name in net.state_dict() if "text" in name]
    assert list(net.state_dict())[:2] == ["a_logit_scale", "v_logit_scale"]
    other.load_state_dict(net.state_dict())
    inputs = torch.randn(1, 4, 6), torch.randn(1, 4, 7), torch.ones(1, 4)
    other.text_a = torch.cat([net.text_a, net.text_a[:4] * 2])
    a, _ = net.eval()(*inputs)
    b, _ = other.eval()(*inputs)
    torch.testing.assert_close(b[..., :5], a)
    torch.testing.assert_close(b[..., 5:], 2 * a[..., :4])


# the loss


def test_the_loss_by_hand():
    """Two videos of two seconds and of one, two classes: weights by video and class, divided by 3 seconds times 2."""
    labels = torch.tensor([[[1.0, 0], [0, 0]], [[0, 1], [0, 0]]])
    valid = torch.tensor([[1.0, 1], [1, 0]])
    found = teacher_loss(torch.zeros(2, 2, 2), torch.zeros(2, 2, 2), labels, valid, (5.0, 1.0))  # p = 1/4
    yes, no = -math.log(0.25), -math.log(0.75)
    expected = (5 * yes + 5 * no + no + no) + (no + 5 * yes)
    assert found.item() == pytest.approx(expected / 6, rel=1e-6)


@pytest.mark.parametrize("size", [60.0, 100.0, 1e4])
def test_saturated_logits_cost_at_most_100_and_have_finite_gradients(size):
    a = torch.tensor([[[-size, size, -size, 0.0]]], requires_grad=True)
    v = torch.tensor([[[-size, size, 0.0, 0.0]]], requires_grad=True)
    labels = torch.tensor([[[1.0, 0.0, 1.0, 1.0]]])
    loss = teacher_loss(a, v, labels, torch.ones(1, 1), (5.0, 1.0))
    # p: 0 in float32, exactly 1, sigmoid(-size) / 2, 1/4
    third = min(100.0, size + math.log(2))
    assert loss.item() == pytest.approx((5 * 100 + 100 + 5 * third + 5 * math.log(4)) / 4, rel=1e-5)
    loss.backward()
    for logits in (a, v):
        assert logits.grad.isfinite().all() and logits.grad[0, 0, :2].abs().max() < 1e-30
        # the last cell: d(-log p)/dz = sigmoid(z) - 1, times 5 / 4
        assert logits.grad[0, 0, 3].item() == pytest.approx(-0.5 * 5 / 4, rel=1e-6)


def test_seconds_after_the_end_cost_nothing_and_nan_is_told():
    g = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 4, 3, generator=g) for _ in "av"]
    labels, valid = (torch.rand(2, 4, 3, generator=g) < 0.3).float(), torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]])
    labels *= valid[..., None]
    before = teacher_loss(*logits, labels, valid, (5.0, 1.0))
    logits[0][1, 2:] = 1e4
    assert torch.equal(teacher_loss(*logits, labels, valid, (5.0, 1.0)), before)
    logits[1][0, 0, 0] = math.nan
    assert teacher_loss(*logits, labels, valid, (5.0, 1.0)).isnan()


# seconds


def test_seconds_by_hand():
    events = [(0.0, 1.0, 0), (1.5, 2.01, 1), (3.9, 99.0, 1), (7.0, 9.0, 0), (2.0, 2.0, 2), (2.5, 2.5, 3)]
    found = seconds_labels(4.2, events, 4)  # five seconds
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert found.dtype == np.uint8 and found.tolist() == expected


@pytest.mark.parametrize(("rows", "seconds"), [(23, 8), (8, 8), (5, 12), (1, 10), (64, 10)])
def test_pooling_is_the_mean_of_the_rows_of_a_bin(rows, seconds):
    x = torch.randn(rows, 3)
    bins = [x[i * rows // seconds : -(-(i + 1) * rows // seconds)].mean(dim=0) for i in range(seconds)]
    torch.testing.assert_close(pool_seconds(x, seconds), torch.stack(bins), atol=1e-6, rtol=1e-6)


def test_a_batch_is_padded_to_the_longest_video_of_the_split(tmp_path):
    for n, (name, rows) in enumerate((("a", 4), ("b", 9), ("c", 2))):
        np.save(tmp_path / f"{name}.npy", np.full((rows, 2), n + 1, np.float32))
    videos = [
        DenseVideo("a", "train", 2.0, (Event(0, 1, 1),)),
        DenseVideo("b", "train", 4.5, ()),
        DenseVideo("c", "test", 9.0, ()),
    ]
    split = DenseSplit.read(videos, "train", {"audio": tmp_path, "visual": tmp_path}, 3)
    assert len(split) == 2 and split.longest == 5
    batch = split.batch([0])
    assert batch["audio"].tolist() == [[[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]]]
    assert batch["valid"].tolist() == [[1, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]]
    torch.manual_seed(0)
    orders = [[int(x["audio"][0, 0, 0]) for x in split.batches(1, shuffle=True)] for _ in range(20)]
    assert sorted(set(map(tuple, orders))) == [(1, 2), (2, 1)]
    torch.manual_seed(0)
    assert orders == [[i + 1 for i in torch.randperm(2).tolist()] for _ in range(20)]
    assert [len(x["valid"]) for x in split.batches(2, shuffle=False)] == [2]


def test_validation_scores_by_hand():
    """p >= 0.5 counts, also exactly; what is predicted after the end of a video does not."""
    labels = torch.tensor([[[1.0, 0], [1, 0], [0, 0]], [[0, 1], [0, 0], [0, 0]]])
    valid = torch.tensor([[1.0, 1, 1], [1, 1, 0]])
    half = torch.tensor(0.5).logit().item()
    logits = torch.full((2, 3, 2), -9.0)
    logits[0, 0, 0] = half  # the other modality is certain
    logits[1, :, 1] = 9.0  # seconds 0 and 1, and one after the end
    net = lambda *_: (logits, torch.full((2, 3, 2), 40.0))
    net.eval = lambda: None
    batch = {"audio": labels, "visual": labels, "labels": labels, "valid": valid}
    losses, scores = evaluate(net, [batch], torch.device("cpu"), (5.0, 1.0))
    f = 100 * (2 * 1 / (1 + 2) + 2 * 1 / (2 + 1)) / 2
    assert scores["Seg-av"] == pytest.approx(f) and scores["Event-av"] == 100 and scores["Seg-a"] is None
    assert losses["loss_all"] == pytest.approx(teacher_loss(*net(), labels, valid, (5.0, 1.0)).item())


# the commands

SIZES = {"a": (12, 16), "v": (14, 18)}  # of features, and of texts
DATA = ("--annotations", "unav.json", "--audio_dir", "dense_a", "--video_dir", "dense_v")
TEXTS = ("--text_a", "text_a.npy", "--text_v", "text_v.npy")
SHAPE = ("--hidden_dim", "32", "--nhead", "4", "--ff_dim", "32", "--num_layers", "1", "--gpu", "-1")
FAST = (*SHAPE, "--batch_size", "4", "--epochs", "2", "--warm_up_epoch", "1", "--lr", "1e-2", "--log_every", "1")
TEACH = (*DATA, *TEXTS, *FAST, "--dropout", "0.1")
LABEL = (*TEXTS, "--audio_dir", "llp_a", "--video_dir", "llp_v", "--gpu", "-1")
LABEL += ("--a_logits_saved_dir", "logits_a", "--v_logits_saved_dir", "logits_v")
BEST = ("--checkpoint", "models/temporal_teacher/checkpoint_best.pt")


def write_dense(folder, rng):
    """Videos of 3 to 12 s in UnAV's form; a second's features are the direction of its class, and noise."""
    directions = {m: rng.standard_normal((25, size)) for m, (size, _) in SIZES.items()}
    database = {}
    for number in range(46):
        duration = float(rng.uniform(3, 12))
        label = int(rng.integers(3))
        start, end = sorted(rng.uniform(0, duration, 2).tolist())
        event = {"segment": [start, end], "label": CLASS_NAMES[label]} | ({"label_id": label} if number % 2 else {})
        subset = "test" if number == 45 else "validation" if number >= 36 else "train"  # test has no features
        database[f"v{number}"] = {"subset": subset, "duration": duration, "annotations": [event]}
        truth = seconds_labels(duration, [(start, end, label)], 25)
        for m, rate in (("a", 2), ("v", 1)) if subset != "test" else ():
            clean = (truth @ directions[m]).repeat(rate, axis=0)
            np.save(folder / f"dense_{m}" / f"v{number}.npy", (clean + rng.normal(0, 0.3, clean.shape)).astype("f4"))
    (folder / "unav.json").write_text(json.dumps({"database": database}))


@pytest.fixture(scope="module")
def made(lookalike, tmp_path_factory):
    """A working folder with a made-up UnAV, texts of LLP's classes, and embeddings of the synthetic LLP's videos."""
    folder, rng = tmp_path_factory.mktemp("teacher"), np.random.default_rng(0)
    for name in ("dense_a", "dense_v", "llp_a", "llp_v"):
        (folder / name).mkdir()
    write_dense(folder, rng)
    for m, (size, text_size) in SIZES.items():
        np.save(folder / f"text_{m}.npy", 3 * rng.standard_normal((25, text_size)))
        for name in read_split(lookalike / "AVVP_dataset_full.csv").ids:
            np.save(folder / f"llp_{m}" / f"{name}.npy", rng.standard_normal((10, size)).astype("f4"))
    return folder


@pytest.fixture
def place(made, workspace):
    """`workspace` with links to the files of `made`."""
    for path in made.iterdir():
        (workspace / path.name).symlink_to(path)
    return workspace


def test_trains_resumes_to_the_bit_and_refuses_an_existing_run(place, command, monkeypatch):
    result = command(train_teacher, *TEACH, "--model_save_dir=whole")
    assert result.status == 0, result.err
    whole = contents(place / "whole/temporal_teacher")
    first, last = whole["log"]
    assert last["train_loss_all"] < first["train_loss_all"] and last["Seg-av"] > 0 and last["Seg-type"] is None
    assert first["lr"] == pytest.approx(1e-2) and last["lr"] == pytest.approx(1e-5)  # warmed up, then the minimum
    assert len(whole["iterations"].splitlines()) == 18 and "checkpoint_best.pt" in whole
    assert whole["arguments"]["w_pos"] == "5.0" and whole["arguments"]["annotations"] == "unav.json"
    with monkeypatch.context() as patch:
        stop_at_call(patch, temporal, "teacher_loss", 16, interrupt)  # in the second epoch
        assert command(train_teacher, *TEACH).status == 130
    result = command(train_teacher, *TEACH)
    assert result.status == 2 and "exists; continue it with --resume" in result.error
    result = command(train_teacher, *TEACH, "--resume", "--w_pos=2")
    assert result.status == 2 and "--w_pos was 5.0, is 2.0" in result.error
    assert command(train_teacher, *TEACH, "--resume").status == 0
    resumed = contents(place / "models/temporal_teacher")
    assert equal(resumed["log"], whole["log"]) and resumed["iterations"] == whole["iterations"]
    assert all(equal(resumed[name], whole[name]) for name in whole if name.endswith(".pt"))


def test_the_first_epoch_of_the_highest_av_by_segments_is_best(place, command, monkeypatch):
    made = iter(({"Seg-av": 10, "Event-av": 30}, {"Seg-av": 20, "Event-av": 10}, {"Seg-av": 20, "Event-av": 40}))
    fake = lambda *_: ({"loss_all": 0.1}, dict.fromkeys(SCORE_NAMES) | next(made))
    monkeypatch.setattr(temporal, "evaluate", fake)
    assert "at epoch 2" in command(train_teacher, *TEACH, "--epochs=3", "--save_epochs").out
    names = ("best", "epoch_2", "epoch_3")
    weights = {n: torch.load(place / f"models/temporal_teacher/checkpoint_{n}.pt") for n in names}
    assert equal(weights["best"], weights["epoch_2"]) and not equal(weights["best"], weights["epoch_3"])


def test_it_learns_who_is_heard_and_seen(place, command):
    assert command(train_teacher, *TEACH, "--epochs=12", "--warm_up_epoch=2", "--lr=3e-3").status == 0
    log = [json.loads(x) for x in (place / "models/temporal_teacher/log.jsonl").read_text().splitlines()]
    assert max(line["Seg-av"] for line in log) > 80
    weights = torch.load(place / "models/temporal_teacher/checkpoint_best.pt")
    texts = [read_texts(place / f"text_{m}.npy", 25) for m in "av"]
    assert all(torch.allclose(x.norm(dim=1), torch.ones(25)) for x in texts)
    net = load_teacher(place / "models/temporal_teacher/checkpoint_best.pt", *texts, None)
    assert net.nhead == 4 and equal(dict(net.state_dict()), dict(weights))
    folders = {"audio": place / "dense_a", "visual": place / "dense_v"}
    split = DenseSplit.read(read_annotations(place / "unav.json", CLASS_NAMES), "validation", folders, 25)
    _, scores = evaluate(net, split.batches(1, shuffle=False), torch.device("cpu"), (5.0, 1.0))
    assert scores["Seg-av"] == pytest.approx(max(line["Seg-av"] for line in log))


def test_logits_go_on_to_thresholds_and_soft_targets(place, command):
    assert command(train_teacher, *TEACH).status == 0
    result = command(temporal_labels, *LABEL, *BEST)
    assert result.status == 0 and "40 videos done" in result.out, result.err
    name = min(path.name for path in (place / "llp_a").iterdir())
    texts = [read_texts(place / f"text_{m}.npy", 25) for m in "av"]
    net = load_teacher(place / BEST[1], *texts, None)
    inputs = [torch.from_numpy(np.load(place / f"llp_{m}" / name))[None] for m in "av"]
    with torch.no_grad():
        for m, z in zip("av", net(*inputs, torch.ones(1, 10)), strict=True):
            written = np.load(place / f"logits_{m}" / name)
            assert written.dtype == np.float32 and written.shape == (10, 25)  # all classes, listed or not
            np.testing.assert_allclose(written, z[0], atol=1e-5)
    assert "0 videos done, 40 were finished before" in command(temporal_labels, *LABEL, *BEST).out
    logits = ("--a_logits_dir", "logits_a", "--v_logits_dir", "logits_v")
    sweep = command(score_pseudo_labels, "--sweep=all", *logits, "--exact_classes=exact.yaml")
    assert sweep.status == 0 and class_names(read_classes(place / "exact.yaml")) == CLASS_NAMES
    soft = ("--targets=soft", *logits, "--label_thresholds=exact.yaml", "--model_name=student")
    result = command(main, *TRAIN, *soft)
    assert result.status == 0, result.err
    assert (place / "models/student/checkpoint_last.pt").exists()


def test_a_video_without_features_costs_itself_only(place, command):
    torch.manual_seed(0)
    texts = [read_texts(place / f"text_{m}.npy", 25) for m in "av"]
    net = TemporalTeacher(*texts, input_a_dim=12, input_v_dim=14, **WIDTHS | {"nhead": 16})
    torch.save(net.state_dict(), place / "bare.pt")  # without arguments.txt
    (place / "some").mkdir()
    for path in sorted((place / "llp_a").iterdir())[1:]:
        (place / "some" / path.name).symlink_to(path)
    result = command(temporal_labels, *LABEL, "--audio_dir=some", "--checkpoint=bare.pt")
    assert result.status == 1 and "39 videos done" in result.out and "1 failed" in result.out
    assert len((place / "logits_a/failures.csv").read_text().splitlines()) == 2


def edit(place, change):
    """unav.json with the first video's entry, and its first event, changed."""
    data = json.loads((place / "unav.json").read_text())
    change(data["database"]["v0"], data["database"]["v0"]["annotations"][0])
    (place / "bad.json").write_text(json.dumps(data))
    return "--annotations=bad.json"


BAD_ANNOTATIONS = {
    "an event from 3.0 to 2.0 s": lambda video, event: event.update(segment=[3, 2]),
    "an event from -1.0 to 2.0 s": lambda video, event: event.update(segment=[-1, 2]),
    "an event from nan to 2.0 s": lambda video, event: event.update(segment=[math.nan, 2]),
    "unknown class 'Dgo'; did you mean Dog?": lambda video, event: event.update(label="Dgo"),
    "label_id is 25, expected 0 to 24": lambda video, event: event.update(label_id=25),
    "label_id is '1', expected 0 to 24": lambda video, event: event.update(label_id="1"),
    "expected a segment [start, end]": lambda video, event: event.pop("segment"),
    "subset is 'val', expected one of train, validation, test": lambda video, event: video.update(subset="val"),
    "duration is 0.0 s": lambda video, event: video.update(duration=0),
    "expected subset, duration": lambda video, event: video.pop("duration"),
}


@pytest.mark.parametrize("text", BAD_ANNOTATIONS)
def test_bad_annotations_cost_one_line(place, command, text):
    result = command(train_teacher, *TEACH, edit(place, BAD_ANNOTATIONS[text]))
    assert result.status == 2 and text in result.error and "bad.json, 'v0'" in result.error
    assert not (place / "models").exists()


def test_bad_input_of_training_costs_one_line(place, command):
    (place / "list.json").write_text("[1, 2]")
    (place / "empty.json").write_text('{"database": {}}')
    (place / "part").mkdir()
    for path in sorted((place / "dense_a").iterdir())[1:]:
        (place / "part" / path.name).symlink_to(path)
    np.save(place / "zero.npy", np.zeros((25, 16)))
    np.save(place / "seven.npy", np.ones((7, 16)))
    (place / "other").mkdir()
    for path in (place / "dense_v").iterdir():
        np.save(place / "other" / path.name, np.load(path)[:, : 5 if path.stem == "v3" else 14])
    (place / "nan").mkdir()
    for path in (place / "dense_v").iterdir():
        np.save(place / "nan" / path.name, np.load(path) * (np.nan if path.stem == "v3" else 1))
    for flags, text in (
        (("--annotations=none.json",), "none.json: no such file"),
        (("--annotations=text_a.npy",), "text_a.npy: not a text file"),
        (("--annotations=list.json",), "list.json: not annotations in UnAV's form"),
        (("--annotations=empty.json",), "no video of the subset train"),
        (("--audio_dir=part",), "part: 1 of 36 files of train are missing (v0.npy)"),
        (("--video_dir=other",), "v3.npy: holds features of size 5, expected 14 as in v0.npy"),
        (("--video_dir=nan",), "v3.npy: holds NaN"),
        (("--text_a=none.npy",), "none.npy: no such file, expected texts (25, D)"),
        (("--text_v=seven.npy",), "seven.npy: holds (7, 16) float64, expected texts (25, D)"),
        (("--text_a=zero.npy",), "zero.npy: holds NaN, infinite values or a row of zeros"),
        (("--nhead=5",), "--nhead 5 does not divide --hidden_dim 32"),
        (("--resume",), "no run to resume"),
        (("--lr=1e30", "--grad_norm=0", "--warm_up_epoch=0"), "training stopped"),
    ):
        result = command(train_teacher, *TEACH, *flags)
        assert result.status == 2 and text in result.error, (flags, result.err)
        assert not (place / "models/temporal_teacher").exists()


def test_bad_input_of_labels_costs_one_line(place, command):
    texts = [read_texts(place / f"text_{m}.npy", 25) for m in "av"]
    net = TemporalTeacher(*texts, input_a_dim=12, input_v_dim=14, **WIDTHS)
    for name, change in (
        ("right", {}),
        ("nan", {"proj_a.layers.0.bias": torch.full((32,), math.nan)}),
        ("shape", {"proj_v.layers.0.bias": torch.zeros(3)}),
    ):
        torch.save(net.state_dict() | change, place / f"{name}.pt")
    torch.save({"x": torch.zeros(2)}, place / "parser.pt")
    np.save(place / "short.npy", np.ones((25, 3)))
    for checkpoint, flags, text in (
        ("none", (), "none.pt: no such checkpoint"),
        ("parser", (), "parser.pt: holds no weights of a temporal teacher"),
        ("nan", ("--nhead=4",), "nan.pt: holds NaN or infinite weights"),
        ("shape", ("--nhead=4",), "shape.pt: does not fit a temporal teacher"),
        ("right", ("--text_a=short.npy",), "right.pt: expects texts of size 16, but those of --text_a have 3"),
        ("right", ("--nhead=5",), "(nhead 5 does not divide hidden_dim 16)"),
        ("right", ("--nhead=4", "--video_dir=none"), "none: no such folder"),
        ("right", ("--nhead=4", "--label_all_dataset=none.csv"), "none.csv: no such file"),
    ):
        result = command(temporal_labels, *LABEL, f"--checkpoint={checkpoint}.pt", *flags)
        assert result.status == 2 and text in result.error, (flags, result.err)
        assert not (place / "logits_a").exists()


# texts and seconds of the encoders


def test_texts_of_a_class_file(clap_files, tmp_path, command):
    model = write_small_clip(tmp_path / "clip")
    flags = ("--clap_checkpoint", clap_files / "clap.pt", "--any_vocabulary", "--clip_model", model, "--gpu", "-1")
    result = command(embed_captions, "--out", tmp_path / "texts", *flags)
    assert result.status == 0, result.err
    clip = load_encoder(KINDS["CLIP"], model=model)
    expected = clip.embed_captions([c.clip_caption for c in CLASSES]).numpy()
    np.testing.assert_allclose(read_npy(tmp_path / "texts/text_v.npy"), expected, atol=1e-6)
    clap = load_encoder(KINDS["CLAP"], clap_files / "clap.pt", any_vocabulary=True)
    expected = clap.embed_captions([c.clap_caption for c in CLASSES]).numpy()
    np.testing.assert_allclose(read_npy(tmp_path / "texts/text_a.npy"), expected, atol=1e-6)
    result = command(embed_captions, "--out", tmp_path / "texts/text_a.npy", *flags)
    assert result.status == 2 and "is a file, expected a folder" in result.error


def test_clap_of_each_second(clap_files, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video = make_video(tmp_path / "videos/abcdefghijk.mp4", "25", 10, "64x48", "sine=frequency=300")
    (tmp_path / "list.csv").write_text("filename\tevent_labels\nabcdefghijk_0_10\tDog\n")
    flags = (
        "--checkpoint",
        clap_files / "clap.pt",
        "--any_vocabulary",
        "--gpu",
        "-1",
        "--label_all_dataset",
        "list.csv",
    )
    flags += ("--audio_dir", "videos", "--pseudo_labels_saved_dir", "labels", "--per_second")
    result = command(clap_preprocess, *flags)
    assert result.status == 2 and "--per_second: data/CLAP/features is for token maps" in result.error
    assert command(clap_preprocess, *flags, "--audio_feats_saved_dir", "seconds").status == 0
    teacher = load_encoder(KINDS["CLAP"], clap_files / "clap.pt", any_vocabulary=True)
    expected, _ = teacher.embed_segments([teacher.preprocess(read_audio(video, 48000))])
    found = np.load("seconds/abcdefghijk.npy")
    assert found.shape == (10, 512) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)
