"""Where does quantization hurt? Layers by schemes as a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from qanalysis.charts.cell_facts import describe_cells
from qanalysis.charts.cell_table import TALL, WIDTH, CellTable
from qanalysis.charts.colour_scale import ColourScale
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish
from qanalysis.charts.wording import escape
from qanalysis.notation import plain, quote, signed
from qanalysis.sweeps.row import METRICS, Row

# Values are written into the cells up to here: more would not be legible beside a table.
TEXT_CELLS, TEXT_COLUMNS = 420, 14
CROSSES = 900  # cells without a value that are crossed out: more would be a texture


def heat_map(rows: Sequence[Row], metric: str, *, theme: Theme = "light") -> go.Figure:
    """Layers (in the order of the rows, those without any value last) by schemes (grouped, bits on the axis),
    coloured by the column `metric` of the rows.

    Bright is good where the metric has a good direction. Cells that are not ok are grey and crossed out and say why
    on hover. What the page's own grid needs besides stands in `layout.meta["cells"]` (`cell_facts`).

    Parameters
    ----------
    rows : of a sweep, in any order, totals left out; without any the empty state.
    metric : a name in METRICS; ValueError lists them for any other.

    The alternative text counts layers and schemes and names the worst row with its value, where the metric has a good
    direction. Infinite values have the colour of the axis's end and are written as ∞.
    """
    measure = METRICS.get(metric)
    if measure is None:
        raise ValueError(f"metric {quote(metric)} is unknown; metrics are {', '.join(METRICS)}")
    if not rows:
        return empty_state("No layer to show.", "Open a checkpoint, or widen the filter in the sidebar.", theme)
    table = CellTable.from_rows(rows, measure)
    title, subtitle = _headline(table)
    scale = ColourScale.of(table)
    figure = begin(
        title,
        theme,
        subtitle=subtitle,
        height=table.height,
        width=table.width if table.width > WIDTH else None,
        margin={"t": table.header, "b": 16, "l": table.margin, "r": 16},
        showlegend=False,
        coloraxis=scale.axis(table, theme),
    )
    _draw_cells(figure, table, scale, theme)
    _draw_axes(figure, table, theme)
    _cross_out(figure, table, theme)
    finish(figure, _describe(table))
    figure.layout.meta |= {"cells": describe_cells(table, scale)}
    return figure


def _draw_cells(figure: go.Figure, table: CellTable, scale: ColourScale, theme: Theme) -> None:
    """One heat map per group of schemes, so that gaps lie between them; values are written up to TEXT_CELLS cells.

    Cells without a value are transparent there; a second map greys them.
    """
    values, unit = table.values, table.measure.unit
    placed = scale.place(values, unit)
    written = values.size <= TEXT_CELLS and len(table.columns) <= TEXT_COLUMNS
    height = np.arange(len(table.tensors), dtype=np.int16)
    value = "10^%{z:.3f}" if scale.logarithmic else "%{z}"
    for group, columns in table.groups().items():
        text = [[_cell_text(value, unit) for value in layer] for layer in values[:, columns]] if written else None
        figure.add_heatmap(
            x=table.places[columns],
            y=height,
            z=[[layer[column] for column in columns] for layer in placed],
            text=text,
            texttemplate="%{text}" if written else None,
            hovertemplate=f"<b>%{{y}}</b><br>{escape(group)} %{{x}}<br>{value} {escape(unit)}<extra></extra>",
            coloraxis="coloraxis",
            name=escape(group),
            hoverongaps=False,
            xgap=1,
            ygap=1,
        )
        absent = np.isnan(values[:, columns])
        if absent.any():
            grey = [[0, "rgba(0,0,0,0)"], [1, PALETTES[theme].panel]]
            look = {"zmin": 0, "zmax": 1, "colorscale": grey, "showscale": False, "hoverinfo": "skip"}
            figure.add_heatmap(x=table.places[columns], y0=0, z=absent.astype(np.uint8), xgap=1, ygap=1, **look)


def _cell_text(value: float, unit: str) -> str:
    """A value as a cell has room for it: dB with one decimal, bit and LSB with two, everything else with two digits.

    Infinite ones are ∞ or −∞; NaN, where a cell has no value, is left empty.
    """
    if math.isnan(value):
        return ""
    if math.isfinite(value) and unit in ("dB", "bit", "LSB"):
        return signed(value, ".1f" if unit == "dB" else ".2f")
    return plain(value, digits=2)


def _draw_axes(figure: go.Figure, table: CellTable, theme: Theme) -> None:
    """Layers downwards from 0, schemes at their places, neither to be zoomed."""
    still = {"showgrid": False, "showline": False, "ticks": "", "fixedrange": True, "tickmode": "array"}
    figure.update_xaxes(
        side="top",
        tickvals=table.places.tolist(),
        ticktext=_name_ticks(table),
        tickangle=0,
        range=[-0.5, float(table.places[-1]) + 0.5],
        tickfont={"size": 11},
        **still,
    )
    figure.update_yaxes(
        tickvals=list(range(len(table.tensors))),
        ticktext=[escape(table.layer_labels[tensor]) for tensor in table.tensors],
        range=[len(table.tensors) - 0.5, -0.5],
        tickfont={"size": 12 if len(table.tensors) < TALL else 11},
        # Measuring each label, which the margin and the overflow rule ask for, takes seconds in the browser at 500
        # layers.
        automargin=False,
        ticklabelstandoff=6,
        ticklabeloverflow="allow",
        **still,
    )
    _write_names(figure, table, theme)


def _write_names(figure: go.Figure, table: CellTable, theme: Theme) -> None:
    """Over the cells: "bits" beside the numbers, groups of schemes in bold, formats upright over their columns."""
    colours = PALETTES[theme]
    above = {"showarrow": False, "y": 1, "yref": "paper", "yanchor": "bottom"}
    small = {"size": 11, "color": colours.muted}
    figure.add_annotation(text="bits", x=0, xref="paper", xanchor="right", xshift=-6, yshift=3, font=small, **above)
    bold = {"font": {"size": 12, "color": colours.text}, "textangle": -90 if table.is_crowded else 0}
    for label, columns in table.labels():
        where = float(table.places[columns].mean())
        figure.add_annotation(text=f"<b>{escape(label)}</b>", x=where, yshift=22 + table.name_height, **above, **bold)
    upright = {"textangle": -90, "yshift": 3, "font": {"size": 11, "color": colours.text}}
    for where, (_, tick, _) in zip(table.places.tolist(), table.columns, strict=True):
        if not tick.isdigit():
            figure.add_annotation(text=escape(tick), x=where, **above, **upright)


def _name_ticks(table: CellTable) -> list[str]:
    """What stands over each column, (columns,): its bits, nothing for a format, whose name stands upright there.

    Where columns are narrow, the first and the last width of a group say what lies between.
    """
    widths = [[index for index in columns if table.columns[index][1].isdigit()] for columns in table.groups().values()]
    named = {
        index for columns in widths for index in (columns if not table.is_crowded else (columns[:1] + columns[-1:]))
    }
    return [tick if index in named else "" for index, (_, tick, _) in enumerate(table.columns)]


def _cross_out(figure: go.Figure, table: CellTable, theme: Theme) -> None:
    """Crosses on cells without a value, up to CROSSES, which say why on hover."""
    missing = [
        (x, y, table.reason(row))
        for y, layer in enumerate(table.cells)
        for x, row in zip(table.places.tolist(), layer, strict=True)
        if math.isnan(table.value(row))
    ]
    if missing and len(missing) <= CROSSES:
        x, y, reasons = zip(*missing, strict=True)
        cross = {"symbol": "x-thin", "size": 9, "line": {"width": 1.5, "color": PALETTES[theme].muted}}
        told = [escape(reason) for reason in reasons]
        hover = "<b>%{y}</b><br>%{text}<extra></extra>"
        figure.add_scatter(x=x, y=y, text=told, mode="markers", marker=cross, hovertemplate=hover)


def _headline(table: CellTable) -> tuple[str, str]:
    """Title and subtitle, escaped: how much there is; the worst row; layers without any value."""
    worst, notes = table.find_worst(), []
    if worst is not None:
        notes.append(f"worst: {_tell_row(worst, table)}")
    without = sum(all(math.isnan(table.value(row)) for row in layer) for layer in table.cells)
    if without:
        notes.append(f"{_count(without, 'layer')} without a value (crossed out)")
    extent = f"{_count(len(table.tensors), 'layer')} × {_count(len(table.columns), 'scheme')}"
    return f"{table.measure.label}: {extent}", " · ".join(notes)


def _tell_row(row: Row, table: CellTable) -> str:
    """Layer, scheme and value, escaped; the layer as it is labelled beside the cells."""
    return f"{escape(table.layer_labels[row.tensor])}, {escape(row.scheme)}: {escape(table.tell(row))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _describe(table: CellTable) -> str:
    """The alternative text: how much there is, and the worst row by its whole name; plain, not escaped."""
    worst = table.find_worst()
    extent = f"{_count(len(table.tensors), 'layer')} under {_count(len(table.columns), 'scheme')}"
    sentence = f"Heat map of {table.measure.label} for {extent}"
    if worst is None:
        return f"{sentence}."
    return f"{sentence}; the worst is {worst.tensor} under {worst.scheme} with {table.tell(worst)}."
