"""Labels of Audacity, ELAN and Label Studio: the rule of rounding, each form, and what the command writes and says."""

import collections
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pympi
import pytest
import yaml

from tests.test_parse_video import video_of
from utils import import_labels
from utils.base.errors import InputError
from utils.convert.imported import import_labels as from_labels
from utils.convert.label_files import Label, Labelled, read_labels
from utils.convert.meaning import modalities_of, whole_segments
from utils.convert.splits import split_by_recording
from utils.llp.annotations import read_reference
from utils.llp.datasets import LLP, read_dataset
from utils.llp.videos import read_split
from utils.parse.events import find_events
from utils.parse.formats import audacity_text

CLASSES = ["Dog", "Door bell", "Speech"]


@pytest.fixture
def doors(tmp_path, monkeypatch):
    """A data set of ten seconds in a working directory; returns a function that reads it with other entries."""
    monkeypatch.chdir(tmp_path)
    Path("doors").mkdir()

    def write(**entries):
        Path("doors/dataset.yaml").write_text(
            yaml.safe_dump({"name": "Doors", "seconds": 10, "classes": CLASSES} | entries)
        )
        return read_dataset("doors/dataset.yaml")

    write()
    return write


# ---------------------------------------------------------------- rounding


@pytest.mark.parametrize(
    ("intervals", "segments"),
    [
        ([(0, 2)], {0, 1}),
        ([(0.5, 2.5)], {0, 1, 2}),  # exactly half of the first and of the last
        ([(0.51, 2.49)], {1}),
        ([(3.2, 3.7)], {3}),  # half of it, though floats say 0.4999...
        ([(0.7, 1.2)], {0}),  # half of none: most of the first
        ([(0.9, 1.2)], {1}),
        ([(1.9, 2.1)], {1}),  # alike: the first
        ([(4.0, 4.01)], {4}),  # however short
        ([(0.0, 0.3), (0.6, 0.9)], {0}),  # half of it together
        ([(0.0, 0.3), (0.2, 0.4)], {0}),  # overlapping: 0.4 of it, which is the one that it covers most
        ([(0.8, 1.4), (1.4, 1.6)], {1}),  # they touch, so they are one
        ([(0.9, 1.05), (1.05001, 2)], {1}),  # the short one is in a segment that has the event
        ([(-0.7, 0.2)], {-1}),
        ([], set()),
    ],
)
def test_rounding_by_hand(intervals, segments):
    assert whole_segments(intervals) == segments


def test_rounding_is_what_counting_milliseconds_says():
    rng = np.random.default_rng(0)
    for _ in range(300):
        onsets = rng.integers(0, 9000, rng.integers(1, 6))
        intervals = [(int(a), int(a + rng.integers(1, rng.choice([300, 3000])))) for a in onsets]
        there = np.zeros(13_000, bool)
        for a, b in intervals:
            there[a:b] = True
        counts = there.reshape(13, 1000).sum(axis=1)
        expected = set(np.flatnonzero(counts >= 500).tolist())
        edges = np.flatnonzero(np.diff(np.r_[False, there, False].astype(int)))
        for a, b in edges.reshape(-1, 2):
            own = np.bincount(np.arange(a, b) // 1000, minlength=13)
            if not set(np.flatnonzero(own).tolist()) & set(np.flatnonzero(counts >= 500).tolist()):
                expected.add(int(own.argmax()))
        assert whole_segments([(a / 1000, b / 1000) for a, b in intervals]) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("audio", "a"),
        ("Sound events", "a"),
        ("audioLabels", "a"),
        ("AUDIO", "a"),
        ("visual", "v"),
        ("what is seen", "v"),
        ("audio_visual", "av"),
        ("AudioVisual", "av"),
        ("AV", "av"),
        ("both", "av"),
        ("videoLabels", ""),  # a video has both
        ("labels", ""),
        ("auditory", ""),
        ("", ""),
    ],
)
def test_names_that_say_the_modality(text, said):
    assert {name[0] for name in modalities_of(text)} == set(said)


