"""A split's features and labels: what a batch holds, and files that are missing or broken in every way we know."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from dataloader import LLPDataset, PackedDataset, make_loader
from utils import pack_features
from utils.base.errors import InputError
from utils.features.pooling import pool_clap_map, pool_frames
from utils.llp.videos import read_split, video_id

VALOR = {"audio_dir": "feats/vggish", "video_dir": "feats/res152"}
VALORPP = {"audio_dir": "CLAP/features", "video_dir": "CLIP/features"}
LABELS = {"a_pseudo_dir": "CLAP/segment_pseudo_labels", "v_pseudo_dir": "CLIP/segment_pseudo_labels"}


def dataset(data, features=VALOR, csv="AVVP_train.csv", **kwargs):
    folders = {k: data / v for k, v in {"st_dir": "feats/r2plus1d_18", **features, **LABELS}.items()}
    return LLPDataset(read_split(data / csv), **folders, **kwargs).load()


@pytest.mark.parametrize("features", [VALOR, VALORPP])
def test_a_batch_holds_the_files_of_its_videos(lookalike, features):
    pooled, exact = dataset(lookalike, features), dataset(lookalike, features, exact=True)
    indices = [5, 0, 5, 23]
    fast, raw = pooled.__getitems__(indices), exact.__getitems__(indices)
    for row, i in enumerate(indices):
        name = video_id(pooled.split.filenames[i]) + ".npy"
        audio, visual = (np.load(lookalike / features[k] / name) for k in ("audio_dir", "video_dir"))
        np.testing.assert_array_equal(raw["audio"][row], audio)
        np.testing.assert_array_equal(raw["visual"][row], visual)
        np.testing.assert_array_equal(fast["audio"][row], pool_clap_map(audio) if len(audio) == 64 else audio)
        np.testing.assert_array_equal(fast["visual"][row], pool_frames(visual) if len(visual) == 80 else visual)
        for batch in (fast, raw):
            np.testing.assert_array_equal(batch["pseudo_a"][row], np.load(lookalike / LABELS["a_pseudo_dir"] / name))
            np.testing.assert_array_equal(batch["pseudo_v"][row], np.load(lookalike / LABELS["v_pseudo_dir"] / name))
            np.testing.assert_array_equal(batch["weak"][row], pooled.split.weak[i])
    assert {value.dtype for value in (*fast.values(), *raw.values())} == {torch.float32}
    assert (pooled.shapes["audio"][1], pooled.shapes["visual"][1]) == (audio.shape[1], visual.shape[1])
    for name, value in pooled[5].items():
        assert torch.equal(value, fast[name][0])


@pytest.mark.parametrize(("exact", "workers"), [(False, 0), (True, 0), (True, 2)])
def test_batches_are_those_of_a_plain_shuffling_loader(lookalike, exact, workers):
    data = dataset(lookalike, exact=exact, num_workers=workers)
    torch.manual_seed(5)
    batches = list(make_loader(data, 10, shuffle=True))
    state = torch.get_rng_state()

    torch.manual_seed(5)  # as the specification tells it: base seed, then the permutation's seed
    torch.empty((), dtype=torch.int64).random_()
    generator = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
    order = torch.randperm(len(data), generator=generator)
    assert torch.equal(state, torch.get_rng_state())
    assert [len(b["audio"]) for b in batches] == [10, 10, 4]
    expected = data.__getitems__(order.tolist())
    for name, value in expected.items():
        assert torch.equal(torch.cat([b[name] for b in batches]), value)


def test_evaluation_takes_one_number_from_the_generator(lookalike):
    data = dataset(lookalike)
    torch.manual_seed(5)
    list(make_loader(data, 10, shuffle=False))
    state = torch.get_rng_state()
    torch.manual_seed(5)
    torch.empty((), dtype=torch.int64).random_()
    assert torch.equal(state, torch.get_rng_state())


@pytest.fixture
def data(workspace):
    return workspace / "data"


def replace(path, array):
    path.unlink()
    np.save(path, array)


def test_missing_files_are_counted_and_five_named(data):
    paths = sorted((data / "feats/vggish").glob("*.npy"))
    ids = read_split(data / "AVVP_train.csv").ids
    chosen = [p for p in paths if p.stem in ids][:7]
    for path in chosen:
        path.unlink()
    (data / "CLIP/segment_pseudo_labels" / f"{ids[2]}.npy").unlink()
    with pytest.raises(InputError) as error:
        dataset(data)
    message = str(error.value)
    assert f"7 of 24 files are missing in {data}/feats/vggish (" in message and message.count(".npy") == 6
    assert f"1 of 24 files are missing in {data}/CLIP/segment_pseudo_labels ({ids[2]}.npy)" in message
    assert "docs/DATA.md" in message


def test_two_videos_never_share_a_file_unseen(data):
    path = data / "AVVP_test_pd.csv"
    name = read_split(path).filenames[0]
    text = path.read_text()
    path.unlink()
    path.write_text(f"{text}{name}\tSpeech\n")
    with pytest.raises(InputError, match=f"lists a video twice, '{name}' as its videos number 1 and 9; expected each"):
        dataset(data, csv=path.name)
    path.write_text(f"{text}{video_id(name)}_990_1000\tSpeech\n")
    with pytest.raises(InputError, match=f"{name} and .*_990_1000 would both read {video_id(name)}.npy"):
        dataset(data, csv=path.name)


def test_a_packed_file_that_repeats_a_video_is_refused(lookalike, tmp_path, command, monkeypatch):
    """Of an earlier program, which packed such lists."""
    monkeypatch.chdir(lookalike.parent)
    assert command(pack_features, "--out", tmp_path / "p.h5", "--splits", "test").status == 0
    PackedDataset(tmp_path / "p.h5", "test", ["weak"])
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        name = file["test/filename"][3].decode()
        file["test/filename"][5] = file["test/filename"][3]
        del file["test/filename"].attrs["crc32"]
    with pytest.raises(InputError, match=f"p.h5: lists a video twice, '{name}' as its videos number 4 and 6"):
        PackedDataset(tmp_path / "p.h5", "test", ["weak"])


def test_a_missing_folder_is_named(data):
    shutil.rmtree(data / "feats/res152")
    with pytest.raises(InputError, match="res152: no such folder, expected visual features as <id>.npy"):
        dataset(data)


@pytest.mark.parametrize(
    ("folder", "array", "message"),
    [
        ("feats/vggish", np.zeros((12, 128), "f4"), r"\(12, 128\) float32, expected \(10, D\) or \(64, D\) float32"),
        ("feats/vggish", np.zeros((10, 128), "f8"), r"holds \(10, 128\) float64, expected"),
        ("feats/vggish", np.zeros((10, 128), ">f4"), "holds .* >f4, expected"),
        ("feats/vggish", np.zeros((10, 64), "f4"), r"holds \(10, 64\), but 23 other files .* hold \(10, 128\)"),
        ("feats/vggish", np.zeros(1280, "f4"), r"holds \(1280,\) float32"),
        ("feats/vggish", np.zeros((10, 0), "f4"), r"holds \(10, 0\) float32"),
        ("feats/res152", np.zeros((79, 2048), "f4"), r"holds \(79, 2048\) float32, expected \(10, D\) or \(80, D\)"),
        ("feats/r2plus1d_18", np.zeros((10, 400), "f4"), r"expected \(10, 512\) float32"),
        (LABELS["a_pseudo_dir"], np.zeros((10, 25), "f4"), r"holds \(10, 25\) float32, expected \(10, 25\) int64"),
        (LABELS["a_pseudo_dir"], np.zeros((10, 24), "i8"), r"holds \(10, 24\) int64"),
        (LABELS["v_pseudo_dir"], np.full((10, 25), 2), "values other than 0 and 1"),
    ],
)
def test_a_file_with_other_contents_is_named(data, folder, array, message):
    name = read_split(data / "AVVP_train.csv").ids[4] + ".npy"
    replace(data / folder / name, array)
    with pytest.raises(InputError, match=message) as error:
        dataset(data)
    assert str(data / folder / name) in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exact", [False, True])
def test_values_that_are_not_finite_are_found_before_training(data, value, exact):
    path = data / "feats/res152" / (read_split(data / "AVVP_train.csv").ids[-1] + ".npy")
    array = np.load(path)
    array[79, 2047] = value
    replace(path, array)
    with pytest.raises(InputError, match=f"{path}: holds NaN or infinite values"):
        dataset(data, exact=exact)


class Unpickled(Exception):
    """Raised by a file that was unpickled."""


class Bomb:
    def __reduce__(self):
        return exec, ("from tests.test_dataloader import Unpickled; raise Unpickled",)


def damage(path, how):
    contents = path.read_bytes()
    path.unlink()
    if how == "pickled":
        np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    elif how == "archive":
        with open(path, "wb") as file:
            np.savez(file, np.zeros((10, 128), "f4"))
    else:
        cut = {"empty": 0, "half a header": 40, "no data": 128, "one byte short": len(contents) - 1}
        html = {"a web page": b"<!DOCTYPE html><html>quota exceeded</html>", "magic only": b"\x93NUMPY\x01\x00"}
        path.write_bytes(html.get(how, contents[: cut.get(how, 0)]))


@pytest.mark.parametrize(
    "how", ["empty", "half a header", "no data", "one byte short", "pickled", "archive", "a web page", "magic only"]
)
def test_a_damaged_file_is_named_and_never_unpickled(data, how):
    path = data / "feats/vggish" / (read_split(data / "AVVP_train.csv").ids[0] + ".npy")
    damage(path, how)
    with pytest.raises(InputError) as error:
        dataset(data)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_file_among_others_does_not_change_what_is_expected(data):
    """The file that differs is named, even when it is the first."""
    path = data / "CLAP/features" / (read_split(data / "AVVP_train.csv").ids[0] + ".npy")
    replace(path, np.zeros((10, 768), "f4"))
    with pytest.raises(InputError, match=f"{path}: holds .10, 768., but 23 other files"):
        dataset(data, VALORPP)
