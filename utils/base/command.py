"""How every command of this project ends: bad input, a full disk or Ctrl-C cost one line, never a traceback.

This module imports nothing heavy, so that a command can call `quiet_interrupts` before it imports torch.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from utils.base.errors import InputError, is_out_of_memory

EXIT_SOME_FAILED = 1  # some videos of a list could not be processed
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell expects
EXIT_TERMINATED = 143  # 128 + SIGTERM


def quiet_interrupts() -> None:
    """Make Ctrl-C during the imports of a command one line instead of a traceback. `run` ends this."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for a job in the background
        signal.signal(signal.SIGINT, _leave)


def _leave(number, frame):
    # No exception: code that is being imported might swallow it, and the command would go on.
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


def name_missing_packages() -> None:
    """Make a package that is not installed one line instead of a traceback: which, and how to get it."""

    def say(kind, error, traceback):
        if not issubclass(kind, ModuleNotFoundError) or _is_ours(error.name):
            return sys.__excepthook__(kind, error, traceback)
        command = os.path.basename(sys.argv[0])
        is_inside = sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX")
        if is_inside:
            todo = "bash scripts/setup.sh installs everything, also what --core leaves out"
        else:
            todo = "no environment is active: source .venv/bin/activate (bash scripts/setup.sh makes it)"
        found = f"the package {error.name} is not installed for {sys.executable}"
        print(f"{command}: error: {found}; {todo}", file=sys.stderr, flush=True)
        os._exit(EXIT_BAD_INPUT)

    sys.excepthook = say


def _is_ours(module: str | None) -> bool:
    """Whether a module is one of this project: that it is missing is a mistake of ours."""
    return not module or module.split(".")[0] in ("utils", "nets", "dataloader", "main", "scripts", "benchmarks")


_pressed = threading.Event()  # Ctrl-C, since `run` began


def _interrupt(number, frame):
    _pressed.set()
    raise KeyboardInterrupt


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed: raised inside a destructor, say, Python would have dropped it."""
    if _pressed.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C wait for the end of the block, where it raises KeyboardInterrupt; a second one does not wait.

    Yields a function that tells whether Ctrl-C was pressed. Processes that are forked inside ignore it.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main one may handle signals
        yield lambda: False
        return
    pressed = []

    def handle(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


class Terminated(BaseException):
    """The process was asked to end (SIGTERM). Like KeyboardInterrupt, so that whatever is half-written is removed."""


def _raise_terminated() -> None:
    """Let SIGTERM raise Terminated in this process; processes that it forks just end."""
    process = os.getpid()

    def handle(number, frame):
        if os.getpid() != process:
            os._exit(EXIT_TERMINATED)
        raise Terminated

    signal.signal(signal.SIGTERM, handle)


def run(main: Callable[[argparse.Namespace], int | None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, run `main`, and turn what a user can cause into one line and an exit status.

    Exit status: what `main` returns (None: 0; 1: some videos failed); 2 bad input (also argparse's own) or the system
    refused a read or write; 130 Ctrl-C; 143 SIGTERM.
    """
    status, message = 0, ""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread():
        _raise_terminated()
        _pressed.clear()
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _interrupt)
    try:
        status = main(parser.parse_args()) or 0
        sys.stdout.flush()
    except InputError as error:
        status, message = EXIT_BAD_INPUT, f"error: {_own_words(error)}"
    except BrokenPipeError:  # `| head` closed our output: not an error, but nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status, message = EXIT_BAD_INPUT, ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        status, message = EXIT_BAD_INPUT, f"error: {where}{error.strerror or _own_words(error)}"
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        status, message = EXIT_BAD_INPUT, "error: too little memory; try smaller sizes, or another machine"
    except Terminated:
        status, message = EXIT_TERMINATED, "terminated"
    except KeyboardInterrupt as stop:
        status, message = EXIT_INTERRUPTED, f"interrupted{f': {stop}' if str(stop) else ''}"
    finally:
        if threading.current_thread() is threading.main_thread() and before not in (None, _leave):
            signal.signal(signal.SIGINT, before)
    if message:
        print(f"{parser.prog}: {message}", file=sys.stderr)
    if status:
        sys.exit(status)


def _own_words(error: Exception) -> str:
    """The message of an error; of one from a DataLoader worker, which carries a whole traceback, the last line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{InputError.__module__}.InputError: ")