# ---------------------------------------------------------------- forms


def test_audacity(tmp_path):
    path = tmp_path / "holiday.txt"
    lines = (
        "\ufeff0.000000\t1.500000\taudio: Dog",
        "\\\t300.5\t8000",
        "2,5\t3\tDoor bell",
        "",
        "4\t4",
        "5\t6\ta\tb",
        "",
    )
    path.write_bytes("\r\n".join(lines).encode())
    (found,) = read_labels([path])
    assert found.names == ("holiday",) and not found.skipped
    assert found.labels == [
        Label(0, 1.5, "audio: Dog"),
        Label(2.5, 3, "Door bell"),
        Label(4, 4, ""),
        Label(5, 6, "a\tb"),
    ]


@pytest.mark.parametrize("line", ["1.0 2.0 Dog", "a\tb\tDog", "1.0", "1..2\t3\tDog"])
def test_what_is_no_label_track_costs_one_line(tmp_path, line):
    (tmp_path / "x.txt").write_text(f"0\t1\tDog\n{line}\n")
    with pytest.raises(InputError, match="x.txt, line 2: .* expected a label track of Audacity"):
        read_labels([tmp_path])


def elan(path: Path, media: str = "", **tiers) -> Path:
    document = pympi.Eaf(author="test")
    document.remove_tier("default")
    if media:
        document.add_linked_file(media, mimetype="video/mp4")
    for tier, rows in tiers.items():
        document.add_tier(tier)
        for row in rows:
            document.add_annotation(tier, *row)
    document.to_file(str(path))
    return path


def test_elan(tmp_path):
    path = elan(
        tmp_path / "notes.eaf",
        "file:///C:/my%20videos/holiday.mp4",
        audio=[(0, 1500, "Dog")],
        seen=[(200, 900, " Speech ")],
    )
    (found,) = read_labels([path])
    assert found.names == ("notes", "holiday")
    assert found.labels == [Label(0, 1.5, "Dog", "audio"), Label(0.2, 0.9, "Speech", "seen")]


def test_elan_without_times_or_with_an_offset(tmp_path):
    path = elan(tmp_path / "a.eaf", "file:///a.mp4", audio=[(0, 1500, "Dog"), (2000, 3000, "Dog")])
    text = path.read_text()
    path.write_text(text.replace(' TIME_VALUE="3000"', ""))
    (found,) = read_labels([path])
    assert found.labels == [Label(0, 1.5, "Dog", "audio")] and found.skipped == {"annotations without a time": 1}
    path.write_text(text.replace("MEDIA_URL=", 'TIME_ORIGIN="2000" MEDIA_URL=', 1))
    with pytest.raises(InputError, match="its media have an offset"):
        read_labels([path])
    for bad in ("<ANNOTATION_DOCUMENT>", "no XML", "<a/>", ""):
        path.write_text(bad)
        with pytest.raises(InputError, match="a.eaf: not an .eaf file that can be read"):
            read_labels([path])


def test_elan_without_its_library(tmp_path, monkeypatch):
    path = elan(tmp_path / "a.eaf", audio=[(0, 1500, "Dog")])
    monkeypatch.setitem(sys.modules, "pympi", None)
    with pytest.raises(InputError, match="a.eaf: needs pympi-ling, which is not installed"):
        read_labels([path])


def studio(*tasks) -> str:
    """An export: (data, results, further annotations)."""
    made = []
    for number, (data, results, *more) in enumerate(tasks):
        done = [{"was_cancelled": True, "result": [{}]}, {"id": 1, "result": results}]
        made.append({"id": number, "data": data, "annotations": done + [{"result": more}] * bool(more)})
    return json.dumps(made)


def sound(start, end, *labels, name="labels"):
    value = {"start": start, "end": end, "channel": 0, "labels": list(labels)}
    return {"from_name": name, "to_name": "audio", "type": "labels", "original_length": 20.0, "value": value}


