"""Which file is whose: media, frames and features of lists, by a table and by a slow oracle."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.test_extract_features import write_wav
from utils import extract_features
from utils.base.errors import InputError
from utils.base.npy import Layout
from utils.extract.videos import list_files, list_videos
from utils.features.folder import FeatureFolder
from utils.llp.names import existing_files, file_names, video_id
from utils.llp.videos import read_split
from utils.media.files import find_media
from utils.media.frames import frame_files

A, A_10, A_20 = "AbCdEfGhIjK", "AbCdEfGhIjK_10_20", "AbCdEfGhIjK_20_30"
# names of a list; files that exist, without suffix; the file of each video, None: it has none
TABLE = [
    # LLP's form: the whole name, else the id
    ([A_20], [A, A_20], [A_20]),
    ([A_20], [A], [A]),
    ([A_20], [A_10, "AbCdEfGhIj", A + "_"], [None]),
    (["-_a_b-c_d-e_0_10"], ["-_a_b-c_d-e"], ["-_a_b-c_d-e"]),
    (["AP0061o0Nvk_101.8_111.8"], ["AP0061o0Nvk"], ["AP0061o0Nvk"]),
    # own names of any length: nothing but the whole name
    (["garden_cam", "garden_cam_10_20"], ["garden_cam", "garden_cam_10_20"], ["garden_cam", "garden_cam_10_20"]),
    (["garden_cam_10_20"], ["garden_cam", "garden_cam_"], [None]),
    (["long_name_of_mine", "long_name_of_yours"], ["long_name_o", "long_name_of_yours"], [None, "long_name_of_yours"]),
    (["x", "x_0_10", "x.y"], ["x", "x.y"], ["x", None, "x.y"]),
    (["AbCdEfGhIj\n_10_20", "AbCdÉfGhIjK_0_10"], ["AbCdEfGhIj\n", "AbCdÉfGhIjK"], [None, None]),
    # never the file of another row
    ([A, A_20], [A], [A, None]),
    ([A_20, A], [A], [None, A]),
    ([A_20, A_10], [A], [A, None]),
    ([A_20, A_10], [A, A_20], [A_20, None]),
    ([A_20, A_10], [A, A_10], [A, A_10]),
    ([A_20, A_10, A], [A, A_10], [None, A_10, A]),
    # case says which
    (["Garden", "garden"], ["garden"], [None, "garden"]),
    ([A_20, A_20.lower()], [A, A.lower()], [A, A.lower()]),
]  # fmt: skip


def meant(videos, files, suffix, find) -> list:
    """What `find` returns for each video's names, None if it raises."""
    found = []
    for names in file_names(videos):
        try:
            found.append(find(*names))
        except InputError:
            found.append(None)
    return found


@pytest.mark.parametrize(("videos", "files", "expected"), TABLE)
def test_media_frames_and_features_follow_one_table(videos, files, expected, tmp_path):
    for name in files:
        (tmp_path / f"{name}.flac").touch()
        (tmp_path / f"{name}.npy").touch()
        (tmp_path / "frames" / name).mkdir(parents=True)
        (tmp_path / "frames" / name / "1.jpg").touch()
    names = file_names(videos)
    media = meant(videos, files, ".flac", lambda *own: find_media(tmp_path, *own).name.removesuffix(".flac"))
    frames = meant(videos, files, "", lambda *own: frame_files(tmp_path / "frames", *own)[0].parent.name)
    features = [f.removesuffix(".npy") for f in existing_files(tmp_path, names, ".npy")]
    assert media == frames == expected
    assert [f if f in files else None for f in features] == expected
    written = [own[-1] for own in names]
    assert len(set(written)) == len(videos) and all(w in (v, v[:11]) for w, v in zip(written, videos, strict=True))


def is_llps(name: str) -> bool:
    """Whether a name is eleven letters and two times, told letter by letter."""
    parts = name[11:].split("_")
    letters = set(string.ascii_letters + string.digits + "-_")
    if len(name) < 11 or not set(name[:11]) <= letters or len(parts) != 3 or parts[0]:
        return False
    digits = [half for time in parts[1:] for half in time.split(".")]
    return all(half and set(half) <= set(string.digits) for half in digits) and all(p.count(".") < 2 for p in parts)


def oracle(videos: list[str], files: set[str], i: int) -> str | None:
    """The file of video i: by going through the whole list."""
    if videos[i] in files:
        return videos[i]
    short = videos[i][:11]
    if not is_llps(videos[i]) or short not in files or short in videos:
        return None
    others = [k for k, video in enumerate(videos) if is_llps(video) and video[:11] == short and video != videos[i]]
    return None if any(k < i for k in others) else short


