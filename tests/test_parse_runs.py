"""Runs of utils/parse_video.py over several videos: one bad video, killed runs, where the networks run."""

# ruff: noqa: F811

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.media_files import make_video
from tests.test_parse_video import FILES, parse, small, small_networks  # noqa: F401 (fixtures)
from utils.base.files import locked_path
from utils.parse import outputs
from utils.parse import parser as parser_module
from utils.parse.parser import VideoParser


@pytest.mark.parametrize("order", [("missing.mp4", "good.mp4", "taken.mp4"), ("taken.mp4", "good.mp4", "missing.mp4")])
def test_an_error_of_the_system_costs_one_video_wherever_it_stands(parse, order):
    for name in ("good", "taken"):
        make_video(Path(f"{name}.mp4"), seconds=1)
    Path("out").mkdir()
    Path("out/taken").write_text("a file where a folder is to be")
    result = parse(*order)
    assert result.status == 1 and "1 videos parsed, 2 failed" in result.err
    assert "failed: missing.mp4: no such file" in result.err
    assert "failed: out/taken: File exists" in result.err
    assert sorted(p.name for p in Path("out/good").iterdir()) == FILES
    result = parse("taken.mp4")
    assert result.status == 2 and "out/taken: File exists" in result.error


def test_leftovers_of_killed_runs_are_removed_and_those_of_other_runs_stay(parse):
    make_video(Path("good.mp4"), seconds=1)
    for name in ("old", "older", "used"):
        folder = Path(f"out/.parse_video-{name}.tmp")
        folder.mkdir(parents=True)
        (folder / "events.csv").write_text("half a file")
    Path("out/.parse_video-notes.txt").touch()
    with locked_path(Path("out/.parse_video-used.tmp"), "it is in use"):
        assert parse("good.mp4").status == 0
    left = sorted(p.name for p in Path("out").iterdir())
    assert left == [".parse_video-notes.txt", ".parse_video-used.tmp", "good"]
    assert Path("out/.parse_video-used.tmp/events.csv").is_file()
    assert parse("good.mp4").status == 0 and not Path("out/.parse_video-used.tmp").exists()


def test_many_writers_at_once_do_not_remove_each_others_folders(tmp_path):
    def write(number: int) -> list[str]:
        with outputs.work_folder(tmp_path) as work:
            (work / "a").write_text(str(number))
            time.sleep(0.001)
            return [path.read_text() for path in work.iterdir()]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(200))) == [[str(number)] for number in range(200)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_parser_runs_where_the_command_runs(small, monkeypatch, precision):
    """Without a device the class asks as the command does: for the first GPU."""
    asked = []
    choose = lambda gpu, precision: asked.append((gpu, precision)) or torch.device("meta")
    monkeypatch.setattr(parser_module, "network_device", choose)
    monkeypatch.setattr(parser_module, "load_encoder", lambda kind, weights, device, *more, **own: asked.append(device))
    path = small / "VALOR/checkpoint_best.pt"
    assert VideoParser.load(path, precision=precision).device == torch.device("meta")
    assert asked == [("0", precision), *[torch.device("meta")] * 3]
    assert VideoParser.load(path, device="cpu").device == torch.device("cpu") and len(asked) == 7
