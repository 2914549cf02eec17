"""Which layers and kinds are worth a look? A map of layers by kinds under one rule, and when each rule checked and
moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme
from qanalysis.charts.tracked import RuleLine, SeriesName, Tracked
from qanalysis.charts.tracker_charts import LABEL, pen_of
from qanalysis.charts.wording import count_of, escape, label_layers
from qanalysis.notation import percent, shorten, signed
from qanalysis.training.state import KINDS

#: Layers in a map and in the raster; of more the first, with the one in view among them.
MOST_LAYERS = 24
#: Dots and crosses of the raster: plotly takes half a second for each ten thousand.
MOST_DOTS, MOST_CROSSES = 4_000, 3_000
FEW_CROSSES = 300  # of a rule, that are drawn large
_ROW = 26  # pixels
_HEADER = 72  # of the top margin, that title and subtitle take


@dataclass(frozen=True, slots=True)
class Measure:
    """What a cell of the map tells of a series: its name, a phrase on it, the number, how that is written, whether it
    depends on the rule; and for shares, which begin at 0, the form of their ticks.
    """

    label: str
    meaning: str
    find: Callable[[RuleLine], float]
    write: Callable[[float], str]
    of_rule: bool = True
    form: str = ""


def _write_tenths(value: float) -> str:
    return signed(value, ".1f")


def _write_share(value: float) -> str:
    return percent(value, digits=2)


def _find_peak(one: RuleLine) -> float:
    known = one.absmax[np.isfinite(one.absmax) & (one.absmax > 0)]
    return float(np.log2(known.max())) if known.size else math.nan


def _find_clipped(one: RuleLine) -> float:
    known = one.clipped[np.isfinite(one.clipped)]
    return float(known.mean()) if known.size else math.nan


def _find_sqnr(one: RuleLine) -> float:
    """From the energies summed over the steps that tell all three."""
    errors = one.rounding_energy + one.clipped_energy
    known = np.isfinite(errors) & (one.signal > 0)
    signal, error = float(one.signal[known].sum()), float(errors[known].sum())
    if not signal:
        return math.nan
    return 10 * math.log10(signal / error) if error else math.inf


MEASURES: Mapping[str, Measure] = {
    "absmax": Measure("log2(absmax)", "of the largest |x| of all steps", _find_peak, _write_tenths, of_rule=False),
    "clipped": Measure("Clipped share", "mean over the steps, estimated", _find_clipped, _write_share, form=".2~%"),
    "sqnr": Measure("SQNR (dB)", "from the energies of all steps, estimated", _find_sqnr, _write_tenths),
}


def choose_layers(layers: Sequence[str], chosen: str) -> list[str]:
    """The layers that are drawn: all, or the first `MOST_LAYERS` with the chosen one in place of the last."""
    shown = list(layers[:MOST_LAYERS])
    if chosen in layers and chosen not in shown:
        shown[-1] = chosen
    return shown


def series_map(
    tracked: Tracked, rule: int, measure: str, chosen: SeriesName, *, theme: Theme = "light"
) -> Drawing:  # fmt: skip
    """Layers downwards by the kinds that the log has, coloured by `measure` (a key of MEASURES) under the rule at
    place `rule`; a click chooses the series, the chosen one is framed.

    Of several groups the largest absmax, the largest share and the lowest SQNR counts. Cells without a value are empty.
    """
    told = MEASURES[measure]
    layers = choose_layers(tracked.layers, chosen.layer)
    kinds: list[str] = [kind for kind in KINDS if any(one.kind == kind for one in tracked.series)]
    values = np.full((len(layers), len(kinds)), np.nan)
    for name in tracked.series:
        if name.layer in layers:
            cell = layers.index(name.layer), kinds.index(name.kind)
            one = tracked.follow(name, rule)
            found = math.nan if one is None else told.find(one)
            values[cell] = (np.fmin if measure == "sqnr" else np.fmax)(values[cell], found)
    labels = label_layers(layers, 24)
    more = len(tracked.layers) - len(layers)
    under = f" under {tracked.rules[rule]}" if told.of_rule else ""
    note = f" · {len(layers)} of {len(tracked.layers)} layers" if more else ""
    return draw(
        _draw_cells(values, layers, kinds, told),
        f"{told.label}{escape(shorten(under, LABEL + 7))}",
        theme,
        subtitle=f"{told.meaning} · a click chooses{note}",
        alt=_describe(values, layers, kinds, told) + (f" Rule: {tracked.rules[rule]}." if told.of_rule else ""),
        height=max(260, _HEADER + 60 + _ROW * len(layers)),
        margin={"t": _HEADER + 44, "b": 12, "l": 12, "r": 12},
        showlegend=False,
        xaxis=_still(kinds, kinds) | {"side": "top", "range": [-0.5, len(kinds) - 0.5], "tickangle": 0},
        yaxis=_still([labels[layer] for layer in layers], layers) | {"range": [len(layers) - 0.5, -0.5]},
        shapes=_frame_cell(layers, kinds, chosen, theme),
    )


def _draw_cells(values: Doubles, layers: Sequence[str], kinds: Sequence[str], told: Measure) -> list[dict[str, Any]]:
    """The heat map with its values written in, where there is room."""
    finite = values[np.isfinite(values)]
    shown = np.where(np.isinf(values), finite.max(initial=0.0), values)
    texts = [["" if math.isnan(value) else told.write(value) for value in row] for row in values.tolist()]
    cells = [
        [[layer, kind, _to_plain(values[row, column])] for column, kind in enumerate(kinds)]
        for row, layer in enumerate(layers)
    ]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = 0.0 if told.form else low
    high = max(high, low + (0.01 if told.form else 1.0))
    bar = {"thickness": 12, "outlinewidth": 0, "tickformat": told.form}
    return [
        {
            "type": "heatmap", "z": shown, "zmin": low, "zmax": high, "x0": 0, "dx": 1, "y0": 0, "dy": 1,
            "text": texts, "texttemplate": "%{text}", "customdata": cells,
            "colorscale": MAGNITUDE, "colorbar": bar, "xgap": 1, "ygap": 1, "hoverongaps": False,
            "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>%{text}<extra></extra>",
            "textfont": {"size": 11}, "showlegend": False, "meta": ["Layer", "Kind", told.label],
        }
    ]  # fmt: skip


def _to_plain(value: float) -> float | str | None:
    """A value as JSON has it: nothing for NaN, a word for infinity."""
    if math.isfinite(value):
        return float(value)
    return None if math.isnan(value) else "∞"


def _frame_cell(layers: Sequence[str], kinds: Sequence[str], chosen: SeriesName, theme: Theme) -> list[dict[str, Any]]:
    if chosen.layer not in layers or chosen.kind not in kinds:
        return []
    x, y = kinds.index(chosen.kind), layers.index(chosen.layer)
    pen = {"color": PALETTES[theme].clipped, "width": 3}
    return [
        {
            "name": "mark-cell", "type": "rect", "x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5,
            "xref": "x", "yref": "y", "line": pen,
        }
    ]  # fmt: skip


def _still(labels: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """An axis of names that can not be zoomed; names of gradients take two lines."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(label).replace("-gradient", "<br>gradient") for label in labels],
        "showgrid": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "tickfont": {"size": 12},
    }


