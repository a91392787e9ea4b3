"""UWAV's pieces beside the golden values, by the script that comes with them and tests/adapters/uwav.py."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, SHARED, find


@pytest.mark.usefixtures("published_dropout")
@pytest.mark.parametrize("part", ["thresholds", "statistics", "losses", "steps"])
def test_the_pieces_are_the_published_ones(part):
    script = find("check_uwav.py", SHARED / "uwav")
    argv = [script, script.parent, ROOT / "tests/adapters/uwav.py", "--parts", part, "--path", ROOT]
    result = subprocess.run([sys.executable, *map(str, argv)], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "0 out of tolerance" in result.stdout, result.stdout + result.stderr
