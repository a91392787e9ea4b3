"""Ten seconds of a video from a site, by yt-dlp: H.264 and AAC in an mp4, whole or not at all (spec, section 10)."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import yt_dlp
from yt_dlp.cookies import YoutubeDLCookieJar, extract_cookies_from_browser
from yt_dlp.utils import DownloadError, YoutubeDLError, download_range_func

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX
from utils.llp.classes import FPS, T
from utils.llp.videos import Video
from utils.media.files import open_media
from utils.media.frames import frame_times

NO_SOUND = "has no audio track"
CODECS = {"video": "h264", "audio": "aac"}
TIMEOUT = 30  # seconds without a byte
FIRST_WAIT = 2.0  # seconds before the first repetition, doubled for each further one
SLACK = 0.5  # seconds that a clip may lack: videos end between frames
CUT_SLACK = 1.5  # that one may lack which was cut at the end of a whole file: its sound may go on after the picture
# What yt-dlp and the sites say -> the kind of reason; the first that fits. Those in TRY_AGAIN may pass.
REASONS = {
    "disk": r"no space left|file too large|quota exceeded|permission denied|read-only file system",
    "age": r"confirm your age|age.restricted|inappropriate for some users",
    "region": r"your country|your region|your location|geo.?restrict|not available from your",
    "private": r"private|members.only|join this channel|only available to|log in|login required|payment",
    "blocked": r"not a bot|\b429\b|too many requests|rate.?limit|captcha",
    "no video": r"unsupported url|requested format|no (video )?formats|live event|premieres",
    "removed": r"\b404\b|\b410\b|removed|no longer available|terminated|deleted|(un|not )available|does not exist",
    "refused": r"\b401\b|\b403\b|forbidden",
    "network": r"timed? ?out|connection|resolve|unreachable|\b5\d\d\b|more expected|incomplete|network|ssl|reset",
}
TRY_AGAIN = ("network", "blocked")


class Unavailable(InputError):
    """A video cannot be had; `kind`: one of REASONS, or another word."""

    def __init__(self, kind: str, text: str):
        super().__init__(f"{kind}: {text}")
        self.kind = kind

    @classmethod
    def because(cls, error: Exception) -> "Unavailable":
        """From what yt-dlp raised."""
        text = " ".join(str(error).split()).removeprefix("ERROR: ")
        text = re.sub(r"^\[[^]]*\] (\S+: )?", "", text)  # the part of yt-dlp and the video that it speaks of
        text = re.sub(r" \(caused by .*|; please report this issue.*|\. Use --.*| See  ?https?:.*", "", text)
        kind = next((kind for kind, pattern in REASONS.items() if re.search(pattern, text, re.IGNORECASE)), "other")
        return cls(kind, text[:200])


class Clip(NamedTuple):
    """Which ten seconds of which video, by a name such as BjCEufrlXm4_20_30."""

    name: str  # of the video, at its site
    start: float  # seconds

    @classmethod
    def of(cls, video: Video) -> "Clip":
        """From a row of LLP's CSVs; InputError for a name without times."""
        times = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", video.filename)
        if not times or float(times[2]) >= float(times[3]):
            raise InputError(f"{video.filename!r} does not end in start and end in seconds, as BjCEufrlXm4_20_30 does")
        return cls(times[1], float(times[2]))


def check_clip(path: Path) -> float:
    """Length in seconds of a sound mp4; InputError where it is none, is cut off, or lacks H.264 or AAC."""
    with open_media(path) as container:
        found = {kind: container.streams.best(kind) for kind in CODECS}
        for kind, codec in CODECS.items():
            if found[kind] is None:
                raise InputError(f"{path}: {NO_SOUND if kind == 'audio' else 'has no picture'}")
            if found[kind].codec_context.name != codec:
                raise InputError(f"{path}: its {kind} is {found[kind].codec_context.name}, expected {codec}")
        if "mp4" not in container.format.name:
            raise InputError(f"{path}: is {container.format.name}, expected mp4")
    return check_length(path)


def check_length(path: Path) -> float:
    """Seconds until the last frame of a video ends, 0 where it has none; InputError where it is no media file."""
    with open_media(path) as container:
        video = container.streams.best("video")
        times = frame_times(container) if video else []
        return float(times[-1]) + 1 / float(video.guessed_rate or FPS) if times else 0.0


