"""What happens to the weights of one layer? Their histogram with the grid, and the histogram of the error."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.palette import PALETTES, Theme, empty_state, fade
from qanalysis.charts.wording import escape
from qanalysis.diagnosis.profile import ERROR_REACH, LayerProfile
from qanalysis.notation import decibels, percent, plain, shorten
from qanalysis.sums import Histogram

LINE_LEVELS = 64  # grids of more levels are drawn as a band
AXIS_REACH = 1.06  # of max|x|: the same for every scheme of a layer, so that nothing jumps
RUG = "y2"  # an axis of its own, 0 to 1 over the plot's height, so that the grid stands on counts of any scale
FATE_WORDS = {"in_range": "in range", "clipped": "clipped", "zeroed": "rounded to zero"}
HEIGHT = 418  # pixels of either histogram; they stand side by side, with two lines below the title
NO_LAYER = ("No layer to show.", "Choose a layer in the heat map or in the table.")


def weight_histogram(
    profile: LayerProfile | None, *, log_counts: bool = False, axes: LayerAxes | None = None, theme: Theme = "light"
) -> go.Figure:
    """Weights by fate (in range, clipped, rounded to zero: by colour, pattern and name with its percentage) over the
    grid's levels.

    Levels are lines up to LINE_LEVELS of them, a band above; those of a finer grouping than tensor belong to its
    widest group. The horizontal axis is +-max|x| of the layer whatever the scheme, in the layer's unit; counts are of
    weights per bin, finite ones only, percentages of all finite weights.

    Parameters
    ----------
    profile : of at least one finite weight; None gives the empty state. How many are not finite the subtitle says.
    log_counts : whether a bin's height is the logarithm of its count; empty bins then break the line.
    axes : the vertical axis, where several profiles of the layer share it; that of this profile by default.

    The alternative text gives the number of weights and the share of each fate.
    """
    if profile is None:
        return empty_state(*NO_LAYER, theme, height=HEIGHT)
    axes = axes or LayerAxes.over([profile])
    return draw_weights(profile, axes, log_counts=log_counts, theme=theme).to_figure()


def draw_weights(
    profile: LayerProfile, axes: LayerAxes, *, log_counts: bool = False, theme: Theme = "light"
) -> Drawing:
    """The drawing behind `weight_histogram`."""
    which = f"{profile.name or 'the layer'} under {profile.scheme}"
    return draw(
        weight_traces(profile, theme),
        weight_title(profile),
        theme,
        alt=f"Histogram of {profile.count} weights of {which}: {_fate_sentence(profile)}.",
        subtitle=weight_subtitle(profile),
        height=HEIGHT,
        xaxis=weight_axis(profile),
        yaxis=axes.of_counts(log_counts=log_counts),
        yaxis2=RUG_AXIS,
        **LEGEND_BELOW,
    )


def error_histogram(
    profile: LayerProfile | None, *, axes: LayerAxes | None = None, theme: Theme = "light"
) -> go.Figure:
    """Density of the error in steps of its group, with the bounds +-LSB/2 and the uniform density of the noise model.

    The error is reconstructed minus original, in steps of its own group (of the widest gap, for formats with unequal
    ones); the density is per step and integrates to the share within the axis. Errors beyond the axis, clipped ones
    as a rule, are counted beside it. None gives the empty state; of a layer that is represented exactly the title
    says "no error", of zeros "no signal". `axes` as for the weights.

    The alternative text gives the share within the bound, and the bound in the layer's unit.
    """
    if profile is None:
        return empty_state(*NO_LAYER, theme, height=HEIGHT)
    return draw_errors(profile, axes or LayerAxes.over([profile]), theme=theme).to_figure()


def draw_errors(profile: LayerProfile, axes: LayerAxes, *, theme: Theme = "light") -> Drawing:
    """The drawing behind `error_histogram`."""
    subject = f"{profile.name or 'the layer'} under {profile.scheme}"
    return draw(
        error_traces(profile, theme),
        error_title(profile),
        theme,
        alt=f"Error histogram of {subject}: {_bound_sentence(profile)}.",
        subtitle=_bound_sentence(profile),
        height=HEIGHT,
        xaxis=error_axis(profile),
        yaxis=axes.of_density(name_step(profile)),
        **({"annotations": notes} if (notes := _note_beyond(profile, theme)) else {}),
        **LEGEND_BELOW,
    )


def _note_beyond(profile: LayerProfile, theme: Theme) -> list[dict[str, Any]]:
    """The shares of the errors beyond either end of the axis, where there are any."""
    notes: list[dict[str, Any]] = []
    for x, anchor, beyond, arrow in (
        (-ERROR_REACH, "left", profile.error_in_steps.below, "◂"),
        (ERROR_REACH, "right", profile.error_in_steps.above, "▸"),
    ):
        if beyond:
            text = f"{arrow} {percent(beyond / profile.count)} beyond"
            place = {"x": x, "xanchor": anchor, "y": 1, "yref": "paper", "yanchor": "top", "showarrow": False}
            notes.append({"name": "mark-beyond", "text": text, "font": {"color": PALETTES[theme].clipped}, **place})
    return notes


LEGEND_BELOW = {"legend": {"y": -0.2, "yanchor": "top", "traceorder": "normal"}, "margin": {"t": 90, "b": 110}}
RUG_AXIS = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}


def error_axis(profile: LayerProfile) -> dict[str, object]:
    """The horizontal axis of the error, the same for all layers."""
    title = f"Error y − x ({name_step(profile)} of its group)"
    return {"title": {"text": title}, "range": [-ERROR_REACH, ERROR_REACH], "dtick": 0.25, "exponentformat": "none"}


def name_step(profile: LayerProfile) -> str:
    """What a step is called: LSB where all are equal, else that of the widest gap."""
    return "LSB" if profile.scheme.format.is_integer else "widest gap"


def weight_axis(profile: LayerProfile) -> dict[str, object]:
    """The horizontal axis of the weights, the same for all schemes of a layer: +-AXIS_REACH times max|x|."""
    reach = AXIS_REACH * profile.in_range.high
    return {"title": {"text": "Weight x (in the layer's unit)"}, "range": [-reach, reach]}


def weight_title(profile: LayerProfile) -> str:
    """The headline of the weights, escaped: the scheme, and the shares clipped and rounded to zero."""
    clipped, zeroed = (percent(part.total / profile.count) for part in (profile.clipped, profile.zeroed))
    return f"{escape(str(profile.scheme))}: {clipped} clipped, {zeroed} to zero"


def weight_subtitle(profile: LayerProfile) -> str:
    """Layer, number of weights and of groups, largest step in the layer's unit; escaped."""
    name = escape(shorten(profile.name, 48))
    parts = [f"{profile.count:,} weight{'s' if profile.count != 1 else ''}"]
    parts += [f"{profile.non_finite:,} not finite, left out"] if profile.non_finite else []
    parts.append(
        f"{profile.groups:,} groups, the widest with step {plain(profile.step_max)}"
        if profile.groups > 1
        else f"step {plain(profile.step_max)}"
    )
    return " · ".join(filter(None, [name, *parts]))


