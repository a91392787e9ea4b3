"""The simulated LLP: tracks, teachers, features, files, and the posterior against a sum over all labels."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import nets
from utils import score_predictions, score_pseudo_labels, simulate
from utils.features.kinds import KINDS
from utils.llp.annotations import read_reference
from utils.llp.classes import CLASSES, EventClass, write_classes
from utils.llp.events import find_runs
from utils.llp.tables import read_table
from utils.llp.videos import read_split
from utils.metrics.eval_metrics import binarize, ten_scores, video_scores
from utils.simulation.posterior import Posterior
from utils.simulation.scores import posterior_scores, posterior_thresholds, teacher_scores
from utils.simulation.statistics import (
    LLP_STATISTICS,
    MODES,
    Statistics,
    draw_tracks,
    measure,
    measure_folder,
    read_statistics,
    write_statistics,
)
from utils.simulation.world import BASE, WORLDS, Dials, Teacher, World
from utils.train.recipe import Recipe
from utils.train.step import forward_losses

PERFECT = Teacher(1e4, 0, 0)
SMALL = [KINDS[name]._replace(size=25) for name in BASE]
FLAGS = ("--train", 70, "--val", 6, "--test", 8)


def world(audio=PERFECT, visual=PERFECT, snr=3.0, seed=0, kinds=()) -> World:
    return World(Dials(snr, snr, audio, visual), seed=seed, kinds=kinds)


def scores(audio: Teacher, visual: Teacher, count: int = 300) -> dict[str, float]:
    videos = world(audio, visual).videos("test", count)
    return teacher_scores(videos.tracks, videos.pseudo)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A small simulated data set."""
    out = tmp_path_factory.mktemp("simulated") / "data"
    simulate.main(simulate.get_args_parser().parse_args(["--out", str(out), *map(str, FLAGS)]))
    return out


def test_the_same_seed_writes_the_same_bytes(written, tmp_path, command):
    assert command(simulate, "--out", tmp_path / "again", *FLAGS).status == 0
    first = contents(written)
    assert contents(tmp_path / "again") == first
    assert command(simulate, "--out", tmp_path / "more", *FLAGS, "--train", 3, "--val", 9).status == 0
    more = contents(tmp_path / "more")  # other sizes leave the videos that both have as they are
    arrays = [name for name in more if name.endswith(".npy") and name in first]
    assert len(arrays) == (3 + 6 + 8) * 7 and all(more[name] == first[name] for name in arrays)
    assert command(simulate, "--out", tmp_path / "other", *FLAGS, "--seed", 1).status == 0
    other = contents(tmp_path / "other")
    assert other.keys() == first.keys() and not any(other[name] == first[name] for name in arrays)


def test_the_files_agree_with_each_other(written):
    truth = read_table(written / "truth_train.csv", ("filename", "onset", "offset", "event_labels", "modality"))
    train = read_split(written / "AVVP_train.csv")
    for name, weak in zip(train.filenames, train.weak, strict=True):
        listed = truth[truth.filename == name]
        assert set(listed.event_labels) == {c.name for c, there in zip(CLASSES, weak, strict=True) if there}
    thresholds = {"CLAP": [c.clap_threshold for c in CLASSES], "CLIP": [c.clip_threshold for c in CLASSES]}
    full = read_split(written / "AVVP_dataset_full.csv")
    assert len(full.filenames) == 84
    for (teacher, numbers), name in itertools.product(thresholds.items(), full.ids):
        logits = np.load(written / teacher / "logits" / f"{name}.npy")
        labels = np.load(written / teacher / "segment_pseudo_labels" / f"{name}.npy")
        assert (logits.dtype, labels.dtype, logits.shape) == (np.float32, np.int64, (10, 25))
        expected = (logits > np.float32(numbers)) * full.weak[full.ids.index(name)]
        np.testing.assert_array_equal(labels, expected)
    for split in ("val", "test"):
        listed = read_split(written / f"AVVP_{split}_pd.csv")
        reference = read_reference(written, listed.filenames)
        np.testing.assert_array_equal((reference.audio | reference.visual).any(axis=2), listed.weak)
        assert not reference.issues


