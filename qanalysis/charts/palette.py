"""How does every chart look, in both themes? Colours, the template, and the frame that all figures share.

Categories take hues of Okabe and Ito (2008), darkened for the light theme where needed for a contrast of 3 : 1;
magnitude takes viridis, signed values a map with a neutral middle. Colour never speaks alone: a dash, marker, pattern
or label says the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

import plotly.graph_objects as go

Theme = Literal["light", "dark"]
FONT = "Source Sans, 'Source Sans 3', 'Source Sans Pro', 'Helvetica Neue', Arial, sans-serif"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "pentagon")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, all as "#rrggbb".

    Parameters
    ----------
    background, panel : of the page, and of what stands out from it a little (cells without a value).
    text, muted, grid : words, second-rank words and lines, rules behind the data.
    kept, clipped, zeroed : the three fates of a weight; also the output, what goes wrong, and a spur.
    error, reference : what was measured of an error, and what theory says beside it.
    categories : of layers or groupings, in their order; an eighth one begins again.
    """

    background: str
    panel: str
    text: str
    muted: str
    grid: str
    kept: str
    clipped: str
    zeroed: str
    error: str
    reference: str
    categories: tuple[str, ...]


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        background="#ffffff",
        panel="#e3e6ea",
        text="#1f2430",
        muted="#5d6675",
        grid="#e4e7ec",
        kept="#0072b2",
        clipped="#d55e00",
        zeroed="#9a6b00",
        error="#00795a",
        reference="#5d6675",
        categories=("#0072b2", "#d55e00", "#00795a", "#a8487c", "#9a6b00", "#2f83b5", "#4b4f58"),
    ),
    "dark": Palette(
        background="#0e1117",
        panel="#2b3039",
        text="#eef1f5",
        muted="#a3acb9",
        grid="#272c36",
        kept="#56b4e9",
        clipped="#e8702a",
        zeroed="#f0e442",
        error="#1fbf92",
        reference="#a3acb9",
        categories=("#56b4e9", "#e8702a", "#1fbf92", "#d98bb5", "#f0e442", "#e69f00", "#c9ced6"),
    ),
}
MAGNITUDE = "Viridis"
SIGNED = {
    "light": [[0, "#0072b2"], [0.5, "#f4f4f4"], [1, "#d55e00"]],
    "dark": [[0, "#56b4e9"], [0.5, "#1d222b"], [1, "#e8702a"]],
}


def fade(colour: str, alpha: float) -> str:
    """A colour "#rrggbb" with transparency, as CSS; `alpha` runs from 0, which can not be seen, to 1.

    ValueError for what is no such colour.

    >>> fade("#0072b2", 0.25)
    'rgba(0,114,178,0.25)'
    """
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@cache
def pair_colours() -> dict[str, str]:
    """The dark theme's colour for each one of the light theme, all as "#rrggbb": what turns a light figure dark.

    A light colour that stands for several roles has the same twin in each of them; ValueError where it has two.
    """
    twins: dict[str, str] = {}
    pairs = [
        *zip(*map(_list_colours, PALETTES.values()), strict=True),
        *zip(*map(_list_ends, SIGNED.values()), strict=True),
    ]
    for light, dark in pairs:
        if twins.setdefault(light, dark) != dark:
            raise ValueError(f"{light} is both {twins[light]} and {dark} in the dark theme")
    return twins


def _list_colours(palette: Palette) -> list[str]:
    """Every colour of a palette, role by role."""
    parts = (getattr(palette, field.name) for field in fields(palette))
    return [colour for part in parts for colour in ((part,) if isinstance(part, str) else part)]


def _list_ends(scale: list[list[Any]]) -> list[str]:
    """The colours of a map of signed values."""
    return [colour for _place, colour in scale]


@cache
def template(theme: Theme) -> go.layout.Template:
    """The whole look as an explicit template: importing streamlit would otherwise swap plotly's default one.

    Every figure copies it; callers only read it. Large and small numbers on an axis are powers of ten; `with_unit`
    gives an axis whose title names a unit the prefixes of it.
    """
    colours = PALETTES[theme]
    bar = {
        "thickness": 14,
        "outlinewidth": 0,
        "exponentformat": "power",
        "title": {"side": "right", "font": {"size": 13}},
    }
    label = {"color": colours.text, "family": FONT}
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": colours.text},
            "paper_bgcolor": colours.background,
            "plot_bgcolor": colours.background,
            "colorway": list(colours.categories),
            "xaxis": _describe_axis(colours),
            "yaxis": _describe_axis(colours),
            "title": _describe_title(colours),
            "hoverlabel": {
                "bgcolor": colours.background,
                "bordercolor": colours.muted,
                "font": label,
                "align": "left",
                "namelength": -1,
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.0,
                "xanchor": "left",
                "yanchor": "bottom",
                "bgcolor": "rgba(0,0,0,0)",
            },
            "colorscale": {"sequential": MAGNITUDE, "diverging": SIGNED[theme]},
            "margin": {"l": 60, "r": 24, "t": 84, "b": 48},
            "coloraxis": {"colorbar": bar},
        }
    )


