"""Packed files: appended to, atomic, read in pieces, damage noticed."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.conftest import ROOT, python
from utils.base.errors import InputError
from utils.features import packed
from utils.features.packed import BLOCK, ColumnSpec, Packed, Writer

N = 2 * BLOCK + 17


def values_of(index: int) -> np.ndarray:
    return np.full((3, 4), index, np.float32)


def write(path, read=values_of, rows_at_once: int = 100) -> None:
    """Write a file from `read(index)`, some rows at a time."""
    names = packed.encode_texts([f"vidéo {i}" for i in range(N)])
    columns = {
        "train/names": ColumnSpec(names.shape, names.dtype, {}),
        "train/values": ColumnSpec((N, 3, 4), np.dtype("f4"), {"fingerprint": "1"}),
    }
    with Writer.open(path, columns, {"/": {"classes": "Dog"}, "train": {"videos": N}}) as writer:
        writer.append("train/names", names)
        for first in range(0, N, rows_at_once):
            writer.append("train/values", np.stack([read(i) for i in range(first, min(first + rows_at_once, N))]))


def expected(rows=slice(None)) -> np.ndarray:
    return np.stack([values_of(i) for i in range(N)])[rows]


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    file = Packed.open(tmp_path / "a.h5")
    assert file.attributes["classes"] == "Dog" and len(file.attributes["plan"]) == 64
    values, names = file.columns["train"]["values"], file.columns["train"]["names"]
    assert (values.shape, values.dtype, values.size) == ((N, 3, 4), np.float32, N * 48)
    assert np.array_equal(values.read_all(), expected())
    assert packed.read_texts(names) == [f"vidéo {i}" for i in range(N)]
    for rows in ([], [0], [N - 1], [3, 4, 5, 9, 11, 12], list(range(N))):
        assert np.array_equal(values.read(np.array(rows, int)), expected(rows))
    with h5py.File(tmp_path / "a.h5") as other:  # another program's view
        assert np.array_equal(other["train/values"][5:7], expected(slice(5, 7)))
        assert other["train/names"].asstr()[1] == "vidéo 1"
        assert other["train"].attrs["videos"] == N and other["train/values"].attrs["fingerprint"] == "1"
        assert other["train/values"].id.get_offset()  # contiguous: other programs may map it


@pytest.mark.parametrize("rows_at_once", [1, BLOCK - 1, BLOCK, N])
def test_checksums_do_not_depend_on_how_rows_are_appended(tmp_path, rows_at_once):
    write(tmp_path / "a.h5", rows_at_once=rows_at_once)
    with h5py.File(tmp_path / "a.h5") as file:
        blocks = [expected(slice(first, first + BLOCK)) for first in range(0, N, BLOCK)]
        assert file["train/values"].attrs["crc32"].tolist() == [zlib.crc32(block) for block in blocks]


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("existing", [False, True])
def test_a_stop_leaves_the_folder_as_it_was(tmp_path, existing):
    if existing:
        write(tmp_path / "a.h5")

    def stops(index):
        if index == 2 * BLOCK + 3:
            raise Stop
        return np.zeros((3, 4), np.float32)

    with pytest.raises(Stop):
        write(tmp_path / "a.h5", stops)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"] * existing
    write(tmp_path / "a.h5")
    assert np.array_equal(Packed.open(tmp_path / "a.h5").columns["train"]["values"].read_all(), expected())


@pytest.mark.parametrize("limit", [200, 5_000, 20_000])
def test_a_full_disk_is_an_error_of_the_system(tmp_path, limit):
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); from tests import test_packed as t\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try: t.write(sys.argv[2])\n"
        "except OSError as error: print(error.filename, error.strerror)"
    )
    path = tmp_path / "a.h5"
    result = python("-c", script, ROOT, path, cwd=tmp_path)
    assert result.stdout.strip() == f"{path} File too large", result.stderr
    assert not list(tmp_path.iterdir())


def test_kill_9_again_and_again(tmp_path):
    """In a process of its own, at arbitrary moments."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from tests import test_packed as t\n"
        "slow = lambda i: (time.sleep(0.0005), t.values_of(i))[1]\n"
        "t.write(sys.argv[2], slow)"
    )
    path, kills = tmp_path / "a.h5", 0
    for wait in (0.05, 0.15, 0.1):
        process = subprocess.Popen([sys.executable, "-c", script, str(ROOT), str(path)])
        while process.poll() is None and not list(tmp_path.glob("a.h5.*.tmp")):
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
        first = row // BLOCK * BLOCK
        rows = f"rows {first} to {min(first + BLOCK, N) - 1}; rebuild the file"
        for keep in (True, False):
            with pytest.raises(InputError, match=f"b.h5: corrupted: checksum mismatch in 'values', {rows}"):
                Packed.open(tmp_path / "b.h5").columns["train"]["values"].read_all(keep)


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
    messages = {"text": "not an HDF5 file", "other": "not packed features", "none": "no such file"}
    for name, message in messages.items():
        with pytest.raises(InputError, match=message):
            Packed.open(tmp_path / f"{name}.h5")