def error_title(profile: LayerProfile) -> str:
    """The headline of the error, escaped: scheme and SQNR; "no error" where that is infinite, "no signal" where there
    is none.
    """
    quality = (
        "no signal"
        if profile.sqnr_db is None
        else "no error"
        if np.isinf(profile.sqnr_db)
        else f"SQNR {decibels(profile.sqnr_db)}"
    )
    return f"{escape(str(profile.scheme))}: {quality}"


def weight_traces(profile: LayerProfile, theme: Theme) -> list[dict[str, Any]]:
    """Grid first, then the three fates; always four traces, so that frames can replace them one by one.

    Each fate is a stepped line of shape (bins + 2,) over the same edges, with the share of all finite weights as
    customdata, in percent; a fate that no weight has is a line at 0.
    """
    colours = PALETTES[theme]
    looks = {
        "in_range": (colours.kept, "", 0.35),
        "clipped": (colours.clipped, "x", 0.55),
        "zeroed": (colours.zeroed, "/", 0.55),
    }
    traces = [_grid_trace(profile, theme)]
    for fate, (colour, pattern, alpha) in looks.items():
        histogram: Histogram = getattr(profile, fate)
        centres, counts = stairs(histogram)
        hatch = {"shape": pattern, "fgcolor": colour, "bgcolor": fade(colour, 0.15), "size": 6, "solidity": 0.35}
        head = f"{FATE_WORDS[fate]}<br>x = %{{x:.4~g}} ± {plain(_bin_width(histogram) / 2)}"
        traces.append(
            line(
                x=_place_weights(centres),
                y=counts,
                customdata=(100 * counts / profile.count).astype(np.float32),
                mode="lines",
                name=f"{FATE_WORDS[fate]} {percent(histogram.total / profile.count)}",
                line={"shape": "hvh", "width": 1.5, "color": colour},
                fill="tozeroy",
                fillcolor=fade(colour, alpha),
                fillpattern=hatch if pattern else None,
                hovertemplate=f"{head}<br>%{{y:,}} weights, %{{customdata:.3~g}} %<extra></extra>",
            )
        )
    return traces


