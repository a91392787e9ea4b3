"""Check that a data folder holds what training and testing need: every video's files, of the right shape.

Quick: names, sizes and headers. Deep: every number of every file. Nothing is changed or fetched.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prettytable import PrettyTable

from utils.base.errors import InputError
from utils.base.npy import Layout
from utils.download.release import CSVS, MODEL_FILES, SPLITS
from utils.features.folder import map_files, read_checked
from utils.llp.datasets import LLP, DataSet
from utils.llp.events import read_events
from utils.llp.names import existing_files
from utils.llp.videos import read_split

SHOWN = 3  # missing or wrong files that are named, of each kind


class Report(NamedTuple):
    """What was found of one kind of file. wrong: a line for each existing file that is not valid."""

    what: str
    layout: str
    expected: int
    missing: list[str]
    wrong: list[str]

    @property
    def valid(self) -> int:
        """How many files are valid."""
        return self.expected - len(self.missing) - len(self.wrong)


def _check_each(
    what: str, layout: str, files: Mapping[str, Path], check: Callable[[Path], None], workers: int
) -> Report:
    """Check every file; `check` raises InputError for a bad one. files: by the name that the report gives them."""
    missing, wrong = [], []

    def note(name: str) -> None:
        try:
            files[name].stat()  # FileNotFoundError
            check(files[name])
        except FileNotFoundError:
            missing.append(name)
        except InputError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"{files[name]}: {error.strerror}")

    for _ in map_files(note, files, workers, what):
        pass
    return Report(what, layout, len(files), sorted(missing), sorted(wrong))


def check_folder(
    folder: Path, name: str, videos: Sequence[tuple[str, ...]], layout: Layout, deep: bool, workers: int
) -> Report:
    """The `<id>.npy` of one feature folder; videos: what the files of each may be called."""

    def check(path: Path) -> None:
        layout.require(path)
        if deep:
            read_checked(path, layout)

    files = {file: Path(folder, name, file) for file in existing_files(Path(folder, name), videos, ".npy")}
    return _check_each(name, str(layout), files, check, workers)


def read_csv(path: Path, dataset: DataSet = LLP) -> None:
    """Read one of LLP's CSVs as training and evaluation do. Raises InputError if it is missing or bad."""
    (read_split if path.name in SPLITS else read_events)(path, dataset)


def check_csvs(data_dir: Path, dataset: DataSet = LLP) -> Report:
    """LLP's six CSVs."""
    files = {name: data_dir / name for name in CSVS}
    return _check_each("CSV files", "tab-separated", files, lambda path: read_csv(path, dataset), workers=1)


def check_models(models_dir: Path, deep: bool) -> Report:
    """The three published models: files of weights; with `deep` they must be finite and fit their network.

    What is wrong with a file, an InputError, becomes a line of the report.
    """

    def check(path: Path) -> None:
        if not zipfile.is_zipfile(path):  # its directory is at the end: a truncated file has none
            raise InputError(f"{path}: not a PyTorch checkpoint, or damaged; remove it to download it again")
        if deep:
            check_weights(path)

    files = {name: models_dir / name for name in MODEL_FILES}
    return _check_each("models", "state_dict", files, check, workers=1)


def check_weights(path: Path) -> None:
    """Raises InputError if a checkpoint does not fit the network of its names, or holds non-finite numbers."""
    import torch

    import nets
    from utils.train import checkpoint

    weights, sizes = checkpoint.load(path), {}
    try:
        sizes = checkpoint.describe_weights(weights)
        with torch.device("meta"):
            nets.build(**sizes, nhead=1).load_state_dict(weights, assign=True)
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        model = sizes.get("model", "any network")
        raise InputError(f"{path}: does not fit {model} ({' '.join(str(error).split())[:200]})") from error
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise InputError(f"{path}: {bad[0]} holds NaN or infinite values")


def video_names(data_dir: Path) -> list[tuple[str, ...]]:
    """What the feature files of each video that any of the CSVs lists may be called, without suffix.

    Raises InputError if there is no CSV, or a bad one.
    """
    paths = [data_dir / name for name in SPLITS if (data_dir / name).is_file()]
    if not paths:
        fetch = "utils/download_features.py without --check fetches them"
        raise InputError(f"{data_dir}: holds none of {', '.join(SPLITS)}, which list the videos; {fetch}")
    return list({own[-1]: own for path in paths for own in read_split(path, weak_labels=False).names}.values())


def show(reports: Sequence[Report]) -> None:
    """Print the summary: a row for each kind of file, then the names of missing and wrong files."""
    table = PrettyTable(["what", "each", "wanted", "valid", "missing", "wrong"])
    table.align = "r"
    table.align["what"] = table.align["each"] = "l"
    for r in reports:
        table.add_row([r.what, r.layout, r.expected, r.valid, len(r.missing), len(r.wrong)])
    print(table)
    for r in reports:
        if r.missing:
            more = ", ..." if len(r.missing) > SHOWN else ""
            print(f"{r.what}: {len(r.missing)} missing: {', '.join(r.missing[:SHOWN])}{more}")
        for line in r.wrong[:SHOWN]:
            print(f"{r.what}: {line}")
        if len(r.wrong) > SHOWN:
            print(f"{r.what}: ... and {len(r.wrong) - SHOWN} more")
