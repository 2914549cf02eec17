"""Imports run one way, heavy libraries stay where they belong, and the package loads none of them before they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qanalysis

PACKAGE = Path(qanalysis.__file__).parent
ROOT = PACKAGE.parent

# A room may import rooms of the lines above it, and its own files. Rooms of one line know nothing of each other.
ORDER = (
    {"notation", "coders", "double_scales", "grouping", "ranges", "quantizer", "kernels", "checkpoints"},
    {"grids", "group_statistics"},
    {"formats"},
    {"scheme"},
    {"metrics"},
    {"theory"},
    {"results", "chunks"},
    {"measurement", "profile"},
    {"sweep", "converters"},
    {"conventions", "diagnosis", "validation"},
    {"charts"},
    {"reports"},
    {"terminal"},
    {"command_options"},
    {"converter_terminal"},
    {"converter_commands"},
    {"cli", "dashboard"},
    {"dashboard_script"},
)
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line}

# Where each heavy library may be imported when the program runs; imports for type checkers alone load nothing.
ALLOWED = {
    "torch": ("qanalysis/checkpoints/torch_file.py", "qanalysis/validation/", "sample_models/", "qanalysis/models/", "qanalysis/training/"),
    "plotly": ("qanalysis/charts/",),
    "streamlit": ("qanalysis/dashboard/", "app.py"),
    "numba": ("qanalysis/kernels/",),
    "llvmlite": ("qanalysis/kernels/",),
    "onnx": ("qanalysis/checkpoints/onnx_file.py", "qanalysis/validation/"),
    "gguf": ("qanalysis/checkpoints/gguf_file.py", "qanalysis/validation/"),
    "safetensors": ("sample_models/",),
    "sklearn": ("sample_models/",),
}
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "sample_models").glob("*.py"), ROOT / "app.py"])
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_file(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def find_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module of a file, "package.name" for names taken from a package, and whether only type checkers see it."""
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


def find_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports from, its index left out."""
    names = [name.split(".") for name, _for_types in find_imports(path)]
    return {name[1] for name in names if name[0] == "qanalysis" and len(name) > 1 and name[1] != "__version__"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__", "__main__"} == set(RANK)


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) not in ("__init__", "__main__")], ids=name_file)
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    wrong = {other for other in find_rooms(path) if other != room and RANK[other] >= RANK[room]}
    assert not wrong, f"{room} must not know {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("room", ["coders", "double_scales", "grouping", "ranges", "quantizer"])
def test_value_types_know_nothing_of_the_package(room: str) -> None:
    assert find_rooms(PACKAGE / f"{room}.py") == set()


def test_a_source_knows_nothing_of_the_package() -> None:
    assert find_rooms(PACKAGE / "checkpoints" / "source.py") == set()


@pytest.mark.parametrize("room", ["measurement", "sweep", "profile", "chunks"])
def test_the_engine_knows_sources_but_no_reader(room: str) -> None:
    known = {name for name, _for_types in find_imports(PACKAGE / f"{room}.py") if name.startswith("qanalysis.checkpoints")}
    assert all(name.startswith("qanalysis.checkpoints.source.") for name in known), known


def test_readers_are_loaded_only_when_a_file_needs_them() -> None:
    tree = ast.parse((PACKAGE / "checkpoints" / "__init__.py").read_text(encoding="utf-8"))
    at_import = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {f"qanalysis.checkpoints.{kind}_file" for kind in ("torch", "onnx", "gguf", "safetensors", "numpy")} & at_import


@pytest.mark.parametrize("path", FILES, ids=name_file)
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    for name, for_types in find_imports(path):
        allowed = ALLOWED.get(name.split(".")[0])
        assert for_types or allowed is None or name_file(path).startswith(allowed), f"{name_file(path)} imports {name}; only {', '.join(allowed)} may"


def list_loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import qanalysis", "import qanalysis.sweep, qanalysis.profile, qanalysis.checkpoints", "import sample_models"])
def test_imports_load_no_heavy_library(code: str) -> None:
    assert not {"torch", "plotly", "streamlit", "pandas", "onnx", "gguf", "sklearn", "pyarrow", "jinja2"} & list_loaded(code)


def test_help_loads_no_heavy_library() -> None:
    code = "from typer.testing import CliRunner\nfrom qanalysis.cli import app\nassert CliRunner().invoke(app, ['--help']).exit_code == 0"
    assert not {"torch", "plotly", "streamlit", "pandas", "numba", "pyarrow"} & list_loaded(code)
