"""How does a single weight move over its grid? Latent values and the levels that they are rounded to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.training_sheet import TALL, Look
from qanalysis.charts.wording import escape
from qanalysis.notation import plain

MOST_LEVELS = 24
"""Levels of the grid that are drawn as lines; of a finer grid none."""
Path = Mapping[str, Any]
"""configuration, layer, index; and step, x, y, step_size, each a list with one value a step."""


def choose_paths(paths: Sequence[Path], look: Look) -> list[Path]:
    """The paths of the layer in the configuration in focus."""
    return [path for path in paths if (path["configuration"], path["layer"]) == (look.focus, look.layer)]


def path_lines(paths: Sequence[Path], look: Look, *, theme: Theme = "light") -> Drawing:
    """Latent value (thin) and level (thick) of each weight over the steps, over lines at the levels of the last grid.

    `paths` are those of one layer of one configuration, at least one.
    """
    colours = PALETTES[theme]
    traces: list[dict[str, Any]] = []
    for place, path in enumerate(paths):
        colour, steps = colours.categories[place % len(colours.categories)], np.asarray(path["step"], np.int32)
        weight = f"weight {path['index']}"
        for key, told, look_of in (("x", "latent", {"width": 1.2}), ("y", "level", {"width": 2.5, "shape": "hv"})):
            traces.append(
                line(
                    x=steps,
                    y=np.asarray(path[key], np.float32),
                    mode="lines",
                    name=escape(f"{weight}, {told}"),
                    line={"color": colour, "dash": "solid" if key == "y" else "dot", **look_of},
                    hovertemplate="step %{x}: %{y:.4~g}",
                )
            )
    span = _find_span(paths)
    moves = [count_moves(path) for path in paths]
    most = int(np.argmax(moves))
    times = "once" if moves[most] == 1 else f"{moves[most]:,} times"
    head = f"Weight {paths[most]['index']} changes its level {times}"
    return draw(
        traces,
        head,
        theme,
        alt=f"Paths of {len(paths)} weights of {look.layer}; {look.focus}: {head[0].lower()}{head[1:]}.",
        subtitle=f"{escape(look.layer)} of {escape(look.focus)} · step {plain(_last_step_size(paths[0]), digits=4)}",
        height=TALL,
        xaxis={"title": {"text": "Step"}, "range": [0, max(look.end, 1)], "exponentformat": "none"},
        yaxis={"title": {"text": "Weight"}, "range": span},
        shapes=_draw_levels(_last_step_size(paths[0]), span, colours.muted),
    )


def count_moves(path: Path) -> int:
    """How often a weight changed its level, counted in steps of the grid, whose size may move too.

    >>> count_moves({"y": [0.5, 1.0, 0.5, 0.5], "step_size": [0.5, 0.5, 0.5, 0.5]})
    2
    """
    codes = [round(y / size) if size > 0 else 0 for y, size in zip(path["y"], path["step_size"], strict=True)]
    return sum(one != other for one, other in pairwise(codes))


def _last_step_size(path: Path) -> float:
    return float(path["step_size"][-1]) if path["step_size"] else math.nan


def _find_span(paths: Sequence[Path]) -> list[float]:
    """All values with half a step of room around them."""
    values = np.concatenate([np.asarray([*path["x"], *path["y"]], np.float64) for path in paths])
    known = values[np.isfinite(values)]
    if not known.size:
        return [-1.0, 1.0]
    size = _last_step_size(paths[0])
    room = size / 2 if math.isfinite(size) and size > 0 else 0.05 * float(np.ptp(known)) or 1.0
    return [float(known.min()) - room, float(known.max()) + room]


def _draw_levels(size: float, span: Sequence[float], colour: str) -> list[dict[str, Any]]:
    if not size > 0 or (span[1] - span[0]) / size > MOST_LEVELS:
        return []
    levels = size * np.arange(math.ceil(span[0] / size), math.floor(span[1] / size) + 1)
    pen = {"color": colour, "width": 0.6}
    place = {"type": "line", "layer": "below", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "line": pen}
    return [{**place, "y0": float(level), "y1": float(level)} for level in levels]
