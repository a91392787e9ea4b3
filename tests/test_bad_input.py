"""Bad input on the command line: one line that says what, where, what was expected; status 2; nothing left behind."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from nets import MMIL_Net
from tests.conftest import ROOT, SMALL, TRAIN, python
from tests.synthetic import write_small_parser
from utils import (
    clap_preprocess,
    clip_preprocess,
    download_dataset,
    extract_features,
    make_lookalike,
    make_report,
    pack_features,
    parse_video,
    plot_timeline,
    score_predictions,
    score_pseudo_labels,
)
from utils.base.errors import InputError
from utils.llp.annotations import write_predictions
from utils.llp.videos import read_split
from utils.parse.networks import load_network
from utils.train import checkpoint, engine, losses
from utils.train.engine import train_one_epoch
from utils.train.losses import parser_losses

RUN = (*TRAIN, "--model_name", "run")
TEST = (*SMALL, "--mode", "test", "--model_name", "run")


def fails(result, *parts):
    assert result.status == 2, result.err
    for part in parts:
        assert part in result.error
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--nhead", "3"), "--nhead 3 does not divide --hidden_dim 16"),
        (("--gpu", "0,1"), "--gpu 0,1: expected the number of one CUDA device"),
        (("--label_train", "none.csv"), "none.csv: no such file"),
        (("--label_val", "data/AVVP_eval_audio.csv"), "unknown class '"),
        (("--gt_dir", "nowhere"), "nowhere/AVVP_eval_audio.csv: no such file"),
        (("--st_dir", "data/CLIP/features"), "holds (10, 768) float32, expected (10, 512) float32"),
        (("--audio_dir", "nowhere"), "nowhere: no such folder, expected audio features"),
        (("--a_pseudo_data_dir", "data/feats/vggish"), "expected (10, 25) int64 (pseudo labels)"),
        (("--input_a_dim", "768"), "have size 128, but input_a_dim is 768"),
        (("--input_v_dim", "2048", "--video_dir", "data/CLIP/features"), "have size 768, but input_v_dim is 2048"),
        (("--classwise",), "--classwise has no meaning with --mode train"),
        (("--json", "data"), "--json data: is a folder"),
        (("--model_name", ""), "--model_name '': expected the name of a folder in models/"),
        (("--model_name", "../run"), "--model_name '../run': expected the name of a folder in models/"),
        (("--mode", "test", "--save_predictions", "data/AVVP_val_pd.csv"), "pd.csv: is a file, expected a folder"),
        (("--mode", "test", "--resume"), "--resume has no meaning with --mode test"),
    ],
)
def test_bad_flags_leave_no_run_folder(workspace, command, flags, message):
    if "data/AVVP_eval_audio.csv" in flags:  # it has the columns of a split, and one class a row: name a bad one
        path = workspace / "data/AVVP_eval_audio.csv"
        text = path.read_text() + "x_0_10\t0\t1\tGunshot\n"
        path.unlink()
        path.write_text(text)
    fails(command(main, *RUN, *flags), message)
    assert not (workspace / "models").exists()


WORDS = ("--scheduler cosine", "--optimizer sgd", "--norm_where mid", "--mode x", "--losses video,depth", "--model X")
LARGE = ("--batch_size 1e20", f"--batch_size {10**20}", f"--epochs {'9' * 5000}", f"--hidden_dim {2**31}", "--lr 1e999")
NUMBERS = ("--lr nan", "--batch_size 0", "--epochs -1", "--beta1 1", "--lrr 1", "--log_every 0", "--seed -1")


@pytest.mark.parametrize("flag", [*WORDS, *NUMBERS, *LARGE, f"--seed {2**64}"])
def test_unknown_values_are_refused_at_once(workspace, command, flag):
    result = command(main, *RUN, *flag.split())
    assert result.status == 2 and flag.split()[0] in result.err and not (workspace / "models").exists()


def test_a_run_is_not_overwritten(workspace, command):
    assert command(main, *RUN).status == 0
    before = (workspace / "models/run/checkpoint_last.pt").read_bytes()
    fails(command(main, *RUN), "models/run: exists; continue it with --resume, or choose another --model_name")
    assert (workspace / "models/run/checkpoint_last.pt").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run(workspace, command, monkeypatch):
    def broken(*args):
        losses = engine_losses(*args)
        return {name: value * (float("inf") if name == "loss_valor_v" else 1) for name, value in losses.items()}

    engine_losses = parser_losses
    monkeypatch.setattr(losses, "parser_losses", broken)
    fails(command(main, *RUN), "loss_valor_v is inf at iteration 0")
    assert not (workspace / "models/run").exists()


def test_weights_that_explode_stop_the_run_and_keep_its_finished_epochs(workspace, command, monkeypatch):
    with monkeypatch.context() as patch:
        epochs = []
        train = train_one_epoch

        def explode(step, *args, **kwargs):
            epochs.append(1)
            result = train(step, *args, **kwargs)
            if len(epochs) == 2:
                torch.nn.init.constant_(step.net.fc_prob.weight, float("nan"))
            return result

        patch.setattr(engine, "train_one_epoch", explode)
        fails(command(main, *RUN), "loss_video is nan in validation")
    assert torch.load(workspace / "models/run/checkpoint_last.pt")["epoch"] == 1
    assert command(main, *RUN, "--resume").status == 0


@pytest.fixture
def trained(workspace, command):
    assert command(main, *RUN).status == 0
    return workspace / "models/run/checkpoint_best.pt"


def test_sizes_that_do_not_fit_the_checkpoint(trained, command):
    path = str(trained.relative_to(trained.parents[2]))
    fails(command(main, *TEST, "--hidden_dim", "32"), path, "hidden_dim 16, but --hidden_dim is 32")
    fails(command(main, *TEST, "--num_layers", "2"), "num_layers 1, but --num_layers is 2")
    result = command(main, *TEST, "--video_dir", "data/CLIP/features")
    fails(result, "input_v_dim 2048, but that of data/CLIP/features is 768")
    result = command(main, *TEST, "--nhead", "4", "--norm_where", "pre_norm", "--ff_dim", "8")
    fails(result, "nhead 2, but --nhead is 4; ff_dim 32, but --ff_dim is 8; norm_where post_norm, but")


def weights():
    return MMIL_Net(hidden_dim=16, nhead=2, ff_dim=32).state_dict()


class Unpicklable:
    """A checkpoint that would run code."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "not a PyTorch checkpoint, or damaged"),
        (b"not a checkpoint", "not a PyTorch checkpoint, or damaged"),
        ("truncated", "not a PyTorch checkpoint, or damaged"),
        ("pickled code", "not a PyTorch checkpoint, or damaged"),
        ({"model": weights(), "epoch": 3}, "holds no weights of MMIL_Net"),
        ([1, 2], "holds no weights of MMIL_Net"),
        ({"conv.weight": torch.zeros(3)}, "holds no weights of MMIL_Net"),
        ({}, "holds no weights of MMIL_Net"),
        ({0: torch.zeros(3)}, "holds no weights of MMIL_Net"),
        ({**weights(), "fc_st.bias": torch.zeros(16).to_sparse()}, "holds no weights of MMIL_Net"),
        ({**weights(), "fc_st.bias": torch.zeros(16, dtype=torch.complex64)}, "holds no weights of MMIL_Net"),
        ({**weights(), "fc_prob.weight": torch.zeros(1, 1).expand(10**6, 10**6)}, "holds no weights of MMIL_Net"),
        ({**weights(), "extra": torch.zeros(1)}, "1 parameters are missing, unknown or of other shape: extra"),
        ({k: v for k, v in weights().items() if k != "fc_st.bias"}, "1 parameters are missing, .*: fc_st.bias"),
        ({**weights(), "fc_st.bias": torch.full((16,), torch.nan)}, "NaN or infinite weights"),
    ],
)
def test_a_bad_checkpoint_is_named(trained, command, value, message):
    if value == "truncated":
        trained.write_bytes(trained.read_bytes()[:5000])
    elif value == "pickled code":
        torch.save(Unpicklable(), trained)
    elif isinstance(value, bytes):
        trained.write_bytes(value)
    else:
        torch.save(value, trained)
    result = command(main, *TEST)
    fails(result, "models/run/checkpoint_best.pt: ", message.split(".*")[0], message.split(".*")[-1])
    assert not os.path.exists("pwned")


