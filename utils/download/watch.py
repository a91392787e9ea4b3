"""Work of libraries and programs that a server could hold for ever: given up when too little comes of it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

from utils.download.transfer import MIN_RATE

WINDOW = 600.0  # seconds in which files must grow at MIN_RATE; programs read much before they write
POLL = 1.0  # seconds between two looks at the files

Result = TypeVar("Result")


class TooSlow(Exception):
    """Files have not grown at the minimum rate."""


def run_watched(work: Callable[[], Result], folder: Path) -> Result:
    """What `work` returns, which writes to `folder`. Raises what it raises, or TooSlow.

    It runs in a thread that is left alone if it is too slow, since nothing ends a thread that waits for a server;
    programs that it has started on the folder are killed.
    """
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  it is raised below
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    grown, deadline = size_of(folder), time.monotonic() + WINDOW
    while not wait([future], POLL).done:
        size = size_of(folder)
        if size - grown >= WINDOW * MIN_RATE:
            grown, deadline = size, time.monotonic() + WINDOW
        elif time.monotonic() > deadline:
            kill_programs_on(folder)
            raise TooSlow(f"less than {MIN_RATE} bytes a second came in {WINDOW / 60:.0f} minutes")
    return future.result()


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder, which may change meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def kill_programs_on(folder: Path) -> None:
    """Kill child processes of this one whose command line names `folder`, as far as the system lists them."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and os.fsencode(folder.absolute()) in process.joinpath("cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            continue
