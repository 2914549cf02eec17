"""Which charts has a sensitivity? All that its rows and its document can fill, by name, for a page and for a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qanalysis.charts.drawing import Drawing
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.sensitivity_bars import cumulative_curve, ranked_bars
from qanalysis.charts.sensitivity_experts import expert_map, read_calls
from qanalysis.charts.sensitivity_map import sensitivity_map
from qanalysis.charts.sensitivity_pairs import measure_pairs
from qanalysis.charts.sensitivity_sheet import COLUMNS, MEASURES, Look, Sheet, find_ends, tell_value
from qanalysis.charts.sensitivity_sums import additivity_chart
from qanalysis.charts.wording import label_layers
from qanalysis.models.sensitivity.row import SensitivityRow

ORDER = ("s-map", "s-bars", "s-curve", "s-pairs", "s-sums", "s-experts")
_FAVOURITES = ("layer_output_error", "output_kl", "loss_delta", "output_sqnr_db")


def draw_all(sheet: Sheet, look: Look, other: str | None) -> dict[str, Drawing]:
    """Every chart that has something to show, in their order; `other` is the measure that pairs are held against."""
    drawn = {
        "s-map": sensitivity_map(sheet, look),
        "s-bars": ranked_bars(sheet, look),
        "s-curve": cumulative_curve(sheet, look),
        "s-pairs": measure_pairs(sheet, look, other) if other else None,
        "s-sums": additivity_chart(sheet, look.metric),
        "s-experts": expert_map(read_calls(sheet.part("activations"))),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def name_other(sheet: Sheet, look: Look) -> str | None:
    """The measure to hold the one in view against where nobody has chosen: one that needs no run of the model first."""
    known = sheet.list_measures()
    return next((name for name in (*_FAVOURITES, *known) if name in known and name != look.metric), None)


def tabulate_ranks(sheet: Sheet, look: Look, *, height: int | None = None) -> TablePanel:
    """One line per layer of the measurement in view, the one that hurts most first and those without figures last, a
    layer to be chosen by its tensor.
    """
    ranked = sheet.rank(look)
    rows = [*ranked, *(row for row in sheet.choose(look) if getattr(row, look.metric) is None)]
    names = [row.tensor for row in rows]
    labels = label_layers(names) if names else {}
    known = [name for name in MEASURES if any(getattr(row, name) is not None for row in rows)]
    measures = list(dict.fromkeys((look.metric, *known)))
    columns = [
        ShownColumn("tensor", "Layer", [labels[name] for name in names], note=COLUMNS["tensor"].meaning),
        *([_list_ranks(rows)] if sheet.is_ranked(look) else []),
        _list_figures(rows, measures[0]),
        _list_ends(rows, measures[0]),
        *(_list_figures(rows, name) for name in measures[1:]),
        _list_figures(rows, "bits_per_weight"),
        _list_figures(rows, "size_bytes"),
        ShownColumn("status", "Status", [row.status for row in rows], note=COLUMNS["status"].meaning),
        ShownColumn("reason", "Reason", [row.reason for row in rows], note=COLUMNS["reason"].meaning),
    ]
    return TablePanel("ranks", "Layers of the measurement in view", columns, names, height=height)


def _list_ranks(rows: Sequence[SensitivityRow]) -> ShownColumn:
    values = [row.rank for row in rows]
    return ShownColumn(
        "rank", "Rank", ["–" if one is None else str(one) for one in values], values, COLUMNS["rank"].meaning
    )


def _list_figures(rows: Sequence[SensitivityRow], name: str) -> ShownColumn:
    column = COLUMNS[name]
    values: list[Any] = [getattr(row, name) for row in rows]
    texts = ["–" if value is None else tell_value(name, value) for value in values]
    return ShownColumn(name, column.label, texts, values, column.meaning)


def _list_ends(rows: Sequence[SensitivityRow], metric: str) -> ShownColumn:
    ends = [find_ends(row, metric) for row in rows]
    texts = ["–" if pair is None else " to ".join(tell_value(metric, end) for end in pair) for pair in ends]
    return ShownColumn(f"{metric}_low_high", "95 % interval", texts, note="of the figure, samples drawn anew")