def frames(start, end, label, name="videoLabels"):
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {"from_name": name, "to_name": "video", "type": "timelinelabels", "value": value}


def test_label_studio(tmp_path):
    box = {"type": "videorectangle", "from_name": "box", "value": {"sequence": [], "labels": ["Dog"]}}
    path = tmp_path / "export.json"
    path.write_text(
        studio(
            (
                {"title": "My dog", "audio": "/data/upload/3/0a1b2c3d-holiday.wav"},
                [sound(0.5, 2, "Dog", "Speech", name="audio")],
            ),
            ({"video": "/data/local-files/?d=clips%2Fwalk.mp4"}, [frames(1, 48, "Dog"), box], sound(0, 1, "Dog")),
            ({"video": "s3://bucket/empty.mp4?token=a.b"}, []),
        )
    )
    first, second, third = read_labels([path])
    assert first.names[:2] == ("holiday", "0a1b2c3d-holiday")
    assert first.labels == [Label(0.5, 2, "Dog", "audio"), Label(0.5, 2, "Speech", "audio")] and not first.skipped
    assert second.names == ("walk",) and second.labels == [
        Label(0, 2, "Dog", "videoLabels")
    ]  # 48 frames at 24 a second
    assert second.skipped == {"further annotations of a task": 1, "results of the kind videorectangle": 1}
    assert third.names == ("empty",) and not third.labels
    assert read_labels([path], fps=48)[1].labels[0].offset == 1


@pytest.mark.parametrize(
    "text", ["{", "[1]", "{}", '[{"data": {}}]', '[{"data": [], "annotations": []}]', "[[]]", '"x"']
)
def test_what_is_no_export_costs_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match="x.json: expected Label Studio's export as JSON"):
        read_labels([tmp_path])


def test_files_that_are_no_labels(tmp_path):
    with pytest.raises(InputError, match="holds no labels, expected files that end in .txt, .eaf, .json"):
        read_labels([tmp_path])
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(InputError, match="x.csv: expected a folder, or a file"):
        read_labels([tmp_path / "x.csv"])
    with pytest.raises(InputError, match="x.txt: no such file"):
        read_labels([tmp_path / "x.txt"])


# ---------------------------------------------------------------- events


def drawn(name, *labels):
    return Labelled(Path(f"{name}.txt"), (name,), [Label(*label) for label in labels], collections.Counter())


def rows_of(found):
    return {m: sorted(map(tuple, rows.itertuples(index=False))) for m, rows in found.events.items()}


def test_what_is_dropped_is_counted(doors):
    labels = drawn(
        "a",
        (0, 2, "audio: Dog"),
        (0, 2, "audio: Dog"),  # duplicate
        (2, 3.6, "audio: Dog"),  # merged with the first
        (4, 4, "Dog"),  # empty
        (5, 4, "Dog"),  # reversed
        (9, 12, "visual: Speech"),  # cut
        (10, 12, "visual: Dog"),  # beyond
        (9.9, 10.8, "visual: Dog"),  # most of it is beyond
        (1, 2, "Cat"),
        (1, 2, "Cat"),
        (1, 2, ""),
        (6, 7, "door_BELL"),  # however it is written; says no modality
    )
    found = from_labels([labels], doors())
    assert rows_of(found) == {
        "audio": [("a", 0, 4, "Dog"), ("a", 6, 7, "Door bell")],
        "visual": [("a", 6, 7, "Door bell"), ("a", 9, 10, "Speech")],
    }
    assert found.weak == {"a": [0, 1, 2]}
    first, unknown, unsaid, hint = found.notes
    assert hint.endswith("give the list of the clips by --list")
    counts = set(first.split(": ")[1].split(", "))
    assert counts == {
        "1 duplicate",
        "1 merged with another of its class",
        "1 empty (without a duration)",
        "1 that end before they begin",
        "1 cut at the end of their video",
        "2 beyond the end of their video",
    }
    assert unknown == "labels of unknown classes are left out: 'Cat' 2, '' 1; --classes FILE names others"
    assert unsaid.startswith("labels that say neither audio nor visual: 3, counted as audio and visual (--modality)")


