"""Fetching large files: from any address with gdown, from the Hugging Face hub with huggingface_hub.

Received bytes stay in a partial file next to the target, and the next attempt, also of another process, resumes there.
The target appears when it is complete.
"""

import contextlib
import errno
import hashlib
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from utils.base.errors import InputError
from utils.base.files import naming
from utils.encoders import hub

RETRIES = 10  # of a connection that breaks
TIMEOUT = 60  # seconds without a byte
GDOWN_SETTINGS = {"quiet": True, "resume": True, "retries": RETRIES, "timeout": TIMEOUT}


def fetch_url(url: str, path: Path) -> Path:
    """Fetch a file of a web server or of Google Drive to `path`, unless it exists.

    Raises InputError, with the reason, if it cannot be fetched.
    """
    if path.is_file():
        return path
    import gdown
    from gdown.exceptions import DownloadError, FileURLRetrievalError
    from requests.exceptions import RequestException

    _require_answer(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _byte_bar(path.name) as progress, naming(path):
        for last_attempt in (False, True):
            try:
                gdown.download(url, str(path), progress=progress, **GDOWN_SETTINGS)
                return path
            except FileURLRetrievalError as error:
                instead = f"save it with a browser as {path}, and rerun this command"
                raise _unavailable(url, f"{_reason(error)}; {instead}") from error
            except DownloadError as error:
                from_the_start = re.search("byte range|multiple temporary files", str(error))
                if last_attempt or not from_the_start:
                    raise _unavailable(url, f"{_reason(error)}; rerun this command to resume") from error
                for partial in path.parent.glob(f"{path.name}????????.part"):
                    partial.unlink()  # the server cannot resume, or its file has changed
            except RequestException as error:
                raise _unavailable(url, _reason(error)) from error


def _require_answer(url: str) -> None:
    """Raises InputError if an address does not answer: gdown would try for minutes, silently."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        pass  # any answer will do here
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise _unavailable(url, _reason(getattr(error, "reason", error))) from error


def bytes_fetched(path: Path) -> int:
    """How much of a file has been fetched, from either source."""
    return max((file.stat().st_size for file in path.parent.glob(f"{path.name}*.part")), default=0)


def fetch_from_hub(repo: str, filename: str, repo_type: str, path: Path) -> Path:
    """Fetch a file of the Hugging Face hub to `path`, unless it exists, and compare its checksum.

    huggingface_hub's own download starts over after an interruption; here its transfer function writes to a partial
    file that stays. Raises InputError if the file cannot be fetched.
    """
    if path.is_file():
        return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repo, filename, repo_type=repo_type, endpoint=os.environ.get("HF_ENDPOINT"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path), hub.quiet_logs():
            metadata = get_hf_file_metadata(url)
            partial = _partial_file(path, metadata.etag or "unknown", metadata.size)
            with open(partial, "ab") as file:
                sizes = {"resume_size": file.tell(), "expected_size": metadata.size}
                http_get(url, file, headers=build_hf_headers(), displayed_filename=path.name, **sizes)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES):
            raise
        raise _unavailable(url, _reason(error)) from error
    _require_checksum(partial, metadata.etag or "", url)
    os.replace(partial, path)
    return path


def _partial_file(path: Path, version: str, size: int | None) -> Path:
    """The partial file of one version of a file; those of other versions are removed."""
    partial = path.with_name(f"{path.name}.{re.sub(r'[^0-9A-Za-z]', '', version)[:12]}.part")
    for other in path.parent.glob(f"{path.name}.*.part"):
        if other != partial or (size is not None and other.stat().st_size > size):
            other.unlink()
    return partial


def _require_checksum(path: Path, etag: str, url: str) -> None:
    """Raises InputError if a file does not match the hub's tag, which for a large file is its SHA-256."""
    if not re.fullmatch("[0-9a-f]{64}", etag):
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != etag:
        path.unlink()
        raise _unavailable(url, "checksum mismatch: the file differs from the one on the hub; rerun this command")


@contextlib.contextmanager
def _byte_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar, as a function of the bytes received and of the total."""
    with tqdm(desc=name, unit="B", unit_scale=True, mininterval=0.5, delay=0.5) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _unavailable(url: str, reason: str) -> InputError:
    return InputError(f"{url}: cannot be fetched: {reason}")


def _reason(error: Exception | str) -> str:
    """What went wrong, in one line; for an HTTP error its status."""
    if status := getattr(getattr(error, "response", None), "status_code", None):
        return f"HTTP status {status}"
    # the libraries' advice is for their own command lines
    text = re.split("\nThe received bytes are kept|Please retry with", str(error))[0]
    return " ".join(text.split())[:300] or type(error).__name__
