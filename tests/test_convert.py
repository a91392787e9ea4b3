"""Published data sets converted: by hand, on made-up ones with features, on the real annotations, and broken ones."""

import json
import math

import numpy as np
import pytest

from tests import published_forms
from tests.conftest import ROOT, SHARED, find
from tests.published_forms import write_csv, write_feature, write_h5
from utils import convert_dataset
from utils.llp.annotations import read_reference
from utils.llp.datasets import read_dataset
from utils.llp.videos import read_split, with_modalities


@pytest.fixture
def convert(command):
    """Convert a data set: convert(name, source, out, *flags) -> Result of the command, which must succeed."""

    def run(name, source, out, *flags):
        result = command(convert_dataset, name, "--source", source, "--out", out, *flags)
        assert result.status == 0, result.err
        return result

    return run


def files_of(folder):
    """Relative name -> bytes of all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def documented(result, out):
    """Whether docs/DATASETS.md quotes what was printed of the published files."""
    quoted = (ROOT / "docs/DATASETS.md").read_text().splitlines()
    printed = [line for line in result.out.splitlines() if not line.startswith(str(out))]
    return printed and [line for line in quoted if line in printed] == printed


def small_ave(folder, *lines, orders=((0, 1), (2,), (3,))):
    """AVE without features: lines of Annotations.txt, and rows of the three splits."""
    folder.mkdir(exist_ok=True)
    (folder / "Annotations.txt").write_text("".join(f"{line}\n" for line in lines))
    for split, rows in zip(("train", "val", "test"), orders, strict=True):
        write_h5(folder / f"{split}_order.h5", "order", np.array(rows, np.int64))


AVE_LINES = (
    "Bark&one&good&0&10",
    "Baby cry, infant cry&two&good&3&7",
    "Cat&one&good&0&0",
    "Church bell&two&bad&0&2",
)


def test_ave_by_hand(tmp_path, convert):
    small_ave(tmp_path / "in", *AVE_LINES, orders=((1, 0), (2,), (3,)))
    out = tmp_path / "out"
    result = convert("ave", tmp_path / "in", out)
    assert (out / "train.csv").read_text() == "filename\tevent_labels\ntwo_1\tBaby cry, infant cry\none_1\tBark\n"
    assert (out / "val.csv").read_text() == "filename\tevent_labels\none_2\tCat\n"
    assert (out / "test.csv").read_text() == "filename\tevent_labels\ntwo_2\tChurch bell\n"
    assert (out / "eval_audio_visual.csv").read_text() == (
        "filename\tonset\toffset\tevent_labels\none_1\t0\t10\tBark\ntwo_1\t3\t7\tBaby cry, infant cry\n"
        "one_2\t0\t0\tCat\ntwo_2\t0\t2\tChurch bell\n"
    )
    assert "4 rows, 2 ids, 4 classes" in result.out and "0 to 0: 1 one" in result.out
    assert "train,val 1, train,test 1, val,test 0" in result.out
    assert (
        "test: accuracy of background everywhere 80.00, of the true class of the video everywhere 20.00" in result.out
    )
    dropped = convert("ave", tmp_path / "in", out, "--drop_overlap")
    assert "train: 2 rows left out" in dropped.out and (out / "train.csv").read_text() == "filename\tevent_labels\n"


def test_ave_with_features(tmp_path, convert):
    source, out = tmp_path / "in", tmp_path / "out"
    truth = published_forms.write_ave(source, seed=4)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    result = convert("ave", source, out)
    for name in ("mil_labels", "labels_closs", "labels"):
        assert f"{name}.h5: 28 of 28 rows equal\n" in result.out
    dataset = read_dataset(out / "dataset.yaml")
    assert dataset == read_dataset("ave")._replace(folder=str(out))
    names = [line.split("\t")[0] for line in (out / "eval_audio_visual.csv").read_text().splitlines()[1:]]
    assert len(set(names)) == len(names) == 28  # in the order of the rows
    found = read_reference(out, names, dataset).audio  # (28, 28, 10)
    assert np.where(found.any(1), found.argmax(1), 28).tolist() == truth.tolist()
    h5py = pytest.importorskip("h5py")
    with h5py.File(source / "audio_feature.h5") as audio, h5py.File(source / "visual_feature.h5") as visual:
        for row, name in enumerate(names):
            assert np.array_equal(np.load(out / f"feats/vggish/{name}.npy"), audio["avadataset"][row])
            expected = np.float64(visual["avadataset"][row]).reshape(10, 49, 512).mean(axis=1)
            pooled = np.load(out / f"feats/vgg19/{name}.npy")
            assert pooled.dtype == np.float32 and np.allclose(pooled, expected, rtol=0, atol=1e-6)
    for split in ("train", "val", "test"):
        with h5py.File(source / f"{split}_order.h5") as file:
            assert read_split(out / f"{split}.csv", dataset).filenames == [names[row] for row in file["order"][:]]


def test_a_rerun_writes_the_same_and_keeps_features(tmp_path, convert):
    source, out = tmp_path / "in", tmp_path / "out"
    published_forms.write_ave(source)
    convert("ave", source, out)
    (out / "notes.txt").write_text("mine")
    before = files_of(out)
    paths = sorted((out / "feats/vggish").iterdir())
    times = [path.stat().st_mtime_ns for path in paths]
    paths[3].write_bytes(paths[3].read_bytes()[:500])  # cut off by a full disk, say
    result = convert("ave", source, out)
    assert files_of(out) == before and "vggish: 1 files written, 27 kept" in result.out
    kept = [path.stat().st_mtime_ns == time for path, time in zip(paths, times, strict=True)]
    assert [i for i, same in enumerate(kept) if not same] == [3]


def test_labels_that_differ_are_a_note(tmp_path, convert):
    published_forms.write_ave(tmp_path / "in")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "in/labels_closs.h5", "r+") as file:
        file["avadataset"][5, 2] = 1 - file["avadataset"][5, 2]
    printed = convert("ave", tmp_path / "in", tmp_path / "out").out
    assert "note: labels_closs.h5: 27 of 28 rows equal; the first other one is row 5" in printed


def test_the_real_ave(tmp_path, convert):
    folder = find("Annotations.txt", SHARED / "sets/ave").parent
    golden, out = json.loads((folder / "golden.json").read_text()), tmp_path / "out"
    result = convert("ave", folder, out)
    printed = result.out
    assert documented(result, out)
    assert f"{golden['rows']} rows, {golden['ids']} ids, 28 classes" in printed
    for name in ("mil_labels", "labels_closs"):
        assert f"{name}.h5: 4143 of 4143 rows equal\n" in printed
    assert "ids in two splits: train,val 10, train,test 8, val,test 0" in printed
    assert "val: accuracy of background everywhere 18.21, of the true class of the video everywhere 81.79" in printed
    assert "test: accuracy of background everywhere 17.79, of the true class of the video everywhere 82.21" in printed
    dataset = read_dataset(out / "dataset.yaml")
    assert list(dataset.class_names) == golden["classes"]
    sizes = {split: len(read_split(out / f"{split}.csv", dataset).filenames) for split in ("train", "val", "test")}
    assert sizes == golden["split_rows"]
    filenames = read_split(out / "test.csv", dataset).filenames
    share = 100 * read_reference(out, filenames, dataset).audio.any(axis=1).mean()
    assert share == pytest.approx(golden["splits"]["test"]["floor_true_class_all_seconds"], rel=1e-12)
    convert("ave", folder, out, "--drop_overlap")
    assert len(read_split(out / "train.csv", dataset).filenames) == 3339 - 19  # 18 ids, one of them with two rows


def test_lfav_by_hand(tmp_path, convert):
    source, out = tmp_path / "in", tmp_path / "out"
    weak = {
        "train_weakly": [("a", "dog,cat"), ("b", "train"), ("c", "car")],
        "train_audio_weakly": [("a", "dog,dog"), ("b", "silent"), ("c", "car")],
        "train_visual_weakly": [("a", "cat,toilet_flush"), ("b", "train"), ("c", "car, train")],
        "val_weak_av": [("d", "dog")],
        "val_audio_weakly": [("d", "dog")],
        "val_visual_weakly": [("d", "cat")],
        "test_weak_av": [("e", "dog")],
        "test_audio_weakly": [("e", "dog")],
        "test_visual_weakly": [("e", "dog")],
    }
    dense = {
        "val_audio": [("d", 3, 3, "dog"), ("d", 7, 5, "dog"), ("d", 3, 3, "dog")],
        "val_visual": [("d", 0, 9, "train")],
        "test_audio": [("e", 250, 26220, "dog")],
        "test_visual": [("e", 1, 2, "cat")],
    }
    for name, rows in (weak | dense).items():
        write_csv(source / f"{name}.csv", rows)
    printed = convert("lfav", source, out).out
    assert (out / "train.csv").read_text() == "filename\tevent_labels\na\tdog,cat\nc\tcar\n"
    assert (out / "train_audio.csv").read_text() == "filename\tevent_labels\na\tdog,dog\nb\t\nc\tcar\n"
    assert (out / "train_visual.csv").read_text() == "filename\tevent_labels\na\tcat\nb\t\nc\tcar\n"
    header = "filename\tonset\toffset\tevent_labels\n"
    assert (out / "eval_audio.csv").read_text() == (
        f"{header}d\t3\t3\tdog\nd\t7\t5\tdog\nd\t3\t3\tdog\ne\t250\t26220\tdog\n"
    )
    assert (out / "eval_visual.csv").read_text() == f"{header}e\t1\t2\tcat\n"
    assert "val: 1 videos; other than the union of the two modalities: 1 (d)" in printed
    assert "train_visual_weakly.csv: names of unknown events left out: 'toilet_flush' 1, 'train' 2" in printed
    assert "val_visual.csv: names of unknown events left out: 'train' 1" in printed
    assert (
        "3 rows as written, of them 2 offset = onset (one second), 1 offset < onset (nothing), 1 duplicates" in printed
    )
    assert "1 after 3600 s e\n" in printed
    dataset = read_dataset(out / "dataset.yaml")
    split = with_modalities(read_split(out / "train.csv", dataset), dataset)
    assert split.filenames == ["a", "c"] and split.by_modality["visual"].sum(axis=1).tolist() == [1, 1]


def test_lfav_is_read_as_it_was_made(tmp_path, convert):
    truths = published_forms.write_lfav(tmp_path / "in", seed=2)
    convert("lfav", tmp_path / "in", tmp_path / "out")
    dataset = read_dataset(tmp_path / "out/dataset.yaml")
    assert dataset == read_dataset("lfav")._replace(folder=str(tmp_path / "out"))
    for split in ("val", "test"):
        names = read_split(tmp_path / f"out/{split}.csv", dataset).filenames
        lengths = np.array([len(truths[name]) for name in names])
        found = read_reference(tmp_path / "out", names, dataset, lengths)
        for i, name in enumerate(names):
            assert np.array_equal(found.audio[i].T, truths[name][:, 0])
            assert np.array_equal(found.visual[i].T, truths[name][:, 1])


def test_the_real_lfav(tmp_path, convert):
    folder = find("csv", SHARED / "sets/lfav")
    out = tmp_path / "out"
    result = convert("lfav", folder, out)
    printed = result.out
    assert documented(result, out)
    counts = {
        "val_audio": "3845 rows as written, of them 69 offset = onset (one second), 7 offset < onset (nothing), 2 ",
        "val_visual": "3734 rows as written, of them 59 offset = onset (one second), 10 offset < onset (nothing), 2 ",
        "test_audio": "8384 rows as written, of them 132 offset = onset (one second), 12 offset < onset (nothing), 4 ",
        "test_visual": "7519 rows as written, of them 128 offset = onset (one second), 8 offset < onset (nothing), 1 ",
    }
    for name, text in counts.items():
        assert f"{name}.csv: {text}" in printed
    for line in (
        "after 3600 s IwzZC5Ce3C0",
        "after 3600 s DfaYKYFYHBk",
        "val: 486 videos; other than the union of the",
    ):
        assert line in printed
    assert "val_visual_weakly" not in printed  # it says nothing that is written
    dataset = read_dataset(out / "dataset.yaml")
    sizes = [len(read_split(out / f"{split}.csv", dataset).filenames) for split in ("train", "val", "test")]
    assert sizes == [3721, 486, 968]
    split = with_modalities(read_split(out / "train.csv", dataset), dataset)
    assert [(split.by_modality[m].sum(axis=1) == 0).sum() for m in ("audio", "visual")] == [1, 0]
    golden = json.loads((folder.parent / "golden.json").read_text())
    assert list(dataset.class_names) == golden["classes"]


def write_json(folder, database):
    folder.mkdir(exist_ok=True)
    (folder / "unav.json").write_text(json.dumps({"database": database}))


def event(start, end, label="dog", label_id=0):
    return {"segment": [start, end], "label": label, "label_id": label_id}


def video(*events, subset="train", duration=10.0):
    return {"subset": subset, "duration": duration, "annotations": list(events)}


def test_unav_by_hand(tmp_path, convert):
    """Seconds, cuts, videos without events, and names with commas."""
    database = {
        "a": video(event(0.5, 1.0), event(8.2, 99, "man, speaking", 1)),
        "b": video(event(3.0, 3.0), subset="test"),
        "c": video(event(2.0, 2.1), event(12, 13), subset="validation", duration=10.2),
    }
    write_json(tmp_path / "in", database)
    out = tmp_path / "out"
    printed = convert("unav", tmp_path / "in", out).out
    assert (out / "train.csv").read_text() == "filename\tevent_labels\na\tdog;man, speaking\n"
    assert (out / "val.csv").read_text() == "filename\tevent_labels\nc\tdog\n"
    assert (out / "test.csv").read_text() == "filename\tevent_labels\n"
    assert (out / "lengths.csv").read_text() == "filename\tseconds\na\t10\nb\t10\nc\t11\n"
    assert (out / "eval_audio_visual.csv").read_text() == (
        "filename\tonset\toffset\tevent_labels\na\t0\t1\tdog\na\t8\t10\tman, speaking\nc\t2\t3\tdog\n"
    )
    assert "unav.json: 3 videos, 5 events, 2 classes" in printed
    assert "test: 1 videos; left out" in printed and "val: 1 videos; left out" in printed
    dataset = read_dataset(out / "dataset.yaml")
    assert (dataset.separator, dataset.class_names) == (";", ("dog", "man, speaking"))


def seconds_of(out, names):
    """(T, C) bool of each video, from the written files, by the built-in readers."""
    dataset = read_dataset(out / "dataset.yaml")
    found = read_reference(out, names, dataset).audio
    return {name: found[i].T for i, name in enumerate(names)}


def test_unav_example_is_the_golden_one(tmp_path, convert):
    """The made-up example and its expected seconds, which follow from UWAV's rule."""
    path = find("example.json", SHARED / "sets/unav")
    golden = json.loads((path.parent / "golden.json").read_text())
    convert("unav", path, tmp_path)
    dataset, expected = read_dataset(tmp_path / "dataset.yaml"), golden["expected"]
    assert list(dataset.class_names) == golden["classes"] and dataset.separator == ","
    for name, found in seconds_of(tmp_path, list(expected)).items():
        assert ["".join("01"[int(flag)] for flag in second) for second in found] == expected[name]["matrix_T_by_C"]
    for split in ("train", "val", "test"):
        listed = read_split(tmp_path / f"{split}.csv", dataset)
        weak = {name: row.astype(int).tolist() for name, row in zip(listed.filenames, listed.weak, strict=True)}
        assert weak == {name: expected[name]["weak"] for name in weak}


