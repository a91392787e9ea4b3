"""Recipes beside VALOR's losses: by hand, by their invariants, and through main.py."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import main
from nets.mmil_net import ParserOutput
from tests.conftest import TRAIN
from tests.test_resume import interrupt, stop_at_call
from utils import pack_features
from utils.llp.classes import CLASSES, read_classes, write_classes
from utils.llp.pseudo_labels import NOTHING, pseudo_labels
from utils.metrics.bootstrap import paired_interval
from utils.metrics.decision_thresholds import Thresholds, choose_thresholds
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores
from utils.metrics.threshold_sweep import Sweep, agnostic_threshold, class_thresholds, f1_threshold
from utils.train import losses
from utils.train.losses import parser_losses, segment_loss
from utils.train.recipe import (
    Recipe,
    binary_labels,
    class_weights,
    draw_mixup,
    mix,
    recombine,
    soft_labels,
)

RUN = (*TRAIN, "--model_name", "run")


def random_batch(videos=6, classes=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    weak = (torch.rand(videos, classes, generator=g) < 0.6).float()
    batch = {"weak": weak, "audio": torch.randn(videos, 10, 4, generator=g)}
    batch |= {"visual": torch.randn(videos, 10, 5, generator=g), "visual_st": torch.randn(videos, 10, 6, generator=g)}
    for m in "av":
        batch[f"pseudo_{m}"] = (torch.rand(videos, 10, classes, generator=g) < 0.5).float() * weak[:, None]
    return batch


# targets


def test_soft_labels_by_hand():
    logits = torch.tensor([[[1.0, 5.0, 3.0], [0.0, -2.0, 3.0]]])  # (B=1, T=2, C=3)
    thresholds, weak = torch.tensor([0.5, -math.inf, 2.0]), torch.tensor([[1.0, 1.0, 0.0]])
    found = soft_labels(logits, thresholds, weak, 2.0)
    sigmoid = lambda x: 1 / (1 + math.exp(-x))
    # the infinite threshold becomes the least logit of its class, -2, minus 1
    expected = [[sigmoid(0.25), sigmoid(4.0), 0], [sigmoid(-0.25), sigmoid(0.5), 0]]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    assert binary_labels(logits, thresholds, weak).tolist() == [[[1, 1, 0], [0, 1, 0]]]


def test_temperature_towards_zero_gives_the_binary_labels():
    g = torch.Generator().manual_seed(0)
    logits, thresholds = torch.randn(5, 10, 4, generator=g), torch.tensor([0.2, -math.inf, -0.3, 5.0])
    weak = (torch.rand(5, 4, generator=g) < 0.7).float()
    binary = binary_labels(logits, thresholds, weak)
    torch.testing.assert_close(soft_labels(logits, thresholds, weak, 1e-5), binary, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(binary, pseudo_labels(logits, weak, thresholds))
    student = torch.randn(5, 10, 4, generator=g)
    losses = [segment_loss(student, soft_labels(logits, thresholds, weak, t), weak, None).item() for t in (1e-5, 1e-6)]
    assert losses == pytest.approx([segment_loss(student, binary, weak, None).item()] * 2, rel=1e-6)


def test_a_segment_that_contains_nothing_is_never_positive():
    logits = torch.tensor([[[NOTHING, NOTHING], [4.0, NOTHING]]])
    accept_all, weak = torch.full((2,), -math.inf), torch.ones(1, 2)
    assert binary_labels(logits, accept_all, weak).tolist() == [[[0, 0], [1, 0]]]
    soft = soft_labels(logits, accept_all, weak, 2.0)
    assert soft[0, :, 1].tolist() == [0, 0] and soft[0, 0, 0] == 0
    assert soft[0, 1, 0].item() == pytest.approx(1 / (1 + math.exp(-0.5)))  # 4 is the least logit: threshold 3


# weights


def test_statistics_by_hand_and_both_scales():
    labels = np.zeros((2, 10, 4), np.uint8)
    labels[0, :5, 0] = labels[1, :, 3] = 1  # 15 events in 20 seconds
    assert class_weights(labels, 0.5, "classes") == (0.5 * (4 - 0.75), 0.75)
    assert class_weights(labels, 0.5, "one") == pytest.approx((0.5 * (4 - 0.75) / 4, 0.75 / 4))


def test_scale_one_is_scale_classes_over_the_number_of_classes():
    batch = random_batch()
    student = torch.randn(6, 10, 3)
    labels = batch["pseudo_a"].numpy()
    loss = {
        s: segment_loss(student, batch["pseudo_a"], batch["weak"], class_weights(labels, 0.5, s))
        for s in ("one", "classes")
    }
    assert loss["classes"].item() == pytest.approx(3 * loss["one"].item(), rel=1e-6)


def test_weights_follow_the_videos_label_and_not_the_segments():
    student, target = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    loss = segment_loss(student, target, torch.tensor([[1.0, 0.0]]), (5.0, 1.0))
    assert loss.item() == pytest.approx(math.log(2) * (5 + 5 + 1 + 1) / 4, rel=1e-6)


@pytest.mark.parametrize(("share", "target", "ratio"), [(0.3, 0.8, 9.8), (0.1, 0.5, 1.0), (0.6, 1.0, 3.0)])
def test_the_optimum_of_a_look_up_table(share, target, ratio):
    """A cell whose video has the class with probability pi, and then target q: p* = pi R q / (pi R + 1 - pi)."""
    weak = torch.tensor([[1.0]] * round(100 * share) + [[0.0]] * round(100 * (1 - share)))
    targets = (target * weak)[:, None]
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=100, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = segment_loss(logit.expand(len(weak), 1, 1), targets, weak, (ratio, 1.0))
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = share * ratio * target / (share * ratio + 1 - share)
    assert logit.sigmoid().item() == pytest.approx(expected, abs=1e-4)


def test_the_segment_weight_is_in_the_sum_alone():
    batch, logits = random_batch(), torch.randn(6, 10, 2, 3)
    output = ParserOutput(torch.rand(6, 3), None, None, logits.sigmoid(), logits)
    terms = ("video", "audio", "visual")
    plain, heavy = (parser_losses(output, batch, terms, Recipe(segment_weight=w)) for w in (1.0, 12.0))
    assert all(torch.equal(plain[name], heavy[name]) for name in plain if name != "loss_all")
    expected = plain["loss_video"] + 12 * (plain["loss_valor_a"] + plain["loss_valor_v"])
    assert heavy["loss_all"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_guided_smooths_the_visual_label_alone():
    a_prob, v_prob = torch.tensor([[0.8, 0.3]]), torch.tensor([[0.6, 0.1]])
    output = ParserOutput(a_prob, a_prob, v_prob, None, torch.zeros(1, 10, 2, 2))
    losses = parser_losses(output, {"weak": torch.tensor([[1.0, 0.0]])}, ("guided",), Recipe(label_smoothing=0.9))
    assert losses["loss_guided_a"].item() == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2, rel=1e-6)
    bce = lambda p, t: -(t * math.log(p) + (1 - t) * math.log(1 - p))
    assert losses["loss_guided_v"].item() == pytest.approx((bce(0.6, 0.95) + bce(0.1, 0.05)) / 2, rel=1e-6)
    assert list(losses) == ["loss_guided_a", "loss_guided_v", "loss_all"]


# mixup and recombination


def test_mixup_with_lambda_one_is_the_unweighted_segment_loss():
    features, targets = torch.randn(4, 10, 8), torch.rand(4, 10, 3)
    classifier = torch.nn.Linear(8, 3)
    x, mixed = mix(features, targets, 1.0, torch.randperm(40))
    loss = F.binary_cross_entropy_with_logits(classifier(x), mixed)
    assert loss.item() == pytest.approx(segment_loss(classifier(features), targets, None, None).item(), rel=1e-6)


def test_mixup_crosses_videos_and_keeps_gradients_of_both_partners():
    features = torch.randn(2, 2, 3, requires_grad=True)
    permutation = torch.tensor([3, 2, 1, 0])
    x, _ = mix(features, torch.rand(2, 2, 1), 0.25, permutation)
    x[0].sum().backward()
    assert features.grad[0, 0].tolist() == [0.25] * 3 and features.grad[1, 1].tolist() == [0.75] * 3
    assert not features.grad[0, 1].any() and not features.grad[1, 0].any()


def test_alpha_zero_draws_a_permutation_and_mixes_nothing():
    torch.manual_seed(3)
    mixed, permutation = draw_mixup(0.0, 20)
    torch.manual_seed(3)
    assert mixed == 1.0 and torch.equal(permutation, torch.randperm(20))


def test_lambda_is_beta_distributed():
    torch.manual_seed(0)
    drawn = np.array([draw_mixup(1.7, 1)[0] for _ in range(4000)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * 1.7 + 1)), rel=0.1)  # Beta(a, a)


def test_recombined_videos_have_one_sound_and_another_picture():
    batch = random_batch()
    found = recombine(batch, [4, 0, 5])
    assert {len(x) for x in found.values()} == {9} and found.keys() == batch.keys()
    for new, (sound, picture) in enumerate(((0, 4), (1, 0), (2, 5)), 6):
        sources = {"audio": sound, "pseudo_a": sound, "visual": picture, "visual_st": picture, "pseudo_v": picture}
        assert all(torch.equal(found[name][new], batch[name][source]) for name, source in sources.items())
        union = batch["pseudo_a"][sound].amax(0).maximum(batch["pseudo_v"][picture].amax(0))
        assert torch.equal(found["weak"][new], union)
    for name, value in batch.items():
        assert torch.equal(found[name][:6], value)


def test_recombination_with_the_identity_changes_only_a_factor():
    """Means stay, sums double: each video is there twice, if the weak labels are the union of both modalities."""
    batch = random_batch()
    batch["weak"] = torch.maximum(batch["pseudo_a"], batch["pseudo_v"]).amax(1)
    found = recombine(batch, range(6))
    logits, prob = torch.randn(6, 10, 2, 3), torch.rand(6, 3)
    once = ParserOutput(prob, None, None, None, logits)
    twice = ParserOutput(prob.repeat(2, 1), None, None, None, logits.repeat(2, 1, 1, 1))
    terms = ("video", "audio", "visual")
    a, b = parser_losses(once, batch, terms), parser_losses(twice, found, terms)
    assert all(a[name].item() == pytest.approx(b[name].item(), rel=1e-6) for name in a)


@pytest.mark.parametrize(("share", "videos"), [(0.0, 6), (0.05, 6), (0.5, 9), (1.0, 12), (2.5, 21)])
def test_share_says_how_many_videos_are_new(share, videos):
    assert len(Recipe(recombine=share).prepare(random_batch(), training=True)["audio"]) == videos
    assert len(Recipe(recombine=share).prepare(random_batch(), training=False)["audio"]) == 6


# thresholds


def test_the_exact_threshold_by_trying_all():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = rng.integers(1, 12)
        logits = rng.integers(-3, 4, n).astype(np.float32) * rng.choice([1, 0.37])
        logits[rng.random(n) < 0.2] = -np.inf
        labels = rng.integers(0, 2, n)
        threshold, f = f1_threshold(labels, logits)
        if not labels.any():
            assert threshold == -np.inf and np.isnan(f)
            continue
        values = np.unique(logits[np.isfinite(logits)])
        middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]

        def score(t, x=logits, y=labels):
            # the release accepts the whole list at -inf, cells of absent videos included
            accepted = x > t if t > -np.inf else np.ones(len(x), bool)
            tp = np.count_nonzero(accepted & (y > 0))
            return 2 * tp / (np.count_nonzero(accepted) + y.sum())

        # with cells at -inf below it, the lowest finite logit is a candidate whose middle is -inf
        candidates = [-np.inf, *middles]
        above_absent = np.isfinite(logits)
        best = max(score(t) for t in candidates)
        if not above_absent.all() and above_absent.any():
            tp = np.count_nonzero(above_absent & (labels > 0))
            best = max(best, 2 * tp / (np.count_nonzero(above_absent) + labels.sum()))
        assert f == pytest.approx(best, rel=1e-6)
        assert threshold in [np.float32(t) for t in candidates]


def test_decision_thresholds_are_found():
    """Probabilities that are right above 0.3 and 0.7 only."""
    rng = np.random.default_rng(0)
    truth = rng.random((40, 10, 2, 4)) < 0.4
    frame_prob = np.where(truth, rng.uniform(0.32, 0.9, truth.shape), rng.uniform(0, 0.28, truth.shape)).astype("f4")
    global_prob = np.where(truth.any((1, 2)), 0.75, 0.65).astype("f4")
    audio, visual = truth.transpose(2, 0, 3, 1)
    for per_class in (False, True):
        thresholds, best = choose_thresholds(global_prob, frame_prob, audio, visual, per_class)
        assert best == 100
        scores = ten_scores(video_scores(*binarize(global_prob, frame_prob, *thresholds), audio, visual))
        assert scores["Seg-type"] == 100
    assert ten_scores(video_scores(*binarize(global_prob, frame_prob), audio, visual))["Seg-type"] < 99


def test_thresholds_of_classes_are_never_worse_and_the_default_wins_ties():
    rng = np.random.default_rng(1)
    truth = rng.random((30, 10, 2, 5)) < 0.3
    shift = np.array([-2, -1, 0, 1, 2])
    frame_prob = 1 / (1 + np.exp(-(4 * truth - 2 + shift + rng.standard_normal(truth.shape))))
    global_prob = frame_prob.max((1, 2))
    audio, visual = truth.transpose(2, 0, 3, 1)
    common, one = choose_thresholds(global_prob, frame_prob, audio, visual)
    each, many = choose_thresholds(global_prob, frame_prob, audio, visual, per_class=True)
    at_half = ten_scores(video_scores(*binarize(global_prob, frame_prob), audio, visual))["Seg-type"]
    assert at_half <= one < many
    for thresholds, best in ((common, one), (each, many)):
        found = ten_scores(video_scores(*binarize(global_prob, frame_prob, *thresholds), audio, visual))
        assert found["Seg-type"] == pytest.approx(best, abs=1e-9)
    perfect = np.where(truth, 0.99, 0.01)
    assert choose_thresholds(perfect.max((1, 2)), perfect, audio, visual) == (Thresholds(0.5, 0.5), 100)


# how runs are compared


def test_runs_that_differ_in_seed_only_are_called_different_in_one_of_twenty():
    """200 draws of ten and of five paired seeds of one recipe; 5 % is 10, give or take two binomial deviations of 3."""
    for pairs in (10, 5):
        rng = np.random.default_rng(pairs)
        different = 0
        for _ in range(200):
            first, second = rng.normal(60, 1.5, (2, pairs))
            change = paired_interval(first - second, draws=4000)
            different += not change.low <= 0 <= change.high
        assert 2 <= different <= 18


def test_the_interval_of_a_clear_difference_excludes_zero():
    change = paired_interval(np.array([2.1, 1.8, 2.6, 2.2, 1.9]))
    assert change.mean == pytest.approx(2.12) and 1.6 < change.low < 1.8 and 2.4 < change.high < 2.7


def test_segments_without_content_count_as_those_that_no_threshold_accepts():
    """A clip without sound has logits of -10,000: no label is positive there, and the threshold is near the others."""
    logits = np.array([[NOTHING, NOTHING, 1.0, 2.0], [0.0, 0.5, 3.0, 4.0]], np.float32)[..., None]  # (N=2, T=4, C=1)
    reference = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])[..., None]
    weak, listed = np.ones((2, 1)), np.array([True, True])
    assert class_thresholds(logits, reference, weak).tolist() == [0.75]
    assert agnostic_threshold(logits, reference, weak) == 0.75
    sweep = Sweep.of("x", "audio", logits[..., 0], reference[..., 0] > 0, listed, used=0.0)
    assert sweep.exact == (0.75, 100.0) and sweep.best()[1] == 100
    silent = Sweep.of(
        "x", "audio", np.full((1, 4), NOTHING, np.float32), np.ones((1, 4), bool), np.array([True]), used=0
    )
    assert silent.best() is None  # no label can be right
    labels = pseudo_labels(logits, weak, class_thresholds(logits, reference, weak))
    np.testing.assert_array_equal(labels, reference)


# through main.py


@pytest.fixture
def logits(workspace):
    """Folders of made-up logits: those of the pseudo labels with noise, and the flags that name them."""
    rng = np.random.default_rng(5)
    for m, teacher in (("a", "CLAP"), ("v", "CLIP")):
        (workspace / f"logits_{m}").mkdir()
        centre = np.array([getattr(c, f"{teacher.lower()}_threshold") for c in CLASSES])
        for path in (workspace / "data" / teacher / "segment_pseudo_labels").iterdir():
            z = centre + 4 * np.load(path) - 2 + rng.standard_normal((10, 25))
            np.save(workspace / f"logits_{m}" / path.name, z.astype(np.float32))
    return "--a_logits_dir", "logits_a", "--v_logits_dir", "logits_v"


def lines(workspace, run="run"):
    return [json.loads(line) for line in (workspace / "models" / run / "iterations.jsonl").read_text().splitlines()]


SOFT = ("--targets", "soft")
RECIPES = [
    SOFT,
    ("--reweight", "0.5"),
    ("--mixup", "1.7"),
    ("--recombine", "1"),
    ("--segment_weight", "12"),
    ("--losses", "video,guided"),
    (*SOFT, "--temperature", "1", "--reweight", "0.5", "--reweight_scale", "one", "--mixup", "1.7"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=" ".join)
def test_each_recipe_trains_resumes_to_the_bit_and_packs(workspace, command, logits, monkeypatch, recipe):
    flags = (*recipe, *logits) if "soft" in recipe else recipe
    assert command(main, *RUN, *flags).status == 0
    whole = lines(workspace)
    with monkeypatch.context() as patch:
        stop_at_call(patch, losses, "parser_losses", 7, interrupt)  # in the second epoch
        assert command(main, *TRAIN, *flags, "--model_name=half").status == 130
    assert command(main, *TRAIN, *flags, "--model_name=half", "--resume").status == 0
    assert lines(workspace, "half") == whole
    assert command(pack_features, *(logits if "soft" in recipe else ()), "--out=all.h5").status == 0
    for name, more in (("packed", ()), ("ahead", ("--memory_limit=0.0001",))):
        assert command(main, *TRAIN, *recipe, "--packed=all.h5", f"--model_name={name}", *more).status == 0
        assert lines(workspace, name) == whole


@pytest.mark.parametrize(
    "recipe", [("--mixup", "1.7"), ("--recombine", "1"), (*SOFT, "--a_logits_dir", "a", "--v_logits_dir", "v")]
)
def test_what_needs_whole_batches_is_refused_under_torchrun(workspace, command, monkeypatch, recipe):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = command(main, *RUN, *recipe)
    assert result.status == 2 and f"{recipe[0]}" in result.error and "not under torchrun" in result.error


@pytest.mark.parametrize("model", ["MM_Pyramid", "UWAV"])
def test_recipes_train_every_network_in_bfloat16(workspace, command, logits, model):
    flags = (*logits, *SOFT, "--reweight", "0.5", "--mixup", "1.7", "--recombine", "0.5", "--model", model)
    assert command(main, *RUN, *flags, "--precision", "bf16").status == 0
    assert all(math.isfinite(line["loss_mixup_a"]) for line in lines(workspace))
    assert command(main, *TRAIN, "--model_name=run", "--mode=test", "--model", model).status == 0


def test_labels_of_logits_are_the_teachers_labels(workspace, command, logits):
    """Binary targets made of logits, and of label files that the same thresholds gave, train the same network."""
    assert command(main, *RUN, *logits).status == 0
    thresholds = {"a": [c.clap_threshold for c in CLASSES], "v": [c.clip_threshold for c in CLASSES]}
    weak = {}
    for name in ("AVVP_train.csv", "AVVP_val_pd.csv"):
        for row in (workspace / "data" / name).read_text().splitlines()[1:]:
            video, names = row.split("\t")
            weak[video[:11]] = np.array([c.name in names.split(",") for c in CLASSES])
    for m in "av":
        (workspace / f"made_{m}").mkdir()
        for video, listed in weak.items():
            made = pseudo_labels(np.load(workspace / f"logits_{m}" / f"{video}.npy"), listed, np.array(thresholds[m]))
            np.save(workspace / f"made_{m}" / f"{video}.npy", made)
    folders = ("--a_pseudo_data_dir", "made_a", "--v_pseudo_data_dir", "made_v")
    assert command(main, *TRAIN, *folders, "--model_name=made").status == 0
    assert lines(workspace) == lines(workspace, "made")


def test_thresholds_come_from_their_file_and_resuming_with_others_is_refused(workspace, command, logits, monkeypatch):
    own = workspace / "own.yaml"
    write_classes(own, [c._replace(clap_threshold=-math.inf) for c in CLASSES])
    assert read_classes(own)[0].clap_threshold == -math.inf
    flags = (*logits, *SOFT, "--label_thresholds", "own.yaml")
    with monkeypatch.context() as patch:
        stop_at_call(patch, losses, "parser_losses", 7, interrupt)
        assert command(main, *RUN, *flags).status == 130
    write_classes(own, [c._replace(clap_threshold=0.0) for c in CLASSES])
    result = command(main, *RUN, *flags, "--resume")
    assert result.status == 2 and "the list of the teachers' thresholds was" in result.error


def test_tuned_thresholds_are_kept_with_the_run(workspace, command):
    assert command(main, *RUN).status == 0
    test = (*TRAIN, "--model_name=run")
    result = command(main, *test, "--mode=test", "--thresholds=tuned")
    assert result.status == 2 and "--tune_thresholds" in result.err
    tuned = command(main, *test, "--mode=val", "--tune_thresholds", "--json=val.json")
    assert tuned.status == 0 and "Val, tuned" in tuned.out
    kept = json.loads((workspace / "models/run/thresholds.json").read_text())
    assert kept["Seg-type"] == pytest.approx(json.loads((workspace / "val.json").read_text())["Seg-type"])
    assert json.loads((workspace / "val.json").read_text())["thresholds"] == {k: kept[k] for k in ("video", "segment")}
    again = command(main, *test, "--mode=val", "--thresholds=tuned", "--json=again.json")
    assert (workspace / "again.json").read_text() == (workspace / "val.json").read_text()
    assert "Val, tuned" in again.out
    assert command(main, *test, "--mode=test", "--thresholds=tuned", "--save_predictions=out").status == 0
    assert command(main, *test, "--mode=val", "--tune_thresholds", "per_class").status == 0
    assert len(json.loads((workspace / "models/run/thresholds.json").read_text())["video"]) == 25
    assert command(main, *test, "--mode=test", "--thresholds=tuned").status == 0
    weights = torch.load(workspace / "models/run/checkpoint_best.pt")
    torch.save({name: value * 1.01 for name, value in weights.items()}, workspace / "models/run/checkpoint_best.pt")
    result = command(main, *test, "--mode=test", "--thresholds=tuned")
    assert result.status == 2 and "another checkpoint_best.pt" in result.err
    (workspace / "models/run/thresholds.json").write_text('{"video": 3, "segment": "x"}')
    result = command(main, *test, "--mode=test", "--thresholds=tuned")
    assert result.status == 2 and "thresholds between 0 and 1" in result.err


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--targets", "soft"), "--targets soft needs --a_logits_dir"),
        (("--targets", "hard"), "invalid choice: 'hard'"),
        (("--temperature", "2"), "--temperature needs --targets soft"),
        (("--temperature", "0"), "not above 0"),
        (("--label_thresholds", "x.yaml"), "--label_thresholds needs --a_logits_dir"),
        (("--reweight", "-1"), "not a finite number of at least 0"),
        (("--reweight_scale", "one"), "--reweight_scale needs --reweight"),
        (("--reweight", "0.5", "--losses", "video"), "--reweight needs audio or visual"),
        (("--segment_weight", "-1"), "not a finite number"),
        (("--mixup", "-1"), "not a finite number"),
        (("--mixup", "nan"), "not a finite number"),
        (("--recombine", "x"), "invalid"),
        (("--losses", "video,mixup"), "unknown term 'mixup'"),
        (("--label_smoothing", "0.9"), "--label_smoothing needs guided"),
        (("--label_smoothing", "1.1", "--losses", "guided"), "1.1 is not a number from 0 to 1"),
        (("--tune_thresholds",), "--tune_thresholds belongs to --mode val"),
        (("--mode", "val", "--tune_thresholds", "all"), "invalid choice: 'all'"),
        (("--thresholds", "tuned"), "--thresholds tuned to --mode val or test"),
        (("--a_logits_dir", "nowhere"), "nowhere: no such folder"),
        (("--packed", "x.h5", "--a_logits_dir", "y"), "have no meaning with --packed, whose own logits are used"),
        (("--recombine", "17"), "17 is not a number from 0 to 16"),
        (("--recombine", "0.01"), "--recombine 0.01: gives no new video in a batch of 10"),
        (("--model", "MM_Pyramid", "--published_slots"), "--published_slots needs weak labels alone"),
    ],
)
def test_a_bad_value_costs_one_line(workspace, command, flags, text):
    result = command(main, *RUN, *flags)
    assert result.status == 2 and text in result.err and len(result.err.strip().splitlines()) == 1
    assert not (workspace / "models/run").exists()