def _describe(values: Doubles, layers: Sequence[str], kinds: Sequence[str], told: Measure) -> str:
    """The alternative text: how much there is, and the extremes."""
    what = f"{told.label} of {count_of(len(layers), 'layer')} by {count_of(len(kinds), 'kind')}"
    known = np.isfinite(values)
    if not known.any():
        return f"{what}: no value is known."
    ends = []
    for word, at in (("lowest", np.nanargmin), ("highest", np.nanargmax)):
        row, column = divmod(int(at(np.where(known, values, np.nan))), len(kinds))
        ends.append(f"{word} {told.write(float(values[row, column]))} in {layers[row]} {kinds[column]}")
    return f"{what}: {', '.join(ends)}."


def check_raster(tracked: Tracked, chosen: SeriesName, *, theme: Theme = "light") -> Drawing:
    """When each rule looked (dots) and moved something (crosses), a lane for each rule within each layer that has the
    kind and group in view; a click on a cross chooses its step.

    Of more than MOST_DOTS checks, and of a rule's share of MOST_CROSSES changes, every so-manieth is drawn, which is
    then said.
    """
    names = [one for one in tracked.series if one[1:] == chosen[1:]]
    layers = choose_layers([one.layer for one in names], chosen.layer)
    rules = len(tracked.rules)
    lanes = [
        (row + (one.place - (rules - 1) / 2) * 0.8 / rules, one, layer)
        for row, layer in enumerate(layers)
        for one in tracked.lines(SeriesName(layer, chosen.kind, chosen.group))
    ]
    checks = sum(int(one.checked.sum()) for _, one, _ in lanes)
    moves = [sum(one.moves.size for _, one, _ in lanes if one.place == place) for place in range(rules)]
    changes = sum(moves)
    every_dot = -(-checks // MOST_DOTS) or 1
    every_cross = [-(-count * rules // MOST_CROSSES) or 1 for count in moves]
    labels = label_layers(layers, 24)
    thinned = f" · one check of {every_dot} is drawn" if every_dot > 1 else ""
    for rule, every in zip(tracked.rules, every_cross, strict=True):
        thinned += f" · one change of {every} of {escape(shorten(rule, LABEL))}" if every > 1 else ""
    extent = count_of(len(layers), "layer")
    told = f"{count_of(checks, 'check')}, {count_of(changes, 'change')}"
    steps = lanes[0][1].step
    room = max(float(np.ptp(steps)) * 0.015, 0.5)
    return draw(
        [
            trace
            for place in range(rules)
            for trace in _draw_lanes(lanes, place, (every_dot, every_cross[place]), theme)
        ],
        "Checks (dots) and changes (crosses)",
        theme,
        subtitle=f"{escape(chosen.kind)} of {extent}: {told}{thinned}",
        alt=f"Of the {chosen.kind} of {extent} under {count_of(rules, 'rule')}: {told}.",
        height=max(300, _HEADER + 60 + max(_ROW, 10 * rules) * len(layers)),
        margin={"t": _HEADER + 12, "b": 48, "l": 12, "r": 20},
        xaxis={
            "title": {"text": "Step"},
            "range": [float(steps.min()) - room, float(steps.max()) + room],
            "exponentformat": "none",
        },
        yaxis=_still([labels[layer] for layer in layers], layers) | {"range": [len(layers) - 0.5, -0.5]},
    )


def _draw_lanes(
    lanes: Sequence[tuple[float, RuleLine, str]], place: int, every: tuple[int, int], theme: Theme
) -> list[dict[str, Any]]:
    """The dots and the crosses of one rule over all layers."""
    own = [lane for lane in lanes if lane[1].place == place]
    if not own:
        return []
    name = escape(shorten(own[0][1].rule, LABEL))
    colour = pen_of(place, theme)["color"]
    dots = [(height, one, np.flatnonzero(one.checked)[:: every[0]]) for height, one, _ in own]
    crosses = [(height, one, layer, one.moves[:: every[1]]) for height, one, layer in own]
    traces = [
        line(
            x=np.concatenate([one.step[rows] for _, one, rows in dots]).astype(np.float64),
            y=np.concatenate([np.full(rows.size, height) for height, _, rows in dots]),
            mode="markers",
            name=name,
            marker={"size": 4, "color": colour, "symbol": "circle"},
            hovertemplate=f"step %{{x}}: checked<extra>{name}</extra>",
        )
    ]
    told = [(layer, int(one.step[row]), str(one.event[row])) for _, one, layer, rows in crosses for row in rows]
    if told:
        size = 9 if len(told) < FEW_CROSSES else 5
        traces.append(
            line(
                x=np.array([step for _, step, _ in told], np.float64),
                y=np.concatenate([np.full(rows.size, height) for height, _, _, rows in crosses]),
                mode="markers",
                name=f"changed: {name}",
                showlegend=False,
                marker={"size": size, "color": colour, "symbol": "x-thin", "line": {"width": 2, "color": colour}},
                text=[f"{escape(layer)}: {escape(event)}" for layer, _, event in told],
                customdata=[{"step": step} for _, step, _ in told],
                hovertemplate=f"step %{{x}}, %{{text}}<extra>{name}</extra>",
            )
        )
    return traces
