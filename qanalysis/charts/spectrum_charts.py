"""What is in a record's spectrum? The bins over full scale with the tone, its harmonics and the largest spur marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish
from qanalysis.charts.wording import escape
from qanalysis.converters.findings import WITHHELD, tell_guess
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.spectrum.spellings import tell_frequency
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.notation import choose_unit, decibels, true_minus

MOST_POINTS = 1000
FLOOR_DB = -200.0
_NEAR_END = 0.04  # of the sample rate: half the width of a label on the narrowest page


def spectrum_chart(
    found: Spectrum,
    *,
    levels: tuple[float, float] | None = None,
    widest_hz: float = 0.0,
    theme: Theme = "light",
) -> go.Figure:
    """Heights of the bins in dBFS, or over the tone (dBc) where full scale is unknown, with the average noise floor.

    Frequencies run from 0, of I/Q samples from minus half the rate, to half the rate, in the unit that the axis names.
    Of more than MOST_POINTS bins the highest of each bundle is drawn, so that no line is lost; what lies below
    FLOOR_DB, bins without any power (minus infinity) included, is drawn there. The tone, its harmonics and the largest
    spur are marked where they were found; marks of harmonics that do not stand above the noise are hollow.

    Parameters
    ----------
    found : heights of its bins. Without a finite one beside DC (a constant record), with neither tone nor full scale,
        and with withheld figures, the empty state.
    levels : ends of the vertical axis for one of several spectra that are drawn in turn, which then have the same
        traces, empty where there is nothing to mark; by default they follow the record.

    widest_hz : the highest frequency that is drawn beside it in the same chart, for the unit of the axis.

    The title gives the floor; the alternative text says whether the record is coherent, and what `headline_spectrum`
    says.
    """
    if any(finding.code == WITHHELD for finding in found.findings):
        return empty_state("No spectrum to draw.", "The figures are withheld; the finding says what to do.", theme)
    level, heights = ("dBFS", found.power_dbfs) if found.power_dbfs is not None else ("dBc", found.power_dbc)
    if heights is None or not np.isfinite(_without_dc(found, heights)).any():
        return empty_state(
            "No spectrum to draw.", "The record holds one value, or no tone and no range; see the findings.", theme
        )
    axis = _choose_axis(found, widest_hz)
    half = axis.place(found, found.samples / 2)
    bottom, top = levels or _choose_range(_without_dc(found, heights))
    floor = find_floor(found)
    told = f"average noise floor {decibels(floor, level)} a bin" if floor is not None else "no noise"
    figure = begin(
        f"Spectrum: {told}",
        theme,
        subtitle=_tell_view(found),
        height=460,
        xaxis={
            "title": {"text": f"Frequency ({axis.unit})"},
            "range": [-half if found.iq else 0, half],
            "exponentformat": "none",
        },
        yaxis={"title": {"text": f"Level ({level} a bin)"}, "range": [bottom, top], "exponentformat": "none"},
        legend={"y": -0.18, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    _draw_bins(figure, found, heights, axis, level, theme)
    if floor is not None or levels:
        _draw_floor(figure, found, floor, axis, theme)
    _mark_lines(figure, found, heights, axis, theme, every=levels is not None)
    kind = _tell_coherence(found)
    return finish(figure, f"Spectrum of {found.samples} samples, {kind}: {headline_spectrum(found)}; {told}.")


@dataclass(frozen=True, slots=True)
class _Axis:
    """The frequencies of a chart: what they are counted in, and how many hertz that is; None for shares of the rate."""

    unit: str
    hertz: float | None

    def places(self, found: Spectrum) -> Doubles:
        """(bins,) where the bins of a spectrum lie."""
        return found.frequencies_hz / (self.hertz or found.fs_hz or 1.0)

    def place(self, found: Spectrum, cycles: float) -> float:
        """Where a line of so many periods per record lies."""
        return (
            cycles / found.samples if self.hertz is None else cycles * (found.fs_hz or 1.0) / found.samples / self.hertz
        )


def _choose_axis(found: Spectrum, widest_hz: float) -> _Axis:
    if found.fs_hz is None:
        return _Axis("of the sample rate", None)
    return _Axis(*choose_unit(max(found.fs_hz / 2, widest_hz), "Hz"))


def _without_dc(found: Spectrum, heights: Doubles) -> Doubles:
    return np.delete(heights, -found.first_bin)


def _tell_coherence(found: Spectrum) -> str:
    return "no tone" if found.coherent is None else "coherent" if found.coherent else "not coherent"


def _tell_view(found: Spectrum) -> str:
    """Length, coherence, window and reference, for the subtitle."""
    window = f"{escape(found.window)}{f', {found.side_bins} side bins' if found.side_bins else ''}"
    samples = f"{found.samples:,} {'I/Q ' if found.iq else ''}samples"
    many = f"{found.records:,} records of " if found.records else ""
    return f"{many}{samples}, {_tell_coherence(found)} · {window} · 0 dBFS: full-scale {found.full_scale}"


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


def _draw_bins(figure: go.Figure, found: Spectrum, heights: Doubles, axis: _Axis, level: str, theme: Theme) -> None:
    """The highest bins of each bundle as a line."""
    places = thin_peaks(heights)
    figure.add_scatter(
        x=axis.places(found)[places].astype(np.float32),
        y=np.maximum(heights[places], FLOOR_DB).astype(np.float32),
        mode="lines",
        name="spectrum",
        line={"color": PALETTES[theme].kept, "width": 1},
        hovertemplate=f"%{{x:.6g}} {axis.unit}: %{{y:.2f}} {level}<extra></extra>",
    )


def _draw_floor(figure: go.Figure, found: Spectrum, floor: float | None, axis: _Axis, theme: Theme) -> None:
    """The average noise floor over the band, dashed."""
    figure.add_scatter(
        x=[axis.place(found, end * found.samples) for end in found.band or ()],
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

    The heights are without DC, and bins without any power do not count; one must be finite. Never below FLOOR_DB.
    """
    finite = heights[np.isfinite(heights)]
    middle = float(np.median(finite))
    return max(10 * np.floor((middle - 25) / 10), FLOOR_DB), 10 * np.ceil((float(finite.max()) + 5) / 10)


