"""Small made-up data sets in the published forms of AVE, LFAV and UnAV-100, with features that can be learned.

Each class has a vector in the space of each kind of features; the features of a second are the sum of those of its
events, and noise. The same seed gives the same files. Axes: R rows of AVE, T seconds of a video, C classes.
"""

import json
import math
from pathlib import Path

import h5py
import numpy as np

from utils.llp.datasets import read_dataset

SPLITS = ("train", "val", "test")
COUNTS = {"train": 16, "val": 6, "test": 6}
NOISE = 0.5  # of a feature, beside a class's vector of standard normal numbers
LFAV_SIZES = {"vggish": 128, "resnet18": 512, "r2plus1d_18": 512}
UNAV_SIZES = {"rgb": 1024, "flow": 1024, "vggish": 128}
HOP = 8 / 25  # seconds between two rows of UnAV's features
UNAV_CLASSES = ("dog barking", "engine", "man speaking", "rain")


def video_ids(count: int, letter: str) -> list[str]:
    """Names of videos of YouTube's form."""
    return [f"{letter}-_{number:08d}" for number in range(count)]


class Features:
    """Features of any video, from a random generator: (T, size) float32 of flags (T, C) bool."""

    def __init__(self, rng: np.random.Generator, num_classes: int, sizes: dict[str, int]):
        self.rng = rng
        self.vectors = {kind: rng.standard_normal((num_classes, size)) for kind, size in sizes.items()}

    def make(self, kind: str, flags: np.ndarray) -> np.ndarray:
        """Features of one kind, for each row of flags (T, C)."""
        vectors = self.vectors[kind]
        noise = NOISE * self.rng.standard_normal((len(flags), vectors.shape[1]))
        return (flags @ vectors + noise).astype(np.float32)


