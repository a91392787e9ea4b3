"""How every command of this project ends: bad input, a full disk or Ctrl-C cost one line, never a traceback.

This module imports nothing heavy, so that a command can call `quiet_interrupts` before it imports torch.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LLP_CLASSES = Path(__file__).with_name("llp.yaml")

EXIT_SOME_FAILED = 1  # some videos of a list could not be processed
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell expects
EXIT_TERMINATED = 143  # 128 + SIGTERM


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, what was expected, what to do."""


def quiet_interrupts() -> None:
    """Make Ctrl-C during the imports of a command one line instead of a traceback. `run` ends this."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for a job in the background
        signal.signal(signal.SIGINT, _leave)


def _leave(number, frame):
    # No exception: code that is being imported might swallow it, and the command would go on.
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


_pressed = threading.Event()  # Ctrl-C, since `run` began


def _interrupt(number, frame):
    _pressed.set()
    raise KeyboardInterrupt


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed: raised inside a destructor, say, Python would have dropped it."""
    if _pressed.is_set():
        raise KeyboardInterrupt


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but a wrong flag costs one line instead of the whole usage."""

    def error(self, message):
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: error: {message} (--help lists all flags)\n")


def add_truth_flags(
    parser: argparse.ArgumentParser, label_csv: str | None = "./data/AVVP_test_pd.csv", label_csv_text: str = ""
) -> None:
    """The flags of every tool that looks up the truth of a split; `label_csv_text`: its default in words, if None."""
    text = label_csv_text or "%(default)s"
    parser.add_argument("--label_csv", type=Path, default=label_csv,
                        help=f"the videos, in a column `filename` (default: {text})")  # fmt: skip
    parser.add_argument("--gt_dir", type=Path, default="./data",
                        help="folder of the truth, AVVP_eval_{audio,visual}.csv (default: %(default)s)")  # fmt: skip
    add_classes_flag(parser)


def add_scoring_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every tool that holds predictions against the truth."""
    parser.add_argument("--pred_dir", type=Path, required=True, help="folder of pred_audio.csv and pred_visual.csv")
    add_truth_flags(parser)


def add_classes_flag(parser, default: Path | None = LLP_CLASSES, or_else: str = "LLP's 25") -> None:
    """`--classes FILE`, for everything that knows classes; `parser` may be a group of one."""
    text = f"YAML list of the event classes, like utils/llp.yaml; if not given, {or_else}"
    parser.add_argument("--classes", type=Path, metavar="FILE", default=default, help=text)


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


def torchrun_rank() -> tuple[int, int]:
    """Rank of this process and number of processes, (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def require_writable(flag: str, path: Path | None, folder: bool = False) -> None:
    """InputError where `path`, if any, is a folder and a file is to be written there, or the other way round."""
    above = next((p for p in path.absolute().parents if p.exists()), None) if path else None
    if above and not above.is_dir():
        raise InputError(f"{flag} {path}: {above} is a file, expected a folder")
    if path and path.exists() and path.is_dir() != folder:
        kinds = ("a folder", "a file") if folder else ("a file", "a folder")
        raise InputError(f"{flag} {path}: is {kinds[1]}, expected {kinds[0]} to write")


def existing_part(path: Path) -> Path:
    """What is there of a path, which may not exist yet: itself, or the nearest folder above it."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def require_room_for_files(flag: str, folder: Path | None) -> None:
    """InputError where nothing can be written in `folder`, or in what is there of its path: before hours of work."""
    if not folder:
        return
    there = existing_part(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{flag} {folder}: nothing can be written in {there} ({error.strerror})") from error


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
    return str(error).strip().splitlines()[-1].removeprefix(f"{InputError.__module__}.InputError: ")


def positive_int(text: str) -> int:
    """argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number of at least 1")
    return value


def non_negative_int(text: str) -> int:
    """argparse type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def non_negative_float(text: str) -> float:
    """argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number of at least 0")
    return value


def seed(text: str) -> int:
    """argparse type: what torch takes as a seed."""
    value = non_negative_int(text)
    if value >= 2**64:
        raise argparse.ArgumentTypeError(f"{value} is not below 2**64")
    return value


def positive_float(text: str) -> float:
    """argparse type: a finite number above 0."""
    value = non_negative_float(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def unit_float(text: str) -> float:
    """argparse type: a number in [0, 1), as Adam's betas are."""
    value = non_negative_float(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value
