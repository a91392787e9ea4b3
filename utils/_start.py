"""Imported first by every command that is run as a file: imports start at the repository, errors are one line."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if sys.version_info < (3, 11):  # noqa: UP036  before an import whose syntax an older Python does not know
    found = "{}.{} ({})".format(*sys.version_info[:2], sys.executable)
    print(f"needs Python 3.11 or 3.12, but this is {found}; first: source {ROOT}/.venv/bin/activate", file=sys.stderr)
    sys.exit(2)
sys.path[0] = str(ROOT)  # `python utils/x.py` puts utils/ there

from utils.base import command

command.quiet_interrupts()
command.name_missing_packages()
