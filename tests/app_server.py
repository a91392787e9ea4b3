"""utils/app.py with small networks, whose windows take some seconds more (the first argument); it counts loads."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import synthetic
from utils import app
from utils.base import command
from utils.parse import flags
from utils.parse.parser import VideoParser

if __name__ == "__main__":
    seconds = float(sys.argv.pop(1))
    patch = pytest.MonkeyPatch()
    synthetic.use_small_networks(patch)
    embed, load = VideoParser.embed, flags.load_parser
    patch.setattr(VideoParser, "embed", lambda self, window: (time.sleep(seconds), embed(self, window))[1])
    patch.setattr(flags, "load_parser", lambda args: (print("networks loaded", flush=True), load(args))[1])
    command.run(app.main, app.get_args_parser())
