"""Videos of different lengths in one batch: what lies behind the end of a video changes nothing."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import nets
from nets import fast
from tests.conftest import ROOT, TRAIN, python
from utils.llp.pseudo_labels import NOTHING
from utils.train import engine
from utils.train.losses import parser_losses
from utils.train.recipe import Recipe, class_weights, recombine
from utils.train.step import forward_losses

A, V, S, C = 5, 6, 7, 3  # sizes of features, classes
SIZES = {"input_a_dim": A, "input_v_dim": V, "input_st_dim": S, "hidden_dim": 8, "nhead": 2, "ff_dim": 16}
NETWORKS = {
    "post_norm": {"model": "MMIL_Net", "num_layers": 2},
    "pre_norm": {"model": "MMIL_Net", "num_layers": 2, "norm_where": "pre_norm"},
    "pyramid": {"model": "MM_Pyramid", "num_layers": 3},
    "uwav": {"model": "UWAV", "num_layers": 2},
}
LENGTHS = [4, 13, 1, 9]


def build(name, accelerated=False, dtype=torch.float32, **settings):
    torch.manual_seed(0)
    net = nets.build(**SIZES | NETWORKS[name] | settings, num_classes=C)
    return fast.accelerate(net, dtype) if accelerated else net


def videos(lengths=LENGTHS, seed=1, frames=1):
    """Of each video its inputs, (1, T_i, size) each."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((1, A), (frames, V), (1, S))
    return [[torch.randn(1, n * length, size, generator=generator) for n, size in sizes] for length in lengths]


def pad(singles, junk=0.0, extra=0):
    """One batch of the videos, and their lengths; behind each there is junk."""
    lengths = torch.tensor([inputs[0].shape[1] for inputs in singles])
    longest = int(lengths.max()) + extra
    batch = []
    for parts in zip(*singles, strict=True):
        rows = parts[0].shape[1] // int(lengths[0])
        padded = [F.pad(x, (0, 0, 0, rows * longest - x.shape[1]), value=junk) for x in parts]
        batch.append(torch.cat(padded))
    return batch, lengths


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
class TestOutputs:
    def test_are_those_of_single_videos(self, name, accelerated):
        net = build(name, accelerated).eval()
        singles = videos()
        for order, junk, extra in (([0, 1, 2, 3], 0.0, 0), ([3, 0, 2, 1], torch.nan, 5), ([2, 1, 0, 3], 1e30, 40)):
            batch, lengths = pad([singles[i] for i in order], junk, extra)
            found = net(*batch, lengths)
            for row, i in enumerate(order):
                alone, length = net(*singles[i]), LENGTHS[i]
                for mine, theirs in zip(found[:3], alone[:3], strict=True):
                    assert torch.allclose(mine[row], theirs[0], atol=1e-6)
                for mine, theirs in zip(found[3:], alone[3:], strict=True):
                    assert torch.allclose(mine[row, :length], theirs[0], atol=1e-5 if "logits" in name else 1e-6)
                    assert not mine[row, length:].any()

    def test_a_lone_video_is_what_it_is_without_lengths(self, name, accelerated):
        net = build(name, accelerated).eval()
        for inputs in videos():
            with_lengths, without = net(*inputs, torch.tensor([inputs[0].shape[1]])), net(*inputs)
            assert all(torch.equal(x, y) for x, y in zip(with_lengths, without, strict=True))

    def test_ten_segments_each_are_no_lengths(self, name, accelerated):
        net = build(name, accelerated)
        batch, lengths = pad(videos([10] * 5))
        found = []
        for given in (lengths, None):
            torch.manual_seed(3)
            found.append(net(*batch, given))  # in training: the same dropout, too
        assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))

    def test_gradients_are_those_of_single_videos(self, name, accelerated):
        net = build(name, accelerated)
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if isinstance(module, torch.nn.MultiheadAttention):
                module.dropout = 0.0
        singles = videos()
        targets = [torch.rand(1, length, 2, C, generator=torch.Generator().manual_seed(9)) for length in LENGTHS]

        def loss(output, target):
            return F.binary_cross_entropy_with_logits(output.frame_logits, target, reduction="sum")

        for inputs, target in zip(singles, targets, strict=True):
            (loss(net(*inputs), target) / sum(LENGTHS)).backward()
        expected = {key: p.grad.clone() for key, p in net.named_parameters() if p.grad is not None}
        net.zero_grad()
        batch, lengths = pad(singles, torch.nan)
        batch = [x.requires_grad_() for x in batch]
        output = net(*batch, lengths)
        losses = parser_losses(
            output,
            {
                "lengths": lengths,
                **{f"pseudo_{m}": pad([[t[:, :, i]] for t in targets], torch.nan)[0][0] for i, m in enumerate("av")},
            },
            ("audio", "visual"),
        )
        (losses["loss_all"] * C).backward()
        for key, gradient in expected.items():
            found = dict(net.named_parameters())[key].grad
            assert torch.allclose(found, gradient, atol=2e-6), key
        for x in batch:
            for row, length in enumerate(LENGTHS):
                assert not x.grad[row, length:].any() and x.grad[row, :length].any()


