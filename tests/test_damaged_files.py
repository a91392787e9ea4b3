"""Files of every kind, damaged at random: the right numbers, or one line. Never a traceback, a hang, or much memory.

Each kind is read 500 times in a process that an alarm kills if one file takes over ten seconds. What a
changed file says is told by another reader: numpy's, PyYAML's, json, or text cut at tabs. Files with checksums must
read as they were.
"""

import io
import json
import re
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.conftest import ROOT, python
from tests.synthetic import write_openai_archive
from utils.base import weights
from utils.base.errors import InputError
from utils.base.npy import read_npy
from utils.features import packed
from utils.features.packed import ColumnSpec, Packed, Writer
from utils.llp.classes import CLASS_NAMES, CLASSES, read_classes, write_classes
from utils.llp.events import EVENT_COLUMNS, read_events
from utils.llp.tables import write_table
from utils.llp.videos import SPLIT_COLUMNS, read_split
from utils.train import checkpoint
from utils.train.run_folder import arguments_text, read_arguments
from utils.train.training_log import CURVES, read_curves

CASES, SECONDS, MEMORY = 500, 10, 2e9  # of a kind; of a case; bytes of a kind's process
NAMES = ["BjCEufrlXm4_20_30", "AP0061o0Nvk_101.8_111.8", "vidéo 日本_0_10", '"quoted"_0_10']


class Kind(NamedTuple):
    """A kind of file: how it is written, read, and read by others. `others` None: as it was before it was damaged."""

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]
    others: Callable[[bytes], object] | None = None


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def state_dict() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.from_numpy(numbers(9, 7)), "a.bias": torch.from_numpy(numbers(9)).half()}


def plain(state) -> list:
    """Comparable: names, dtypes, shapes and bytes."""
    return [(k, str(v.dtype), tuple(v.shape), v.contiguous().numpy().tobytes()) for k, v in state.items()]


def array_of(array: np.ndarray) -> tuple:
    return str(array.dtype), array.shape, array.tobytes()


def npy_own(data: bytes) -> tuple:
    return array_of(np.load(io.BytesIO(data), allow_pickle=False))


