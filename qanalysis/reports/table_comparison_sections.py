"""What is told of two tables beside each other? How many rows both have, what got worse most, what only one has."""

from __future__ import annotations

from typing import Any

import numpy as np

from qanalysis.comparisons.table_rows import TableComparisonRow
from qanalysis.notation import NOTHING, plain, shorten, signed
from qanalysis.reports.common_sections import define_columns, list_limits, list_missed, name_missed, tell_coverage
from qanalysis.reports.outline import Grid, Outline, Section
from qanalysis.results.columns import Column
from qanalysis.results.conditions import name_row
from qanalysis.results.table import Table

_SHOWN, _LONGEST = 30, 160


def outline_tables(table: Table[TableComparisonRow], *, title: str | None = None) -> Outline:
    """The greatest loss in the column that counts, each row with its figures in both, rows that only one table has."""
    names = [str(table.settings.get(side, side.upper())) for side in ("a", "b")]
    change = choose_change(table)
    answer = tell_changes(table, change)
    partial = "Partial: one of the two was cancelled, and lacks rows for that reason."
    return Outline(
        title=title or f"{names[0]} against {names[1]}",
        headline=answer,
        opening=[f"A {names[0]}, B {names[1]}", answer],
        warnings=[*([] if table.complete else [partial]), *(f"{name_missed(one)}." for one in list_missed(table))],
        lead=[*list_limits(table), *_list_rows(table, change), *_list_alone(table)],
        rest=[*tell_coverage(table), define_columns(table.columns)],
    )


def choose_change(table: Table[TableComparisonRow]) -> Column:
    """The change that is told: the first one shown that has a better direction, else the first."""
    by_name = {one.name: one for one in table.columns}
    changes = [by_name[name] for name in table.row_type.shown_first if name.startswith("delta_")]
    decibels = [one for one in changes if one.name.endswith("sqnr_db")]
    return next(iter([*decibels, *(one for one in changes if one.better), *changes]))


def rank_changes(table: Table[TableComparisonRow], change: Column) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The places of rows with that change, what got worse most first."""
    cells = table.column(change.name)
    known = np.flatnonzero(~np.isnan(cells))
    towards = cells[known] if change.better == "higher" else -cells[known] if change.better else -np.abs(cells[known])
    return known[np.argsort(towards, kind="stable")]


def tell_changes(table: Table[TableComparisonRow], change: Column) -> str:
    """How many rows both have, how many got worse, and which most, in one sentence."""
    status = table.column("status")
    both, only_a, only_b = (int((status == word).sum()) for word in ("ok", "only-a", "only-b"))
    told = [f"{both:,} of {len(table):,} rows are in both"]
    told += [f"{count:,} only in {side}" for count, side in ((only_a, "A"), (only_b, "B")) if count]
    ranked = rank_changes(table, change)
    cells = table.column(change.name)[ranked]
    worse = int((cells < 0).sum() if change.better == "higher" else (cells > 0).sum())
    if not len(ranked):
        told.append(f"no row has {change.name} in both")
    elif not change.better or not worse:
        same = int((cells == 0).sum())
        told.append(f"{change.name} is 0 in all {same:,}" if same == len(cells) else f"{change.name} got worse in none")
    else:
        first = f"{shorten(name_row(table, int(ranked[0])), 80)} {tell_figure(float(cells[0]), change)}"
        told.append(f"{change.name} got worse in {worse:,}, most in {first}")
    return f"{', '.join(told)}."


def tell_figure(value: float, one: Column) -> str:
    """A figure with its unit, a change with its sign."""
    if np.isnan(value):
        return NOTHING
    sign = "+" if one.name.startswith("delta_") else ""
    if one.unit in ("dB", "bit", "LSB"):
        return f"{signed(value, f'{sign}.2f')} {one.unit}"
    return f"{sign if value > 0 else ''}{plain(value, digits=4)} {one.unit}".rstrip()


def _list_rows(table: Table[TableComparisonRow], change: Column) -> list[Section]:
    """Rows of both, what got worse most first."""
    ranked = rank_changes(table, change)
    if not len(ranked):
        return []
    by_name = {one.name: one for one in table.columns}
    keys = [name for name in table.row_type.named_by if name in by_name]
    shown = [by_name[name] for name in table.row_type.shown_first if name not in (*keys, "status", "reason")]
    shown = [one for one in shown if one.is_numeric or any(table.column(one.name).tolist())]
    numbers, words = [one for one in shown if one.is_numeric], [one for one in shown if not one.is_numeric]
    words = [one for one in words if one.name not in table.row_type.KEYS]
    lines = [
        [shorten(str(table.column(name)[at]), _LONGEST) for name in (*keys, *(one.name for one in words))]
        + [tell_figure(float(table.column(one.name)[at]), one) for one in numbers]
        for at in ranked[:_SHOWN].tolist()
    ]
    headings = [*(keys or []), *(one.name for one in (*words, *numbers))]
    grid = Grid(headings, lines, text_columns=len(keys) + len(words), names=frozenset({0} if keys else ()))
    more = "" if len(ranked) <= _SHOWN else f"{_SHOWN} of {len(ranked):,} rows; the file of --out holds all."
    return [Section("rows-shown", "Rows, the greatest loss first", [grid], more, printed=True)]


def _list_alone(table: Table[TableComparisonRow]) -> list[Section]:
    """Rows that only one table has, or that lack figures, with what there is to know."""
    status, reasons = table.column("status"), table.column("reason")
    places = [at for at in range(len(table)) if status[at] != "ok" or reasons[at]]
    if not places:
        return []
    lines = [
        (shorten(name_row(table, at), _LONGEST), str(status[at]), str(reasons[at]) or NOTHING) for at in places[:_SHOWN]
    ]
    more = "" if len(places) <= _SHOWN else f"{_SHOWN} of {len(places):,} rows; the file of --out holds all."
    grid = Grid(("row", "status", "what to know"), lines, text_columns=3, names=frozenset({0}))
    return [Section("alone", "Only in one, or without figures", [grid], more, printed=True)]
