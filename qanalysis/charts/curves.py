"""How fast does the error fall with the bits? One line per layer and grouping, and what theory allows beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import plotly.graph_objects as go

from qanalysis.charts.cell_table import group_label, is_integer
from qanalysis.charts.palette import DASHES, MARKERS, PALETTES, Theme, begin, empty_state, finish, rank_legend
from qanalysis.charts.wording import escape
from qanalysis.diagnosis.own_limits import LayerLimits
from qanalysis.notation import measure as tell
from qanalysis.notation import percent, plain, quote, shorten
from qanalysis.results.columns import Column
from qanalysis.sweeps.row import METRICS, Row
from qanalysis.theory import lines

Horizontal = Literal["bits", "bits_per_weight"]
HORIZONTALS: tuple[Horizontal, ...] = get_args(Horizontal)
MEASURED_SQNR = ("sqnr_db", "sqnr_ac_db")
SQNR_LIKE = (*MEASURED_SQNR, "theory_sqnr_db")
NAMED_LINES = 8  # more lines than that go to the legend: their names would not fit at their ends
FORMAT_MARKERS = (
    "star-diamond",
    "hexagram",
    "bowtie",
    "cross",
    "hourglass",
    "star-square",
    "star-triangle-up",
    "asterisk-open",
)
LEGEND_ROW, FORMATS_A_ROW = 26, 6  # pixels below the chart, for as many formats
LABEL_SHARE = 0.055  # of the vertical axis: the height of one line's name


_Point = tuple[float, float, Row]  # horizontal, vertical, and the row they are of


class _Curve(NamedTuple):
    """The integers of one layer under one grouping, from few bits to many: at least one point."""

    tensor: str
    group: str
    points: list[_Point]


class _EndLabel(NamedTuple):
    """The escaped name of a line, with the place of its right end in data coordinates."""

    text: str
    x: float
    y: float
    colour: str


def error_curves(
    rows: Sequence[Row],
    tensors: Sequence[str],
    metric: str,
    *,
    horizontal: Horizontal = "bits",
    limits: LayerLimits | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """The column `metric` of the rows of `tensors` against bits, or against bits per weight with the scales counted
    in.

    Integers are joined to lines; every other format is points without a line and stands in the legend. Colour and
    marker tell layers apart (groupings and formats, where there is one layer), dashes tell groupings apart. SQNR gets
    the Shannon limit of a Gaussian (6.02 dB per bit) and its Lloyd-Max points. Up to NAMED_LINES lines are named at
    their ends, more in a legend that follows them. Markers carry customdata [tensor, scheme].

    Parameters
    ----------
    rows : of a sweep, in any order; those that are not ok or have no value are passed over. Infinite values are left
        out and counted in the subtitle. Where nothing is left, the empty state.
    tensors : the layers to draw.
    metric, horizontal : ValueError for a name that is not in METRICS, or not in HORIZONTALS.
    limits : of one layer: its best scalar grid, and the bound from its entropy, which the chart of sqnr_db shows.

    The alternative text gives the number of layers, and the best point with its value.
    """
    if metric not in METRICS or horizontal not in HORIZONTALS:
        choices = f"metrics are {', '.join(METRICS)}; horizontal is {' or '.join(map(repr, HORIZONTALS))}"
        raise ValueError(f"metric {quote(metric)} against {quote(horizontal)}: {choices}")
    measure = METRICS[metric]
    known, infinite = _collect(rows, tensors, metric, horizontal)
    curves = _join(known)
    if not known:
        return empty_state("No curve to draw.", "Choose a layer in the heat map or in the table.", theme, height=420)
    title, subtitle = _headline(known, curves, measure, infinite)
    room = LEGEND_ROW * -(-len({row.format for _, _, row in known if not is_integer(row)}) // FORMATS_A_ROW)
    figure = begin(title, theme, subtitle=subtitle, height=440 + room, margin={"b": 48 + room})
    named = len(curves) <= NAMED_LINES
    labels = _draw_curves(figure, curves, measure, theme)
    _draw_formats(figure, known, measure, theme)
    if metric in SQNR_LIKE:
        labels += _draw_theory(figure, known, named=named, theme=theme)
    if metric == "sqnr_db" and limits:
        labels += _draw_own_limits(figure, known, limits, named=named, theme=theme)
    span = _set_axes(figure, known, measure, horizontal)
    if named:
        _name_lines(figure, labels, span)
        figure.update_layout(legend={"y": -0.2, "yanchor": "top"})
    else:
        rank_legend(figure)
        figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "font": {"size": 12}})
    return finish(figure, _describe(known, measure))


def mark_point(figure: go.Figure, at: float | None, note: str) -> dict[str, Any]:
    """What marks the scheme in view on a figure of `error_curves`: a line, and what it says at its foot.

    `at` is the place on the horizontal axis, in its unit; nothing without a place, and on a figure without curves.
    Beyond the axis there is no line, and what it says stands at the near end.
    """
    span = figure.layout.xaxis.range
    if at is None or span is None:
        return {"shapes": [], "annotations": []}
    low, high = span
    foot = {"name": "mark-value", "y": 0, "yref": "paper", "yanchor": "bottom", "yshift": 2, "showarrow": False}
    if low <= at <= high:
        line = {"color": PALETTES["light"].text, "width": 1.5, "dash": "dot"}
        ends = {"x0": at, "x1": at, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
        side = {"xanchor": "left", "xshift": 4} if at < (low + high) / 2 else {"xanchor": "right", "xshift": -4}
        shape = {"name": "mark-line", "type": "line", "line": line, **ends}
        return {"shapes": [shape], "annotations": [foot | side | {"text": note, "x": at, "xref": "x"}]}
    bits = f"{plain(at, digits=4)} bit"
    text = f"{bits} ▸ {note}" if at > high else f"{note} ◂ {bits}"
    side = {"xanchor": "right", "xshift": -4} if at > high else {"xanchor": "left", "xshift": 4}
    return {"shapes": [], "annotations": [foot | side | {"text": text, "x": int(at > high), "xref": "paper"}]}


def _describe(points: Sequence[_Point], measure: Column) -> str:
    """The alternative text: how many layers, and the best point, which is the highest unless less is better."""
    _, value, row = (min if measure.better == "lower" else max)(points, key=lambda point: point[1])
    layers = len({row.tensor for _, _, row in points})
    what = f"{measure.label} of {layers} {'layer' if layers == 1 else 'layers'} against bits"
    return f"{what}; the best point is {row.tensor} under {row.scheme} with {tell(value, measure.unit)}."


def _collect(
    rows: Sequence[Row], tensors: Sequence[str], metric: str, horizontal: Horizontal
) -> tuple[list[_Point], int]:
    """Every finite point in the order of the rows, and how many infinite ones there are beside them.

    Rows that are not ok, or lack one of both values, count in neither.
    """
    known, infinite = [], 0
    for row in rows:
        x, y = getattr(row, horizontal), getattr(row, metric)
        if row.tensor not in tensors or row.status != "ok" or x is None or y is None:
            continue
        if math.isinf(y):
            infinite += 1
            continue
        known.append((float(x), float(y), row))
    return known, infinite


def _join(points: Sequence[_Point]) -> list[_Curve]:
    """One curve per tensor and grouping, of its integer formats alone, from few bits to many; none without integers."""
    found: dict[tuple[str, str], list[_Point]] = {}
    for point in points:
        if is_integer(point[2]):
            found.setdefault((point[2].tensor, group_label(point[2])), []).append(point)
    return [_Curve(*key, sorted(points, key=lambda point: point[0])) for key, points in found.items()]


def _headline(points: Sequence[_Point], curves: Sequence[_Curve], measure: Column, infinite: int) -> tuple[str, str]:
    """Title and subtitle, escaped: layer and widths; groupings, formats beside the integers, points left out."""
    tensors = list(dict.fromkeys(row.tensor for _, _, row in points))
    who = escape(shorten(tensors[0], 48)) if len(tensors) == 1 else f"{len(tensors)} layers"
    lowest, highest = (pick(row.bits for _, _, row in points) for pick in (min, max))
    span = f"{lowest} to {highest} bits" if lowest < highest else f"{lowest} bits"
    formats = len({row.format for _, _, row in points if not is_integer(row)})
    notes = [f"{len(curves)} lines"] if len(curves) > 1 else [escape(curve.group) for curve in curves]
    notes += [f"{formats} {'formats' if formats > 1 else 'format'} beside the integers"] if formats else []
    notes += [f"{infinite} points without any error (infinite) left out"] if infinite else []
    return f"{measure.label} of {who}, {span}", " · ".join(notes)


def _draw_curves(figure: go.Figure, curves: list[_Curve], measure: Column, theme: Theme) -> list[_EndLabel]:
    """The lines, with markers that carry customdata [tensor, scheme]; returns the names for their right ends, in data
    coordinates.
    """
    colours = PALETTES[theme].categories
    tensors = list(dict.fromkeys(curve.tensor for curve in curves))
    groups = list(dict.fromkeys(curve.group for curve in curves))
    labels = []
    for curve in curves:
        dash = groups.index(curve.group)
        category = tensors.index(curve.tensor) if len(tensors) > 1 else dash
        short = shorten(curve.tensor, 32)
        name = curve.group if len(tensors) == 1 else f"{short}, {curve.group}" if len(groups) > 1 else short
        colour = colours[category % len(colours)]
        figure.add_scatter(
            x=[x for x, _, _ in curve.points],
            y=[y for _, y, _ in curve.points],
            mode="lines+markers",
            name=escape(name),
            line={"color": colour, "width": 2, "dash": DASHES[dash % len(DASHES)]},
            marker={"symbol": MARKERS[category % len(MARKERS)], "size": 8, "color": colour},
            customdata=[[row.tensor, row.scheme] for _, _, row in curve.points],
            text=[_hover(y, row, measure) for _, y, row in curve.points],
            hovertemplate=f"<b>{escape(curve.tensor)}</b><br>%{{customdata[1]}}<br>%{{text}}<extra></extra>",
            showlegend=len(curves) > NAMED_LINES,
        )
        labels.append(_EndLabel(escape(name), *curve.points[-1][:2], colour))
    return labels


def _draw_formats(figure: go.Figure, known: Sequence[_Point], measure: Column, theme: Theme) -> None:
    """Formats that are no integers: a marker for each, in the layer's colour where there are several layers, and one
    entry in the legend.

    A format under several groupings has several points with the same marker; what sets them apart is told on hover.
    """
    colours = PALETTES[theme].categories
    tensors = list(dict.fromkeys(row.tensor for _, _, row in known))
    for place, fmt in enumerate(dict.fromkeys(row.format for _, _, row in known if not is_integer(row))):
        having = list(dict.fromkeys(row.tensor for _, _, row in known if row.format == fmt))
        for tensor in having:
            own = [point for point in known if (point[2].format, point[2].tensor) == (fmt, tensor)]
            category = tensors.index(tensor)
            colour = colours[(category if len(tensors) > 1 else place + 1) % len(colours)]
            figure.add_scatter(
                x=[x for x, _, _ in own],
                y=[y for _, y, _ in own],
                mode="markers",
                name=escape(fmt),
                legendgroup=fmt,
                showlegend=tensor == having[0],
                marker={
                    "symbol": FORMAT_MARKERS[place % len(FORMAT_MARKERS)],
                    "size": 11,
                    "color": colour,
                    "line": {"width": 1, "color": colour},
                },
                customdata=[[row.tensor, row.scheme] for _, _, row in own],
                text=[_hover(y, row, measure) for _, y, row in own],
                hovertemplate=f"<b>{escape(tensor)}</b><br>%{{customdata[1]}}<br>%{{text}}<extra></extra>",
            )


def _hover(value: float, row: Row, measure: Column) -> str:
    """What a point says beside its layer and scheme: the value with its unit, what it costs, the weights clipped and
    zeroed where known.

    Of a measured SQNR also what is predicted for Gaussian values of the same power, where there is a prediction.
    """
    cost = f"{row.bits_per_weight:.3f} bit per weight, " if row.bits_per_weight is not None else ""
    clipped = f"<br>{percent(row.clipped_fraction)} clipped" if row.clipped_fraction is not None else ""
    zeroed = f", {percent(row.zeroed_fraction)} zeroed" if row.zeroed_fraction is not None else ""
    predicted = ""
    if measure.name in MEASURED_SQNR and row.theory_sqnr_db is not None:
        predicted = f"<br>{tell(row.theory_sqnr_db, 'dB')} predicted, were it Gaussian"
    return f"{tell(value, measure.unit)}{predicted}<br>{cost}{row.numel:,} weights{clipped}{zeroed}"


def _draw_theory(figure: go.Figure, points: Sequence[_Point], *, named: bool, theme: Theme) -> list[_EndLabel]:
    """Two limits for one Gaussian of the data's power: 6.02 dB per bit, which is Shannon's and not the rule
    6.02 b + 1.76 of a sine, over the drawn range, and the best scalar grid (Lloyd-Max) at whole bits.

    Returns their names for the right ends; with `named` the legend leaves them out.
    """
    colour = PALETTES[theme].reference
    low, high = min(point[0] for point in points), max(point[0] for point in points)
    whole = [bits for bits in range(max(1, math.floor(low)), math.ceil(high) + 1) if bits >= 1]
    best = [lines.best_scalar_sqnr_db(bits, "gaussian").sqnr_db for bits in whole]
    limit_name, scalar_name = "Shannon limit (Gauss)", "Lloyd-Max (Gauss)"
    passed_by_none = "6.02 dB per bit, which no code of a Gaussian passes (Shannon)"
    figure.add_scatter(
        x=[low, high],
        y=[lines.uniform_sqnr_db(low), lines.uniform_sqnr_db(high)],
        mode="lines",
        name=limit_name,
        line={"color": colour, "width": 1.5},
        hovertemplate=f"{passed_by_none}:<br>%{{y:.2f}} dB at %{{x:.2f}} bit<extra></extra>",
        showlegend=not named,
    )
    figure.add_scatter(
        x=whole,
        y=best,
        mode="lines+markers",
        name=scalar_name,
        line={"color": colour, "width": 1.5, "dash": "dot"},
        marker={"symbol": "line-ew-open", "size": 9, "color": colour},
        hovertemplate="best scalar grid for a Gaussian (Lloyd-Max):<br>%{y:.2f} dB at %{x} bit<extra></extra>",
        showlegend=not named,
    )
    return [
        _EndLabel(limit_name, high, lines.uniform_sqnr_db(high), colour),
        _EndLabel(scalar_name, whole[-1], best[-1], colour),
    ]


def _draw_own_limits(
    figure: go.Figure, points: Sequence[_Point], limits: LayerLimits, *, named: bool, theme: Theme
) -> list[_EndLabel]:
    """The limits of one layer's own values over the drawn range: no line for what is not known, or infinite, there."""
    colour = PALETTES[theme].error
    low, high = min(point[0] for point in points), max(point[0] for point in points)
    scalar = [
        (bits, sqnr)
        for bits, sqnr in zip(limits.bits, limits.best_scalar_db, strict=True)
        if low - 0.5 <= bits <= high + 0.5 and math.isfinite(sqnr)
    ]
    bound_name, scalar_name = "entropy bound (this layer)", "best grid (this layer)"
    bound = [(rate, sqnr) for rate in (low, high) if (sqnr := limits.bound_db(rate)) is not None]
    lines = [(bound_name, [rate for rate, _ in bound], [sqnr for _, sqnr in bound], "solid")] if bound else []
    lines += [(scalar_name, [bits for bits, _ in scalar], [sqnr for _, sqnr in scalar], "dot")] if scalar else []
    for name, x, y, dash in lines:
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=name,
            line={"color": colour, "width": 1.5, "dash": dash},
            hovertemplate=f"{name}:<br>%{{y:.2f}} dB at %{{x:.2f}} bit<extra></extra>",
            showlegend=not named,
        )
    return [_EndLabel(name, x[-1], y[-1], colour) for name, x, y, _dash in lines]


