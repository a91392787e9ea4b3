"""docs/OWN_DATA.md, typed as it is printed: ten recordings, labels, teachers, thresholds, training, and a parsed video.

Small networks stand in for those whose weights are large; CLAP is of its real size, with weights that know nothing.
"""

import importlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests import synthetic
from tests.conftest import ROOT
from tests.media_files import make_video
from utils.llp.datasets import read_dataset
from utils.llp.videos import read_split

DOC = (ROOT / "docs/OWN_DATA.md").read_text(encoding="utf-8")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "market", "fair", "snow")
CPU = ("--gpu", "-1")
TINY = ("--hidden_dim", "16", "--nhead", "2", "--ff_dim", "32", "--num_workers", "0", *CPU)


def blocks(kind: str) -> list[str]:
    """The code blocks of the document of a kind, '' for those without."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def entrance(tmp_path, monkeypatch, clap_files):
    """A working directory with recordings and the document's files; returns further flags by the name of a command."""
    synthetic.use_small_networks(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("small").mkdir()
    weights = synthetic.write_small_networks(Path("small"), clap_files / "clap.pt")
    for number, day in enumerate(DAYS):
        seconds = 13 if day == "monday" else 10
        make_video(Path(f"recordings/{day}.mp4"), "8", seconds, "64x48", f"sine=frequency={300 + 40 * number}")
    for folder in ("entrance", "labels"):
        Path(folder).mkdir()
    Path("entrance/dataset.yaml").write_text(blocks("yaml")[0])
    (example,) = re.findall(r"^```\n(\d.*?)^```$", DOC, re.DOTALL | re.MULTILINE)
    for number, day in enumerate(DAYS):
        rows = "".join(f"{t}\t{t + 3}\t{name}\n" for t, name in ((0, "Dog"), (3, ("Speech", "Door")[number % 2])))
        Path(f"labels/{day}.txt").write_text(example if day == "monday" else rows)
    clip = weights["--clip_model"]
    return {
        "clip_preprocess": ("--model", clip, *CPU),
        "clap_preprocess": ("--checkpoint", clap_files / "clap.pt", "--any_vocabulary", *CPU),
        "extract_features": ("--checkpoint", "small/r2plus1d_18.pt", *CPU),
        "main": TINY,
        "parse_video": (*(f"{flag}={value}" for flag, value in weights.items()), *CPU),
    }


def test_every_command_as_it_is_printed(entrance, command):
    said = []
    for words in commands():
        assert words[0] == "python" and (ROOT / words[1]).is_file(), words
        name = words[1].removesuffix(".py").replace("/", ".")
        more = entrance.get(name.split(".")[-1], ())
        more = (*more, "--epochs", "3", "--lr", "1e-2") if name == "main" and "--mode" not in words else more
        result = command(importlib.import_module(name), *words[2:], *more)
        assert result.status == 0, (words, result.err)
        said.append((name, result))
    dataset = read_dataset("entrance/dataset.yaml")

    imported = next(result for name, result in said if name.endswith("import_labels"))
    assert "10 recordings, 11 videos" in imported.out and "1 (monday_10_13)" in imported.err
    splits = {split: read_split(Path(f"entrance/{split}.csv"), dataset).filenames for split in ("train", "val", "test")}
    assert [len(names) for names in splits.values()] == [6, 2, 2]
    rows = [line.split("\t") for line in Path("entrance/eval_audio.csv").read_text().splitlines()]
    assert [row[1:] for row in rows if row[0] == "monday_0_10"] == [["0", "3", "Dog"], ["5", "8", "Speech"]]

    again = [result.out for name, result in said if name.endswith("_preprocess")][2:]
    assert all(re.search(r"\d+ label files? written from logits", out) for out in again)  # step 5 says so
    assert Path("entrance/CLIP/threshold_sweep.png").is_file()

    trained, tested = (result for name, result in said if name == "main")
    printed = shlex.split(trained.out.split("Next:\n")[1].splitlines()[0])
    typed = next(words for words in commands() if "--mode" in words)
    typed = typed[: typed.index("--save_predictions")]
    pairs = {name: value for name, value in zip(printed[2::2], printed[3::2], strict=True) if name not in TINY}
    assert pairs == dict(zip(typed[2::2], typed[3::2], strict=True))  # what training prints is what step 7 says
    assert "Annotations: Entrance" in tested.out
    assert splits["test"][0] in Path("entrance/results.html").read_text()
    assert json.loads(Path("events/monday/events.json").read_text())["seconds"] == pytest.approx(13, abs=0.1)


def test_other_lengths_are_a_data_set(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text(blocks("yaml")[1])
    found = read_dataset(path)
    assert found.seconds is None and found.class_names == ("Dog", "Speech", "Door")
    assert np.all([found.rates(stream) for stream in ("audio", "visual", "visual_st")])
