"""Synthetic data of LLP's sizes for the benchmarks: files of raw features, and packed files of any length."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from utils.features import packed
from utils.features.kinds import LABELS, folder_layouts
from utils.features.packed import ColumnSpec
from utils.llp.annotations import REFERENCE_FILES
from utils.llp.classes import CLASS_NAMES, C, T
from utils.llp.videos import SPLIT_COLUMNS, SPLIT_FILES, video_id
from utils.make_lookalike import synthetic_names

MODELS = {
    "VALOR": {"hidden_dim": 512, "num_layers": 1, "audio": "feats/vggish", "visual": "feats/res152", "lr": 1e-4},
    "VALOR+": {"hidden_dim": 256, "num_layers": 4, "audio": "feats/vggish", "visual": "feats/res152", "lr": 3e-4},
    "VALOR++": {"hidden_dim": 256, "num_layers": 4, "audio": "CLAP/features", "visual": "CLIP/features", "lr": 3e-4},
}
DISTINCT = 64  # arrays of each kind; further videos have the same again


def network_flags(model: str) -> list[str]:
    """The published settings of a model, as flags of main.py."""
    settings = MODELS[model]
    lr = settings["lr"]
    flags = {
        "hidden_dim": settings["hidden_dim"],
        "num_layers": settings["num_layers"],
        "lr": lr,
        "lr_min": lr / 100,
        "scheduler": "warm_up_cos_anneal",
        "warm_up_epoch": 10,
    }
    return [text for name, value in flags.items() for text in (f"--{name}", str(value))]


def file_flags(model: str, data: Path) -> list[str]:
    """Where a model's files are in a data folder, as flags of main.py."""
    folders = {
        "audio_dir": MODELS[model]["audio"],
        "video_dir": MODELS[model]["visual"],
        "st_dir": "feats/r2plus1d_18",
        "a_pseudo_data_dir": "CLAP/segment_pseudo_labels",
        "v_pseudo_data_dir": "CLIP/segment_pseudo_labels",
        **{f"label_{split}": name for split, name in SPLIT_FILES.items()},
        "gt_dir": ".",
        "cache_dir": "cache",
    }
    return [text for name, value in folders.items() for text in (f"--{name}", str(data / value))]


def random_arrays(layout, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` arrays of a kind: normal numbers, or labels of which one in ten is 1."""
    shape = (count, layout.rows[0], layout.columns)
    if layout.dtype == np.int64:
        return (rng.random(shape) < 0.1).astype(np.int64)
    return rng.standard_normal(shape, np.float32)


def write_lists(folder: Path, counts: dict[str, int], rng: np.random.Generator) -> list[str]:
    """CSVs of synthetic videos with one event each, and its reference; returns their names."""
    names = synthetic_names(rng, sum(counts.values()))
    classes = rng.choice(CLASS_NAMES, len(names))
    table = pd.DataFrame(dict(zip(SPLIT_COLUMNS, (names, classes), strict=True)))
    folder.mkdir(parents=True, exist_ok=True)
    for split, last in zip(counts, np.cumsum(list(counts.values())), strict=True):
        table[last - counts[split] : last].to_csv(folder / SPLIT_FILES[split], sep="\t", index=False)
    reference = pd.DataFrame({"filename": names, "onset": 0, "offset": 10, "event_labels": classes})
    for name in REFERENCE_FILES.values():
        reference.to_csv(folder / name, sep="\t", index=False)
    return names


def write_files(folder: Path, counts: dict[str, int]) -> None:
    """A data folder in LLP's layout, with raw features."""
    rng = np.random.default_rng(0)
    names = write_lists(folder, counts, rng)
    for name, layout in folder_layouts().items():
        (folder / name).mkdir(parents=True)
        arrays = random_arrays(layout, DISTINCT, rng)
        for i, video in enumerate(names):
            np.save(folder / name / f"{video_id(video)}.npy", arrays[i % DISTINCT])


def write_packed(path: Path, model: str, counts: dict[str, int]) -> None:
    """A packed file of synthetic videos, and its reference in the same folder."""
    rng = np.random.default_rng(0)
    names = iter(write_lists(path.parent, counts, rng))
    sizes = {"audio": MODELS[model]["audio"], "visual": MODELS[model]["visual"], "visual_st": "feats/r2plus1d_18"}
    kinds = {kind: folder_layouts()[folder]._replace(rows=(T,)) for kind, folder in sizes.items()}
    kinds |= {kind: folder_layouts()[folder] for kind, folder in LABELS.items()}
    arrays, columns = {}, {}
    for split, count in counts.items():
        arrays[f"{split}/filename"] = packed.encode_texts([next(names) for _ in range(count)])
        arrays[f"{split}/weak"] = (rng.random((DISTINCT, C)) < 0.06).astype(np.uint8)
        for kind, layout in kinds.items():
            values = random_arrays(layout, DISTINCT, rng)
            arrays[f"{split}/{kind}"] = values.astype(np.uint8) if layout.dtype == np.int64 else values
        for place in [place for place in arrays if place.startswith(f"{split}/")]:
            shape, dtype = arrays[place].shape, arrays[place].dtype
            attributes = {"source_rows": T, "source": "synthetic"} if place.split("/")[1] in kinds else {}
            columns[place] = ColumnSpec((count, *shape[1:]), dtype, attributes)
    attributes = {"/": {"classes": "\n".join(CLASS_NAMES)}} | {split: {"videos": n} for split, n in counts.items()}
    with packed.Writer.open(path, columns, attributes) as writer:
        for place, values in arrays.items():
            for first in range(0, columns[place].shape[0], len(values)):
                writer.append(place, values[: columns[place].shape[0] - first])


def write_virtual(path: Path, source: Path, times: int) -> None:
    """A packed file whose training videos are those of another one, again and again."""
    with h5py.File(source) as real, h5py.File(path, "w") as file:
        file.attrs.update(dict(real.attrs))
        for name, data in real["train"].items():
            layout = h5py.VirtualLayout((times * len(data), *data.shape[1:]), data.dtype)
            for i in range(times):
                layout[i * len(data) : (i + 1) * len(data)] = h5py.VirtualSource(data)
            file.create_virtual_dataset(f"train/{name}", layout)
            file[f"train/{name}"].attrs.update({k: v for k, v in data.attrs.items() if k != "crc32"})
