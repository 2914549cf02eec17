"""Which rows fail what a person asks of them? The conditions of `--fail-if`, held against the rows in sight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from qanalysis.dashboard.wording import escape_markdown
from qanalysis.results.conditions import Condition, ConditionCheck, tell_missed
from qanalysis.results.table import Frame, Table


@dataclass(frozen=True, slots=True)
class Gate:
    """Conditions as they came out, and for each row the ones that it misses, in words; "" for a row that keeps all.

    `fault` is why the text could not be read; nothing is held then.
    """

    checks: tuple[ConditionCheck, ...] = ()
    missed: tuple[str, ...] = ()
    fault: str = ""

    @property
    def is_open(self) -> bool:
        """Whether anything was asked."""
        return bool(self.checks)


def hold_gate(table: Table[Any], text: str) -> Gate:
    """The conditions of a text, with ; between, held against every row; ValueError for what is none.

    >>> from qanalysis.comparisons.row import ComparisonRow
    >>> rows = Table.from_rows(ComparisonRow, [ComparisonRow(tensor_a="w", sqnr_db=20.0), ComparisonRow(sqnr_db=40.0)])
    >>> hold_gate(rows, "sqnr_db<30; relative_l2>1").missed
    ('sqnr_db < 30; no relative_l2', 'no relative_l2')
    """
    conditions = [Condition.parse(part, table.columns) for part in text.split(";") if part.strip()]
    told: list[list[str]] = [[] for _ in range(len(table))]
    for condition in conditions:
        fails, lacking = condition.find(table)
        for at in range(len(table)):
            if fails[at] or lacking[at]:
                told[at].append(str(condition) if fails[at] else f"no {condition.column.name}")
    return Gate(tuple(one.hold(table) for one in conditions), tuple("; ".join(words) for words in told))


def find_gate(table: Table[Any], text: str) -> Gate:
    """The same, with what can not be read told in `fault`."""
    try:
        return hold_gate(table, text)
    except ValueError as error:
        return Gate(fault=str(error))


def gated(table: Table[Any], gate: Gate) -> Table[Any]:
    """The table with the conditions as its totals, as the command writes it; itself without any."""
    return replace(table, totals=Frame.from_rows(ConditionCheck, gate.checks)) if gate.is_open else table


def draw_gate(gate: Gate) -> None:
    """A line for each condition: kept, or which rows miss it."""
    if gate.fault:
        told = f"{escape_markdown(gate.fault)}. Change the box **Gate** in the sidebar."
        st.warning(told, icon=":material/edit:")
    for check in gate.checks:
        if check.met:
            told = f"**{escape_markdown(check.condition)}** in none of {check.held:,} rows"
            st.success(told, icon=":material/check_circle:")
        else:
            words = tell_missed(check).removeprefix(f"--fail-if {check.condition!r}: ")
            st.error(f"**{escape_markdown(check.condition)}**: {escape_markdown(words)}", icon=":material/block:")
