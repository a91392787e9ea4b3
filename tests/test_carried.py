"""Predictions carry their classes, and a data set that is not LLP its description: no flag is needed to read them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from utils import make_report, plot_timeline, score_predictions
from utils.base.errors import InputError
from utils.llp.annotations import write_predictions
from utils.llp.carried import carried_dataset
from utils.llp.classes import plain_class, write_classes
from utils.llp.datasets import LLP, read_dataset
from utils.llp.events import segments_to_events, write_events

NAMES = ("Knock", "Door bell")


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_truth(folder: Path, dataset, files, segments, videos):
    """A test list and annotations of (N, C, T) segments."""
    folder.mkdir(exist_ok=True)
    Path(folder, dataset.splits["test"]).write_text(
        "filename\tevent_labels\n" + "".join(f"{v}\tKnock\n" for v in videos)
    )
    for name in files:
        write_events(folder / name, segments_to_events(segments, videos, NAMES, dataset.offset))


@pytest.mark.parametrize("other", [False, True])
def test_every_reader_finds_them(in_tmp, command, other):
    """Own classes of LLP's form, and a data set of inclusive offsets: read as LLP's, each event would lack a second."""
    dataset = LLP.named(NAMES)
    if other:
        Path("doors").mkdir()
        entries = {"name": "Doors", "seconds": 4, "offset": "inclusive", "classes": list(NAMES)}
        Path("doors/dataset.yaml").write_text(yaml.safe_dump(entries))
        dataset = read_dataset("doors/dataset.yaml")
    segments = np.random.default_rng(0).random((3, 2, dataset.seconds)) < 0.5
    write_truth(Path(dataset.folder), dataset, dataset.reference.values(), segments, ["a", "b", "c"])
    write_predictions(Path("pred"), ["a", "b", "c"], segments, segments, dataset)
    assert carried_dataset(Path("pred")).class_names == NAMES
    assert Path("pred/classes.yaml").is_file() and Path("pred/dataset.yaml").is_file() == other
    result = command(score_predictions, "--pred_dir", "pred", "--classwise")
    assert result.status == 0 and "| 100.00 | 100.00 |" in result.out and "Door bell" in result.out, result.err
    result = command(make_report, "--pred_dir", "pred", "--out", "page.html")
    assert result.status == 0 and "Door bell" in Path("page.html").read_text(), result.err
    assert command(plot_timeline, "--pred_dir", "pred", "--out", "figure.svg").status == 0


def test_flags_come_before_what_is_carried(in_tmp, command):
    dataset = LLP.named(NAMES)
    write_truth(Path("data"), dataset, LLP.reference.values(), np.ones((1, 2, 10), bool), ["a"])
    write_predictions(Path("pred"), ["a"], *np.ones((2, 1, 2, 10), bool), dataset)
    write_classes(Path("other.yaml"), [plain_class("Knock"), plain_class("Bell")])
    for flags, unknown in ((("--classes", "other.yaml"), "Door bell"), (("--dataset", "llp"), "Knock")):
        result = command(score_predictions, "--pred_dir", "pred", *flags)
        assert result.status == 2 and f"unknown class '{unknown}'" in result.error
        assert result.error.endswith("; --classes FILE names others")


def test_files_of_the_user_are_kept(in_tmp):
    """Predictions that are saved where the data set is leave its files as they were written by hand."""
    Path("dataset.yaml").write_text(text := "# mine\nname: Doors\nseconds: 4\nclasses: [Knock, Door bell]\n")
    classes = "".join(
        f"- {{name: {name}, clip_caption: a, clap_caption: b, clip_threshold: 9, clap_threshold: 9}}  # mine\n"
        for name in NAMES
    )
    Path("classes.yaml").write_text(classes)
    dataset = read_dataset("dataset.yaml", Path("classes.yaml"))
    write_predictions(Path(), ["a"], *np.ones((2, 1, 2, 4), bool), dataset)
    assert Path("dataset.yaml").read_text() == text and Path("classes.yaml").read_text() == classes
    other = dataset.named(["Knock", "Bell"])
    write_predictions(Path(), ["a"], *np.ones((2, 1, 2, 4), bool), other)  # of other classes: theirs count now
    assert carried_dataset(Path()).class_names == other.class_names == ("Knock", "Bell")


def test_a_folder_carries_one_data_set(in_tmp):
    """The same set in another folder is described anew; LLP's predictions beside another description are refused."""
    for folder in ("here", "there"):
        Path(folder).mkdir()
        Path(folder, "dataset.yaml").write_text("name: Doors\nseconds: 4\nclasses: [Knock, Door bell]\n")
        write_predictions(Path("pred"), ["a"], *np.ones((2, 1, 2, 4), bool), read_dataset(f"{folder}/dataset.yaml"))
        assert carried_dataset(Path("pred")).folder == folder
    before = Path("pred/pred_audio.csv").read_text()
    with pytest.raises(InputError, match="pred/dataset.yaml: describes another data set than LLP"):
        write_predictions(Path("pred"), ["b"], *np.ones((2, 1, 2, 10), bool), LLP.named(NAMES))
    assert Path("pred/pred_audio.csv").read_text() == before