@pytest.mark.parametrize("seed", range(12))
def test_any_unav_is_that_of_the_slow_loop(tmp_path, convert, seed):
    """An event has a second if it lasts longer than nothing in it, up to the end of the last second."""
    rng = np.random.default_rng(seed)
    database = {}
    for number in range(15):
        events = []
        for _ in range(int(rng.integers(0, 5))):
            start, length = rng.choice([rng.uniform(0, 14), rng.integers(0, 14)]), rng.choice([0, 0.01, 1, 3.7, 20])
            label = int(rng.integers(3))
            events.append(event(float(start), float(start + length), f"class {label}", label))
        subset = ("train", "validation", "test")[number % 3]
        database[f"v{number}"] = video(*events, subset=subset, duration=float(rng.choice([0.4, 7, 11.3, 12])))
    database["all"] = video(*(event(0, 1, f"class {label}", label) for label in range(3)))
    write_json(tmp_path / "in", database)
    convert("unav", tmp_path / "in", tmp_path / "out")
    found = seconds_of(tmp_path / "out", list(database))
    lists = {}
    for split in ("train", "val", "test"):
        for line in (tmp_path / f"out/{split}.csv").read_text().splitlines()[1:]:
            name, labels = line.split("\t")
            lists[name] = labels.split(",")
    for name, entry in database.items():
        seconds = math.ceil(entry["duration"])
        expected = [[False] * 3 for _ in range(seconds)]
        for one in entry["annotations"]:
            start, end = one["segment"]
            for second in range(seconds):
                is_whole = start == end and start == int(start)
                touches = start < second + 1 and end > second or int(start) == second and not is_whole
                expected[second][one["label_id"]] |= touches
        assert found[name].tolist() == expected
        weak = [f"class {c}" for c in range(3) if any(row[c] for row in expected)]
        assert lists.get(name, []) == weak


