"""Reading in threads, a bounded number of items ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

from utils.base.errors import InputError


class Read(NamedTuple):
    """A video with what `read` returned, or with the problem that it had."""

    video: object
    value: object
    problem: str = ""
    error: Exception | None = None


def read_ahead(
    read: Callable[[Any], Any], videos: Iterable, workers: int, ahead: int, stop: Callable[[], None] = lambda: None
) -> Iterator[Read]:
    """Read videos in `workers` threads, in order, at most `ahead` of them before they are asked for.

    An exception of `read` becomes the video's problem. `stop` is called on exit, to cancel reads in progress.
    """

    def attempt(video):
        try:
            return Read(video, read(video))
        except Exception as error:  # noqa: BLE001  a decoder may raise anything; it costs this video only
            return Read(video, None, _reason(error), error)

    videos = iter(videos)
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = deque(pool.submit(attempt, video) for video in islice(videos, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(attempt, video) for video in islice(videos, 1))
            yield result
    finally:
        stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
