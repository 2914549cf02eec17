"""Where does the noise model hold? SQNR against bits and loading, error against amplitude, the dithers across one
step.
"""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import DASHES, MARKERS, PALETTES, Theme, begin, finish, rank_legend
from qanalysis.converters.simulation.sweeps import AmplitudeSweep, BitsSweep, DitherPanel, LoadingSweep
from qanalysis.converters.simulation.tone_sweeps import ToneSweep
from qanalysis.decibels import DB_PER_BIT, SINE_DB
from qanalysis.notation import decibels, plain, signed

# Lines of a head are short enough for half a page in a narrow window: what is longer has two, for which there is room.
_HEAD = {"margin": {"t": 90, "b": 92}}
_BELOW = {"legend": {"y": -0.22, "yanchor": "top"}, "margin": {"t": 72, "b": 92}}


LOADED_DB = 90.0  # a Gaussian on 16 bits reaches 83 dB


def _span_tens(*values: Doubles) -> list[float]:
    """Ends of an axis in dB, whole tens with room around all finite values: it stands still while these move a
    little; 0 to 100 without any.
    """
    known = np.concatenate([part[np.isfinite(part)] for part in values])
    if not known.size:
        return [0.0, 100.0]
    return [10 * math.floor((float(known.min()) - 3) / 10), 10 * math.ceil((float(known.max()) + 3) / 10)]


def sqnr_against_bits(sweep: BitsSweep, *, bits: int, theme: Theme = "light") -> go.Figure:
    """SQNR of the simulation at each width over the line 6.02 b + 1.76; `bits` is the width in view.

    Widths run along the horizontal axis (1 to 16 bit), SQNR in dB along the vertical one. A width whose SQNR is
    infinite, or that has none, leaves a gap in the line; where `bits` is such a width, or is not in the sweep, the
    title says "n/a" or "∞".

    Parameters
    ----------
    sweep : widths, and the measured and the ideal SQNR in dB, all of shape (widths,).

    The alternative text compares the width in view with a full-scale sine, 6.0206 b + 1.7609 dB.
    """
    colours = PALETTES[theme]
    shown = {int(width): float(sqnr) for width, sqnr in zip(sweep.bits, sweep.sqnr_db, strict=True)}
    here = shown.get(bits, float("nan"))
    ends = _span_tens(sweep.sqnr_db, sweep.ideal_db)
    figure = begin(
        f"{bits} bit: SQNR {decibels(here)}",
        theme,
        subtitle=f"the signal lies {decibels(sweep.level_db)}<br>from a full-scale sine",
        height=398,
        xaxis={"title": {"text": "Bits"}, "dtick": 2, "range": [0.4, 16.6]},
        yaxis={
            "title": {"text": "SQNR (dB)"},
            "exponentformat": "none",
            "range": ends,
        },
        **_BELOW | _HEAD,
    )
    line = {"color": colours.reference, "dash": "dash", "width": 2}
    figure.add_scatter(
        x=sweep.bits,
        y=sweep.ideal_db,
        mode="lines",
        name="6.02 b + 1.76",
        line=line,
        hovertemplate="%{x} bit: %{y:.2f} dB<extra></extra>",
    )
    figure.add_scatter(
        x=sweep.bits,
        y=np.where(np.isfinite(sweep.sqnr_db), sweep.sqnr_db, np.nan),
        mode="lines+markers",
        name="simulated",
        line={"color": colours.kept, "width": 2},
        marker={"size": 8},
        hovertemplate="%{x} bit: %{y:.2f} dB<extra></extra>",
    )
    marker = {"symbol": "diamond", "size": 13, "color": colours.clipped}
    figure.add_scatter(x=[bits], y=[here], mode="markers", name="in view", marker=marker, hoverinfo="skip")
    full = decibels(DB_PER_BIT * bits + SINE_DB)
    return finish(figure, f"SQNR against bits: {decibels(here)} at {bits} bit, a full-scale sine has {full}.")