def _set_axes(
    figure: go.Figure, points: Sequence[_Point], measure: Column, horizontal: Horizontal
) -> tuple[float, float, bool]:
    """Fix both axes and return (bottom, top, logarithmic) of the vertical one, in its own coordinates: log10 where it
    is logarithmic.

    It is that for a metric that is better when lower, positive throughout and over more than a factor of 30. The range
    holds every trace that is drawn already, theory included, with a little room; where all values are equal, 1 to
    each side.
    """
    drawn = [float(y) for trace in figure.data for y in trace.y]
    low, high = min(drawn), max(drawn)
    logarithmic = measure.better == "lower" and low > 0 and high > 30 * low
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    room = 0.06 * (high - low) or 1.0
    unit = f" ({measure.unit})" if measure.unit else ""
    figure.update_yaxes(
        title_text=f"{measure.label}{unit}",
        type="log" if logarithmic else "linear",
        dtick=1 if logarithmic else None,
        range=[low - room, high + room],
    )
    right = max(point[0] for point in points)
    left = min(point[0] for point in points)
    title = "Bits of the code (bit)" if horizontal == "bits" else "Bits per weight, scales counted (bit)"
    figure.update_xaxes(title_text=title, dtick=1, range=[left - 0.3, max(right, left + 1) + 0.15])
    return low - room, high + room, logarithmic