def _describe_axis(colours: Palette) -> dict[str, Any]:
    """A line with ticks outside, no line at zero, room made for labels that need it."""
    return {
        "gridcolor": colours.grid,
        "linecolor": colours.muted,
        "tickcolor": colours.muted,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "exponentformat": "power",
        "automargin": True,
        "title": {"font": {"size": 13}, "standoff": 8},
        "tickfont": {"color": colours.text},
    }


def _describe_title(colours: Palette) -> dict[str, Any]:
    """Title and subtitle at the figure's top left, whatever the margins of the plot."""
    place = {
        "x": 0,
        "xref": "container",
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"l": 12, "t": 12},
    }
    return {**place, "font": {"size": 15}, "subtitle": {"font": {"size": 13, "color": colours.muted}}}


def with_unit(title: str, **axis: Any) -> dict[str, Any]:
    """An axis whose title ends in a unit, such as "Frequency (Hz)": its ticks take the unit's prefixes.

    `axis` is what else plotly is told of it.

    >>> with_unit("Time (s)", range=[0, 1])
    {'title': {'text': 'Time (s)'}, 'exponentformat': 'SI', 'range': [0, 1]}
    """
    return {"title": {"text": title}, "exponentformat": "SI", **axis}


def climb(value: float) -> float:
    """The lowest rung at or above 1.05 times a value above 0: 1, 1.5, 2, 3, 5 or 7 times a power of ten; 1 for 0.

    An axis that ends on a rung stands still while its values move a little.

    >>> [climb(value) for value in (0.0, 0.94, 0.96, 130.0)]
    [1.0, 1.0, 1.5, 150.0]
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(1.05 * value))
    return next(rung * power for rung in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0) if rung * power >= 1.05 * value)


def rank_legend(figure: go.Figure) -> None:
    """Bring the legend into the order in which the lines end at the right, the highest first; points without a line
    follow.

    The end is the finite point of the largest x, in whatever order the points are; a line without any comes last.
    """
    lines = [trace for trace in figure.data if "lines" in (trace.mode or "") and trace.y is not None and len(trace.y)]
    for place, trace in enumerate(sorted(lines, key=lambda trace: -_end_of(trace))):
        trace.legendrank = place + 1


def _end_of(trace: Any) -> float:
    """The height of a line at its right end; of one without any point the lowest."""
    points = zip(trace.x, trace.y, strict=True)
    known = [(float(x), float(y)) for x, y in points if x is not None and y is not None and math.isfinite(y)]
    return max(known)[1] if known else -math.inf


def begin(title: str, theme: Theme, *, subtitle: str = "", height: int = 380, **layout: Any) -> go.Figure:
    """An empty figure in the common frame: nothing is dragged, hover takes the nearest point, and what a reader moved
    stays when the figure is drawn anew.

    Parameters
    ----------
    title : the headline state, escaped.
    subtitle : what it belongs to, escaped; empty where there is nothing to say.
    height : pixels, margins included; the width is that of the page.
    layout : what the chart itself sets. Given at once it costs a third of a later update.
    """
    framed = frame_layout(title, subtitle=subtitle, height=height, **layout)
    return go.Figure(layout={"template": template(theme), **framed})


def frame_layout(title: str, *, subtitle: str, height: int, **layout: Any) -> dict[str, Any]:
    """The layout of every figure but for its template; parameters as `begin` takes them."""
    return {
        "height": height,
        "hovermode": "closest",
        "dragmode": False,
        "uirevision": "keep",
        "title": {"text": title, "subtitle": {"text": subtitle}},
        **layout,
    }


def finish(figure: go.Figure, alt: str) -> go.Figure:
    """The figure with its alternative text: one sentence with the headline number, plain text."""
    figure.layout.meta = {"alt": alt}
    return figure


def empty_state(message: str, next_step: str, theme: Theme, *, height: int = 260) -> go.Figure:
    """A figure without data that says what is missing and what to do; plain texts without markup.

    The alternative text is both sentences.
    """
    colours = PALETTES[theme]
    figure = begin(message, theme, height=height)
    figure.update_xaxes(visible=False, fixedrange=True).update_yaxes(visible=False, fixedrange=True)
    figure.add_annotation(
        text=next_step,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 14, "color": colours.muted},
    )
    return finish(figure, f"{message} {next_step}")
