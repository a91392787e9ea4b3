"""A web server with the faults of real ones, and LLP's published files on it: what the downloads are tested against.

    python tests/mock_site.py --data_dir DIR --model_save_dir DIR --port 8000

serves a data folder and models in the published form, and prints the command that fetches them.
"""

import argparse
import hashlib
import io
import shlex
import sys
import threading
import time
import urllib.parse
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.base import command, flags
from utils.download.release import CSVS, FEATURES_REPO, MODEL_FILES, MODELS_REPO, REVISIONS


@dataclass
class Page:
    """What the site answers for one address."""

    content: bytes  # the body
    status: list[int] = field(default_factory=list)  # of the first answers, one each; then 200
    stop_after: list[int] = field(default_factory=list)  # bytes after which the first answers break off, one each
    ranges: bool = True  # whether parts can be asked for
    headers: dict[str, str] = field(default_factory=dict)  # further ones
    delay: float = 0.0  # seconds before each 64 kB
    tagged: bool = True  # whether the answer says which version it is of; a tag in `headers` stands instead
    ignores_if_range: bool = False  # parts are sent of whatever version
    block: int = 2**16  # bytes that are sent at a time
    with_length: bool = True  # whether the answer states its size
    raw: bytes = b""  # sent as it is instead of an answer
    locked: bool = False  # whether it wants a key


class Handler(BaseHTTPRequestHandler):
    """Answers with the pages of the server's site."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET(head=True)

    def do_GET(self, head: bool = False):
        path = urllib.parse.unquote(self.path)
        site = self.server.site
        site.requests.append((self.command, path, self.headers.get("Range", "")))
        site.cookies.append(self.headers.get("Cookie", ""))
        page = site.pages.get(path)
        status = 404 if page is None else (page.status.pop(0) if page.status and not head else 200)
        status = 401 if page and page.locked else status
        if page and page.raw:
            for i in range(0, len(page.raw), page.block):
                time.sleep(page.delay)
                self.wfile.write(page.raw[i : i + page.block])
            self.close_connection = True
            return
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin, end = 0, len(page.content)
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        headers = {"ETag": f'"{hashlib.sha256(page.content).hexdigest()}"'} if page.tagged else {}
        headers |= page.headers
        tag = headers.get("ETag", headers.get("Last-Modified"))
        unchanged = self.headers.get("If-Range", tag) == tag or page.ignores_if_range
        if wanted and page.ranges and unchanged:
            first, _, last = wanted.partition("-")
            begin, end = int(first), min(int(last) + 1 if last else end, end)
            if begin >= end:
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(page.content)}")
        else:
            self.send_response(200)
        if page.ranges:
            self.send_header("Accept-Ranges", "bytes")
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        if page.with_length:
            self.send_header("Content-Length", str(end - begin))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if not head:
            self._send(page, begin, end)

    def _send(self, page: Page, begin: int, end: int):
        stop = min(end, page.stop_after.pop(0)) if page.stop_after else end
        try:
            while begin < stop:
                time.sleep(page.delay)
                piece = page.content[begin : min(begin + page.block, stop)]
                self.wfile.write(piece)
                self.wfile.flush()
                begin += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if stop < end:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    daemon_threads = True

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


class Site:
    """A server on a free port of this machine; use it as a context."""

    def __init__(self, port: int = 0):
        self.pages = {}  # by path, unquoted
        self.requests, self.cookies = [], []  # method, path and Range header of every request; and its cookies
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.site = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def add(self, path: str, content: bytes, **faults) -> Page:
        """Put a page on the site."""
        self.pages[path] = Page(content, **faults)
        return self.pages[path]

    def add_to_hub(self, repo: str, name: str, content: bytes, kind: str = "") -> Page:
        """Put a file on the site as the Hugging Face hub shows large ones; `kind`: datasets/ for a data set."""
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": "0" * 40, "X-Linked-Size": str(len(content))}
        return self.add(f"/{kind}{repo}/resolve/main/{name}", content, headers=headers)


def zip_of(folder: Path, top: str) -> bytes:
    """A zip file of the `.npy` files in folder/top, as archives are published."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted((folder / top).rglob("*.npy")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def site_flags(site: Site) -> list[str]:
    """The flags of the download that fetch from a site, in addition to HF_ENDPOINT in the environment."""
    return ["--csv_url", f"{site.url}/llp/{{revision}}/{{name}}", "--feats_url", f"{site.url}/feats.zip"]


def publish(site: Site, data_dir: Path, models_dir: Path | None = None) -> None:
    """Put a data folder and models on a site."""
    for name in CSVS:
        for revision in REVISIONS.values():
            site.add(f"/llp/{revision}/{name}", (data_dir / name).read_bytes())
    site.add("/feats.zip", zip_of(data_dir, "feats"))
    for name in ("CLIP", "CLAP"):
        site.add_to_hub(FEATURES_REPO, f"{name}.zip", zip_of(data_dir, name), "datasets/")
    for name in MODEL_FILES if models_dir else ():
        site.add_to_hub(MODELS_REPO, name, (models_dir / name).read_bytes())


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the server."""
    parser = flags.ArgumentParser(prog="mock_site.py", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder in LLP's layout")
    parser.add_argument("--model_save_dir", type=Path, help="folder with the three published models' names")
    parser.add_argument("--port", type=flags.non_negative_int, default=8000, help="(default: %(default)s)")
    return parser


def main(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    with Site(args.port) as site:
        publish(site, args.data_dir, args.model_save_dir)
        print(f"HF_ENDPOINT={site.url} python utils/download_features.py {shlex.join(site_flags(site))}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    command.run(main, get_args_parser())
