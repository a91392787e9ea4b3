"""Data sets by YAML: what is read, offset rules, videos that differ in length from lists to scores, whole runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import main
from tests import reference_metrics
from tests.conftest import SMALL, TRAIN
from utils import (
    download_features,
    make_report,
    pack_features,
    plot_timeline,
    score_predictions,
    score_pseudo_labels,
    simulate,
)
from utils.base.errors import InputError
from utils.features import pooling
from utils.features.lengths import MOST_SQUARED, WASTE, Rows, batches_of, similar_lengths
from utils.llp.annotations import Evaluation, Predictions, Reference, read_reference, write_predictions
from utils.llp.datasets import LLP, read_dataset, write_dataset
from utils.llp.events import events_to_segments, find_events, read_events
from utils.llp.probabilities import Probabilities, read_probabilities, write_probabilities
from utils.llp.ragged import Ragged
from utils.llp.videos import Split, read_split
from utils.metrics.decision_thresholds import choose_thresholds
from utils.metrics.eval_metrics import binarize, class_scores, event_set_scores, exclusive_scores, video_scores
from utils.metrics.protocols import never_annotated, single_truth
from utils.report import figures, timelines

LENGTHS = np.array([3, 11, 1, 11, 7, 40])


def write_yaml(folder, **entries):
    """A data set of two classes with further entries; returns its path."""
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "seconds": "per_video", "classes": ["cat", "dog"]} | entries))
    return path


@pytest.fixture(scope="module")
def ragged_data(tmp_path_factory):
    """A simulated data set of 24 + 8 + 8 videos of 4 to 33 seconds."""
    folder = tmp_path_factory.mktemp("simulated") / "data"
    flags = ["--out", folder, "--seconds", 4, 33, "--train", 24, "--val", 8, "--test", 8]
    args = simulate.get_args_parser().parse_args(list(map(str, flags)))
    simulate.main(args)
    return folder


def flags_random(rng, lengths=LENGTHS, classes=4):
    """Random runs: padded (N, C, T) bool with junk behind each video's end, and the same as Ragged."""
    padded = np.repeat(rng.random((len(lengths), classes, max(lengths) // 2 + 1)) < 0.4, 2, axis=-1)[
        ..., : max(lengths)
    ]
    return padded, Ragged.of(padded, lengths)


# ---------------------------------------------------------------- YAML


def test_llp_is_what_it_was():
    assert LLP.seconds == 10 and LLP.offset == "exclusive" and len(LLP.classes) == 25
    assert list(LLP.splits.values()) == ["AVVP_train.csv", "AVVP_val_pd.csv", "AVVP_test_pd.csv"]
    settled = LLP.paths(vars(main.get_args_parser().parse_args([])))
    assert settled["audio_dir"] == "./data/feats/vggish" and settled["label_val"] == "./data/AVVP_val_pd.csv"


def test_ave_and_lfav_have_their_classes():
    ave, lfav = read_dataset("ave"), read_dataset("lfav")
    assert (len(ave.classes), ave.seconds, ave.metrics, ave.separator) == (28, 10, "accuracy", ";")
    assert ave.class_names[19] == "Baby cry, infant cry" and ave.class_names[:2] == (
        "Church bell",
        "Male speech, man speaking",
    )
    assert (len(lfav.classes), lfav.seconds, lfav.offset, lfav.gate) == (35, None, "inclusive", "modality")


def test_a_data_set_is_read_as_it_was_written(tmp_path):
    for name in ("ave", "lfav"):
        dataset = read_dataset(name)
        write_dataset(tmp_path / "d.yaml", dataset)
        assert read_dataset(tmp_path / "d.yaml") == dataset
    own = read_dataset(write_yaml(tmp_path))
    assert own.folder == str(tmp_path) and own.class_names == ("cat", "dog")
    moved = tmp_path / "moved"
    moved.mkdir()
    write_dataset(moved / "dataset.yaml", own._replace(folder=str(moved)))
    assert "folder" not in yaml.safe_load((moved / "dataset.yaml").read_text())  # it can be moved


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"name": "LLP"}, "name is LLP"),
        ({"seconds": 0}, "seconds is 0, expected a whole number from 1 to 3600, or per_video"),
        ({"seconds": 2.5}, "seconds is 2.5"),
        ({"offset": "half"}, "offset is 'half', expected one of exclusive, inclusive, touching"),
        ({"modalities": ["sound"]}, "modalities is ['sound']"),
        ({"classes": None}, "has no classes"),
        ({"classes": ["a", "a"]}, "lists a twice"),
        ({"classes": ["a,b"]}, "'a,b' cannot stand in a CSV file"),
        ({"metrics": "accuracy"}, "needs the same number of seconds"),
        ({"colour": "red"}, "colour: unknown"),
        ({"features": {"x": {"stream": "smell", "rows_per_second": 1, "size": 3}}}, "features is"),
        ({"splits": {"train": 3}}, "splits is"),
    ],
)
def test_bad_entries_are_named(tmp_path, entries, said):
    with pytest.raises(InputError) as error:
        read_dataset(write_yaml(tmp_path, **entries))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_unknown_names_of_data_sets_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="did you mean ave"):
        read_dataset("avee")
    with pytest.raises(InputError, match="none.yaml"):
        read_dataset(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"unav.yaml: has no classes.*convert_dataset.py"):
        read_dataset("unav")


