"""What does a converter make of its input? Its transfer curve with the error below it, code and error histograms, the
ledger of its errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, climb, empty_state, fade, finish, with_unit
from qanalysis.charts.wording import escape
from qanalysis.converters.converter import Converter
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.transfer import trace_transfer
from qanalysis.notation import in_percent, percent, plain, true_minus, volts
from qanalysis.quantizers.quantizer import FsOver

WHOLE_CODES = 64  # a converter of more codes is shown in part
NEAR_CODES = 8  # to each side of the point in view
MOST_BARS = 256
MOST_STEPS = 512
ERROR_BINS, ERROR_REACH = 120, 1.5


def transfer_curve(converter: Converter, *, at: float | None = None, theme: Theme = "light") -> go.Figure:
    """The staircase over the ideal line, and below it the error in LSB with the bounds +-LSB/2.

    All codes up to 6 bits; of finer converters NEAR_CODES codes to each side of `at` (an input in volts), by default
    of the middle, and always a little beyond an end. `at` is marked where it lies in that part; one beyond the range
    moves the view to that end.

    The subtitle gives the step in volts and the part, the alternative text the largest error in LSB within the range.
    """
    low, high = _choose_span(converter, at)
    x = _list_inputs(_find_edges(converter, low, high), low, high)
    whole = high - low > converter.high - converter.low
    part = "whole range" if whole else f"codes {int(converter.encode(low)):,} to {int(converter.encode(high)):,}"
    figure = _draw_transfer(converter, x, converter.round_trip(x), part, theme)
    if at is not None and low <= at <= high:
        result = float(converter.round_trip(at))
        marker = {"color": PALETTES[theme].clipped, "size": 10, "symbol": "diamond"}
        figure.add_scatter(
            x=[at],
            y=[result],
            mode="markers",
            name="input",
            marker=marker,
            hovertemplate="input %{x:.6g}<br>output %{y:.6g}<extra></extra>",
        )
    return figure


def resolution_curve(
    low: float, high: float, *, bits: Sequence[int], fs_over: FsOver = "2^n", theme: Theme = "light"
) -> go.Figure:
    """Step and half-step bound over a range, in volts, against the width, on a logarithmic axis.

    `bits` are the widths, ascending; `mark_width` marks one of them. The alternative text gives the first and the last
    step. ValueError for a range that a converter can not have.
    """
    colours = PALETTES[theme]
    steps = np.array([Converter(width, low, high, fs_over=fs_over).lsb for width in bits])
    room = np.array([-0.6, 0.3])  # decades: below for LSB/2, above for the point
    ends = (np.log10(steps[[-1, 0]]) + room).tolist()
    figure = begin(
        f"Step against bits over {volts(high - low, digits=4)}",
        theme,
        subtitle=f"LSB = FS/({fs_over})" if "-" in fs_over else f"LSB = FS/{fs_over}",
        height=300,
        xaxis={"title": {"text": "Bits"}, "range": [bits[0] - 0.5, bits[-1] + 0.5], "dtick": 4, "tick0": 0},
        yaxis={
            "title": {"text": "Step (V)"},
            "type": "log",
            "range": ends,
            "nticks": 6,
        },
        legend={"y": -0.24, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    hover = "%{x} bit: %{y:.6g} V<extra></extra>"
    line = {"color": colours.kept, "width": 2}
    figure.add_scatter(x=list(bits), y=steps, mode="lines+markers", name="step", line=line, hovertemplate=hover)
    line = {"color": colours.reference, "width": 1.5, "dash": "dash"}
    figure.add_scatter(x=list(bits), y=steps / 2, mode="lines", name="LSB/2", line=line, hovertemplate=hover)
    first, last = (volts(float(step), digits=4) for step in steps[[0, -1]])
    return finish(figure, f"Step against bits: {first} at {bits[0]} bit, {last} at {bits[-1]} bit.")


def mark_width(figure: go.Figure, bits: int) -> dict[str, Any]:
    """What marks a width on a figure of `resolution_curve`: a line, and the step that it says; in its words too.

    Nothing for a width that the figure does not hold.
    """
    if bits not in figure.data[0].x:
        return {}
    at = list(figure.data[0].x).index(bits)
    text = f"{bits} bit: {volts(float(figure.data[0].y[at]), digits=4)}"
    line = {"color": PALETTES["light"].clipped, "width": 1.5, "dash": "dot"}
    ends = {"x0": bits, "x1": bits, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    right = at < len(figure.data[0].x) / 2
    side = {"xanchor": "left", "xshift": 4} if right else {"xanchor": "right", "xshift": -4}
    place = {
        "x": bits,
        "xref": "x",
        "y": 1 if right else 0.02,
        "yref": "paper",
        "yanchor": "top" if right else "bottom",
    }
    return {
        "alt": f"{figure.layout.meta['alt']} In view: {text}.",
        "marks": {
            "shapes": [{"name": "mark-line", "type": "line", "line": line, **ends}],
            "annotations": [{"name": "mark-value", "text": text, "showarrow": False, **side, **place}],
        },
    }


def simulated_transfer(simulation: Simulation, *, theme: Theme = "light") -> go.Figure:
    """The same of a simulated converter, without its noise: the codes around the middle, and the whole range where it
    is not ideal.

    Inputs and outputs are in volts, the error in LSB. Of more than MOST_STEPS steps the extremes of the error are
    drawn, and the subtitle says so.
    """
    ideal = not (simulation.offset_lsb or simulation.gain_error_percent or simulation.inl)
    low, high = _choose_span(simulation.converter, None) if ideal else (None, None)
    curve = trace_transfer(simulation, low=low, high=high, most_steps=MOST_STEPS)
    part = f"{curve.steps:,} steps" if curve.complete else f"{curve.steps:,} steps, the extremes of each stretch"
    return _draw_transfer(simulation.converter, curve.x, curve.values, part, theme)


def _draw_transfer(converter: Converter, x: Doubles, y: Doubles, part: str, theme: Theme) -> go.Figure:
    """Inputs `x`, ascending, and outputs `y`, both in volts and of shape (points,); `part` says how much is shown."""
    error, step = (y - x) / converter.lsb, volts(converter.lsb, digits=4)
    colours, ends = PALETTES[theme], [float(x[0]), float(x[-1])]
    figure = begin(
        f"{converter.bits} bit, {escape(converter.transfer)}",
        theme,
        subtitle=f"step {step}, LSB = {converter.lsb_convention.replace('fs', 'FS')} ·<br>{part}",
        height=478,
        xaxis=with_unit("Input x (V)", anchor="y2", range=ends),
        yaxis=with_unit("Output y (V)", domain=[0.42, 1], range=_widen(ends)),
        yaxis2={
            "title": {"text": "Error (LSB)"},
            "domain": [0, 0.32],
            "range": _choose_range(error, x, converter),
            "zeroline": True,
        },
        legend={"y": -0.16, "yanchor": "top"},
        margin={"t": 90, "b": 84},
    )
    line = {"color": colours.reference, "dash": "dash", "width": 1.5}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="ideal line y = x", line=line)
    hover = "x = %{x:.6g}<br>y = %{y:.6g}<extra></extra>"
    line = {"color": colours.kept, "width": 2}
    figure.add_scatter(x=x, y=y, mode="lines", name="converter", line=line, hovertemplate=hover)
    hover = "x = %{x:.6g}<br>e = %{y:.3f} LSB<extra></extra>"
    below = {"yaxis": "y2", "mode": "lines", "line": {"color": colours.error, "width": 1.5}}
    figure.add_scatter(x=x, y=error, name="error e = y − x", hovertemplate=hover, **below)
    _draw_bounds(figure, ends[0], ends[1], colours.clipped)
    worst = float(np.abs(error[(x >= converter.low) & (x <= converter.high)]).max(initial=0.0))
    told = f"Transfer curve of {converter.bits} bits with step {step}"
    return finish(figure, f"{told}: the error shown reaches {plain(worst)} LSB.")


def _widen(ends: list[float]) -> list[float]:
    """Ends of an axis with a little room on both sides."""
    room = (ends[1] - ends[0]) / 24
    return [ends[0] - room, ends[1] + room]


def _choose_range(error: Doubles, x: Doubles, converter: Converter) -> list[float]:
    """An axis that stays the same for ideal converters, and grows with a real one's error inside the range."""
    inside = np.abs(error[(x >= converter.low) & (x <= converter.high)])
    reach = max(1.25, 1.1 * float(inside.max(initial=0.0)))
    return [-reach, reach]


