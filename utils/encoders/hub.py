"""Files from the Hugging Face hub: fetched once, then from its cache; one line says what is missing."""

import contextlib
import logging
import os
import urllib.request
from collections.abc import Iterator

from utils.base.errors import InputError

ENDPOINT = "https://huggingface.co"


def offline_without_network() -> None:
    """Set HF_HUB_OFFLINE where the hub cannot be reached, before anything imports huggingface_hub.

    Its clients would else try again for a minute for each file, cached or not.
    """
    if os.environ.get("HF_HUB_OFFLINE"):
        return
    request = urllib.request.Request(os.environ.get("HF_ENDPOINT") or ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()  # through a proxy, where there is one
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


def fetch(repo: str, filename: str, instead: str) -> str:
    """Path of a hub file in the cache, after downloading it where it is not there.

    Args:
        instead: what a user without network can do.

    Raises:
        InputError: it is neither in the cache nor to be had.
    """
    from huggingface_hub import hf_hub_download

    try:
        with quiet_logs():
            return hf_hub_download(repo, filename)
    except (OSError, ValueError) as error:
        raise unavailable(filename, repo, instead) from error


def unavailable(filename: str, repo: str, instead: str) -> InputError:
    """The error for a hub file that is neither in the cache nor to be had."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    return InputError(
        f"{filename} of {endpoint}/{repo} is not in the Hugging Face cache and cannot be fetched; {instead}"
    )
