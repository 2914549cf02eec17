"""How straight is a converter? DNL and INL by code with their error bars, in one figure of two panels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, fade, finish
from qanalysis.charts.wording import escape
from qanalysis.converters.linearity.linearity import MISSING_DNL_LSB, Linearity
from qanalysis.notation import in_percent, signed

MOST_POINTS = 1000
_HALF = MOST_POINTS // 2


def linearity_curves(found: Linearity, *, theme: Theme = "light") -> go.Figure:
    """DNL above, INL below, both in LSB by code, each with its band of uncertainty at the test's confidence; the empty
    state where they are withheld.

    Of more than MOST_POINTS codes the lowest and the highest of each bin are drawn, so that no spike is lost. Codes
    that never occur are crossed out, at most MOST_POINTS of them.

    Parameters
    ----------
    found : of a converter of at least 2 bits. DNL and its bars are of shape (2^bits - 2,), since the end codes have no
        width; INL and its, which belong to transitions, of shape (2^bits - 1,).

    The title gives the number of missing codes, the alternative text the extremes of both too.
    """
    if found.withheld:
        figure = empty_state("DNL and INL are withheld", "The finding says why, and what to do.", theme)
        return finish(figure, f"DNL and INL are withheld: {found.findings[0].text}")
    colours = PALETTES[theme]
    missing = len(found.missing_codes or ())
    words = f"{missing} missing code{'' if missing == 1 else 's'}"
    kind = found.test if found.test == "pairs" else f"{found.test} histogram"
    test = f"{escape(kind)} · INL by {escape(found.inl_reference)} line"
    figure = begin(
        f"DNL and INL by code, {words}",
        theme,
        subtitle=f"{test} · band: {in_percent(found.confidence, 'g')} confidence",
        height=480,
        xaxis={"title": {"text": "Code"}, "anchor": "y2", "exponentformat": "none"},
        yaxis={"title": {"text": "DNL (LSB)"}, "domain": [0.55, 1], "zeroline": True},
        yaxis2={"title": {"text": "INL (LSB)"}, "domain": [0, 0.45], "zeroline": True},
        showlegend=False,
    )
    _draw_band(figure, found.dnl_codes, found.dnl_lsb, found.dnl_bar_lsb, axis="y", name="DNL", colour=colours.kept)
    _draw_band(figure, found.inl_codes, found.inl_lsb, found.inl_bar_lsb, axis="y2", name="INL", colour=colours.error)
    gone = found.dnl_lsb <= MISSING_DNL_LSB
    if gone.any():
        marker = {"symbol": "x", "size": 9, "color": colours.clipped}
        places = np.flatnonzero(gone)[:MOST_POINTS]
        hover = "code %{x} is missing<extra></extra>"
        figure.add_scatter(
            x=found.dnl_codes[places], y=found.dnl_lsb[places], mode="markers", marker=marker, hovertemplate=hover
        )
    dnl, inl = _span(found.dnl_lsb), _span(found.inl_lsb)
    return finish(figure, f"DNL lies in {dnl} LSB and INL in {inl} LSB, with {words}.")


def _span(values: Doubles) -> str:
    return f"{signed(float(values.min()), '+.3f')} to {signed(float(values.max()), '+.3f')}"


def _draw_band(
    figure: go.Figure, codes: NDArray[np.int64], values: Doubles, bars: Doubles, *, axis: str, name: str, colour: str
) -> None:
    """A line of `values` in LSB and a band of `bars` to each side, all of shape (codes,), thinned together."""
    places = thin_extremes(values)
    x, y, bar = codes[places].astype(np.int32), values[places].astype(np.float32), bars[places].astype(np.float32)
    edge = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([y + bar, (y - bar)[::-1]])}
    figure.add_scatter(
        **edge,
        yaxis=axis,
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=fade(colour, 0.2),
        hoverinfo="skip",
    )
    hover = f"code %{{x}}<br>{name} %{{y:+.4f}} ± %{{customdata:.4f}} LSB<extra></extra>"
    figure.add_scatter(
        x=x, y=y, customdata=bar, yaxis=axis, mode="lines", line={"color": colour, "width": 1.5}, hovertemplate=hover
    )


def thin_extremes(values: Doubles) -> NDArray[np.int64]:
    """Places of the smallest and the largest value of each bin, ascending: at most MOST_POINTS, all of them where
    there are no more.

    `values` has shape (codes,) and holds no NaN.

    >>> thin_extremes(np.array([3.0, 1.0])).tolist()
    [0, 1]
    """
    if values.size <= MOST_POINTS:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, _HALF + 1).astype(np.int64)
    pairs = [
        (low + int(np.argmin(values[low:high])), low + int(np.argmax(values[low:high])))
        for low, high in pairwise(edges.tolist())
    ]
    return np.unique(np.array(pairs, np.int64).ravel())
