"""Decoding in processes of its own, so that a crash of native code, a loop without end or a bomb costs one file.

A process serves one caller at a time, and is used again afterwards. Its results come through a pipe: 2.8 MB of a frame
take under a millisecond.
"""

import atexit
import contextlib
import gc
import itertools
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.base.errors import InputError

ROOT = Path(__file__).parents[2]
STILL = 60  # seconds of processor time without progress after which a process is ended
EVERY = 20  # steps of progress
MEMORY = 4 * 10**9  # bytes that a process may allocate
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from utils.media import isolated; isolated.serve()"
PIPE_SIZE = 2**20

_idle: list["_Process"] = []  # between two callers


def isolated(function: Callable[..., Iterator], *args) -> Iterator[Any]:
    """What `function(*args)` yields, while it runs in another process.

    Args:
        function: of a module, so that it can be named.

    Raises what it raises; InputError if its process crashes, makes no progress, or needs too much memory.
    """
    process, finished = _take(), False
    try:
        yield from process.results(function, args)
        finished = True
    except _Raised as raised:
        finished = True
        raise raised.error from None
    finally:
        if finished:
            _idle.append(process)
        else:
            process.end()


def _take() -> "_Process":
    """A process that runs nothing."""
    while _idle:
        if (process := _idle.pop()).popen.poll() is None:  # the system may have ended it meanwhile
            return process
    return _Process()


class _Raised(Exception):
    """An error that the function raised; its process is fine."""

    def __init__(self, error: Exception):
        super().__init__(error)
        self.error = error


class _Process:
    """A process that runs functions."""

    def __init__(self):
        single = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        # a session of its own: Ctrl-C is for this process to handle
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        self.popen = subprocess.Popen([sys.executable, "-c", START], env=os.environ | single, **options)

    def results(self, function: Callable[..., Iterator], args: tuple) -> Iterator[Any]:
        """What a call yields. Raises _Raised, or InputError if the process ends."""
        try:
            pickle.dump((os.getcwd(), function, args), self.popen.stdin)  # paths may be relative
            self.popen.stdin.flush()
            while True:
                kind, value = pickle.load(self.popen.stdout)
                if kind == "end":
                    return
                if kind == "error":
                    raise _Raised(value)
                yield value
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(f"{args[0]}: {self._why()}") from error

    def _why(self) -> str:
        """Why the process has ended."""
        self.popen.kill()
        status = self.popen.wait()
        if status == -24:  # SIGXCPU
            return f"decoding makes no progress ({STILL} s of processor time); the file is damaged"
        return f"the decoder crashed (signal {-status})" if status < 0 else f"the decoder ended (status {status})"

    def end(self) -> None:
        """End the process."""
        self.popen.kill()
        self.popen.stdin.close()
        self.popen.stdout.close()
        self.popen.wait()


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


_limits_progress = False
_steps = itertools.count()


def progress() -> None:
    """Say that decoding goes on: the time limit begins again. Does nothing in a process that does not serve."""
    if _limits_progress and next(_steps) % EVERY == 0:  # it takes microseconds
        _renew()


def _renew() -> None:
    """Begin the time limit of this process again."""
    _limit("RLIMIT_CPU", int(time.process_time()) + STILL + 1)


def _limit(name: str, value: int) -> None:
    """Limit what this process may use. A system without such limits has none."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # here, since Windows has none

        most = resource.getrlimit(getattr(resource, name))[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(getattr(resource, name), (value, most))


def serve() -> None:
    """Run calls from standard input until it ends: the work of the other process."""
    global _limits_progress
    _limits_progress = True
    requests, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what native code prints must not come between the results
    _enlarge(results)
    _limit("RLIMIT_DATA", MEMORY)

    def send(kind: str, value: Any) -> None:
        pickle.dump((kind, value), results, protocol=5)
        _renew()

    while True:
        try:
            folder, function, args = pickle.load(requests)
            os.chdir(folder)
            _renew()
            _run(function, args, send)
            gc.collect()  # decoders that hold each other keep their threads, of which there would be hundreds
        except (EOFError, BrokenPipeError):  # the caller has ended
            return


def _run(function: Callable[..., Iterator], args: tuple, send: Callable[[str, Any], None]) -> None:
    """Send what a call yields, then how it ended."""
    try:
        for value in function(*args):
            send("value", value)
    except BrokenPipeError:
        raise
    except MemoryError:
        send("error", InputError(f"{args[0]}: needs over {MEMORY // 10**9} GB of memory to decode"))
    except (InputError, OSError) as error:
        send("error", error)
    except Exception as error:  # noqa: BLE001  its class may be unknown to the caller
        send("error", InputError(f"{args[0]}: cannot be decoded ({type(error).__name__}: {error})"))
    else:
        send("end", None)


def _enlarge(pipe) -> None:
    """Make room for more than 64 kB in a pipe, if the system knows how."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl  # here, since Windows has none

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
