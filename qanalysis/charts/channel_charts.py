"""Which channels and groups carry the error? Shares and SQNR by channel, and a map of channels by groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.layer_charts import NO_LAYER
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme, begin, empty_state, fade, finish
from qanalysis.charts.wording import escape, name_power
from qanalysis.diagnosis.profile import OUTLIER_RATIO, LayerProfile
from qanalysis.notation import percent

CHANNEL_POINTS = 128  # more channels are shown by the worst of each run of neighbours: a step must redraw them all
MAP_SIDE = 128  # cells of the map along each side; larger maps show the largest error of each block
TOP_CHANNELS = 5


def channel_errors(profile: LayerProfile | None, *, axes: LayerAxes | None = None, theme: Theme = "light") -> go.Figure:
    """Each channel's share of the layer's squared error, and its SQNR.

    Shares are in percent of the layer's squared error, SQNR in dB. Outlier channels (max|x| at least OUTLIER_RATIO
    times the median channel's) carry stars. Always six traces.

    Parameters
    ----------
    profile : errors of shape (channels,). A channel without any error, or without a signal, has no SQNR to draw. Of
        more than CHANNEL_POINTS channels the worst of each run stands for its neighbours. None gives the empty state.
    axes : the vertical axes, where several profiles of the layer share them; those of this profile by default.

    Title and alternative text name the channel that carries most of the error, or say that none has any.
    """
    if profile is None:
        return empty_state(*NO_LAYER, theme, height=420)
    return draw_channels(profile, axes or LayerAxes.over([profile]), theme=theme).to_figure()


def draw_channels(profile: LayerProfile, axes: LayerAxes, *, theme: Theme = "light") -> Drawing:
    """The drawing behind `channel_errors`."""
    shown, run = pick_channels(profile)
    return draw(
        [*_draw_channels(profile, shown, theme), *_draw_levels(profile, theme)],
        _title(profile),
        theme,
        alt=f"Error by channel of {profile.name or 'the layer'} under {profile.scheme}: {_sentence(profile)}.",
        subtitle=_subtitle(profile),
        height=488,
        **_lay_out(profile, axes, run),
    )


def group_errors(profile: LayerProfile | None, *, theme: Theme = "light") -> go.Figure:
    """A map of the mean e² by channel and group, dark is good; None, or a single group per channel, gives the empty
    state.

    Groups of shape (channels, groups per channel); a cell without error stays empty. Of more than MAP_SIDE channels or
    groups a cell shows the largest error of its block.
    """
    if profile is None:
        return empty_state(*NO_LAYER, theme, height=420)
    if profile.group_mse.shape[1] < 2:
        return empty_state("One group per channel.", "The chart of channels shows the same error.", theme, height=120)
    cells, (wide, high) = shrink_map(profile.group_mse)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(cells > 0, np.log10(cells), np.nan)
    block = "" if (wide, high) == (1, 1) else f", a cell is the largest of {wide} × {high}"
    still = {"showgrid": False, "exponentformat": "none"}
    figure = begin(
        f"{escape(str(profile.scheme))}: mean e² by channel and group",
        theme,
        subtitle=f"{profile.group_mse.shape[0]:,} channels × {profile.group_mse.shape[1]:,} groups{block}",
        height=380,
        xaxis={"title": {"text": "Channel (index)"}, **still},
        yaxis={"title": {"text": "Group (index)"}, "range": [-0.5, profile.group_mse.shape[1] - 0.5], **still},
        coloraxis=_scale_map(z[np.isfinite(z)]),
    )
    figure.add_heatmap(
        x0=(wide - 1) / 2,
        dx=wide,
        y0=(high - 1) / 2,
        dy=high,
        z=z.T.astype(np.float32),
        coloraxis="coloraxis",
        hovertemplate="channel %{x:.0f}, group %{y:.0f}<br>mean e² = 10^%{z:.2f}<extra></extra>",
    )
    return finish(
        figure, f"Map of the error of {profile.name or 'the layer'} under {profile.scheme} by channel and group."
    )


def _lay_out(profile: LayerProfile, axes: LayerAxes, run: int) -> dict[str, Any]:
    """Two panels over each other; `run` channels are shown by one point."""
    count = profile.channel_error.size
    caption = "Channel (index)" if run == 1 else f"Channel (index), the worst of each {run} shown"
    span = [-0.02 * count - 0.5, 1.02 * count - 0.5]
    return {
        "xaxis": {"anchor": "y2", "title": {"text": caption}, "range": span, "exponentformat": "none"},
        "yaxis": {"domain": [0.56, 1.0], **axes.of_share()},
        "yaxis2": {"domain": [0.0, 0.44], **axes.of_sqnr()},
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


def _draw_channels(profile: LayerProfile, shown: NDArray[np.intp], theme: Theme) -> list[dict[str, Any]]:
    """Shares above and SQNR below, of the channels `shown` (shown,), and the outliers among them once more as stars.

    Customdata is max|x| over that of the median channel.
    """
    colours = PALETTES[theme]
    percents = (100 * profile.channel_share[shown]).astype(np.float32)
    sqnr = np.where(np.isfinite(profile.channel_sqnr_db), profile.channel_sqnr_db, np.nan)[shown].astype(np.float32)
    ratios = profile.outlier_ratios[shown]
    outliers = ratios >= OUTLIER_RATIO
    sizes_of = np.unique(profile.channel_count[shown])
    head = f"<b>channel %{{x}}</b>, {sizes_of[0]:,} weights<br>" if sizes_of.size == 1 else "<b>channel %{x}</b><br>"
    tail = "<br>max|x| %{customdata:.3~g} × median<extra></extra>"
    shared = {"x": shown.astype(np.int32), "customdata": ratios.astype(np.float32), "showlegend": False}
    stair = {"shape": "hvh", "width": 1, "color": colours.error}
    dot = {"symbol": "circle", "size": 5, "color": colours.error}
    look = {
        "mode": "lines+markers",
        "line": stair,
        "marker": dot,
        "fill": "tozeroy",
        "fillcolor": fade(colours.error, 0.3),
    }
    share_hover, sqnr_hover = f"{head}%{{y:.3~g}} % of the error{tail}", f"{head}%{{y:.2f}} dB{tail}"
    star = {"symbol": "star", "size": 12, "color": colours.clipped}
    which = {"x": shown[outliers].astype(np.int32), "customdata": ratios[outliers].astype(np.float32)}
    stars = {"mode": "markers", "marker": star, **which}
    name = f"outlier, max|x| ≥ {OUTLIER_RATIO:g} × median"
    return [
        line(y=percents, name="share", hovertemplate=share_hover, **look, **shared),
        line(y=sqnr, yaxis="y2", mode="markers", marker=dot, name="SQNR", hovertemplate=sqnr_hover, **shared),
        line(y=percents[outliers], name=name, showlegend=bool(outliers.any()), hovertemplate=share_hover, **stars),
        line(y=sqnr[outliers], yaxis="y2", name=name, showlegend=False, hovertemplate=sqnr_hover, **stars),
    ]


def _draw_levels(profile: LayerProfile, theme: Theme) -> list[dict[str, Any]]:
    """What the channels are compared with: 100 % over their number, and the SQNR of the whole layer where finite."""
    ends = [-0.5, profile.channel_error.size - 0.5]
    even = {"color": PALETTES[theme].reference, "width": 1.5, "dash": "dash"}
    whole = profile.sqnr_db if profile.sqnr_db is not None and np.isfinite(profile.sqnr_db) else None
    return [
        line(
            x=ends,
            y=[100 / profile.channel_error.size] * 2,
            mode="lines",
            line=even,
            name="even share",
            hovertemplate="even share: %{y:.3~g} %<extra></extra>",
        ),
        line(
            x=ends,
            y=[whole] * 2,
            yaxis="y2",
            mode="lines",
            line=even | {"dash": "dot"},
            name="whole layer",
            showlegend=whole is not None,
            hovertemplate="whole layer: %{y:.2f} dB<extra></extra>",
        ),
    ]


def _scale_map(known: NDArray[np.float64]) -> dict[str, Any]:
    """The colour axis over the finite log10 `known`, of any number: whole powers of ten are named, or both ends where
    there is at most one.
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
        "colorbar": bar,
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
    return f"{escape(str(profile.scheme))}: {_sentence(profile)}"


def _subtitle(profile: LayerProfile) -> str:
    """How the error is spread, where there are more than TOP_CHANNELS channels and any error; the widest channel."""
    count = profile.channel_error.size
    top = (
        f"the worst {TOP_CHANNELS} of {count:,} carry {percent(profile.top_share(TOP_CHANNELS))} · "
        if count > TOP_CHANNELS and profile.channel_share.any()
        else ""
    )
    ratio = profile.outlier_ratios[profile.outlier_channel]
    noun = "outlier channel" if ratio >= OUTLIER_RATIO else "largest channel"
    return f"{top}{noun} {profile.outlier_channel}: max|x| {ratio:.3g} × median"