@pytest.mark.parametrize("default", ["audio", "visual", "both"])
def test_the_default_modality(doors, default):
    label = drawn("a", (0, 1, "Dog"), (2, 3, "visual: Dog"), (4, 5, "Dog", "audio"), (6, 7, "audio: Dog", "visual"))
    found = rows_of(from_labels([label], doors(), default=import_labels.MODALITY[default]))
    unsaid = [("a", 0, 1, "Dog")]
    assert found["audio"] == unsaid * (default != "visual") + [("a", 4, 5, "Dog"), ("a", 6, 7, "Dog")]
    assert found["visual"] == unsaid * (default != "audio") + [("a", 2, 3, "Dog")]


def test_clips_have_the_events_of_their_recording(doors):
    """An event at the border of two clips is rounded as in the recording; the rest of 4 s has ten segments of 0.4 s."""
    labels = drawn(
        "walk", (8, 12, "audio: Dog"), (19.7, 20.1, "audio: Speech"), (22, 23, "audio: Dog"), (30, 31, "audio: Dog")
    )
    listed = ["walk_0_10", "walk_10_20", "walk_20_24", "other_0_10"]
    found = from_labels([labels, drawn("stray", (0, 1, "Dog"))], doors(), listed)
    assert rows_of(found)["audio"] == [
        ("walk_0_10", 8, 10, "Dog"),
        ("walk_10_20", 0, 2, "Dog"),
        ("walk_10_20", 9, 10, "Speech"),
        ("walk_20_24", 5, 8, "Dog"),  # 22 to 23 s are its segments 5 to 7.5, of which the last is half covered
    ]
    assert "labels of no listed video: 1 (stray)" in found.notes
    assert "listed videos without labels: 1 (other_0_10)" in found.notes
    assert "1 beyond the end of their video" in found.notes[0]
    own = from_labels([labels, drawn("walk_10_20", (0, 1, "visual: Dog"))], doors(), listed)  # labels of the clip win
    assert ("walk_10_20", 0, 1, "Dog") in rows_of(own)["visual"]
    assert not [row for row in rows_of(own)["audio"] if row[0] == "walk_10_20"]
    with pytest.raises(InputError, match="walk_0_20: is a clip of 20 s, expected 10 s, as in Doors"):
        from_labels([labels], doors(), ["walk_0_20"])


@pytest.mark.parametrize("times", [(0, float("nan")), (float("nan"), 1), (0, float("inf")), (-1e9, 1)])
def test_impossible_times(doors, times):
    with pytest.raises(InputError, match="a.txt: 'Dog' has the time .* s, expected at most 10000000"):
        from_labels([drawn("a", (*times, "Dog"))], doors())


def test_numbers_that_are_no_times(doors):
    found = from_labels([drawn("take_1_2", (3, 5, "audio: Dog"))], doors(), ["take_1_2"])
    assert rows_of(found)["audio"] == [("take_1_2", 3, 5, "Dog")]


def test_llps_files_are_of_clips(doors):
    """`<id>.txt` is of the ten seconds that the list names, as `<id>.mp4` is."""
    found = from_labels([drawn("BjCEufrlXm4", (3, 5, "audio: Dog"))], LLP, ["BjCEufrlXm4_20_30"])
    assert rows_of(found)["audio"] == [("BjCEufrlXm4_20_30", 3, 5, "Dog")]


def test_two_files_of_one_recording(doors):
    found = from_labels([drawn("a", (0, 1, "audio: Dog")), drawn("a", (0, 2, "visual: Dog"))], doors())
    assert rows_of(found) == {"audio": [("a", 0, 1, "Dog")], "visual": [("a", 0, 2, "Dog")]}


