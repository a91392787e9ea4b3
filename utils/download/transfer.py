"""One file over HTTP: resumed only in the same version, at a minimum rate, never larger than it may be.

Received bytes stay in `<name>.part`, and beside it, in `<name>.part.json`, which version they are of. The next attempt,
also of another process, goes on there if the server confirms that version, else from the start.
"""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from utils.base.errors import InputError
from utils.base.files import require_space, size_text, write_text
from utils.base.progress import tqdm

RETRIES = 10  # of a connection that breaks
LONGEST_WAIT = 30.0  # seconds before a retry
WINDOW, MIN_RATE = 60.0, 1000  # within any so many seconds, so many bytes a second must come
HEADERS = {"User-Agent": "Mozilla/5.0", "Accept-Encoding": "identity"}  # the bytes of the file itself
REDIRECTS = 20
HUB_TAG = "x-linked-etag"  # in the hub's answer that leads to a server with tags of its own


class Version(NamedTuple):
    """Which version of a file a server has: its tag, '' if it does not say, and the file's bytes, if it says that."""

    tag: str
    size: int | None
    is_hubs: bool = False  # the server that sends the file does not know this tag

    @classmethod
    def of(cls, response, hubs: str) -> Self:
        """What an answer says; hubs: the tag that the hub gave it on the way, or ''."""
        etag = response.headers.get("etag", "")
        own = response.headers.get("last-modified", "") if etag.startswith("W/") or not etag else etag
        whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("content-range", ""))
        size = whole[1] if whole else response.headers.get("content-length", "")
        return cls(hubs or own, int(size) if re.fullmatch(r"\d{1,18}", size) else None, bool(hubs))


class Part:
    """The bytes of a file that were received, and their version."""

    def __init__(self, path: Path):
        self.path, self.about = path, Path(f"{path}.json")

    @classmethod
    def of(cls, target: Path) -> Self:
        """That of the file at `target`."""
        return cls(target.with_name(f"{target.name}.part"))

    def version(self) -> Version | None:
        """The version of the bytes that are there; None if there are none, or it is not known."""
        try:
            version = Version(*json.loads(self.about.read_text()))
            return version if self.size() and version.tag and version.size is not None else None
        except (OSError, ValueError, TypeError):
            return None

    def size(self) -> int:
        """How many bytes are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def append(self) -> BinaryIO:
        """A file to write further bytes to."""
        return open(self.path, "ab")

    def start(self, version: Version) -> None:
        """Begin, without bytes, with this version."""
        write_text(self.about, json.dumps(version))

    def remove(self) -> None:
        """Remove the bytes before what says of which version they are."""
        self.path.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


def transfer(url: str, path: Path, limit: int, headers: Mapping[str, str] | None = None) -> str:
    """Fetch what `url` sends to `path`, and return the tag of its version, '' if the server gives none.

    limit: bytes that the file may have. Raises InputError if it cannot be had whole, too slowly for MIN_RATE, encoded,
    or is larger; errors of the HTTP library pass through.
    """
    part = Part.of(path)
    with tqdm(desc=path.name, unit="B", unit_scale=True, mininterval=0.5, delay=0.5) as bar:
        version = asyncio.run(_transfer(url, part, limit, dict(headers or {}), bar))
    os.replace(part.path, path)
    part.remove()
    return version.tag


async def _transfer(url: str, part: Part, limit: int, headers: dict[str, str], bar: tqdm) -> Version:
    """All attempts. One that gets no byte, or less than the minimum rate, is the last."""
    import httpx2  # here, as all that only downloads need

    async with httpx2.AsyncClient(timeout=None, headers=HEADERS | headers) as client:
        for attempt in range(RETRIES + 1):
            before = bar.n
            try:
                version = await _attempt(client, url, part, limit, bar)
                if version:
                    return version
            except (httpx2.TransportError, TimeoutError) as error:
                came = bar.n - before
                if attempt == RETRIES or came < (WINDOW * MIN_RATE if isinstance(error, TimeoutError) else 1):
                    raise
            await asyncio.sleep(min(2.0**attempt - 1, LONGEST_WAIT))
    raise InputError("the server sends other bytes than those that were asked for; rerun this command to start over")


async def _attempt(client, url: str, part: Part, limit: int, bar: tqdm) -> Version | None:
    """One request, for what is missing; None if the server's version is another one than that of the part."""
    version, have = part.version(), part.size()
    wanted = {}
    if version:
        wanted["Range"] = f"bytes={have}-"
        if not version.is_hubs:
            wanted["If-Range"] = version.tag
    async with asyncio.timeout(WINDOW) as window, answer(client, url, wanted) as (response, hubs):
        found = Version.of(response, hubs)
        if response.status_code == 206:
            begins = response.headers.get("content-range", "").startswith(f"bytes {have}-")
            if version is None or found != version or not begins:
                part.remove()
                return None
        elif response.status_code == 416:  # the file became shorter
            part.remove()
            return None
        else:
            if (found.size or 0) > limit:
                raise InputError(f"the server states {size_text(found.size)}; expected at most {size_text(limit)}")
            part.remove()
            require_space(part.path.absolute().parent, found.size or 0, f"for {bar.desc}")
            have = 0
            part.start(found)
        bar.total, bar.n = found.size, have
        await _receive(response, part, limit, window, bar)
    if found.size not in (None, part.size()):
        raise InputError(f"{part.size()} bytes came of {found.size}; rerun this command to resume")
    return found


@contextlib.asynccontextmanager
async def answer(client, url: str, wanted: Mapping[str, str]):
    """The answer to a request, without its body, and the hub's tag on the way to it; no other body is read.

    Raises InputError if it is encoded, or has not come after REDIRECTS others; the HTTP library's error for a status
    that is none.
    """
    request, hubs = client.build_request("GET", url, headers=wanted), ""
    for _ in range(REDIRECTS):
        response = await client.send(request, stream=True)
        try:
            hubs = hubs or response.headers.get(HUB_TAG, "")
            request = response.next_request
            if request is None:
                encoding = response.headers.get("content-encoding", "")
                if encoding.strip().lower() not in ("", "identity"):
                    text = f"the server sends the file encoded ({encoding})"
                    raise InputError(f"{text}, though it was asked for the file itself")
                if response.status_code != 416:  # there is no such part: the caller's business
                    response.raise_for_status()
                yield response, hubs
                return
        finally:
            await response.aclose()
    raise InputError(f"the server leads on to further addresses, over {REDIRECTS} times")


async def _receive(response, part: Part, limit: int, window: asyncio.Timeout, bar: tqdm) -> None:
    """Append the body to the part; the window moves on whenever the bytes of a whole one have come.

    Raises InputError if more come than the file may have.
    """
    clock, count = asyncio.get_running_loop().time, 0
    with part.append() as file:
        async for chunk in response.aiter_raw():
            if file.tell() + len(chunk) > limit:
                raise InputError(f"the server sends more than {size_text(limit)}, which is all that was expected")
            file.write(chunk)
            bar.update(len(chunk))
            count += len(chunk)
            if count >= WINDOW * MIN_RATE:
                window.reschedule(clock() + WINDOW)
                count = 0
