"""What to type after a training run: how its best weights are tested, and used."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from utils.llp.datasets import DataSet
from utils.train.networks import network_defaults

ROOT = Path(__file__).parents[2]
RUNS = Path("models")  # where main.py looks for runs
READ = ("audio_dir", "video_dir", "st_dir", "label_test", "gt_dir")  # where --mode test finds files


def next_commands(arguments: Mapping[str, object], dataset: DataSet, best: Path) -> list[str]:
    """Commands that test a run and that parse a video with it, as a shell takes them in the current folder.

    Args:
        arguments: of the run, by flag. best: its checkpoint.

    Flags that the run's folder or a default would say are left out.
    """
    given = {"model_name": arguments["model_name"]}
    if Path(arguments["model_save_dir"]) != RUNS:
        given["model_save_dir"] = arguments["model_save_dir"]
    usual = dataset.paths(dict.fromkeys(READ))
    given |= {name: arguments[name] for name in READ if Path(arguments[name]) != Path(usual[name])}
    given |= {name: arguments[name] for name in ("packed", "exact") if arguments.get(name)}
    model = arguments["model"]
    usual = {"model": "MMIL_Net"} | network_defaults(model)
    given |= {name: arguments[name] for name, value in usual.items() if arguments[name] != value}
    parse = command_line("utils/parse_video.py", {"checkpoint": best, "out": "events"}, "VIDEO.mp4")
    return [command_line("main.py", {"mode": "test"} | given), parse]


def command_line(program: str, flags: Mapping[str, object], *words: str) -> str:
    """A command of this project, as a shell takes it in the current folder."""
    words = [os.path.relpath(ROOT / program), *words, *(word for flag in flags.items() for word in _words(*flag))]
    return shlex.join(["python", *words])


def _words(flag: str, value: object) -> list[str]:
    """A flag and its value as words of a command line; a value that begins with a dash would be taken for a flag."""
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}={value}"] if str(value).startswith("-") else [f"--{flag}", str(value)]
