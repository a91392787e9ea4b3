"""MM_Pyramid and UWAV_Net: against the published networks' values, by hand, and what holds for every network."""

import re
import subprocess
import sys

import pytest
import torch

import main
import nets
from nets.pyramid import Pyramid, TemporalBlock, outside_window
from tests import conftest
from tests.conftest import ROOT, SMALL, TRAIN
from tests.test_resume import contents, equal, interrupt, stop_at_call
from utils.base.errors import InputError
from utils.download.check import check_weights
from utils.parse.networks import load_network
from utils.train import checkpoint, losses
from utils.train.networks import SHAPE, settle
from utils.train.run_folder import read_arguments

NETWORKS = {"MMIL_Net": {}, "MM_Pyramid": {"num_layers": 2}, "UWAV": {"num_layers": 2, "num_proj_layers": 2}}
SIZES = {"hidden_dim": 16, "nhead": 2, "ff_dim": 32}


def small(model, **settings):
    torch.manual_seed(0)
    return nets.build(model, **SIZES | NETWORKS[model] | {"num_classes": 5} | settings)


def inputs(videos=3, audio=128, visual=2048, segments=10):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(videos, segments, size, generator=generator) for size in (audio, visual, 512)]


def check(script, *argv):
    """What a comparison that lies beside the golden values prints; it fails above its tolerances."""
    result = subprocess.run(
        [sys.executable, *map(str, (script, *argv))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# ------------------------------------------------------------------------------------------- the published networks


@pytest.mark.usefixtures("published_dropout")
@pytest.mark.parametrize("order", ["audio_first", "published"])
def test_mm_pyramid_is_the_published_one(order):
    """Initial values, raw and pooled outputs, gradients, losses, and where the random generator stands."""
    script = conftest.find("check_net.py", conftest.SHARED / "mmpyramid")
    slots = ("--extra", "published_slots=True") if order == "published" else ()
    argv = ("--rename", "levels=num_layers", "--pooled", "--names", "live", "--order", order, *slots)
    printed = check(script, script.with_name("mmp_net"), *argv)
    outputs = re.findall(r"^outputs, (?:raw|pooled) +(\S+)", printed, re.MULTILINE)
    assert len(outputs) == 2 and all(float(difference) <= 1e-5 for difference in outputs)


@pytest.mark.usefixtures("published_dropout")
def test_uwav_is_the_published_one():
    script = conftest.find("check_uwav.py", conftest.SHARED / "uwav")
    printed = check(script, script.parent, ROOT / "tests/adapters/uwav.py", "--parts", "han", "--path", ROOT)
    assert re.match(r"han: \d+ comparisons, 0 out of tolerance", printed)


@pytest.mark.parametrize(("model", "count"), [("MM_Pyramid", 40_827_469), ("UWAV", 23_023_691)])
def test_defaults_have_the_published_number_of_parameters(model, count):
    """For MM_Pyramid of those that ever get a gradient."""
    with torch.device("meta"):
        assert sum(p.numel() for p in nets.build(model).parameters()) == count


# --------------------------------------------------------------------------------------------- the pyramid, by hand


@pytest.mark.parametrize(("window", "outside"), [(1, 72), (2, 56), (4, 30), (8, 2), (16, 0)])
def test_windows(window, outside):
    """Of 100 pairs of ten segments, (10 - d) (9 - d) are more than d apart."""
    found = outside_window(10, window, torch.device("cpu"))
    assert found.sum() == outside and torch.equal(found, found.t())
    assert found.nonzero().tolist() == [[i, j] for i in range(10) for j in range(10) if abs(i - j) > window]


@pytest.mark.parametrize(("dilation", "seen"), [(1, (3, 4, 5)), (2, (2, 4, 6)), (4, (0, 4, 8)), (8, (4,))])
def test_taps_of_a_temporal_block(dilation, seen):
    """An impulse of 1 at segment 4 meets taps of weight 3 (from before), 2 and 5 (from after)."""
    block = TemporalBlock(1, dilation)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.conv1.weight.copy_(torch.tensor([[[3.0, 2.0, 5.0]]]))
        block.conv2.weight.fill_(1)
        impulse = torch.zeros(1, 10, 1)
        impulse[0, 4] = 1
        out = block(impulse).flatten().tolist()
    by_distance = {4 - dilation: 5.0, 4: 1 + 2.0, 4 + dilation: 3.0}  # the residual adds 1 in the middle
    assert out == [by_distance.get(t, 0.0) for t in range(10)]
    assert tuple(t for t in range(10) if out[t]) == seen


@pytest.mark.parametrize(("levels", "reach"), [(1, 2), (2, 6), (3, 14)])
@pytest.mark.parametrize("segments", [10, 17])
def test_a_segment_depends_on_segments_within_reach_only(levels, reach, segments):
    """A level reaches its window, and its tap as far again: 1 + 1, then 2 + 2, then 4 + 4."""
    torch.manual_seed(0)
    encoder = Pyramid(8, 2, 12, levels).eval().double()  # what arrives from the farthest is little
    audio, visual = torch.randn(2, 1, segments, 8, dtype=torch.float64)
    changed = audio.clone()
    changed[0, 0] += 1
    with torch.no_grad():
        before, after = encoder(audio, visual), encoder(changed, visual)
    for a, b in zip(before, after, strict=True):
        assert (a != b).any(dim=-1)[0].nonzero().flatten().tolist() == list(range(min(reach + 1, segments)))


def test_streams_change_places_with_their_weights():
    """Exchanged inputs through exchanged weights give exchanged outputs."""
    torch.manual_seed(0)
    encoder, twin = Pyramid(8, 2, 12, 2).eval(), Pyramid(8, 2, 12, 2).eval()
    names = {"vnetwork": "anetwork", "vsablock": "asablock", "lv1": "la1", "lv2": "la2"}
    names |= {"vadaptiveinteraction": "aadaptiveinteraction", "vselectfusion": "aselectfusion"}
    names |= {b: a for a, b in names.items()}
    weights = encoder.state_dict()
    twin.load_state_dict({".".join(names.get(p, p) for p in name.split(".")): value for name, value in weights.items()})
    audio, visual = torch.randn(2, 3, 10, 8)
    with torch.no_grad():
        (a, v), (other_v, other_a) = encoder(audio, visual), twin(visual, audio)
    assert not torch.allclose(a, v)
    torch.testing.assert_close(other_a, a), torch.testing.assert_close(other_v, v)


def test_published_slots_exchange_what_is_said_of_the_streams():
    with torch.no_grad():
        right = small("MM_Pyramid").eval()(*inputs())
        exchanged = small("MM_Pyramid", published_slots=True).eval()(*inputs())
    torch.testing.assert_close(exchanged.global_prob, right.global_prob)
    (
        torch.testing.assert_close(exchanged.a_prob, right.v_prob),
        torch.testing.assert_close(exchanged.v_prob, right.a_prob),
    )
    torch.testing.assert_close(exchanged.frame_logits, right.frame_logits.flip(2))
    assert not torch.allclose(right.a_prob, right.v_prob)


# ------------------------------------------------------------------------------------------------------------- UWAV


def test_uwav_takes_any_number_of_segments_and_frames():
    net = small("UWAV", input_v_dim=24, input_st_dim=12).eval()
    audio, frames = torch.randn(2, 7, 128), torch.randn(2, 21, 24)
    with torch.no_grad():
        mean = net(audio, frames.unflatten(1, (7, 3)).mean(2), torch.ones(2, 7, 12))
        output = net(audio, frames, torch.ones(2, 7, 12))
    assert output.frame_logits.shape == (2, 7, 2, 5)
    torch.testing.assert_close(output.frame_logits, mean.frame_logits)
    with pytest.raises(ValueError, match="visual has 22 rows a video, expected a multiple of audio's 7"):
        net(audio, torch.randn(2, 22, 24), torch.ones(2, 7, 12))
    with pytest.raises(ValueError, match="visual has size 24, expected hidden_dim 16 without visual_st"):
        net(audio, frames, None)


# ----------------------------------------------------------------------------------------------------- every network


@pytest.mark.parametrize("model", NETWORKS)
def test_forward_classifies_what_encode_returns_audio_first(model):
    net = small(model).eval()
    audio, visual, visual_st = inputs()
    with torch.no_grad():
        features = net.encode(audio, visual, visual_st)
        assert features.shape == (3, 10, 2, 16)
        streams = net.encoder(*net.embed(audio, visual, visual_st))
        assert torch.equal(features[:, :, 0], streams[0]) and torch.equal(features[:, :, 1], streams[1])
        for a, b in zip(net.classify(features), net(audio, visual, visual_st), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("segments", [1, 7, 23])
def test_encoders_take_any_number_of_segments(model, segments):
    encoder = small(model).eval().encoder
    with torch.no_grad():
        streams = encoder(*torch.randn(2, 3, segments, 16))
    assert [x.shape for x in streams] == [(3, segments, 16)] * 2


@pytest.mark.parametrize("model", NETWORKS)
def test_a_video_does_not_depend_on_its_batch(model):
    net, values = small(model).eval(), inputs(videos=4)
    with torch.no_grad():
        together, alone = net(*values), [net(*(x[i : i + 1] for x in values)) for i in range(4)]
    for i, name in enumerate(together._fields):
        # of logits near 1; products of other sizes add up in another order
        torch.testing.assert_close(together[i], torch.cat([o[i] for o in alone]), rtol=0, atol=5e-6, msg=name)


@pytest.mark.parametrize("model", NETWORKS)
def test_the_number_of_segments_is_that_of_the_features(model):
    """Seven segments: pooled, and with eight frames a second; the means of frames are the same."""
    net = small(model).eval()
    sizes = [x.shape[-1] for x in inputs(videos=1)]
    torch.manual_seed(3)
    audio, frames, visual_st = (torch.randn(2, rows, size) for rows, size in zip((7, 56, 7), sizes, strict=True))
    with torch.no_grad():
        raw, pooled = net(audio, frames, visual_st), net(audio, frames.unflatten(1, (7, 8)).mean(2), visual_st)
    assert raw.frame_prob.shape[:3] == (2, 7, 2)
    torch.testing.assert_close(raw.frame_logits, pooled.frame_logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", NETWORKS)
def test_what_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match="nhead 7 does not divide hidden_dim 512"):
        nets.build(model, nhead=7)
    with pytest.raises(ValueError, match="model is 'HAN', expected one of MMIL_Net, MM_Pyramid, UWAV"):
        nets.build("HAN")


# ------------------------------------------------------------------------------------------- flags, runs, checkpoints


def test_flags_give_way_to_the_defaults_of_the_network():
    nothing = dict.fromkeys(SHAPE)
    mmil = {"hidden_dim": 512, "nhead": 8, "ff_dim": 1024, "num_layers": 1, "norm_where": "post_norm", "dropout": 0.1}
    assert settle("MMIL_Net", nothing) == mmil
    pyramid = {"hidden_dim": 512, "nhead": 8, "ff_dim": 512, "num_layers": 4, "published_slots": False}
    assert settle("MM_Pyramid", nothing) == pyramid
    uwav = mmil | {"nhead": 16, "ff_dim": 2048, "num_layers": 5, "num_proj_layers": 1, "num_MMIL_layers": 1}
    assert settle("UWAV", nothing) == uwav
    assert settle("UWAV", nothing | {"dropout": 0.0, "num_layers": 2}) == uwav | {"dropout": 0.0, "num_layers": 2}
    with pytest.raises(InputError, match=r"^--nhead 7 does not divide --hidden_dim 512$"):
        settle("MM_Pyramid", nothing | {"nhead": 7})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model MM_Pyramid --norm_where post_norm", "--norm_where has no meaning with --model MM_Pyramid"),
        ("--model MM_Pyramid --dropout 0.1", "--dropout has no meaning with --model MM_Pyramid"),
        ("--published_slots", "--published_slots has no meaning with --model MMIL_Net"),
        ("--model UWAV --published_slots", "--published_slots has no meaning with --model UWAV"),
        ("--num_proj_layers 1", "--num_proj_layers has no meaning with --model MMIL_Net"),
        ("--model UWAV --dropout 1", "argument --dropout: 1 is not in [0, 1)"),
    ],
)
def test_flags_that_a_network_does_not_take(workspace, command, flags, message):
    result = command(main, *TRAIN, *flags.split())
    assert result.status == 2 and result.error.startswith(f"main.py: error: {message}")


def test_uwav_takes_no_token_map(workspace, command):
    clap = ("--audio_dir", "data/CLAP/features", "--model", "UWAV", "--epochs", "1")
    result = command(main, *TRAIN, *clap, "--exact")
    assert result.status == 2 and "data/CLAP/features: holds 64 rows a video, expected 10 for" in result.error
    assert command(main, *TRAIN, *clap).status == 0


def network_flags(model):
    return ["--model", model, *(text for name, value in NETWORKS[model].items() for text in (f"--{name}", str(value)))]


@pytest.mark.parametrize("model", NETWORKS)
def test_a_run_is_resumed_bit_for_bit_and_tested(workspace, command, monkeypatch, model):
    run = (*TRAIN, *network_flags(model))
    assert command(main, *run, "--model_save_dir", "whole").status == 0
    with monkeypatch.context() as patch:
        stop_at_call(patch, losses, "parser_losses", 5, interrupt)  # in the second epoch: 3 batches and 1 of val before
        assert command(main, *run).status == 130
    assert (workspace / "models" / model / checkpoint.LAST).is_file()
    assert command(main, *run, "--resume").status == 0
    whole, resumed = (contents(workspace / folder / model) for folder in ("whole", "models"))
    assert equal(whole, resumed)
    arguments = read_arguments(workspace / "models" / model)
    settled = settle(model, dict.fromkeys(SHAPE) | SIZES | NETWORKS[model])
    assert {name: arguments[name] for name in settled} == {name: str(value) for name, value in settled.items()}
    assert arguments["model"] == arguments["model_name"] == model
    test = command(main, *SMALL, "--mode", "test", *network_flags(model))
    assert test.status == 0 and "Seg-type" in test.out, test.err


def test_weights_of_another_network_are_refused_in_one_line(workspace, command):
    assert command(main, *TRAIN, "--model", "UWAV", "--model_name", "run", "--epochs", "1").status == 0
    test = command(main, *SMALL, "--mode", "test", "--model_name", "run", "--model", "MM_Pyramid")
    best = "models/run/checkpoint_best.pt"
    assert test.error == f"main.py: error: {best}: holds weights of UWAV, but --model is MM_Pyramid"
    resumed = command(main, *TRAIN, "--model_name", "run", "--resume")
    assert resumed.status == 2 and "cannot resume with other arguments: " in resumed.error
    assert "--model was UWAV, is MMIL_Net" in resumed.error


@pytest.mark.parametrize("model", NETWORKS)
def test_a_checkpoint_tells_its_network(tmp_path, model):
    path, net = tmp_path / "checkpoint_best.pt", small(model, num_classes=25).eval()
    torch.save(net.state_dict(), path)
    described = checkpoint.describe_weights(net.state_dict())
    defaults = {name: value for name, value in settle(model, dict.fromkeys(SHAPE)).items() if name in described}
    wanted = defaults | {"hidden_dim": 16, "ff_dim": 32} | NETWORKS[model]
    sizes = {"input_a_dim": 128, "input_v_dim": 2048, "input_st_dim": 512}
    assert described == wanted | {"model": model, "num_classes": 25} | sizes
    check_weights(path)
    loaded, _, kinds, about = load_network(path, None, None, 2, None)
    assert about["model"] == model and {kind.name for kind in kinds.values()} == {"vggish", "res152", "r2plus1d_18"}
    with torch.no_grad():
        for a, b in zip(loaded(*inputs()), net(*inputs()), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_exchanged_streams_are_parsed_as_they_were_trained(tmp_path):
    """The weights do not say so; arguments.txt does."""
    torch.save(small("MM_Pyramid", num_classes=25).state_dict(), tmp_path / "best.pt")
    for said in ("True", "False"):
        (tmp_path / "arguments.txt").write_text(f"nhead: 2\nnorm_where: None\npublished_slots: {said}\n")
        net, *_, about = load_network(tmp_path / "best.pt", None, None, None, None)
        assert str(net.published_slots) == str(about["published_slots"]) == said
    with pytest.raises(InputError, match=r"holds weights of MM_Pyramid, for which --norm_where has no meaning$"):
        load_network(tmp_path / "best.pt", None, None, None, "pre_norm")
