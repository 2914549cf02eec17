"""The scripts fit each other, can be joined to one, and never read a name of a file as markup or as a program."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from qanalysis.charts.linked.modules import (
    MODULES,
    PLOTLY,
    describe_looks,
    join_modules,
    name_version,
    read_module,
    read_plotly,
    read_styles,
)
from qanalysis.charts.palette import PALETTES

IMPORT = re.compile(r"^import \{ ?([^}]*?) ?\} from \"\./([a-z_]+)\.js\";$", re.MULTILINE)
TOP_LEVEL = re.compile(
    r"^(export )?(?:async )?(?:const|let|var|class|function) (\{[^}]*\}|[A-Za-z_$][\w$]*)", re.MULTILINE
)
NOT_ALLOWED = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTMLUnsafe"
    r"|\beval\b|\bnew Function\b|javascript:|set(?:Timeout|Interval)\(\s*[\"'`]"
)
THE_PAGE_S_OWN = re.compile(r"window\.Plotly|globalThis\.Plotly|document\.cookie|localStorage|__streamlit")


def names_of(name: str, *, exported: bool) -> list[str]:
    return [found for export, found in TOP_LEVEL.findall(read_module(name)) if export or not exported]


def test_every_script_of_the_folder_is_listed_and_the_other_way_round() -> None:
    there = {path.name for path in files("qanalysis.charts.linked").iterdir() if path.name.endswith(".js")}
    assert {f"{name}.js" for name in MODULES} == there
    assert len(MODULES) == len(set(MODULES))


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_takes_is_given_by_one_before_it(name: str) -> None:
    text = read_module(name)
    lines = [line for line in text.splitlines() if re.match(r"\s*import\b|.*\bfrom \"", line)]
    assert len(lines) == len(IMPORT.findall(text)), "an import that joining would not drop"
    for taken, source in IMPORT.findall(text):
        assert source in MODULES[: MODULES.index(name)], source
        assert set(re.split(r", *", taken)) <= set(names_of(source, exported=True)), source


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_takes_it_uses(name: str) -> None:
    body = IMPORT.sub("", read_module(name))
    taken = {word for names, _source in IMPORT.findall(read_module(name)) for word in re.split(r", *", names)}
    assert {word for word in taken if not re.search(rf"\b{re.escape(word)}\b", body)} == set()


def test_names_are_distinct_over_all_modules() -> None:
    names = [name for module in MODULES for name in names_of(module, exported=False)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", MODULES)
def test_no_module_reads_text_as_markup_or_program(name: str) -> None:
    assert NOT_ALLOWED.findall(read_module(name)) == []


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("main", "offline")])
def test_only_what_begins_on_a_page_or_in_a_report_knows_it(name: str) -> None:
    assert THE_PAGE_S_OWN.findall(read_module(name)) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_fits_the_width_and_length_of_all_files(name: str) -> None:
    lines = read_module(name).splitlines()
    assert [line for line in lines if len(line) > 120] == []
    assert len(lines) <= 400


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_first_why_it_is_there(name: str) -> None:
    first = read_module(name).splitlines()[0]
    assert first.startswith("// ")
    assert len(first) > 40


def test_the_joined_script_holds_every_module_and_no_import() -> None:
    joined = join_modules()
    assert not re.search(r"^\s*(?:import|export)\b", joined, re.MULTILINE)
    assert "</script" not in joined.lower()
    for module in MODULES:
        held = [f"{name}" in joined for name in names_of(module, exported=True)]
        assert all(held) is (module != "main"), module


@pytest.mark.skipif(shutil.which("node") is None, reason="node checks the syntax where it is installed")
def test_the_joined_script_is_javascript(tmp_path: Path) -> None:
    script = tmp_path / "joined.js"
    script.write_text('"use strict";\n' + join_modules(), encoding="utf-8")
    checked = subprocess.run(["node", "--check", str(script)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_an_unknown_module_has_no_text() -> None:
    with pytest.raises(KeyError):
        read_module("../modules")


def test_the_version_names_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch("[0-9a-f]{16}", name_version())
    assert PLOTLY.endswith(".js")
    assert read_plotly()[:400].decode(errors="replace")
    assert "expression(" not in read_styles()
    assert "@import" not in read_styles()


def test_looks_hold_both_palettes_and_a_twin_of_each_light_colour() -> None:
    looks = describe_looks()
    twins = dict(looks["twins"])
    for role, colour in looks["light"].items():
        assert colour == getattr(PALETTES["light"], role)
        assert twins[colour] == looks["dark"][role] == getattr(PALETTES["dark"], role)
    assert looks["template"]["layout"]["paper_bgcolor"] == PALETTES["light"].background