@pytest.mark.parametrize("offset", ["exclusive", "inclusive", "touching"])
@pytest.mark.parametrize("seconds", [10, "per_video"])
def test_reading_what_was_written(doors, command, offset, seconds):
    """Labels of whole segments, written by the command and read by the scorer, are the same segments."""
    dataset, rng = doors(offset=offset, seconds=seconds), np.random.default_rng(3)
    truth = rng.random((4, 2, 3, 10)) < 0.4
    truth[:, :, 0, 9] = True  # so that all last ten seconds, also without a list of lengths
    Path("labels").mkdir()
    for video, segments in enumerate(truth):
        lines = [
            f"{t}\t{t + 1}\t{('audio', 'visual')[m]}: {CLASSES[c]}\n" for m, c, t in np.argwhere(segments).tolist()
        ]
        Path(f"labels/v{video}.txt").write_text("".join(lines))
    result = command(import_labels, "--labels", "labels", "--dataset", "doors/dataset.yaml")
    assert result.status == 0, result.err
    split = read_split(Path("doors/videos.csv"), dataset)
    assert split.filenames == [f"v{i}" for i in range(4)]
    assert np.array_equal(split.weak > 0, truth.any(axis=(1, 3)))
    found = read_reference(Path("doors"), split.filenames, dataset)
    for video in range(4):
        assert np.array_equal(found.audio[video], truth[video, 0]) and np.array_equal(
            found.visual[video], truth[video, 1]
        )
    assert not found.issues


def test_annotated_together(doors):
    label = drawn("a", (0, 3, "audio: Dog"), (2, 5, "visual: Dog"), (6, 7, "Speech"))
    found = from_labels([label], doors(modalities=["audio_visual"]))
    assert rows_of(found) == {"audio_visual": [("a", 2, 3, "Dog"), ("a", 6, 7, "Speech")]}
    assert found.weak == {"a": [0, 2]}


def test_what_parse_video_exports_comes_back(doors, command):
    """events/<video>/events.txt, beside events.json, is a label track of the video."""
    names = ["Dog", "Door: bell"]
    rng = np.random.default_rng(2)
    video = video_of(*(rng.random((2, 10, 2)) > 0.5).astype(float), names=names)
    Path("classes.yaml").write_text(
        yaml.safe_dump(
            [{"name": n, "clip_caption": n, "clap_caption": n, "clip_threshold": 1, "clap_threshold": 1} for n in names]
        )
    )
    events = find_events(video)
    assert set(events.modality) == {"audio", "visual", "audio_visual"}
    Path("events/walk").mkdir(parents=True)
    Path("events/walk/events.txt").write_text(audacity_text(events))
    Path("events/walk/events.json").write_text('{"format": "valor-events"}')
    result = command(import_labels, "--labels", "events", "--classes", "classes.yaml", "--out", "back")
    assert result.status == 0, result.err
    dataset = read_dataset(None, Path("classes.yaml"))
    found = read_reference(Path("back"), ["walk"], dataset)
    for modality in ("audio", "visual"):
        expected = np.zeros((len(names), 10), bool)
        for e in events[events.modality == modality].itertuples():
            expected[names.index(e.event_labels), round(e.onset) : round(e.offset)] = True
        assert np.array_equal(getattr(found, modality)[0], expected) and expected.any()


# ---------------------------------------------------------------- the command