def error_against_amplitude(sweep: AmplitudeSweep, *, signal: str, theme: Theme = "light") -> go.Figure:
    """Correlation of error and signal above, error power over q^2/12 below, against the size in LSB: measured points
    on exact lines.

    The size is the amplitude of a "sine", or the standard deviation of a "gaussian" signal, on a logarithmic axis.
    The correlation lies within -1..1; the power is 1 where the noise model holds.

    Parameters
    ----------
    sweep : sizes in LSB, positive and ascending, with measured and exact figures, all of shape (sizes,); at least one.

    The alternative text gives the correlation at the least and at the largest size.
    """
    colours = PALETTES[theme]
    size = "Amplitude A (LSB)" if signal == "sine" else "Deviation σ (LSB)"
    lowest, highest = sweep.amplitudes_lsb[[0, -1]]
    figure = begin(
        f"Error against amplitude, {signal}",
        theme,
        subtitle="endless mid-tread grid ·<br>points: measured, lines: exact",
        height=438,
        xaxis={"title": {"text": size}, "type": "log", "dtick": 1, "anchor": "y2", "exponentformat": "none"},
        yaxis={"title": {"text": "corr(e, x)"}, "domain": [0.55, 1], "range": [-1.08, 1.08], "zeroline": True},
        yaxis2={"title": {"text": "e² / (q²/12)"}, "domain": [0, 0.45], "rangemode": "tozero"},
        legend={"y": -0.2, "yanchor": "top"},
        margin={"t": 90, "b": 84},
    )
    panels = (
        ("correlation", sweep.correlation, sweep.exact_correlation, "y"),
        ("error power", sweep.power_ratio, sweep.exact_power_ratio, "y2"),
    )
    for place, (name, measured, exact, axis) in enumerate(panels):
        colour = (colours.kept, colours.error)[place]
        shared = {"x": sweep.amplitudes_lsb, "yaxis": axis}
        line = {"color": colour, "width": 1.5}
        figure.add_scatter(y=exact, mode="lines", name=f"{name}, exact", line=line, hoverinfo="skip", **shared)
        marker = {"color": colour, "size": 6, "symbol": MARKERS[place]}
        hover = f"%{{x:.3g}} LSB: {name} %{{y:.4f}}<extra></extra>"
        figure.add_scatter(y=measured, mode="markers", name=name, marker=marker, hovertemplate=hover, **shared)
    first, last = signed(sweep.correlation[0], ".2f"), signed(sweep.correlation[-1], ".4f")
    ends = f"{first} at {plain(lowest)} LSB and {last} at {plain(highest)} LSB"
    return finish(figure, f"Error against amplitude: the correlation of error and signal is {ends}.")


def loading_curve(sweep: LoadingSweep, *, theme: Theme = "light") -> go.Figure:
    """SQNR of a Gaussian against where the converter clips it, with the best place.

    The range is in standard deviations to each side, SQNR in dB; on hover the share of the samples beyond the range,
    0 to 1.

    Parameters
    ----------
    sweep : ranges, SQNR and shares beyond, all finite and of shape (ranges,), with the best range and its SQNR, which
        title and alternative text give.
    """
    colours = PALETTES[theme]
    ends = [float(sweep.clip_sigmas[0]) - 0.2, float(sweep.clip_sigmas[-1]) + 0.2]
    figure = begin(
        f"Gaussian on {sweep.bits} bit:<br>best {decibels(sweep.best_sqnr_db)} at "
        f"±{plain(sweep.best_clip_sigma, digits=4)} σ",
        theme,
        subtitle="left of it clipping rules, right of it the step",
        height=378,
        xaxis={"title": {"text": "Range of the converter (± σ)"}, "exponentformat": "none", "range": ends},
        yaxis={"title": {"text": "SQNR (dB)"}, "exponentformat": "none", "range": [0, LOADED_DB]},
        **_BELOW | _HEAD,
    )
    hover = "±%{x:.2f} σ: %{y:.2f} dB<br>%{customdata:.3g} of the samples clip<extra></extra>"
    line = {"color": colours.kept, "width": 2}
    figure.add_scatter(
        x=sweep.clip_sigmas,
        y=sweep.sqnr_db,
        customdata=sweep.beyond,
        mode="lines",
        name="SQNR, exact",
        line=line,
        hovertemplate=hover,
    )
    marker = {"symbol": "diamond", "size": 12, "color": colours.clipped}
    figure.add_scatter(x=[sweep.best_clip_sigma], y=[sweep.best_sqnr_db], mode="markers", name="best", marker=marker)
    best = f"at best {decibels(sweep.best_sqnr_db)}, clipped at {plain(sweep.best_clip_sigma, digits=4)} sigma"
    return finish(figure, f"A Gaussian on {sweep.bits} bits has {best}.")