def _mark_lines(
    figure: go.Figure, found: Spectrum, heights: Doubles, axis: _Axis, theme: Theme, *, every: bool
) -> None:
    """The tone, harmonics and mixing products, hollow where they do not rise above the noise, and the largest spur if
    it is neither; `every` kind of mark has its trace, or those alone that were found.
    """
    colours = PALETTES[theme]
    lines = [line for line in (*found.harmonics, *found.intermodulation) if line.dbc is not None]
    risen, sunk = ([line for line in lines if line.below_noise is below] for below in (False, True))
    tone = [] if found.cycles is None else [found.cycles]
    tone_text = [tell_frequency(cycles / found.samples, found.fs_hz) for cycles in tone]
    spurs = [found.spur] if found.spur is not None and found.spur.kind == "spur" else []
    for name, (cycles, labels), colour, symbol in (
        ("fundamental", (tone, tone_text), colours.error, "star"),
        ("harmonics", _list_places(found, risen), colours.clipped, "diamond"),
        ("harmonics within the noise", _list_places(found, sunk), colours.clipped, "diamond-open"),
        ("largest spur", _list_places(found, spurs), colours.zeroed, "triangle-down"),
    ):
        if cycles or every:
            hollow = symbol.endswith("open")
            bins = [min(max(round(place) - found.first_bin, 0), heights.size - 1) for place in cycles]
            shares = [] if every else [place / found.samples for place in cycles]
            figure.add_scatter(
                x=[axis.place(found, place) for place in cycles],
                y=[max(float(heights[place]), FLOOR_DB) for place in bins],
                mode="markers+text",
                name=name,
                text=[escape(label) for label in labels],
                textposition=_place_labels(shares, -0.5 if found.iq else 0.0, below=hollow),
                textfont={"size": 11},
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"%{{text}}<br>%{{x:.6g}} {axis.unit}: %{{y:.2f}} dB<extra></extra>",
            )


def _place_labels(shares: Sequence[float], first: float, *, below: bool) -> str | list[str]:
    """Where labels stand at their marks, whose places are shares of the rate from `first` to a half: turned inwards at
    the ends of the axis.

    Without places the same for all: what a slider moves can not turn.
    """
    row = "bottom" if below else "top"
    low, high = first + _NEAR_END, 0.5 - _NEAR_END
    sides = ["right" if share < low else "left" if share > high else "center" for share in shares]
    return [f"{row} {side}" for side in sides] or f"{row} center"


def _list_places(found: Spectrum, lines: Sequence[Component]) -> tuple[list[float], list[str]]:
    """Where lines show, in periods per record, and how they are called."""
    rate = found.fs_hz
    places = [
        float(line.bin) if line.alias_hz is None or rate is None else line.alias_hz / rate * found.samples
        for line in lines
    ]
    return places, [true_minus(line.name) for line in lines]
