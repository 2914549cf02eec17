"""What does every result tell? What its columns mean, where it comes from, what was left out, which limits it met."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from qanalysis.reports.outline import Block, Bullets, Facts, Grid, Section
from qanalysis.results.columns import Column
from qanalysis.results.conditions import ConditionCheck, tell_missed
from qanalysis.results.document import kind_of
from qanalysis.results.gates import LimitCheck
from qanalysis.results.table import Table

_COVERAGE_HEADINGS = {
    "part": "tensors that are",
    "role": "role",
    "reason": "reason",
    "tensors": "tensors",
    "values": "values",
}
_PACKAGES = ("qanalysis", "numpy")
_PACKAGES_IF_USED = ("scipy", "plotly", "torch")


def define_columns(columns: tuple[Column, ...], *, note: str = "", more: Iterable[Block] = ()) -> Section:
    """What each column means: name, label, unit, formula, better direction; those that no one has named are left out.

    `note` stands above the table, `more` are blocks below it.
    """
    lines = [(one.name, one.label, one.unit, one.formula, one.better or "") for one in columns if one.label != one.name]
    grid = Grid(("column", "name", "unit", "meaning", "better"), lines, text_columns=5, names=frozenset({0}))
    return Section("definitions", "Definitions", [grid, *more], note)


def tell_provenance(table: Table[Any], created: datetime) -> Section:
    """The input, when and with what it was measured, and with which settings; those that are None or hold
    nothing, and texts of several lines, are left out.

    `created` is the time of the report, and stands for that of the measurement where the settings do not know it. The
    versions are those of the packages that this process has loaded.
    """
    source = table.source
    packages = [*_PACKAGES, *(name for name in _PACKAGES_IF_USED if name in sys.modules)]
    made_with = ", ".join([f"{name} {version(name)}" for name in packages] + [f"Python {platform.python_version()}"])
    facts = (
        [("Input", source.path), ("Input size", f"{source.size:,} B"), ("Input digest", source.digest or "not taken")]
        if source
        else []
    )
    facts += [
        ("Command", kind_of(table).command),
        ("Rows", f"{len(table):,}" + ("" if table.complete else ", partial: it was cancelled")),
        ("Measured", str(table.settings.get("created", created.isoformat(timespec="seconds")))),
        ("Report made", created.isoformat(timespec="seconds")),
        ("Made with", made_with),
    ]
    settings = [(name, value) for name, value in table.settings.items() if name != "created" and _is_told(value)]
    facts += [(f"Setting {name}", _spell(value)) for name, value in settings if "\n" not in str(value)]
    return Section("provenance", "Where it comes from", [Facts(facts)])


def _is_told(value: Any) -> bool:
    return value is not None and value != {}


def _spell(value: Any) -> str:
    """A setting in words: yes and no, numbers with all digits, lists with commas, what has names with these."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return repr(value).removesuffix(".0")
        case Mapping():
            return "; ".join(f"{name}: {_spell(one)}" for name, one in value.items() if _is_told(one))
        case [Mapping(), *_]:
            return " | ".join(filter(None, map(_spell, value)))
        case list() | tuple():
            return ", ".join(map(_spell, value))
    return str(value)


def tell_coverage(table: Table[Any]) -> list[Section]:
    """What was measured, what was left out and why, a line for each entry, the notes below; no section where nothing is
    said.

    Entries with a part are those of a source's tensors, others have their own words as headings.
    """
    kinds = [entry for entry in table.coverage if entry.get("part") != "note"]
    notes = [("", str(entry.get("reason", ""))) for entry in table.coverage if entry.get("part") == "note"]
    told: list[Block] = [Bullets(notes)] if notes else []
    if not kinds:
        return [Section("coverage", "Notes", told, printed=True)] if told else []
    if any("part" in entry for entry in kinds):
        names, words = list(_COVERAGE_HEADINGS), list(_COVERAGE_HEADINGS.values())
    else:
        names = words = list(dict.fromkeys(name for entry in kinds for name in entry))
    texts = sum(not all(isinstance(entry.get(name), int) for entry in kinds) for name in names)
    lines = [[_write(entry.get(name)) for name in names] for entry in kinds]
    heading = "Coverage" if "part" in names else "Left out"
    return [Section("coverage", heading, [Grid(words, lines, text_columns=texts), *told], printed=True)]


def _write(value: Any) -> str:
    """A cell: whole numbers with commas, nothing for None."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def list_limits(table: Table[Any]) -> list[Section]:
    """The limits and conditions that were given, and what was reached; no section where none was given."""
    if not len(table.totals):
        return []
    if table.totals.row_type is LimitCheck:
        grid = Grid(("limit", "asked", "reached", "verdict"), list(map(_describe_limit, table.totals)))
        return [Section("limits", "Limits", [grid], printed=True)]
    if table.totals.row_type is ConditionCheck:
        headings = ("fails where", "rows", "fail", "no figure", "verdict")
        grid = Grid(headings, list(map(_describe_condition, table.totals)))
        return [Section("limits", "Conditions", [grid], printed=True)]
    return []


def list_missed(table: Table[Any]) -> list[LimitCheck | ConditionCheck]:
    """The limits that were not met, those without a figure among them; empty for results that have no limits."""
    return [limit for limit in table.totals if isinstance(limit, LimitCheck | ConditionCheck) and not limit.met]


def name_missed(limit: LimitCheck | ConditionCheck, nothing: str = "no figure") -> str:
    """A missed limit in a sentence; `nothing` stands where there was no figure to hold against it."""
    if isinstance(limit, ConditionCheck):
        return tell_missed(limit)
    reached = nothing if limit.reached is None else f"reached {limit.reached:.6g}"
    return f"{limit.limit} {limit.asked:g} is missed: {reached}"


def _describe_limit(limit: LimitCheck) -> tuple[str, ...]:
    """Six digits of what was reached."""
    reached = "no figure" if limit.reached is None else f"{limit.reached:.6g}"
    return limit.limit, f"{limit.asked:g}", reached, "met" if limit.met else "missed"


def _describe_condition(check: ConditionCheck) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (check.held, check.failed, check.lacking))
    return check.condition, *counts, "met" if check.met else "missed"
