"""The folder of results of utils/app.py: each video with its files, in a folder of its own (docs/PARSING.md)."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.parse.outputs import output_name

PAGE, VIDEO = "report.html", "video"  # of a result: its page, and the folder of the video itself
UPLOADS = ".uploads-"  # how the folder of what browsers send begins


class Results:
    """Results in a folder.

    Args:
        folder: an absolute path.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> list[str]:
        """The names of all results, the newest first."""
        pages = {path.parent.name: path.stat().st_mtime_ns for path in self.folder.glob(f"*/{PAGE}")}
        return sorted(pages, key=pages.get, reverse=True)

    def files(self, name: str) -> list[Path]:
        """The files of a result, the page first; none if there is no such result."""
        if name not in self.names():  # also of a name that leads elsewhere
            return []
        files = [path for path in (self.folder / name).iterdir() if path.is_file()]
        return sorted(files, key=lambda path: (path.name != PAGE, path.name))

    @contextlib.contextmanager
    def new(self, upload: Path) -> Iterator[Path]:
        """Yield where a video lies in the folder of its new result, which is removed if the block raises an error."""
        folder = self.folder / output_name(upload, {path.name.casefold() for path in self.folder.iterdir()})
        try:
            video = folder / VIDEO / upload.name
            video.parent.mkdir(parents=True)
            try:
                os.link(upload, video)
            except OSError:  # a file system without links
                shutil.copyfile(upload, video)
            yield video
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def results_folder(given: Path | None) -> Iterator[tuple[Results, Path]]:
    """Results in a given folder, None: in a temporary one; and a folder for uploads.

    What is temporary is removed at the end, that of killed runs when the system does so.
    """
    with contextlib.ExitStack() as stack:
        temporary = lambda prefix, place: stack.enter_context(
            tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True)
        )
        if given:
            given.mkdir(parents=True, exist_ok=True)
        folder = Path(given or temporary("valor-app-", None)).resolve()
        yield Results(folder), Path(temporary(UPLOADS, folder))  # in it: on the same disk