def is_finished(path: Path) -> bool:
    """Whether a file is there and is a clip as it should be."""
    try:
        check_clip(path)
    except (InputError, OSError):
        return False
    return True


def remove_leftovers(folder: Path, ids: Collection[str]) -> None:
    """Remove what a killed run left of the videos `ids`."""
    suffix = f".mp4{TMP_SUFFIX}"
    for path in folder.glob(f"*{suffix}"):
        if path.name.removesuffix(suffix) in ids:
            shutil.rmtree(path)


def read_cookies(path: Path | None, browser: str | None) -> str:
    """Cookies of a Netscape file or of a browser on this machine, as the text of such a file; '' for neither.

    Raises InputError where there are none.
    """
    if not path and not browser:
        return ""
    if path and not path.is_file():
        raise InputError(f"--cookies {path}: no such file")
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # yt-dlp prints a warning for each line that is none
            jar = YoutubeDLCookieJar(str(path)) if path else extract_cookies_from_browser(browser, logger=Quiet())
            if path:
                jar.load()
        if not len(jar):
            raise ValueError("holds no cookies")
        jar.save(text)
    except Exception as error:  # whatever a browser's files make of the code that reads them
        given = f"--cookies {path}" if path else f"--cookies_from_browser {browser}"
        raise InputError(
            f"{given}: {' '.join(str(error).split())[:200]}; expected a Netscape cookie file, or the name "
            "of a browser with a profile on this machine"
        ) from error
    return text.getvalue()


class CannotSeek(Exception):
    """A site does not give parts of a video, or not in a way that ffmpeg can use."""


