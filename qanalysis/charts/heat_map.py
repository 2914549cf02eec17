"""Where does quantization hurt? Layers by schemes as a heat map whose cells, or rows in a large model, can be clicked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.charts.palette import MAGNITUDE, PALETTES, SIGNED, Theme, begin, empty_state, finish
from qanalysis.charts.wording import escape, label_layers, name_power
from qanalysis.notation import measure as tell
from qanalysis.notation import plain, shorten, signed
from qanalysis.quantizers.formats import FORMATS
from qanalysis.results.columns import Column
from qanalysis.sweeps.row import METRICS, Row

CELL_LIMIT = 900  # one marker per cell up to here: names and schemes of that many markers stay below 100 kB
TEXT_CELLS, TEXT_COLUMNS = (
    420,
    14,
)  # values are written into the cells up to here: more would not be legible beside a table
TALL = 60  # layers from which rows are drawn closer together
FEW_HEIGHT = 260  # pixels that the rows of a small model share
GROUP_GAP = 0.6  # empty columns between two groups of schemes
STILL = {"marker": {"opacity": 1}}  # a click must not dim the other markers
HEADER = 122  # pixels for title, scheme names and bits
NARROW = 300  # pixels of the cells on a small window
LETTER, SMALL_LETTER = 7, 5.8  # pixels of a bold letter, and of one of a column's name


def heat_map(
    rows: Sequence[Row], metric: str, *, selected: tuple[str, str] | None = None, theme: Theme = "light"
) -> go.Figure:
    """Layers (in the order of the rows, those without any value last) by schemes (grouped, bits on the axis),
    coloured by the column `metric` of the rows.

    Bright is good where the metric has a good direction. Cells that are not ok are grey and crossed out and say why
    on hover. The clickable markers carry customdata [tensor, scheme]; above CELL_LIMIT cells there is one per layer,
    which a click anywhere in its row selects, with the scheme of `selected` or else the first. `selected` = (tensor,
    scheme) is outlined. ValueError for a metric that the catalogue does not know.
    """
    measure = METRICS.get(metric)
    if measure is None:
        raise ValueError(f"metric {metric!r} is unknown; metrics are {', '.join(METRICS)}")
    if not rows:
        return empty_state("No layer to show.", "Open a checkpoint, or widen the filter in the sidebar.", theme)
    table = _Table.from_rows(rows, measure)
    title, subtitle = _headline(table, selected)
    scale = _ColourScale.of(table)
    figure = begin(
        title,
        theme,
        subtitle=subtitle,
        height=table.header + 16 + table.row_height * len(table.tensors),
        margin={"t": table.header, "b": 16, "l": 28 + 6.6 * max(map(len, table.layer_labels.values())), "r": 16},
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


@dataclass(frozen=True)
class _Table:
    """The rows as a grid: `cells[layer][column]` is a row or None where the sweep has none."""

    measure: Column
    tensors: list[str]
    columns: list[tuple[str, str, str]]  # (group label, tick label, scheme)
    places: NDArray[np.float64]
    cells: list[list[Row | None]]

    @classmethod
    def from_rows(cls, rows: Sequence[Row], measure: Column) -> _Table:
        groups: dict[str, dict[str, str]] = {}
        for row in rows:
            groups.setdefault(group_label(row), {}).setdefault(row.scheme, _tick_label(row))
        columns = [(group, tick, scheme) for group, schemes in groups.items() for scheme, tick in schemes.items()]
        place_of_group = {group: index * GROUP_GAP for index, group in enumerate(groups)}
        by_cell = {(row.tensor, row.scheme): row for row in rows}
        measured = {row.tensor for row in rows if row.status == "ok"}
        tensors = sorted(dict.fromkeys(row.tensor for row in rows), key=lambda tensor: tensor not in measured)
        return cls(
            measure,
            tensors,
            columns,
            np.array([index + place_of_group[group] for index, (group, _, _) in enumerate(columns)]),
            [[by_cell.get((tensor, scheme)) for _, _, scheme in columns] for tensor in tensors],
        )

    @cached_property
    def layer_labels(self) -> dict[str, str]:
        """What stands beside each row."""
        return label_layers(self.tensors)

    @property
    def row_height(self) -> int:
        return min(44, max(24, FEW_HEIGHT // len(self.tensors))) if len(self.tensors) < TALL else 16

    @property
    def per_cell(self) -> bool:
        return len(self.tensors) * len(self.columns) <= CELL_LIMIT

    @property
    def is_crowded(self) -> bool:
        """Whether the groups' names would run into each other on a small window; they then stand upright."""
        pitch = NARROW / (self.places[-1] + 1)
        return len(self.groups()) > 1 and any(
            LETTER * len(label) > pitch * len(columns) + LETTER for label, columns in self.labels()
        )

    @property
    def header(self) -> int:
        """Pixels above the cells."""
        return (
            HEADER
            + self.name_height
            + (LETTER * (max(len(label) for label, _columns in self.labels()) - 2) if self.is_crowded else 0)
        )

    @property
    def name_height(self) -> int:
        """Pixels that the names of formats, which stand upright over their columns, take beyond those of a number."""
        return round(
            SMALL_LETTER * max((len(tick) - 2 for _, tick, _ in self.columns if not tick.isdigit()), default=0)
        )

    def labels(self) -> list[tuple[str, list[int]]]:
        """The groups' names as they are written, with their columns."""
        return [(shorten(group, max(14, 8 * len(columns))), columns) for group, columns in self.groups().items()]

    def value(self, row: Row | None) -> float:
        """The metric of a cell, NaN where there is none."""
        value = getattr(row, self.measure.name) if row is not None and row.status == "ok" else None
        return math.nan if value is None else float(value)

    @property
    def values(self) -> NDArray[np.float64]:
        """The metric by layer and scheme, NaN where a cell has none: shape (layers, schemes)."""
        return np.array([[self.value(row) for row in layer] for layer in self.cells])

    def groups(self) -> dict[str, list[int]]:
        """Column numbers by group label."""
        found: dict[str, list[int]] = {}
        for index, (group, _, _) in enumerate(self.columns):
            found.setdefault(group, []).append(index)
        return found


