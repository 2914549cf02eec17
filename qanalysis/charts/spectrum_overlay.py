"""How do two records compare? The spectrum of a second one, behind that of the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, finish
from qanalysis.charts.spectrum_charts import FLOOR_DB, headline_spectrum, spectrum_chart, thin_peaks
from qanalysis.charts.wording import escape
from qanalysis.converters.findings import WITHHELD
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.notation import choose_unit, shorten

_MUCH_WIDER = 100  # times: then the unit of the axis is that of the second record
_LONGEST_NAME = 40


def spectrum_pair(found: Spectrum, behind: Spectrum, names: tuple[str, str], *, theme: Theme = "light") -> go.Figure:
    """The chart of `found` with the bins of `behind` drawn under its own; `names` are what the legend calls the two.

    Heights are over full scale where both records have one, else both over their tones; a pair without a common scale
    is the chart of `found` alone. Frequencies are in hertz where both have a rate; a second record without one is drawn
    at the rate of the first, and where the first has none both are drawn by shares of their rates. The axes hold both.
    """
    if not shares_scale(found, behind):
        return spectrum_chart(found, theme=theme)
    found, behind = _level(found, behind)
    heights = _read_heights(behind)
    own_hz, other_hz = ((one.fs_hz or 0.0) / 2 for one in (found, behind))
    widest_hz = other_hz if other_hz > _MUCH_WIDER * own_hz else own_hz
    figure, second = (spectrum_chart(one, widest_hz=widest_hz, theme=theme) for one in (found, behind))
    unit, hertz = ("", 1.0) if found.fs_hz is None else choose_unit(widest_hz, "Hz")
    places, scale = thin_peaks(heights), _stretch(found, behind) / hertz
    level = "dBFS" if behind.power_dbfs is not None else "dBc"
    first, other = (escape(shorten(name, _LONGEST_NAME)) for name in names)
    figure.data[0].name = first
    figure.add_scatter(
        x=(behind.frequencies_hz[places] * scale).astype(np.float32),
        y=np.maximum(heights[places], FLOOR_DB).astype(np.float32),
        mode="lines",
        name=other,
        line={"color": PALETTES[theme].categories[3], "width": 1},
        hovertemplate=f"{other}<br>%{{x:.6g}} {unit}: %{{y:.2f}} {level}<extra></extra>",
    )
    figure.data = (figure.data[-1], *figure.data[:-1])
    low, high = zip(*(chart.layout.yaxis.range for chart in (figure, second)), strict=True)
    drawn = 1.0 if behind.fs_hz is None else choose_unit(max(widest_hz, other_hz), "Hz")[1]
    ends = [figure.layout.xaxis.range, [end * scale * drawn for end in second.layout.xaxis.range]]
    figure.update_layout(
        yaxis={"range": [min(low), max(high)]},
        xaxis={"range": [min(end[0] for end in ends), max(end[1] for end in ends)]},
    )
    return finish(figure, f"{figure.layout.meta['alt']} Behind it {names[1]}: {headline_spectrum(behind)}.")


def shares_scale(found: Spectrum, behind: Spectrum) -> bool:
    """Whether both have heights over full scale, or both over their tones."""
    return all(np.isfinite(_read_heights(one)[1:]).any() for one in _level(found, behind))


def _read_heights(found: Spectrum) -> Doubles:
    """Heights of the bins over full scale, else over the tone; empty where there is neither, or nothing to defend."""
    withheld = any(finding.code == WITHHELD for finding in found.findings)
    for heights in (found.power_dbfs, found.power_dbc):
        if heights is not None and not withheld:
            return heights
    return np.empty(0)


def _level(found: Spectrum, behind: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Both without a full scale where one has none, so that their heights mean the same."""
    if found.power_dbfs is not None and behind.power_dbfs is not None:
        return found, behind
    return replace(found, full_scale_power=None), replace(behind, full_scale_power=None)


def _stretch(found: Spectrum, behind: Spectrum) -> float:
    """What turns the frequencies of the second record into those of the first's axis before its prefix."""
    if found.fs_hz is None:
        return 1.0 if behind.fs_hz is None else 1.0 / behind.fs_hz
    return found.fs_hz if behind.fs_hz is None else 1.0