# ---------------------------------------------------------------- lists and events


@pytest.mark.parametrize(
    ("rule", "onset", "offset", "covered"),
    [
        ("exclusive", "2", "5", [2, 3, 4]),
        ("exclusive", "5", "5", []),
        ("inclusive", "2", "5", [2, 3, 4, 5]),
        ("inclusive", "5", "5", [5]),
        ("inclusive", "5", "4", []),
        ("inclusive", "7", "116117", [7]),
        ("touching", "2.0", "3.0", [2]),
        ("touching", "4.99", "5.01", [4, 5]),
        ("touching", "3.0", "3.0", []),
        ("touching", "6.9", "7.5", [6, 7]),
    ],
)
def test_offset_rules(tmp_path, rule, onset, offset, covered):
    dataset = read_dataset(write_yaml(tmp_path, offset=rule))
    (tmp_path / "e.csv").write_text(f"filename\tonset\toffset\tevent_labels\nv\t{onset}\t{offset}\tdog\n")
    segments = events_to_segments(read_events(tmp_path / "e.csv", dataset), ["v", "w"], 2, np.array([8, 2]))
    assert np.flatnonzero(segments[0][1]).tolist() == covered and not segments[0][0].any() and not segments[1].any()


def test_times_outside_are_refused_or_cut(tmp_path):
    (tmp_path / "e.csv").write_text("filename\tonset\toffset\tevent_labels\nv\t2.5\t9\tdog\n")
    with pytest.raises(InputError, match=r"line 2: onset is '2.5', expected a whole second from 0 to 5"):
        read_events(tmp_path / "e.csv", read_dataset(write_yaml(tmp_path, seconds=5)))
    (tmp_path / "eval_audio.csv").write_text(
        "filename\tonset\toffset\tevent_labels\nv\t2\t90\tdog\nv\t3\t1\tcat\nv\t3\t1\tcat\n"
    )
    (tmp_path / "eval_visual.csv").write_text("filename\tonset\toffset\tevent_labels\n")
    found = read_reference(tmp_path, ["v"], read_dataset(write_yaml(tmp_path)), np.array([6]))
    assert found.audio[0].tolist() == [[False] * 6, [False, False, True, True, True, True]]
    assert "2 covering no second, 1 cut at the end of their video, 1 duplicate" in found.issues[0]


def test_labels_with_commas_and_files_by_rule(tmp_path):
    dataset = read_dataset(write_yaml(tmp_path, separator=";", ids="numbered", classes=["cry, baby", "dog"]))
    (tmp_path / "l.csv").write_text("filename\tevent_labels\nabc_2\tcry, baby;dog\n---10_20\tdog\n")
    split = read_split(tmp_path / "l.csv", dataset)
    assert split.weak.tolist() == [[1, 1], [0, 1]] and split.ids == ["abc_2", "---10_20"]


def test_written_predictions_are_read_back_by_the_same_rule(tmp_path):
    rng = np.random.default_rng(0)
    for rule in ("exclusive", "inclusive", "touching"):
        dataset = read_dataset(write_yaml(tmp_path, offset=rule, classes=list("abcd")))
        (_, audio), (_, visual) = flags_random(rng), flags_random(rng)
        names = [f"v{i}" for i in range(len(audio))]
        write_predictions(tmp_path / rule, names, audio, visual, dataset)
        events = read_events(tmp_path / rule / "pred_audio.csv", dataset)
        assert np.array_equal(events_to_segments(events, names, 4, LENGTHS).rows, audio.rows)


