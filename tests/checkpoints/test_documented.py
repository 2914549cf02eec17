"""docs/checkpoints.md knows every kind of file, role, layout, operator and limit, and no other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from qanalysis.checkpoints.catalogue import KINDS
from qanalysis.checkpoints.graphs.catalogue import PACKED_OPERATORS
from qanalysis.checkpoints.graphs.consumers import OPERANDS
from qanalysis.checkpoints.packed import recognised
from qanalysis.checkpoints.packed.catalogue import LAYOUTS
from qanalysis.checkpoints.source import MEASURED_ROLES, ROLES
from qanalysis.validation.peers import PEERS

TEXT = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
#: Layouts that are told by a type of the file and not by the parts of a stem.
BY_TYPE = {"torch.ao", "gguf:TYPE"}
UNDECODED = {layout.name for layout in recognised.LAYOUTS} | {"marlin", "codes", "scales"}


def read_tables(heading: str) -> list[dict[str, list[str]]]:
    """The tables of a section: the cells of each row by its first one."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    tables: list[dict[str, list[str]]] = []
    inside = False
    for line in section.splitlines():
        if not line.startswith("|"):
            inside = False
        elif not inside:
            inside = True
            tables.append({})
        elif not line.startswith("| ---"):
            first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
            assert first not in tables[-1], first
            tables[-1][first.strip("`")] = others
    return tables


def find_words(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_kinds_of_files_stand_with_their_suffixes() -> None:
    (table,) = read_tables("What is opened")
    assert {name: set(re.findall(r"`(\.\w+)`", cells[0])) for name, cells in table.items()} == {
        kind.name: set(kind.suffixes) for kind in KINDS
    }


def test_roles_stand_with_what_they_are_and_whether_they_are_measured() -> None:
    (table,) = read_tables("Roles")
    assert list(table) == list(ROLES)
    for role, (what, measured) in table.items():
        assert what.startswith(ROLES[role])
        assert (measured == "yes") == (role in MEASURED_ROLES)


@pytest.mark.parametrize("place", [0, 1], ids=["decoded", "recognised"])
def test_layouts_stand_with_what_they_are_recognised_by(place: int) -> None:
    table = read_tables("Packed weights")[place]
    wanted = {layout.name for layout in LAYOUTS if (layout.name in UNDECODED) == bool(place)}
    assert set(table) == wanted | (set() if place else BY_TYPE)
    for layout in LAYOUTS:
        told = " ".join(table.get(layout.name, []))
        for anchor in layout.anchors if told else ():
            assert anchor in told or (layout.name == "compressed-tensors" and anchor in TEXT), (layout.name, anchor)


def test_judges_are_peers_of_validate() -> None:
    names = {peer.name for peer in PEERS}
    for name, cells in read_tables("Packed weights")[0].items():
        for judge in cells[-1].split(", "):
            assert judge in names or judge.endswith(" (in the tests)"), name


def test_operators_with_codes_stand_with_their_word() -> None:
    table = read_tables("ONNX")[1]
    operators: dict[str, set[str]] = {}
    for one in PACKED_OPERATORS:
        operators.setdefault(one.name, set()).update(name.rpartition(".")[2] for name in one.operators)
    assert {word: find_words(cells[0]) for word, cells in table.items()} == operators


def test_consumers_with_weights_stand_with_their_outputs() -> None:
    told = {word for first in read_tables("ONNX")[0] for word in re.findall(r"\w+", first)}
    # Sums and gains are arithmetic; integer operators stand in the other table.
    packed = {name.rpartition(".")[2] for one in PACKED_OPERATORS for name in one.operators}
    with_weights = {
        name.rpartition(".")[2]
        for name, operands in OPERANDS.items()
        if any(callable(rule) for rule in operands.values()) and name not in {"Add", "Mul"}
    }
    assert with_weights - packed <= told <= with_weights


def read_number(text: str) -> float:
    """
    >>> read_number("256 MiB"), read_number("2^24"), read_number("1,000")
    (268435456.0, 16777216.0, 1000.0)
    """
    number, _, unit = text.partition(" ")
    base, _, power = number.replace(",", "").partition("^")
    return float(base) ** float(power or 1) * UNITS[unit]


LIMITS = {cells[0].strip("`"): cells[1] for cells in read_tables("Limits")[0].values()}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_those_of_the_program(name: str) -> None:
    module, constant = name.rsplit(".", 1)
    assert read_number(LIMITS[name]) == getattr(importlib.import_module(f"qanalysis.{module}"), constant)


def test_files_beside_a_model_that_are_looked_at_are_named() -> None:
    from qanalysis.checkpoints.evidence import EVIDENCE_NAMES

    assert set(EVIDENCE_NAMES) <= find_words(TEXT)


def test_readme_leads_here() -> None:
    assert "(docs/checkpoints.md)" in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
