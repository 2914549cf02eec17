"""How are the scales of a tensor's blocks spread, and how does that move while a network is trained?"""

from __future__ import annotations

from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.charts.drawing import Drawing, draw
from qanalysis.charts.palette import MAGNITUDE, Theme
from qanalysis.charts.training_lines import History
from qanalysis.charts.training_sheet import HEIGHT, Look
from qanalysis.charts.wording import escape
from qanalysis.notation import percent, true_minus

MOST_COLUMNS = 300
"""Steps that the map shows: of more every second, every third and so on."""


def has_blocks(history: History, look: Look) -> bool:
    """Whether the tensor of the configuration in focus has blocks with scales of their own."""
    return any(counts for counts in history.read(look.line, "exponent_counts").tolist())


def block_map(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Share of the blocks whose scale is 2^e, by step and exponent e, in percent of the blocks of the step.

    Of the configuration in focus; for a tensor that `has_blocks`.
    """
    steps, exponents, shares = collect_blocks(history, look)
    apart = -(-len(steps) // MOST_COLUMNS)
    last = shares[:, -1]
    spread = exponents[last > 0]
    most = int(exponents[int(last.argmax())])
    head = f"Block scales: 2^{spread[0]} to 2^{spread[-1]}, {percent(float(last.max()))} at 2^{most}"
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": steps[::apart].astype(np.int32),
        "y": exponents.astype(np.int32),
        "z": (100 * shares[:, ::apart]).astype(np.float32),
        "coloraxis": "coloraxis",
        "name": escape(look.focus),
        "showlegend": False,
        "hovertemplate": "step %{x}, 2^%{y}: %{z:.3~g} %<extra></extra>",
    }
    return draw(
        [trace],
        true_minus(head),
        theme,
        alt=f"Scales of the blocks of {look.kind} of {look.layer} over steps; {look.focus}: {true_minus(head)}.",
        subtitle=f"{look.of} · {escape(look.focus)}",
        height=HEIGHT,
        xaxis={"title": {"text": "Step"}, "range": [0, max(look.end, 1)], "exponentformat": "none"},
        yaxis={"title": {"text": "Exponent e"}, "dtick": max(1, len(exponents) // 8)},
        coloraxis={"colorscale": MAGNITUDE, "colorbar": {"title": {"text": "Blocks (%)"}}, "cmin": 0},
    )


def collect_blocks(history: History, look: Look) -> tuple[Codes, Codes, Doubles]:
    """Steps (n,), exponents (m,) and the share of blocks (m, n) with each exponent at each step; steps without blocks
    are left out.
    """
    cells = zip(
        history.steps_of(look.line).tolist(),
        history.read(look.line, "first_exponent").tolist(),
        history.read(look.line, "exponent_counts").tolist(),
        strict=True,
    )
    held = [(step, int(first), counts) for step, first, counts in cells if counts]
    low = min(first for _step, first, _counts in held)
    high = max(first + len(counts) for _step, first, counts in held)
    shares = np.zeros((high - low, len(held)))
    for place, (_step, first, counts) in enumerate(held):
        shares[first - low : first - low + len(counts), place] = np.asarray(counts) / sum(counts)
    return np.array([step for step, _first, _counts in held], np.int64), np.arange(low, high, dtype=np.int64), shares