# ---------------------------------------------------------------- flags of videos that differ in length


def test_ragged_flags_are_the_padded_ones():
    padded, ragged = flags_random(np.random.default_rng(1))
    other, others = flags_random(np.random.default_rng(2))
    for i, length in enumerate(LENGTHS):
        assert np.array_equal(ragged[i], padded[i, :, :length])
        assert np.array_equal((ragged & others)[i], (padded & other)[i, :, :length])
        assert np.array_equal((~ragged | others)[i], (~padded | other)[i, :, :length])
        assert np.array_equal(ragged.any()[i], padded[i, :, :length].any(axis=-1))
    assert sorted(np.concatenate(list(ragged.blocks()))) == list(range(len(LENGTHS)))
    assert np.array_equal(ragged[[4, 1]][1], ragged[1]) and len(ragged[2:5]) == 3
    events = find_events(ragged)
    alone = [[i, *event] for i in range(len(ragged)) for event in find_events(ragged[i][None])[:, 1:].tolist()]
    assert events.tolist() == alone


def test_scores_of_ragged_data_are_those_of_the_slow_loops():
    rng = np.random.default_rng(3)
    four = [flags_random(rng) for _ in range(4)]
    fast = video_scores(*(ragged for _, ragged in four))
    by_lengths = video_scores(*(padded for padded, _ in four), lengths=LENGTHS)
    for i in range(len(LENGTHS)):
        slow = reference_metrics.video_scores(*(ragged[i].astype(int).tolist() for _, ragged in four))
        for name, score in slow.items():
            assert fast[name][i] == pytest.approx(score, abs=1e-9) and by_lengths[name][i] == fast[name][i]


def test_equal_lengths_score_as_arrays():
    rng = np.random.default_rng(4)
    lengths = np.full(9, 10)
    four = [flags_random(rng, lengths) for _ in range(4)]
    for scores in (video_scores, exclusive_scores):
        arrays, ragged = (scores(*(pair[k] for pair in four)) for k in (0, 1))
        assert all(np.array_equal(arrays[name], ragged[name]) for name in arrays)
    arrays, ragged = (class_scores(four[0][k], four[1][k]) for k in (0, 1))
    assert all(np.array_equal(arrays[name], ragged[name], equal_nan=True) for name in arrays)
    assert np.array_equal(*(event_set_scores(four[0][k], four[1][k]) for k in (0, 1)))


@pytest.mark.parametrize("by_modality", [False, True])
def test_decisions_of_videos_that_differ_in_length(by_modality):
    rng = np.random.default_rng(5)
    frame = rng.random((LENGTHS.sum(), 2, 4), np.float32)
    gate = rng.random((len(LENGTHS), *([2] if by_modality else []), 4), np.float32)
    decided = binarize(gate, frame, 0.4, 0.6, lengths=LENGTHS)
    starts = np.cumsum(LENGTHS) - LENGTHS
    for i, (start, length) in enumerate(zip(starts, LENGTHS, strict=True)):
        for m, flags in enumerate(decided):
            opened = (gate[i, m] if by_modality else gate[i]) >= np.float32(0.4)
            expected = (frame[start : start + length, m] >= np.float32(0.6)) & opened
            assert np.array_equal(flags[i], expected.T)


def test_chosen_thresholds_of_equal_lengths_are_those_of_arrays():
    rng = np.random.default_rng(6)
    lengths = np.full(12, 10)
    (audio, ragged_audio), (visual, ragged_visual) = flags_random(rng, lengths), flags_random(rng, lengths)
    frame = rng.random((12, 10, 2, 4), np.float32)
    arrays = choose_thresholds(frame.max(axis=(1, 2)), frame, audio, visual)
    flat = choose_thresholds(
        frame.max(axis=(1, 2)), frame.reshape(-1, 2, 4), ragged_audio, ragged_visual, lengths=lengths
    )
    assert arrays == flat


# ---------------------------------------------------------------- probabilities


