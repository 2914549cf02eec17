"""Where does quantization hurt? Layers by schemes as a heat map whose cells, or rows in a large model, can be
clicked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from qanalysis.charts.cell_table import CELL_LIMIT, TALL, CellTable
from qanalysis.charts.colour_scale import ColourScale
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish
from qanalysis.charts.wording import escape
from qanalysis.notation import measure as tell
from qanalysis.notation import plain, signed
from qanalysis.sweeps.row import METRICS, Row

# Values are written into the cells up to here: more would not be legible beside a table.
TEXT_CELLS, TEXT_COLUMNS = 420, 14
STILL = {"marker": {"opacity": 1}}  # a click must not dim the other markers


def heat_map(
    rows: Sequence[Row], metric: str, *, selected: tuple[str, str] | None = None, theme: Theme = "light"
) -> go.Figure:
    """Layers (in the order of the rows, those without any value last) by schemes (grouped, bits on the axis),
    coloured by the column `metric` of the rows.

    Bright is good where the metric has a good direction. Cells that are not ok are grey and crossed out and say why
    on hover. The clickable markers carry customdata [tensor, scheme]; above CELL_LIMIT cells there is one per layer,
    which a click anywhere in its row selects, with the scheme of `selected` or else the first.

    Parameters
    ----------
    rows : of a sweep, in any order, totals left out; without any the empty state.
    metric : a name in METRICS; ValueError lists them for any other.
    selected : (tensor, scheme) of the cell that is outlined and told in the title; one that no row has is passed over.

    The alternative text counts layers and schemes and names the worst row with its value, where the metric has a good
    direction. Infinite values have the colour of the axis's end and are written as ∞.
    """
    measure = METRICS.get(metric)
    if measure is None:
        raise ValueError(f"metric {metric!r} is unknown; metrics are {', '.join(METRICS)}")
    if not rows:
        return empty_state("No layer to show.", "Open a checkpoint, or widen the filter in the sidebar.", theme)
    table = CellTable.from_rows(rows, measure)
    title, subtitle = _headline(table, selected)
    scale = ColourScale.of(table)
    figure = begin(
        title,
        theme,
        subtitle=subtitle,
        height=table.header + 16 + table.row_height * len(table.tensors),
        margin={"t": table.header, "b": 16, "l": table.margin, "r": 16},
        showlegend=False,
        clickmode="event+select",
        hoverdistance=40 if table.per_cell else -1,
        coloraxis=scale.axis(table, theme),
    )
    _draw_cells(figure, table, scale, theme)
    _draw_axes(figure, table, theme)
    _draw_markers(figure, table, selected, theme)
    if selected and selected[0] in table.tensors:
        _outline(figure, table, selected, theme)
    return finish(figure, _describe(table))


def _draw_cells(figure: go.Figure, table: CellTable, scale: ColourScale, theme: Theme) -> None:
    """One heat map per group of schemes, so that gaps lie between them; values are written up to TEXT_CELLS cells.

    Cells without a value are transparent there; up to CELL_LIMIT cells a second map greys them.
    """
    values, placed = table.values, scale.place(table.values)
    still = {"xgap": 1, "ygap": 1, "hoverinfo": "skip"}
    written = values.size <= TEXT_CELLS and len(table.columns) <= TEXT_COLUMNS
    for group, columns in table.groups().items():
        unit = table.measure.unit
        text = [[_cell_text(value, unit) for value in layer] for layer in values[:, columns]] if written else None
        figure.add_heatmap(
            x=table.places[columns],
            y=np.arange(len(table.tensors), dtype=np.int16),
            z=placed[:, columns],
            text=text,
            texttemplate="%{text}" if written else None,
            coloraxis="coloraxis",
            name=escape(group),
            **still,
        )
        absent = np.isnan(values[:, columns])
        if absent.any() and table.per_cell:
            grey = [[0, "rgba(0,0,0,0)"], [1, PALETTES[theme].panel]]
            look = {"zmin": 0, "zmax": 1, "colorscale": grey, "showscale": False}
            figure.add_heatmap(x=table.places[columns], y0=0, z=absent.astype(np.uint8), **look, **still)


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
    """Layers downwards from 0, schemes at their places, neither to be zoomed; with a marker per layer there is room
    for it at -1, left of the cells.
    """
    margin = 0.5 if table.per_cell else 1.4
    still = {"showgrid": False, "showline": False, "ticks": "", "fixedrange": True, "tickmode": "array"}
    figure.update_xaxes(
        side="top",
        tickvals=table.places.tolist(),
        ticktext=_name_ticks(table),
        tickangle=0,
        range=[-margin, float(table.places[-1]) + 0.5],
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


def _draw_markers(figure: go.Figure, table: CellTable, selected: tuple[str, str] | None, theme: Theme) -> None:
    """Crosses on cells without a value, at most CELL_LIMIT, and what can be clicked: cells, or layers of a large model.

    Clickable markers come last, and carry customdata [tensor, scheme]; a cell without a row has none.
    """
    colours = PALETTES[theme]
    missing = [
        (x, y)
        for y, layer in enumerate(table.cells)
        for x, row in zip(table.places, layer, strict=True)
        if math.isnan(table.value(row))
    ]
    if missing and len(missing) <= CELL_LIMIT:
        x, y = zip(*missing, strict=True)
        cross = {"symbol": "x-thin", "size": 9, "line": {"width": 1.5, "color": colours.muted}}
        figure.add_scatter(x=x, y=y, mode="markers", hoverinfo="skip", marker=cross, selected=STILL, unselected=STILL)
    if table.per_cell:
        _mark_cells(figure, table)
    else:
        _mark_rows(figure, table, selected, theme)


def _mark_cells(figure: go.Figure, table: CellTable) -> None:
    """One transparent marker per cell, a trace per layer so that its name is sent once for the hover."""
    still = {"marker": {"opacity": 0}}
    for y, layer in enumerate(table.cells):
        known = [(float(x), row) for x, row in zip(table.places, layer, strict=True) if row is not None]
        name, numel = escape(table.tensors[y]), known[0][1].numel
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y] * len(known),
            mode="markers",
            # Within a marker all points are equally near, and the last would be taken; small ones leave the choice to
            # the hover distance.
            marker={"symbol": "square", "size": 6, "opacity": 0},
            selected=still,
            unselected=still,
            customdata=[[row.tensor, row.scheme] for _, row in known],
            text=[_hover_value(row, table) for _, row in known],
            hovertemplate=f"<b>{name}</b><br>%{{customdata[1]}}<br>%{{text}}<br>{numel:,} weights<extra></extra>",
            name=name,
        )


def _hover_value(row: Row, table: CellTable) -> str:
    """The row's value with its unit, ∞ where it is infinite, "n/a" where it has none; why there is no figure where the
    row is not ok.
    """
    if row.status != "ok":
        return f"no value: {escape(row.reason or row.status)}"
    return tell(getattr(row, table.measure.name), table.measure.unit)


def _mark_rows(figure: go.Figure, table: CellTable, selected: tuple[str, str] | None, theme: Theme) -> None:
    """One marker per layer left of its cells. No limit to the hover distance: the nearest marker is that of the row
    below the mouse.
    """
    scheme = selected[1] if selected else table.columns[0][2]
    column = next((index for index, (_, _, text) in enumerate(table.columns) if text == scheme), 0)
    firsts = [layer[column] or next(row for row in layer if row is not None) for layer in table.cells]
    names = [escape(tensor) for tensor in table.tensors]
    harmless = names == table.tensors  # then the names need not be sent a second time
    name = "customdata[0]" if harmless else "hovertext"
    figure.add_scatter(
        x=[-1.0] * len(names),
        y=np.arange(len(names), dtype=np.int16),
        mode="markers",
        marker={"symbol": "square", "size": 8, "color": PALETTES[theme].muted},
        selected=STILL,
        unselected=STILL,
        customdata=[[tensor, scheme] for tensor in table.tensors],
        hovertext=None if harmless else names,
        text=[_hover_value(row, table) for row in firsts],
        hovertemplate=f"<b>%{{{name}}}</b><br>{escape(table.columns[column][2])}: %{{text}}<extra></extra>",
    )


def _outline(figure: go.Figure, table: CellTable, selected: tuple[str, str], theme: Theme) -> None:
    """A frame around the selected cell, and a dotted one around its layer, which must be one of the table's."""
    y = table.tensors.index(selected[0])
    line = {"color": PALETTES[theme].text, "width": 2.5}
    for x, (_, _, scheme) in zip(table.places, table.columns, strict=True):
        if scheme == selected[1]:
            figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    figure.add_shape(
        type="rect",
        x0=-0.5,
        x1=table.places[-1] + 0.5,
        y0=y - 0.5,
        y1=y + 0.5,
        line={**line, "width": 1, "dash": "dot"},
    )