def test_the_commands_find_the_scores_of_the_summary(written, tmp_path, command):
    summary = json.loads((written / "summary.json").read_text())
    flags = ("--label_csv", written / "AVVP_test_pd.csv", "--gt_dir", written, "--json", tmp_path / "s.json")
    folders = {"a": written / "CLAP", "v": written / "CLIP"}
    labels = [f"--{m}_pseudo_data_dir={folder / 'segment_pseudo_labels'}" for m, folder in folders.items()]
    assert command(score_pseudo_labels, *flags, *labels).status == 0
    assert json.loads((tmp_path / "s.json").read_text()) == summary["test"]["teachers"]
    assert command(score_predictions, *flags, "--pred_dir", written / "posterior/test").status == 0
    assert json.loads((tmp_path / "s.json").read_text()) == summary["test"]["posterior"]
    said = np.load(written / "posterior/test/probabilities.npz")
    split = read_split(written / "AVVP_test_pd.csv")
    assert said["filename"].tolist() == split.filenames and said["frame_prob"].dtype == np.float32
    reference = read_reference(written, split.filenames)
    frame_prob = said["frame_prob"].reshape(-1, 10, 2, 25)
    decided = binarize(said["global_prob"], frame_prob, **summary["thresholds"])
    assert ten_scores(video_scores(*decided, reference.audio, reference.visual)) == summary["test"]["posterior"]
    assert summary["published"]["Seg-a"] == 80.5


def test_a_large_draw_has_the_statistics_that_were_asked_for():
    asked, count = read_statistics(), 20_000
    tracks = draw_tracks(np.random.default_rng(5), asked, count)
    got = measure(tracks)
    where = {row.tobytes(): n for row, n in zip(got.sets, got.set_counts, strict=True)}
    counts = np.array([where.get(row.tobytes(), 0) for row in asked.sets])
    assert counts.sum() == count
    within(counts, count, asked.set_shares)
    within(got.mode_counts, got.mode_counts.sum(axis=1, keepdims=True), asked.mode_shares)
    seen = {row.tobytes(): n for row, n in zip(got.parts, got.part_counts.T, strict=True)}
    parts = np.array([seen.get(row.tobytes(), (0, 0)) for row in asked.parts]).T
    for m in (0, 1):  # tracks of both are drawn from the mean of the modalities
        both, alone = got.mode_counts[:, -2].sum(), parts[m].sum() - got.mode_counts[:, -2].sum()
        mean = (both * asked.part_shares[2] + alone * asked.part_shares[m]) / (both + alone)
        within(parts[m], both + alone, mean)
        lengths = asked.parts.sum(axis=1)
        assert parts[m] @ lengths / parts[m].sum() == pytest.approx(mean @ lengths, abs=0.08)
        runs = np.array([len(find_runs(row)[0]) for row in asked.parts])
        assert parts[m] @ runs / parts[m].sum() == pytest.approx(mean @ runs, abs=0.03)
    assert got.overlap == pytest.approx(asked.overlap, abs=0.02)


def within(counts: np.ndarray, of, shares: np.ndarray) -> None:
    """Counts are binomial: none further than 5 standard deviations off, and they vary as they should."""
    deviation = (counts - of * shares) / np.sqrt(of * shares * (1 - shares) + 1)
    assert np.abs(deviation).max() < 5 and 0.3 < np.square(deviation).mean() < 1.5


def test_pairs_of_different_parts_keep_shares_and_overlap():
    statistics = read_statistics()
    pairs, parts = statistics.pair_shares, statistics.parts
    assert not np.diagonal(pairs).any() and pairs.min() >= 0
    np.testing.assert_allclose(pairs.sum(axis=1), statistics.part_shares[0], atol=1e-5)
    np.testing.assert_allclose(pairs.sum(axis=0), statistics.part_shares[1], atol=1e-5)
    places = np.argwhere(pairs > 0)
    iou = [(parts[i] & parts[j]).sum() / (parts[i] | parts[j]).sum() for i, j in places]
    assert pairs[tuple(places.T)] @ iou == pytest.approx(statistics.overlap, abs=1e-4)


