"""Pooled features kept between runs, in a packed file, or read ahead: always the same numbers."""

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch

import main
from dataloader import LLPDataset, PackedDataset, make_loader
from tests.conftest import ROOT, SMALL, TRAIN
from tests.test_dataloader import LABELS, VALOR, VALORPP
from utils import pack_features
from utils.base.errors import InputError
from utils.features.folder import FeatureFolder
from utils.features.packed import Packed
from utils.llp.videos import read_split

CACHED = tuple(flag for flag in TRAIN if flag != "--no_cache")
PACK = ("--audio_dir", "data/feats/vggish", "--num_workers", "2", "--out", "v.h5")


def dataset(data, features=VALOR, **kwargs):
    folders = {"st_dir": "feats/r2plus1d_18", **features, **LABELS}
    split = read_split(data / "AVVP_train.csv")
    return LLPDataset(split, **{k: data / v for k, v in folders.items()}, **kwargs)


def everything(data) -> dict[str, torch.Tensor]:
    (batch,) = make_loader(data, 1000, shuffle=False)
    return batch


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for kind, value in first.items():
        assert torch.equal(value, second[kind]), kind


@pytest.fixture
def no_reading(monkeypatch):
    """Called, it makes every later read of a feature file fail."""

    def forbid():
        def read(self, index):
            raise AssertionError(f"read {self.paths[index]}")

        monkeypatch.setattr(FeatureFolder, "read", read)
        monkeypatch.setattr(FeatureFolder, "check_headers", read)

    return forbid


@pytest.mark.parametrize("features", [VALOR, VALORPP])
def test_the_second_run_reads_no_feature_file(workspace, no_reading, capsys, features):
    plain = everything(dataset(workspace / "data", features).load())
    assert_same(plain, everything(dataset(workspace / "data", features, cache_dir="cache").load()))
    no_reading()
    again = dataset(workspace / "data", features, cache_dir="cache")
    assert all(again.shapes[kind][1] == plain[kind].shape[2] for kind in ("audio", "visual"))
    assert_same(plain, everything(again.load()))
    assert capsys.readouterr().err == ""
    assert len(list((workspace / "cache").iterdir())) == 5


def test_feature_sets_share_what_they_have_in_common(workspace):
    for features in (VALOR, VALORPP):
        dataset(workspace / "data", features, cache_dir="cache").load()
    assert len(list((workspace / "cache").iterdir())) == 7  # one visual_st, one of each label


def change(path, how):
    content = path.read_bytes()
    path.unlink()
    if how == "other numbers":
        np.save(path, np.ones_like(np.load(io.BytesIO(content))))
    else:
        path.write_bytes(content)
        os.utime(path, (1, 1))


@pytest.mark.parametrize("how", ["other numbers", "another time"])
def test_a_source_that_changed_is_noticed_and_read_again(workspace, capsys, how):
    data = workspace / "data"
    dataset(data, cache_dir="cache").load()
    change(data / "feats/vggish" / (read_split(data / "AVVP_train.csv").ids[3] + ".npy"), how)
    fresh = dataset(data, cache_dir="cache").load()
    err = capsys.readouterr().err
    assert "AVVP_train.audio" in err and "feats/vggish have changed; rebuilding it" in err and err.count("note:") == 1
    assert_same(everything(fresh), everything(dataset(data).load()))
    dataset(data, cache_dir="cache").load()
    assert capsys.readouterr().err == ""


def test_another_list_of_videos_is_noticed(workspace, capsys):
    data = workspace / "data"
    lines = (data / "AVVP_train.csv").read_text().splitlines(keepends=True)
    (data / "AVVP_train.csv").unlink()  # a link
    (data / "AVVP_train.csv").write_text("".join(lines))
    dataset(data, cache_dir="cache").load()
    (data / "AVVP_train.csv").write_text("".join(lines[:1] + lines[:4:-1]))
    fresh = dataset(data, cache_dir="cache").load()
    assert capsys.readouterr().err.count("have changed; rebuilding it") == 5
    assert_same(everything(fresh), everything(dataset(data).load()))


