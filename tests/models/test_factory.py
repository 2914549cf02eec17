"""Is a user's function found as `python -m` finds it, and is each way to miss it told on one line?"""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from qanalysis.models.factory import call_factory, describe_error


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module into the current folder under a name of its own, since imported modules stay."""
    monkeypatch.chdir(tmp_path)

    def write_module(source: str) -> str:
        name = f"made_{uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write_module


def refuse(text: str) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        call_factory(text)
    message = str(caught.value)
    assert repr(text) in message
    return message


def test_module_of_the_current_folder_is_found_and_sys_path_stays(write) -> None:
    name, before = write("def make():\n    return 7\n"), list(sys.path)
    assert call_factory(f"{name}:make") == 7
    assert sys.path == before


def test_a_module_in_a_package_and_a_method_are_found(tmp_path: Path, write) -> None:
    package = tmp_path / f"package_{uuid4().hex}"
    package.mkdir()
    (package / "small.py").write_text("class Zoo:\n    @staticmethod\n    def make():\n        return 8\n")
    assert call_factory(f"{package.name}.small:Zoo.make") == 8


def test_the_folder_is_searched_while_the_factory_runs(write) -> None:
    other = write("value = 9\n")
    name = write(f"def make():\n    import {other}\n    return {other}.value\n")
    assert call_factory(f"{name}:make") == 9


def test_sys_path_stays_where_the_module_takes_the_folder_out(write) -> None:
    before = list(sys.path)
    name = write("import sys\nsys.path.pop(0)\ndef make():\n    return 1\n")
    assert call_factory(f"{name}:make") == 1
    assert sys.path == before


def test_sys_path_stays_after_a_failure(write) -> None:
    before = list(sys.path)
    refuse(f"{write('1 / 0')}:make")
    assert sys.path == before


@pytest.mark.parametrize(
    "text",
    ["", "make", ":", "a:", ":make", "a.py/b:make", "a b:make", ".a:make", "a:b:c", "C:\\a.py:make", "a..b:make"],
)
def test_text_that_names_no_factory(text: str) -> None:
    assert "names no factory; give package.module:factory" in refuse(text)


@pytest.mark.parametrize("text", ["no_such_module_here:make", "collections.no_such:make", "json.py:make"])
def test_missing_module_is_named_with_the_folder(text: str) -> None:
    message = refuse(text)
    assert f"no module {text.removesuffix(':make')!r} in {str(Path.cwd())!r}" in message


def test_failing_import_inside_the_module_is_named(write) -> None:
    message = refuse(f"{write('import no_such_library.deep')}:make")
    assert "its import of 'no_such_library' fails (ModuleNotFoundError: No module named 'no_such_library')" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from json import nothing", "ImportError: cannot import name 'nothing' from 'json'"),
        ("def (", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
    ids=["name", "syntax", "error", "exit"],
)
def test_module_that_fails_while_it_runs(write, source: str, said: str) -> None:
    message = refuse(f"{write(source)}:make")
    assert f"can not be imported, since running it raises {said}" in message
    assert "work first" in message


def test_missing_function_is_answered_with_those_there(write) -> None:
    name = write("from json import dumps\ndef build():\n    pass\ndef _hidden():\n    pass\n")
    assert refuse(f"{name}:make").endswith("has no 'make'; of its own it has build")
    assert refuse(f"{write('x = 1')}:make").endswith("; it defines no function")


def test_value_that_is_no_function(write) -> None:
    assert "is a value of type 'int'; name a function" in refuse(f"{write('make = 1')}:make")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise SystemExit(2)", "SystemExit: 2"),
        ("raise KeyError", "KeyError"),
    ],
    ids=["error", "exit", "bare"],
)
def test_factory_that_raises(write, body: str, said: str) -> None:
    assert refuse(f"{write(f'def make(): {body}')}:make").endswith(f"called without arguments, raises {said}")


def test_factory_that_wants_arguments(write) -> None:
    assert "missing 1 required positional argument: 'width'" in refuse(f"{write('def make(width): pass')}:make")


def test_a_long_error_is_cut() -> None:
    assert len(describe_error(ValueError("x" * 1000))) == 300
