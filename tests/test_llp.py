"""LLP's classes and CSVs: the real files with their known issues, and files that are broken in every way we know."""

import importlib

import numpy as np
import pytest

from tests.test_score_predictions import HEADER
from utils.base.errors import InputError
from utils.llp import annotations
from utils.llp.annotations import annotation_version, read_predictions, write_predictions
from utils.llp.classes import CLASSES, C, T
from utils.llp.events import events_to_segments, read_events
from utils.llp.missing import how_to_get
from utils.llp.videos import read_split, video_id


def events_file(tmp_path, *rows, header=HEADER, name="AVVP_eval_audio.csv"):
    path = tmp_path / name
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def split_file(tmp_path, *rows):
    return events_file(tmp_path, *rows, header="filename\tevent_labels\n", name="AVVP_test_pd.csv")


def test_classes_are_those_of_the_specification():
    assert (T, C) == (10, 25)
    assert CLASSES[5] == ("Frying_(food)", "A photo of frying food.", "frying (food)", 18, -2)
    assert CLASSES[14].clip_caption == "A photo of a vaccum cleaner."  # published so
    assert CLASSES[20].clip_caption == "A photo of a acoustic guiter."
    assert CLASSES[22].clap_caption == "baby cry, infant cry"
    thresholds = np.array([(c.clip_threshold, c.clap_threshold) for c in CLASSES])
    assert thresholds.sum(axis=0).tolist() == [394, 44]


@pytest.mark.parametrize(
    ("split", "count"), [("train", 10000), ("val_pd", 649), ("test_pd", 1200), ("dataset_full", 11849)]
)
def test_real_splits(llp_dir, split, count):
    if not (llp_dir / f"AVVP_{split}.csv").is_file():
        pytest.skip(f"needs AVVP_{split}.csv, which is not in {llp_dir}")
    videos = read_split(llp_dir / f"AVVP_{split}.csv")
    assert len(videos.filenames) == len(set(videos.ids)) == count
    assert set(map(len, videos.ids)) == {11}
    assert videos.weak.shape == (count, 25) and videos.weak.sum(axis=1).min() >= 1


def test_fractional_times_and_leading_dashes_leave_the_id_alone():
    assert video_id("AP0061o0Nvk_101.8_111.8") == "AP0061o0Nvk"
    assert video_id("-_a_b-c_d-e_0_10") == "-_a_b-c_d-e"


def test_a_class_listed_twice_counts_once(tmp_path):
    path = split_file(tmp_path, ("LcFWKgFphXI_20_30", "Clapping,Clapping"), ("BjCEufrlXm4_20_30", "Speech, Dog"))
    weak = read_split(path).weak
    assert np.argwhere(weak).tolist() == [[0, 24], [1, 0], [1, 3]] and weak.max() == 1


def test_real_issues_are_counted(llp_dir, gt_dir):
    names = annotations.dense_video_names(llp_dir)
    lines = {}
    for version in ("2020", "2024"):
        events = read_events(gt_dir(version) / "AVVP_eval_audio.csv")
        (lines[version],) = annotations.annotation_issues(events, names, "that neither val nor test lists")
    for part in ("5 empty", "1 reversed", "8 duplicate", "17 for 10 names that neither val nor test lists"):
        assert part in lines["2020"]
    assert "14 for 8 names" in lines["2024"]


def test_rows_of_no_length_label_nothing(tmp_path):
    path = events_file(tmp_path, ("a", 9, 9, "Speech"), ("a", 9, 0, "Cheering"), ("a", 0, 2, "Dog"), ("a", 0, 2, "Dog"))
    segments = events_to_segments(read_events(path), ["a"])
    assert np.argwhere(segments).tolist() == [[0, 3, 0], [0, 3, 1]]


def test_a_reference_belongs_to_the_full_name(tmp_path):
    path = events_file(tmp_path, ("19jWnmYnlD8_30_400", 0, 10, "Clapping"))
    assert not events_to_segments(read_events(path), ["19jWnmYnlD8_30_40"]).any()


def test_a_video_listed_twice_gets_its_reference_twice(tmp_path):
    path = events_file(tmp_path, ("a", 3, 5, "Cat"))
    segments = events_to_segments(read_events(path), ["a", "b", "a"])
    assert segments.sum(axis=(1, 2)).tolist() == [2, 0, 2]


def test_events_and_segments_are_two_forms_of_the_same(tmp_path):
    rng = np.random.default_rng(1)
    filenames = [f"video{i:06d}_0_10" for i in range(50)]
    audio, visual = rng.random((2, 50, 25, 10)) < 0.4
    write_predictions(tmp_path / "new folder", filenames, audio, visual)
    back = read_predictions(tmp_path / "new folder", filenames, "list.csv")
    assert not back.issues
    np.testing.assert_array_equal(back.audio, audio)
    np.testing.assert_array_equal(back.visual, visual)


def test_nothing_predicted_is_a_file_with_a_header(tmp_path):
    nothing = np.zeros((1, 25, 10), bool)
    write_predictions(tmp_path, ["a"], nothing, nothing)
    assert (tmp_path / "pred_audio.csv").read_text() == HEADER
    assert not read_predictions(tmp_path, ["a"], "list.csv").audio.any()


