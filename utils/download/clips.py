"""Ten seconds of a video from a site, by yt-dlp: H.264 and AAC in an mp4, written atomically."""

import contextlib
import io
import itertools
import os
import re
import shutil
import threading
import urllib.parse
from pathlib import Path

import av
import yt_dlp
from yt_dlp.cookies import YoutubeDLCookieJar, extract_cookies_from_browser
from yt_dlp.utils import YoutubeDLError, download_range_func

from utils.base.errors import InputError
from utils.base.files import TMP_SUFFIX, size_text
from utils.download.clip_files import NO_SOUND, Clip, check_clip, check_length, is_finished
from utils.download.watch import TooSlow, run_watched
from utils.llp.classes import T
from utils.media.ffmpeg import run_ffmpeg
from utils.media.files import open_media

TIMEOUT = 30  # seconds without a byte
FIRST_WAIT = 2.0  # seconds before the first retry, doubled for each further one
LARGEST = 20_000_000_000  # bytes of a whole video
SLACK = 0.5  # seconds that a clip may lack: videos end between frames
CUT_SLACK = 1.5  # seconds that a clip cut at the end of a file may lack: the sound may outlast the picture
# kind of reason -> what yt-dlp and the sites say; the first that matches. Those in TRY_AGAIN may pass.
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
    """A video cannot be downloaded; `kind`: one of REASONS, or another word."""

    def __init__(self, kind: str, text: str):
        super().__init__(f"{kind}: {text}")
        self.kind = kind

    @classmethod
    def because(cls, error: Exception) -> "Unavailable":
        """From an error of yt-dlp."""
        text = " ".join(str(error).split()).removeprefix("ERROR: ")
        text = re.sub(r"^\[[^]]*\] (\S+: )?", "", text)  # the extractor and the video
        text = re.sub(r" \(caused by .*|; please report this issue.*|\. Use --.*| See  ?https?:.*", "", text)
        kind = next((kind for kind, pattern in REASONS.items() if re.search(pattern, text, re.IGNORECASE)), "other")
        return cls(kind, text[:200])


def read_cookies(path: Path | None, browser: str | None) -> str:
    """Cookies of a Netscape file or of a browser on this machine, as the text of such a file; '' for neither.

    Raises InputError if there are none.
    """
    if not path and not browser:
        return ""
    if path and not path.is_file():
        raise InputError(f"--cookies {path}: no such file")
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # yt-dlp prints a warning for each line that is no cookie
            jar = YoutubeDLCookieJar(str(path)) if path else extract_cookies_from_browser(browser, logger=Quiet())
            if path:
                jar.load()
        if not len(jar):
            raise ValueError("holds no cookies")
        jar.save(text)
    except Exception as error:  # a browser's files may make the code that reads them raise anything
        given = f"--cookies {path}" if path else f"--cookies_from_browser {browser}"
        expected = "expected a Netscape cookie file, or the name of a browser with a profile on this machine"
        raise InputError(f"{given}: {' '.join(str(error).split())[:200]}; {expected}") from error
    return text.getvalue()


