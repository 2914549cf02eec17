"""Which channels and groups carry the error? Shares and SQNR by channel, and a map of channels by groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.charts.layer_charts import NO_LAYER
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme, begin, empty_state, fade, finish
from qanalysis.charts.wording import escape, name_power
from qanalysis.diagnosis.profile import OUTLIER_RATIO, LayerProfile
from qanalysis.notation import percent

CHANNEL_POINTS = 512  # more channels are shown by the worst of each run of neighbours
MAP_SIDE = 128  # cells of the map along each side; larger maps show the largest error of each block
TOP_CHANNELS = 5


def channel_errors(profile: LayerProfile | None, *, theme: Theme = "light") -> go.Figure:
    """Each channel's share of the layer's squared error, and its SQNR; with several groups per channel also a map of
    their error.

    Shares are in percent of the layer's squared error, SQNR in dB, the map in mean e² by channel and group (dark is
    good). Outlier channels (max|x| at least OUTLIER_RATIO times the median channel's) carry stars. Markers carry
    customdata [channel].

    Parameters
    ----------
    profile : errors of shape (channels,) and of groups (channels, groups per channel). A channel without any error,
        or without a signal, has no SQNR to draw; a cell of the map without error stays empty. Of more than
        CHANNEL_POINTS channels the worst of each run stands for its neighbours. None gives the empty state.

    Title and alternative text name the channel that carries most of the error, or say that none has any.
    """
    if profile is None:
        return empty_state(*NO_LAYER, theme, height=420)
    mapped = profile.group_mse.shape[1] > 1
    shown, run = pick_channels(profile)
    layout = _lay_out(profile, run, mapped=mapped)
    map_trace = None
    if mapped:
        map_trace, map_layout = _draw_map(profile, (0.0, 0.34))
        layout |= map_layout
    figure = begin(_title(profile), theme, subtitle=_subtitle(profile), height=688 if mapped else 488, **layout)
    _draw_channels(figure, profile, shown, theme)
    if map_trace is not None:
        figure.add_trace(map_trace)
    return finish(
        figure, f"Error by channel of {profile.name or 'the layer'} under {profile.scheme}: {_sentence(profile)}."
    )


def _lay_out(profile: LayerProfile, run: int, *, mapped: bool) -> dict[str, Any]:
    """Two panels over each other, or three with room for the map; `run` channels are shown by one point."""
    upper, middle = ((0.74, 1.0), (0.42, 0.66)) if mapped else ((0.56, 1.0), (0.0, 0.44))
    count = profile.channel_error.size
    caption = "Channel (index)" if run == 1 else f"Channel (index), the worst of each {run} shown"
    span = [-0.02 * count - 0.5, 1.02 * count - 0.5]
    return {
        "xaxis": {
            "anchor": "y3" if mapped else "y2",
            "title": {"text": caption},
            "range": span,
            "exponentformat": "none",
        },
        "yaxis": {"domain": upper, "title": {"text": "Share of error (%)"}, "rangemode": "tozero"},
        "yaxis2": {"domain": middle, "title": {"text": "SQNR (dB)"}},
        # At the bottom there is room for the three lines it takes in a narrow column.
        "legend": {"y": 0, "yref": "container", "yanchor": "bottom"},
        "margin": {"t": 100, "b": 108},
    }


def pick_channels(profile: LayerProfile) -> tuple[NDArray[np.intp], int]:
    """The channels to draw, ascending, and how many neighbours each stands for: of every run the one that carries
    most error, the first of several.

    Of shape (shown,), at most CHANNEL_POINTS of them; all, each for itself, where there are no more.
    """
    share = profile.channel_share
    run = -(-share.size // CHANNEL_POINTS)
    padded = np.pad(share, (0, -share.size % run), constant_values=-1.0).reshape(-1, run)
    return padded.argmax(axis=1) + run * np.arange(len(padded)), run


def _draw_channels(figure: go.Figure, profile: LayerProfile, shown: NDArray[np.intp], theme: Theme) -> None:
    """Shares above and SQNR below, of the channels `shown` (shown,); what they are compared with; the stars' name."""
    colours = PALETTES[theme]
    percents, sqnr = 100 * profile.channel_share[shown], profile.channel_sqnr_db[shown]
    ratios = profile.outlier_ratios[shown]
    outliers = ratios >= OUTLIER_RATIO
    sizes_of = np.unique(profile.channel_count[shown])
    head = f"<b>channel %{{x}}</b>, {sizes_of[0]:,} weights<br>" if sizes_of.size == 1 else "<b>channel %{x}</b><br>"
    tail = "<br>max|x| %{text} × median<extra></extra>"
    # Lists, not arrays: a click hands customdata on as JSON, and a typed array would arrive there as an object.
    shared = {
        "x": shown,
        "customdata": [[int(channel)] for channel in shown],
        "text": [f"{ratio:.3g}" for ratio in ratios],
    }
    symbols = np.where(outliers, "star", "circle").tolist()
    sizes = np.where(outliers, 13, 5).astype(np.uint8)
    tint = [colours.clipped if outlier else colours.error for outlier in outliers]
    marker = {"symbol": symbols, "size": sizes, "color": tint}
    line = {"shape": "hvh", "width": 1, "color": colours.error}
    share_look = {"mode": "lines+markers", "line": line, "fill": "tozeroy", "fillcolor": fade(colours.error, 0.3)}
    hover = {"hovertemplate": f"{head}%{{y:.3~g}} % of the error{tail}"}
    figure.add_scatter(
        y=percents.astype(np.float32), marker=marker, name="share", showlegend=False, **share_look, **hover, **shared
    )
    finite = np.where(np.isfinite(sqnr), sqnr, np.nan).astype(np.float32)
    hover = {"hovertemplate": f"{head}%{{y:.2f}} dB{tail}"}
    figure.add_scatter(
        y=finite, yaxis="y2", mode="markers", marker=marker, name="SQNR", showlegend=False, **hover, **shared
    )
    _draw_levels(figure, profile, theme)
    if outliers.any():
        star = {"symbol": "star", "size": 12, "color": colours.clipped}
        name = f"outlier, max|x| ≥ {OUTLIER_RATIO:g} × median"
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=star, name=name)