class Quiet:
    """yt-dlp's logger: what is wrong arrives as an exception, too."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = warning = error = debug

    def progress_bar(self):
        """None, for cookies are read without one."""


class Site(yt_dlp.YoutubeDL):
    """yt-dlp that writes to one folder, whatever its name: yt-dlp itself would look for variables after a `$`."""

    def __init__(self, options: dict, folder: Path):
        self.folder = folder
        super().__init__(options)

    def get_output_path(self, dir_type="", filename=None):
        return str(self.folder / filename) if filename else str(self.folder)


class ClipDownloader:
    """Fetches clips, several at a time from threads.

    Args:
        url_template: address of a video, with {id}.
        ffmpeg: path of the program.
        height: lines of the picture that are preferred, the next smaller ones else.
        retries: how often what may pass is tried again.
        cookies: the text of a cookie file, '' for none.
    """

    def __init__(self, url_template: str, ffmpeg: str, height: int = 360, retries: int = 3, cookies: str = ""):
        self.url_template, self.ffmpeg, self.retries, self.cookies = url_template, ffmpeg, retries, cookies
        self.stopped = threading.Event()
        self.options = {
            "quiet": True,  # of ffmpeg, too
            "noprogress": True,
            "logger": Quiet(),
            "progress_hooks": [self._check_stopped],
            "match_filter": lambda info, **_: self._check_stopped(),  # between asking about a video and fetching it
            "noplaylist": True,
            "format": "bv*+ba/b",
            "format_sort": [f"res:{height}", "vcodec:h264", "acodec:aac", "ext:mp4:m4a"],
            "fixup": "never",
            "ffmpeg_location": ffmpeg,
            "retries": retries,
            "fragment_retries": retries,
            "socket_timeout": TIMEOUT,
            "outtmpl": {"default": "video.%(ext)s"},
        }

    def stop(self) -> None:
        """Let what is being fetched fail soon."""
        self.stopped.set()

    def _check_stopped(self, status: dict | None = None) -> None:
        if self.stopped.is_set():
            raise Unavailable("stopped", "by the user")

    def fetch(self, clip: Clip, path: Path) -> float:
        """Write `clip` to `path` and return its length in seconds. Raises Unavailable where it cannot be had."""
        if path.is_dir():
            raise Unavailable("other", f"{path} is a folder")
        folder = path.with_name(path.name + TMP_SUFFIX)
        shutil.rmtree(folder, ignore_errors=True)
        wait = FIRST_WAIT
        try:
            for tries_left in range(self.retries, -1, -1):
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    seconds, made = self._fetch(clip, folder)
                    os.replace(made, path)
                    return seconds
                except Unavailable as error:
                    if error.kind not in TRY_AGAIN or not tries_left:
                        raise
                self.stopped.wait(wait)
                self._check_stopped()
                wait *= 2
            raise AssertionError("unreachable")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, clip: Clip, folder: Path) -> tuple[float, Path]:
        """Only the ten seconds, where the site gives parts of a video; else the whole, of which they are cut."""
        made = self._fetch_section(clip, folder)
        if made is None:
            source, _ = self._download(clip, folder / "whole", only_section=False)
            made = self._cut(source, clip.start, folder)
        try:
            return check_clip(made), made
        except InputError as error:
            text = str(error).removeprefix(f"{made}: ")
            raise Unavailable("no sound" if text == NO_SOUND else "damaged", f"the video {text}") from error

    def _fetch_section(self, clip: Clip, folder: Path) -> Path | None:
        """The ten seconds alone; None where the site does not give them, or not all of them."""
        try:
            source, length = self._download(clip, folder / "section", only_section=True)
            made = source if is_finished(source) else self._cut(source, 0, folder)
            seconds = check_clip(made)
        except Unavailable as error:
            if error.kind in ("damaged", "too short"):
                return None
            raise
        except (CannotSeek, InputError):
            return None
        wanted = min(T, length - clip.start) if length else T
        # else the video ends there, or the connection did, which ffmpeg does not tell
        return made if seconds >= wanted - SLACK else None

    def _download(self, clip: Clip, folder: Path, only_section: bool) -> tuple[Path, float | None]:
        """The file that yt-dlp wrote, and the length in seconds of the whole video, if it knows it.

        Raises CannotSeek where ffmpeg, which fetches sections, could not.
        """
        self._check_stopped()
        folder.mkdir(exist_ok=True)
        options = dict(self.options)
        if self.cookies:
            options["cookiefile"] = io.StringIO(self.cookies)  # its own: yt-dlp writes to it
        if only_section:
            section = (clip.start, clip.start + T)
            options |= {"download_ranges": download_range_func(None, [section]), "force_keyframes_at_cuts": True}
        url = self.url_template.replace("{id}", urllib.parse.quote(clip.name, safe=""))
        try:
            with Site(options, folder.absolute()) as site:
                info = site.extract_info(url)
        except (DownloadError, YoutubeDLError) as error:
            self._check_stopped()
            if only_section and "ffmpeg exited" in str(error):
                raise CannotSeek from error
            raise Unavailable.because(error) from error
        files = [file for file in folder.iterdir() if file.suffix != ".part"]
        if len(files) != 1:
            raise Unavailable("no video", f"{url} gave {len(files)} files, expected one")
        return files[0], info.get("duration")

    def _cut(self, source: Path, start: float, folder: Path) -> Path:
        """Ten seconds of a file, made H.264 and AAC."""
        try:
            with open_media(source) as container:
                length = (container.duration or 0) / av.time_base
        except InputError as error:
            raise Unavailable("damaged", f"the video {str(error).removeprefix(f'{source}: ')}") from error
        if length and length <= start:
            raise Unavailable("too short", f"the video lasts {length:.1f} s, and the clip begins at {start:g} s")
        made = folder / "clip.mp4"
        command = [self.ffmpeg, "-nostdin", "-v", "error", "-y", "-ss", str(start), "-t", str(T)]
        command += ["-i", f"file:{source}", "-map", "0:v:0", "-map", "0:a:0?"]
        command += ["-c:v", "libx264", "-c:a", "aac", f"file:{made}"]
        result = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
        if result.returncode:
            self._check_stopped()
            lines = result.stderr.decode(errors="replace").strip().splitlines() or [f"status {result.returncode}"]
            raise Unavailable("damaged", f"ffmpeg failed ({lines[-1][:200]})")
        seconds = check_length(made)
        if length and seconds < min(T, length - start) - CUT_SLACK:
            raise Unavailable("damaged", f"{seconds:.1f} s came of a clip of {min(T, length - start):.1f} s")
        return made


@contextlib.contextmanager
def ffmpeg_on_path(ffmpeg: str, folder: Path) -> Iterator[None]:
    """Let yt-dlp find `ffmpeg` where the system has none: it looks for the name alone before it fetches a section."""
    if shutil.which("ffmpeg"):
        yield
        return
    (folder / "ffmpeg").symlink_to(ffmpeg)
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
