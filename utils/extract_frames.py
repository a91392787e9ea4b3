"""JPEG frames of videos, 8 a second: <video_path>/<id>.mp4 -> <out_dir>/<id>/000001.jpg, 000002.jpg, ...

    python utils/extract_frames.py --video_path ./data/raw_videos --out_dir ./data/video_frames

As the published frames were made: `ffmpeg -i <id>.mp4 -r 8 %06d.jpg`, by the system's ffmpeg, else by the one that the
imageio-ffmpeg package brings. A folder appears when it is complete. The command can be interrupted; rerun it to resume.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import contextlib
import os
import re
import shutil
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, require_writable
from utils.base.read_ahead import read_ahead
from utils.extract.runner import Run, Settings
from utils.llp.classes import FPS
from utils.media.clips import EXTENT, describe_picture
from utils.media.ffmpeg import find_ffmpeg, run_ffmpeg
from utils.media.files import VIDEO_SUFFIXES, list_media
from utils.media.frames import is_complete_jpeg
from utils.media.isolated import isolated

FRAME_NAME = "%06d.jpg"
LEAST_PATIENCE, PATIENCE = 600, 20  # seconds that ffmpeg may take, and more for each second of the video


def is_finished(folder: Path) -> bool:
    """Whether `folder` holds frames 1 to n, none empty, the first and the last with a JPEG's beginning and end."""
    try:
        with os.scandir(folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jpg")}
    except (FileNotFoundError, NotADirectoryError):
        return False
    names = [FRAME_NAME % number for number in range(1, len(sizes) + 1)]
    if not names or not all(sizes.get(name) for name in names):
        return False
    return all(is_complete_jpeg((folder / name).read_bytes()) for name in {names[0], names[-1]})


def require_no_others(folder: Path) -> None:
    """Raise InputError if `folder`, which is to be replaced, holds other files than frames of this program."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not re.fullmatch(rf"\d{{6}}\.jpg|{re.escape(EXTENT)}|\..*|Thumbs\.db", path.name):
            raise InputError(f"{folder}: holds {path.name}, which is no frame of this program; remove the folder first")


def extract(ffmpeg: str, video: Path, folder: Path) -> float:
    """Write the frames of `video` to `folder`, atomically, and return the seconds they cover.

    Raises InputError if it cannot be decoded, has no picture, or ends early.
    """
    require_no_others(folder)
    [(track, seconds, extent)] = isolated(describe_picture, video)  # ffmpeg does not complain about a truncated file
    tmp = folder.with_name(folder.name + TMP_SUFFIX)
    if tmp.is_symlink():  # none of ours, but in our place
        tmp.unlink()
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    try:
        # In the folder, since a % in its name would be taken for part of the pattern; in a session of its own, since
        # Ctrl-C is for this process to handle.
        source = f"file:{video.resolve()}"
        flags = ("-i", source, "-map", f"0:{track}", "-r", str(FPS), FRAME_NAME)
        options = {"cwd": tmp, "start_new_session": True, "timeout": LEAST_PATIENCE + PATIENCE * seconds}
        if problem := run_ffmpeg(ffmpeg, *flags, **options):
            raise InputError(f"{video}: ffmpeg failed ({problem})")
        count = len(list(tmp.iterdir()))
        if extent:
            (tmp / EXTENT).write_text(extent)
        if not is_finished(tmp):
            raise InputError(f"{video}: ffmpeg wrote {count} frames, not all of them complete; is the disk full?")
        if folder.exists():  # damaged
            shutil.rmtree(folder)
        tmp.rename(folder)
        return count / FPS
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="extract_frames.py", description=__doc__)
    parser.add_argument("--video_path", type=Path, default="./data/raw_videos", help="folder of <id>.mp4")
    text = "folder to write <id>/000001.jpg ... to"
    parser.add_argument("--out_dir", type=Path, default="./data/video_frames", help=text)
    flags.add_extraction_flags(parser)
    return parser


def main(args: argparse.Namespace) -> int:
    """Go through the folder; the exit status is 1 if some videos failed. Raises InputError for bad input."""
    require_writable("--out_dir", args.out_dir, folder=True)
    videos = list_media(args.video_path, VIDEO_SUFFIXES)
    ffmpeg = find_ffmpeg()
    with Run("frames", Settings.of(vars(args)), args.out_dir) as run:
        left = run.left_to_do(videos, lambda video: is_finished(args.out_dir / video.id))
        run.begin()
        reads = read_ahead(lambda v: extract(ffmpeg, v.path, args.out_dir / v.id), left, args.workers, 2 * args.workers)
        with contextlib.closing(reads):
            for result in run.readable(reads):
                run.done(result.video, result.value)
        return run.finish()


if __name__ == "__main__":
    command.run(main, get_args_parser())