def cells(data: bytes, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The rows of a tab-separated file, cut at line ends and tabs."""
    header, *lines = [line.split("\t") for line in re.split("\r\n|\r|\n", data.decode("utf-8-sig"))]
    places = [header.index(column) for column in columns]
    rows = [tuple([*line, *[""] * len(header)][place].strip() for place in places) for line in lines]
    return [row for row in rows if any(row)]


def split_of(path: Path) -> list:
    split = read_split(path)
    return [(name, sorted(np.flatnonzero(row).tolist())) for name, row in zip(split.filenames, split.weak, strict=True)]


def split_cells(data: bytes) -> list:
    rows = cells(data, SPLIT_COLUMNS)
    return [(name, sorted({CLASS_NAMES.index(x.strip()) for x in labels.split(",")})) for name, labels in rows]


def event_cells(data: bytes) -> list:
    return [(n, float(a), float(b), CLASS_NAMES.index(label)) for n, a, b, label in cells(data, EVENT_COLUMNS)]


def curves(data: bytes) -> dict:
    lines = [json.loads(line) for line in data.decode("utf-8-sig").splitlines()]
    keys = {"epoch": "epoch", **CURVES}
    found = {name: [np.nan if line[key] is None else float(line[key]) for line in lines] for name, key in keys.items()}
    return {name: [value if np.isfinite(value) else None for value in values] for name, values in found.items()}


def write_log(path: Path) -> None:
    lines = [{"epoch": e, **{key: e / 7 for key in CURVES.values()}} for e in (1, 2, 3)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def st_own(data: bytes) -> list:
    """What the header and the bytes after it say."""
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    dtypes = {"F32": "torch.float32", "F16": "torch.float16", "I32": "torch.int32", "BF16": "torch.bfloat16"}
    items = sorted(((k, v) for k, v in header.items() if k != "__metadata__"), key=lambda item: item[0])
    return [(k, dtypes[v["dtype"]], tuple(v["shape"]), body[slice(*v["data_offsets"])]) for k, v in items]


def write_packed(path: Path, split: str = "train") -> None:
    names = packed.encode_texts(NAMES * 100)
    columns = {f"{split}/filename": ColumnSpec(names.shape, names.dtype, {})}
    columns[f"{split}/audio"] = ColumnSpec((400, 2, 3), np.dtype("f4"), {"source_rows": 10, "fingerprint": "f"})
    with Writer.open(path, columns, {"/": {"classes": "Dog\nCat"}}) as writer:
        writer.append(f"{split}/filename", names)
        writer.append(f"{split}/audio", numbers(400, 2, 3))


def packed_of(path: Path, indexed: bool = False) -> list:
    """Everything of a packed file, read whole, and again in pieces."""
    (columns,) = Packed.open(path, indexed).columns.values()
    names, audio = packed.read_texts(columns["filename"]), columns["audio"].read_all()
    columns["audio"].read(np.array([0, 1, 399]))
    return [names, audio.tobytes(), columns["audio"].attributes["source_rows"]]


def events_of(path: Path) -> list:
    events = read_events(path)
    return list(zip(events.filename, events.onset, events.offset, events.label, strict=True))


def argument_lines(data: bytes) -> dict:
    lines = [line.partition(": ") for line in data.decode("utf-8-sig").splitlines()]
    return {name: value for name, found, value in lines if found}


def write_arguments(path: Path) -> None:
    path.write_text(arguments_text(ARGUMENTS), encoding="utf-8")


def yaml_own(data: bytes) -> list:
    return yaml.safe_load(data.decode("utf-8-sig"))


ARGUMENTS = {"nhead": 8, "norm_where": "post_norm", "audio_dir": "./data: a/vidéo", "wandb_run_name": None}
EVENTS = [(name, i, i + 4, CLASS_NAMES[i]) for i, name in enumerate(NAMES)]
TEXTS = [
    Kind("yaml", lambda p: write_classes(p, CLASSES[:3]), lambda p: [c._asdict() for c in read_classes(p)], yaml_own),
    Kind("split", lambda p: write_table(p, SPLIT_COLUMNS, [(n, "Dog,Cat") for n in NAMES]), split_of, split_cells),
    Kind("events", lambda p: write_table(p, EVENT_COLUMNS, EVENTS), events_of, event_cells),
    Kind("log", write_log, read_curves, curves),
    Kind("arguments.txt", write_arguments, lambda p: read_arguments(p.parent), argument_lines),
]
ARRAYS = [
    Kind("a.npy", lambda p: np.save(p, numbers(10, 8)), lambda p: array_of(read_npy(p)), npy_own),
    Kind("packed", write_packed, packed_of),
    Kind("cache", lambda p: write_packed(p, "cache"), lambda p: packed_of(p, indexed=True)),
]
WEIGHTS = [
    Kind("checkpoint", lambda p: torch.save(state_dict(), p), lambda p: plain(checkpoint.load(p))),
    Kind("torchscript", lambda p: write_openai_archive(p, state_dict()), lambda p: plain(weights.read(p))),
    Kind("a.safetensors", lambda p: save_file(state_dict(), p), lambda p: sorted(plain(weights.read(p))), st_own),
]
GROUPS = {"texts": TEXTS, "arrays": ARRAYS, "weights": WEIGHTS}


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """A change of some bits, or bytes, a cut, bytes that are put in or left out, or written twice; at least one."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        # the beginning and the end, where most kinds say what they hold, as often as the rest
        edge = rng.choice([min(400, len(data)), len(data)])
        place = int(rng.integers(edge)) if rng.random() < 0.5 else len(data) - 1 - int(rng.integers(edge))
        size = int(rng.integers(1, 40))
        part = bytes(data[place : place + size])
        change = rng.integers(8)
        if change < 3:
            data[place] ^= 1 << int(rng.integers(8))
        elif change == 3:
            data[place] = int(rng.choice(list(b"0123456789.,:-[]{}&*!'\"\t\r\n\0 ax\xff")))
        elif change == 4:
            data[place : place + size] = rng.bytes(size)
        elif change == 5:
            del data[place : place + min(size, len(data) - 50)]
        elif change == 6:
            data[place:place] = part * int(rng.integers(1, 4))
        else:
            data = data[: max(50, place)]
    return bytes(data)


def run_kind(kind: Kind) -> None:
    """Read one kind of file, damaged CASES times, in this folder, and print what came of it as JSON."""
    path, rng = Path(kind.name).absolute(), np.random.default_rng(len(kind.name))
    kind.write(path)
    data, expected = path.read_bytes(), kind.read(path)
    counts, slowest = {"read": 0, "refused": 0}, 0.0
    for case in range(CASES):
        damaged = damage(data, rng)
        path.write_bytes(damaged)
        print(kind.name, case, damaged[:1000], file=sys.stderr)  # what a failure or a hang ends with
        signal.alarm(SECONDS)
        start = time.perf_counter()
        try:
            found = kind.read(path)
            counts["read"] += 1
        except InputError as error:
            found = None
            counts["refused"] += 1
            assert str(path) in str(error) and len(str(error).splitlines()) == 1, error
        slowest = max(slowest, time.perf_counter() - start)
        signal.alarm(0)
        assert found is None or found == (kind.others(damaged) if kind.others else expected)
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count what the parent had when it started this
    memory = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
    print(json.dumps(counts | {"slowest": slowest, "memory": memory}))


@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files_cost_one_line(group, tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tests import test_damaged_files as t; "
    result = python("-c", code + f"[t.run_kind(kind) for kind in t.GROUPS[{group!r}]]", ROOT, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    for line, kind in zip(result.stdout.splitlines(), GROUPS[group], strict=True):
        found = json.loads(line)
        assert found["read"] + found["refused"] == CASES and found["refused"] > CASES / 10, kind.name
        assert found["slowest"] < SECONDS and found["memory"] < MEMORY, kind.name


def test_the_other_readers_agree_on_undamaged_files(tmp_path, monkeypatch):
    """So that they can tell what a damaged one says."""
    monkeypatch.chdir(tmp_path)
    for kind in (*TEXTS, *ARRAYS, *WEIGHTS):
        path = tmp_path / kind.name
        kind.write(path)
        assert kind.others is None or kind.others(path.read_bytes()) == kind.read(path), kind.name