def _draw_levels(figure: go.Figure, profile: LayerProfile, theme: Theme) -> None:
    """What the channels are compared with: 100 % over their number, and the SQNR of the whole layer where finite."""
    count = profile.channel_error.size
    even = {"color": PALETTES[theme].reference, "width": 1.5, "dash": "dash"}
    figure.add_scatter(
        x=[-0.5, count - 0.5],
        y=[100 / count] * 2,
        mode="lines",
        line=even,
        name="even share",
        hovertemplate="even share: %{y:.3~g} %<extra></extra>",
    )
    if profile.sqnr_db is not None and np.isfinite(profile.sqnr_db):
        figure.add_scatter(
            x=[-0.5, count - 0.5],
            y=[profile.sqnr_db] * 2,
            yaxis="y2",
            mode="lines",
            line=even | {"dash": "dot"},
            name="whole layer",
            hovertemplate="whole layer: %{y:.2f} dB<extra></extra>",
        )


def _draw_map(profile: LayerProfile, domain: tuple[float, float]) -> tuple[go.Heatmap, dict[str, Any]]:
    """The map by log10 of its mean squared errors, and what it adds to the layout; cells without error are empty."""
    cells, (wide, high) = shrink_map(profile.group_mse)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(cells > 0, np.log10(cells), np.nan)
    trace = go.Heatmap(
        x0=(wide - 1) / 2,
        dx=wide,
        y0=(high - 1) / 2,
        dy=high,
        z=z.T.astype(np.float32),
        yaxis="y3",
        coloraxis="coloraxis",
        hovertemplate="channel %{x:.0f}, group %{y:.0f}<br>mean e² = 10^%{z:.2f}<extra></extra>",
    )
    caption = "Group (index)" if (wide, high) == (1, 1) else f"Group (index), max of {wide} × {high}"
    groups = {
        "domain": domain,
        "title": {"text": caption},
        "range": [-0.5, profile.group_mse.shape[1] - 0.5],
        "showgrid": False,
        "exponentformat": "none",
    }
    return trace, {"yaxis3": groups, "coloraxis": _scale_map(z[np.isfinite(z)], domain[1])}


def _scale_map(known: NDArray[np.float64], height: float) -> dict[str, Any]:
    """The colour axis over the finite log10 `known`, of any number: whole powers of ten are named, or both ends where
    there is at most one. `height` is that of its bar, of 1.
    """
    low, top = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    powers = list(range(int(np.ceil(low)), int(np.floor(top)) + 1))
    ends = powers if len(powers) > 1 else [low, top]
    bar = {"title": {"text": "Mean e²"}, "tickvals": ends, "ticktext": [name_power(10.0**power) for power in ends]}
    return {
        "colorscale": MAGNITUDE,
        "reversescale": True,
        "cmin": low,
        "cmax": top if top > low else low + 1,
        "colorbar": bar | {"y": 0, "yanchor": "bottom", "len": height},
    }


def shrink_map(group_mse: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """The map with at most MAP_SIDE cells a side, each the largest of a block (NaN left out), and the block's
    (channels, groups).

    `group_mse` has shape (channels, groups), NaN where a group holds no finite value; a block of such cells stays
    NaN. A block at the far end may hold fewer cells. Block sides are (1, 1) up to MAP_SIDE cells a side, where the map
    is `group_mse` itself.

    >>> shrink_map(np.array([[0.1, np.nan]]))
    (array([[0.1, nan]]), (1, 1))
    """
    blocks = tuple(-(-side // MAP_SIDE) for side in group_mse.shape)
    filled = np.where(np.isnan(group_mse), -1.0, group_mse)
    for axis, block in enumerate(blocks):
        filled = np.maximum.reduceat(filled, np.arange(0, filled.shape[axis], block), axis=axis)
    return np.where(filled < 0, np.nan, filled), (blocks[0], blocks[1])


def _sentence(profile: LayerProfile) -> str:
    """The channel that carries most of the squared error, with its share; of equal ones the first."""
    if not profile.channel_share.any():
        return "no channel has any error"
    worst = profile.worst_channel
    return f"channel {worst} carries {percent(profile.channel_share[worst])} of the error"


def _title(profile: LayerProfile) -> str:
    return f"{escape(str(profile.scheme))}:<br>{_sentence(profile)}"


def _subtitle(profile: LayerProfile) -> str:
    """How the error is spread, where there are more than TOP_CHANNELS channels and any error; the widest channel."""
    count = profile.channel_error.size
    top = (
        f"the worst {TOP_CHANNELS} of {count:,} carry {percent(profile.top_share(TOP_CHANNELS))} ·<br>"
        if count > TOP_CHANNELS and profile.channel_share.any()
        else ""
    )
    ratio = profile.outlier_ratios[profile.outlier_channel]
    noun = "outlier channel" if ratio >= OUTLIER_RATIO else "largest channel"
    return f"{top}{noun} {profile.outlier_channel}: max|x| {ratio:.3g} × median"
