"""Packed files: written in blocks, gone on with after a stop, read in pieces, damage noticed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.conftest import ROOT
from utils.base.errors import InputError
from utils.features import packed
from utils.features.packed import BLOCK, ColumnPlan, Group, Packed

N = 2 * BLOCK + 17


def values_of(index: int) -> np.ndarray:
    return np.full((3, 4), index, np.float32)


def groups(read=values_of, fingerprint="1") -> dict[str, Group]:
    columns = {
        "names": packed.string_column([f"vidéo {i}" for i in range(N)]),
        "values": ColumnPlan((N, 3, 4), np.dtype("f4"), read, {"fingerprint": fingerprint}),
    }
    return {"train": Group(columns, {"videos": N})}


def write(path, read=values_of, **kwargs) -> None:
    packed.write(path, groups(read, **kwargs), {"classes": "Dog"}, 2, "packing")


def expected(rows=slice(None)) -> np.ndarray:
    return np.stack([values_of(i) for i in range(N)])[rows]


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    file = Packed.open(tmp_path / "a.h5")
    assert file.attributes["classes"] == "Dog" and file.group_attributes["train"]["videos"] == N
    values, names = file.columns["train"]["values"], file.columns["train"]["names"]
    assert (values.shape, values.dtype, values.size) == ((N, 3, 4), np.float32, N * 48)
    assert np.array_equal(values.read_all(2), expected())
    assert packed.read_strings(names) == [f"vidéo {i}" for i in range(N)]
    for rows in ([], [0], [N - 1], [3, 4, 5, 9, 11, 12], list(range(N))):
        assert np.array_equal(values.read(np.array(rows, int)), expected(rows))
    with h5py.File(tmp_path / "a.h5") as other:  # another program's view
        assert np.array_equal(other["train/values"][5:7], expected(slice(5, 7)))
        assert other["train/names"].asstr()[1] == "vidéo 1"


class Stop(Exception):
    """Stands for a kill."""


def test_a_stop_costs_one_block(tmp_path):
    read = []

    def stops(index):
        if index == 2 * BLOCK + 3:
            raise Stop
        return values_of(index)

    with pytest.raises(Stop):
        write(tmp_path / "a.h5", stops)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5.tmp", "a.h5.tmp.blocks"]
    with open(tmp_path / "a.h5.tmp.blocks", "a") as journal:
        journal.write("train/values 2 123")  # the line that was being written
    write(tmp_path / "a.h5", lambda index: read.append(index) or values_of(index))
    assert sorted(read) == list(range(2 * BLOCK, N))
    assert np.array_equal(Packed.open(tmp_path / "a.h5").columns["train"]["values"].read_all(), expected())
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("damage", ["other sources", "no journal", "half a file", "no file"])
def test_what_cannot_be_gone_on_with_is_written_anew(tmp_path, damage):
    def stops(index):
        if index == BLOCK + 3:
            raise Stop
        return values_of(index)

    with pytest.raises(Stop):
        write(tmp_path / "a.h5", stops)
    tmp = tmp_path / "a.h5.tmp"
    if damage == "no journal":
        (tmp_path / "a.h5.tmp.blocks").unlink()
    elif damage == "half a file":
        os.truncate(tmp, 200)
    elif damage == "no file":
        tmp.unlink()
    read = []
    fingerprint = "2" if damage == "other sources" else "1"
    write(tmp_path / "a.h5", lambda index: read.append(index) or values_of(index), fingerprint=fingerprint)
    assert sorted(read) == list(range(N))
    assert np.array_equal(Packed.open(tmp_path / "a.h5").columns["train"]["values"].read_all(), expected())


def test_kill_9_again_and_again(tmp_path):
    """In a process of its own, at moments that nobody chose."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from tests import test_packed as t\n"
        "slow = lambda i: (time.sleep(0.0005), t.values_of(i))[1]\n"
        "t.write(sys.argv[2], slow)"
    )
    path, kills = tmp_path / "a.h5", 0
    for wait in (0.05, 0.15, 0.1):
        process = subprocess.Popen([sys.executable, "-c", script, str(ROOT), str(path)])
        while process.poll() is None and not (tmp_path / "a.h5.tmp").exists():
            time.sleep(0.005)
        time.sleep(wait)
        process.kill()
        kills += process.wait() != 0
        assert not path.exists() or np.array_equal(Packed.open(path).columns["train"]["values"].read_all(), expected())
    assert kills
    write(path)
    assert np.array_equal(Packed.open(path).columns["train"]["values"].read_all(), expected())


def test_any_damaged_block_is_noticed(tmp_path):
    write(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    for row in (1, BLOCK - 1, BLOCK, N - 1):
        place = content.index(values_of(row).tobytes())
        (tmp_path / "b.h5").write_bytes(content[:place] + b"\1" + content[place + 1 :])
        with pytest.raises(InputError, match=f"b.h5: damaged, the sum of values from row {row // BLOCK * BLOCK} on"):
            Packed.open(tmp_path / "b.h5").columns["train"]["values"].read_all(2)


@pytest.mark.parametrize("kept", [0, 50, 500, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_named(tmp_path, kept):
    write(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(InputError, match=r"a\.h5: "):
        columns = Packed.open(tmp_path / "a.h5").columns["train"]
        for column in columns.values():
            column.read_all()


def test_what_is_no_packed_file_is_named(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["train/audio"] = np.zeros(3)
    for name, message in (
        ("text.h5", "not an HDF5 file"),
        ("other.h5", "not packed features"),
        ("none.h5", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            Packed.open(tmp_path / name)


def test_virtual_arrays_are_read_too(tmp_path):
    """300,000 videos that are 10,000 again and again, say."""
    write(tmp_path / "a.h5")
    layout = h5py.VirtualLayout((3 * N, 3, 4), "f4")
    for i in range(3):
        layout[i * N : (i + 1) * N] = h5py.VirtualSource(tmp_path / "a.h5", "train/values", (N, 3, 4))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.attrs["format"] = packed.FORMAT
        file.create_virtual_dataset("train/values", layout)
    column = Packed.open(tmp_path / "v.h5").columns["train"]["values"]
    assert np.array_equal(column.read_all(), np.concatenate([expected()] * 3))
    rows = np.array([0, 1, N - 1, N, 2 * N + 5])
    assert np.array_equal(column.read(rows), expected(rows % N))


def test_two_writers_of_one_file(tmp_path):
    from utils.base.errors import Busy
    from utils.base.files import locked

    path = tmp_path / "a.h5"
    with locked(f"pack {os.path.realpath(path)}", "busy"), pytest.raises(Busy, match="another process is writing it"):
        write(Path(path))
