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
from qanalysis.converters.findings import tell_guess
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.row import tell_frequency
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.notation import choose_unit, decibels, true_minus

MOST_POINTS = 1000
FLOOR_DB = -200.0


def spectrum_chart(
    found: Spectrum,
    *,
    second: Spectrum | None = None,
    names: tuple[str, str] | None = None,
    levels: tuple[float, float] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Heights of the bins in dBFS, or over the tone (dBc) where full scale is unknown, with the average noise floor.

    Frequencies run from 0, of I/Q samples from minus half the rate, to half the rate, in the unit that the axis names.
    Of more than MOST_POINTS bins the highest of each bundle is drawn, so that no line is lost; what lies below
    FLOOR_DB, bins without any power (minus infinity) included, is drawn there. The tone, its harmonics and the largest
    spur are marked where they were found; marks of harmonics that do not stand above the noise are hollow.

    Parameters
    ----------
    found : heights of its bins. Without a finite one beside DC (a constant record), and with neither tone nor full
        scale, the empty state.
    second : another spectrum, drawn behind in the unit that both have: dBFS, else dBc; one that shares none is left
        out, and the subtitle says so. Frequencies are in hertz where both rates are known, else shares of the rate.
    names : of the two in the legend, by default "spectrum" and "second record".
    levels : ends of the vertical axis for one of several spectra that are drawn in turn, which then have the same
        traces, empty where there is nothing to mark; by default they follow the record.

    The title gives the floor; the alternative text says whether the record is coherent, and what `headline_spectrum`
    says of each.
    """
    level = _choose_level(found, second)
    heights = _list_heights(found, level)
    if heights is None or not np.isfinite(_without_dc(found, heights)).any():
        return empty_state(
            "No spectrum to draw.", "The record holds one value, or no tone and no range; see the findings.", theme
        )
    behind = None if second is None else _list_heights(second, level)
    axis = _choose_axis(found, None if behind is None else second)
    seen = [_without_dc(found, heights)]
    if second is not None and behind is not None:
        seen.append(_without_dc(second, behind))
    bottom, top = levels or _choose_range(seen)
    floor = find_floor(found, level)
    told = f"average noise floor {decibels(floor, level)} a bin" if floor is not None else "no noise"
    figure = begin(
        f"Spectrum: {told}",
        theme,
        subtitle=_tell_view(found) + (" · the second record shares no unit" if second and behind is None else ""),
        height=460,
        xaxis={
            "title": {"text": f"Frequency ({axis.unit})"},
            "range": axis.span(found, second if behind is not None else None),
            "exponentformat": "none",
        },
        yaxis={"title": {"text": f"Level ({level} a bin)"}, "range": [bottom, top], "exponentformat": "none"},
        legend={"y": -0.18, "yanchor": "top"},
        margin={"t": 72, "b": 84},
    )
    first_name, second_name = names or ("spectrum", "second record")
    if second is not None and behind is not None:
        _draw_bins(figure, second, behind, axis, level, name=second_name, colour=PALETTES[theme].muted)
    _draw_bins(figure, found, heights, axis, level, name=first_name, colour=PALETTES[theme].kept)
    if floor is not None or levels:
        _draw_floor(figure, found, floor, axis, theme)
    _mark_lines(figure, found, heights, axis, theme, every=levels is not None)
    other = "" if second is None or behind is None else f"; behind it {second_name}: {headline_spectrum(second)}"
    kind = _tell_coherence(found)
    return finish(figure, f"Spectrum of {found.samples} samples, {kind}: {headline_spectrum(found)}; {told}{other}.")


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

    def span(self, *spectra: Spectrum | None) -> list[float]:
        """Both ends: half of the highest rate, and 0 or, where one has I/Q samples, as far below it."""
        shown = [one for one in spectra if one is not None]
        end = max(self.place(one, one.samples / 2) for one in shown)
        return [-end if any(one.iq for one in shown) else 0, end]


def _choose_axis(found: Spectrum, second: Spectrum | None) -> _Axis:
    rates = [one.fs_hz for one in (found, second) if one is not None]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return _Axis("of the sample rate", None)
    return _Axis(*choose_unit(max(known) / 2, "Hz"))


def _choose_level(found: Spectrum, second: Spectrum | None) -> str:
    """The unit that both spectra have, or that of the first."""
    if found.power_dbfs is None:
        return "dBc"
    needs_tone = second is not None and second.power_dbfs is None and second.sinefit is not None
    return "dBc" if needs_tone and found.sinefit is not None else "dBFS"


def _list_heights(found: Spectrum, level: str) -> Doubles | None:
    return found.power_dbfs if level == "dBFS" else found.power_dbc


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


def find_floor(found: Spectrum, unit: str = "") -> float | None:
    """The height at which noise of the same power would lie in every bin of the band, in `unit`, dBFS or dBc, by
    default dBFS where there is a full scale; None without any noise.
    """
    in_full_scale = unit == "dBFS" if unit else found.power_dbfs is not None
    level = found.noise_dbfs if in_full_scale else None if found.snr_db is None else -found.snr_db
    if level is None or not np.isfinite(level):
        return None
    if found.band is None:
        return None
    bins = (found.band[1] - found.band[0]) * found.samples
    return float(level - 10 * np.log10(bins / describe_window(found.window).enbw_bins))


def _draw_bins(
    figure: go.Figure, found: Spectrum, heights: Doubles, axis: _Axis, level: str, *, name: str, colour: str
) -> None:
    """The highest bins of each bundle as a line."""
    places = thin_peaks(heights)
    figure.add_scatter(
        x=axis.places(found)[places].astype(np.float32),
        y=np.maximum(heights[places], FLOOR_DB).astype(np.float32),
        mode="lines",
        name=escape(name),
        line={"color": colour, "width": 1},
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


def _choose_range(spectra: Sequence[Doubles]) -> tuple[float, float]:
    """Lowest and highest level in view, in dB: tens from above the highest bin to below the lowest median, the same
    while a slider moves a little.

    The spectra are without DC, and bins without any power do not count; the first must have a finite one. Never below
    FLOOR_DB.
    """
    finite = [bins for heights in spectra if (bins := heights[np.isfinite(heights)]).size]
    middle, top = min(float(np.median(bins)) for bins in finite), max(float(bins.max()) for bins in finite)
    return max(10 * np.floor((middle - 25) / 10), FLOOR_DB), 10 * np.ceil((top + 5) / 10)


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
            bins = [min(max(round(place) - found.first_bin, 0), heights.size - 1) for place in cycles]
            figure.add_scatter(
                x=[axis.place(found, place) for place in cycles],
                y=[max(float(heights[place]), FLOOR_DB) for place in bins],
                mode="markers+text",
                name=name,
                text=[escape(label) for label in labels],
                textposition="bottom center" if symbol.endswith("open") else "top center",
                textfont={"size": 11},
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertemplate=f"%{{text}}<br>%{{x:.6g}} {axis.unit}: %{{y:.2f}} dB<extra></extra>",
            )


def _list_places(found: Spectrum, lines: Sequence[Component]) -> tuple[list[float], list[str]]:
    """Where lines show, in periods per record, and how they are called."""
    rate = found.fs_hz
    places = [
        float(line.bin) if line.alias_hz is None or rate is None else line.alias_hz / rate * found.samples
        for line in lines
    ]
    return places, [true_minus(line.name) for line in lines]
