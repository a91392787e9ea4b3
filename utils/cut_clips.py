"""Cut videos of any length into clips of ten seconds, one after the other, and list them for the other tools.

    python utils/cut_clips.py --videos recordings --out data/raw_videos --list data/own.csv

The clip of holiday.mp4 from 20 to 30 s is OUT/holiday_20_30.mp4 (H.264 and AAC, re-encoded so that cuts are exact).
A rest of under a second is left out; a longer one becomes a shorter clip. A clip has the tracks that are there in its
seconds; a note names the clips without a picture, or sound, that the video has elsewhere. The list has the columns
`filename` and `event_labels`; the second is for you to fill in. The command can be interrupted; rerun it to resume.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
from utils.media.timeline import CLIP_SLACK, Survey, presence
from utils.media.tracks import TOLERANCE, Track
from utils.media.windows import survey

SHORTEST = 1.0  # seconds of a clip
FASTEST, USUAL = 60, 30  # frames a second; files of varying rate may state thousands
SHOWN = 5  # names of clips that lack a track


class Clip(NamedTuple):
    """A clip of a video.

    Attributes:
        name: without suffix.
        begin, end: seconds of the video.
        tracks: the tracks of the video that are there in these seconds, by `picture` and `sound`.
    """

    name: str
    begin: int
    end: float
    tracks: dict[str, Track]

    def end_of(self, track: Track) -> float:
        """When a track of the video ends in the clip, in its seconds: it may end before the clip, or have a gap."""
        return max(min(end, self.end) for begin, end in track.spans if begin < self.end) - self.begin


class Cut(NamedTuple):
    """What became of a video.

    Attributes:
        names: of its clips.
        made: how many of them were written, and did not exist before.
        lacking: names of clips without a track that the video has, by `picture` and `sound`.
    """

    names: list[str]
    made: int
    lacking: dict[str, list[str]]


def clip_times(seconds: float, length: int) -> list[tuple[int, float]]:
    """Begin and end of the clips of a video, in seconds: whole seconds, except for the end of a short last one."""
    begins = [begin for begin in range(0, int(seconds) + 1, length) if seconds - begin >= SHORTEST]
    ends = [begin + length if seconds > begin + length - CLIP_SLACK else round(seconds, 2) for begin in begins]
    return list(zip(begins, ends, strict=True))


def find_clips(video: MediaFile, found: Survey, length: int) -> list[Clip]:
    """The clips of a video; none of seconds in which it has neither picture nor sound.

    Raises InputError if there are none.
    """
    clips = []
    for begin, end in clip_times(found.seconds, length):
        edges = np.array([begin, end])
        tracks = {"picture": found.picture, "sound": found.sound}
        tracks = {kind: track for kind, track in tracks.items() if track and presence(track.spans, edges)[0]}
        if tracks:
            clips.append(Clip(f"{video.id}_{begin}_{end:g}", begin, end, tracks))
    if not clips:
        raise InputError(f"{video.path}: lasts {found.seconds:.2f} s; expected at least {SHORTEST:g} s for a clip")
    return clips


def clip_problem(path: Path, clip: Clip) -> str:
    """Why a file is not the clip, '' if it is: complete, with its tracks, and as long as it has to be."""
    try:
        found = survey(path)
    except InputError as error:
        return str(error)
    slowest = min((track.rate for track in clip.tracks.values() if track.rate), default=USUAL)
    slack = max(CLIP_SLACK, 1 / float(slowest))  # a slow video's last frame lasts long
    if found.seconds > clip.end - clip.begin + slack:
        return f"it lasts {found.seconds:.2f} s, expected {clip.end - clip.begin:.2f} s"
    for kind, track in clip.tracks.items():
        own, expected = getattr(found, kind), clip.end_of(track)
        end = own.end if own else 0.0
        if end < expected - slack:
            return f"its {kind} ends at {end:.2f} s, expected {expected:.2f} s"
    return found.notes[0] if found.notes else ""


def cut(ffmpeg: str, found: Survey, clip: Clip, since: float, path: Path) -> None:
    """Write one clip atomically. Raises InputError if ffmpeg fails, or does not write the whole clip.

    since: when the frame is shown that the clip begins with; a still picture may last long. 0 before the first frame: a
        seek would lose the sound before it.
    """
    coding = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "192k", "-f", "mp4"]
    if "picture" in clip.tracks:
        rate = found.picture.rate if found.picture.rate and found.picture.rate <= FASTEST else USUAL
        filters = f"fps={rate},scale=trunc(iw/2)*2:trunc(ih/2)*2"  # H.264 wants even sizes
        if found.picture.held:  # ffmpeg ends it with the last change
            filters += f",tpad=stop_mode=clone:stop_duration={found.picture.held:.6f}"
        coding += ["-vf", filters]
        if all(begin > clip.begin + TOLERANCE for begin, end in found.picture.spans if end > clip.begin):
            coding += ["-fps_mode", "vfr"]  # ffmpeg 5.1 would show the first frame before it is there
    for track in clip.tracks.values():
        coding += ["-map", f"0:{track.index}"]
    if found.begins_again:  # ffmpeg seeks by the times of the packets, which say nothing then: it reads from the start
        since = 0.0
    seek = ("-ss", f"{since:.6f}") if since else ()
    times = ("-ss", f"{clip.begin - since:.6f}", "-t", f"{clip.end - clip.begin:g}")
    with atomic_path(path) as tmp:
        flags = (*seek, "-i", f"file:{found.path}", *times, *coding, f"file:{tmp}")
        if problem := run_ffmpeg(ffmpeg, "-y", *flags, start_new_session=True):
            raise InputError(f"{found.path}: ffmpeg failed ({problem})")
        if problem := clip_problem(tmp, clip):
            problem = problem.removeprefix(f"{tmp}: ")
            raise InputError(f"{found.path}: ffmpeg did not write {path.name} as it should be ({problem})")


def cut_all(ffmpeg: str, video: MediaFile, out: Path, length: int) -> Cut:
    """Write the clips of a video that are missing.

    Raises InputError if the video cannot be decoded, is too short for a clip, or ffmpeg does not write one.
    """
    found = survey(video.path)
    if found.notes:
        raise InputError(f"{video.path}: {found.notes[0]}")
    clips = find_clips(video, found, length)
    missing = [clip for clip in clips if clip_problem(out / f"{clip.name}.mp4", clip)]
    if missing:
        [sinces] = isolated(shown_since, video.path, [clip.begin for clip in missing])
        for clip, since in zip(missing, sinces, strict=True):
            cut(ffmpeg, found, clip, since, out / f"{clip.name}.mp4")
    tracks = {"picture": found.picture, "sound": found.sound}
    lacking = {kind: [c.name for c in clips if track and kind not in c.tracks] for kind, track in tracks.items()}
    return Cut([clip.name for clip in clips], len(missing), lacking)


def note_lacking(cuts: Sequence[Cut]) -> None:
    """Say, on the standard error stream, which clips lack a track that their video has elsewhere."""
    for kind in ("picture", "sound"):
        names = [name for cut in cuts for name in cut.lacking[kind]]
        if names:
            more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            text = f"clips have no {kind}, because their videos have none there: {', '.join(names[:SHOWN])}{more}"
            print(f"note: {len(names)} {text}", file=sys.stderr)


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
    ffmpeg, cuts = find_ffmpeg(), []
    with Run("clips", Settings.of(vars(args)), args.out) as run:
        left = run.left_to_do(videos, lambda video: False)  # finished clips are found one by one
        run.begin()
        reads = read_ahead(lambda v: cut_all(ffmpeg, v, args.out, args.length), left, args.workers, 2 * args.workers)
        with contextlib.closing(reads):
            for result in run.readable(reads):
                cuts.append(result.value)
                if result.value.made:
                    run.done(result.video, T)
                else:
                    run.skip(result.video)
        status = run.finish()
    note_lacking(cuts)
    if args.list:
        names = [name for cut in cuts for name in cut.names]
        write_text(args.list, "\n".join(["\t".join(SPLIT_COLUMNS), *(f"{name}\t" for name in names), ""]))
        print(f"{args.list}: {len(names)} clips", flush=True)
    return status


if __name__ == "__main__":
    command.run(main, get_args_parser())