def test_virtual_arrays_are_read_too(tmp_path):
    """As benchmarks/bench_stream.py makes 300,000 videos from 10,000."""
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


def foreign(path, **arrays):
    """A file in the format of packed files that this program has not written."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = packed.FORMAT
        for name, (values, options) in arrays.items():
            file.create_dataset(f"train/{name}", data=values, **options)


def test_what_hdf5_trusts_never_reaches_it(tmp_path, monkeypatch):
    """Text of any length is a pointer in the file, chunks may unpack to anything, other files may be any."""
    foreign(tmp_path / "text.h5", filename=(["a", "bb"], {"dtype": h5py.string_dtype()}))
    foreign(tmp_path / "chunks.h5", audio=(np.zeros((4, 3)), {"chunks": (2, 3), "compression": "gzip"}))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.attrs["format"] = packed.FORMAT
        file["train/audio"] = h5py.ExternalLink(tmp_path / "chunks.h5", "train/audio")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.attrs["format"] = packed.FORMAT
        file.create_dataset("train/audio", (4,), "u1", external=[(str(tmp_path / "link.h5"), 0, 4)])
    messages = {"text": "holds object, expected numbers, or text of one length", "chunks": "audio is not contiguous"}
    messages |= {"link": "holds 'audio', expected a dataset", "outside": "audio is not contiguous"}
    for name, message in messages.items():
        with pytest.raises(InputError, match=message):
            Packed.open(tmp_path / f"{name}.h5")
    foreign(tmp_path / "good.h5", audio=(np.arange(12.0).reshape(4, 3), {}))
    column = Packed.open(tmp_path / "good.h5").columns["train"]["audio"]
    monkeypatch.setattr(h5py, "File", None)
    assert np.array_equal(column.read_all(), np.arange(12.0).reshape(4, 3))


def test_hdf5_that_crashes_or_hangs_costs_one_line(tmp_path, monkeypatch):
    foreign(tmp_path / "a.h5", audio=(np.zeros(3), {}))
    monkeypatch.setattr(packed.hdf5, "SECONDS", 1)
    for code, message in (("os.kill(os.getpid(), 11)", "with status -11"), ("time.sleep(60)", "in 1 s")):
        monkeypatch.setattr(packed.hdf5, "CHILD", f"import os, time; {code}")
        start = time.monotonic()
        with pytest.raises(InputError, match=f"a.h5: not an HDF5 file, or a damaged one .*{message}"):
            Packed.open(tmp_path / "a.h5")
        assert time.monotonic() - start < 5


def test_own_files_are_read_without_hdf5(tmp_path, monkeypatch):
    """So that any damage to what HDF5 wrote is harmless; damage to the index is named."""
    write(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    begin = min(c.offset for c in Packed.open(tmp_path / "a.h5").columns["train"].values())
    (tmp_path / "a.h5").write_bytes(bytes(begin) + content[begin:])
    monkeypatch.setattr(h5py, "File", None)
    assert np.array_equal(Packed.open(tmp_path / "a.h5").columns["train"]["values"].read_all(), expected())
    (tmp_path / "a.h5").write_bytes(content[:-30] + b"!" + content[-29:])
    for indexed in (True, False):
        with pytest.raises(InputError, match="its index is (missing or )?damaged"):
            Packed.open(tmp_path / "a.h5", indexed)


def test_an_index_that_lies_is_refused(tmp_path):
    write(tmp_path / "a.h5")
    content, index = (tmp_path / "a.h5").read_bytes(), packed.hdf5.read_index(tmp_path / "a.h5")
    lies = {"offset": 10**9, "shape": [N, 10**12], "dtype": "O"}, {"shape": [-1, 3]}, {"attributes": {"crc32": [1]}}
    for lie in [{k: v} for many in lies for k, v in many.items()] + [{"dtype": "nonsense"}, {"shape": "abc"}]:
        (tmp_path / "a.h5").write_bytes(content)
        changed = index["columns"]["train"]["values"] | lie
        columns = {"train": index["columns"]["train"] | {"values": changed}}
        packed.hdf5.append_index(tmp_path / "a.h5", index | {"columns": columns})
        with pytest.raises(InputError, match=r"a\.h5: "):
            Packed.open(tmp_path / "a.h5")