class Quiet:
    """A silent logger for yt-dlp, whose errors are exceptions, too."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = warning = error = debug

    def progress_bar(self):
        """None: cookies are read without one."""


class Site(yt_dlp.YoutubeDL):
    """yt-dlp that writes to one folder of any name: yt-dlp itself would expand variables after a `$`."""

    def __init__(self, options: dict, folder: Path):
        self.folder = folder
        super().__init__(options)

    def get_output_path(self, dir_type: str = "", filename: str | None = None) -> str:
        """Path of a file in the folder, or of the folder."""
        return str(self.folder / filename) if filename else str(self.folder)


class ClipDownloader:
    """Fetches clips, several at a time from threads.

    Args:
        url_template: address of a video, with {id}.
        ffmpeg: path of the program.
        height: preferred lines of the picture, else the next smaller ones.
        retries: for reasons that may pass.
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
            "match_filter": lambda info, **_: self._check_stopped(),  # before a video is fetched
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
        """Cancel downloads in progress."""
        self.stopped.set()

    def _check_stopped(self, status: dict | None = None) -> None:
        if self.stopped.is_set():
            raise Unavailable("stopped", "by the user")
        if status and (status.get("downloaded_bytes") or 0) > LARGEST:
            raise Unavailable("too large", f"the site sends more than {size_text(LARGEST)}")

    def fetch(self, clip: Clip, path: Path) -> float:
        """Write `clip` to `path` and return its length in seconds. Raises Unavailable if it cannot be downloaded."""
        if path.is_dir():
            raise Unavailable("other", f"{path} is a folder")
        folder = path.with_name(path.name + TMP_SUFFIX)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for attempt in itertools.count():
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    seconds, made = self._fetch(clip, folder)
                    os.replace(made, path)
                    return seconds
                except Unavailable as error:
                    if error.kind not in TRY_AGAIN or attempt == self.retries:
                        raise
                self.stopped.wait(FIRST_WAIT * 2**attempt)
                self._check_stopped()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, clip: Clip, folder: Path) -> tuple[float, Path]:
        """Only the ten seconds if the site serves parts of a video, else a cut of the complete one, or all of that."""
        made = self._fetch_section(clip, folder) if clip.seconds else None
        if made is None:
            source, _ = self._download(clip, folder / "whole", only_section=False)
            keep = clip.seconds is None and is_finished(source)
            made = source if keep else self._cut(source, clip, folder)
        try:
            return check_clip(made), made
        except InputError as error:
            text = str(error).removeprefix(f"{made}: ")
            raise Unavailable("no sound" if text == NO_SOUND else "damaged", f"the video {text}") from error

    def _fetch_section(self, clip: Clip, folder: Path) -> Path | None:
        """The ten seconds alone; None if the site does not serve them, or not all of them."""
        try:
            source, length = self._download(clip, folder / "section", only_section=True)
            made = source if is_finished(source) else self._cut(source, clip._replace(start=0), folder)
            seconds = check_clip(made)
        except InputError as error:
            if getattr(error, "kind", "damaged") in ("damaged", "too short", "no parts"):
                return None
            raise
        wanted = min(T, length - clip.start) if length else T
        # a shorter one: the video ends there, or the connection did, which ffmpeg does not tell
        return made if seconds >= wanted - SLACK else None

    def _download(self, clip: Clip, folder: Path, only_section: bool) -> tuple[Path, float | None]:
        """The file that yt-dlp wrote, and the length in seconds of the complete video, if yt-dlp knows it."""
        self._check_stopped()
        folder.mkdir(exist_ok=True)
        options = dict(self.options)
        if self.cookies:
            options["cookiefile"] = io.StringIO(self.cookies)  # a copy, since yt-dlp writes to it
        if only_section:
            section = (clip.start, clip.start + T)
            options |= {"download_ranges": download_range_func(None, [section]), "force_keyframes_at_cuts": True}
        url = self.url_template.replace("{id}", urllib.parse.quote(clip.name, safe=""))
        try:
            with Site(options, folder.absolute()) as site:
                info = run_watched(lambda: site.extract_info(url), folder)
        except TooSlow as error:
            raise Unavailable("slow", str(error)) from error
        except YoutubeDLError as error:
            self._check_stopped()
            if only_section and "ffmpeg exited" in str(error):  # it fetches sections
                raise Unavailable("no parts", "the site serves none that ffmpeg can use") from error
            raise Unavailable.because(error) from error
        files = [file for file in folder.iterdir() if file.suffix != ".part"]
        if len(files) != 1:
            raise Unavailable("no video", f"{url} gave {len(files)} files, expected one")
        return files[0], info.get("duration")

    def _cut(self, source: Path, clip: Clip, folder: Path) -> Path:
        """The clip of a file, encoded as H.264 and AAC."""
        start = clip.start
        try:
            with open_media(source) as container:
                length = (container.duration or 0) / av.time_base
        except InputError as error:
            raise Unavailable("damaged", f"the video {str(error).removeprefix(f'{source}: ')}") from error
        if length and length <= start:
            raise Unavailable("too short", f"the video lasts {length:.1f} s, and the clip begins at {start:g} s")
        made, part = folder / "clip.mp4", ["-ss", str(start), "-t", str(T)] if clip.seconds else []
        cut = [*part, "-i", f"file:{source}", "-map", "0:v:0", "-map", "0:a:0?"]
        problem = run_ffmpeg(self.ffmpeg, "-y", *cut, "-c:v", "libx264", "-c:a", "aac", f"file:{made}")
        if problem:
            self._check_stopped()
            raise Unavailable("damaged", f"ffmpeg failed ({problem[:200]})")
        seconds = check_length(made)
        expected = min(clip.seconds or length, length - start)
        if length and seconds < expected - CUT_SLACK:
            raise Unavailable("damaged", f"{seconds:.1f} s came of a clip of {expected:.1f} s")
        return made
