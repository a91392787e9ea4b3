"""Progress bars that share no line with anything else. Every bar of this project is one of these."""

import contextlib
import sys

import tqdm as library
from tqdm.contrib import DummyTqdmFile
from tqdm.contrib.logging import logging_redirect_tqdm


class tqdm(library.tqdm):
    """tqdm's bar. While one is shown, what is printed to the standard error stream, or logged, goes above it."""

    _shown = 0  # bars
    _redirected = contextlib.ExitStack()

    def __init__(self, *args, **settings):
        self._counts = False
        shown = getattr(sys.stderr, "_wrapped", sys.stderr)  # not what is redirected: a bar has no line ends
        super().__init__(*args, **{"file": shown} | settings)
        if not self.disable:
            self._counts = True
            tqdm._shown += 1
            if tqdm._shown == 1:
                tqdm._redirected.enter_context(logging_redirect_tqdm())
                tqdm._redirected.enter_context(contextlib.redirect_stderr(DummyTqdmFile(sys.stderr)))

    def close(self) -> None:
        """Take the bar away, or leave its last state."""
        super().close()
        if self._counts:
            self._counts = False
            tqdm._shown -= 1
            if not tqdm._shown:
                tqdm._redirected.close()
