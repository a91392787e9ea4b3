"""Files from the Hugging Face hub: fetched once, then from its cache. One line says what is missing."""

import contextlib
import http.client
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator

from utils.base.errors import InputError

ENDPOINT = "https://huggingface.co"
ANSWER_TIME = 10  # seconds


class Unavailable(InputError):
    """Published weights cannot be fetched. A local copy would do."""


def offline_without_network() -> None:
    """Set HF_HUB_OFFLINE if the hub cannot be reached, before anything imports huggingface_hub.

    Its clients would otherwise retry for a minute for each file, cached or not.
    """
    if os.environ.get("HF_HUB_OFFLINE"):
        return
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(os.environ.get("HF_ENDPOINT") or ENDPOINT, method="HEAD")
            urllib.request.urlopen(request, timeout=ANSWER_TIME).close()  # through a proxy, if there is one
        except urllib.error.HTTPError:
            pass  # an answer is an answer
        except (OSError, http.client.HTTPException, ValueError):
            return
        answered.set()

    # In a thread, since the time limit above is for each byte: a server could send one now and then.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_TIME)
    if not answered.is_set():
        os.environ["HF_HUB_OFFLINE"] = "1"


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Silence warnings of libraries about what this project reports itself, in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def fetch(repo: str, filename: str) -> str:
    """Path of a hub file in the cache, downloaded if it is missing. Raises Unavailable if it cannot be fetched."""
    from huggingface_hub import hf_hub_download

    try:
        with quiet_logs():
            return hf_hub_download(repo, filename)
    except Exception as error:  # the hub's errors and those of its HTTP client have no base in common
        raise Unavailable(missing(repo, filename, error)) from error


def missing(repo: str, filename: str, error: Exception | None = None) -> str:
    """The message for a hub file that is neither in the cache nor can be fetched, because of `error`."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    why = f" (HTTP status {status})" if status else ""
    why += "; a private or gated file needs a key: `hf auth login`" if status in (401, 403) else ""
    return f"{filename} of {endpoint}/{repo} is not in the Hugging Face cache and cannot be fetched{why}"
