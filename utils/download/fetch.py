"""Fetching files: from any address, from Google Drive, from the Hugging Face hub.

Received bytes stay in a partial file next to the target, and the next attempt, also of another process, resumes there.
The target appears when it is complete.
"""

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import naming
from utils.download import transfer
from utils.encoders import hub

CSV_LIMIT = 100_000_000  # bytes; LLP's lists have 2 MB together
LIMIT = 50_000_000_000  # of any other file; the largest one published has 8 GB
DRIVE = "https://drive.google.com/"
PAGE_LIMIT = 1_000_000  # bytes of a web page of Google Drive
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES)


def fetch_url(url: str, path: Path, limit: int = LIMIT) -> Path:
    """Fetch a file of a web server or of Google Drive to `path`, unless it exists; limit: bytes that it may have.

    Raises InputError, with the reason, if it cannot be fetched.
    """
    if path.is_file():
        return path
    try:
        address = asyncio.run(_address_on_drive(url)) if url.startswith(DRIVE) else url
    except Exception as error:
        instead = f"save it with a browser as {path}, and rerun this command"
        raise _unavailable(url, f"{_reason(error)}; {instead}") from error
    _fetch(address, path, limit)
    return path


async def _address_on_drive(url: str) -> str:
    """The address of a file itself, instead of that of the page on which Google Drive asks whether it is wanted.

    Raises gdown's FileURLRetrievalError with what Drive says, if it does not give the file.
    """
    import httpx2
    from gdown.download import get_url_from_gdrive_confirmation

    text = b""
    async with (
        asyncio.timeout(transfer.WINDOW),
        httpx2.AsyncClient(timeout=None, headers=transfer.HEADERS) as client,
        transfer.answer(client, url, {}) as (response, _),
    ):
        if "content-disposition" in response.headers:
            return url
        async for chunk in response.aiter_raw():
            text += chunk
            if len(text) > PAGE_LIMIT:
                break
    return get_url_from_gdrive_confirmation(text.decode("utf-8", "replace"))


def _fetch(url: str, path: Path, limit: int, headers: Mapping[str, str] | None = None) -> str:
    """Fetch to `path` and return the tag of the version. Raises InputError, with the reason, if that is impossible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob(f"{path.name}?*.part"):  # of earlier programs, which kept no version
        other.unlink()
    try:
        with naming(path), hub.quiet_logs():
            return transfer.transfer(url, path, limit, headers)
    except Exception as error:  # the HTTP library's errors have several bases
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise _unavailable(url, _reason(error)) from error


def parts(path: Path) -> list[Path]:
    """The files beside `path` that an interrupted fetch left."""
    part = transfer.Part.of(path)
    return [part.path, part.about]


def bytes_fetched(path: Path) -> int:
    """How much of a file has been fetched."""
    part = transfer.Part.of(path)
    return part.size() if part.version() else 0


def fetch_from_hub(repo: str, filename: str, repo_type: str, path: Path) -> Path:
    """Fetch a file of the Hugging Face hub to `path`, unless it exists, and compare its checksum.

    huggingface_hub's own download starts over after an interruption, so only its addresses and keys are used.
    Raises InputError if the file cannot be fetched.
    """
    if path.is_file():
        return path
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repo, filename, repo_type=repo_type, endpoint=os.environ.get("HF_ENDPOINT"))
    tag = _fetch(url, path, LIMIT, build_hf_headers())
    _require_checksum(path, tag.strip('"'), url)
    return path


def _require_checksum(path: Path, tag: str, url: str) -> None:
    """Raises InputError if a file does not match the hub's tag: its SHA-256, or of a small file git's SHA-1."""
    with open(path, "rb") as file:
        if re.fullmatch("[0-9a-f]{64}", tag):
            found = hashlib.file_digest(file, "sha256").hexdigest()
        elif re.fullmatch("[0-9a-f]{40}", tag):
            found = hashlib.sha1(b"blob %d\0" % path.stat().st_size + file.read(), usedforsecurity=False).hexdigest()
        else:
            return
    if found != tag:
        path.unlink()
        raise _unavailable(url, "checksum mismatch: the file differs from the one on the hub; rerun this command")


def _unavailable(url: str, reason: str) -> InputError:
    return InputError(f"{url}: cannot be fetched: {reason}")


def _reason(error: Exception) -> str:
    """What went wrong, in one line; for an HTTP error its status."""
    if status := getattr(getattr(error, "response", None), "status_code", None):
        key = "; a private or gated file needs a key: `hf auth login`" if status == 401 else ""
        return f"HTTP status {status}{key}"
    if isinstance(error, TimeoutError):
        rate = f"less than {transfer.MIN_RATE} bytes a second came in {transfer.WINDOW:.0f} s"
        return f"{rate}; rerun this command to resume"
    causes = [error]  # the system's word for it is at the end
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    number = next((c.errno for c in reversed(causes) if isinstance(c, OSError) and c.errno), None)
    text = f"[Errno {number}] {os.strerror(number)}" if number and number > 0 else str(error)
    return " ".join(text.split())[:300] or type(error).__name__