def group_label(row: Row) -> str:
    """What a row's scheme says besides its format: the grouping, unless that is the format's own, and whatever else
    is not the default.

    >>> from qanalysis.sweeps.row import Row
    >>> group_label(Row("w", "weight", "8x8", "float32", 64, "int4 asym", "int4", 4, "tensor", "asym", "minmax", "float32"))
    'tensor asym'
    """
    fmt = FORMATS.get(row.format)
    fixed = fmt.fixed if fmt else frozenset()
    parts = [row.grouping] if "grouping" not in fixed else ["own blocks" if fmt and fmt.block else "no scales"]
    parts += [row.symmetry] if row.symmetry not in ("sym", "") and "symmetry" not in fixed else []
    parts += [f"range={row.range}"] if row.range not in ("minmax", "") else []
    parts += [word for word in row.scheme.split() if word.startswith(("scale=", "round="))]
    return " ".join(parts)


def is_integer(row: Row) -> bool:
    """Whether a row's format is one of the integers, which differ in their bits alone."""
    return row.format.startswith("int")


def _tick_label(row: Row) -> str:
    return str(row.bits) if is_integer(row) else row.format


@dataclass(frozen=True)
class _ColourScale:
    """How values become colours: the limits, and whether by their logarithm."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, table: _Table) -> _ColourScale:
        finite = table.values[np.isfinite(table.values)]
        if not finite.size:
            return cls(0.0, 1.0, False)
        low, high = float(finite.min()), float(finite.max())
        if table.measure.better == "lower" and low > 0 and high > 100 * low:
            return cls(math.log10(low), math.log10(high), True)
        return cls(low, high if high > low else low + 1, False)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values (layers, schemes) on the colour axis; infinite ones, and zero on a logarithmic axis, at its ends, NaN as itself."""
        with np.errstate(divide="ignore", invalid="ignore"):
            placed = np.log10(values) if self.logarithmic else values
        return np.where(np.isnan(placed), np.nan, np.clip(placed, self.low, self.high)).astype(np.float32)

    def axis(self, table: _Table, theme: Theme) -> dict[str, object]:
        """The colour axis: signed values about a neutral middle, everything else from dark to bright, bright where it is good."""
        measure = table.measure
        signed = measure.better is None and self.low < 0 < self.high
        unit = f" ({measure.unit})" if measure.unit else ""
        bar: dict[str, object] = {"title": {"text": f"{measure.label}{unit}"}}
        bar |= {
            "lenmode": "pixels",
            "len": max(110, min(320, table.row_height * len(table.tensors))),
            "y": 1,
            "yanchor": "top",
        }
        if self.logarithmic:
            powers = list(range(math.ceil(self.low), math.floor(self.high) + 1))
            bar |= {"tickvals": powers, "ticktext": [name_power(10.0**power, measure.unit) for power in powers]}
        reach = max(-self.low, self.high)
        limits = (-reach, reach) if signed else (self.low, self.high)
        return {
            "colorscale": SIGNED[theme] if signed else MAGNITUDE,
            "reversescale": measure.better == "lower",
            "cmin": limits[0],
            "cmax": limits[1],
            "colorbar": bar,
        }