def test_bf16_stays_finite():
    for name in NETWORKS:
        net = build(name, True, torch.bfloat16)
        batch, lengths = pad(videos(), torch.nan)
        output = net(*batch, lengths)
        (output.global_prob.sum() + output.frame_logits.sum()).backward()
        assert all(torch.isfinite(x).all() for x in output)
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_eight_frames_a_second_are_masked_with_their_second():
    net = build("post_norm").eval()
    singles = videos(frames=8)
    batch, lengths = pad(singles, 1e30)
    found = net(*batch, lengths)
    for row, inputs in enumerate(singles):
        assert torch.allclose(found.global_prob[row], net(*inputs).global_prob[0], atol=1e-6)


def test_lengths_that_cannot_be_are_refused():
    net = build("post_norm").eval()
    batch, _ = pad(videos())
    for lengths in ([4, 13, 0, 9], [4, 14, 1, 9], [4, 13, 1]):
        with pytest.raises(ValueError, match="length"):
            net(*batch, torch.tensor(lengths))
    clap = [torch.zeros(1, 64, A), torch.zeros(1, 10, V), torch.zeros(1, 10, S)]
    assert net(*clap).frame_prob.shape == (1, 10, 2, C)
    with pytest.raises(ValueError, match="64 rows"):
        net(*clap, torch.tensor([9]))
    with pytest.raises(ValueError, match="64"):
        net(torch.zeros(1, 64, A), torch.zeros(1, 9, V), torch.zeros(1, 9, S))  # the map covers ten seconds


@pytest.mark.parametrize("segments", [1, 7])
def test_long_videos_go_in_blocks_of_queries(monkeypatch, segments):
    whole = build("post_norm", True).eval()
    batch, lengths = pad(videos([30, 17]))
    expected = whole(*batch, lengths)
    monkeypatch.setattr(fast.attention, "BLOCK", 30 * segments)
    found = whole(*batch, lengths)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(found, expected, strict=True))
    gradients = []
    for block in (2**20, 30 * segments):
        monkeypatch.setattr(fast.attention, "BLOCK", block)
        whole.zero_grad()
        whole(*batch, lengths).frame_logits.square().sum().backward()
        gradients.append([p.grad.clone() for p in whole.parameters() if p.grad is not None])
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(*gradients, strict=True))


# ---------------------------------------------------------------- recipes


def labelled(seed=5, logits=False, junk=torch.nan):
    """A batch with labels, weak ones of each modality, and the same videos one by one."""
    generator = torch.Generator().manual_seed(seed)
    singles = videos()
    batch = dict(zip(("audio", "visual", "visual_st"), pad(singles, junk)[0], strict=True))
    batch["lengths"] = torch.tensor(LENGTHS)
    each = [dict(zip(("audio", "visual", "visual_st"), inputs, strict=True)) for inputs in singles]
    for m in "av":
        weak = torch.rand(len(LENGTHS), C, generator=generator).round()
        kind = "logits" if logits else "pseudo"
        labels = [torch.rand(1, length, C, generator=generator) * 4 - 2 for length in LENGTHS]
        labels = labels if logits else [x.gt(0).float() for x in labels]
        batch |= {f"weak_{m}": weak, f"{kind}_{m}": pad([[x] for x in labels], NOTHING if logits else junk)[0][0]}
        for i, one in enumerate(each):
            one |= {f"weak_{m}": weak[[i]], f"{kind}_{m}": labels[i]}
    batch["weak"] = torch.maximum(batch["weak_a"], batch["weak_v"])
    for i, one in enumerate(each):
        one["weak"] = batch["weak"][[i]]
    return batch, each