def test_unav_with_features(tmp_path, convert):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    database = published_forms.write_unav(source)
    printed = convert("unav", source, out).out
    for kind, target in (("rgb", "i3d_rgb"), ("flow", "i3d_flow"), ("vggish", "vggish")):
        assert f"{target}: features of {len(database)} of {len(database)} videos" in printed
        for name in database:
            written = np.load(out / f"feats/{target}/{name}.npy")
            assert written.dtype == np.float32
            assert np.array_equal(written, np.load(source / f"features/{name}_{kind}.npy"))


BAD_AVE = {
    "line 2: 'Cat&two&good&5', expected class&id": ("Annotations.txt", "Cat&one&good&0&1\nCat&two&good&5\n"),
    "line 1: 'Cat&one&good&0&11', expected": ("Annotations.txt", "Cat&one&good&0&11\n"),
    "line 1: unknown class 'Cats'; did you mean Cat?": ("Annotations.txt", "Cats&one&good&0&1\n"),
    "names row 4, expected whole numbers from 0 to 3": ("val_order.h5", ("order", [4])),
    "names row -1, expected whole numbers": ("val_order.h5", ("order", [-1])),
    "names row 3, which is there twice": ("val_order.h5", ("order", [3, 3])),
    "names row 0, which is there twice or in another split": ("test_order.h5", ("order", [0])),
    "names row 2.0, expected whole numbers": ("val_order.h5", ("order", [2.0])),
    "expected an HDF5 file with order": ("val_order.h5", ("other", [2])),
    "val_order.h5: no such file": ("val_order.h5", None),
    "Annotations.txt: no such file": ("Annotations.txt", None),
    "avadataset is (3, 29) float64, expected numbers (4, 29)": ("mil_labels.h5", ("avadataset", np.zeros((3, 29)))),
    "avadataset is (4, 10, 1) float64, expected numbers (4, 10, 128)": (
        "audio_feature.h5",
        ("avadataset", np.zeros((4, 10, 1))),
    ),
}


