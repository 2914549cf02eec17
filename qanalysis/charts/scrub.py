"""How do the weights and their error change with every bit? A figure with its own slider that needs no server."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from qanalysis.charts.layer_charts import (
    AXIS_REACH,
    NO_LAYER,
    RUG_AXIS,
    count_axis,
    density,
    error_axis,
    error_title,
    error_traces,
    weight_axis,
    weight_subtitle,
    weight_title,
    weight_traces,
)
from qanalysis.charts.palette import PALETTES, Theme, begin, empty_state, finish
from qanalysis.diagnosis.profile import LayerProfile

DENSITY_LIMIT = 4.0  # coarse grids pile their error up at a few places; a taller axis would flatten all other frames
HEIGHT = 488  # pixels, of which title, subtitle and a legend of three lines take 134
MOVING = ("x", "y", "customdata", "name")


def scrub(
    profiles: Sequence[LayerProfile], *, bits: int | None = None, log_counts: bool = True, theme: Theme = "light"
) -> go.Figure:
    """Weights with the grid (left) and error (right) of one layer, a frame per profile, moved by the figure's own
    slider.

    Parameters
    ----------
    profiles : of one layer under integer formats, one per width, in the order of the slider. None at all gives the
        empty state.
    bits : the width it starts at, by default 4; at the first profile where that is missing.
    log_counts : whether the height of the weights is the logarithm of their count.

    All axes are fixed over all profiles (the density is cut at DENSITY_LIMIT per LSB); frames change data, names and
    title. Written to HTML it wants `auto_play=False`. The alternative text tells of the widths and the first frame.
    """
    if not profiles:
        return empty_state(*NO_LAYER, theme, height=HEIGHT)
    widths = [profile.scheme.format.bits for profile in profiles]
    start = widths.index(4 if bits is None else bits) if (4 if bits is None else bits) in widths else 0
    figure = begin(_title(profiles[start]), theme, subtitle=weight_subtitle(profiles[start]), height=HEIGHT)
    figure.add_traces(_traces(profiles[start], theme))
    figure.frames = [_frame(profile, width, theme) for profile, width in zip(profiles, widths, strict=True)]
    _set_axes(figure, profiles, log_counts=log_counts)
    figure.update_layout(
        sliders=[_slider(widths, start, theme)],
        legend={"y": 1.0, "yanchor": "bottom", "traceorder": "normal", "font": {"size": 12}},
        margin={"t": 134, "b": 44},
    )
    told = f"Weights and error of {profiles[0].name or 'the layer'} from {min(widths)} to {max(widths)} bits"
    return finish(figure, f"{told}, moved by a slider; shown first: {_title(profiles[start])}.")


def _title(profile: LayerProfile) -> str:
    """The headlines of both halves in one, escaped, the scheme once."""
    return f"{weight_title(profile)}, {error_title(profile).rpartition(': ')[2]}"


def _traces(profile: LayerProfile, theme: Theme) -> list[go.Scatter]:
    """Seven: the grid and three fates at the left; error, noise model and bound at the right."""
    right = [trace.update(xaxis="x2", yaxis="y3") for trace in error_traces(profile, theme)]
    return [*weight_traces(profile, theme), *right]


def _frame(profile: LayerProfile, bits: int, theme: Theme) -> go.Frame:
    """What changes at a width: of the grid everything, of the histograms, whose bins stay, heights and names."""
    moving = _traces(profile, theme)[:5]  # the noise model and the bound stay where they are
    data = [{key: trace[key] for key in MOVING if trace[key] is not None} | {"type": "scatter"} for trace in moving]
    for trace in data[1:]:
        del trace["x"]
    return go.Frame(
        name=str(bits),
        data=data,
        traces=list(range(5)),
        layout={"title": {"text": _title(profile), "subtitle": {"text": weight_subtitle(profile)}}},
    )


def _set_axes(figure: go.Figure, profiles: Sequence[LayerProfile], *, log_counts: bool) -> None:
    """Axes that hold every profile, so that nothing jumps when the slider moves."""
    reach = AXIS_REACH * max(profile.in_range.high for profile in profiles)
    most = max(1, int(max(profile.weights.counts.max() for profile in profiles)))
    counts = count_axis(log_counts=log_counts) | {
        "range": [-0.3, math.log10(most) + 0.2] if log_counts else [0, 1.05 * most]
    }
    peak = max(float(density(profile).max()) for profile in profiles)
    title = "Density (1/LSB)" if peak <= DENSITY_LIMIT else f"Density (1/LSB), cut at {DENSITY_LIMIT:g}"
    figure.update_layout(
        xaxis=weight_axis(profiles[0]) | {"domain": [0, 0.56], "range": [-reach, reach]},
        yaxis=counts,
        yaxis2=RUG_AXIS,
        xaxis2=error_axis(profiles[0]) | {"domain": [0.66, 1], "anchor": "y3"},
        yaxis3={"title": {"text": title}, "range": [0, min(DENSITY_LIMIT, max(1.2, 1.08 * peak))], "anchor": "x2"},
    )


def _slider(widths: Sequence[int], start: int, theme: Theme) -> dict[str, object]:
    """A step per width, `start` of them first; each shows the frame of its name at once, without a transition."""
    move = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    colours = PALETTES[theme]
    return {
        "active": start,
        "steps": [{"label": str(bits), "method": "animate", "args": [[str(bits)], move]} for bits in widths],
        "currentvalue": {"prefix": "Bits: ", "font": {"size": 14}},
        "pad": {"t": 40},
        "bgcolor": colours.panel,
        "activebgcolor": colours.kept,
        "bordercolor": colours.muted,
        "tickcolor": colours.muted,
    }
