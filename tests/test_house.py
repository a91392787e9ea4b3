"""The rules of the house: imports run one way, files and functions stay small, docstrings say shapes and errors.

One pass of `ast` over the files; nothing is imported.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A module may import its own room and the rooms before it.
ROOMS = (
    "nets",
    "nets.fast",
    "utils.base",
    "utils.llp",
    "utils.metrics",
    "utils.media",
    "utils.features",
    "utils.encoders",
    "utils.extract",
    "utils.train",
    "utils.simulation",
    "utils.download",
    "utils.convert",
    "utils.report",
    "utils.parse",
)
ORDER = (*ROOMS, "dataloader", "commands", "scripts", "benchmarks", "tests")
LINES, MAIN_LINES, FUNCTION_LINES = 250, 400, 40
# Heavy packages, and where they may be imported at the top of a file. A `with` or function body may import any.
HOME = {
    "av": ("utils.media", "utils.download"),
    "cv2": ("utils.media",),
    "soxr": ("utils.media",),
    "torchvision": ("utils.encoders",),
    "open_clip": ("utils.encoders",),
    "laion_clap": ("utils.encoders",),
    "transformers": ("utils.encoders",),
    "yt_dlp": ("utils.download",),
    "gdown": ("utils.download",),
    "matplotlib": ("utils.report",),
    "pympi": ("utils.convert",),
    "wandb": ("utils.train",),
    "gradio": ("utils.parse",),
}
ARRAYS = {"Tensor", "ndarray"}


class Module:
    """A file of the product and its syntax tree."""

    def __init__(self, path: Path):
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.tree = ast.parse(self.text)
        self.room = room(self.name)

    def __str__(self):
        return str(self.path.relative_to(ROOT))


def room(module: str) -> str | None:
    """The room of a module of this project, None for other packages; `commands` for main.py and utils/*.py."""
    inside = [r for r in ORDER if module == r or module.startswith(r + ".")]
    if inside:
        return max(inside, key=len)
    return "commands" if module == "main" or re.fullmatch(r"utils(\.\w+)?", module) else None


def imports(tree: ast.AST):
    """Every imported module; of `from a import b` both `a` and `a.b`, as far as the latter is a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            files = [
                m for m in modules if any((ROOT / m.replace(".", "/")).with_suffix(s).exists() for s in (".py", ""))
            ]
            yield from (files if len(files) == len(modules) else [node.module, *files])


def public_functions(tree: ast.Module):
    """Public functions and methods of public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_"))


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """All product files."""
    paths = [p for folder in ("nets", "utils") for p in sorted((ROOT / folder).rglob("*.py"))]
    return [Module(path) for path in (*paths, ROOT / "main.py", ROOT / "dataloader.py")]


@pytest.fixture(scope="module")
def commands(modules) -> list[Module]:
    """The files of utils/ itself, which a user types."""
    return [m for m in modules if m.path.parent == ROOT / "utils" and m.path.name not in ("__init__.py", "_start.py")]


def test_imports_run_one_way(modules):
    up = []
    for module in modules:
        for imported in imports(module.tree):
            theirs = room(imported)
            if theirs and imported not in ("utils", "nets") and ORDER.index(theirs) > ORDER.index(module.room):
                up.append(f"{module} imports {imported}")
    assert not up


def test_commands_are_imported_by_nothing_before_scripts(modules, commands):
    names = {"main", *(c.name for c in commands)}
    found = [f"{m} imports {i}" for m in modules for i in imports(m.tree) if i in names]
    assert not found


def test_nets_import_only_torch(modules):
    for module in modules:
        if module.room in ("nets", "nets.fast"):
            outside = {i.split(".")[0] for i in imports(module.tree)} - {"torch", "nets"}
            assert outside <= {"collections", "copy", "functools", "math", "platform", "typing"}, module
        if module.room == "nets":
            assert not any(i.startswith("nets.fast") for i in imports(module.tree)), module


def test_heavy_packages_stand_in_their_room(modules):
    for module in modules:
        top = ast.Module([n for n in module.tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        for imported in imports(top):
            home = HOME.get(imported.split(".")[0])
            assert home is None or module.room in home, f"{module} imports {imported}"


def test_every_file_of_utils_is_a_command(commands):
    assert len(commands) >= 13
    for module in commands:
        functions = {n.name for n in module.tree.body if isinstance(n, ast.FunctionDef)}
        assert {"get_args_parser", "main"} <= functions, module


def test_every_room_has_its_sign(modules):
    by_name = {m.name: m for m in modules}
    for name in ROOMS:
        sign = ast.get_docstring(by_name[name].tree)
        assert sign and len(sign.strip().splitlines()) >= 3 and "Imports:" in sign, name
    folders = {".".join(p.relative_to(ROOT).parts) for m in modules for p in [m.path.parent] if p != ROOT}
    assert folders - {"utils"} == set(ROOMS)


def test_the_readme_lists_the_rooms():
    rows = re.findall(r"^\| `((?:nets|utils)/[\w/]*)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(name.replace(".", "/") + "/" for name in ROOMS)


def test_files_and_functions_are_small(modules):
    large = []
    for module in modules:
        lines = len(module.text.splitlines())
        if lines > (MAIN_LINES if module.name == "main" else LINES):
            large.append(f"{module}: {lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef) and node.name != "get_args_parser":
                size = node.end_lineno - node.lineno + 1
                if size > FUNCTION_LINES:
                    large.append(f"{module}:{node.lineno} {node.name}: {size} lines")
    assert not large


def test_docstrings_say_shapes_and_errors(modules):
    silent = []
    for module in modules:
        top = [n for n in module.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        for node in top:
            if not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{module}:{node.lineno} {node.name}: no docstring")
        for node in public_functions(module.tree):
            doc = ast.get_docstring(node) or ""
            hints = [a.annotation for a in (*node.args.args, *node.args.kwonlyargs) if a.annotation]
            hints += [node.returns] if node.returns else []
            names = {
                n.attr if isinstance(n, ast.Attribute) else n.id
                for h in hints
                for n in ast.walk(h)
                if isinstance(n, ast.Attribute | ast.Name)
            }
            if names & ARRAYS and not re.search(r"\([^()]*[\w*.|]+[^()]*\)|scalar", doc):
                silent.append(f"{module}:{node.lineno} {node.name}: no shape")
            raised = [n.exc for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc]
            if any("InputError" in ast.dump(exc) for exc in raised) and "InputError" not in doc:
                silent.append(f"{module}:{node.lineno} {node.name}: raises InputError and does not say so")
    assert not silent


def test_nothing_cites_what_no_reader_has():
    cited = "spec" + ", section"
    paths = [p for s in ("py", "md", "sh", "yaml", "toml", "html") for p in ROOT.rglob(f"*.{s}")]
    own = [p for p in paths if not {".venv", "data", "models", "demo_output"} & set(p.relative_to(ROOT).parts)]
    assert not [str(p) for p in own if cited in p.read_text(encoding="utf-8", errors="replace")]
