"""Which plans are worth having at any size, and what does each layer get? The front, and bits along the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import MARKERS, PALETTES, Theme
from qanalysis.charts.plan_sheet import PlanSheet
from qanalysis.charts.wording import count_of, escape
from qanalysis.notation import plain, shorten, size

FEW_LAYERS = 12
"""Names of so many layers fit below a chart; those of more are numbers, with the name on hover."""
_MOST_POINTS = 80  # drawn of each kind
_BAR = 0.42  # half of a bar's width, in layers
_FRAME: dict[str, Any] = {
    "height": 380,
    "margin": {"t": 90, "b": 60},
    "legend": {"y": -0.2, "yanchor": "top"},
    "showlegend": True,
}
_TICK = 18  # letters of a name below a chart
#: The kinds of points in the order of the traces, with what the legend calls them.
KINDS = {"hull": "lower hull", "greedy": "greedy between", "exact": "exact optimum"}
_SYMBOLS = {"hull": "circle", "greedy": "line-ns-open", "exact": "square"}


def front_chart(sheet: PlanSheet, choice: Codes, *, theme: Theme = "light") -> Drawing:
    """Error against size: the points of the front by kind, every uniform plan, and a diamond for the plan in view.

    The error is the objective, on a logarithmic axis where all are positive; the size is in bits per weight. Uniform
    plans have one marker per grouping.
    """
    here = sheet.sum("bits", choice), sheet.sum("costs", choice)
    log = min([*sheet.sum_points("costs"), here[1], *(one.objective for one in sheet.uniforms)]) > 0
    mark = {"name": "mark-plan", "text": "◆", "showarrow": False, "xref": "x", "yref": "y", "x": here[0]}
    mark |= {"y": math.log10(here[1]) if log else here[1], "font": {"size": 28, "color": PALETTES[theme].clipped}}
    return draw(
        [*_trace_points(sheet, theme), *_mark_uniforms(sheet, theme)],
        "Error against size",
        theme,
        subtitle=f"{escape(sheet.objective)}, summed over {count_of(len(sheet.layers), 'layer')}; ◆ the plan in view",
        alt=describe_front(sheet, choice),
        xaxis={"title": {"text": "Size (bits per weight)"}},
        yaxis={"title": {"text": f"Error ({escape(sheet.objective)})"}} | ({"type": "log", "dtick": 1} if log else {}),
        annotations=[mark],
        **_FRAME,
    )


def _trace_points(sheet: PlanSheet, theme: Theme) -> list[dict[str, Any]]:
    """The front as a line of steps, and its points, one trace per kind."""
    colour, kinds = PALETTES[theme].kept, np.array(sheet.kinds)
    bits, costs = sheet.sum_points("bits"), sheet.sum_points("costs")
    steps = {"color": colour, "width": 2, "shape": "hv"}
    traces = [line(x=bits, y=costs, mode="lines", name="front", line=steps, hoverinfo="skip", showlegend=False)]
    for kind, name in KINDS.items():
        places = np.flatnonzero(kinds == kind)
        if len(places):
            places = places[np.unique(np.linspace(0, len(places) - 1, _MOST_POINTS).round().astype(int))]
            traces.append(_mark_points(name, bits[places], costs[places], {"symbol": _SYMBOLS[kind], "color": colour}))
    return traces


def describe_front(sheet: PlanSheet, choice: Codes) -> str:
    """The alternative text of the front."""
    bits = sheet.sum_points("bits")
    return (
        f"Error against size: {count_of(len(bits), 'plan')} from {plain(bits[0], digits=4)} to "
        f"{plain(bits[-1], digits=4)} bits per weight; the plan in view has "
        f"{plain(sheet.sum('bits', choice), digits=4)} bits per weight and an error of "
        f"{plain(sheet.sum('costs', choice), digits=4)}."
    )


def _mark_points(name: str, bits: Any, costs: Any, marker: dict[str, Any]) -> dict[str, Any]:
    return line(
        x=bits,
        y=costs,
        mode="markers",
        name=name,
        marker={"size": 6, **marker},
        customdata=[{"step": round(float(np.ceil(one * 1e4) / 1e4), 4)} for one in bits],
        hovertemplate=f"{name}<br>%{{x:.3f}} bit, %{{y:.4g}}<extra></extra>",
    )


def _mark_uniforms(sheet: PlanSheet, theme: Theme) -> list[dict[str, Any]]:
    """One trace per grouping of the uniform plans, so that neighbours in bits stand in one look."""
    colours = PALETTES[theme]
    groups = dict[str, list[Any]]()
    for one in sheet.uniforms:
        groups.setdefault(one.scheme.partition(" ")[2] or "tensor", []).append(one)
    return [
        line(
            x=[one.bits_per_weight for one in group],
            y=[one.objective for one in group],
            mode="markers",
            name=f"uniform, {escape(name)}",
            marker={"symbol": f"{MARKERS[place % len(MARKERS)]}-open", "size": 8, "color": colours.reference},
            text=[escape(one.scheme) for one in group],
            hovertemplate="all %{text}<br>%{x:.3f} bit, %{y:.4g}<extra></extra>",
        )
        for place, (name, group) in enumerate(groups.items())
    ]


def layer_bits(sheet: PlanSheet, choice: Codes, *, theme: Theme = "light") -> Drawing:
    """Bits per weight of each layer in the order of the file, a bar each, coloured by number format.

    Bars are drawn as closed lines, one trace per format, because these move in place; a last trace without a look
    carries name, scheme and size of each. A click tells the layer.
    """
    bits = [float(layer.bits[at]) for layer, at in zip(sheet.layers, choice, strict=True)]
    few, most = len(bits) <= FEW_LAYERS, max(float(layer.bits.max()) for layer in sheet.layers)
    names = [escape(shorten(layer.label, _TICK)) for layer in sheet.layers]
    ticks = {"tickmode": "array", "tickvals": list(range(len(bits))), "ticktext": names} if few else {}
    return draw(
        [*_draw_formats(sheet, choice, bits, theme), _name_bars(sheet, choice, bits)],
        "Bits of each layer",
        theme,
        subtitle="in the order of the file, coloured by number format",
        alt=describe_bits(sheet, choice),
        hoverdistance=-1,
        xaxis={"title": {"text": "" if few else "Layer (place in the file)"}, "range": [-0.7, len(bits) - 0.3]}
        | {"showgrid": False, **ticks},
        yaxis={"title": {"text": "Bits per weight (bit)"}, "range": [0, 1.06 * most]},
        **_FRAME,
    )


def _draw_formats(sheet: PlanSheet, choice: Codes, bits: list[float], theme: Theme) -> list[dict[str, Any]]:
    """One trace of bars for each number format, in the order of the sheet's formats."""
    colours = PALETTES[theme].categories
    own = [sheet.format_of[int(layer.schemes[at])] for layer, at in zip(sheet.layers, choice, strict=True)]
    return [
        _draw_bars([place for place, one in enumerate(own) if one == at], bits, name, colours[at % len(colours)])
        for at, name in enumerate(sheet.formats)
    ]