@pytest.mark.parametrize("limit", [float("inf"), 1000])
@pytest.mark.parametrize("how", ["a byte", "half", "empty", "text", "another file"])
def test_a_damaged_cache_is_named_and_rebuilt(workspace, capsys, how, limit):
    data = workspace / "data"
    expected = everything(dataset(data, cache_dir="cache").load())
    (path,) = (workspace / "cache").glob("*.visual.*")
    content = path.read_bytes()
    (other,) = (workspace / "cache").glob("*.audio.*")
    damaged = {
        "a byte": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "half": content[: len(content) // 2],
        "empty": b"",
        "text": b"no HDF5" * 1000,
        "another file": other.read_bytes(),
    }
    path.write_bytes(damaged[how])
    fresh = everything(dataset(data, cache_dir="cache", memory_limit=limit).load())
    err = capsys.readouterr().err
    assert err.count("note: ") == 1 and "rebuilding it" in err and ("visual" in err or str(path) in err)
    assert_same(fresh, expected)
    assert_same(everything(dataset(data, cache_dir="cache").load()), expected)
    assert capsys.readouterr().err == ""


def test_a_missing_feature_file_is_named_in_spite_of_the_cache(workspace):
    data = workspace / "data"
    dataset(data, cache_dir="cache").load()
    name = read_split(data / "AVVP_train.csv").ids[3] + ".npy"
    (data / "feats/vggish" / name).unlink()
    with pytest.raises(InputError, match=f"1 of 24 files are missing in .*vggish \\({name}\\)"):
        dataset(data, cache_dir="cache")


def test_a_cache_that_cannot_be_written_costs_a_note(workspace, capsys):
    (workspace / "file").write_text("")
    data = dataset(workspace / "data", cache_dir=workspace / "file/cache").load()
    assert "cannot be written (Not a directory); --no_cache does without" in capsys.readouterr().err
    assert_same(everything(data), everything(dataset(workspace / "data").load()))


@pytest.mark.parametrize("batch_size", [1, 5, 24, 100])
def test_what_is_read_ahead_is_what_memory_holds(workspace, monkeypatch, batch_size):
    from utils.features import batches

    monkeypatch.setattr(batches, "READ_AHEAD", 10)
    data = workspace / "data"
    memory, streamed = (dataset(data, cache_dir="cache", memory_limit=m).load() for m in (float("inf"), 1000))
    assert streamed.columns and not memory.columns and set(streamed.memory) == {"weak"}
    for shuffle in (True, False):
        found = []
        for kind in (memory, streamed):
            torch.manual_seed(4)
            found.append((list(make_loader(kind, batch_size, shuffle)), torch.get_rng_state()))
        assert torch.equal(found[0][1], found[1][1])
        for a, b in zip(found[0][0], found[1][0], strict=True):
            assert_same(a, b)


def test_leaving_a_stream_in_the_middle_ends_its_threads(workspace):
    import threading

    data = dataset(workspace / "data", cache_dir="cache", memory_limit=1000).load()
    before = threading.active_count()
    batches = iter(make_loader(data, 2, True))
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_half_precision_takes_half_the_room_and_rounds(workspace):
    data = workspace / "data"
    full, half = (dataset(data, cache_dir="cache", feature_dtype=d).load() for d in ("float32", "float16"))
    again = dataset(data, feature_dtype="float16").load()
    assert half.memory["visual"].dtype == torch.float16
    assert half.memory["visual"].nbytes * 2 == full.memory["visual"].nbytes
    assert_same(everything(half), everything(again))
    for kind in ("audio", "visual", "visual_st"):
        assert torch.equal(everything(half)[kind], everything(full)[kind].half().float())
    for kind in ("weak", "pseudo_a", "pseudo_v"):
        assert torch.equal(everything(half)[kind], everything(full)[kind])


def test_numbers_too_large_for_half_precision_are_named(workspace):
    data = workspace / "data"
    path = data / "feats/vggish" / (read_split(data / "AVVP_train.csv").ids[3] + ".npy")
    path.unlink()
    np.save(path, np.full((10, 128), 1e6, np.float32))
    for cache in ("cache", None):
        with pytest.raises(InputError, match=f"{path}: holds values too large for float16"):
            dataset(data, cache_dir=cache, feature_dtype="float16").load()


def test_without_a_cache_a_split_has_to_fit(workspace):
    with pytest.raises(InputError, match="MB, more than --memory_limit, .* leave out --no_cache, or use --packed"):
        dataset(workspace / "data", memory_limit=1000).load()


def test_a_kill_while_the_cache_is_written_is_harmless(workspace):
    expected = everything(dataset(workspace / "data").load())
    argv = [sys.executable, str(ROOT / "main.py"), *map(str, CACHED), "--model_name", "killed"]
    kills = 0
    for wait in (0.0, 0.01, 0.03):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (workspace / "data/cache").exists():
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills
    assert_same(everything(dataset(workspace / "data", cache_dir=workspace / "data/cache").load()), expected)


def test_the_packed_file(workspace, command):
    result = command(pack_features, *PACK)
    assert result.status == 0, result.err
    with h5py.File("v.h5") as file:
        assert list(file) == ["test", "train", "val"]
        assert set(file["train"]) == {"filename", "audio", "visual", "visual_st", "weak", "pseudo_a", "pseudo_v"}
        split = read_split("data/AVVP_train.csv")
        assert file["train/filename"].asstr()[:].tolist() == split.filenames
        assert np.array_equal(file["train/weak"][:], split.weak)
        assert file["train"].attrs["videos"] == 24 and file["train"].attrs["label_csv"] == "data/AVVP_train.csv"
        assert file["train/visual"].attrs["source"] == "data/feats/res152"
        assert file["train/visual"].attrs["source_rows"] == 80 and len(file["train/visual"].attrs["fingerprint"]) == 64
        frames = np.load(f"data/feats/res152/{split.ids[5]}.npy")
        np.testing.assert_allclose(file["train/visual"][5], frames.reshape(10, 8, -1).mean(1), rtol=1e-5, atol=1e-6)
        assert file["train/pseudo_a"].dtype == np.uint8
    assert "| train | visual    | (24, 10, 2048) | float32 | data/feats/res152" in result.out
    before = os.stat("v.h5").st_mtime_ns
    again = command(pack_features, *PACK)
    assert again.status == 0 and "v.h5: is up to date" in again.out and os.stat("v.h5").st_mtime_ns == before


def test_training_and_testing_from_a_packed_file_is_the_same(workspace, command):
    assert command(pack_features, *PACK).status == 0
    assert command(main, *TRAIN, "--model_name", "files").status == 0
    for name, more in (("memory", ()), ("ahead", ("--memory_limit", "0.000001"))):
        result = command(main, *TRAIN, "--model_name", name, "--packed", "v.h5", *more)
        assert result.status == 0, result.err
        assert "v.h5: features of data/feats/vggish, data/feats/res152, data/feats/r2plus1d_18" in result.out
        assert ("read ahead from the disk" in result.out) == (name == "ahead")
        logs = [(workspace / f"models/{n}/iterations.jsonl").read_text() for n in ("files", name)]
        assert logs[0] == logs[1]
    sources = ((), ("--packed", "v.h5"), ("--packed", "v.h5", "--memory_limit", "0.000001"))
    tables = [command(main, *SMALL, "--mode", "test", "--model_name", "files", *source) for source in sources]
    assert [t.status for t in tables] == [0, 0, 0] and len({t.out for t in tables}) == 1


def test_a_packed_file_whose_sources_changed_is_rebuilt(workspace, command):
    assert command(pack_features, *PACK).status == 0
    change(workspace / "data/feats/vggish" / (read_split("data/AVVP_train.csv").ids[3] + ".npy"), "other numbers")
    result = command(pack_features, *PACK)
    assert result.status == 0 and "v.h5: was made of other files or with other settings; rebuilding it" in result.err
    assert np.array_equal(Packed.open("v.h5").columns["train"]["audio"].read(np.array([3])), np.ones((1, 10, 128)))


def test_a_run_is_not_resumed_from_other_packed_features(workspace, command):
    assert command(pack_features, *PACK).status == 0
    flags = (*TRAIN, "--packed", "v.h5", "--model_name", "run", "--epochs")
    assert command(main, *flags, "2").status == 0
    last = torch.load("models/run/checkpoint_last.pt") | {"epoch": 1}  # as if it had been stopped after the first
    torch.save(last, "models/run/checkpoint_last.pt")
    assert command(pack_features, *PACK, "--feature_dtype", "float16").status == 0
    result = command(main, *flags, "2", "--resume")
    assert result.status == 2 and "the contents of --packed, by its plan, was" in result.error


def test_packing_half_precision(workspace, command):
    assert command(pack_features, *PACK).status == 0
    full = os.stat("v.h5").st_size
    result = command(pack_features, *PACK, "--feature_dtype", "float16")
    assert result.status == 0 and 0.49 < os.stat("v.h5").st_size / full < 0.56
    assert command(main, *TRAIN, "--model_name", "half", "--packed", "v.h5").status == 0


def test_the_test_split_needs_no_pseudo_labels(workspace, command):
    for name in read_split("data/AVVP_test_pd.csv").ids:
        (workspace / f"data/CLAP/segment_pseudo_labels/{name}.npy").unlink()
    result = command(pack_features, *PACK)
    assert result.status == 0 and "test has no pseudo_a" in result.err
    assert "pseudo_a" not in Packed.open("v.h5").columns["test"]


def test_what_packing_refuses(workspace, command):
    name = read_split("data/AVVP_val_pd.csv").ids[2]
    (workspace / f"data/CLAP/segment_pseudo_labels/{name}.npy").unlink()
    result = command(pack_features, *PACK)
    assert result.status == 2 and f"1 of 8 files are missing in data/CLAP/segment_pseudo_labels ({name}" in result.error
    assert not (workspace / "v.h5").exists()
    result = command(pack_features, *PACK, "--splits", "train")
    assert result.status == 0 and list(Packed.open("v.h5").columns) == ["train"]
    result = command(main, *TRAIN, "--packed", "v.h5", "--model_name", "run")
    assert result.status == 2 and "v.h5: has no val split, only train; pack it, too" in result.error
    assert command(pack_features, *PACK[:-1], "data").status == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--exact",), "--packed has no meaning with --exact"),
        (("--packed", "none.h5"), "none.h5: no such file; utils/pack_features.py makes it"),
        (("--packed", "data/AVVP_train.csv"), "not an HDF5 file, or a damaged one"),
        (("--classes", "mine.yaml"), "v.h5: was packed with other classes than this run's 1"),
        (("--input_v_dim", "768"), "have size 2048, but input_v_dim is 768"),
        (("--memory_limit", "0"), "0 is not above 0"),
        (("--feature_dtype", "float16"), "--feature_dtype has no meaning with --packed"),
        (("--packed", "data"), "data: is a folder, expected a file"),
    ],
)
def test_packed_files_that_cannot_be_used(workspace, command, flags, message):
    assert command(pack_features, *PACK).status == 0
    own = "- {name: Dog, clip_caption: a, clap_caption: b, clip_threshold: 1, clap_threshold: 1}\n"
    (workspace / "mine.yaml").write_text(own)
    result = command(main, *TRAIN, "--packed", "v.h5", "--model_name", "run", *flags)
    assert result.status == 2 and message in result.error


