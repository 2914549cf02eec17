"""What would each rule have done to one series? Range over absmax, precision, clipping and error energy, step by step.

Lines of rules are those of their place: the same colour and dash in every chart. A vertical mark shows the step in
view; it is no part of a figure but of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import DASHES, PALETTES, Theme, climb
from qanalysis.charts.tracked import MOST_PER_LINE, MOST_POINTS, RuleLine, SeriesName, thin
from qanalysis.charts.wording import count_of, escape
from qanalysis.notation import percent, plain, shorten

LABEL = 44  # letters of a rule in a legend
#: Steps with their own marker for a change on one line; more would hide the line.
MOST_MARKERS = 150
#: Powers of ten on the axis of energies: what lies below matters to nobody.
MOST_DECADES = 8
#: Steps whose absmax has a dot each.
FEW = 60
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_STEPPED = {"shape": "hv"}
_MARGIN = {"t": 84, "b": 48, "l": 64, "r": 20}


def range_chart(lines: Sequence[RuleLine], name: SeriesName, *, theme: Theme = "light") -> Drawing:
    """Absmax per step on a log2 axis, the largest magnitude that each rule's range holds (pos) as step lines, and
    triangles where a rule moved it, up or down, with the reason on hover.

    `lines` are the rules over the series `name`, at least one. Zeros and what is not finite have no place on the axis:
    they are counted in the subtitle.
    """
    colours, seen = PALETTES[theme], lines[0]
    shown = _positive(seen.absmax)
    hidden = int(np.isnan(shown).sum())
    places = thin(shown, _most(lines))
    grey = {"color": colours.muted, "width": 1.5}
    hover = "step %{x}<br>absmax %{y:.4g}<extra></extra>"
    look = {"mode": "lines+markers" if places.size <= FEW else "lines", "marker": {"size": 5, "color": colours.muted}}
    traces = [line(x=_steps(seen, places), y=shown[places], name="absmax", line=grey, hovertemplate=hover, **look)]
    for one in lines:
        traces += [_draw_steps(one, one.reach, theme, lines, "pos %{y:.4g}"), *_draw_moves(one, theme)]
    told = "changes: " + ", ".join(map(_tell_moves, lines))
    if hidden:
        told += f" · {hidden} of {shown.size} steps without a magnitude above 0 are not drawn"
    return draw(
        traces,
        f"{escape(str(name))}: absmax and pos of each rule",
        theme,
        subtitle=told + _tell_thinned(seen.step.size, lines),
        alt=f"absmax of {name} over {count_of(seen.step.size, 'step')}, from {_span(shown)}; {_tell_changes(lines)}.",
        height=420,
        margin=_MARGIN,
        xaxis=_step_axis(seen.step),
        yaxis=_power_axis("Magnitude (log2 axis)", [shown, *(one.reach for one in lines)]),
    )


def precision_chart(lines: Sequence[RuleLine], name: SeriesName, *, theme: Theme = "light") -> Drawing:
    """The exponent s = log2(step) of each rule over the steps, whole where the step is a power of two; and below it
    the width in bits, where any rule changes it or they differ.
    """
    first = lines[0]
    widths = {width for one in lines for width in np.unique(one.bits[~np.isnan(one.bits)]).tolist()}
    traces = [
        _draw_steps(one, one.exponent, theme, lines, "s = %{y:.4g}, step %{customdata:.4g}", custom=one.step_size)
        for one in lines
    ]
    axes: dict[str, Any] = {"yaxis": {"title": {"text": "s = log2(step)"}, "domain": [0, 1], **_whole(lines)}}
    if len(widths) > 1:
        traces += [
            _draw_steps(one, one.bits, theme, lines, "%{y} bit") | {"yaxis": "y2", "showlegend": False}
            for one in lines
        ]  # fmt: skip
        axes["yaxis"]["domain"] = [0.36, 1]
        axes["yaxis2"] = {"title": {"text": "Width (bit)"}, "domain": [0, 0.26], "exponentformat": "none"}
    told = f"{plain(min(widths))} to {plain(max(widths))} bit" if len(widths) > 1 else ""
    told = told or (f"{plain(widths.pop())} bit throughout" if widths else "no width")
    ends = f"s lies in {_span(np.concatenate([one.exponent for one in lines]))}"
    return draw(
        traces,
        "Precision: the exponent s, or log2 of f",
        theme,
        subtitle=f"{told} · {ends}" + _tell_thinned(first.step.size, lines),
        alt=f"Exponent of the step of {name} under {count_of(len(lines), 'rule')}: {ends}, {told}.",
        height=380,
        margin=_MARGIN,
        xaxis={**_step_axis(first.step), **({"anchor": "y2"} if len(widths) > 1 else {})},
        **axes,
    )


def clipped_chart(lines: Sequence[RuleLine], name: SeriesName, *, theme: Theme = "light") -> Drawing:
    """The share of values beyond the range, in percent, under each rule; estimated unless the log counted it."""
    known = [one for one in lines if np.isfinite(one.clipped).any()]
    traces = [_draw_steps(one, 100 * one.clipped, theme, lines, "%{y:.4g} % clipped", flat=True) for one in known]
    if not traces:
        return _lack("No clipped share is known.", "Choose a log with mean and std of |x| to see it.", theme)
    largest = max(float(np.nanmax(one.clipped)) for one in known)
    worst = max(known, key=lambda one: float(np.nanmean(one.clipped)))
    mean = f"{percent(float(np.nanmean(worst.clipped)))} on average under {worst.rule}"
    return draw(
        traces,
        "Clipped share",
        theme,
        subtitle=f"{_tell_lines(known)} · at most {percent(largest)}" + _tell_thinned(lines[0].step.size, lines),
        alt=f"Share of {name} beyond the range: at most {percent(largest)}, {mean}.",
        height=380,
        margin=_MARGIN,
        xaxis=_step_axis(lines[0].step),
        yaxis={"title": {"text": "Clipped (%)"}, "range": [0, climb(100 * largest)], "ticksuffix": " %"},
    )


def energy_chart(lines: Sequence[RuleLine], name: SeriesName, *, theme: Theme = "light") -> Drawing:
    """Rounding (dotted) and clipped energy (solid) over the signal's per step and rule, on a log axis; mean squares in
    the square of the data's unit where mean and std of |x| are not known.
    """
    related = any(np.isfinite(one.relate(one.rounding_energy)).any() for one in lines)
    traces, values = [], []
    for one in lines:
        for what, energy in (("rounding", one.rounding_energy), ("clipped", one.clipped_energy)):
            shown = _positive(one.relate(energy) if related else energy)
            if np.isnan(shown).all():
                continue
            values.append(shown)
            text = f"{what} %{{y:.3g}}"
            trace = _draw_steps(one, shown, theme, lines, text, label=f"{what}: {one.rule}", flat=True)
            trace["line"] |= {"dash": "dot"} if what == "rounding" else {"dash": "solid"}
            traces.append(trace)
    if not traces:
        return _lack("No error energy is known.", "Choose a log with mean and std of |x| to see it.", theme)
    unit = "over the signal's" if related else "mean square"
    what = f"Rounding and clipped energy of {name} under {count_of(len(lines), 'rule')}, {unit}"
    return draw(
        traces,
        "Error energy: rounding dotted, clipped solid",
        theme,
        subtitle=f"{unit}; {_tell_lines(lines)}" + _tell_thinned(lines[0].step.size, lines),
        alt=f"{what}: {_span(np.concatenate(values))}.",
        height=380,
        margin=_MARGIN,
        xaxis=_step_axis(lines[0].step),
        yaxis={
            "title": {"text": "Energy (over the signal's)" if related else "Energy (mean square)"},
            **_decades(values),
        },
    )


def block_charts(
    counts: Mapping[int, Doubles], steps: Codes, wanted: Sequence[int], *, theme: Theme = "light"
) -> list[Drawing]:
    """How many blocks of the tensor have the scale 2^e, by exponent e: a bar chart for each step of `wanted`, with the
    same axes at all of them.

    `counts` by exponent, (steps,) each, at least one; a step that is not among `steps` shows none.
    """
    exponents = np.arange(min(counts), max(counts) + 1)
    table = np.stack([counts.get(int(e), np.zeros(steps.size)) for e in exponents], axis=1)
    table = np.nan_to_num(table)
    top = climb(float(table.max(initial=0)))
    return [_draw_blocks(exponents, _row_at(table, steps, step), step, top, theme) for step in wanted]


def _draw_blocks(exponents: Codes, blocks: Doubles, step: int, top: float, theme: Theme) -> Drawing:
    total = float(blocks.sum())
    most = int(exponents[int(blocks.argmax())])
    told = f"{plain(total)} blocks, most at {power_of_two(most)}" if total else "no block scale was recorded here"
    bar = {
        "type": "bar", "x": exponents.astype(np.float64), "y": blocks.astype(np.float64), "showlegend": False,
        "marker": {"color": PALETTES[theme].kept},
        "hovertemplate": "scale 2^%{x}<br>%{y} blocks<extra></extra>",
    }  # fmt: skip
    return draw(
        [bar],
        "Block scales at the step in view",
        theme,
        subtitle=told,
        alt=f"Histogram of block scales at step {step}: {told}.",
        height=380,
        margin=_MARGIN,
        showlegend=False,
        bargap=0.15,
        xaxis={"title": {"text": "Exponent e of the scale 2^e"}, "dtick": max(1, exponents.size // 16)},
        yaxis={"title": {"text": "Blocks (count)"}, "range": [0, top], "exponentformat": "none"},
    )


def mark_step(step: int, *, theme: Theme = "light") -> dict[str, Any]:
    """What marks the step in view on a chart over steps, for the panel's changes."""
    pen = {"color": PALETTES[theme].text, "width": 1.5, "dash": "dot"}
    ends = {"x0": step, "x1": step, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    return {"marks": {"shapes": [{"name": "mark-step", "type": "line", "line": pen, **ends}], "annotations": []}}


def power_of_two(exponent: float) -> str:
    """A power of two as a label, with up to two decimals of the exponent.

    >>> power_of_two(-7), power_of_two(3)
    ('2⁻⁷', '2³')
    """
    return f"2{f'{exponent:g}'.translate(_SUPERSCRIPTS)}"


def pen_of(place: int, theme: Theme) -> dict[str, Any]:
    """Colour and dash of the rule at a place."""
    colours = PALETTES[theme].categories
    return {"color": colours[place % len(colours)], "dash": DASHES[place % len(DASHES)], "width": 2}


def _draw_steps(
    one: RuleLine,
    values: Doubles,
    theme: Theme,
    lines: Sequence[RuleLine],
    told: str,
    *,
    label: str = "",
    custom: Doubles | None = None,
    flat: bool = False,
) -> dict[str, Any]:
    """A line of a rule, stepped unless `flat`, thinned; `told` is what hover says of a point."""
    places = thin(values, _most(lines))
    name = escape(shorten(label or one.rule, LABEL))
    return line(
        x=_steps(one, places),
        y=values[places].astype(np.float64),
        customdata=None if custom is None else custom[places],
        name=name,
        mode="lines",
        line=pen_of(one.place, theme) | ({} if flat else _STEPPED),
        hovertemplate=f"step %{{x}}<br>{told}<extra>{name}</extra>",
    )


def _draw_moves(one: RuleLine, theme: Theme) -> list[dict[str, Any]]:
    """Triangles where the rule changed something, up or down; a click chooses the step."""
    places = one.events
    if not places.size:
        return []
    places = places[:: _every(places.size)]
    before = one.reach[np.maximum(places - 1, 0)]
    rises = one.reach[places] >= before
    marker = {
        "size": 10,
        "color": pen_of(one.place, theme)["color"],
        "line": {"width": 1, "color": PALETTES[theme].text},
    }
    return [
        line(
            x=_steps(one, chosen),
            y=one.reach[chosen],
            mode="markers",
            marker=marker | {"symbol": symbol},
            text=[escape(str(event)) for event in one.event[chosen]],
            customdata=[{"step": int(step)} for step in one.step[chosen]],
            name=f"{word}: {escape(shorten(one.rule, LABEL))}",
            showlegend=False,
            hovertemplate="step %{x}: %{text}<extra></extra>",
        )
        for chosen, symbol, word in (
            (places[rises], "triangle-up", "up"),
            (places[~rises], "triangle-down", "down"),
        )
        if chosen.size
    ]


def _every(count: int) -> int:
    """Of how many changes one has a marker."""
    return max(1, -(-count // MOST_MARKERS))


def _tell_moves(one: RuleLine) -> str:
    every = _every(one.events.size)
    marked = f" (one of {every} marked)" if every > 1 else ""
    return f"{one.moves.size:,} {escape(shorten(one.rule, LABEL))}{marked}"


def _steps(one: RuleLine, places: Codes) -> Any:
    """Steps as an axis takes them: the packed arrays of a figure have no 64-bit integers."""
    return one.step[places].astype(np.float64)


def _most(lines: Sequence[RuleLine]) -> int:
    return min(MOST_PER_LINE, MOST_POINTS // (2 * len(lines) + 1))


def _tell_thinned(count: int, lines: Sequence[RuleLine]) -> str:
    """What is to be said where not every step is drawn."""
    run = -(-count // max(_most(lines) // 2, 1))
    return f" · of each {run} steps the lowest and the highest are drawn" if count > _most(lines) else ""


def tell_source(words: Iterable[str]) -> str:
    """How energies and clipped shares were found, from what rows say of it in `energy_by`.

    >>> tell_source(["gamma law", "gamma law; clipping exact", ""]), tell_source(["exact"]), tell_source([])
    ('estimated by a gamma law of |x|', 'exact', 'not known')
    """
    known = sorted({word for word in words if word})
    if any(word.startswith("gamma law") for word in known):
        return "estimated by a gamma law of |x|"
    return "; ".join(known) or "not known"


def _tell_lines(lines: Sequence[RuleLine]) -> str:
    return escape(tell_source(word for one in lines for word in one.energy_by.tolist()))


def _tell_changes(lines: Sequence[RuleLine]) -> str:
    return "; ".join(f"{one.rule}: {count_of(one.moves.size, 'change')}" for one in lines)


def _positive(values: Doubles) -> Doubles:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _span(values: Doubles) -> str:
    """The lowest and the highest finite value, in words."""
    known = values[np.isfinite(values)]
    return f"{plain(float(known.min()))} to {plain(float(known.max()))}" if known.size else "no value"


def _step_axis(steps: Codes) -> dict[str, Any]:
    """The axis of steps, from the first to the last with a little room."""
    low, high = int(steps.min()), int(steps.max())
    room = max((high - low) * 0.015, 0.5)
    return {"title": {"text": "Step"}, "range": [low - room, high + room], "exponentformat": "none"}


def _power_axis(title: str, columns: Sequence[Doubles]) -> dict[str, Any]:
    """A log axis whose ticks are powers of two."""
    values = np.concatenate([_positive(column) for column in columns])
    known = values[~np.isnan(values)]
    low, high = (np.log2(known.min()), np.log2(known.max())) if known.size else (0.0, 1.0)
    first, last = int(np.floor(low - 0.1)), int(np.ceil(high + 0.1))
    every = max(1, (last - first) // 8)
    ticks = list(range(first, last + 1, every))
    return {
        "title": {"text": title},
        "type": "log",
        "range": [first * np.log10(2.0), last * np.log10(2.0)],
        "tickmode": "array",
        "tickvals": [2.0**tick for tick in ticks],
        "ticktext": [power_of_two(tick) for tick in ticks],
    }


def _decades(columns: Sequence[Doubles]) -> dict[str, Any]:
    """A log axis from one power of ten to another."""
    known = np.log10(np.concatenate([column[~np.isnan(column)] for column in columns]))
    low, high = int(np.floor(known.min())), int(np.ceil(known.max()))
    high = max(high, low + 1)
    low = max(low, high - MOST_DECADES)
    return {"type": "log", "range": [low, high], "dtick": max(1, -(-(high - low) // 8)), "exponentformat": "power"}


def _whole(lines: Sequence[RuleLine]) -> dict[str, Any]:
    """Ticks of an axis of exponents: whole ones, at most about ten."""
    values = np.concatenate([one.exponent for one in lines])
    known = values[np.isfinite(values)]
    span = float(np.ptp(known)) if known.size else 1.0
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return {"dtick": max(1, int(np.ceil(span / 10))), "range": [low - 0.5, high + 0.5], "exponentformat": "none"}


def _row_at(table: Doubles, steps: Codes, step: int) -> Doubles:
    hits = np.flatnonzero(steps == step)
    return table[hits[0]] if hits.size else np.zeros(table.shape[1])


def _lack(message: str, next_step: str, theme: Theme) -> Drawing:
    """A chart without data that says what is missing and what to do."""
    note = {
        "text": next_step, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False,
        "font": {"size": 14, "color": PALETTES[theme].muted},
    }  # fmt: skip
    still = {"visible": False, "fixedrange": True}
    return draw(
        [], message, theme, alt=f"{message} {next_step}", height=260, annotations=[note], xaxis=still, yaxis=still
    )
