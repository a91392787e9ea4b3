"""Files from the Hugging Face hub: fetched once, then from its cache. One line says what is missing."""

import contextlib
import logging
import os
import urllib.request
from collections.abc import Iterator

from utils.base.errors import InputError

ENDPOINT = "https://huggingface.co"


class Unavailable(InputError):
    """Published weights cannot be fetched. A local copy would do."""


def offline_without_network() -> None:
    """Set HF_HUB_OFFLINE if the hub cannot be reached, before anything imports huggingface_hub.

    Its clients would otherwise retry for a minute for each file, cached or not.
    """
    if os.environ.get("HF_HUB_OFFLINE"):
        return
    request = urllib.request.Request(os.environ.get("HF_ENDPOINT") or ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()  # through a proxy, if there is one
    except urllib.error.HTTPError:
        pass  # an answer is an answer
    except OSError:
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
    except (OSError, ValueError) as error:
        raise Unavailable(missing(repo, filename)) from error


def missing(repo: str, filename: str) -> str:
    """The message for a hub file that is neither in the cache nor can be fetched."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    return f"{filename} of {endpoint}/{repo} is not in the Hugging Face cache and cannot be fetched"
