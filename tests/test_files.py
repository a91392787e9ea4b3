"""Files written atomically: nothing else is written to, and nothing half-written stays."""

import fcntl
import os

import pytest

from utils.base.errors import InputError
from utils.base.files import atomic_path, encode, remove_leftovers, write_bytes, write_json, write_text
from utils.base.npy import write_npy


def test_what_lies_in_the_place_of_a_temporary_file_is_never_written_to(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "a.json.tmp").symlink_to(tmp_path / "elsewhere")
    write_json(tmp_path / "a.json", [1])
    assert (tmp_path / "elsewhere").read_text() == "mine" and (tmp_path / "a.json").read_text() == "[\n 1\n]\n"

    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 8)  # even if the name were known
    (tmp_path / "b.txt.00000000.tmp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "b.txt", one_of_many=True) as tmp:
        tmp.write_text("not written")
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_file_has_the_mode_of_any_other_new_file(tmp_path):
    write_bytes(tmp_path / "a", b"1")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_leftovers_of_killed_processes_go_and_others_stay(tmp_path):
    old, random = tmp_path / "a.json.tmp", tmp_path / "a.json.89abcdef.tmp"
    other, similar, held = (tmp_path / f"{name}.tmp" for name in ("b.json", "xa.json.00000000", "a.json.00000000"))
    for path in (old, random, other, similar, held):
        path.write_text("half")
    with open(held) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process is writing it
        write_json(tmp_path / "a.json", 1)
        assert sorted(tmp_path.iterdir()) == sorted((tmp_path / "a.json", other, similar, held))
        remove_leftovers(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted((tmp_path / "a.json", held))


def test_many_files_leave_the_leftovers_to_one_call(tmp_path):
    (tmp_path / "a.npy.00000000.tmp").write_text("half")
    write_npy(tmp_path / "a.npy", 1.0)
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path, {"a.npy"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    with pytest.raises(OSError) as error, atomic_path(tmp_path / "a") as tmp:
        tmp.mkdir()
    assert error.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())


def test_text_that_no_file_can_hold_is_refused_in_one_line(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    with pytest.raises(InputError, match=r"a\.txt: 'caf\\udce9' cannot be written as UTF-8"):
        write_text(tmp_path / "a.txt", name)
    assert not list(tmp_path.iterdir()) and encode("café", "x") == b"caf\xc3\xa9"
