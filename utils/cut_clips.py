"""Cut videos of any length into clips of ten seconds, one after the other, and list them for the other tools.

    python utils/cut_clips.py --videos recordings --out data/raw_videos --list data/own.csv

The clip of holiday.mp4 from 20 to 30 s is OUT/holiday_20_30.mp4 (H.264 and AAC, re-encoded so that cuts are exact).
A rest of under a second is left out; a longer one becomes a shorter clip. The list has the columns `filename` and
`event_labels`; the second is for you to fill in. The command can be interrupted; rerun it to resume.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import contextlib
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import atomic_path, require_room_for_files, require_writable, write_text
from utils.base.read_ahead import read_ahead
from utils.extract.runner import Run, Settings
from utils.llp.classes import T
from utils.llp.tables import fits
from utils.llp.videos import SPLIT_COLUMNS
from utils.media.clips import shown_since
from utils.media.ffmpeg import find_ffmpeg, run_ffmpeg
from utils.media.files import MediaFile, list_media
from utils.media.isolated import isolated
from utils.media.timeline import Survey
from utils.media.windows import survey

SHORTEST = 1.0  # seconds of a clip
FASTEST, USUAL = 60, 30  # frames a second; files of varying rate may state thousands
TOLERANCE = 0.5  # seconds by which a clip that exists may be shorter than its name says


def clip_times(seconds: float, length: int) -> list[tuple[int, float]]:
    """Begin and end of the clips of a video, in seconds: whole seconds, except for the end of a short last one."""
    begins = [begin for begin in range(0, int(seconds) + 1, length) if seconds - begin >= SHORTEST]
    ends = [begin + length if seconds > begin + length - TOLERANCE else round(seconds, 2) for begin in begins]
    return list(zip(begins, ends, strict=True))


def clip_name(video: MediaFile, begin: int, end: float) -> str:
    """Name of a clip, without suffix."""
    return f"{video.id}_{begin}_{end:g}"


def is_finished(path: Path, seconds: float) -> bool:
    """Whether a clip exists, is complete, and as long as its name says."""
    try:
        found = survey(path)
    except InputError:
        return False
    return not found.notes and abs(found.seconds - seconds) <= TOLERANCE


def cut(ffmpeg: str, found: Survey, begin: int, end: float, since: float, path: Path) -> None:
    """Write one clip atomically. Raises InputError if ffmpeg fails.

    since: when the frame is shown that the clip begins with; a still picture may last long.
    """
    coding = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "192k", "-f", "mp4"]
    if found.picture:
        rate = found.picture.rate if found.picture.rate and found.picture.rate <= FASTEST else USUAL
        coding += ["-vf", f"fps={rate},scale=trunc(iw/2)*2:trunc(ih/2)*2"]  # H.264 wants even sizes
    for track in filter(None, (found.picture, found.sound)):
        coding += ["-map", f"0:{track.index}"]
    source = (
        "-ss",
        f"{since:.6f}",
        "-i",
        f"file:{found.path}",
        "-ss",
        f"{begin - since:.6f}",
        "-t",
        f"{end - begin:g}",
    )
    with atomic_path(path) as tmp:
        if problem := run_ffmpeg(ffmpeg, "-y", *source, *coding, f"file:{tmp}", start_new_session=True):
            raise InputError(f"{found.path}: ffmpeg failed ({problem})")


def cut_all(ffmpeg: str, video: MediaFile, out: Path, length: int) -> tuple[float, list[str]]:
    """Write the clips of a video that are missing; return its length and their names.

    Raises InputError if the video cannot be decoded.
    """
    found, names = survey(video.path), []
    if found.notes:
        raise InputError(f"{video.path}: {found.notes[0]}")
    clips = clip_times(found.seconds, length)
    [sinces] = isolated(shown_since, video.path, [begin for begin, _ in clips])
    for (begin, end), since in zip(clips, sinces, strict=True):
        names.append(clip_name(video, begin, end))
        path = out / f"{names[-1]}.mp4"
        if not is_finished(path, end - begin):
            cut(ffmpeg, found, begin, end, since, path)
    return found.seconds, names


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="cut_clips.py", description=__doc__)
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of videos of any length")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the clips to")
    parser.add_argument("--length", type=flags.positive_int, default=T, metavar="S", help="seconds of a clip")
    parser.add_argument("--list", type=Path, metavar="FILE", help="CSV to write, with a row for each clip")
    flags.add_extraction_flags(parser)
    return parser


def main(args: argparse.Namespace) -> int:
    """Go through the folder; the exit status is 1 if some videos failed. Raises InputError for bad input."""
    require_writable("--out", args.out, folder=True)
    require_writable("--list", args.list)
    require_room_for_files("--out", args.out)
    videos = [
        video if fits(video.id) else video._replace(problem="its name cannot stand in a CSV file; rename it")
        for video in list_media(args.videos)
    ]
    ffmpeg, names = find_ffmpeg(), []
    with Run("clips", Settings.of(vars(args)), args.out) as run:
        left = run.left_to_do(videos, lambda video: False)  # finished clips are found one by one
        run.begin()
        reads = read_ahead(lambda v: cut_all(ffmpeg, v, args.out, args.length), left, args.workers, 2 * args.workers)
        with contextlib.closing(reads):
            for result in run.readable(reads):
                names += result.value[1]
                run.done(result.video, T)
        status = run.finish()
    if args.list:
        write_text(args.list, "\n".join(["\t".join(SPLIT_COLUMNS), *(f"{name}\t" for name in names), ""]))
        print(f"{args.list}: {len(names)} clips", flush=True)
    return status


if __name__ == "__main__":
    command.run(main, get_args_parser())