@pytest.mark.parametrize("said", BAD_AVE)
def test_bad_ave_costs_a_line(tmp_path, command, said):
    small_ave(tmp_path / "in", *AVE_LINES)
    name, content = BAD_AVE[said]
    path = tmp_path / "in" / name
    path.unlink(missing_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    elif content:
        write_h5(path, content[0], np.array(content[1]))
    result = command(convert_dataset, "ave", "--source", tmp_path / "in", "--out", tmp_path / "out")
    assert result.status == 2 and said in result.error and not (tmp_path / "out").exists()


def test_a_file_that_is_no_hdf5_and_features_that_are_not_finite(tmp_path, command):
    small_ave(tmp_path / "in", *AVE_LINES)
    features = np.zeros((4, 10, 128), np.float32)
    features[2, 0, 0] = np.nan
    write_h5(tmp_path / "in/audio_feature.h5", "avadataset", features)
    result = command(convert_dataset, "ave", "--source", tmp_path / "in", "--out", tmp_path / "out")
    assert result.status == 2 and "row 2: holds NaN or infinite values" in result.error
    assert sorted(files_of(tmp_path / "out")) == ["feats/vggish/one_1.npy", "feats/vggish/two_1.npy"]
    (tmp_path / "in/val_order.h5").write_bytes(b"no HDF5")
    result = command(convert_dataset, "ave", "--source", tmp_path / "in", "--out", tmp_path / "other")
    assert result.status == 2 and "val_order.h5: expected an HDF5 file with order" in result.error


BAD_UNAV = {
    "not annotations in UnAV's form": {"database": [1]},
    "each event with label and label_id": {"database": {"a": video({"segment": [0, 1], "label": "dog"})}},
    "label_id 0 is 'dog', 1 is 'dog'": {"database": {"a": video(event(0, 1), event(0, 1, "dog", 1))}},
    "label_id 0 is 'cat', 0 is 'dog'": {"database": {"a": video(event(0, 1, "dog"), event(0, 1, "cat"))}},
    "label_id 2 is 'cat'": {"database": {"a": video(event(0, 1), event(0, 1, "cat", 2))}},
    "has no event": {"database": {"a": video()}},
    "holds a semicolon": {"database": {"a": video(event(0, 1, "a;b"), event(0, 1, "c,d", 1))}},
    "an event from 3.0 to 2.0 s": {"database": {"a": video(event(3, 2))}},
    "subset is 'val'": {"database": {"a": video(event(0, 1), subset="val")}},
    "is no name of a video": {"database": {"../a": video(event(0, 1))}},
}


@pytest.mark.parametrize("said", BAD_UNAV)
def test_bad_unav_costs_a_line(tmp_path, command, said):
    (tmp_path / "unav.json").write_text(json.dumps(BAD_UNAV[said]))
    result = command(convert_dataset, "unav", "--source", tmp_path, "--out", tmp_path / "out")
    assert result.status == 2 and said in result.error and not (tmp_path / "out").exists()


def test_other_bad_input_costs_a_line(tmp_path, command):
    def error(name, source, *flags):
        result = command(convert_dataset, name, "--source", source, "--out", tmp_path / "out", *flags)
        assert result.status == 2 and not (tmp_path / "out").exists()
        return result.error

    source = tmp_path / "in"
    assert "no such folder" in error("ave", source)
    source.mkdir()
    assert "--drop_overlap: only for ave" in error("lfav", source, "--drop_overlap")
    assert "train_weakly.csv: no such file" in error("lfav", source)
    assert "expected one JSON file" in error("unav", source)
    write_json(source, {"a": video(event(0, 1))})
    write_feature(source / "a_rgb.npy", np.zeros((3, 512), np.float32))
    assert "a_rgb.npy: holds (3, 512) float32, expected (L, 1024)" in error("unav", source)
    published_forms.write_lfav(source)
    path = source / "csv/val_audio.csv"
    path.write_text("filename\tonset\toffset\tevent_labels\nx\t1\t3\tdog\nx\t1.5\t3\tdog\n")
    assert "val_audio.csv, line 3: onset is '1.5', expected a whole second" in error("lfav", source)
