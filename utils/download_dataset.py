"""LLP's videos from their site: of each row its ten seconds, <videos_saved_dir>/<id>.mp4, H.264 and AAC.

    python utils/download_dataset.py --videos_saved_dir ./data/raw_videos --label_all_dataset ./data/example.csv

Clips that already exist and are valid are skipped: the command can be interrupted; rerun it to resume. Many of LLP's
videos are gone: failures.csv in the folder says of each why (removed, private, region, age, blocked, refused, network
...), and the exit status is 1. If a site wants a sign-in ("not a bot"), give --cookies_from_browser firefox or
--cookies FILE.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import contextlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, require_writable
from utils.base.read_ahead import read_ahead
from utils.download import clip_files, clips
from utils.download.clip_files import Clip
from utils.download.clips import ClipDownloader
from utils.extract.runner import Run, Settings
from utils.extract.videos import list_videos
from utils.llp.datasets import LLP, DataSet, read_dataset
from utils.llp.names import clip_times
from utils.llp.videos import Video
from utils.media.ffmpeg import ffmpeg_on_path, find_ffmpeg

YOUTUBE = "https://www.youtube.com/watch?v={id}"
ADVICE = {
    "blocked": "the site has had enough of this machine: wait, take fewer --workers, or give --cookies_from_browser",
    "network": "the network failed; rerun the command",
}


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="download_dataset.py", description=__doc__)
    text = "folder to write <id>.mp4 to"
    parser.add_argument("--videos_saved_dir", type=Path, default="./data/raw_videos", help=text)
    flags.add_list_flag(parser)
    flags.add_dataset_flag(parser)
    site = parser.add_argument_group("site")
    site.add_argument("--url_template", default=YOUTUBE, metavar="URL", help="address of a video, with {id}")
    site.add_argument("--height", type=flags.positive_int, default=360, help="preferred lines of the picture")
    text = "how often to try again if that may help"
    site.add_argument("--retries", type=flags.non_negative_int, default=3, help=text)
    text = "that each worker waits before a video"
    site.add_argument("--sleep", type=flags.non_negative_float, default=0.0, metavar="SECONDS", help=text)
    cookies = site.add_mutually_exclusive_group()
    cookies.add_argument("--cookies", type=Path, metavar="FILE", help="of a browser, in Netscape format")
    cookies.add_argument("--cookies_from_browser", metavar="NAME", help="take them from firefox, chrome, ...")
    flags.add_extraction_flags(parser)
    return parser


def list_clips(paths: Sequence[Path], dataset: DataSet) -> list[Video]:
    """The videos of CSVs; those of LLP whose names have no times have a problem.

    Raises InputError if a file cannot be read, or which seconds of a video are wanted is not known.
    """
    if dataset.seconds and dataset.ids != LLP.ids:
        what = f"its lists do not say which {dataset.seconds} seconds of a video are meant"
        raise InputError(f"{dataset.name}: {what}; get its clips from its authors")
    videos = []
    for video in list_videos(paths, dataset):
        try:
            if not video.problem:
                Clip.of(video)
        except InputError as error:
            where = f"{paths[0]}, line {video.line}: " if len(paths) == 1 else ""
            video = video._replace(problem=f"{where}{error}")
        videos.append(video)
    return videos


def make_downloader(args: argparse.Namespace) -> ClipDownloader:
    """The downloader that the flags describe. Raises InputError for impossible flags."""
    if "{id}" not in args.url_template or not args.url_template.startswith(("http://", "https://")):
        raise InputError(f"--url_template {args.url_template}: expected an address with {{id}}, such as {YOUTUBE}")
    cookies = clips.read_cookies(args.cookies, args.cookies_from_browser)
    return ClipDownloader(args.url_template, find_ffmpeg(), args.height, args.retries, cookies)


def main(args: argparse.Namespace) -> int:
    """Go through the list; the exit status is 1 if some clips failed. Raises InputError for bad input."""
    folder = args.videos_saved_dir
    require_writable("--videos_saved_dir", folder, folder=True)
    downloader = make_downloader(args)
    dataset = read_dataset(args.dataset)
    videos = list_clips(args.label_all_dataset or dataset.lists, dataset)

    def read(video: Video) -> float:
        downloader.stopped.wait(args.sleep)
        return downloader.fetch(Clip.of(video), folder / f"{video.id}.mp4")

    def is_finished(video: Video) -> bool:
        times = clip_times(video.filename) if dataset.ids == LLP.ids else None
        return clip_files.is_finished(folder / f"{video.id}.mp4", times)

    kinds = Counter()
    with Run("videos", Settings.of(vars(args)), folder) as run:
        left = run.left_to_do(videos, is_finished)
        for video in run.part:
            if not video.problem:  # remove what a killed run left
                shutil.rmtree(folder / f"{video.id}.mp4{TMP_SUFFIX}", ignore_errors=True)
        kinds["bad row"] = len(run.bad)
        run.begin()
        reads = read_ahead(read, left, args.workers, 2 * args.workers, downloader.stop)
        with ffmpeg_on_path(downloader.ffmpeg), contextlib.closing(reads):
            for result in reads:
                if not result.problem:
                    run.done(result.video, result.value)
                    continue
                kind = getattr(result.error, "kind", "other")
                if kind == "disk":  # every further video would fail, too
                    raise InputError(f"{folder}: {result.problem}")
                kinds[kind] += 1
                run.fail(result.video, result.problem)
        status = run.finish()
    print_reasons(kinds)
    return status


def print_reasons(kinds: Counter) -> None:
    """Say why clips failed, and what can be done."""
    if why := ", ".join(f"{count} {kind}" for kind, count in kinds.most_common() if count):
        print(f"why: {why}")
    for kind in filter(ADVICE.get, kinds):
        print(f"{kind}: {ADVICE[kind]}")


if __name__ == "__main__":
    command.run(main, get_args_parser())