def test_the_table_is_that_of_the_real_annotations(llp_dir, tmp_path):
    write_statistics(tmp_path / "again.yaml", measure_folder(llp_dir))
    assert (tmp_path / "again.yaml").read_text() == LLP_STATISTICS.read_text()


def test_statistics_by_hand():
    tracks = np.zeros((3, 2, 2, 10), bool)
    tracks[0, 0, 0], tracks[0, 1, 0, 2:4] = True, True  # whole and part
    tracks[1, :, 1, :5] = True  # the same part
    tracks[2, 0, 1, :4], tracks[2, 1, 1, 2:6] = True, True  # parts that differ: 2 of 6 seconds
    found = measure(tracks, ("a", "b"))
    assert found.sets.tolist() == [[False, True], [True, False]] and found.set_counts.tolist() == [2, 1]
    assert MODES[4] == (1, 2) and found.mode_counts.tolist() == [[0, 0, 0, 0, 1, 0, 0, 0, 0], [0] * 7 + [1, 1]]
    assert found.part_counts.sum(axis=1).tolist() == [2, 3] and found.overlap == pytest.approx(1 / 3)


def test_perfect_teachers_score_100():
    assert set(scores(PERFECT, PERFECT, 100).values()) == {100.0}


def test_each_dial_moves_its_teacher_down():
    best = scores(Teacher(4, 0, 0), PERFECT)
    for worse in (Teacher(2, 0, 0), Teacher(4, 0.2, 0), Teacher(4, 0, 0.4)):
        got, mirrored = scores(worse, PERFECT), scores(PERFECT, worse)
        assert got["Seg-a"] < best["Seg-a"] - 3 and got["Seg-v"] == 100
        assert mirrored["Seg-v"] < 97 and mirrored["Seg-a"] == 100
    steps = [scores(PERFECT, Teacher(3, 0, leak))["Seg-v"] for leak in (0, 0.2, 0.4, 0.6)]
    assert steps == sorted(steps, reverse=True)


def test_a_full_leak_and_full_errors():
    videos = world(PERFECT._replace(leak=1), PERFECT._replace(errors=1)).videos("test", 50)
    assert (videos.pseudo[:, 0].transpose(0, 2, 1) == videos.tracks[:, 1]).all()  # hears what is seen
    wrong = ~videos.tracks[:, 1] & videos.weak[..., None]
    assert (videos.pseudo[:, 1].transpose(0, 2, 1) == wrong).all()


@pytest.mark.parametrize("name", WORLDS)
def test_the_teachers_of_the_worlds_score_what_those_of_llp_do(name):
    worlds = [World(WORLDS[name], seed=seed, kinds=()).videos("test", 1000) for seed in range(1, 6)]
    got = [teacher_scores(videos.tracks, videos.pseudo) for videos in worlds]
    means = [np.mean([one[score] for one in got]) for score in ("Seg-a", "Seg-v", "Seg-av")]
    assert means == pytest.approx([80.5, 61.7, 55.7], abs=1)  # of five draws; one has a standard deviation of about 1


def two_classes() -> Statistics:
    """Two classes, three parts, every mode."""
    parts = np.zeros((3, 10), bool)
    parts[0, :4], parts[1, 3:9], parts[2, [1, 2, 7]] = True, True, True
    sets, modes = (
        np.array([[1, 0], [0, 1], [1, 1]], bool),
        np.array([[3, 1, 2, 5, 1, 2, 1, 2, 2], [1, 2, 3, 1, 4, 2, 2, 1, 3]]),
    )
    return Statistics(("a", "b"), sets, np.array([5, 3, 2]), modes, parts, np.array([[4, 2, 1], [1, 3, 2]]), 0.2)


