"""Imports run one way, heavy libraries stay where they belong, and the package loads none of them before they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import qanalysis

PACKAGE = Path(qanalysis.__file__).parent
ROOT = PACKAGE.parent

# Rooms by rank: a file may import its own room and rooms of lower rank; rooms of one rank know nothing of each other.
RANKS = (
    {"arrays", "decibels", "notation"},
    {"sums", "kernels", "patterns", "results"},
    {"quantizers"},
    {"theory", "checkpoints"},
    {"sweeps", "converters"},
    {"diagnosis", "models"},
    {"training", "plans"},
    {"comparisons", "validation"},
    {"charts"},
    {"reports"},
    {"commands", "dashboard"},
    {"cli"},
)
RANK = {room: rank for rank, line in enumerate(RANKS, 1) for room in line}

# Where each heavy library may be imported when the program runs; imports for type checkers alone load nothing.
ALLOWED = {
    "torch": (
        "qanalysis/validation/",
        "sample_models/",
        "qanalysis/models/",
        "qanalysis/training/",
    ),
    "plotly": ("qanalysis/charts/",),
    "streamlit": ("qanalysis/dashboard/", "app.py"),
    "numba": ("qanalysis/kernels/",),
    "llvmlite": ("qanalysis/kernels/",),
    "typer": ("qanalysis/commands/", "qanalysis/cli.py"),
    "rich": ("qanalysis/reports/terminal.py",),
    "onnx": (
        "qanalysis/checkpoints/graphs/",
        "qanalysis/validation/",
        "qanalysis/models/running/onnx_",
        "qanalysis/models/forms/onnx_",
    ),
    "onnxruntime": ("qanalysis/models/running/onnx_", "qanalysis/validation/"),
    "gguf": (
        "qanalysis/checkpoints/gguf_file.py",
        "qanalysis/checkpoints/gguf_names.py",
        "qanalysis/checkpoints/imatrix.py",
        "qanalysis/validation/",
    ),
    "safetensors": ("sample_models/", "qanalysis/validation/"),
    "huggingface_hub": ("qanalysis/checkpoints/remote/", "qanalysis/models/running/hub.py"),
    "sklearn": ("sample_models/",),
    "transformers": ("qanalysis/models/running/", "qanalysis/validation/"),
}
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "sample_models").glob("*.py"), ROOT / "app.py"])
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_file(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def find_imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Every imported module of a file, "package.name" for names taken from a package, and whether only type checkers see it."""
    return tuple(_list_imports(path))


def _list_imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for part in branch.body
        for node in ast.walk(part)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_file(path)} line {node.lineno}: write the whole name of the module"
            yield from ((f"{node.module}.{alias.name}", id(node) in for_types) for alias in node.names)


@cache
def find_files(path: Path) -> set[Path]:
    """Files of the package that a file imports from, imports under TYPE_CHECKING and inside functions counted.

    Of a name taken from a folder that is the folder's `__init__`.
    """
    found = set()
    for name, _for_types in find_imports(path):
        parts = name.split(".")
        while parts and parts[0] == "qanalysis":
            file, folder = ROOT.joinpath(*parts).with_suffix(".py"), ROOT.joinpath(*parts, "__init__.py")
            if file.exists() or folder.exists():
                found.add(file if file.exists() else folder)
                break
            parts.pop()
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_has_its_rank() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__"} <= set(RANK)


def test_the_flat_level_stays_small() -> None:
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "cli"}
    assert len(flat) <= 6, flat


def test_imports_run_one_way() -> None:
    wrong = {
        (name_file(path), name_file(other))
        for path in MODULES
        for other in (find_files(path) if path.parent != PACKAGE or path.stem != "__init__" else ())
        if room_of(other) != room_of(path) and RANK[room_of(other)] >= RANK[room_of(path)]
    }
    assert wrong == set()


def find_doors(path: Path) -> set[Path]:
    """The `__init__` files that are run on the way to the files that a file imports.

    That of the whole package is left aside: it imports the public names only when they are asked for, and
    `test_no_file_takes_a_public_name_from_the_package` sees to it that nothing inside asks.
    """
    folders = {PACKAGE / folder for other in find_files(path) for folder in other.relative_to(PACKAGE).parents}
    return {folder / "__init__.py" for folder in folders - {PACKAGE}}


