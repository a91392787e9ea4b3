"""Every format of this program's own gives back any text that was written to it, or refuses it in one line."""

import contextlib
import csv
import io
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.base.errors import InputError
from utils.base.files import append_line, csv_line, write_text
from utils.features import packed
from utils.features.packed import ColumnSpec, Packed, Writer
from utils.llp.annotations import read_predictions, write_predictions
from utils.llp.classes import CLASSES, read_classes, write_classes
from utils.llp.datasets import LLP
from utils.llp.events import EVENT_COLUMNS, read_events, write_events
from utils.llp.tables import write_table
from utils.llp.videos import SPLIT_COLUMNS, read_split
from utils.train.run_folder import arguments_text, read_arguments

# what separates, quotes, ends or is stripped in some format, and half a character that no file can hold
ODD = [*"\"'\t\r\n ,:;\\\0\x0b\x0c\x1a\x1c\x85\xa0\u2028\u2029\ufeff#%&*!|>-{}[]é日😀", "\ud800", "NA", ": ", "\r\n"]
TEXTS = st.one_of(st.text(min_size=1, max_size=12), st.lists(st.sampled_from(ODD), min_size=1, max_size=6).map("".join))
FEW = settings(max_examples=200, deadline=None, derandomize=True)
VALUES = ((0, 0, 4), (0, 5, 10), (1, 2, 3))  # class, onset, offset


def segments() -> np.ndarray:
    values = np.zeros((2, 2, 10), bool)
    for label, onset, offset in VALUES:
        values[1, label, onset:offset] = True
    return values


@contextlib.contextmanager
def refused(*texts: str):
    """A text may be refused, in one line, unless it is harmless."""
    try:
        yield
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert not all(text.isascii() and text.replace("_", "").isalnum() for text in texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("texts")


@FEW
@given(name=TEXTS, label=TEXTS)
def test_predictions(folder, name, label):
    """Perfect predictions stay perfect, whatever videos and classes are called."""
    if label == "other" or name == "one":
        return
    with refused(name, label):
        write_predictions(folder, ["one", name], segments(), segments(), LLP.named((label, "other")))
        back = read_predictions(folder, ["one", name], Path("list.csv"), LLP.named((label, "other")))
        assert np.array_equal(back.audio, segments()) and not back.issues


@FEW
@given(name=TEXTS, label=TEXTS)
def test_events_and_splits(folder, name, label):
    with refused(name, label):
        events = pd.DataFrame([(name, 0, 4, label)], columns=EVENT_COLUMNS)
        write_events(folder / "events.csv", events)
        found = read_events(folder / "events.csv", LLP.named((label,)))
        assert found.filename.tolist() == [name] and (found.onset[0], found.offset[0], found.label[0]) == (0, 4, 0)
    if "," in label:  # separates the labels of a split
        return
    with refused(name, label):
        write_table(folder / "split.csv", SPLIT_COLUMNS, [(name, label), ("b", label)])
        with contextlib.suppress(InputError):  # a name that would leave the folder of features
            assert read_split(folder / "split.csv", LLP.named((label,))).filenames == [name, "b"]


@FEW
@given(name=TEXTS, caption=TEXTS, threshold=st.floats(-1e9, 1e9))
def test_classes(folder, name, caption, threshold):
    classes = (CLASSES[0]._replace(name=name, clip_caption=caption, clip_threshold=threshold), CLASSES[1])
    if name == CLASSES[1].name:
        return
    with refused(name, caption):
        write_classes(folder / "classes.yaml", classes)
        assert read_classes(folder / "classes.yaml") == classes


@FEW
@given(value=TEXTS, other=TEXTS)
def test_arguments(folder, value, other):
    arguments = {"audio_dir": value, "nhead": 8, "wandb_run_name": other}
    with refused(value, other):
        write_text(folder / "arguments.txt", arguments_text(arguments))
        assert read_arguments(folder) == {"audio_dir": value, "nhead": "8", "wandb_run_name": other}


@FEW
@given(names=st.lists(TEXTS, min_size=1, max_size=4))
def test_packed_names(folder, names):
    with refused(*names):
        values = packed.encode_texts(names)
        with Writer.open(folder / "a.h5", {"train/filename": ColumnSpec(values.shape, values.dtype, {})}, {}) as writer:
            writer.append("train/filename", values)
        assert packed.read_texts(Packed.open(folder / "a.h5", indexed=True).columns["train"]["filename"]) == names
        with h5py.File(folder / "a.h5") as other:
            assert [text.decode() for text in other["train/filename"][()].tolist()] == names


@FEW
@given(name=TEXTS, reason=TEXTS)
def test_lists_of_failures_and_events_of_any_video(folder, name, reason):
    """Comma-separated files, as Python's reader reads them."""
    (folder / "failures.csv").unlink(missing_ok=True)
    with refused(name, reason):
        for row in (("id", "reason"), (name, reason), (reason, name)):
            append_line(folder / "failures.csv", csv_line(row))
        text = (folder / "failures.csv").read_bytes().decode()
        assert list(csv.reader(io.StringIO(text, newline=""))) == [["id", "reason"], [name, reason], [reason, name]]
