"""TorchScript archives: their tensors, taken without running the code that such an archive holds.

An archive is a zip file. `data.pkl` pickles the tree of modules, `data/` holds the numbers, and `code/` says of each
class of modules which of its attributes are parameters and buffers. Loading an archive as torch.jit.load does would
run its `__setstate__` functions, which may write to any file. A state dict maps names to tensors of any shape (...).
"""

import ast
import collections
import functools
import io
import itertools
import pickle
import zipfile
from collections.abc import Callable, Iterator

import torch

MAX_MODULES = 100_000  # a tree of modules that are listed again and again may be endless
DTYPES = {
    f"{name}Storage": getattr(torch, name.lower())
    for name in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Bool")
} | {"CharStorage": torch.int8, "ByteStorage": torch.uint8}


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    """Whether a zip file is a TorchScript archive."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def state_dict(archive: zipfile.ZipFile) -> dict[str, torch.Tensor]:
    """What `torch.jit.load(...).state_dict()` would return, tensors of any shape (...) on the CPU.

    Raises ValueError, or one of a dozen kinds of errors, if the archive is damaged or holds something else.
    """
    root = next(name for name in archive.namelist() if name.endswith("/constants.pkl")).removesuffix("constants.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("its numbers are big-endian")
    return dict(_tensors(_Unpickler(archive, root).load(), "", collections.Counter()))


class _Module:
    """A module of the archive: its class's name and its attributes."""

    tensors: tuple[str, ...]  # names of its parameters and buffers

    def __setstate__(self, state: dict) -> None:
        self.attributes = dict(state)


def _tensors(module: _Module, prefix: str, count: collections.Counter) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and values of the tensors of a module and of those in it, in torch's order."""
    count["modules"] += 1
    if count["modules"] > MAX_MODULES:
        raise ValueError(f"over {MAX_MODULES} modules")
    for name in module.tensors:
        if isinstance(value := module.attributes.get(name), torch.Tensor):
            yield prefix + name, value
    for name, value in module.attributes.items():
        if isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.", count)


class _Unpickler(pickle._Unpickler):
    """Makes modules and tensors, and nothing else; Python's own one in Python, whose memory the file cannot inflate."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self.archive, self.root = archive, root
        self.module_class = functools.cache(self.module_class)
        self.storage = functools.cache(self.storage)

    def find_class(self, module: str, name: str) -> Callable:
        """What stands for a name of the archive's."""
        if module == "__torch__" or module.startswith("__torch__."):
            return self.module_class(module, name)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, tag: value,
        }
        if module == "torch.jit._pickle" and name.startswith("build_"):  # lists of numbers, of tensors
            return list
        if (module, name) not in allowed:
            raise ValueError(f"it holds {module}.{name}, which is never loaded")
        return allowed[module, name]

    def module_class(self, module: str, name: str) -> type:
        """A class of modules, `__torch__.a.b` and `C`, as `code/__torch__/a/b.py` describes it."""
        code = self.archive.read(f"{self.root}code/{module.replace('.', '/')}.py").decode()
        body = next(n.body for n in _classes(code) if n.name == name)
        lists = {n.targets[0].id: n.value for n in body if isinstance(n, ast.Assign) and hasattr(n.targets[0], "id")}
        names = [ast.literal_eval(lists[key]) for key in ("__parameters__", "__buffers__") if key in lists]
        if any(isinstance(n, ast.FunctionDef) and n.name == "__setstate__" for n in body):
            raise ValueError(f"{module}.{name} makes its tensors by code of its own, which is never run")
        return type(f"{module}.{name}", (_Module,), {"tensors": (*itertools.chain(*names),)})

    def persistent_load(self, pid: tuple) -> torch.Tensor:
        """The numbers that tensors share: ("storage", dtype, file, device, count) -> (count,)."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError(f"it holds {kind}, which is never loaded")
        return self.storage(dtype, key, count)

    def storage(self, dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        """The numbers of a file of the archive, (count,)."""
        data = bytearray(self.archive.read(f"{self.root}data/{key}"))
        if len(data) != count * dtype.itemsize:
            raise ValueError(f"data/{key} has {len(data)} bytes, expected {count} {dtype}")
        return torch.frombuffer(data, dtype=dtype) if count else torch.empty(0, dtype=dtype)

    @staticmethod
    def tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_) -> torch.Tensor:
        """A tensor of shape `size` from a part of a storage, (count,)."""
        return storage.as_strided(size, stride, offset)


def _classes(code: str) -> list[ast.ClassDef]:
    """The classes of a file of code, which is parsed and never run."""
    return [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef)]
