"""What leaves a DAC? The staircase of its hold in time, and its spectrum with the sinc droop and the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, climb, finish, with_unit
from qanalysis.charts.spectrum_charts import thin_peaks
from qanalysis.converters.simulation.dac import Image, OutputSpectrum, hold_samples
from qanalysis.notation import choose_unit, decibels, volts

MOST_HELD = 96
DROOP_POINTS = 401
FLOOR_DB = -160.0


def hold_curve(values: Doubles, ideal: Doubles, *, fs_hz: float, theme: Theme = "light") -> go.Figure:
    """The first samples as the hold keeps them, over the wave they stand for.

    Parameters
    ----------
    values, ideal : what the converter puts out and what was wanted, in volts, both of shape (samples,); at least one
        sample.
    fs_hz : the clock; each value is held for 1/fs_hz seconds. At most MOST_HELD samples are drawn.

    The alternative text gives the lowest and the highest value drawn.
    """
    colours = PALETTES[theme]
    count = min(values.size, MOST_HELD)
    times, held = hold_samples(values[:count], fs_hz)
    reach = climb(float(max(np.abs(held).max(), np.abs(ideal[:count]).max())))
    unit, seconds = choose_unit(count / fs_hz, "s")
    figure = begin(
        f"Hold: the first {count} samples",
        theme,
        subtitle="each value is kept for one period of the clock",
        height=360,
        xaxis={
            "title": {"text": f"Time ({unit})"},
            "exponentformat": "none",
            "range": [-0.02 * times[-1] / seconds, 1.02 * times[-1] / seconds],
        },
        yaxis=with_unit("Output (V)", range=[-reach, reach]),
        legend={"y": -0.22, "yanchor": "top"},
        margin={"t": 72, "b": 92},
    )
    line = {"color": colours.kept, "width": 2}
    figure.add_scatter(
        x=times / seconds,
        y=held,
        mode="lines",
        name="DAC output",
        line=line,
        hovertemplate=f"%{{x:.4g}} {unit}: %{{y:.4g}} V<extra></extra>",
    )
    marker = {"color": colours.clipped, "size": 5}
    figure.add_scatter(
        x=np.arange(count) / fs_hz / seconds,
        y=ideal[:count],
        mode="markers",
        name="wanted value",
        marker=marker,
        hoverinfo="skip",
    )
    ends = f"between {volts(held.min(), digits=4)} and {volts(held.max(), digits=4)}"
    return finish(figure, f"The hold's staircase over the first {count} samples, {ends}.")


def output_spectrum(found: OutputSpectrum, images: Sequence[Image], *, theme: Theme = "light") -> go.Figure:
    """Lines of the held output to four times the rate, the droop over them, the tone and its images marked.

    Levels are in dB over the tone before the hold. Of many lines the highest of each bundle is drawn; what lies below
    FLOOR_DB, zero power (minus infinity) included, is drawn there.

    Parameters
    ----------
    found : frequencies in Hz, levels and droop in dB, all of shape (lines,) and without NaN.
    images : the tone (multiple 0) and its images. Without any (no tone, or one at or above half the rate) nothing is
        marked, and title and alternative text say so.
    """
    colours = PALETTES[theme]
    places = thin_peaks(found.level_dbc)
    last = float(found.frequencies_hz[-1])
    unit, hertz = choose_unit(last, "Hz")
    alias = [image for image in images if image.multiple]
    largest = max(alias, key=lambda image: image.level_dbc, default=None)
    words = f"largest image {decibels(largest.level_dbc)}" if largest else "no tone, no image"
    figure = begin(
        f"Behind the hold: {words}",
        theme,
        subtitle="0 dB: the tone before the hold · sinc droop −3.92 dB at fs/2",
        height=380,
        xaxis={"title": {"text": f"Frequency ({unit})"}, "exponentformat": "none", "range": [0, last / hertz]},
        yaxis={"title": {"text": "Level (dBc)"}, "range": [-140, 8], "exponentformat": "none"},
        legend={"y": -0.22, "yanchor": "top"},
        margin={"t": 72, "b": 92},
    )
    hover = f"%{{x:.4g}} {unit}: %{{y:.2f}} dB<extra></extra>"
    x = (found.frequencies_hz[places] / hertz).astype(np.float32)
    y = np.maximum(found.level_dbc[places], FLOOR_DB).astype(np.float32)
    line = {"color": colours.kept, "width": 1}
    figure.add_scatter(x=x, y=y, mode="lines", name="output", line=line, hovertemplate=hover)
    line = {"color": colours.reference, "dash": "dash", "width": 1.5}
    some = np.unique(np.linspace(0, found.droop_db.size - 1, DROOP_POINTS).astype(np.int64))
    droop = np.maximum(found.droop_db[some], FLOOR_DB)
    figure.add_scatter(
        x=found.frequencies_hz[some] / hertz, y=droop, mode="lines", name="sinc droop", line=line, hoverinfo="skip"
    )
    symbols = ["diamond" if image.multiple else "star" for image in images]
    figure.add_scatter(
        x=[image.frequency_hz / hertz for image in images],
        y=[image.level_dbc for image in images],
        mode="markers",
        name="tone and images",
        marker={"symbol": symbols, "size": 10, "color": colours.clipped},
        hovertemplate=hover,
    )
    return finish(figure, f"Spectrum behind the hold with {len(alias)} images: {words}.")
