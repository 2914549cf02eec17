"""Which layers hurt most, and how sure is that? Ranked bars with intervals, groups that can not be told apart, and what
happens along the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import PALETTES, Theme, fade
from qanalysis.charts.sensitivity_sheet import (
    COLUMNS,
    MEASURES,
    Look,
    Sheet,
    find_ends,
    is_logarithmic,
    tell_interval,
    tell_value,
)
from qanalysis.charts.wording import count_of, escape, label_layers
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import shorten

MOST_BARS = 40
FEW_LAYERS = 8
"""Names of so many layers fit below a curve; those of more stand upright and need room."""
_ROW = 22  # pixels
_HEADER = 72
_LABEL = 30


def ranked_bars(sheet: Sheet, look: Look, *, theme: Theme = "light") -> Drawing | None:
    """The layers that hurt most as bars with their 95 % intervals, the worst on top; None where no row has the figure.

    Layers of one tie group share a shade and a rank, and a bracket beside them; where ranks go by another measure there
    are none. A stroke over each bar is the layer's own noise floor; beyond it a figure can not be told from one
    rounding. A click on a bar chooses its layer.
    """
    ranked = sheet.rank(look)
    if not ranked:
        return None
    shown, metric = ranked[:MOST_BARS], look.metric
    labels = _label_bars(shown, look, numbered=sheet.is_ranked(look))
    values = [float(getattr(row, metric)) for row in shown]
    ends = [find_ends(row, metric) for row in shown]
    floors = [sheet.find_floor(metric, row.tensor) for row in shown]
    log = is_logarithmic([*values, *(floor for floor in floors if floor is not None)])
    left_out = f" · the worst {len(shown)} of {len(ranked)}" if len(ranked) > len(shown) else ""
    tied = " · layers with a bracket can not be told apart" if sheet.find_ties(shown, look) else ""
    traces = _draw_bars(shown, labels, values, ends, look, sheet, theme, log=log)
    traces += _draw_floors(floors, labels, metric, theme)
    return draw(
        traces,
        f"{MEASURES[metric].label} by layer, {_first(metric)} first",
        theme,
        subtitle=f"{escape(look.convention)}{tell_floor(sheet, metric)}{tied}{left_out}",
        alt=_describe(shown, look, sheet),
        height=max(420, _HEADER + 92 + _ROW * len(shown)),
        margin={"t": _HEADER + 12, "b": 52, "l": 12, "r": 24},
        barmode="overlay",
        bargap=0.28,
        xaxis={
            "title": {"text": name_axis(metric)},
            **_scale([*values, *(floor for floor in floors if floor is not None)], ends, log=log),
        },
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": labels[::-1], "fixedrange": True}
        | {"showgrid": False, "ticks": "", "tickfont": {"size": 12}},
        shapes=_bracket_ties(shown, look, sheet, theme),
        showlegend=True,
    )


def _first(metric: str) -> str:
    return "the lowest" if MEASURES[metric].better == "higher" else "the largest"


def name_axis(metric: str) -> str:
    """A measure with its unit, as an axis is titled.

    >>> name_axis("output_sqnr_db"), name_axis("accuracy")
    ('Output SQNR (dB)', 'Accuracy (share)')
    """
    column = COLUMNS[metric]
    return f"{column.label} ({'share' if column.share else column.unit or 'ratio'})"


def tell_floor(sheet: Sheet, metric: str) -> str:
    """The end of a subtitle that tells where noise begins: from the loudest to the quietest layer's; "" where that is
    not known.
    """
    span = sheet.span_floors(metric)
    if span is None:
        return ""
    loudest, quietest = (tell_value(metric, end) for end in span)
    return f" · noise floor {loudest}" + (f" to {quietest}" if quietest != loudest else "")


def _label_bars(rows: Sequence[SensitivityRow], look: Look, *, numbered: bool) -> list[str]:
    """The names of the layers with their ranks, that of the layer in view in bold."""
    names = label_layers([row.tensor for row in rows], _LABEL)
    labels = [f"{escape(names[row.tensor])}{f'  {row.rank}' if numbered else ''}" for row in rows]
    return [f"<b>{one}</b>" if row.tensor == look.layer else one for one, row in zip(labels, rows, strict=True)]


def _draw_bars(
    rows: Sequence[SensitivityRow],
    labels: Sequence[str],
    values: Sequence[float],
    ends: Sequence[tuple[float, float] | None],
    look: Look,
    sheet: Sheet,
    theme: Theme,
    *,
    log: bool,
) -> list[dict[str, Any]]:
    """Full bars for layers that are told apart, two lighter shades in turn for groups that are not."""
    colours = PALETTES[theme]
    shades = [0] * len(rows)
    for turn, (first, last) in enumerate(sheet.find_ties(rows, look)):
        shades[first : last + 1] = [1 + turn % 2] * (last + 1 - first)
    looks = (colours.kept, fade(colours.kept, 0.6), fade(colours.kept, 0.35))
    traces = []
    for shade, colour in enumerate(looks):
        places = [place for place, own in enumerate(shades) if own == shade]
        if not places:
            continue
        spans = [_spread(values[place], ends[place], log=log) for place in places]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "x": [values[place] for place in places],
                "y": [labels[place] for place in places],
                "name": "told apart" if shade == 0 else "tied",
                "showlegend": False,
                "marker": {"color": colour, "line": {"width": 0}},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high for _, high in spans],
                    "arrayminus": [low for low, _ in spans],
                    "color": colours.text,
                    "thickness": 1.4,
                    "width": 4,
                },
                "customdata": [[rows[place].tensor, rows[place].scheme] for place in places],
                "text": [_tell_bar(rows[place], look) for place in places],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _tell_bar(row: SensitivityRow, look: Look) -> str:
    own = f"<b>{escape(shorten(row.tensor, 60))}</b><br>{MEASURES[look.metric].label} {tell_interval(row, look.metric)}"
    ranked = "" if row.rank is None else f"<br>rank {row.rank}"
    return f"{own}{ranked}<br>{escape(row.scheme)}, {row.samples:,} samples"


def _spread(value: float, ends: tuple[float, float] | None, *, log: bool) -> tuple[float, float]:
    """How far an interval reaches to both sides of its figure; on a logarithmic axis not below a thousandth of it."""
    if ends is None or not all(map(math.isfinite, (value, *ends))):
        return 0.0, 0.0
    low, high = ends
    low = max(low, value / 1000) if log else low
    return max(value - low, 0.0), max(high - value, 0.0)


def _scale(values: Sequence[float], ends: Sequence[tuple[float, float] | None], *, log: bool) -> dict[str, Any]:
    """The axis of the figures: from 0, or logarithmic from below the least one."""
    known = [*values, *(end for pair in ends if pair for end in pair)]
    finite = [value for value in known if math.isfinite(value)] or [0.0, 1.0]
    if log:
        positive = [value for value in finite if value > 0]
        low, high = math.log10(min(positive)), math.log10(max(positive))
        room = 0.06 * (high - low) + 0.05
        return {"type": "log", "range": [low - room, high + room], "dtick": 1 if high - low > 2 else None}
    low, high = min(*finite, 0.0), max(*finite, 0.0)
    room = 0.05 * (high - low) or 1.0
    return {"range": [low - room if low < 0 else 0.0, high + room if high > 0 else 0.0]}


def _draw_floors(
    floors: Sequence[float | None], labels: Sequence[str], metric: str, theme: Theme
) -> list[dict[str, Any]]:
    """The noise floor of each layer as a stroke over its bar."""
    known = [(floor, label) for floor, label in zip(floors, labels, strict=True) if floor is not None]
    if not known:
        return []
    colour = PALETTES[theme].clipped
    return [
        line(
            x=[floor for floor, _ in known],
            y=[label for _, label in known],
            mode="markers",
            name="noise floor of the layer",
            marker={"symbol": "line-ns", "size": 17, "color": colour, "line": {"color": colour, "width": 2.5}},
            text=[tell_value(metric, floor) for floor, _ in known],
            hovertemplate="noise floor %{text}: one bfloat16 rounding of the weight, or another order of batches"
            "<extra></extra>",
        )
    ]


def _bracket_ties(rows: Sequence[SensitivityRow], look: Look, sheet: Sheet, theme: Theme) -> list[dict[str, Any]]:
    """A line at the left of the bars for each group of layers that can not be told apart."""
    shapes = []
    for first, last in sheet.find_ties(rows, look):
        top, bottom = len(rows) - 1 - first, len(rows) - 1 - last
        place = {"xref": "paper", "yref": "y", "x0": 1.006, "x1": 1.006, "y0": bottom - 0.36, "y1": top + 0.36}
        shapes.append({"type": "line", "line": {"color": PALETTES[theme].muted, "width": 3}, **place})
    return shapes


def _describe(rows: Sequence[SensitivityRow], look: Look, sheet: Sheet) -> str:
    worst, metric = rows[0], look.metric
    told = f"{MEASURES[metric].label} of {count_of(len(rows), 'layer')}, {look.convention}"
    told += f": {worst.tensor} hurts most with {tell_interval(worst, metric)}"
    ties = len(sheet.find_ties(rows, look))
    told += f"; {count_of(ties, 'group')} of layers can not be told apart" if ties else ""
    return f"{told}{tell_floor(sheet, metric).replace(' · ', '; ')}."


def cumulative_curve(sheet: Sheet, look: Look, *, theme: Theme = "light") -> Drawing | None:
    """What becomes of the outputs as one layer after another is quantized, in the order of a run: a step per layer with
    its interval as a band; None where it was not measured.

    One line per scheme of the target in view, that of the scheme in view in front; a click on a point chooses its
    layer.
    """
    along = replace(look, mode="cumulative")
    followed = {scheme: _follow(sheet, replace(along, scheme=scheme)) for scheme in sheet.schemes_of(along)}
    lines = {scheme: rows for scheme, rows in followed.items() if rows}
    if not lines:
        return None
    metric = look.metric
    names = list(dict.fromkeys(row.tensor for rows in lines.values() for row in rows))
    labels = {name: escape(label) for name, label in label_layers(names, 24).items()}
    values = [float(getattr(row, metric)) for rows in lines.values() for row in rows]
    floors = {labels[name]: floor for name in names if (floor := sheet.find_floor(metric, name)) is not None}
    log = is_logarithmic([*values, *floors.values()])
    chosen = look.scheme if look.scheme in lines else next(iter(lines))
    traces = [
        trace
        for place, (scheme, rows) in enumerate(lines.items())
        for trace in _draw_line(rows, scheme, place, labels, metric, theme, band=scheme == chosen)
    ]
    if floors:
        traces.append(_follow_floors(floors, metric, theme))
    last = lines[chosen][-1]
    return draw(
        traces,
        f"{MEASURES[metric].label} along the model",
        theme,
        subtitle=f"all layers up to this one, in the order of a run{tell_floor(sheet, metric)}",
        alt=(
            f"{MEASURES[metric].label} as {count_of(len(names), 'layer')} are quantized one after another to {chosen}: "
            f"{tell_interval(last, metric)} with all of them."
        ),
        height=420 if len(names) <= FEW_LAYERS else 560,
        margin={"t": 90, "b": 60},
        xaxis={"type": "category", "categoryorder": "array", "categoryarray": [labels[name] for name in names]}
        | {"showgrid": False, "title": {"text": "Layers quantized up to (in the order of a run)"}},
        yaxis={"title": {"text": name_axis(metric)}, **({"type": "log"} if log else {})},
        showlegend=True,
    )


def _follow(sheet: Sheet, look: Look) -> list[SensitivityRow]:
    return [row for row in sheet.choose(look) if getattr(row, look.metric) is not None]


def _follow_floors(floors: dict[str, float], metric: str, theme: Theme) -> dict[str, Any]:
    """The noise floor of each layer as a dashed line along the model."""
    return line(
        x=list(floors),
        y=list(floors.values()),
        mode="lines",
        name="noise floor of the layer",
        line={"color": PALETTES[theme].clipped, "width": 2, "dash": "dash"},
        text=[tell_value(metric, floor) for floor in floors.values()],
        hovertemplate="%{x}<br>noise floor %{text}<extra></extra>",
    )


def _draw_line(
    rows: Sequence[SensitivityRow],
    scheme: str,
    place: int,
    labels: dict[str, str],
    metric: str,
    theme: Theme,
    *,
    band: bool,
) -> list[dict[str, Any]]:
    colours = PALETTES[theme].categories
    colour = colours[place % len(colours)]
    x = [labels[row.tensor] for row in rows]
    ends = [find_ends(row, metric) for row in rows]
    traces = []
    if band and all(ends):
        known = [pair for pair in ends if pair]
        traces.append(
            line(
                x=[*x, *x[::-1]],
                y=[*(high for _, high in known), *(low for low, _ in known[::-1])],
                mode="lines",
                fill="toself",
                fillcolor=fade(colour, 0.18),
                line={"width": 0},
                name="95 % interval",
                showlegend=False,
                hoverinfo="skip",
            )
        )
    traces.append(
        line(
            x=x,
            y=[float(getattr(row, metric)) for row in rows],
            mode="lines+markers",
            name=escape(scheme),
            line={"color": colour, "width": 2.5 if band else 1.5},
            marker={"color": colour, "size": 6, "symbol": ("circle", "square", "diamond", "x")[place % 4]},
            customdata=[[row.tensor, row.scheme] for row in rows],
            text=[tell_interval(row, metric) for row in rows],
            hovertemplate="%{x}<br>%{text}<extra>%{fullData.name}</extra>",
        )
    )
    return traces
