"""Where do a format's numbers lie? Its levels at scale 1, as an array and as lines on an axis."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.charts.palette import PALETTES, Theme, begin, finish
from qanalysis.charts.wording import escape
from qanalysis.notation import true_minus
from qanalysis.quantizers.scheme import Scheme

MOST_DRAWN = 512
LOGARITHMIC = 512.0  # times the smallest positive level: from here on unequal ones are drawn on a logarithmic axis


def find_levels(scheme: Scheme) -> NDArray[np.float64]:
    """The levels at scale 1, ascending and finite, (levels,); for integers the codes that the scheme's symmetry uses.

    >>> find_levels(Scheme.parse("int2")).tolist(), find_levels(Scheme.parse("fp4_e2m1")).tolist()[-3:]
    ([-1.0, 0.0, 1.0], [3.0, 4.0, 6.0])
    """
    return scheme.coder.levels


def format_levels(scheme: Scheme, *, theme: Theme = "light") -> go.Figure:
    """One line per level of the scheme's format at scale 1, or per n-th above MOST_DRAWN.

    Of formats whose positive levels span more than LOGARITHMIC times the smallest, in unequal steps, the positive
    half is drawn on a logarithmic axis. A format without a positive level can not be drawn; there is none.

    Title and alternative text give the number of all levels and both ends, however many are drawn.
    """
    name, levels = escape(str(scheme.format)), find_levels(scheme)
    positive = levels[levels > 0]
    wide = positive[-1] / positive[0] > LOGARITHMIC and np.unique(np.diff(positive)).size > 1
    drawn = positive if wide else levels
    every = -(-drawn.size // MOST_DRAWN)
    caption = f"{'Positive level' if wide else 'Level'} at scale 1{f', one of each {every} shown' if every > 1 else ''}"
    ends = true_minus(f"{levels[0]:.6g} to {levels[-1]:.6g}")
    figure = begin(
        f"{name}: {levels.size:,} levels, {ends}",
        theme,
        height=180,
        margin={"t": 52, "b": 48},
        xaxis={"title": {"text": caption}} | (_stretch_wide(drawn) if wide else _stretch(drawn)),
        yaxis={"visible": False, "range": [0, 1], "fixedrange": True},
    )
    shown = drawn[::every]
    figure.add_scatter(
        x=np.repeat(shown, 3),
        y=np.tile([0.0, 1.0, np.nan], shown.size),
        mode="lines",
        line={"color": PALETTES[theme].kept, "width": 1.5},
        hovertemplate="%{x:.6g}<extra></extra>",
        showlegend=False,
    )
    return finish(figure, f"The {levels.size:,} levels of {scheme.format} at scale 1, from {ends}.")


def _stretch(levels: NDArray[np.float64]) -> dict[str, object]:
    """An axis from the first to the last of ascending levels, with a hundredth of room at both ends."""
    room = 0.01 * (levels[-1] - levels[0])
    return {"range": [levels[0] - room, levels[-1] + room], "exponentformat": "none"}


def _stretch_wide(levels: NDArray[np.float64]) -> dict[str, object]:
    """The same by the logarithm of positive levels, with about eight powers of ten named."""
    low, high = math.log10(levels[0]), math.log10(levels[-1])
    room = 0.01 * (high - low)
    return {
        "type": "log",
        "range": [low - room, high + room],
        "exponentformat": "power",
        "dtick": max(1, round((high - low) / 8)),
    }