def test_probabilities_in_another_order_and_with_more_videos(tmp_path):
    rng = np.random.default_rng(7)
    dataset = read_dataset(write_yaml(tmp_path, classes=list("abcd")))
    names = [f"v{i}" for i in range(len(LENGTHS))]
    said = Probabilities(LENGTHS, rng.random((LENGTHS.sum(), 2, 4)), video_prob=rng.random((len(LENGTHS), 2, 4)))
    write_probabilities(tmp_path / "p.npz", names, said)
    found = read_probabilities(tmp_path / "p.npz", ["v4", "v0"], dataset)
    assert found.lengths.tolist() == [7, 3]
    start = LENGTHS[:4].sum()
    assert np.array_equal(found.frame_prob, np.concatenate([said.frame_prob[start : start + 7], said.frame_prob[:3]]))
    assert np.array_equal(found.video_prob, said.video_prob[[4, 0]])
    with pytest.raises(InputError, match="says nothing of 1 of 1 videos, such as x"):
        read_probabilities(tmp_path / "p.npz", ["x"], dataset)
    wrong = {
        r"frame_prob is \(72, 2, 4\) float64, expected": {"frame_prob": said.frame_prob[1:]},
        "video_prob holds NaN": {"video_prob": said.video_prob * np.nan},
        "frame_prob holds numbers outside 0 to 1": {"frame_prob": said.frame_prob * 3 - 1},
        r"`lengths` is \(6,\) float64, expected a whole number": {"lengths": LENGTHS + 0.5},
    }
    for message, change in wrong.items():
        write_probabilities(tmp_path / "p.npz", names, said._replace(**change))
        with pytest.raises(InputError, match=message):
            read_probabilities(tmp_path / "p.npz", names, dataset)
    (tmp_path / "lengths.csv").write_text("filename\tseconds\nv0\t9\n")
    known = dataset._replace(lengths="lengths.csv", folder=str(tmp_path))
    write_probabilities(tmp_path / "p.npz", names, said)
    with pytest.raises(InputError, match="v0 has 3 seconds, but 9 in mine"):
        read_probabilities(tmp_path / "p.npz", names, known)
    with pytest.raises(InputError, match="v0 has 3 seconds, but 7 in mine"):
        read_probabilities(tmp_path / "p.npz", names, dataset._replace(seconds=7))
    (tmp_path / "p.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:3000])
    with pytest.raises(InputError, match="expected arrays by name"):
        read_probabilities(tmp_path / "p.npz", names, dataset)


# ---------------------------------------------------------------- batches


def test_padded_batches_hold_the_rows_of_each_video():
    rows = Rows(LENGTHS)
    flat = torch.arange(LENGTHS.sum()).float()[:, None] + 1
    weak = torch.arange(len(LENGTHS)).float()[:, None]
    batch = rows.batch({"audio": flat, "logits_a": flat, "weak": weak}, torch.tensor([4, 0, 2]))
    assert batch["lengths"].tolist() == [7, 3, 1] and batch["audio"].shape == (3, 7, 1)
    starts = np.cumsum(LENGTHS) - LENGTHS
    for row, video in enumerate((4, 0, 2)):
        length, own = LENGTHS[video], starts[video] + 1 + np.arange(LENGTHS[video])
        assert batch["audio"][row, :length, 0].tolist() == own.tolist() and not batch["audio"][row, length:].any()
        assert (batch["logits_a"][row, length:] == -1e4).all()  # no sound: above no threshold
    assert batch["weak"][:, 0].tolist() == [4, 0, 2]
    assert rows.of(torch.tensor([1, 3])).tolist() == [*range(3, 14), *range(15, 26)]


def test_batches_are_all_videos_of_similar_length_and_bounded():
    lengths = torch.from_numpy(np.random.default_rng(8).integers(1, 1500, 300))
    groups = similar_lengths(lengths)
    assert sorted(torch.cat(groups).tolist()) == list(range(300))
    for group in groups:
        squares = lengths[group].double() ** 2
        assert len(group) * squares.max() <= WASTE * squares.sum()
    orders = [torch.arange(300), torch.randperm(300)]
    found = [batches_of(groups, lengths, 8, order) for order in orders]
    assert len(found[0]) == len(found[1])
    for batches in found:
        assert sorted(torch.cat(batches).tolist()) == list(range(300))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * int(lengths[batch].max()) ** 2 <= MOST_SQUARED
            assert len(batch) <= 8


def test_even_pooling_is_adaptive_average_pooling():
    rng = np.random.default_rng(9)
    for rows, seconds in ((97, 31), (31, 10), (4, 9), (1, 3), (80, 10)):
        array = rng.standard_normal((rows, 5)).astype(np.float32)
        expected = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(array.T[None]), seconds)[0].T.numpy()
        assert np.allclose(pooling.pool_evenly(array, seconds), expected, atol=1e-6)


