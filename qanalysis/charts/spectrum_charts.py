"""What is in a record's spectrum? The bins over full scale with the tone, its harmonics and the largest spur marked."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish, with_unit
from qanalysis.charts.wording import escape
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.notation import decibels, si

MOST_POINTS = 1000
FLOOR_DB = -200.0


def spectrum_chart(found: Spectrum, *, theme: Theme = "light") -> go.Figure:
    """Heights of the bins in dBFS, or over the tone (dBc) where full scale is unknown.

    Frequencies run from 0 to half the rate in Hz. Of more than MOST_POINTS bins the highest of each bundle is drawn,
    so that no line is lost; what lies below FLOOR_DB, bins without any power (minus infinity) included, is drawn
    there. The tone, its harmonics and the largest spur are marked where they were found.

    Parameters
    ----------
    found : heights of shape (samples // 2 + 1,), DC first. Without a finite one beside DC (a constant record), and
        with neither tone nor full scale, the empty state.

    The alternative text says whether the record is coherent, and what `headline_spectrum` says.
    """
    heights = found.power_dbfs if found.power_dbfs is not None else found.power_dbc
    if heights is None or not np.isfinite(heights[1:]).any():
        return empty_state(
            "No spectrum to draw.", "The record holds one value, or no tone and no range; see the findings.", theme
        )
    unit = "dBFS" if found.power_dbfs is not None else "dBc"
    colours = PALETTES[theme]
    places = thin_peaks(heights)
    top, bottom = _choose_range(heights)
    window = f"{escape(found.window)}{f', {found.side_bins} side bins' if found.side_bins else ''}"
    kind = "no tone" if found.coherent is None else "coherent" if found.coherent else "not coherent"
    figure = begin(
        headline_spectrum(found),
        theme,
        subtitle=f"{found.samples:,} samples, {kind} · {window} · 0 dBFS: full-scale {found.full_scale}",
        height=460,
        xaxis=with_unit("Frequency (Hz)", range=[0, found.fs_hz / 2]),
        yaxis={"title": {"text": f"Level ({unit} a bin)"}, "range": [bottom, top], "exponentformat": "none"},
        legend={"y": -0.18, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    figure.add_scatter(
        x=found.frequencies_hz[places].astype(np.float32),
        y=np.maximum(heights[places], FLOOR_DB).round(2).astype(np.float32),
        mode="lines",
        name="spectrum",
        line={"color": colours.kept, "width": 1},
        hovertemplate=f"%{{x:.5s}}Hz: %{{y:.2f}} {unit}<extra></extra>",
    )
    _mark_lines(figure, found, heights, theme)
    return finish(figure, f"Spectrum of {found.samples} samples, {kind}: {headline_spectrum(found)}.")


def headline_spectrum(found: Spectrum) -> str:
    """SINAD, ENOB and SFDR in one line; "No tone found" without a tone, and no word of a figure that could not be
    defended.

    The ENOB is that of the IEEE, referred to full scale, or the one at the tone's level where full scale is unknown.
    """
    if found.sinad_db is None:
        return "No tone found"
    enob = found.enob_ieee if found.enob_ieee is not None else found.enob_at_level
    form = "IEEE" if found.enob_ieee is not None else "at level"
    bits = "" if enob is None else f", ENOB {decibels(enob, 'bit')} ({form})"
    spur = "" if found.sfdr_dbc is None else f", SFDR {decibels(found.sfdr_dbc, 'dBc')}"
    return f"SINAD {decibels(found.sinad_db)}{bits}{spur}"


def thin_peaks(values: Doubles) -> NDArray[np.int64]:
    """Places of the largest value of each bundle of bins, ascending: at most MOST_POINTS of `values` of shape
    (bins,), NaN-free and not empty.

    Minus infinity is a value like any other; of equal ones in a bundle the first is taken.

    >>> thin_peaks(np.array([-3.0, -1.0])).tolist()
    [0, 1]
    """
    width = -(-values.size // MOST_POINTS)
    bundles = np.pad(values, (0, -values.size % width), constant_values=-np.inf).reshape(-1, width)
    return np.asarray(np.arange(0, values.size, width) + bundles.argmax(axis=1))


def _choose_range(heights: Doubles) -> tuple[float, float]:
    """Highest and lowest level in view, in dB: tens from above the highest bin to below the median one, the same while
    a slider moves a little.

    DC and bins without any power do not count; at least one other must be finite. Never below FLOOR_DB.
    """
    finite = heights[1:][np.isfinite(heights[1:])]
    middle = float(np.median(finite))
    return 10 * np.ceil((float(finite.max()) + 5) / 10), max(10 * np.floor((middle - 25) / 10), FLOOR_DB)


def _mark_lines(figure: go.Figure, found: Spectrum, heights: Doubles, theme: Theme) -> None:
    """The tone, what rises above the noise of harmonics and mixing products, and the largest spur if it is neither."""
    colours = PALETTES[theme]
    if found.fundamental_hz is not None:
        _mark(
            figure,
            "fundamental",
            [found.fundamental_hz],
            found,
            heights,
            [f"{si(found.fundamental_hz, 'Hz', digits=5)}"],
            colour=colours.error,
            symbol="star",
        )
    drawn = [line for line in (*found.harmonics, *found.intermodulation) if line.corrected_dbc is not None]
    if drawn:
        _mark(
            figure,
            "harmonics",
            [line.alias_hz for line in drawn],
            found,
            heights,
            [line.name for line in drawn],
            colour=colours.clipped,
            symbol="diamond",
        )
    if found.spur is not None and found.spur.kind == "spur":
        _mark(
            figure,
            "largest spur",
            [found.spur.alias_hz],
            found,
            heights,
            ["spur"],
            colour=colours.zeroed,
            symbol="triangle-down",
        )


def _mark(
    figure: go.Figure,
    name: str,
    places: list[float],
    found: Spectrum,
    heights: Doubles,
    labels: list[str],
    *,
    colour: str,
    symbol: str,
) -> None:
    """Markers with `labels` over them at `places`, in Hz, on the heights of the nearest bins; all three go together."""
    bins = [min(max(round(place * found.samples / found.fs_hz), 0), heights.size - 1) for place in places]
    figure.add_scatter(
        x=places,
        y=[max(float(heights[place]), FLOOR_DB) for place in bins],
        mode="markers+text",
        name=name,
        text=[escape(label) for label in labels],
        textposition="top center",
        textfont={"size": 11},
        marker={"color": colour, "symbol": symbol, "size": 9},
        hovertemplate="%{text}<br>%{x:.5s}Hz: %{y:.2f} dB<extra></extra>",
    )
