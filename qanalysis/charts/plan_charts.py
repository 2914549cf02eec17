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
_HEIGHT = 380
_TICK = 18  # letters of a name below a chart
#: The kinds of points in the order of the traces, with what the legend calls them.
KINDS = {"hull": "lower hull", "greedy": "greedy between", "exact": "exact optimum"}


def front_chart(sheet: PlanSheet, choice: Codes, *, theme: Theme = "light") -> Drawing:
    """Error against size: the points of the front by kind, every uniform plan, and a diamond for the plan in view.

    The error is the objective, on a logarithmic axis where all are positive; the size is in bits per weight. Uniform
    plans have one marker per grouping.
    """
    colours = PALETTES[theme]
    bits, costs = sheet.sum_points("bits"), sheet.sum_points("costs")
    kinds = np.array(sheet.kinds)
    marks = {"hull": "circle", "greedy": "line-ns-open", "exact": "square"}
    traces = [
        line(
            x=bits,
            y=costs,
            mode="lines",
            name="front",
            line={"color": colours.kept, "width": 2, "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    for kind, name in KINDS.items():
        places = np.flatnonzero(kinds == kind)
        if len(places):
            places = places[np.unique(np.linspace(0, len(places) - 1, _MOST_POINTS).round().astype(int))]
            traces.append(
                _mark_points(name, bits[places], costs[places], {"symbol": marks[kind], "color": colours.kept})
            )
    traces += _mark_uniforms(sheet, theme)
    here = sheet.sum("bits", choice), sheet.sum("costs", choice)
    known = [*costs, here[1], *(one.objective for one in sheet.uniforms)]
    log = min(known) > 0
    mark = {"name": "mark-plan", "text": "◆", "showarrow": False, "xref": "x", "yref": "y"}
    mark |= {"x": here[0], "y": math.log10(here[1]) if log else here[1], "font": {"size": 28, "color": colours.clipped}}
    return draw(
        traces,
        "Error against size",
        theme,
        subtitle=f"{escape(sheet.objective)}, summed over {count_of(len(sheet.layers), 'layer')}; ◆ the plan in view",
        alt=describe_front(sheet, choice),
        height=_HEIGHT,
        margin={"t": 90, "b": 60},
        xaxis={"title": {"text": "Size (bits per weight)"}},
        yaxis={"title": {"text": f"Error ({escape(sheet.objective)})"}} | ({"type": "log", "dtick": 1} if log else {}),
        annotations=[mark],
        legend={"y": -0.2, "yanchor": "top"},
        showlegend=True,
    )


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
    colours = PALETTES[theme].categories
    bits = [float(layer.bits[at]) for layer, at in zip(sheet.layers, choice, strict=True)]
    schemes = [sheet.schemes[layer.schemes[at]] for layer, at in zip(sheet.layers, choice, strict=True)]
    own = [sheet.format_of[int(layer.schemes[at])] for layer, at in zip(sheet.layers, choice, strict=True)]
    traces = [
        _draw_bars(
            [place for place, one in enumerate(own) if one == number], bits, name, colours[number % len(colours)]
        )
        for number, name in enumerate(sheet.formats)
    ]
    traces.append(
        line(
            x=list(range(len(bits))),
            y=bits,
            mode="none",
            name="bits per weight",
            showlegend=False,
            customdata=[{"row": layer.name} for layer in sheet.layers],
            text=[f"{escape(layer.label)}<br>{escape(one)}" for layer, one in zip(sheet.layers, schemes, strict=True)],
            hovertemplate="%{text}<br>%{y:.3f} bits per weight<extra></extra>",
        )
    )
    few = len(bits) <= FEW_LAYERS
    names = [escape(shorten(layer.label, _TICK)) for layer in sheet.layers]
    ticks = {"tickmode": "array", "tickvals": list(range(len(bits)))} if few else {}
    most = max(float(layer.bits.max()) for layer in sheet.layers)
    return draw(
        traces,
        "Bits of each layer",
        theme,
        subtitle="in the order of the file, coloured by number format",
        alt=describe_bits(sheet, choice),
        height=_HEIGHT,
        margin={"t": 90, "b": 60},
        hoverdistance=-1,
        xaxis={"title": {"text": "" if few else "Layer (place in the file)"}, "range": [-0.7, len(bits) - 0.3]}
        | {"showgrid": False, **ticks, **({"ticktext": names} if few else {})},
        yaxis={"title": {"text": "Bits per weight (bit)"}, "range": [0, 1.06 * most]},
        legend={"y": -0.2, "yanchor": "top"},
        showlegend=True,
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
