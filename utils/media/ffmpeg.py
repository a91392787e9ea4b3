"""The ffmpeg program."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.base.errors import InputError


def find_ffmpeg() -> str:
    """Path of the ffmpeg program: the system's, else that of imageio-ffmpeg. Raises InputError if there is neither."""
    if system := shutil.which("ffmpeg"):
        return system
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError("found no ffmpeg; install it, or pip install imageio-ffmpeg") from error


def run_ffmpeg(program: str, *flags: str, **options) -> str:
    """Run ffmpeg, with `options` of subprocess.run, and return the last line of its complaint, '' if it succeeds."""
    command = [program, "-nostdin", "-v", "error", *flags]
    try:
        result = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, **options)
    except subprocess.TimeoutExpired as error:
        return f"it did not end within {error.timeout:.0f} s"
    if result.returncode == 0:
        return ""
    return (result.stderr.decode(errors="replace").strip().splitlines() or [f"status {result.returncode}"])[-1]


@contextlib.contextmanager
def ffmpeg_on_path(ffmpeg: str) -> Iterator[None]:
    """Let yt-dlp find `ffmpeg` if the system has none: it looks for the name alone before it fetches a section."""
    if shutil.which("ffmpeg"):
        yield
        return
    before = os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ffmpeg").symlink_to(ffmpeg)
        os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before