def _draw_cells(figure: go.Figure, table: _Table, scale: _ColourScale, theme: Theme) -> None:
    values, placed = table.values, scale.place(table.values)
    written = values.size <= TEXT_CELLS and len(table.columns) <= TEXT_COLUMNS
    for group, columns in table.groups().items():
        text = (
            [
                ["" if math.isnan(value) else _cell_text(value, table.measure.unit) for value in layer]
                for layer in values[:, columns]
            ]
            if written
            else None
        )
        figure.add_heatmap(
            x=table.places[columns],
            y=np.arange(len(table.tensors), dtype=np.int16),
            z=placed[:, columns],
            text=text,
            texttemplate="%{text}" if written else None,
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
            name=escape(group),
            hoverinfo="skip",
        )
        absent = np.isnan(values[:, columns])
        if absent.any() and table.per_cell:
            grey = [[0, "rgba(0,0,0,0)"], [1, PALETTES[theme].panel]]
            figure.add_heatmap(
                x=table.places[columns],
                y0=0,
                z=absent.astype(np.uint8),
                zmin=0,
                zmax=1,
                colorscale=grey,
                showscale=False,
                hoverinfo="skip",
                xgap=1,
                ygap=1,
            )


def _cell_text(value: float, unit: str) -> str:
    """A value as a cell has room for it: dB with one decimal, bit and LSB with two, everything else with two digits."""
    if math.isfinite(value) and unit in ("dB", "bit", "LSB"):
        return signed(value, ".1f" if unit == "dB" else ".2f")
    return plain(value, digits=2)


def _draw_axes(figure: go.Figure, table: _Table, theme: Theme) -> None:
    colours = PALETTES[theme]
    margin = 0.5 if table.per_cell else 1.4
    figure.update_xaxes(
        side="top",
        tickmode="array",
        tickvals=table.places.tolist(),
        ticktext=_name_ticks(table),
        tickangle=0,
        range=[-margin, float(table.places[-1]) + 0.5],
        tickfont={"size": 11},
    )
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(table.tensors))),
        ticktext=[escape(table.layer_labels[tensor]) for tensor in table.tensors],
        range=[len(table.tensors) - 0.5, -0.5],
        tickfont={"size": 12 if len(table.tensors) < TALL else 11},
        # Measuring each label, which the margin and the overflow rule ask for, takes seconds in the browser at 500 layers.
        automargin=False,
        ticklabelstandoff=6,
        ticklabeloverflow="allow",
    )
    figure.update_xaxes(showgrid=False, showline=False, ticks="", fixedrange=True).update_yaxes(
        showgrid=False, showline=False, ticks="", fixedrange=True
    )
    small = {"size": 11, "color": colours.muted}
    figure.add_annotation(
        text="bits",
        x=0,
        xref="paper",
        xanchor="right",
        xshift=-6,
        y=1,
        yref="paper",
        yanchor="bottom",
        yshift=3,
        showarrow=False,
        font=small,
    )
    look = {
        "showarrow": False,
        "font": {"size": 12, "color": colours.text},
        "textangle": -90 if table.is_crowded else 0,
    }
    for label, columns in table.labels():
        where = float(table.places[columns].mean())
        figure.add_annotation(
            text=f"<b>{escape(label)}</b>",
            x=where,
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=22 + table.name_height,
            **look,
        )
    upright = {
        "showarrow": False,
        "textangle": -90,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 3,
        "font": {"size": 11, "color": colours.text},
    }
    for where, (_, tick, _) in zip(table.places.tolist(), table.columns, strict=True):
        if not tick.isdigit():
            figure.add_annotation(text=escape(tick), x=where, **upright)


def _name_ticks(table: _Table) -> list[str]:
    # Where columns are narrow, the first and the last width of a group say what lies between. Formats' names stand upright beside these.
    widths = [[index for index in columns if table.columns[index][1].isdigit()] for columns in table.groups().values()]
    named = {
        index for columns in widths for index in (columns if not table.is_crowded else (columns[:1] + columns[-1:]))
    }
    return [tick if index in named else "" for index, (_, tick, _) in enumerate(table.columns)]