def _headline(table: CellTable, selected: tuple[str, str] | None) -> tuple[str, str]:
    """Title and subtitle, escaped: the selected cell with its value, or how much there is; the worst row; layers
    without any value.
    """
    measure, worst = table.measure, table.find_worst()
    counts = f"{_count(len(table.tensors), 'layer')} × {_count(len(table.columns), 'scheme')}"
    by_name = {(row.tensor, row.scheme): row for layer in table.cells for row in layer if row is not None}
    title, notes = f"{measure.label}: {counts}", []
    if selected in by_name:
        title = f"{measure.label}: {_tell_row(by_name[selected], table)}"
        notes.append(counts)
    if worst is not None:
        notes.append(f"worst: {_tell_row(worst, table)}")
    without = sum(all(math.isnan(table.value(row)) for row in layer) for layer in table.cells)
    if without:
        notes.append(f"{_count(without, 'layer')} without a value (crossed out)")
    return title, " · ".join(notes)


def _tell_row(row: Row, table: CellTable) -> str:
    """Layer, scheme and value, escaped; the layer as it is labelled beside the cells."""
    return f"{escape(table.layer_labels[row.tensor])}, {escape(row.scheme)}: {_hover_value(row, table)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _describe(table: CellTable) -> str:
    """The alternative text: how much there is, and the worst row by its whole name; plain, not escaped."""
    worst = table.find_worst()
    extent = f"{_count(len(table.tensors), 'layer')} under {_count(len(table.columns), 'scheme')}"
    sentence = f"Heat map of {table.measure.label} for {extent}"
    if worst is None:
        return f"{sentence}."
    return f"{sentence}; the worst is {worst.tensor} under {worst.scheme} with {_hover_value(worst, table)}."
