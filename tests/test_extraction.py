"""Going through a list of videos: restarts, shards, failures, kills."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import slow_teacher
from tests.conftest import ROOT, python
from utils.base.errors import InputError
from utils.base.read_ahead import read_ahead
from utils.extract.outputs import Output, require_new_folders
from utils.extract.runner import Run, Settings, Shard
from utils.llp.classes import CLASS_NAMES
from utils.llp.videos import video_id

TOOL = ROOT / "tests/slow_teacher.py"


def names(count: int) -> list[str]:
    return [f"-v_{i:08d}_0_10" for i in range(count)]


def write_list(count: int, *more: str) -> None:
    """list.csv with `count` good videos in the working directory, and further lines."""
    Path("in").mkdir(exist_ok=True)
    for i, name in enumerate(names(count)):
        Path("in", f"{video_id(name)}.txt").write_text(str(i + 1))
    lines = ["filename\tevent_labels", *(f"{name}\tDog" for name in names(count)), *more]
    Path("list.csv").write_text("\n".join(lines) + "\n")


def results() -> dict[str, list[float]]:
    """id -> the value in each of its two outputs."""
    found = {}
    for folder in ("first", "second"):
        for path in sorted(Path("out", folder).glob("*.npy")):
            array = np.load(path)
            assert array.shape == (10, 4) and array.dtype == np.float32
            found.setdefault(path.stem, []).append(float(array[0, 0]))
    return found


def expected(count: int) -> dict[str, list[float]]:
    return {video_id(name): [i + 1.0, -i - 1.0] for i, name in enumerate(names(count))}


def failures(path: str = "out/first/failures.csv") -> dict[str, str]:
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "reason"]
    return {name: reason for name, reason in rows[1:]}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def times() -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in Path("out").rglob("*.npy")}


def test_a_second_run_does_no_work(command):
    write_list(7)
    result = command(slow_teacher)
    assert result.status == 0 and "7 videos done, 0 were finished before, 0 failed" in result.out
    assert results() == expected(7)
    before = times()
    assert not list(Path("out").rglob("*.csv"))
    result = command(slow_teacher)
    assert result.status == 0 and "0 videos done, 7 were finished before" in result.out
    assert times() == before and "loading" not in result.err


def test_only_what_is_missing_or_damaged_is_made_again(command):
    write_list(6)
    command(slow_teacher)
    ids = list(expected(6))
    Path(f"out/first/{ids[0]}.npy").unlink()
    path = Path(f"out/second/{ids[1]}.npy")
    path.write_bytes(path.read_bytes()[:100])
    Path(f"out/second/{ids[2]}.npy").write_bytes(b"")
    np.save(f"out/second/{ids[3]}.npy", np.zeros((3, 4), np.float32))  # of something else
    before = times()
    result = command(slow_teacher)
    assert "4 videos done, 2 were finished before" in result.out
    assert results() == expected(6)
    kept = [name for name in times() if times()[name] == before.get(name)]
    assert sorted({Path(name).stem for name in kept}) == sorted(ids[4:])


def test_bad_videos_cost_only_themselves(command):
    first = names(1)[0]
    bad = ["abcdefghijk_0_10\tDgo", "../../evil\tDog", "missing____\tDog", "bad________\tDog", "nothing____\t"]
    write_list(3, *bad, f"{first}9\tDog", f"{'long' * 60}\tDog", "zero_______\tDog")
    Path("in/bad________.txt").write_text("bad")
    Path("in/zero_______.txt").write_text("nan")
    result = command(slow_teacher)
    assert result.status == 1
    assert "3 videos done, 0 were finished before, 8 failed, listed in out/first/failures.csv" in result.out
    assert results() == expected(3)
    assert failures() == {
        "abcdefghijk": "list.csv, line 5: unknown class 'Dgo'; did you mean Dog?; --classes FILE names others",
        "../../evil": "list.csv, line 6: '../../evil' is not a video name such as BjCEufrlXm4_20_30",
        "missing____": "in/missing____.txt: No such file or directory",
        "bad________": "bad________.txt: is bad, very bad",
        "nothing____": f"list.csv, line 9: no event names; expected some of {', '.join(CLASS_NAMES)}",
        f"{first}9": f"in/{first}9.txt: No such file or directory",  # -v_00000000.txt is that of the first row
        "long" * 60: "its name has 240 bytes; expected at most 200, since it names files",
        "zero_______": "values for --first, --second are not finite; try --precision fp32",
    }
    assert not list(Path("..").glob("evil*"))
    write_list(3)
    result = command(slow_teacher)
    assert result.status == 0 and not Path("out/first/failures.csv").exists()


def test_failures_go_where_the_flag_says(command):
    write_list(1, "missing____\tDog")
    assert command(slow_teacher, "--failures", "deep/down.csv").status == 1
    assert list(failures("deep/down.csv")) == ["missing____"] and not Path("out/first/failures.csv").exists()
    assert command(slow_teacher, "--failures", "out").status == 2


def test_shards_split_the_list(command):
    write_list(7, "missing____\tDog")
    results_of = []
    for shard in range(3):
        result = command(slow_teacher, "--num_shards", 3, "--shard", shard)
        results_of.append(set(results()))
        assert result.status == (shard == 1)
    assert [len(x) for x in results_of] == [3, 5, 7] and results() == expected(7)
    assert failures("out/first/failures.shard1.csv") and not Path("out/first/failures.shard0.csv").exists()
    for shard in (3, 7):
        result = command(slow_teacher, "--num_shards", 3, "--shard", shard)
        assert result.status == 2 and "expected 0 to 2" in result.error


def test_two_processes_of_torchrun_split_the_list():
    """The one that fails early must not take the other down with it."""
    write_list(8, "missing____\tDog")  # the missing one is rank 0's, which has less to do
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, str(TOOL), "--seconds", "0.3", "--batch_size", "1"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1, result.stderr
    assert results() == expected(8)
    assert list(failures("out/first/failures.shard0.csv")) == ["missing____"]
    assert "toy 0/2: 4 videos done" in result.stdout and "toy 1/2: 4 videos done" in result.stdout


def test_processes_of_torchrun_do_not_share_a_failures_file(monkeypatch):
    settings = Settings(workers=1, num_shards=3, shard=1)
    shard = Shard.of(settings)
    assert shard == (1, 3) and shard.failures_file(Path("mine.csv"), Path("out")) == Path("mine.csv")
    assert shard.failures_file(None, Path("out")) == Path("out/failures.shard1.csv")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")  # each part is split again
    shard = Shard.of(settings)
    assert shard == (3, 6) and shard.failures_file(Path("mine.csv"), Path("out")) == Path("mine.shard3.csv")


def start(*flags) -> subprocess.Popen:
    """Start the tool and wait until it has written something."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, TOOL, *flags], **pipes)
    deadline = time.monotonic() + 60
    while len(list(Path("out").rglob("*.npy"))) < 4:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGKILL, -9, None)],
)
def test_a_stopped_run_leaves_complete_files_and_resumes(number, status, last):
    write_list(40)
    process = start("--seconds", "0.05")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    if last:
        assert err.strip().splitlines()[-1] == f"slow_teacher.py: {last}" and "Traceback" not in err
        assert not list(Path("out").rglob("*.tmp"))
    done = results()
    assert 2 <= len(done) < 40
    assert all(value == expected(40)[name][: len(value)] for name, value in done.items())
    for name in list(expected(40))[-3:]:  # as a kill in the middle of a write leaves it
        Path(f"out/first/{name}.npy.tmp").write_bytes(b"half")
    result = python(TOOL, cwd=Path.cwd())
    assert result.returncode == 0, result.stderr
    assert results() == expected(40) and not list(Path("out").rglob("*.tmp"))


