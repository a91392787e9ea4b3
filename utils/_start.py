"""Imported first by every command that is run as a file: imports start at the repository, Ctrl-C is one line."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # `python utils/x.py` puts utils/ there

from utils.base import command

command.quiet_interrupts()
