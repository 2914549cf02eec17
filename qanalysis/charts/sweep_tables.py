"""Which figures of a sweep stand in a table from which one chooses, and how is each written there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.wording import label_layers
from qanalysis.notation import NOTHING, percent, plain, si, signed, size
from qanalysis.results.columns import Column, columns_of
from qanalysis.sweeps.pareto import pareto_front
from qanalysis.sweeps.row import Row

FRONT = "◆ best trade"
FRONT_MEANS = (
    f"{FRONT}: no other scheme is both as small and as good, and better in one of the two (on the Pareto front)."
)
_COLUMNS = {column.name: column for column in columns_of(Row)}
_TOTAL_FIGURES = ("bits_per_weight", "sqnr_db", "size_bytes", "relative_l2", "clipped_fraction", "zeroed_fraction")
_LAYER_FIGURES = (
    "sqnr_db",
    "bits_per_weight",
    "size_bytes",
    "max_abs_error",
    "half_step_bound",
    "clipped_fraction",
    "zeroed_fraction",
    "enob",
)


def tabulate_totals(totals: Sequence[Row], *, height: int) -> TablePanel:
    """One line per scheme in the order of the sweep, a scheme to be chosen.

    Those on the Pareto front of bits per weight and pooled SQNR are marked in words. `height` in pixels.
    """
    schemes = [row.scheme for row in totals]
    front = pareto_front([row.bits_per_weight for row in totals], [row.sqnr_db for row in totals])
    columns = [
        _list_words("scheme", schemes),
        *(_list_figures(totals, figure) for figure in _TOTAL_FIGURES[:2]),
        ShownColumn("pareto_front", "Pareto", [FRONT if on_front else "" for on_front in front], note=FRONT_MEANS),
        *(_list_figures(totals, figure) for figure in _TOTAL_FIGURES[2:]),
        _list_words("grouping", [row.grouping for row in totals]),
    ]
    told = FRONT_MEANS if any(front) else ""
    return TablePanel("totals", "Totals per scheme", columns, schemes, height=height, caption=told)


def tabulate_layers(rows: Sequence[Row], metric: str, *, height: int) -> TablePanel:
    """One line per layer of one scheme, a layer to be chosen: the metric first, then the usual figures; status and
    reason last.

    Long names show what tells them apart. `height` in pixels; KeyError for an unknown metric.
    """
    names = [row.tensor for row in rows]
    labels = label_layers(names)
    columns = [
        _list_words("tensor", [labels[name] for name in names], heading="Layer"),
        _list_words("shape", [row.shape.replace("x", "×") for row in rows]),
        *(_list_figures(rows, figure) for figure in dict.fromkeys((metric, *_LAYER_FIGURES))),
        _list_words("status", [row.status for row in rows]),
        _list_words("reason", [row.reason for row in rows]),
    ]
    return TablePanel("layers", "Layers at the scheme in view", columns, names, height=height)


def write_figure(measure: Column, value: float | None) -> str:
    """A figure as a cell shows it, below a heading with its unit: dB, bit and LSB with two decimals, shares and the
    relative error in percent, bytes with their unit, everything else with four digits; a dash for None.

    >>> [write_figure(_COLUMNS[name], 0.25) for name in ("sqnr_db", "clipped_fraction", "relative_l2", "mse")]
    ['0.25', '25 %', '25 %', '0.25']
    """
    if value is None:
        return NOTHING
    if measure.unit == "B":
        return size(int(value))
    if measure.share:
        return percent(value)
    if measure.name == "relative_l2":  # may be more than all, so no share
        return si(100 * value, "%")
    return signed(value, ".2f") if measure.unit else plain(value, digits=4)


def _list_figures(rows: Sequence[Row], name: str) -> ShownColumn:
    measure = _COLUMNS[name]
    values: list[Any] = [getattr(row, name) for row in rows]
    heading = measure.label if measure.unit == "B" else measure.heading
    return ShownColumn(name, heading, [write_figure(measure, value) for value in values], values, measure.meaning)


def _list_words(name: str, words: Sequence[str], *, heading: str = "") -> ShownColumn:
    column = _COLUMNS[name]
    return ShownColumn(name, heading or column.label, words, note=column.meaning)