def _choose_span(converter: Converter, at: float | None) -> tuple[float, float]:
    """Lowest and highest input in view, in volts: some of both ends beyond the range, or steps around `at`."""
    step = converter.lsb
    if converter.codes <= WHOLE_CODES:
        room = (converter.high - converter.low) / 20
        return converter.low - room, converter.high + room
    centre = converter.centre if at is None else min(max(at, converter.low), converter.high)
    return max(centre - NEAR_CODES * step, converter.low - 2 * step), min(
        centre + NEAR_CODES * step, converter.high + 2 * step
    )


def _find_edges(converter: Converter, low: float, high: float) -> Doubles:
    """Inputs in volts, ascending, at which the codes between those of `low` and `high` begin: shape (edges,)."""
    first, last = (int(converter.encode(end)) for end in (low, high))
    return converter.locate_transitions(np.arange(max(first, 1), last + 1))


def _list_inputs(edges: Doubles, low: float, high: float) -> Doubles:
    """The span's ends, and inputs just below and at every edge within it, so that the stairs stand upright: shape
    (2 + 2 * edges inside,), ascending.
    """
    inside = edges[(edges > low) & (edges < high)]
    return np.concatenate([[low], np.stack([np.nextafter(inside, -np.inf), inside], axis=1).ravel(), [high]])


