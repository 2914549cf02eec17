"""What is in a record's spectrum? The bins over full scale with the tone, its harmonics and the largest spur marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish
from qanalysis.charts.wording import escape
from qanalysis.converters.findings import WITHHELD, tell_guess
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.row import tell_frequency
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.notation import choose_unit, decibels, true_minus

MOST_POINTS = 1000
FLOOR_DB = -200.0
_NEAR_END = 0.04  # of the sample rate: half the width of a label on the narrowest page


def spectrum_chart(found: Spectrum, *, levels: tuple[float, float] | None = None, theme: Theme = "light") -> go.Figure:
    """Heights of the bins in dBFS, or over the tone (dBc) where full scale is unknown, with the average noise floor.

    Frequencies run from 0 to half the rate, in the unit that the axis names. Of more than MOST_POINTS bins the highest
    of each bundle is drawn, so that no line is lost; what lies below FLOOR_DB, bins without any power (minus infinity)
    included, is drawn there. The tone, its harmonics and the largest spur are marked where they were found; marks of
    harmonics that do not stand above the noise are hollow.

    Parameters
    ----------
    found : heights of shape (samples // 2 + 1,), DC first. Without a finite one beside DC (a constant record), and
        with neither tone nor full scale, and with withheld figures, the empty state.
    levels : ends of the vertical axis for one of several spectra that are drawn in turn, which then have the same
        traces, empty where there is nothing to mark; by default they follow the record.

    The title gives the floor; the alternative text says whether the record is coherent, and what `headline_spectrum`
    says.
    """
    if any(finding.code == WITHHELD for finding in found.findings):
        return empty_state("No spectrum to draw.", "The figures are withheld; the finding says what to do.", theme)
    heights = found.power_dbfs if found.power_dbfs is not None else found.power_dbc
    if heights is None or not np.isfinite(heights[1:]).any():
        return empty_state(
            "No spectrum to draw.", "The record holds one value, or no tone and no range; see the findings.", theme
        )
    level = "dBFS" if found.power_dbfs is not None else "dBc"
    rate = found.fs_hz or 1.0
    unit, hertz = ("of the sample rate", 1.0) if found.fs_hz is None else choose_unit(rate / 2, "Hz")
    bottom, top = levels or _choose_range(heights)
    floor = find_floor(found)
    window = f"{escape(found.window)}{f', {found.side_bins} side bins' if found.side_bins else ''}"
    kind = "no tone" if found.coherent is None else "coherent" if found.coherent else "not coherent"
    told = f"average noise floor {decibels(floor, level)} a bin" if floor is not None else "no noise"
    figure = begin(
        f"Spectrum: {told}",
        theme,
        subtitle=f"{found.samples:,} samples, {kind} · {window} · 0 dBFS: full-scale {found.full_scale}",
        height=460,
        xaxis={
            "title": {"text": f"Frequency ({unit})"},
            "range": [0, rate / 2 / hertz],
            "exponentformat": "none",
        },
        yaxis={"title": {"text": f"Level ({level} a bin)"}, "range": [bottom, top], "exponentformat": "none"},
        legend={"y": -0.18, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    _draw_bins(figure, found, heights, (unit, hertz), level, theme)
    if floor is not None or levels:
        _draw_floor(figure, found, floor, hertz, theme)
    _mark_lines(figure, found, heights, (unit, hertz), theme, every=levels is not None)
    return finish(figure, f"Spectrum of {found.samples} samples, {kind}: {headline_spectrum(found)}; {told}.")


def find_floor(found: Spectrum) -> float | None:
    """The height at which noise of the same power would lie in every bin of the band, in the unit of the heights; None
    without any noise.
    """
    level = found.noise_dbfs if found.power_dbfs is not None else None if found.snr_db is None else -found.snr_db
    if level is None or not np.isfinite(level):
        return None
    if found.band is None:
        return None
    bins = (found.band[1] - found.band[0]) * found.samples
    return float(level - 10 * np.log10(bins / describe_window(found.window).enbw_bins))


def _draw_bins(
    figure: go.Figure, found: Spectrum, heights: Doubles, unit: tuple[str, float], level: str, theme: Theme
) -> None:
    """The highest bins of each bundle as a line; `unit` names the frequencies' and says how many hertz it is."""
    places = thin_peaks(heights)
    figure.add_scatter(
        x=(found.frequencies_hz[places] / unit[1]).astype(np.float32),
        y=np.maximum(heights[places], FLOOR_DB).astype(np.float32),
        mode="lines",
        name="spectrum",
        line={"color": PALETTES[theme].kept, "width": 1},
        hovertemplate=f"%{{x:.6g}} {unit[0]}: %{{y:.2f}} {level}<extra></extra>",
    )


def _draw_floor(figure: go.Figure, found: Spectrum, floor: float | None, hertz: float, theme: Theme) -> None:
    """The average noise floor over the band, dashed."""
    figure.add_scatter(
        x=[end * (found.fs_hz or 1.0) / hertz for end in found.band or ()],
        y=[None if floor is None else max(floor, FLOOR_DB)] * 2,
        mode="lines",
        name="average noise floor",
        line={"color": PALETTES[theme].text, "dash": "dash", "width": 2},
        hoverinfo="skip",
    )


def headline_spectrum(found: Spectrum) -> str:
    """SINAD, ENOB and SFDR in one line; "No tone found" without a tone, and no word of a figure that could not be
    defended.

    The ENOB is that of the IEEE, referred to full scale, or the one at the tone's level where full scale is unknown.
    """
    if found.sinad_db is None:
        return "No tone found"
    enob = found.enob_ieee if found.enob_ieee is not None else found.enob_at_level
    form = "IEEE" if found.enob_ieee is not None else "at level"
    guess = tell_guess(found.bits, found.findings)
    bits = "" if enob is None else f", ENOB {decibels(enob, 'bit')} ({form}{f', at {guess}' if guess else ''})"
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
    """Lowest and highest level in view, in dB: tens from above the highest bin to below the median one, the same while
    a slider moves a little.

    DC and bins without any power do not count; at least one other must be finite. Never below FLOOR_DB.
    """
    finite = heights[1:][np.isfinite(heights[1:])]
    middle = float(np.median(finite))
    return max(10 * np.floor((middle - 25) / 10), FLOOR_DB), 10 * np.ceil((float(finite.max()) + 5) / 10)


def _mark_lines(
    figure: go.Figure, found: Spectrum, heights: Doubles, unit: tuple[str, float], theme: Theme, *, every: bool
) -> None:
    """The tone, harmonics and mixing products, hollow where they do not rise above the noise, and the largest spur if
    it is neither; `every` kind of mark has its trace, or those alone that were found.
    """
    colours = PALETTES[theme]
    lines = [line for line in (*found.harmonics, *found.intermodulation) if line.dbc is not None]
    risen, sunk = ([line for line in lines if line.below_noise is below] for below in (False, True))
    rate = found.fs_hz or 1.0
    tone = None if found.cycles is None else found.cycles * rate / found.samples
    tone_text = "" if found.cycles is None else tell_frequency(found.cycles / found.samples, found.fs_hz)
    spur = found.spur if found.spur is not None and found.spur.kind == "spur" else None
    for name, places, labels, colour, symbol in (
        ("fundamental", [] if tone is None else [tone], [tone_text], colours.error, "star"),
        ("harmonics", *_list_places(risen, rate / found.samples), colours.clipped, "diamond"),
        ("harmonics within the noise", *_list_places(sunk, rate / found.samples), colours.clipped, "diamond-open"),
        (
            "largest spur",
            _list_places([spur], rate / found.samples)[0] if spur else [],
            ["spur"],
            colours.zeroed,
            "triangle-down",
        ),
    ):
        if places or every:
            hollow = symbol.endswith("open")
            bins = [min(max(round(place * found.samples / rate), 0), heights.size - 1) for place in places]
            figure.add_scatter(
                x=[place / unit[1] for place in places],
                y=[max(float(heights[place]), FLOOR_DB) for place in bins],
                mode="markers+text",
                name=name,
                text=[escape(label) for label in labels[: len(places)]],
                textposition=_place_labels([] if every else [place / rate for place in places], below=hollow),
                textfont={"size": 11},
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"%{{text}}<br>%{{x:.6g}} {unit[0]}: %{{y:.2f}} dB<extra></extra>",
            )


def _place_labels(shares: Sequence[float], *, below: bool) -> str | list[str]:
    """Where labels stand at their marks, whose places are shares of the rate: turned inwards at the ends of the axis.

    Without places the same for all: what a slider moves can not turn.
    """
    row = "bottom" if below else "top"
    sides = ["right" if share < _NEAR_END else "left" if share > 0.5 - _NEAR_END else "center" for share in shares]
    return [f"{row} {side}" for side in sides] or f"{row} center"


def _list_places(lines: Sequence[Component], bin_hz: float) -> tuple[list[float], list[str]]:
    """Where lines show, in Hz or, without a rate, as shares of it, and how they are called."""
    places = [line.bin * bin_hz if line.alias_hz is None else line.alias_hz for line in lines]
    return places, [true_minus(line.name) for line in lines]