# ---------------------------------------------------------------- whole runs


@pytest.fixture
def ragged(ragged_data, tmp_path, monkeypatch):
    """A working directory, and flags of a small run on videos that differ in length."""
    monkeypatch.chdir(tmp_path)
    return (*TRAIN, "--dataset", ragged_data / "dataset.yaml")


def weights(name):
    return torch.load(f"models/{name}/checkpoint_best.pt", weights_only=True)


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_in_memory_from_the_cache_and_packed_are_one_training(ragged, ragged_data, command, tmp_path):
    assert command(main, *ragged, "--model_name", "memory").status == 0
    result = command(pack_features, "--dataset", ragged_data / "dataset.yaml", "--out", "p.h5")
    assert result.status == 0 and "lengths" in result.out, result.err
    fixed = write_yaml(tmp_path, classes=list(LLP.class_names), seconds=10)
    refused = command(main, *TRAIN, "--dataset", fixed, "--packed", "p.h5", "--model_name", "other")
    assert refused.status == 2 and "p.h5: its videos differ in length, but those of mine do not" in refused.error
    cached = [flag for flag in ragged if flag != "--no_cache"]
    ways = {
        "cached": (*cached, "--cache_dir", "cache", "--memory_limit", "0.000001"),
        "packed": (*ragged, "--packed", "p.h5"),
    }
    ways["streamed"] = (*ways["packed"], "--memory_limit", "0.000001")
    for name, flags in ways.items():
        result = command(main, *flags, "--model_name", name)
        assert result.status == 0, result.err
        assert same(weights("memory"), weights(name)), name


def test_a_run_knows_its_data_set_and_scores_are_found_again(ragged, ragged_data, command):
    result = command(main, *ragged, "--model_name", "run", "--losses", "video,audio,visual,guided")
    assert result.status == 0, result.err
    flags = (*SMALL, "--mode", "test", "--model_name", "run")
    result = command(main, *flags, "--save_predictions", "pred", "--json", "main.json")
    assert result.status == 0, result.err
    data = ("--dataset", ragged_data / "dataset.yaml")
    for source in (("--pred_dir", "pred"), ("--probabilities", "pred/probabilities.npz")):
        result = command(score_predictions, *data, *source, "--json", "scored.json", "--per_video", "videos.csv")
        assert result.status == 0, result.err
        scored, mains = (json.loads(Path(f"{name}.json").read_text()) for name in ("scored", "main"))
        assert scored == {name: mains[name] for name in scored} and len(scored) == 10
    with np.load("pred/probabilities.npz") as said:
        assert said["frame_prob"].shape == (said["lengths"].sum(), 2, 25) and said["video_prob"].shape == (8, 2, 25)
    for tool, more in ((make_report, ()), (plot_timeline, ())):
        out = "page.html" if tool is make_report else "t.png"
        result = command(tool, *data, "--pred_dir", "pred", "--out", out, *more)
        assert result.status == 0, result.err
    assert command(score_pseudo_labels, *data).status == 0
    other = command(main, *flags, "--dataset", "ave")
    assert other.status == 2 and "--dataset ave: is not the data set of" in other.error


def test_a_resumed_run_is_the_one_that_was_not_stopped(ragged, command, monkeypatch):
    assert command(main, *ragged, "--model_name", "whole").status == 0
    real, epochs = main.engine.train_one_epoch, []

    def stop(*args, **kwargs):
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(main.engine, "train_one_epoch", stop)
    assert command(main, *ragged, "--model_name", "parts").status == 130
    monkeypatch.setattr(main.engine, "train_one_epoch", real)
    result = command(main, *ragged, "--model_name", "parts", "--resume")
    assert result.status == 0, result.err
    assert same(weights("whole"), weights("parts"))