def _draw_bounds(figure: go.Figure, low: float, high: float, colour: str) -> None:
    x, y = [low, high, None, low, high], [0.5, 0.5, None, -0.5, -0.5]
    figure.add_scatter(
        x=x,
        y=y,
        yaxis="y2",
        mode="lines",
        name="±LSB/2",
        line={"color": colour, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )


def code_histogram(codes: ArrayLike, *, bits: int, theme: Theme = "light") -> go.Figure:
    """How often each code occurs, as a stepped line of at most MOST_BARS bins with an empty one at both ends.

    Parameters
    ----------
    codes : whole numbers of any shape, 0 to 2^bits - 1, or two's complement where one is negative; codes beyond are
        counted in the end bins. Without any the empty state.
    bits : width of the converter; above 8 bits a bin holds 2^bits / MOST_BARS neighbouring codes, as the subtitle says.

    The alternative text gives how many codes occur, and the least and the largest.
    """
    codes = np.asarray(codes)
    if not codes.size:
        return empty_state("No code to count.", "Choose a record with samples.", theme)
    first = -(2 ** (bits - 1)) if codes.min() < 0 else 0
    width = max(1, 2**bits // MOST_BARS)
    bins = -(-(2**bits) // width)
    counts = np.bincount(np.clip((codes - first) // width, 0, bins - 1), minlength=bins)
    used = np.unique(codes).size
    centres = first + (np.arange(-1, bins + 1) + 0.5) * width - 0.5
    figure = begin(
        f"{used:,} of {2**bits:,} codes occur",
        theme,
        subtitle=f"{codes.size:,} samples{f', {width:,} codes a bin' if width > 1 else ''}",
        height=320,
        xaxis={"title": {"text": "Code"}, "exponentformat": "none", "range": _widen([centres[0], centres[-1]])},
        yaxis={"title": {"text": "Samples (count)"}, "range": [0, climb(float(counts.max()))]},
        showlegend=False,
    )
    colour = PALETTES[theme].kept
    figure.add_scatter(
        x=centres,
        y=np.pad(counts, 1),
        mode="lines",
        line={"shape": "hvh", "color": colour, "width": 1.5},
        fill="tozeroy",
        fillcolor=fade(colour, 0.35),
        hovertemplate="code %{x:.0f}<br>%{y:,} samples<extra></extra>",
    )
    ends = true_minus(f"from {codes.min()} to {codes.max()}")
    return finish(figure, f"Code histogram of {codes.size} samples: {used} of {2**bits} codes occur, {ends}.")


def error_density(errors_lsb: ArrayLike, *, transfer: str = "mid-tread", theme: Theme = "light") -> go.Figure:
    """Density of the error in LSB beside the noise model's, uniform over one LSB: -1 to 0 for a floor transfer, else
    +-1/2.

    Parameters
    ----------
    errors_lsb : reconstructed minus ideal, finite, of any shape and at least one. What lies beyond +-ERROR_REACH LSB
        is counted in the subtitle.
    transfer : of the converter; "floor" shifts the model.

    The density is per LSB: its sum over the bins, times their width, is the share of the errors on the axis. Title
    and alternative text give the share within the model's bounds.
    """
    errors = np.asarray(errors_lsb, np.float64)
    counts, edges = np.histogram(errors, ERROR_BINS, (-ERROR_REACH, ERROR_REACH))
    width = edges[1] - edges[0]
    density = counts / (max(errors.size, 1) * width)
    rms = math.sqrt(float(np.mean(errors**2)))
    top = 0.0 if transfer == "floor" else 0.5
    span = "−1..0 LSB" if transfer == "floor" else "±LSB/2"
    model_rms = math.sqrt((top**3 - (top - 1.0) ** 3) / 3.0)
    within = float(np.mean(np.abs(errors - (top - 0.5)) <= 0.5 * (1 + 1e-9))) if errors.size else 0.0
    beyond = float(np.mean(np.abs(errors) > ERROR_REACH)) if errors.size else 0.0
    outside = f" · {percent(beyond)} beyond the axis" if beyond else ""
    colours = PALETTES[theme]
    figure = begin(
        f"Error: {percent(within)} within {span}",
        theme,
        subtitle=f"rms {plain(rms, digits=4)} LSB, uniform {plain(model_rms, digits=4)}{outside}",
        height=320,
        xaxis={"title": {"text": "Error y − x (LSB)"}, "range": [-ERROR_REACH, ERROR_REACH], "dtick": 0.5},
        yaxis={"title": {"text": "Density (1/LSB)"}, "range": [0, max(1.2, climb(float(density.max())))]},
        legend={"y": -0.24, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    centres = np.concatenate([[edges[0] - width / 2], edges[:-1] + width / 2, [edges[-1] + width / 2]])
    figure.add_scatter(
        x=centres,
        y=np.pad(density, 1),
        mode="lines",
        name="error",
        line={"shape": "hvh", "color": colours.error, "width": 1.5},
        fill="tozeroy",
        fillcolor=fade(colours.error, 0.35),
        hovertemplate="e = %{x:.3f} LSB<br>%{y:.3f} per LSB<extra></extra>",
    )
    x, line = [top - 1.0, top - 1.0, top, top], {"color": colours.reference, "dash": "dash", "width": 2}
    figure.add_scatter(x=x, y=[0, 1, 1, 0], mode="lines", name="uniform noise model", line=line, hoverinfo="skip")
    return finish(figure, f"Error histogram: {percent(within)} of {errors.size} errors lie within {span}.")


def ledger_bars(
    names: Sequence[str], powers: Sequence[float], *, total: float, unit: str = "LSB²", theme: Theme = "light"
) -> go.Figure:
    """Error power by source as bars with their values.

    Parameters
    ----------
    names, powers : go together, powers in `unit`; ValueError where one has more. A source may take power away: its
        bar is negative, and hatched. Without any the alternative text tells of nothing with 0.
    total : their sum, of which the shares are told; of a total of 0 there are none ("n/a").
    """
    colours = PALETTES[theme]
    title = f"Error power {plain(total, digits=4)} {unit}, by source"
    axis = {"title": {"text": f"Mean e² ({unit})"}, "nticks": 4, "tickangle": 0}  # beside the names little room is left
    figure = begin(
        title, theme, height=140 + 44 * max(len(names), 1), showlegend=False, margin={"t": 52, "l": 150}, xaxis=axis
    )
    figure.add_bar(
        x=list(powers),
        y=[
            f"{escape(name)}<br>{plain(power, digits=4)} ({share_of(power, total)})"
            for name, power in zip(names, powers, strict=True)
        ],
        orientation="h",
        marker={
            "color": [colours.kept if power >= 0 else colours.clipped for power in powers],
            "pattern": {"shape": ["" if power >= 0 else "/" for power in powers]},
        },
        hovertemplate="%{y}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", dtick=1)
    largest = max(zip(powers, names, strict=True), default=(0.0, "nothing"))
    told = f"Ledger of the error power, {plain(total, digits=4)} {unit} in all"
    return finish(figure, f"{told}; the largest source is {largest[1]} with {plain(largest[0], digits=4)} {unit}.")


def share_of(power: float, total: float) -> str:
    """A source's share of the total; a source that takes power away is negative, of nothing there is no share.

    >>> share_of(0.25, 1.0), share_of(-0.1, 1.0), share_of(0.0, 0.0)
    ('25.0 %', '−10.0 %', 'n/a')
    """
    return in_percent(power / total, ".1f") if total else "n/a"
