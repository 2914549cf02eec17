"""Which figures of two results stand beside each other? X in A, X in B and b − a, for rows, totals, and one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.charts.comparison_charts import BAR, lay_bars, name_axis
from qanalysis.charts.comparison_tables import mark_missed
from qanalysis.charts.drawing import Drawing, draw
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.sweep_tables import write_figure
from qanalysis.charts.wording import count_of, escape, label_layers
from qanalysis.comparisons.table_rows import TableComparisonRow, subtract
from qanalysis.notation import NOTHING, plain, shorten, signed, size, true_minus
from qanalysis.results.columns import Column
from qanalysis.results.table import NO_INTEGER, Frame, Table

MOST_BARS = 24
_TOTALS = ("sqnr_db", "bits_per_weight", "size_bytes", "relative_l2", "max_abs_error")


def write_change(column: Column, value: float | None) -> str:
    """A difference as a cell shows it, with its sign.

    >>> write_change(Column("SQNR", "dB"), -1.25), write_change(Column("Size", "B"), 2048.0)
    ('−1.25', '+2.00 KiB')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if column.kind == "integer" and column.unit != "B":
        return true_minus(f"{int(value):+,}") if value else "0"
    if column.unit == "B":
        return f"{'+' if value > 0 else '−' if value < 0 else ''}{size(abs(int(value)))}"
    if column.unit:
        return signed(value, "+.2f") if value else "0"
    return f"{'+' if value > 0 else ''}{plain(value, digits=4)}"


def tabulate_changes(
    table: Table[TableComparisonRow],
    places: Sequence[int],
    names: Sequence[str],
    changes: Sequence[Column],
    *,
    missed: Sequence[str] = (),
    height: int | None = None,
) -> TablePanel:
    """Rows at some places in their order, each change beside the figure in A and in B; a row to be chosen by its name.

    `missed` are words of the gate, one per place.
    """
    at = np.asarray(places, np.intp)
    labels = label_layers(list(names), 48) if names else {}
    columns = [ShownColumn("row", "Row", [labels[name] for name in names])]
    columns += [mark_missed(missed)] if any(missed) else []
    for change in changes:
        columns += _list_triple(table, change.name.removeprefix("delta_"), at)
    for name in ("status", "reason"):
        words = [shorten(str(word), 90) for word in table.column(name)[at].tolist()]
        columns.append(ShownColumn(name, {"status": "Status", "reason": "What to know"}[name], words))
    return TablePanel("rows", "Rows of A and B, the greatest loss first", columns, list(names), height=height)


def _list_triple(table: Table[Any], name: str, at: NDArray[np.intp]) -> list[ShownColumn]:
    by_name = {one.name: one for one in table.columns}
    own = {one.name: one for one in table.row_type.list_numbers()}[name]
    a, b, change = (by_name[key] for key in (f"{name}_a", f"{name}_b", f"delta_{name}"))
    cells = {one.name: _as_numbers(table.column(one.name)[at]) for one in (a, b, change)}
    return [
        _list_figures(a, own, f"{_head(own)} in A", cells[a.name]),
        _list_figures(b, own, f"{_head(own)} in B", cells[b.name]),
        ShownColumn(
            change.name, f"Δ {_head(own)}", [write_change(own, value) for value in cells[change.name]],
            cells[change.name], change.meaning,
        ),
    ]  # fmt: skip


def _list_figures(column: Column, own: Column, heading: str, values: Sequence[float | None]) -> ShownColumn:
    return ShownColumn(column.name, heading, [_write(own, value) for value in values], values, column.meaning)


def _write(column: Column, value: float | None) -> str:
    """A figure as a cell shows it; whole numbers with every digit."""
    if value is not None and column.kind == "integer" and column.unit != "B":
        return f"{int(value):,}"
    return write_figure(column, value)


def _head(column: Column) -> str:
    return column.label if column.unit == "B" else column.heading


def _as_numbers(cells: NDArray[Any]) -> list[float | None]:
    """Plain numbers, None for null."""
    whole = cells.dtype.kind in "iu"
    return [None if (value == NO_INTEGER if whole else math.isnan(value)) else value for value in cells.tolist()]