@pytest.mark.parametrize(
    "flags",
    [
        ("--mixup", "1.7"),
        ("--recombine", "1"),
        ("--reweight", "0.5", "--segment_weight", "3"),
        ("--model", "MM_Pyramid", "--num_layers", "2"),
        ("--model", "UWAV", "--num_layers", "1"),
        ("--precision", "bf16"),
        ("--feature_dtype", "float16"),
    ],
)
def test_recipes_and_networks_train(ragged, command, flags):
    result = command(main, *ragged, *flags, "--model_name", "run")
    assert result.status == 0, result.err
    losses = [json.loads(line)["loss_all"] for line in Path("models/run/iterations.jsonl").read_text().splitlines()]
    assert all(np.isfinite(losses))


def test_soft_targets_train(ragged, ragged_data, command):
    logits = ("--a_logits_dir", ragged_data / "CLAP/logits", "--v_logits_dir", ragged_data / "CLIP/logits")
    result = command(main, *ragged, "--targets", "soft", *logits, "--reweight", "0.5", "--model_name", "run")
    assert result.status == 0, result.err


def test_what_has_no_meaning_is_refused(ragged, command):
    result = command(main, *ragged, "--exact")
    assert result.status == 2 and "--exact has no meaning with videos that differ in length" in result.error


def test_features_that_do_not_fit_the_length_of_a_video_are_named(ragged_data, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ragged_data, tmp_path / "data")
    path = next((tmp_path / "data/CLIP/segment_pseudo_labels").glob("train*.npy"))
    np.save(path, np.load(path)[:-1])
    result = command(main, *TRAIN, "--dataset", "data/dataset.yaml")
    assert result.status == 2 and path.name in result.error and "but its video has" in result.error
    np.save(path, np.load(path).repeat(3, axis=0))
    result = command(main, *TRAIN, "--dataset", "data/dataset.yaml")
    assert result.status == 2 and path.name in result.error


def test_five_and_ninety_seconds(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seconds in (5, 90):
        folder = tmp_path / f"data{seconds}"
        flags = ("--out", folder, "--seconds", seconds, seconds, "--train", 12, "--val", 6, "--test", 6)
        assert command(simulate, *flags).status == 0
        dataset = read_dataset(folder / "dataset.yaml")
        assert dataset.seconds == seconds
        name = f"run{seconds}"
        result = command(main, *TRAIN, "--dataset", folder / "dataset.yaml", "--model_name", name)
        assert result.status == 0, result.err
        result = command(
            main,
            *TRAIN[: TRAIN.index("--batch_size")],
            "--mode",
            "test",
            "--model_name",
            name,
            "--save_predictions",
            "p",
        )
        assert result.status == 0, result.err
        with np.load("p/probabilities.npz") as said:
            assert said["frame_prob"].shape == (6 * seconds, 2, 25)


def test_each_timeline_has_the_length_of_its_video(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    _, flags = flags_random(np.random.default_rng(0))
    dataset = read_dataset(write_yaml(tmp_path, classes=list("abcd")))
    split = Split(tmp_path / "l.csv", [f"v{i}" for i in range(len(flags))], None)
    evaluation = Evaluation(split, dataset, Reference(flags, flags, "", []), [Predictions(flags, flags, [])])
    timelines.plot_timelines(tmp_path / "t.png", evaluation, range(len(flags)))
    assert [ax.get_xlim()[1] for ax in drawn[0].axes] == [length for length in LENGTHS for _ in (0, 1)]


def test_accuracy_is_for_one_event_a_second():
    with pytest.raises(InputError, match="3 seconds are annotated with several events"):
        single_truth(np.ones((1, 2, 3), bool))


def test_classes_without_which_mean_average_precision_is_undefined_are_named():
    audio, visual = np.zeros((2, 1, 35, 4), bool)
    audio[:], visual[:, 1:] = True, True
    line = never_annotated(read_dataset("lfav"), Reference(audio, visual, "", []))
    assert line[0].startswith("no second of these videos has accordion (visual), accordion (both): mAP is not defined")
    assert not never_annotated(LLP, Reference(audio, visual, "", []))


def test_only_the_files_of_llp_can_be_fetched(command):
    result = command(download_features, "--dataset", "ave", "--check")
    assert result.status == 2 and "AVE: only LLP's files can be fetched; docs/DATASETS.md says where" in result.error
