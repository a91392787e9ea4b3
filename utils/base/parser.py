"""The parser of a command line: one line for a mistake, `--help` with each default once, `--version`."""

import argparse
import difflib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable

from utils import __version__
from utils.base.command import EXIT_BAD_INPUT
from utils.base.errors import InputError


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a description, and ends the help of a flag with its default unless the help already says."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        says_nothing = action.default in (None, "", [], argparse.SUPPRESS) or isinstance(action.default, bool)
        if says_nothing or "default" in text or "if not given" in text:
            return text
        return f"{text} (default: %(default)s)"


class _Version(argparse.Action):
    """Prints what a report of a problem should name, and ends the command."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            torch = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            torch = "not installed"
        print(f"{parser.prog}, VALOR {__version__}, Python {platform.python_version()}, torch {torch}")
        parser.exit()


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but a wrong flag costs one line instead of the whole usage, and each command has `--version`."""

    def __init__(self, **settings):
        super().__init__(**{"formatter_class": HelpFormatter} | settings)
        self.given: list[str] = []
        nothing = {"nargs": 0, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        self.add_argument("--version", action=_Version, help="print the versions of VALOR, Python and torch", **nothing)

    def parse_known_args(self, args=None, namespace=None):
        """argparse's; what was given is kept for the message of an error."""
        self.given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> None:
        """End the command with one line."""
        names = [text for text in self.given if re.fullmatch(r"-[^-].*\.[A-Za-z]\w*", text)]
        if names:
            message += f"; a file whose name begins with a dash is given as ./{names[0]}"
        elif meant := self._similar():
            message += f"; did you mean {meant}?"
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: error: {message} (--help lists all flags)\n")

    def _similar(self) -> str | None:
        """The flag that is most like the first one that is unknown, if any is."""
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        given = [text.split("=")[0] for text in self.given if re.match("--.", text)]
        is_known = lambda text: text in known or (self.allow_abbrev and any(flag.startswith(text) for flag in known))
        unknown = [text for text in given if not is_known(text)]
        found = (difflib.get_close_matches(text, known, n=1, cutoff=0.8) for text in unknown)
        return next((match[0] for match in found if match), None)


def refuse(args: argparse.Namespace, names: Iterable[str], beside: str) -> None:
    """Raises InputError if any of the flags `names` is given; beside: what it contradicts."""
    given = [f"--{name}" for name in names if getattr(args, name)]
    if given:
        raise InputError(f"{', '.join(given)} has no meaning with {beside}")