def every_track(statistics: Statistics, label: int):
    """All pairs of tracks that a class may have, (2, 10) bool, with their probabilities."""
    choices = {0: [None], 1: [None], 2: range(len(statistics.parts))}
    tracks = {0: lambda _: np.zeros(10, bool), 1: lambda _: np.ones(10, bool), 2: lambda k: statistics.parts[k]}
    for mode, (a, v) in enumerate(MODES):
        for i, j in itertools.product(choices[a], choices[v]):
            probability = statistics.mode_shares[label, mode]
            if mode == 7:
                probability *= statistics.part_shares[2, i] if i == j else 0
            elif mode == 8:
                probability *= statistics.pair_shares[i, j]
            else:
                probability *= statistics.part_shares[0, i] if a == 2 else 1
                probability *= statistics.part_shares[1, j] if v == 2 else 1
            yield probability, np.stack([tracks[a](i), tracks[v](j)])


def test_the_posterior_is_the_sum_over_all_labels():
    """From the density of the raw features under each labelling of a video, one after the other."""
    statistics = two_classes()
    classes = [EventClass(name, "x", "x", 0, 0) for name in ("a", "b")]
    kinds = [KINDS[name]._replace(size=3) for name in BASE]
    small = World(Dials(0.7, 0.9, PERFECT, PERFECT), statistics, 4, kinds, classes)
    for videos in small.blocks("test", 5):
        found = small.posterior(videos.features)
        for n in range(5):
            total, present, frame = 0.0, np.zeros(2), np.zeros((2, 2, 10))
            for chosen, share in zip(statistics.sets, statistics.set_shares, strict=True):
                empty = [(1.0, np.zeros((2, 10), bool))]
                for combination in itertools.product(
                    *(list(every_track(statistics, c)) if chosen[c] else empty for c in range(2))
                ):
                    tracks = np.stack([t for _, t in combination], axis=1)  # (2, C, T)
                    weight = share * np.prod([p for p, _ in combination]) * density(small, videos, n, tracks)
                    total, present, frame = total + weight, present + weight * chosen, frame + weight * tracks
            np.testing.assert_allclose(found.global_prob[n], present / total, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found.frame_prob[n], (frame / total).transpose(2, 0, 1), rtol=1e-4, atol=1e-6)


def density(small: World, videos, n: int, tracks: np.ndarray) -> float:
    """Of one video's raw features, given (2, C, T) tracks, but for a factor that is the same for all tracks."""
    log = 0.0
    for kind in small.kinds:
        per_segment = kind.rows // 10
        snr = 0.7 if kind.stream == "audio" else 0.9 / 2**0.5
        segments = np.repeat(tracks[0 if kind.stream == "audio" else 1].T, per_segment, axis=0)  # (rows, C)
        mean = snr / per_segment**0.5 * segments @ small.directions[kind.name].astype(float)
        x = videos.features[kind.name][n].astype(float)
        log += (x**2 - (x - mean) ** 2).sum() / 2
    return np.exp(log)


def test_the_posterior_is_calibrated_and_bounds_a_random_labelling():
    simulated = world(snr=1.2, kinds=SMALL)
    videos = simulated.videos("val", 600)
    found = simulated.posterior(videos.features)
    probability, truth = found.frame_prob.transpose(0, 2, 3, 1), videos.tracks
    for low in np.arange(0.05, 0.95, 0.1):
        cells = (probability >= low) & (probability < low + 0.1)
        assert cells.sum() > 300 and truth[cells].mean() == pytest.approx(probability[cells].mean(), abs=0.06)
    assert found.global_prob.mean(axis=0) == pytest.approx(videos.weak.mean(axis=0), abs=0.03)
    bound = posterior_scores(truth, found, posterior_thresholds(truth, found))
    random = np.random.default_rng(0).random(truth.shape) < truth.mean()
    chance = ten_scores(video_scores(*random.transpose(1, 0, 2, 3), *truth.transpose(1, 0, 2, 3)))
    assert all(bound[name] > chance[name] + 20 for name in bound)


