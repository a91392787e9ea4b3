"""Write a synthetic data set in LLP's published layout, to try the whole project without downloads.

    python utils/make_lookalike.py --out demo_output/data

Nothing in it comes from LLP: names, events and features are drawn at random. Each class has a direction in every
feature space, and a segment's feature is the sum of its events' directions and noise, so that a network can learn.
Pseudo labels are the reference with errors, limited to the weak labels, as a teacher's are.
"""

if __name__ == "__main__":
    import _start  # noqa: F401

import argparse
import string
from pathlib import Path

import numpy as np

from utils.base import command, flags
from utils.base.errors import InputError
from utils.base.progress import tqdm
from utils.features.kinds import KINDS, LABELS, FeatureKind
from utils.features.pooling import pool_clap_map
from utils.llp.annotations import REFERENCE_FILES
from utils.llp.classes import CLASS_NAMES, C, T
from utils.llp.events import segments_to_events, write_events
from utils.llp.names import ID_LENGTH, video_id
from utils.llp.tables import write_table
from utils.llp.videos import ALL_VIDEOS_FILE, SPLIT_COLUMNS, SPLIT_FILES

COUNTS = {"train": 600, "val": 100, "test": 150}  # videos, by default
SIGNAL = {"vggish": 0.6, "res152": 0.1, "r2plus1d_18": 0.15}  # per noise of 1; of other kinds 0.2
AUDIBLE, VISIBLE = 0.85, 0.7  # probability that an event of a video is heard, and seen
WHOLE_VIDEO = 0.5  # probability that it then lasts all ten seconds
LABEL_NOISE = 0.1  # probability that a teacher is wrong about a segment


def synthetic_names(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different names of the published form, `<11 characters>_<start>_<end>`."""
    letters = np.array(list(string.ascii_letters + string.digits + "-_"))
    ids = dict.fromkeys("".join(row) for row in rng.choice(letters, (2 * count + 10, ID_LENGTH)))
    starts = 10 * rng.integers(0, 30, count)
    return [f"{i}_{start}_{start + 10}" for i, start in zip(ids, starts, strict=False)]


def synthetic_events(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One to three events of one video: audio and visual reference, (2, C, T) bool, and weak labels, (C,) bool."""
    reference = np.zeros((2, C, T), bool)
    popularity = 1 / np.arange(2, C + 2)  # Speech is everywhere, others are rare, as in LLP
    classes = rng.choice(C, rng.integers(1, 4), replace=False, p=popularity / popularity.sum())
    for c in classes:
        happens = rng.random(2) < (AUDIBLE, VISIBLE)
        if not happens.any():
            happens[rng.integers(2)] = True
        for modality in np.flatnonzero(happens):
            onset, offset = 0, T
            if rng.random() > WHOLE_VIDEO:
                length = rng.integers(2, T)
                onset = rng.integers(0, T - length + 1)
                offset = onset + length
            reference[modality, c, onset:offset] = True
    return reference, reference.any(axis=(0, 2))


class FeatureMaker:
    """Features and pseudo labels of one video, by folder of the published layout."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        sizes = {name: (C, kind.size) for name, kind in KINDS.items()}
        self.directions = {n: SIGNAL.get(n, 0.2) * rng.standard_normal(size, np.float32) for n, size in sizes.items()}

    def features(self, kind: FeatureKind, events: np.ndarray) -> np.ndarray:
        """(C, T) events -> (rows, D) float32 features of a kind."""
        if kind.pool is pool_clap_map:  # (frequency, time) rows
            return np.concatenate([self._rows(kind, events, kind.rows // 2) for _ in range(2)])
        features = self._rows(kind, events, kind.rows)
        return features / np.linalg.norm(features, axis=1, keepdims=True) if kind.name == "CLIP" else features

    def _rows(self, kind: FeatureKind, events: np.ndarray, rows: int) -> np.ndarray:
        """(rows, D) float32, the ten segments of (C, T) events spread evenly over the rows."""
        segments = events.T[np.arange(rows) * T // rows].astype(np.float32)  # (rows, C)
        return segments @ self.directions[kind.name] + self.rng.standard_normal((rows, kind.size), np.float32)

    def pseudo_labels(self, events: np.ndarray, weak: np.ndarray) -> np.ndarray:
        """(C, T) events -> (T, C) int64 with errors, only for classes of the weak labels."""
        wrong = self.rng.random(events.shape) < LABEL_NOISE
        return ((events ^ wrong) & weak[:, None]).T.astype(np.int64)

    def video(self, reference: np.ndarray, weak: np.ndarray) -> dict[str, np.ndarray]:
        """All files of a video, by folder, from its (2, C, T) reference and (C,) weak labels."""
        audio, visual = reference
        kinds = sorted(KINDS.values(), key=lambda kind: kind.name != "CLIP")  # another order would draw other numbers
        features = {k.folder: self.features(k, audio if k.stream == "audio" else visual) for k in kinds}
        events = {"pseudo_v": visual, "pseudo_a": audio}
        return features | {LABELS[name]: self.pseudo_labels(segments, weak) for name, segments in events.items()}


def write_synthetic(out: Path, counts: dict[str, int], seed: int) -> None:
    """Write CSVs and the seven folders to `out`. counts: split (train, val, test) -> number of videos."""
    rng = np.random.default_rng(seed)
    names = synthetic_names(rng, sum(counts.values()))
    videos = [synthetic_events(rng) for _ in names]
    reference, weak = np.stack([r for r, _ in videos]), np.stack([w for _, w in videos])
    out.mkdir(parents=True, exist_ok=True)

    labels = [",".join(np.array(CLASS_NAMES)[row]) for row in weak]
    rows = list(zip(names, labels, strict=True))
    ends = np.cumsum(list(counts.values()))
    for split, count, end in zip(counts, counts.values(), ends, strict=True):
        write_table(out / SPLIT_FILES[split], SPLIT_COLUMNS, rows[end - count : end])
    write_table(out / ALL_VIDEOS_FILE, SPLIT_COLUMNS, rows)
    first = counts.get("train", 0)  # only val and test videos have dense annotations
    for modality, segments in zip(REFERENCE_FILES, reference.transpose(1, 0, 2, 3), strict=True):
        write_events(out / REFERENCE_FILES[modality], segments_to_events(segments[first:], names[first:]))

    maker = FeatureMaker(rng)
    for name, (events, labels) in tqdm(zip(names, videos, strict=True), "features", len(names), mininterval=1):
        for folder, array in maker.video(events, labels).items():
            (out / folder).mkdir(parents=True, exist_ok=True)
            np.save(out / folder / f"{video_id(name)}.npy", array)


def get_args_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = flags.ArgumentParser(prog="make_lookalike.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, new or empty")
    for split, count in COUNTS.items():
        parser.add_argument(f"--{split}", type=flags.positive_int, default=count, help=f"videos of the {split} split")
    parser.add_argument("--seed", type=flags.non_negative_int, default=0, help="seed")
    return parser


def main(args: argparse.Namespace) -> None:
    """Write the data set. Raises InputError if --out exists and is not an empty folder."""
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise InputError(f"{args.out}: exists and is not an empty folder; choose another --out")
    write_synthetic(args.out, {split: getattr(args, split) for split in SPLIT_FILES}, args.seed)
    print(f"{args.out}: synthetic videos, {args.train} to train, {args.val} to validate, {args.test} to test on")


if __name__ == "__main__":
    command.run(main, get_args_parser())