NAMES = st.builds(
    "".join, st.tuples(st.sampled_from(["garden_cam1", "garden_cam", "garden", "Garden_cam1"]),
                       st.sampled_from(["", "_0_10", "_10_20", "_2.5_12.5", "_x", "_0_10_20", "_.5_3"]))
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(NAMES, unique=True, min_size=1, max_size=6), st.sets(NAMES, max_size=6))
def test_any_list_agrees_with_the_oracle(tmp_path_factory, videos, files):
    folder = tmp_path_factory.mktemp("files")
    for name in files:
        (folder / f"{name}.wav").touch()
    found = meant(videos, files, ".wav", lambda *names: find_media(folder, *names).name.removesuffix(".wav"))
    assert found == [oracle(videos, files, i) for i in range(len(videos))]
    taken = [name for name in found if name]
    assert len(set(taken)) == len(taken)  # no file is two videos'


def test_ids():
    assert video_id("BjCEufrlXm4_20_30") == "BjCEufrlXm4"
    assert video_id("garden_cam_10_20") == "garden_cam_10_20" and video_id("BjCEufrlXm4") == "BjCEufrlXm4"


def tone(hertz: int) -> np.ndarray:
    return np.round(8000 * np.sin(2 * np.pi * hertz * np.arange(160000) / 16000))


@pytest.mark.parametrize("with_list", [True, False])
def test_every_own_name_gets_features_of_its_own_file(command, tmp_path, monkeypatch, with_list):
    """A silent file, and tones under names that begin with its name, or differ in case."""
    monkeypatch.chdir(tmp_path)
    synthetic.add_stub_encoder(monkeypatch)
    sounds = {"garden_cam": 0, "garden_cam_10_20": 700, "Garden_cam": 1500, "garden_cam_of_my_neighbour": 2900}
    for name, hertz in sounds.items():
        write_wav(tmp_path / f"in/{name}.wav", tone(hertz))
    flags = ["--kind", "stub", "--gpu", "-1", "--audio_dir", "in", "--out_dir", "out"]
    if with_list:
        (tmp_path / "list.csv").write_text("\n".join(["filename", *sounds]) + "\n")
        flags += ["--label_all_dataset", "list.csv"]
    result = command(extract_features, *flags)
    assert result.status == 0, result.err
    features = [np.load(f"out/{name}.npy") for name in sounds]
    assert all((a != b).any() for i, a in enumerate(features) for b in features[:i])


def test_two_clips_of_one_video_need_files_of_their_whole_names(tmp_path):
    path, layout = tmp_path / "list.csv", Layout((10,), 128, np.float32, "features")
    path.write_text(f"filename\tevent_labels\n{A_20}\tDog\n{A_10}\tDog\n")
    split, folder = read_split(path), tmp_path / "features"
    folder.mkdir()
    (folder / f"{A}.npy").touch()
    with pytest.raises(
        InputError, match=f"list.csv: {A_20} and {A_10} would both read {A}.npy; expected {A_10}.npy in"
    ):
        FeatureFolder(folder, split, layout)
    (folder / f"{A_10}.npy").touch()
    assert FeatureFolder(folder, split, layout).names == [f"{A}.npy", f"{A_10}.npy"]
    (folder / f"{A_20}.npy").touch()
    assert FeatureFolder(folder, split, layout).names == [f"{A_20}.npy", f"{A_10}.npy"]


def test_a_folder_is_a_list_too(tmp_path):
    for name in ("a.mp4", "A.mp4", "a.wav", f"{A_10}.mp4", f"{A}.mp4", "x" * 201 + ".mp4"):
        (tmp_path / name).touch()
    videos = {video.filename: video for video in list_files(tmp_path, lambda path: True)}
    assert list(videos) == sorted(["a", "A", A_10, A, "x" * 201])
    assert videos[A_10].names == (A_10,) and videos[A].names == (A,)
    assert [v.filename for v in videos.values() if v.problem] == ["x" * 201]
    (tmp_path / "list.csv").write_text(f"filename\n{'é' * 101}\n{'é' * 100}\n{'x' * 250}_0_10\n")
    problems = [video.problem for video in list_videos(tmp_path / "list.csv")]
    assert ["202 bytes" in problems[0], problems[1], "255 bytes" in problems[2]] == [True, "", True]


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    names = ["1.jpg", "2.jpg", "3.JPG", "9.jpeg", "10.jpg", "11.jpg", "100.jpg", "frame 2.jpg", "frame 10.jpg", "x.jpg"]
    (tmp_path / "video").mkdir()
    for name in reversed(names):
        (tmp_path / "video" / name).touch()
    (tmp_path / "video/notes.txt").touch()
    assert [path.name for path in frame_files(tmp_path, "video")] == names