def test_annotation_version_is_judged_by_content(llp_dir, gt_dir, tmp_path):
    for version in ("2020", "2024"):
        lines = (gt_dir(version) / "AVVP_eval_audio.csv").read_text().splitlines()
        path = tmp_path / "AVVP_eval_audio.csv"
        text = "\r\n".join([lines[0], *reversed(lines[1:])])  # another order, line ends, BOM
        path.write_bytes(text.encode("utf-8-sig"))
        assert annotation_version(read_events(path)) == f"{version} version of LLP's audio annotations (4131 rows)"
        path.write_text("\n".join(lines[:-1]) + "\n")
        assert "changed" in annotation_version(read_events(path))
    own = events_file(tmp_path, ("a", 0, 1, "Dog"))
    assert annotation_version(read_events(own)).startswith("not LLP's")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", 0, 10, "Gunshot"), "line 3: unknown class 'Gunshot'; expected one of Speech, Car"),
        (("a", 0, 10, "Chickenrooster"), "line 3: unknown class 'Chickenrooster'; did you mean Chicken_rooster?"),
        (("a", "x", 10, "Speech"), "line 3: onset is 'x', expected a whole second from 0 to 10"),
        (("a", 0, "1.5", "Speech"), "line 3: offset is '1.5'"),
        (("a", -1, 3, "Speech"), "line 3: onset is '-1'"),
        (("a", 0, 11, "Speech"), "line 3: offset is '11'"),
        (("a", "", 3, "Speech"), "line 3: onset is ''"),
        (("a", 0, 3, ""), "line 3: unknown class ''"),
        (("a", 0, 3), "line 3: unknown class ''"),
        (("a", 0, 3, "Speech", "more"), "line 3"),
    ],
)
def test_bad_event_rows_are_named_with_their_line(tmp_path, row, message):
    path = events_file(tmp_path, ("a", 0, 1, "Dog"), row)
    with pytest.raises(InputError, match=".*") as error:
        read_events(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["../../x_0_10", "..\\..\\x_0_10", "/etc/passwd", "a/b_0_10", "BjCEufrlXm4/../../x", ".", ""]
)
def test_a_video_name_never_leaves_the_data_folder(tmp_path, name):
    path = split_file(tmp_path, ("BjCEufrlXm4_20_30", "Speech"), (name, "Dog"))
    with pytest.raises(InputError, match="line 3: .* is not a video name"):
        read_split(path)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_split(tmp_path / "none.csv")
    commas = tmp_path / "commas.csv"
    commas.write_text("filename,event_labels\na,Speech\n")
    found = "found filename,event_labels; the file is separated by commas"
    with pytest.raises(InputError, match=f"no column filename, event_labels; .* {found}"):
        read_split(commas)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_split(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"filename\tevent_labels\n\xff\xfe\x00\x80\tx\n")
    with pytest.raises(InputError, match="not a tab-separated UTF-8 CSV"):
        read_split(tmp_path / "binary.csv")
    with pytest.raises(InputError, match="lists no video"):
        read_split(split_file(tmp_path))
    with pytest.raises(InputError, match="line 3: no event names; expected some of Speech"):
        read_split(split_file(tmp_path, ("a", "Speech"), ("b_was_cut_off",)))
    with pytest.raises(InputError, match="not a tab-separated UTF-8 CSV"):
        read_split(split_file(tmp_path, ("a", "Speech", "more"), ("b", "Dog", "more")))
    with pytest.raises(InputError, match="line 2: unknown class 'Gunshot'"):
        read_split(split_file(tmp_path, ("a", "Speech,Gunshot")))


def test_blank_lines_do_not_shift_line_numbers(tmp_path):
    path = tmp_path / "AVVP_test_pd.csv"
    path.write_text("filename\tevent_labels\n\nBjCEufrlXm4_20_30\tSpeech\n\nb_0_10\tGunshot\n")
    with pytest.raises(InputError, match="line 5"):
        read_split(path)


def test_the_scorer_needs_no_weak_labels(tmp_path):
    (tmp_path / "names.csv").write_text("filename\na_0_10\n")
    assert read_split(tmp_path / "names.csv", weak_labels=False).weak is None


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("data/AVVP_train.csv", "download_features.py --parts csv"),
        ("/mnt/llp/feats/res152", "download_features.py --parts res152"),
        ("./data/CLAP/segment_pseudo_labels", "download_features.py --parts CLAP"),
        ("data/raw_videos", "download_dataset.py"),
        ("entrance/train.csv", None),
        ("ave/readme.txt", None),
        ("my/features", None),
        ("features", None),
        ("feats/other", None),
    ],
)
def test_what_is_missing_of_llp_names_the_command_that_brings_it(path, command):
    assert how_to_get("data/ave/train.csv") == "; python utils/convert_dataset.py ave --source DIR makes it"
    said = how_to_get(path)
    assert said == (f"; LLP's: python utils/{command}" if command else "")
    if command:  # it is a command of this project, whose flags are right
        script, *given = command.split()
        module = importlib.import_module(f"utils.{script.removesuffix('.py')}")
        module.get_args_parser().parse_args(given)