def _name_lines(figure: go.Figure, labels: list[_EndLabel], span: tuple[float, float, bool]) -> None:
    """Write each line's name at its end, pushed apart where two ends meet, and never out of the plot.

    `span` is what `_set_axes` returned. Names are placed from the lowest end upwards; what would leave the plot at
    the top pushes the ones below it down again: NAMED_LINES of them and four of theory take two thirds of its height.
    The margin at the right grows with the longest name; without any line it is 24 pixels.
    """
    bottom, top, logarithmic = span
    gap = LABEL_SHARE * (top - bottom)
    placed = sorted(
        ((math.log10(label.y) if logarithmic else label.y, label) for label in labels), key=lambda pair: pair[0]
    )
    heights = [y for y, _ in placed]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    overshoot = max(0.0, heights[-1] - (top - gap / 2)) if heights else 0.0
    for index in reversed(range(len(heights))):
        ceiling = heights[index + 1] - gap if index + 1 < len(heights) else heights[index] - overshoot
        heights[index] = min(heights[index], ceiling)
    for height, (_, label) in zip(heights, placed, strict=True):
        figure.add_annotation(
            name="mark-end",
            text=label.text,
            x=1,
            xref="paper",
            xanchor="left",
            xshift=6,
            y=height,
            yanchor="middle",
            showarrow=False,
            font={"color": label.colour, "size": 12},
        )
    figure.update_layout(margin={"r": 24 + 6.6 * max((len(label.text) for label in labels), default=0)})