def find_circles() -> set[frozenset[str]]:
    """Sets of files that reach one another."""
    graph = {path: (find_files(path) | find_doors(path)) - {path} for path in MODULES}
    reached: dict[Path, set[Path]] = {}
    for path, others in graph.items():
        seen: set[Path] = set()
        waiting = list(others)
        while waiting:
            found = waiting.pop()
            if found not in seen:
                seen.add(found)
                waiting.extend(graph[found])
        reached[path] = seen
    circles = {
        frozenset({path} | {other for other in reached[path] if path in reached[other]})
        for path in graph
        if path in reached[path]
    }
    return {frozenset(map(name_file, circle)) for circle in circles}


def test_no_files_import_each_other_in_a_circle() -> None:
    assert find_circles() == set()


@pytest.mark.parametrize("path", [path for path in MODULES if path != PACKAGE / "__init__.py"], ids=name_file)
def test_no_file_takes_a_public_name_from_the_package(path: Path) -> None:
    assert PACKAGE / "__init__.py" not in find_files(path)


def test_a_source_knows_nothing_of_the_package_but_how_a_tensor_is_a_matrix_and_a_name_is_written() -> None:
    known = {PACKAGE / "quantizers" / "matrix_view.py", PACKAGE / "notation.py"}
    assert find_files(PACKAGE / "checkpoints" / "source.py") == known


SOURCES_ONLY = ("sweeps", "converters", "diagnosis", "models", "training", "plans", "comparisons")


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) in SOURCES_ONLY], ids=name_file)
def test_the_engine_knows_sources_but_no_reader(path: Path) -> None:
    known = {name_file(file) for file in find_files(path) if room_of(file) == "checkpoints"}
    # A model that runs has tensors of its own, which need roles and views, and takes weights out of files.
    runs = {f"qanalysis/checkpoints/{name}.py" for name in ("entries", "roles", "views", "catalogue")}
    allowed = runs if path.is_relative_to(PACKAGE / "models" / "running") else set()
    if path.parent.name in {"measures", "sensitivity"} and path.is_relative_to(
        PACKAGE / "models"
    ):  # weighs errors by statistics that a file may hold
        allowed = {"qanalysis/checkpoints/imatrix.py", "qanalysis/checkpoints/gguf_names.py"}
    if room_of(path) in {"plans", "comparisons"}:  # which name tensors as another program does
        allowed = {"qanalysis/checkpoints/imatrix.py", "qanalysis/checkpoints/gguf_names.py"}
    assert known <= {"qanalysis/checkpoints/source.py"} | allowed


def test_a_page_imports_no_other_page_and_the_shared_files_none() -> None:
    pages = {
        path.parent.name
        for path in MODULES
        if room_of(path) == "dashboard" and len(path.relative_to(PACKAGE).parts) > 2
    }
    assert {"layers", "converter"} <= pages
    for path in MODULES:
        own = path.relative_to(PACKAGE).parts
        if own[0] == "dashboard" and own[1] != "main.py":  # which holds the list of the pages
            others = {file.relative_to(PACKAGE).parts[1] for file in find_files(path) if room_of(file) == "dashboard"}
            assert others & pages <= {own[1]}, name_file(path)


def test_readers_are_loaded_only_when_a_file_needs_them() -> None:
    loaded = list_loaded("import qanalysis.checkpoints.catalogue")
    readers = {f"qanalysis.checkpoints.{kind}_file" for kind in ("torch", "onnx", "gguf", "safetensors", "numpy")}
    assert not readers & loaded


@pytest.mark.parametrize("path", FILES, ids=name_file)
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    for name, for_types in find_imports(path):
        allowed = ALLOWED.get(name.split(".")[0])
        assert for_types or allowed is None or name_file(path).startswith(allowed), (
            f"{name_file(path)} imports {name}; only {', '.join(allowed)} may"
        )


def list_loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import qanalysis", "import qanalysis.cli, qanalysis.checkpoints.catalogue", "import sample_models"]
)
def test_imports_load_no_heavy_library(code: str) -> None:
    heavy = {
        "torch",
        "plotly",
        "streamlit",
        "pandas",
        "onnx",
        "gguf",
        "sklearn",
        "pyarrow",
        "jinja2",
        "huggingface_hub",
        "numba",
    }
    assert not heavy & list_loaded(code)


def test_help_loads_no_heavy_library() -> None:
    code = "from typer.testing import CliRunner\nfrom qanalysis.cli import app\nassert CliRunner().invoke(app, ['--help']).exit_code == 0"
    assert not {"torch", "plotly", "streamlit", "pandas", "numba", "pyarrow", "huggingface_hub"} & list_loaded(code)


def test_the_wheel_has_every_folder() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {
        file.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for top in (PACKAGE, ROOT / "sample_models")
        for file in top.rglob("__init__.py")
    }
    assert set(listed) == folders
