"""Which experts did calibration reach? How often each was called, layer by layer, and which ones never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme
from qanalysis.charts.sensitivity_map import still_axis
from qanalysis.charts.wording import count_of, escape, label_layers

_ROW, _HEADER = 24, 72


def read_calls(part: Any) -> dict[str, Sequence[float]]:
    """The calls of each expert by layer, in what a document tells of activations; nothing where it does not."""
    found = part.get("expert_calls") if isinstance(part, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {str(layer): calls for layer, calls in found.items() if _are_numbers(calls)}


def _are_numbers(calls: Any) -> bool:
    return isinstance(calls, Sequence) and all(type(one) in (int, float) for one in calls)


def expert_map(calls: Mapping[str, Sequence[float]], *, theme: Theme = "light") -> Drawing | None:
    """Experts across by layers downwards, coloured by how often each was called; those never called are crossed out.

    `calls` are the calls of each expert by layer. None without any layer.
    """
    layers = [layer for layer, counts in calls.items() if len(counts)]
    if not layers:
        return None
    width = max(len(calls[layer]) for layer in layers)
    values = np.full((len(layers), width), np.nan)
    for place, layer in enumerate(layers):
        values[place, : len(calls[layer])] = calls[layer]
    never, experts = np.argwhere(values == 0).tolist(), int(np.isfinite(values).sum())
    labels = label_layers(layers, 28)
    told = f"{count_of(len(never), 'expert')} of {experts:,} never seen in calibration"
    across = {"title": {"text": "Expert (number)"}, "range": [-0.5, width - 0.5], "showgrid": False}
    return draw(
        [_draw_calls(layers, values), *([_cross_out(never, theme)] if never else [])],
        "Calls by expert",
        theme,
        subtitle=f"{told}{' (crossed out)' if never else ''}",
        alt=f"Calls of {experts:,} experts in {count_of(len(layers), 'layer')}: {told}.",
        height=max(240, _HEADER + 90 + _ROW * len(layers)),
        margin={"t": _HEADER + 12, "b": 48, "l": 12, "r": 12},
        showlegend=False,
        xaxis={**across, "dtick": max(1, width // 16)},
        yaxis=still_axis([escape(labels[layer]) for layer in layers]) | {"range": [len(layers) - 0.5, -0.5]},
    )


def _draw_calls(layers: Sequence[str], values: Doubles) -> dict[str, Any]:
    """The calls as colours; experts without any, and places without an expert, are left empty."""
    named = [
        [["", 0, None] if np.isnan(calls) else [layer, expert, calls] for expert, calls in enumerate(line)]
        for layer, line in zip(layers, values.tolist(), strict=True)
    ]
    return {
        "type": "heatmap", "z": np.where(values == 0, np.nan, values), "zmin": 0.0,
        "zmax": float(np.nanmax(values)) or 1.0, "x0": 0, "dx": 1, "y0": 0, "dy": 1, "customdata": named,
        "colorscale": MAGNITUDE, "xgap": 1, "ygap": 1, "hoverongaps": False, "showlegend": False,
        "colorbar": {"thickness": 12, "outlinewidth": 0}
        | {"title": {"text": "Calls (count)", "side": "right", "font": {"size": 12}}},
        "hovertemplate": "%{customdata[0]}, expert %{customdata[1]}<br>%{z:,} calls<extra></extra>",
        "meta": ["Layer", "Expert", "Calls"],
    }  # fmt: skip


def _cross_out(never: Sequence[Sequence[int]], theme: Theme) -> dict[str, Any]:
    cross = {"symbol": "x-thin", "size": 10, "line": {"width": 2, "color": PALETTES[theme].clipped}}
    return line(
        x=[x for _, x in never],
        y=[y for y, _ in never],
        mode="markers",
        name="never seen in calibration",
        marker=cross,
        hovertemplate="%{x}: never seen in calibration<extra></extra>",
    )