def _grid_trace(profile: LayerProfile, theme: Theme) -> dict[str, Any]:
    """Levels as lines over the plot's height, NaN lifting the pen, or the span of many levels as a low band."""
    colours = PALETTES[theme]
    if profile.levels is not None and profile.level_count <= LINE_LEVELS:
        x, y = np.repeat(profile.levels, 3), np.tile([0.0, 1.0, np.nan], profile.level_count)
    else:
        low, high = profile.level_low, profile.level_high
        x, y = np.array([low, low, high, high, low]), np.array([0, 0.03, 0.03, 0, 0])
    return line(
        x=_place_weights(x),
        y=y.astype(np.float32),
        yaxis=RUG,
        mode="lines",
        name=f"{'grid' if profile.groups == 1 else 'widest grid'}, {profile.level_count:,} levels",
        line={"color": fade(colours.text, 0.45), "width": 1, "dash": "dot"},
        fill="toself",
        fillcolor=fade(colours.text, 0.3),
        hoverinfo="skip",
    )


def error_traces(profile: LayerProfile, theme: Theme) -> list[dict[str, Any]]:
    """The density of the error, the uniform density, the two bounds: always three traces.

    The density is per step and of shape (bins + 2,); customdata are [count, percent of all finite weights].
    """
    colours = PALETTES[theme]
    step = name_step(profile)
    centres, counts = stairs(profile.error_in_steps)
    bin_words = f"e = %{{x:.3f}} {step} ± 0.005<br>%{{customdata[0]:,}} weights, %{{customdata[1]:.3~g}} %"
    return [
        line(
            x=centres.astype(np.float32),
            y=density(profile),
            customdata=np.stack([counts, np.round(100 * counts / profile.count, 4)], axis=1).astype(np.float32),
            mode="lines",
            name="error",
            line={"shape": "hvh", "width": 1.5, "color": colours.error},
            fill="tozeroy",
            fillcolor=fade(colours.error, 0.35),
            hovertemplate=f"{bin_words}<br>%{{y:.3f}} per {step}<extra></extra>",
        ),
        line(
            x=[-0.5, -0.5, 0.5, 0.5],
            y=[0, 1, 1, 0],
            mode="lines",
            name="uniform noise model",
            line={"width": 2, "dash": "dash", "color": colours.reference},
            hovertemplate=f"uniform over ±{step}/2: 1 per {step}<extra></extra>",
        ),
        line(
            x=[-0.5, -0.5, None, 0.5, 0.5],
            y=[0, 10, None, 0, 10],
            mode="lines",
            name=f"±{step}/2 bound",
            line={"width": 2, "color": colours.clipped},
            hovertemplate=f"bound %{{x:+.1f}} {step}<extra></extra>",
        ),
    ]


def density(profile: LayerProfile) -> NDArray[np.float32]:
    """Share of the finite weights per LSB of error, at the points of `stairs`: shape (bins + 2,), 0 at both ends."""
    counts = stairs(profile.error_in_steps)[1]
    return (counts / (profile.count * _bin_width(profile.error_in_steps))).astype(np.float32)


def stairs(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Bin centres in the histogram's unit and counts, with an empty bin at both ends, so that a stepped line falls to
    zero there.

    Both of shape (bins + 2,).
    """
    width = _bin_width(histogram)
    centres = np.concatenate(
        [[histogram.low - width / 2], histogram.edges[:-1] + width / 2, [histogram.high + width / 2]]
    )
    return centres, np.pad(histogram.counts, 1).astype(np.int32)


def _place_weights(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Places on the axis of the weights; what lies half a bin beyond the largest float32 is drawn at that one."""
    most = np.finfo(np.float32).max
    return np.clip(x, -most, most).astype(np.float32)


def _bin_width(histogram: Histogram) -> float:
    return (histogram.high - histogram.low) / histogram.counts.size


def _fate_sentence(profile: LayerProfile) -> str:
    return ", ".join(
        f"{percent(getattr(profile, fate).total / profile.count)} {words}" for fate, words in FATE_WORDS.items()
    )


def _bound_sentence(profile: LayerProfile) -> str:
    where = " in the widest group" if profile.groups > 1 else ""
    bound = plain(profile.half_step_bound)
    return f"{percent(profile.within_bound)} within ±{name_step(profile)}/2, which is {bound}{where}"