def dither_curves(panel: DitherPanel, *, theme: Theme = "light") -> go.Figure:
    """Mean error above, mean squared error below, of constant inputs across one step, for each dither.

    Inputs run from -1/2 to 1/2 LSB off a level; the error is in LSB, its power in LSB². One line per dither in each
    panel, both under one entry of the legend.

    Parameters
    ----------
    panel : inputs of shape (positions,), and per dither the mean error and the mean squared error of the same shape.
        It must hold a dither called "none" (KeyError), whose largest mean error the alternative text gives.
    """
    colours = PALETTES[theme].categories
    figure = begin(
        "Dithers: mean error and its power",
        theme,
        subtitle="constant inputs across one LSB",
        height=420,
        xaxis={"title": {"text": "Input off a level (LSB)"}, "anchor": "y2"},
        yaxis={"title": {"text": "Mean error (LSB)"}, "domain": [0.55, 1], "range": [-0.55, 0.55], "zeroline": True},
        yaxis2={"title": {"text": "Power (LSB²)"}, "domain": [0, 0.45], "range": [0, 0.3]},
        legend={"y": -0.2, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    for place, name in enumerate(panel.mean_error_lsb):
        line = {"color": colours[place], "dash": DASHES[place], "width": 2}
        shared = {"x": panel.positions_lsb, "mode": "lines", "name": name, "line": line, "legendgroup": name}
        figure.add_scatter(
            y=panel.mean_error_lsb[name], hovertemplate=f"{name}: mean %{{y:.3f}} LSB<extra></extra>", **shared
        )
        figure.add_scatter(
            y=panel.error_power_lsb2[name],
            yaxis="y2",
            showlegend=False,
            hovertemplate=f"{name}: %{{y:.3f}} LSB²<extra></extra>",
            **shared,
        )
    rank_legend(figure)
    worst = float(np.abs(panel.mean_error_lsb["none"]).max())
    bare = f"without dither the mean error reaches {plain(worst)} LSB"
    return finish(figure, f"Dithers across one step: {bare}, with TPDF the power is 1/4 LSB² everywhere.")


def tone_curves(sweep: ToneSweep, *, title: str, at: float, theme: Theme = "light") -> go.Figure:
    """SINAD and SFDR against the start phase or the frequency; points whose periods share a divisor with the record
    are crosses.

    Parameters
    ----------
    sweep : places in the sweep's own unit, ascending, with SFDR and SINAD in dB and the divisor that periods and
        record share, all of shape (points,); at least one point.
    title : names what was swept, in the same unit.
    at : the value in view, a dashed line where it lies within the sweep.

    Title and alternative text give the range of the SFDR. Values that are infinite or NaN leave gaps.
    """
    colours = PALETTES[theme]
    lowest, highest = float(sweep.sfdr_db.min()), float(sweep.sfdr_db.max())
    figure = begin(
        f"{title}: SFDR {signed(lowest, '.2f')} to {decibels(highest)}",
        theme,
        subtitle="crosses: J and M share a divisor",
        height=360,
        xaxis={"title": {"text": f"{title} ({sweep.unit})"}, "exponentformat": "none"},
        yaxis={"title": {"text": "dB"}, "exponentformat": "none", "range": _span_tens(sweep.sfdr_db, sweep.sinad_db)},
        **_BELOW,
    )
    symbols = ["circle" if divisor == 1 else "x" for divisor in sweep.common_divisor]
    for name, values, colour, dash in (
        ("SFDR", sweep.sfdr_db, colours.kept, "solid"),
        ("SINAD", sweep.sinad_db, colours.error, "dot"),
    ):
        figure.add_scatter(
            x=sweep.places,
            y=values,
            mode="lines+markers",
            name=name,
            line={"color": colour, "dash": dash, "width": 1.5},
            marker={"symbol": symbols, "size": 6},
            hovertemplate=f"%{{x:.6g}} {sweep.unit}: {name} %{{y:.2f}} dB<extra></extra>",
        )
    if sweep.places[0] <= at <= sweep.places[-1]:
        line = {"color": colours.clipped, "dash": "dash", "width": 1.5}
        figure.add_shape(name="mark-at", type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line=line)
    return finish(
        figure,
        f"{title} sweep over {sweep.places.size} points: SFDR from {signed(lowest, '.2f')} to {decibels(highest)}.",
    )