def test_a_damaged_checkpoint_never_ends_in_a_traceback(trained, command):
    contents = trained.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(contents)
        damaged[rng.integers(len(contents))] ^= int(rng.integers(1, 256))
        start = rng.integers(len(contents))
        damaged[start : start + 40] = rng.bytes(40)
        trained.write_bytes(damaged)
        assert command(main, *TEST).status in (0, 2)  # some bytes are padding


def test_features_of_two_kinds_do_not_mix(workspace, command):
    for name in read_split(workspace / "data/AVVP_val_pd.csv").ids:
        path = workspace / f"data/CLAP/features/{name}.npy"
        path.unlink()
        np.save(path, np.zeros((10, 768), np.float32))
    result = command(main, *RUN, "--audio_dir", "data/CLAP/features")
    fails(result, "holds (64, 768) for data/AVVP_train.csv, but (10, 768) for data/AVVP_val_pd.csv")


def test_no_memory_left_leaves_no_run_folder(workspace, command, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(losses, "parser_losses", full)
    fails(command(main, *RUN), "too little memory; lower --batch_size")
    assert not (workspace / "models/run").exists()


def test_a_missing_checkpoint_is_named_before_anything_is_read(workspace, command):
    result = command(main, *TEST, "--audio_dir", "nowhere")
    fails(result, "models/run/checkpoint_best.pt: no such checkpoint; train first")
    assert not (workspace / "models").exists()


def test_published_checkpoints_are_interchangeable(trained, command):
    """Any plain state_dict of these names loads, in whatever order and container."""
    expected = command(main, *TEST).out
    published = torch.load(trained, weights_only=True)
    as_old_torch = {"_use_new_zipfile_serialization": False}
    torch.save(dict(reversed(published.items())), trained, **as_old_torch)
    (trained.parent / "arguments.txt").unlink()
    assert command(main, *TEST).out == expected


def test_results_that_cannot_be_written_leave_the_old_ones(trained, command, monkeypatch):
    assert command(main, *TEST, "--save_predictions", "pred", "--json", "s.json").status == 0
    names = ("pred/pred_audio.csv", "pred/probabilities.npz", "s.json")
    before = {path: path.read_bytes() for path in map(Path, names)}

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    fails(command(main, *TEST, "--save_predictions", "pred", "--json", "s.json"), "s.json: No space left on device")
    fails(command(main, *TEST, "--save_predictions", "pred"), "pred/pred_audio.csv: No space left on device")
    assert {path: path.read_bytes() for path in before} == before
    assert not [name for name in os.listdir("pred") if name.endswith(".tmp")]


def test_a_bad_name_in_a_split_reads_nothing_outside(workspace, command):
    path = workspace / "data/AVVP_test_pd.csv"
    path.unlink()
    path.write_text("filename\tevent_labels\n../../secret_0_10\tSpeech\n")
    checkpoint.save(workspace / "models/run/checkpoint_best.pt", weights())
    fails(command(main, *TEST), "AVVP_test_pd.csv, line 2: '../../secret_0_10' is not a video name")


def test_the_scorer_names_what_is_wrong(workspace, command):
    def flags(pred="pred", label="data/AVVP_test_pd.csv", gt="data"):
        return "--pred_dir", pred, "--label_csv", label, "--gt_dir", gt

    fails(command(score_predictions, *flags()), "pred/pred_audio.csv: no such file")
    write_predictions(workspace / "pred", [], *np.zeros((2, 0, 25, 10), bool))
    assert command(score_predictions, *flags()).status == 0
    fails(command(score_predictions, *flags(label="none.csv")), "none.csv: no such file")
    fails(command(score_predictions, *flags(gt="pred")), "pred/AVVP_eval_audio.csv: no such file")
    twice = ("--label_csv", "data/AVVP_eval_audio.csv")
    fails(command(score_predictions, *flags(), *twice), "AVVP_eval_audio.csv: lists a video twice")
    fails(command(score_predictions, *flags(), "--per_video", "data"), "--per_video data: is a folder")
    with open("pred/pred_visual.csv", "a") as file:
        file.write("a_0_10\t0\t5\tSpeech\nb_0_10\t0\t3\tDogs\n")
    fails(command(score_predictions, *flags()), "pred/pred_visual.csv, line 3: unknown class 'Dogs'; did you mean Dog?")


def test_a_list_that_repeats_a_row_is_refused_with_one_message_by_every_command(workspace, command):
    path = workspace / "data/AVVP_test_pd.csv"
    lines = path.read_text().splitlines()
    name = lines[2].split("\t")[0]
    path.unlink()
    path.write_text("\n".join([*lines, lines[2]]) + "\n")
    write_predictions(workspace / "pred", [name], *np.ones((2, 1, 25, 10), bool))
    write_small_parser(workspace / "models/run/checkpoint_best.pt")
    scoring = ("--pred_dir", "pred", "--label_csv", "data/AVVP_test_pd.csv", "--gt_dir", "data")
    Path("in").mkdir()
    calls = {
        main: (*SMALL, "--mode", "test", "--model_name", "run"),
        score_predictions: scoring,
        make_report: (*scoring, "--out", "page.html"),
        plot_timeline: (*scoring, "--out", "figure.png"),
        score_pseudo_labels: ("--gt_dir", "data"),
        pack_features: ("--out", "packed.h5"),
        clap_preprocess: ("--label_all_dataset", path, "--audio_dir", "in"),
        clip_preprocess: ("--label_all_dataset", path, "--from_videos", "in"),
        extract_features: ("--kind", "vggish", "--audio_dir", "in", "--label_all_dataset", path),
        download_dataset: ("--label_all_dataset", path, "--videos_saved_dir", "in"),
    }
    before = set(Path.cwd().rglob("*"))
    for module, flags in calls.items():
        message = f"AVVP_test_pd.csv: lists a video twice, '{name}' as its videos number 2 and {len(lines)}; expected"
        fails(command(module, *flags), message)
    assert set(Path.cwd().rglob("*")) - before <= {Path.cwd() / "data/cache"}


@pytest.mark.parametrize("other", ["audio", "visual"])
def test_each_prediction_file_with_rows_must_name_a_video_of_the_list(workspace, command, other):
    names = read_split(workspace / "data/AVVP_test_pd.csv").filenames
    flags = ("--pred_dir", "pred", "--gt_dir", "data")
    write_predictions(workspace / "pred", names, *np.ones((2, len(names), 25, 10), bool))
    assert command(score_predictions, *flags).status == 0
    path, header = workspace / f"pred/pred_{other}.csv", "filename\tonset\toffset\tevent_labels\n"
    path.write_text(f"{header}x_0_10\t0\t5\tDog\ny_0_10\t0\t5\tDog\n")
    fails(command(score_predictions, *flags), f"pred/pred_{other}.csv: none of its 2 rows names a video of data/AVVP_")
    path.write_text(f"{header}x_0_10\t0\t5\tDog\n{names[0]}\t0\t5\tDog\n")
    assert "1 for 1 names that are not asked for" in command(score_predictions, *flags).err
    path.write_text(header)  # predicts nothing
    assert command(score_predictions, *flags).status == 0


def test_predictions_under_other_names_are_not_scored_as_nothing(workspace, command):
    """Names cut to the id, say: a table of a parser that predicts nothing would look plausible."""
    ids = read_split(workspace / "data/AVVP_test_pd.csv").ids
    write_predictions(workspace / "pred", ids, *np.ones((2, len(ids), 25, 10), bool))
    result = command(score_predictions, "--pred_dir", "pred", "--gt_dir", "data")
    count = 2 * 25 * len(ids)
    fails(result, f"pred: none of its {count} rows names a video of data/AVVP_test_pd.csv", f"such as {ids[0]}_")


def test_other_tools_name_what_is_wrong(workspace, command):
    fails(command(make_lookalike, "--out", "data"), "data: exists and is not an empty folder")
    write_predictions(workspace / "pred", [], *np.zeros((2, 0, 25, 10), bool))
    flags = ("--pred_dir", "pred", "--gt_dir", "data")
    fails(command(plot_timeline, *flags, "--out", "x.jpeg"), "expected a name that ends in .png, .pdf, .svg")
    fails(command(plot_timeline, *flags, "--out", "x.png", "--videos", "unknown"), "unknown: not in")


def test_in_a_process_of_its_own(workspace):
    """The same from outside: status 2, one line, no traceback."""
    result = python(ROOT / "main.py", "--mode", "test", cwd=workspace)
    assert (result.returncode, result.stdout) == (2, "")
    expected = "models/MMIL_Net/checkpoint_best.pt: no such checkpoint; train first, or put the published"
    assert result.stderr.count("\n") == 1 and result.stderr.startswith(f"main.py: error: {expected}")


@pytest.mark.parametrize("line", ["nhead: abc", "nhead: 0", "nhead: -2", f"nhead: {'8' * 5000}", "norm_where: mid"])
def test_damaged_arguments_beside_a_checkpoint_are_named(tmp_path, line):
    checkpoint = write_small_parser(tmp_path / "checkpoint_best.pt")
    (tmp_path / "arguments.txt").write_text(f"nhead: 2\n{line}\n")
    with pytest.raises(InputError, match=r"^[^\n]*arguments\.txt: nhead is '.*, norm_where '.*; expected 1 to 16"):
        load_network(checkpoint, None, None, None, None)


def test_sizes_beyond_all_memory_are_named(workspace, command):
    result = command(main, *RUN, "--hidden_dim", str(2**31 - 2), "--nhead", "1")
    assert result.status == 2 and "too little memory" in result.error
    assert not (workspace / "models").exists()


@pytest.mark.parametrize("names", [("-dash.mp4",), ("a.mp4", "-dash.mp4")])
def test_a_name_that_begins_with_a_dash_is_explained(names, command):
    result = command(parse_video, *names, "--checkpoint", "x.pt", "--out", "out")
    fails(result, "a file whose name begins with a dash is given as ./-dash.mp4")
    assert "begins with a dash" not in command(parse_video, "a.mp4", "-x", "-1.5", "--checkpoint", "x.pt").err