def test_an_interrupt_that_was_dropped_is_noticed_at_the_next_video(command, monkeypatch):
    """Python drops what is raised inside a destructor."""

    class Dropping:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    write_list(40)
    done = Run.done

    def drop(self, *args):
        done(self, *args)
        if self.counts["done"] == 3:
            Dropping()

    monkeypatch.setattr(Run, "done", drop)
    monkeypatch.setattr(sys, "unraisablehook", lambda what: None)
    result = command(slow_teacher)
    assert result.status == 130 and len(results()) < 40


def test_two_processes_never_do_the_same_part(command):
    write_list(40)
    process = start("--seconds", "0.1")
    result = command(slow_teacher)
    assert result.status == 2 and "out/first: another process is at this part of the list" in result.error
    assert command(slow_teacher, "--num_shards", "40", "--shard", "39").status == 0
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert command(slow_teacher).status == 0 and results() == expected(40)


@pytest.mark.parametrize("events", ["Dog", "Cat"])
def test_a_list_that_repeats_a_row_is_refused_before_any_work(command, events):
    write_list(2, f"{names(2)[1]}\t{events}")
    result = command(slow_teacher)
    assert result.status == 2 and not Path("out").exists()
    assert f"list.csv: lists a video twice, '{names(2)[1]}' as its videos number 2 and 3" in result.error


def test_whatever_a_decoder_raises_costs_one_video(command):
    write_list(2, "text_______\tDog")
    Path("in/text_______.txt").write_text("not a number")  # float() raises
    assert command(slow_teacher).status == 1
    assert failures()["text_______"].startswith("ValueError: could not convert") and results() == expected(2)


def test_reading_ahead_is_bounded_and_in_order():
    running = []

    def read(item):
        running.append(item)
        return item

    reads = read_ahead(read, range(100), workers=3, ahead=7)
    for i, result in zip(range(20), reads, strict=False):
        assert result.value == i
        assert len(running) <= i + 1 + 7
    reads.close()
    assert len(running) < 40


def test_short_videos_are_counted(command):
    write_list(10)  # of 1 to 10 seconds
    result = command(slow_teacher)
    assert "warning: 8 videos are shorter than 9 s" in result.err and result.status == 0


def test_two_outputs_need_two_folders(tmp_path):
    outputs = {flag: Output(tmp_path / "x", slow_teacher.LAYOUT) for flag in ("--a", "--b")}
    with pytest.raises(InputError, match="--a and --b are both"):
        require_new_folders(outputs)


def test_one_line_per_video_where_asked_for(command):
    write_list(2, "missing____\tDog")
    result = command(slow_teacher, "--print_progress")
    lines = [line for line in result.out.splitlines() if line.startswith(("1/3", "2/3", "3/3"))]
    assert len(lines) == 3 and sum("done" in line for line in lines) == 2