def test_a_packed_file_without_the_labels_that_a_loss_needs(workspace, command):
    assert command(pack_features, *PACK).status == 0
    with h5py.File("v.h5", "r+") as file:
        del file["train/pseudo_a"]
    result = command(main, *TRAIN, "--packed", "v.h5", "--model_name", "run")
    assert result.status == 2 and "v.h5: its train split has no pseudo_a; pack it again with those" in result.error
    assert command(main, *TRAIN, "--packed", "v.h5", "--losses", "video,visual", "--model_name", "run").status == 0


def test_a_damaged_packed_file_is_named(workspace, command):
    assert command(pack_features, *PACK).status == 0
    with h5py.File("v.h5", "r+") as file:
        file["train/visual"][3, 4, 5] += 1
    for limit in ("10", "0.000001"):
        result = command(main, *TRAIN, "--packed", "v.h5", "--model_name", "run", "--memory_limit", limit)
        where = "'visual', rows 0 to 23; rebuild the file"
        assert result.status == 2 and f"v.h5: corrupted: checksum mismatch in {where}" in result.error
    result = command(pack_features, *PACK)
    assert result.status == 0 and "rebuilding it" in result.err
    assert "v.h5: corrupted: checksum mismatch in 'visual'" in result.err
    assert command(main, *TRAIN, "--packed", "v.h5", "--model_name", "run").status == 0