def test_a_student_that_is_given_the_posterior_reaches_the_bound():
    """Soft targets at temperature 1 and thresholds 0 are the posterior: fitted to it, a network decides as it."""
    world = World(WORLDS["llp"], seed=4)
    videos = world.videos("test", 48)
    found = world.posterior(videos.features)
    prob = torch.from_numpy(found.frame_prob.clip(1e-3, 1 - 1e-3))  # (N, T, 2, C)
    names = ("audio", "visual", "visual_st")
    batch = {name: torch.from_numpy(x) for name, x in zip(names, videos.features.values(), strict=True)}
    batch |= {f"logits_{m}": prob[:, :, i].logit() for i, m in enumerate("av")}
    batch["weak"] = torch.ones(48, 25)  # the posterior knows no weak labels
    recipe = Recipe(targets="soft", temperature=1.0, thresholds=dict.fromkeys("av", torch.zeros(25)))
    torch.manual_seed(0)
    net = nets.build("MMIL_Net", hidden_dim=64, nhead=2, ff_dim=64, dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(110):
        optimizer.zero_grad()
        forward_losses(net, batch, ("audio", "visual"), recipe)[1]["loss_all"].backward()
        optimizer.step()
    with torch.no_grad():
        student = net.eval()(*(batch[name] for name in names)).frame_prob.numpy()
    sure = np.ones((48, 25), np.float32)  # segments alone
    bound, reached = (posterior_scores(videos.tracks, Posterior(sure, x)) for x in (found.frame_prob, student))
    assert bound["Seg-type"] > 90
    assert reached["Seg-type"] == pytest.approx(bound["Seg-type"], abs=1.5)


def test_clear_features_say_everything():
    simulated = world(snr=30.0, kinds=SMALL)
    videos = simulated.videos("val", 100)
    found = simulated.posterior(videos.features)
    assert set(posterior_scores(videos.tracks, found).values()) == {100.0}


def test_thresholds_of_a_class_file_move_the_logits_and_not_the_labels(written, tmp_path, command):
    write_classes(tmp_path / "c.yaml", [one._replace(clip_threshold=100, clap_threshold=-50) for one in CLASSES])
    assert command(simulate, "--out", tmp_path / "data", *FLAGS, "--classes", tmp_path / "c.yaml").status == 0
    for teacher, threshold in (("CLIP", 100), ("CLAP", -50)):
        moved, first = (np.load(path / teacher / "logits/train000005.npy") for path in (tmp_path / "data", written))
        old = [getattr(one, f"{teacher.lower()}_threshold") for one in CLASSES]
        np.testing.assert_allclose(moved - threshold, first - np.float32(old), atol=1e-4)
    old, new = contents(written), contents(tmp_path / "data")
    assert {name for name in old if old[name] != new[name]} == {name for name in old if "/logits/" in name}


def test_all_features_have_the_published_shapes(tmp_path, command):
    out = tmp_path / "data"
    assert command(simulate, "--out", out, "--train", 2, "--val", 1, "--test", 1, "--all_features").status == 0
    for kind in KINDS.values():
        assert len(list((out / kind.folder).iterdir())) == 4
        for path in (out / kind.folder).iterdir():
            kind.layout.require(path)


@pytest.mark.parametrize(
    "flags, expected",
    [
        (("--train", "0"), "0 is not a whole number of at least 1"),
        (("--train", "100001"), "100001 is above 100000"),
        (("--snr_audio", "nan"), "nan is not a finite number"),
        (("--visual_leak", "1.5"), "1.5 is not a number from 0 to 1"),
        (("--audio_errors", "-1"), "-1 is not a number from 0 to 1"),
        (("--like", "ave"), "invalid choice: 'ave'"),
        (("--statistics_from", "nowhere"), "nowhere/AVVP_eval_audio.csv"),
        (("--classes", "three.yaml"), "statistics of other classes; give --statistics_from DIR"),
        (("--classes", "open.yaml"), "a class has a threshold of -inf, around which no logits can lie"),
        (("--out", "full"), "full: exists and is not an empty folder"),
    ],
)
def test_bad_flags_cost_a_line(tmp_path, command, monkeypatch, flags, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    row = "{name: %s, clip_caption: a, clap_caption: a, clip_threshold: 1, clap_threshold: 1}"
    (tmp_path / "three.yaml").write_text("".join(f"- {row % name}\n" for name in "abc"))
    write_classes(tmp_path / "open.yaml", [one._replace(clip_threshold=float("-inf")) for one in CLASSES])
    result = command(simulate, "--out", "out", *flags)
    assert result.status == 2 and expected in result.error and len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