RECIPES = {
    "plain": Recipe(),
    "factor": Recipe(segment_weight=3.0),
    "weights": Recipe(weights={"a": (2.0, 0.5), "v": (1.5, 0.25)}),
    "logits": Recipe(thresholds={m: torch.tensor([0.1, -0.2, 0.3]) for m in "av"}),
    "soft": Recipe(targets="soft", thresholds={m: torch.tensor([0.1, -0.2, 0.3]) for m in "av"}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_losses_of_a_batch_are_means_over_its_seconds(name):
    """Those of the segments weigh each second the same; those of the videos each video."""
    recipe, net = RECIPES[name], build("post_norm").eval()
    batch, each = labelled(logits=bool(recipe.thresholds))
    terms = ("video", "audio", "visual", "guided")
    _, found = forward_losses(net, batch, terms, recipe)
    alone = [forward_losses(net, one, terms, recipe)[1] for one in each]
    for loss in found:
        weights = np.array(LENGTHS if "valor" in loss else [1] * len(LENGTHS), float)
        expected = np.average([float(one[loss]) for one in alone], weights=weights)
        if loss == "loss_all":
            expected = sum(float(found[k]) * (recipe.segment_weight if "valor" in k else 1) for k in found if k != loss)
        assert float(found[loss]) == pytest.approx(expected, abs=2e-6), loss


def test_guided_losses_take_the_labels_of_their_modality_without_smoothing():
    net = build("post_norm").eval()
    batch, _ = labelled()
    output, found = forward_losses(net, batch, ("guided",))
    for prob, weak, name in ((output.a_prob, "weak_a", "loss_guided_a"), (output.v_prob, "weak_v", "loss_guided_v")):
        assert float(found[name]) == pytest.approx(float(F.binary_cross_entropy(prob, batch[weak])), abs=1e-6)


def test_mixup_mixes_seconds_of_videos_only(monkeypatch):
    net = build("post_norm").eval()
    batch, _ = labelled()
    drawn = []

    def draw(alpha, count, device):
        drawn.append(count)
        return 0.25, torch.arange(count).flip(0)

    monkeypatch.setattr("utils.train.recipe.draw_mixup", draw)
    _, found = forward_losses(net, batch, ("mixup",), Recipe(mixup=1.0))
    assert drawn == [sum(LENGTHS)] * 2
    features = net.encode(batch["audio"], batch["visual"], batch["visual_st"], batch["lengths"])
    for i, m in enumerate("av"):
        rows = torch.cat([features[b, :length, i] for b, length in enumerate(LENGTHS)])
        targets = torch.cat([batch[f"pseudo_{m}"][b, :length] for b, length in enumerate(LENGTHS)])
        logits = net.fc_prob(0.25 * rows + 0.75 * rows.flip(0))
        expected = F.binary_cross_entropy_with_logits(logits, 0.25 * targets + 0.75 * targets.flip(0))
        assert float(found[f"loss_mixup_{m}"]) == pytest.approx(float(expected), abs=1e-6)


def test_recombined_videos_end_with_the_shorter_of_the_two():
    batch, each = labelled()
    found = recombine(batch, [1, 2, 3, 0])
    assert found["lengths"].tolist() == [*LENGTHS, 4, 1, 1, 4]
    for new, (sound, picture) in enumerate(zip(range(4), (1, 2, 3, 0), strict=True), 4):
        length = int(found["lengths"][new])
        assert torch.equal(found["audio"][new, :length], each[sound]["audio"][0, :length])
        assert torch.equal(found["visual_st"][new, :length], each[picture]["visual_st"][0, :length])
        heard = each[sound]["pseudo_a"][0, :length].amax(0)
        seen = each[picture]["pseudo_v"][0, :length].amax(0)
        assert torch.equal(found["weak"][new], torch.maximum(heard, seen))


def test_class_weights_of_seconds_in_one_row():
    labels = np.random.default_rng(0).integers(0, 2, (6, 10, C))
    for scale in ("one", "classes"):
        assert class_weights(labels, 0.5, scale) == pytest.approx(class_weights(labels.reshape(-1, C), 0.5, scale))


def test_evaluation_is_in_the_order_of_the_split():
    net = build("post_norm").eval()
    singles = videos()
    parts = []
    for those in ([2, 0], [1], [3]):
        (audio, visual, st), lengths = pad([singles[i] for i in those], torch.nan)
        index = torch.tensor(those)
        parts.append({"audio": audio, "visual": visual, "visual_st": st, "lengths": lengths, "index": index})
    found = engine.evaluate(net, parts, device=torch.device("cpu"))
    assert found.lengths.tolist() == LENGTHS and found.frame_prob.shape == (sum(LENGTHS), 2, C)
    starts = np.cumsum(LENGTHS) - LENGTHS
    for i, inputs in enumerate(singles):
        alone = net(*inputs)
        assert np.allclose(found.frame_prob[starts[i] :][: LENGTHS[i]], alone.frame_prob[0].detach().numpy(), atol=1e-6)
        assert np.allclose(found.video_prob[i], torch.stack([alone.a_prob[0], alone.v_prob[0]]).detach(), atol=1e-6)


def test_several_processes_train_as_one(tmp_path):
    data = tmp_path / "data"
    sizes = ("--train", 20, "--val", 4, "--test", 4)
    assert python(ROOT / "utils/simulate.py", "--out", data, "--seconds", 4, 25, *sizes, cwd=tmp_path).returncode == 0
    flags = (
        *TRAIN,
        "--dataset",
        data / "dataset.yaml",
        "--dropout",
        "0",
        "--losses",
        "video,audio,visual,guided",
        "--save_epochs",
    )
    one = python(ROOT / "main.py", *flags, "--model_name", "one", cwd=tmp_path)
    two = python(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, ROOT / "main.py", *flags,
        "--model_name", "two", cwd=tmp_path,
    )  # fmt: skip
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    logs = [(tmp_path / f"models/{name}/iterations.jsonl").read_text().splitlines() for name in ("one", "two")]
    losses = [[json.loads(line)["loss_all"] for line in log] for log in logs]
    assert len(losses[0]) == 12 and losses[0] == pytest.approx(losses[1], abs=5e-6)