def write_ave(folder: Path, seed: int = 0, num_classes: int = 4, counts: dict[str, int] = COUNTS) -> np.ndarray:
    """AVE with features and all labels; returns the class of each second, (R, 10) int, 28 for background.

    The rows of the file are shuffled. The first two rows of train have one id; its third has the id of val's first row,
    its fourth that of test's first. The second row of val is annotated from 0 to 0. Needs 4 rows in train, 2 in val.
    """
    rng, total = np.random.default_rng(seed), sum(counts.values())
    rows = rng.permutation(total)
    orders = dict(zip(SPLITS, np.split(rows, np.cumsum(list(counts.values()))[:-1]), strict=True))
    ids = np.array(video_ids(total, "a"))
    train, val, test = orders.values()
    ids[train[[0, 2, 3]]] = ids[[train[1], val[0], test[0]]]
    label, start = rng.integers(num_classes, size=total), rng.integers(0, 6, total)
    end = start + rng.integers(3, 5, total)
    start[val[1]] = end[val[1]] = 0
    second = np.arange(10)
    truth = np.where((second >= start[:, None]) & (second < end[:, None]), label[:, None], 28)
    names = read_dataset("ave").class_names
    lines = [f"{names[c]}&{i}&good&{a}&{b}\n" for c, i, a, b in zip(label, ids, start, end, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations.txt").write_text("".join(lines))
    eye, features = np.eye(29, dtype=np.float32), Features(rng, 28, {"audio": 128, "visual": 512})
    flags = eye[truth][..., :28].reshape(-1, 28)
    visual = features.make("visual", flags).reshape(total, 10, 1, 1, 512)
    arrays = {"mil_labels": eye[label], "labels_closs": np.float32(truth < 28), "labels": eye[truth]}
    arrays["audio_feature"] = features.make("audio", flags).reshape(total, 10, 128)
    arrays["visual_feature"] = visual + rng.standard_normal((total, 10, 7, 7, 1), np.float32)
    for name, array in arrays.items():
        write_h5(folder / f"{name}.h5", "avadataset", array)
    for split, order in orders.items():
        write_h5(folder / f"{split}_order.h5", "order", order)
    return truth


def write_h5(path: Path, key: str, array: np.ndarray) -> None:
    """An HDF5 file with one array (...)."""
    with h5py.File(path, "w") as file:
        file[key] = array


def write_lfav(folder: Path, seed: int = 0, counts: dict[str, int] = COUNTS) -> dict:
    """LFAV's CSVs in csv/ and features of one row a second in feats/<kind>/<id>.npy.

    Returns by video what it holds, (T, 2, 35) bool, audio and visual; T is 12 to 40. An event covers its offset, too.
    In each split, all classes are heard and seen at once in some video, since mAP of a class without that is NaN.
    """
    rng, truths = np.random.default_rng(seed), {}
    features = Features(rng, len(read_dataset("lfav").classes), LFAV_SIZES)
    for split in SPLITS:
        ids = video_ids(counts[split], split[1])
        made = {video: lfav_video(rng, number, len(ids)) for number, video in enumerate(ids)}
        for video, (truth, _) in made.items():
            for kind in LFAV_SIZES:
                flags = truth[:, int(kind != "vggish")]
                write_feature(folder / "feats" / kind / f"{video}.npy", features.make(kind, flags))
            truths[video] = truth
        union = {"train": "train_weakly"}.get(split, f"{split}_weak_av")
        modalities = {f"{split}_audio_weakly": [0], f"{split}_visual_weakly": [1], union: [0, 1]}
        for name, chosen in modalities.items():
            rows = [(video, lfav_names(truths[video][:, chosen].any(axis=(0, 1)))) for video in ids]
            write_csv(folder / "csv" / f"{name}.csv", rows)
        for m, modality in enumerate(("audio", "visual") if split != "train" else ()):
            rows = [(video, *row) for video, (_, events) in made.items() for row in events[m]]
            write_csv(folder / "csv" / f"{split}_{modality}.csv", rows)
    return truths


def lfav_video(rng: np.random.Generator, number: int, total: int) -> tuple[np.ndarray, list[list[tuple]]]:
    """What the video `number` of a split of `total` holds: flags (T, 2, 35), and rows (onset, offset, event) of each
    modality. It has its share of the classes in both modalities, and one more in each."""
    names = read_dataset("lfav").class_names
    truth, rows = np.zeros((int(rng.integers(12, 41)), 2, len(names)), bool), [[], []]
    share = math.ceil(len(names) / total)
    both = (number * share + np.arange(share)) % len(names)
    onsets = dict(zip(both, rng.integers(0, len(truth) - 6, share), strict=True))
    for m in (0, 1):
        alone = (both[-1] + 1 + rng.integers(len(names) - share)) % len(names)
        for label in (*both, alone):
            onset = int(onsets.get(label, 2) + rng.integers(0, 3))
            offset = int(min(onset + rng.integers(3, 9), len(truth) - 1))
            truth[onset : offset + 1, m, label] = True
            rows[m].append((onset, offset, names[label]))
    return truth, rows


def lfav_names(flags: np.ndarray) -> str:
    """The names of classes whose flag, (35,), is set, as LFAV lists them."""
    return ",".join(name for name, flag in zip(read_dataset("lfav").class_names, flags, strict=True) if flag)


def write_csv(path: Path, rows: list[tuple]) -> None:
    """A tab-separated file of weak labels, or of annotations if a row has four texts."""
    columns = ("filename", "onset", "offset", "event_labels")
    lines = [columns if rows and len(rows[0]) == 4 else columns[::3], *rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))


def write_feature(path: Path, array: np.ndarray) -> None:
    """Features (T, D) of a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_unav(folder: Path, seed: int = 0, counts: dict[str, int] = COUNTS) -> dict:
    """UnAV-100's JSON file and features at 0.32 s, <id>_rgb.npy and so on, in features/; returns its `database`.

    Videos last 5 to 30 s and have two events; the last event of every fifth one ends behind the video.
    """
    rng, database = np.random.default_rng(seed), {}
    features = Features(rng, len(UNAV_CLASSES), UNAV_SIZES)
    for subset, split in zip(("train", "validation", "test"), SPLITS, strict=True):
        for number, video in enumerate(video_ids(counts[split], split[1])):
            duration = round(float(rng.uniform(5, 30)), 2)
            events = []
            for label in rng.choice(len(UNAV_CLASSES), 2, replace=False).tolist():
                start = round(float(rng.uniform(0, duration - 3)), 2)
                end = round(float(rng.uniform(start + 2, duration)), 2)
                events.append({"segment": [start, end], "label": UNAV_CLASSES[label], "label_id": label})
            if number % 5 == 0:
                events[-1]["segment"][1] = duration + 2.5
            database[video] = {"subset": subset, "duration": duration, "annotations": events}
            time = np.arange(max(1, math.floor(duration / HOP))) * HOP + HOP / 2
            flags = np.zeros((len(time), len(UNAV_CLASSES)))
            for event in events:
                start, end = event["segment"]
                flags[(time >= start) & (time < end), event["label_id"]] = 1
            for kind in UNAV_SIZES:
                write_feature(folder / "features" / f"{video}_{kind}.npy", features.make(kind, flags))
    (folder / "unav100_annotations.json").write_text(json.dumps({"database": database}))
    return database
