"""What an HDF5 file of packed features holds and where, so that its arrays can be read without HDF5.

HDF5 trusts its files: a damaged or hostile one may crash the process, or never end. So what this program writes ends in
an index, with a checksum, which Python reads; HDF5 describes a file without one in a process of its own, with limits.
"""

import json
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

FORMAT = "valor-packed-1"
END = struct.Struct("<QI8s")  # of the index: its length, its CRC-32, MAGIC
MAGIC = b"VALORIDX"
START, OWN_END = b"\x89HDF\r\n\x1a\n\0", struct.Struct("<40xQ")  # of what h5py writes; there it says where it ends
NUMBERS, TEXT = "fiu", "S"  # kinds of dtypes; of text, only that of a fixed length
MAX_ITEMS, MAX_ATTRIBUTE = 1000, 2**24  # of a group; bytes
CHILD = "import sys; sys.path.insert(0, sys.argv[2]); from utils.features.hdf5 import child; child(sys.argv[1])"
SECONDS, MEMORY = 8, 2**31  # that HDF5 may take to describe a file; bytes


class Unreadable(ValueError):
    """A file is not what it should be. The message is a part of a line."""


def describe(file: h5py.File) -> dict:
    """Attributes and arrays of an open file, as plain values: `columns[split][name]` has shape, dtype, attributes, and
    offset, the place of its first byte, None if only HDF5 can read it.

    Raises Unreadable if it holds anything but groups of arrays of numbers and of text of one length.
    """
    attributes = _attributes(file)
    is_packed = attributes.get("format") == FORMAT
    return {"attributes": attributes, "columns": {n: _group(file, n) for n in _names(file)} if is_packed else {}}


def _names(group: h5py.Group) -> list[str]:
    if len(group) > MAX_ITEMS:
        raise Unreadable(f"{group.name} holds {len(group)} things")
    return list(group)


def _member(group: h5py.Group, name: str, kind: type):
    """What is in a group. Links may lead to other files."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(group[name], kind):
        raise Unreadable(f"{group.name} holds {name!r}, expected a {kind.__name__.lower()}")
    return group[name]


def _group(file: h5py.File, name: str) -> dict[str, dict]:
    group = _member(file, name, h5py.Group)
    return {kind: _column(_member(group, kind, h5py.Dataset)) for kind in _names(group)}


def _column(dataset: h5py.Dataset) -> dict:
    if dataset.dtype.kind not in NUMBERS + TEXT or not dataset.shape:
        raise Unreadable(f"{dataset.name} holds {dataset.dtype}, expected numbers, or text of one length")
    offset = dataset.id.get_offset() if dataset.chunks is None and not dataset.external else None
    if dataset.is_virtual:
        sources = dataset.virtual_sources()
        if len(sources) > MAX_ITEMS:
            raise Unreadable(f"{dataset.name} has {len(sources)} sources")
        for source in sources:  # where HDF5 fails on one of them, it is here
            dataset[source.vspace.get_select_bounds()[0][0]]
    elif offset is None and dataset.size:
        raise Unreadable(f"{dataset.name} is not contiguous")
    shape = list(map(int, dataset.shape))
    return {"shape": shape, "dtype": dataset.dtype.str, "offset": offset, "attributes": _attributes(dataset)}


def _attributes(item: h5py.File | h5py.Dataset) -> dict[str, str | int | float | list]:
    """Texts and numbers that a file says of something."""
    found = {}
    for name in item.attrs:
        if item.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE:
            raise Unreadable(f"attribute {name} of {item.name} has over {MAX_ATTRIBUTE} bytes")
        value = item.attrs[name]
        if isinstance(value, str):
            found[name] = value
        elif np.asarray(value).dtype.kind in NUMBERS:
            found[name] = np.asarray(value).tolist()
    return found


def append_index(path: Path, index: dict) -> None:
    """Write what `describe` said of a file to its end, which HDF5 ignores, and cuts off if it changes the file."""
    data = json.dumps(index).encode()
    with open(path, "ab") as file:
        file.write(data + END.pack(len(data), zlib.crc32(data), MAGIC))


def read_index(path: Path) -> dict | None:
    """The index at the end of a file, None if HDF5 alone wrote it. Raises Unreadable if it is damaged or truncated."""
    with open(path, "rb") as file:
        start = file.read(OWN_END.size)
        size = file.seek(0, 2)
        file.seek(max(0, size - END.size))
        length, checksum, magic = END.unpack(file.read().rjust(END.size))
        file.seek(max(0, size - END.size - length))
        data = file.read(min(length, size))
    if magic == MAGIC and zlib.crc32(data) == checksum:
        return json.loads(data)
    end = OWN_END.unpack(start.ljust(OWN_END.size))[0]
    if start.startswith(START) and size != end:
        raise Unreadable("its index is damaged" if size > end else f"truncated, {size} of {end} bytes")
    return None


def describe_apart(path: Path) -> dict:
    """What `describe` says of a file, in a process of its own. Raises Unreadable if it fails in any way."""
    try:
        command = [sys.executable, "-P", "-c", CHILD, str(path), str(Path(__file__).parents[2])]
        result = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Unreadable(f"HDF5 does not get through it in {SECONDS} s") from None
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1].partition(": ")[2][:200] if lines else ""  # after the name of the error
        raise Unreadable(said or f"HDF5 fails on it, with status {result.returncode}")
    return json.loads(result.stdout)


def child(path: str) -> None:
    """Print what `describe` says of a file as JSON, within limits of memory and time."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with h5py.File(path, "r") as file:
        print(json.dumps(describe(file)))