def _draw_markers(figure: go.Figure, table: _Table, selected: tuple[str, str] | None, theme: Theme) -> None:
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


def _mark_cells(figure: go.Figure, table: _Table) -> None:
    """One transparent marker per cell, a trace per layer so that its name is sent once for the hover."""
    still = {"marker": {"opacity": 0}}
    for y, layer in enumerate(table.cells):
        known = [(float(x), row) for x, row in zip(table.places, layer, strict=True) if row is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[y] * len(known),
            mode="markers",
            # Within a marker all points are equally near, and the last would be taken; small ones leave the choice to the hover distance.
            marker={"symbol": "square", "size": 6, "opacity": 0},
            selected=still,
            unselected=still,
            customdata=[[row.tensor, row.scheme] for _, row in known],
            text=[_hover_value(row, table) for _, row in known],
            hovertemplate=f"<b>{escape(table.tensors[y])}</b><br>%{{customdata[1]}}<br>%{{text}}<br>{known[0][1].numel:,} weights<extra></extra>",
            name=escape(table.tensors[y]),
        )


def _hover_value(row: Row, table: _Table) -> str:
    if row.status != "ok":
        return f"no value: {escape(row.reason or row.status)}"
    return tell(getattr(row, table.measure.name), table.measure.unit)


def _mark_rows(figure: go.Figure, table: _Table, selected: tuple[str, str] | None, theme: Theme) -> None:
    """One marker per layer left of its cells. No limit to the hover distance: the nearest marker is that of the row below the mouse."""
    scheme = selected[1] if selected else table.columns[0][2]
    column = next((index for index, (_, _, text) in enumerate(table.columns) if text == scheme), 0)
    firsts = [layer[column] or next(row for row in layer if row is not None) for layer in table.cells]
    names = [escape(tensor) for tensor in table.tensors]
    plain = names == table.tensors  # then the names need not be sent a second time
    figure.add_scatter(
        x=[-1.0] * len(names),
        y=np.arange(len(names), dtype=np.int16),
        mode="markers",
        marker={"symbol": "square", "size": 8, "color": PALETTES[theme].muted},
        selected=STILL,
        unselected=STILL,
        customdata=[[tensor, scheme] for tensor in table.tensors],
        hovertext=None if plain else names,
        text=[_hover_value(row, table) for row in firsts],
        hovertemplate=f"<b>%{{{'customdata[0]' if plain else 'hovertext'}}}</b><br>{escape(table.columns[column][2])}: %{{text}}<extra></extra>",
    )


def _outline(figure: go.Figure, table: _Table, selected: tuple[str, str], theme: Theme) -> None:
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


def _worst(table: _Table) -> Row | None:
    """The row that is worst by the metric; None without any value, and for a metric without a good direction."""
    known = [row for layer in table.cells for row in layer if row is not None and not math.isnan(table.value(row))]
    if not known or table.measure.better is None:
        return None
    return (min if table.measure.better == "higher" else max)(known, key=table.value)


def _headline(table: _Table, selected: tuple[str, str] | None) -> tuple[str, str]:
    measure = table.measure
    counts = f"{_count(len(table.tensors), 'layer')} × {_count(len(table.columns), 'scheme')}"
    notes, worst = [], _worst(table)
    title = f"{measure.label}: {counts}"
    by_name = {(row.tensor, row.scheme): row for layer in table.cells for row in layer if row is not None}
    if selected in by_name:
        row = by_name[selected]
        title = f"{measure.label}: {escape(table.layer_labels[row.tensor])}, {escape(row.scheme)}: {_hover_value(row, table)}"
        notes.append(counts)
    if worst is not None:
        notes.append(
            f"worst: {escape(table.layer_labels[worst.tensor])}, {escape(worst.scheme)}: {_hover_value(worst, table)}"
        )
    without = sum(all(math.isnan(table.value(row)) for row in layer) for layer in table.cells)
    if without:
        notes.append(f"{_count(without, 'layer')} without a value (crossed out)")
    return title, " · ".join(notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _describe(table: _Table) -> str:
    worst = _worst(table)
    sentence = f"Heat map of {table.measure.label} for {_count(len(table.tensors), 'layer')} under {_count(len(table.columns), 'scheme')}"
    return (
        f"{sentence}; the worst is {worst.tensor} under {worst.scheme} with {_hover_value(worst, table)}."
        if worst
        else f"{sentence}."
    )