def test_kinds_of_a_packed_split(workspace, command):
    assert command(pack_features, *PACK).status == 0
    data = PackedDataset("v.h5", "val", ("weak", "pseudo_v")).load()
    assert set(everything(data)) == {"audio", "visual", "visual_st", "weak", "pseudo_v"}
    assert data.filenames == read_split("data/AVVP_val_pd.csv").filenames


@pytest.mark.parametrize("disk", ["small", "full"])
def test_a_disk_without_room_costs_a_note_and_the_cache(workspace, monkeypatch, capsys, disk):
    expected = everything(dataset(workspace / "data").load())
    capsys.readouterr()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if disk == "small":
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 0, 10**6))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        found = everything(dataset(workspace / "data", cache_dir=workspace / "cache").load())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_same(found, expected)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("note: ") and "--no_cache does without" in err
    assert ("67 MB needed for" in err) == (disk == "small")
    assert not [path for path in workspace.glob("cache/*") if path.stat().st_size]


def test_what_killed_runs_left_half_written_goes(workspace):
    dataset(workspace / "data", cache_dir="cache").load()
    (path,) = (workspace / "cache").glob("*.audio.*")
    kept = path.with_name("other.h5.01234567.tmp")
    for leftover in (path.with_name(f"{path.name}.01234567.tmp"), path.with_name(f"{path.name}.tmp"), kept):
        leftover.write_bytes(b"half")
    path.write_bytes(b"damaged")
    dataset(workspace / "data", cache_dir="cache").load()
    assert list((workspace / "cache").glob("*.tmp")) == [kept]
