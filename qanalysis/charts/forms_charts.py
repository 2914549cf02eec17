"""What does each form cost and save? Weights, activations, both by width as a heat map, and size against accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.charts.palette import MAGNITUDE, MARKERS, PALETTES, Theme, begin, empty_state, finish
from qanalysis.charts.wording import count_of, escape
from qanalysis.models.forms.row import TARGETS, FormRow, Target
from qanalysis.notation import byte_unit, decibels, percent, plain, size
from qanalysis.results.columns import columns_of
from qanalysis.sweeps.pareto import pareto_front

_ROW = 76
_MOST_TICKS, _CLOSEST = 8, 1.25  # sizes with ticks of their own, and the least factor between two of them
_MOST_NAMES = 12  # beside points: more would lie over one another


def choose_figure(rows: Sequence[FormRow]) -> str:
    """The column that forms are judged by: accuracy where there is one, else the SQNR of the output."""
    return "accuracy" if any(row.accuracy is not None for row in rows) else "output_sqnr_db"


def name_width(bits: int) -> str:
    """A width as the view has it.

    >>> name_width(4), name_width(1)
    ('4 bit', 'binary')
    """
    return "binary" if bits == 1 else f"{bits} bit"


def arrange_forms(rows: Sequence[FormRow]) -> tuple[list[Target], list[int], dict[tuple[Target, int], FormRow]]:
    """Targets, widths and the row of each pair, before a repair; where several forms share a place the first one, and
    forms of two different widths have none.
    """
    placed: dict[tuple[Target, int], FormRow] = {}
    for row in rows:
        widths = {part.split()[0] for part in (row.weight_scheme, row.activation_scheme) if part}
        if not row.repair and len(widths) == 1:
            placed.setdefault((row.target, row.bits), row)
    targets = [target for target in TARGETS if any(target == one for one, _bits in placed)]
    return targets, sorted({bits for _target, bits in placed}, reverse=True), placed


def forms_map(rows: Sequence[FormRow], *, theme: Theme = "light") -> go.Figure:
    """Targets down, widths along, widest first: the accuracy of each form as colour, with its layer error and size.

    Without an accuracy the SQNR of the output, in dB. Forms that were not measured are grey; without rows the empty
    state. The alternative text names the best and the worst form.
    """
    targets, widths, placed = arrange_forms(rows)
    if not placed:
        return empty_state("No form to show.", "Measure weights, activations or both at one width.", theme)
    column = choose_figure(rows)
    values = np.array([[_read(placed.get((target, bits)), column) for bits in widths] for target in targets])
    text = [[_write_cell(placed.get((target, bits)), column) for bits in widths] for target in targets]
    label = next(one.heading for one in columns_of(FormRow) if one.name == column)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    colours = PALETTES[theme]
    figure = begin(
        f"{label} of {count_of(len(placed), 'form')}",
        theme,
        subtitle=f"float: {_tell_float(rows)} · layer error and size below",
        height=120 + _ROW * len(targets),
        plot_bgcolor=colours.panel,
        margin={"t": 96, "b": 16, "l": 96, "r": 16},
        xaxis={"side": "top", "showgrid": False, "showline": False, "ticks": "", "fixedrange": True},
        yaxis={"autorange": "reversed", "showgrid": False, "showline": False, "ticks": "", "fixedrange": True},
        coloraxis={
            "colorscale": MAGNITUDE,
            "cmin": low,
            "cmax": high if high > low else low + 1,
            "colorbar": {"title": {"text": label}},
        },
    )
    figure.add_heatmap(
        x=[name_width(bits) for bits in widths],
        y=list(targets),
        z=np.where(np.isposinf(values), high, values).tolist(),
        text=text,
        texttemplate="%{text}",
        hovertemplate="<b>%{y}, %{x}</b><br>%{text}<extra></extra>",
        coloraxis="coloraxis",
        hoverongaps=False,
        xgap=2,
        ygap=2,
    )
    return finish(figure, _describe(list(placed.values()), column, label))


def forms_front(rows: Sequence[FormRow], *, theme: Theme = "light") -> go.Figure:
    """Size along, accuracy (or output SQNR in dB) up, each form with its 95 % interval; those that no smaller form
    equals are joined.

    Sizes are on a logarithmic axis. Each repair has a marker of its own. Without a measured form the empty state. The
    alternative text counts the forms on the front and names its smallest.
    """
    column = choose_figure(rows)
    known = [row for row in rows if math.isfinite(_read(row, column)) and row.size_bytes > 0]
    if not known:
        return empty_state("No form was measured.", "See in the table why.", theme)
    colours = PALETTES[theme]
    unit, factor = byte_unit(max(row.size_bytes for row in known))
    label = next(one.heading for one in columns_of(FormRow) if one.name == column)
    front = pareto_front([row.size_bytes for row in known], [_read(row, column) for row in known])
    on_front = sorted((row for row, best in zip(known, front, strict=True) if best), key=lambda row: row.size_bytes)
    figure = begin(
        f"{label} against size",
        theme,
        subtitle=f"float: {_tell_float(rows)} · bars: 95 % intervals",
        height=420,
        margin={"t": 96, "b": 92},
        legend={"y": -0.2, "yanchor": "top"},
        xaxis={"title": {"text": f"Size ({unit})"}, "type": "log", **_place_ticks(known, factor)},
        yaxis={"title": {"text": label}, **({"tickformat": ".0%"} if column == "accuracy" else {})},
    )
    figure.add_scatter(
        x=[row.size_bytes / factor for row in on_front],
        y=[_read(row, column) for row in on_front],
        mode="lines",
        name="no smaller form equals it",
        line={"color": colours.reference, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )
    for place, repair in enumerate(dict.fromkeys(row.repair for row in known)):
        some = [row for row in known if row.repair == repair]
        _add_points(figure, some, repair, place=place, factor=factor, column=column, theme=theme)
    first = on_front[0]
    told = f"{count_of(len(on_front), 'form')} of {len(known)} on the front, the smallest is {first.form} with"
    return finish(figure, f"{label} against size: {told} {size(first.size_bytes)} and {tell(first, column)}.")


def _place_ticks(rows: Sequence[FormRow], factor: int) -> dict[str, Any]:
    """Ticks at the sizes that there are, where they are few and not close."""
    sizes = sorted({row.size_bytes for row in rows})
    is_close = any(above < _CLOSEST * below for below, above in pairwise(sizes))
    if len(sizes) > _MOST_TICKS or is_close:
        return {"exponentformat": "none"}
    values = [count / factor for count in sizes]
    return {"tickmode": "array", "tickvals": values, "ticktext": [plain(value) for value in values]}


def _add_points(
    figure: go.Figure,
    rows: Sequence[FormRow],
    repair: str,
    *,
    place: int,
    factor: int,
    column: str,
    theme: Theme,
) -> None:
    """The forms of one repair, with intervals and, where nothing was repaired and they are few, their names."""
    colours = PALETTES[theme].categories
    values = [_read(row, column) for row in rows]
    ends = [(getattr(row, f"{column}_low"), getattr(row, f"{column}_high")) for row in rows]
    above = [0.0 if high is None else max(high - value, 0.0) for value, (_low, high) in zip(values, ends, strict=True)]
    below = [0.0 if low is None else max(value - low, 0.0) for value, (low, _high) in zip(values, ends, strict=True)]
    are_named = place == 0 and len(rows) <= _MOST_NAMES
    figure.add_scatter(
        x=[row.size_bytes / factor for row in rows],
        y=values,
        error_y={"array": above, "arrayminus": below, "thickness": 1, "width": 3},
        mode="markers+text" if are_named else "markers",
        text=[escape(row.form) for row in rows],
        textposition=[_choose_side(row, number) for number, row in enumerate(rows)],
        textfont={"size": 11},
        cliponaxis=False,
        name=escape(repair) or "no repair",
        marker={"symbol": MARKERS[place % len(MARKERS)], "size": 9, "color": colours[place % len(colours)]},
        customdata=[[tell(row, column), size(row.size_bytes)] for row in rows],
        hovertemplate="<b>%{text}</b><br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )


def _choose_side(row: FormRow, number: int) -> str:
    """Weights and both have one size, so that their names stand on either side; activations share theirs with all."""
    is_left = row.target == "weights" or (row.target == "activations" and number % 2)
    return "middle left" if is_left else "middle right"


def tell(row: FormRow | None, column: str) -> str:
    """The figure that forms are judged by, in words; a dash for none."""
    value = _read(row, column)
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if column == "accuracy" else decibels(value, digits=1)


def _read(row: FormRow | None, column: str) -> float:
    value: Any = None if row is None else getattr(row, column)
    return math.nan if value is None else float(value)


def _write_cell(row: FormRow | None, column: str) -> str:
    """Three short lines: the figure, the layer error, the size; nothing for no form."""
    if row is None:
        return ""
    error = "–" if row.layer_error is None else plain(row.layer_error, digits=2)
    return f"<b>{tell(row, column)}</b><br>{error}<br>{size(row.size_bytes)}"


def _tell_float(rows: Sequence[FormRow]) -> str:
    """Accuracy and size of the float model."""
    own = next((row for row in rows if row.size_ratio > 0), None)
    if own is None:
        return "–"
    told = size(round(own.size_bytes / own.size_ratio))
    return told if own.float_accuracy is None else f"{percent(own.float_accuracy)}, {told}"


def _describe(rows: Sequence[FormRow], column: str, label: str) -> str:
    known = [row for row in rows if not math.isnan(_read(row, column))]
    if not known:
        return f"{label} of {count_of(len(rows), 'form')}, none of which was measured."
    best, worst = max(known, key=lambda row: _read(row, column)), min(known, key=lambda row: _read(row, column))
    ends = f"the best is {best.form} with {tell(best, column)}, the worst {worst.form} with {tell(worst, column)}"
    return f"{label} of {count_of(len(rows), 'form')}: {ends}."