def _name_bars(sheet: PlanSheet, choice: Codes, bits: list[float]) -> dict[str, Any]:
    """The trace that tells name, scheme and size of a bar, and which layer a click is meant for."""
    schemes = [sheet.schemes[layer.schemes[at]] for layer, at in zip(sheet.layers, choice, strict=True)]
    return line(
        x=list(range(len(bits))),
        y=bits,
        mode="none",
        name="bits per weight",
        showlegend=False,
        customdata=[{"row": layer.name} for layer in sheet.layers],
        text=[f"{escape(layer.label)}<br>{escape(one)}" for layer, one in zip(sheet.layers, schemes, strict=True)],
        hovertemplate="%{text}<br>%{y:.3f} bits per weight<extra></extra>",
    )


def describe_bits(sheet: PlanSheet, choice: Codes) -> str:
    """The alternative text of the layers' bits: how many have each format."""
    own = [sheet.format_of[int(layer.schemes[at])] for layer, at in zip(sheet.layers, choice, strict=True)]
    told = [f"{own.count(number)} at {name}" for number, name in enumerate(sheet.formats) if number in own]
    return f"Bits of {count_of(len(own), 'layer')}: {', '.join(told)}; {size(int(sheet.sum('sizes', choice)))} in all."


def _draw_bars(places: list[int], bits: list[float], name: str, colour: str) -> dict[str, Any]:
    """The bars of one format as one closed line each, with a gap behind every bar."""
    x = [edge for place in places for edge in (place - _BAR, place - _BAR, place + _BAR, place + _BAR, None)]
    y = [height for place in places for height in (0.0, bits[place], bits[place], 0.0, None)]
    return line(
        x=x,
        y=y,
        mode="lines",
        name=escape(name),
        fill="toself",
        fillcolor=colour,
        line={"width": 0, "color": colour},
        hoverinfo="skip",
    )
