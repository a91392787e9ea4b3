"""Progress bars: what is printed while one is shown has lines of its own, and videos move it one by one."""

import io
import logging
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from utils.base.npy import Layout
from utils.base.progress import tqdm
from utils.extract.outputs import Extractor, Output, extract
from utils.extract.runner import Run, Settings
from utils.llp.videos import Video

MESSAGES = ("printed", "logged", "from a thread")


def screen(text: str) -> list[str]:
    """The lines that a terminal shows. A carriage return goes to the start of the line, ESC [ A to the line above."""
    lines, row, column = [""], 0, 0
    for sign in re.findall(r"\x1b\[A|.", text, re.DOTALL):
        if sign == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif sign == "\r":
            column = 0
        elif sign == "\x1b[A":
            row -= 1
        else:
            lines[row] = lines[row].ljust(column)[:column] + sign + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def say_all() -> None:
    print(MESSAGES[0], file=sys.stderr)
    logging.getLogger().warning(MESSAGES[1])
    thread = threading.Thread(target=lambda: print(MESSAGES[2], file=sys.stderr))
    thread.start()
    thread.join()


@pytest.mark.parametrize("bars", [1, 2])
def test_what_is_printed_shares_no_line_with_a_bar(monkeypatch, bars):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(stream)])
    shown = [tqdm(total=3, desc=f"bar {i}", mininterval=0, leave=i == 0) for i in range(bars)]
    for _ in range(3):
        shown[0].update()
        say_all()
    for bar in reversed(shown):
        bar.close()
    assert sys.stderr is stream and logging.root.handlers[0].stream is stream
    print("afterwards", file=sys.stderr)
    lines = screen(stream.getvalue())
    for message in MESSAGES:
        assert lines.count(message) == 3, lines
    assert lines.count("afterwards") == 1
    assert sum(line.startswith("bar 0: 100%") and "| 3/3 [" in line for line in lines) == 1  # the last state stays


def test_a_bar_that_is_not_shown_redirects_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    bar = tqdm([1, 2], disable=True)
    assert sys.stderr is stream and list(bar) == [1, 2] and not stream.getvalue()


def test_an_error_inside_a_bar_ends_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with pytest.raises(ZeroDivisionError), tqdm(total=2):
        1 / 0  # noqa: B018
    assert sys.stderr is stream


class Recorder(Extractor):
    """Zeros, and how many videos the network got at once."""

    def __init__(self, on_gpu: bool):
        self.on_gpu, self.batches = on_gpu, []

    def read(self, video):
        return 0, 10.0

    def compute(self, contents, videos):
        self.batches.append(len(videos))
        return [{"--out": np.zeros((2, 2), np.float32)} for _ in videos]


@pytest.mark.parametrize(
    ("on_gpu", "given", "sizes"), [(False, None, [1] * 10), (True, None, [8, 2]), (False, 4, [4, 4, 2])]
)
def test_each_video_moves_the_bar_and_on_the_cpu_alone(tmp_path, monkeypatch, on_gpu, given, sizes):
    moves, count = [], Run._count

    def counted(self, *args):
        before = self.bar.n
        count(self, *args)
        moves.append((self.bar.n - before, len(recorder.batches)))

    monkeypatch.setattr(Run, "_count", counted)
    recorder, videos = Recorder(on_gpu), [Video(i, f"v{i}", None, "") for i in range(10)]
    outputs = {"--out": Output(tmp_path / "out", Layout((2,), 2, np.float32, "zeros"))}
    assert extract("toy", recorder, videos, outputs, Settings(1, batch_size=given, gpu_batch=8)) == 0
    assert recorder.batches == sizes and len(list(Path(tmp_path / "out").iterdir())) == 10
    assert moves == [(1, batch) for batch, size in enumerate(sizes, 1) for _ in range(size)]
