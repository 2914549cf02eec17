"""How do two sources differ? Tensors by their error, and one from inside: values on common axes, and their places."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme, fade
from qanalysis.charts.wording import count_of, escape, label_layers
from qanalysis.comparisons.portrait import Portrait
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.notation import decibels, percent, plain

HEIGHT = 380
MOST_BARS = 20
FEWEST_SLOTS = 8  # room for bars: fewer are no thicker
BAR = 18  # pixels of height
_LEGEND = {"legend": {"y": -0.2, "yanchor": "top"}, "showlegend": True, "margin": {"t": 92, "b": 76}}


def draw_values(portrait: Portrait, *, log_counts: bool = False, theme: Theme = "light") -> Drawing:
    """Counts of the values of A (filled) and of B (a line) in the same bins, on the same axes."""
    colours = PALETTES[theme]
    total = int(portrait.counts_a.sum())
    traces = [
        _stairs(portrait.edges, portrait.counts_a, "A", colours.kept, log=log_counts, fill=True),
        _stairs(portrait.edges, portrait.counts_b, "B", colours.clipped, log=log_counts, dash="solid"),
    ]
    return draw(
        traces,
        "Values of A and of B",
        theme,
        subtitle=f"{count_of(total, 'value')} each, {count_of(len(portrait.counts_a), 'bin')} common to both",
        alt=_tell_values(portrait, total),
        height=HEIGHT,
        xaxis={"title": {"text": "Value"}},
        yaxis=_count_axis(log=log_counts),
        **_LEGEND,
    )


def draw_difference(portrait: Portrait, *, log_counts: bool = False, theme: Theme = "light") -> Drawing:
    """Counts of e = b − a; the axis is symmetric, so that a bias shows as a shift."""
    colours = PALETTES[theme]
    reach = float(portrait.error_edges[-1])
    total = int(portrait.error_counts.sum())
    return draw(
        [_stairs(portrait.error_edges, portrait.error_counts, "b − a", colours.error, log=log_counts, fill=True)],
        "Difference b − a",
        theme,
        subtitle=f"largest {plain(reach)}",
        alt=f"Histogram of the difference b − a of {count_of(total, 'value')}; the largest is {plain(reach)}.",
        height=HEIGHT,
        xaxis={"title": {"text": "b − a"}},
        yaxis=_count_axis(log=log_counts),
        **_LEGEND | {"showlegend": False},
    )


def draw_places(portrait: Portrait, *, theme: Theme = "light") -> Drawing:
    """Where in the matrix B differs: √mean (b − a)² of blocks, output channels down, what they sum over along."""
    rms = portrait.rms
    rows = [_name_block(at, portrait.row_step, len(portrait.row_energy)) for at in range(rms.shape[0])]
    finite = rms[np.isfinite(rms)]
    worst = _name_worst(portrait)
    trace = {
        "type": "heatmap",
        "z": rms,
        "y": [at * portrait.row_step for at in range(rms.shape[0])],
        "x": [at * portrait.column_step for at in range(rms.shape[1])],
        "colorscale": MAGNITUDE,
        "zmin": 0.0,
        "zmax": float(finite.max()) if finite.size and finite.max() > 0 else 1.0,
        "text": [[row] * rms.shape[1] for row in rows],
        "hovertemplate": "%{text}<br>columns from %{x}<br>RMS of b − a %{z:.3g}<extra></extra>",
        "colorbar": {"title": {"text": "RMS of b − a"}},
        "hoverongaps": False,
    }
    blocks = f"blocks of {count_of(portrait.row_step, 'channel')} by {count_of(portrait.column_step, 'column')}"
    return draw(
        [trace],
        "Where they differ",
        theme,
        subtitle=f"{blocks} · {worst}",
        alt=f"Map of the root mean square of b − a over {blocks}; {worst}.",
        height=HEIGHT,
        xaxis={"title": {"text": "Column"}, "showgrid": False},
        yaxis={"title": {"text": "Output channel"}, "autorange": "reversed", "showgrid": False},
        margin={"t": 92, "b": 56},
    )


def _name_worst(portrait: Portrait) -> str:
    """The channel that holds more than its part of the error: the row or the column that stands out more."""
    (row, of_row), (column, of_column) = portrait.worst_row, portrait.worst_column
    if not of_row:
        return "no difference"
    if of_column * len(portrait.column_energy) > of_row * len(portrait.row_energy):
        return f"column {column} holds {percent(of_column)} of the error energy"
    return f"output channel {row} holds {percent(of_row)} of the error energy"


def draw_ranks(
    rows: Sequence[ComparisonRow],
    names: Sequence[str],
    *,
    chosen: str = "",
    failing: Container[str] = (),
    theme: Theme = "light",
) -> Drawing | None:
    """SQNR of B against A of the tensors that differ, worst first, at most `MOST_BARS`; a mark where theory lies.

    None where no tensor has a finite figure. `names` tell the rows apart; `chosen` is that of the bar that is filled,
    `failing` those that a gate does not let pass.
    """
    pairs = zip(rows, names, strict=True)
    known = sorted(
        ((row, name) for row, name in pairs if row.sqnr_db is not None and math.isfinite(row.sqnr_db)),
        key=lambda pair: _sqnr(pair[0]),
    )
    if not known:
        return None
    colours = PALETTES[theme]
    shown, names = [row for row, _name in known[:MOST_BARS]], [name for _row, name in known[:MOST_BARS]]
    tints = [(colours.clipped if name in failing else colours.kept, name) for name in names]
    told = [escape(f"{name}: {decibels(row.sqnr_db)}. {row.reason}") for name, row in zip(names, shown, strict=True)]
    marker = {"color": [tint if name == chosen else fade(tint, 0.55) for tint, name in tints]}
    bars = lay_bars(names, [row.sqnr_db for row in shown], told, marker)
    marks = _mark_theory(shown, colours.text)
    among = f"worst {len(shown)} of {len(known):,}" if len(known) > len(shown) else _count_differing(len(known))
    return draw(
        [bars, *marks],
        "SQNR of B against A",
        theme,
        subtitle=f"{among}; A is the signal, b − a the noise",
        alt=f"SQNR of {count_of(len(shown), 'tensor')}: worst {names[0]} with {decibels(shown[0].sqnr_db)}.",
        height=max(HEIGHT, 150 + BAR * len(shown)),
        xaxis={"title": {"text": "SQNR (dB)"}},
        yaxis=name_axis(names),
        margin={"t": 92, "b": 70},
        legend={"y": -0.2, "yanchor": "top"},
        showlegend=bool(marks),
    )


def lay_bars(
    names: Sequence[str], figures: Sequence[Any], told: Sequence[str], marker: dict[str, Any]
) -> dict[str, Any]:
    """Bars from above in the order of the names; `told` is what hovering says, escaped."""
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(figures),
        "y": list(range(len(names))),
        "name": "B against A",
        # A point says layer and scheme to the page: of rows there is the first alone.
        "customdata": [[name, ""] for name in names],
        "text": list(told),
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "width": 0.7,
        "marker": marker,
        "showlegend": False,
    }


def name_axis(names: Sequence[str]) -> dict[str, Any]:
    """The axis beside such bars, with room for a few of them at least."""
    labels = label_layers(names)
    return {
        "range": [max(len(names), FEWEST_SLOTS) - 0.5, -0.5],
        "tickvals": list(range(len(names))),
        "ticktext": [escape(labels[name]) for name in names],
        "showgrid": False,
        "automargin": True,
    }


def _mark_theory(rows: Sequence[ComparisonRow], colour: str) -> list[dict[str, Any]]:
    """A mark on each bar where Gaussian values would lie; none where nothing is predicted."""
    predicted = [(place, row.theory_sqnr_db) for place, row in enumerate(rows) if row.theory_sqnr_db]
    marks = line(
        x=[theory for _place, theory in predicted],
        y=[place for place, _theory in predicted],
        mode="markers",
        name="Gaussian values in B's format",
        marker={"symbol": "line-ns-open", "size": 14, "color": colour, "line": {"width": 2}},
        hovertemplate="predicted %{x:.2f} dB<extra></extra>",
    )
    return [marks] if predicted else []


def _count_differing(number: int) -> str:
    return "the one that differs" if number == 1 else f"all {number} that differ"


def _sqnr(row: ComparisonRow) -> float:
    return math.inf if row.sqnr_db is None else row.sqnr_db


def _stairs(
    edges: Doubles, counts: Codes, name: str, colour: str, *, log: bool, fill: bool = False, dash: str = "solid"
) -> dict[str, Any]:
    """A histogram as one line with steps; empty bins break a logarithmic one."""
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2).astype(np.float64)
    if log:
        y[y == 0] = np.nan
    filled = {"fill": "tozeroy", "fillcolor": fade(colour, 0.3)} if fill and not log else {}
    return line(
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        mode="lines",
        name=name,
        line={"color": colour, "width": 1.5, "dash": dash},
        hovertemplate=f"{name}: %{{y:,}} at %{{x:.4g}}<extra></extra>",
        **filled,
    )


def _count_axis(*, log: bool) -> dict[str, Any]:
    return {"title": {"text": "Values per bin"}, **({"type": "log"} if log else {"rangemode": "tozero"})}


def _tell_values(portrait: Portrait, total: int) -> str:
    low, high = plain(float(portrait.edges[0])), plain(float(portrait.edges[-1]))
    filled = [int(np.count_nonzero(counts)) for counts in (portrait.counts_a, portrait.counts_b)]
    return (
        f"Histograms of {count_of(total, 'value')} of A and of B from {low} to {high}: "
        f"A fills {filled[0]} of {len(portrait.counts_a)} bins, B {filled[1]}."
    )


def _name_block(at: int, step: int, rows: int) -> str:
    first, last = at * step, min((at + 1) * step, rows) - 1
    return f"channel {first}" if first == last else f"channels {first} to {last}"