def test_lists_of_three_splits(doors, command):
    Path("labels").mkdir()
    listed = [f"walk{i}_{b}_{b + 10}" for i in range(10) for b in (0, 10)]
    Path("clips.csv").write_text("filename\tevent_labels\n" + "".join(f"{name}\t\n" for name in listed))
    for i in range(10):
        Path(f"labels/walk{i}.txt").write_text("2\t13\taudio: Dog\n" if i else "2\t5\taudio: Dog\n")
    flags = ("--labels", "labels", "--dataset", "doors/dataset.yaml", "--list", "clips.csv", "--split", 6, 2, 2)
    result = command(import_labels, *flags)
    assert result.status == 0 and "videos without an event are in no list: 1 (walk0_10_20)" in result.err, result.err
    assert "10 labels of 10 recordings, 20 videos" in result.out
    names = {split: read_split(Path(f"doors/{split}.csv"), doors()).filenames for split in ("train", "val", "test")}
    recordings = {split: {name.split("_")[0] for name in found} for split, found in names.items()}
    assert [len(found) for found in recordings.values()] == [6, 2, 2]
    assert sorted(itertools.chain(*names.values())) == sorted(set(listed) - {"walk0_10_20"})
    assert len(set.union(*recordings.values())) == 10  # none is in two of them
    before = {path.name: path.read_bytes() for path in Path("doors").iterdir()}
    assert command(import_labels, *flags).status == 0
    assert before == {path.name: path.read_bytes() for path in Path("doors").iterdir()}


def test_the_list_of_clips_is_never_written_over(doors, command):
    """Clips without events, which the written list lacks, would be lost to the next run."""
    Path("doors/videos.csv").write_text(text := "filename\tevent_labels\nwalk_0_10\t\nwalk_10_20\t\n")
    Path("walk.txt").write_text("0\t1\tDog\n")
    flags = ("--labels", "walk.txt", "--dataset", "doors/dataset.yaml", "--list", "doors/videos.csv")
    result = command(import_labels, *flags)
    assert result.status == 2 and "--list doors/videos.csv: would be written over" in result.error
    assert Path("doors/videos.csv").read_text() == text


def test_each_split_needs_a_recording():
    videos = [f"{name}_{k}0_{k + 1}0" for name in "abc" for k in range(2)]
    parts = split_by_recording(videos, (1, 1, 1))
    assert sorted(parts) == [videos[k : k + 2] for k in (0, 2, 4)]
    assert sorted(map(len, split_by_recording(list("abcdef"), (1, 1, 1)))) == [2, 2, 2]
    with pytest.raises(InputError, match="--split 8 1 1: 3 recordings with events, of which 2, 1, 0 would go"):
        split_by_recording(videos, (8, 1, 1))


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (
            "0\t1\tCat\n",
            (),
            "no label is an event of a video; labels of unknown classes are left out: 'Cat' 1; --classes",
        ),
        ("", (), "no label is an event of a video; there are no labels"),
        ("0\t1e9\tDog\n", (), "line 1"),
        ("0\t99999999999\tDog\n", (), "has the time 1e+11 s, expected at most 10000000"),
        ("0\t1\tDog\n", ("--list", "none.csv"), "none.csv: no such file"),
        ("0\t1\tDog\n", ("--split", 1, 1, 1), "--split 1 1 1: 1 recordings with events"),
        ("0\t1\tDog\n", ("--out", "x.txt"), "x.txt: is a file, expected a folder"),
    ],
)
def test_bad_input_costs_one_line_and_writes_nothing(doors, command, text, flags, message):
    Path("x.txt").write_text(text)
    result = command(import_labels, "--labels", "x.txt", "--dataset", "doors/dataset.yaml", *flags)
    assert result.status == 2 and message in result.error
    assert [path.name for path in Path("doors").iterdir()] == ["dataset.yaml"]


def test_a_corrected_track_of_parse_video_counts_and_not_what_lies_beside_it(doors):
    """A row that was deleted is gone, although events.eaf and the audio_visual rows still have it."""
    folder = Path("events/walk")
    folder.mkdir(parents=True)
    (folder / "events.txt").write_text("1\t3\taudio: Dog\n1\t3\taudio_visual: Dog\n")  # without `visual: Dog`
    (folder / "events.eaf").write_text("not read")
    (folder / "events.json").write_text("not read")
    [track] = read_labels([Path("events")])
    assert track.names == ("walk",) and [label.text for label in track.labels] == ["audio: Dog"]
    assert list(track.skipped.values()) == [1]
    with pytest.raises(InputError, match="nowhere: no such file or folder, expected labels in files that end in"):
        read_labels([Path("nowhere")])