def tabulate_row(table: Table[TableComparisonRow], place: int) -> TablePanel:
    """One row as three: its figures in A, in B, and what B has more; those that neither has are left out."""
    columns = [ShownColumn("side", "Side", ["A", "B", "B − A"])]
    for own in table.row_type.list_numbers():
        keys = (f"{own.name}_a", f"{own.name}_b", f"delta_{own.name}")
        values = [_as_numbers(table.column(key)[[place]])[0] for key in keys]
        if values[:2] == [None, None]:
            continue
        texts = [*(_write(own, value) for value in values[:2]), write_change(own, values[2])]
        columns.append(ShownColumn(own.name, _head(own), texts, values, own.meaning))
    return TablePanel("difference", "The row in view in A and in B", columns, ["A", "B", "B − A"], pick=False)


def tabulate_totals_of_two(a: Frame[Any], b: Frame[Any], *, height: int | None = None) -> TablePanel | None:
    """Totals per scheme of two sweeps beside each other; None where no scheme is in both."""
    ours, theirs = ({row.scheme: row for row in frame} for frame in (a, b))
    schemes = [scheme for scheme in ours if scheme in theirs]
    if not schemes:
        return None
    known = {one.name: one for one in a.columns}
    columns = [ShownColumn("scheme", "Scheme", schemes)]
    for name in _TOTALS:
        own = known[name]
        values = [[getattr(rows[scheme], name) for scheme in schemes] for rows in (ours, theirs)]
        numbers = [np.array([np.nan if one is None else one for one in side], np.float64) for side in values]
        change = [None if math.isnan(one) else one for one in subtract(*numbers).tolist()]
        columns += [
            ShownColumn(f"{name}_{end}", f"{_head(own)} in {end.upper()}", [_write(own, one) for one in side], side)
            for end, side in zip("ab", values, strict=True)
        ]
        columns.append(
            ShownColumn(f"delta_{name}", f"Δ {_head(own)}", [write_change(own, one) for one in change], change)
        )
    return TablePanel("totals", "Totals per scheme of A and B", columns, schemes, pick=False, height=height)


def draw_changes(
    names: Sequence[str], values: Sequence[float], column: Column, *, chosen: str = "", theme: Theme = "light"
) -> Drawing | None:
    """Bars of b − a, in the order of the rows, at most `MOST_BARS`; losses and gains in two colours.

    None where nothing changed. `column` is that of the figure itself; it says which direction is a loss.
    """
    pairs = zip(names, values, strict=True)
    changed = [(name, value) for name, value in pairs if math.isfinite(value) and value]
    shown = changed[:MOST_BARS]
    if not shown:
        return None
    colours = PALETTES[theme]
    names, figures = [name for name, _value in shown], [value for _name, value in shown]
    sign = {"higher": -1, "lower": 1, None: 0}[column.better]
    tints = [colours.clipped if sign * value > 0 else colours.kept for value in figures]
    outline = {"width": [2 if name == chosen else 0 for name in names], "color": colours.text}
    texts = [escape(f"{name}: {write_change(column, value)} {column.unit}") for name, value in shown]
    bars = lay_bars(names, figures, texts, {"color": tints, "line": outline})
    unit = f" ({column.unit})" if column.unit else ""
    worse = sum(sign * value > 0 for value in figures)
    told = f", {worse:,} for the worse" if sign else ""
    among = (
        count_of(len(changed), "row")
        if len(changed) == len(shown)
        else f"the first {len(shown)} of {len(changed):,} that"
    )
    first = f"{names[0]} {write_change(column, figures[0])}"
    return draw(
        [bars],
        f"Change of {escape(column.label)}, b − a",
        theme,
        subtitle=f"{among} changed{told}",
        alt=f"Change of {column.label} of {count_of(len(shown), 'row')}: {first}.",
        height=max(320, 150 + BAR * len(shown)),
        xaxis={"title": {"text": f"b − a{unit}"}, "zeroline": True},
        yaxis=name_axis(names),
        margin={"t": 92, "b": 56},
        showlegend=False,
    )
