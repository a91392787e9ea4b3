"""Decoding in other processes: what ends one of them costs one call."""

import ctypes
import os
import resource
import signal
import time

import numpy as np
import pytest

from utils.base.errors import InputError
from utils.media import isolated as module
from utils.media.isolated import isolated


def count(path, number):
    for i in range(number):
        yield i, np.full((3, 2), i)


def process_id(path):
    yield os.getpid()


def crash(path):
    yield 1
    ctypes.string_at(0)


def loop(path):
    module.STILL = 1
    for _ in range(module.EVERY):
        module.progress()
    while True:
        pass


def bomb(path):
    yield len(bytearray(10**10))


def fail(path, error):
    yield 1
    raise error


def chatter(path):
    os.write(1, b"printed by native code\n")
    yield "clean"


def test_results_come_in_order_and_a_process_is_used_again():
    results = list(isolated(count, "x", 5))
    assert [i for i, _ in results] == list(range(5)) and results[4][1].tolist() == [[4, 4]] * 3
    assert list(isolated(process_id, "x")) == list(isolated(process_id, "x")) != [os.getpid()]


def test_a_process_that_was_ended_while_idle_is_not_used():
    [number] = isolated(process_id, "x")
    os.kill(number, signal.SIGKILL)
    time.sleep(0.2)
    assert list(isolated(process_id, "x")) != [number]


@pytest.mark.parametrize(
    ("function", "reason"),
    [(crash, r"the decoder crashed \(signal 11\)"), (loop, "makes no progress"), (bomb, "over 4 GB of memory")],
)
def test_what_ends_a_process_costs_one_call(function, reason):
    begin = time.monotonic()
    with pytest.raises(InputError, match=rf"^clip\.mp4: .*{reason}"):
        list(isolated(function, "clip.mp4"))
    assert time.monotonic() - begin < 20
    assert list(isolated(chatter, "x")) == ["clean"]
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY  # of this process


@pytest.mark.parametrize("error", [InputError("as it was"), FileNotFoundError(2, "gone", "x.mp4")])
def test_errors_are_raised_here(error):
    with pytest.raises(type(error)) as raised:
        list(isolated(fail, "x", error))
    assert raised.value.args == error.args
    with pytest.raises(InputError, match=r"x: cannot be decoded \(KeyError: 'k'\)"):
        list(isolated(fail, "x", KeyError("k")))


def test_a_caller_that_stops_early_leaves_nothing_behind():
    results = isolated(count, "x", 10**6)
    assert next(results)[0] == 0
    results.close()
    assert [i for i, _ in isolated(count, "x", 2)] == [0, 1]


def test_relative_paths_are_those_of_the_caller(tmp_path, monkeypatch):
    list(isolated(count, "x", 1))
    monkeypatch.chdir(tmp_path)
    assert list(isolated(working_folder, "x")) == [str(tmp_path)]


def working_folder(path):
    yield os.getcwd()
