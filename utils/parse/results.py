"""The folder of results of utils/app.py: each video with its files, in a folder of its own (docs/PARSING.md)."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.parse.outputs import output_name, work_folder

PAGE, VIDEO = "report.html", "video"  # of a result: its page, and the folder of the video itself


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
        folder.mkdir()
        try:
            video = folder / VIDEO / upload.name
            video.parent.mkdir()
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
    """Results in a given folder, None: in a temporary one; and a folder in it for uploads, on the same disk.

    What is temporary is removed at the end.
    """
    with contextlib.ExitStack() as stack:
        if given is None:
            temporary = tempfile.TemporaryDirectory(prefix="valor-app-", ignore_cleanup_errors=True)
            given = Path(stack.enter_context(temporary))
        given.mkdir(parents=True, exist_ok=True)
        folder = given.resolve()
        yield Results(folder), stack.enter_context(work_folder(folder))
