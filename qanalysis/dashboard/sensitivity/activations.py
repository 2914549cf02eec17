"""What does quantizing a layer's input lose, which features are outliers, what would smoothing gain? Activations in
sight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.linked.scene import Panel, build_part, build_still
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.sensitivity_experts import expert_map, read_calls
from qanalysis.charts.wording import count_of
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import NOTHING, count, percent, plain, signed
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row

TABLE_HEIGHT = 320
_CREST, _TIMES = "Crest factor (dB)", "Largest feature, times the median"


def draw_activations(table: Table[Row]) -> None:
    """Headline, the map of activations by schemes, the figures of each, cures of linear layers, calls of experts,
    downloads.
    """
    seen = table.more.get("activations")
    told: Mapping[str, Any] = seen if isinstance(seen, Mapping) else {}
    name = name_source(table.source.path) if table.source else "the model"
    places = len(set(table.column("tensor").tolist()))
    samples = told.get("samples")
    over = f", over {count_of(samples, 'sample')}" if isinstance(samples, int) else ""
    headline = f"What {count_of(places, 'activation')} lose when they are quantized: {name}{over}"
    st.markdown(f"#### {escape_markdown(headline)}")
    notes = list_notes(table.coverage)
    if notes:
        st.caption(escape_markdown(" · ".join(notes)))
    experts = expert_map(read_calls(told))
    panels = [Panel("a-map", heat_map(list(table), "sqnr_db"), kind="grid")]
    panels += [Panel("a-experts", experts)] if experts is not None else []
    part = build_part([panels], layout="converter", order=["a-map", "a-experts"], wide=["a-map"])
    draw_linked(PARTS.put(part), "activation-charts", at={}, on_ask=_ignore)
    _draw_table("seen", "**What was seen**: the largest values of each, and how far they stand out", _list_seen(told))
    _draw_table("cures", "**Cures**: SQNR of a layer's output as it is, smoothed and rotated", _list_cures(told))
    state = "" if table.complete else " The work was cancelled: these are the rows so far."
    st.caption(f"{count(len(table), 'rows')} with every column and what was seen.{state}")
    draw_export(table, SensitivityView, "save", Extras())


def _ignore(_asked: dict[str, Any]) -> None:
    """Nothing is chosen in these charts."""


def _draw_table(key: str, heading: str, panel: TablePanel | None) -> None:
    if panel is not None:
        st.markdown(heading)
        draw_linked(PARTS.put(build_still(panel.describe())), f"{key}-table", at={}, on_ask=_ignore)


def _list_entries(told: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = told.get(name)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, Sequence) else []


def _list_seen(told: Mapping[str, Any]) -> TablePanel | None:
    """One line per activation: range, crest factor, outliers."""
    entries = _list_entries(told, "layers")
    if not entries:
        return None
    names = [str(entry.get("name", "")) for entry in entries]
    first = [next(iter(_list_entries(entry, "outliers")), {}) for entry in entries]
    columns = [
        ShownColumn("name", "Activation", names),
        _list_numbers("features", "Features", [entry.get("features") for entry in entries]),
        _list_numbers("tokens", "Tokens", [entry.get("tokens") for entry in entries]),
        _list_numbers("low", "Lowest", [entry.get("low") for entry in entries]),
        _list_numbers("high", "Highest", [entry.get("high") for entry in entries]),
        _list_numbers("crest_db", _CREST, [entry.get("crest_db") for entry in entries], decimals=1),
        _list_numbers("outlier_features", "Outlier features", [entry.get("outlier_features") for entry in entries]),
        _list_numbers("feature", "Largest feature", [entry.get("feature") for entry in first]),
        _list_numbers("times_median", _TIMES, [entry.get("times_median") for entry in first]),
        ShownColumn(
            "energy_share", "Its share of the energy", [_tell_share(entry.get("energy_share")) for entry in first]
        ),
    ]
    return TablePanel("seen", "What was seen of each activation", columns, names, pick=False, height=TABLE_HEIGHT)


def _list_cures(told: Mapping[str, Any]) -> TablePanel | None:
    """One line per linear layer and scheme: what smoothing and rotating gain at its output."""
    entries = _list_entries(told, "cures")
    if not entries:
        return None
    names = [f"{entry.get('layer', '')} · {entry.get('scheme', '')}" for entry in entries]
    figures = {
        "plain_db": "As it is (dB)",
        "best_alpha": "Best α",
        "best_smooth_gain_db": "Smoothing gains (dB)",
        "hadamard_gain_db": "Rotating gains (dB)",
    }
    columns = [
        ShownColumn("layer", "Layer", [str(entry.get("layer", "")) for entry in entries]),
        ShownColumn("scheme", "Scheme", [str(entry.get("scheme", "")) for entry in entries]),
        *(
            _list_numbers(
                name, heading, [entry.get(name) for entry in entries], decimals=2 if "dB" in heading else None
            )
            for name, heading in figures.items()
        ),
    ]
    basis = told.get("cure_basis")
    caption = basis if isinstance(basis, str) else ""
    return TablePanel("cures", "Cures", columns, names, pick=False, height=TABLE_HEIGHT, caption=caption)


def _list_numbers(name: str, heading: str, values: Sequence[Any], *, decimals: int | None = None) -> ShownColumn:
    known = [float(value) if type(value) in (int, float) else None for value in values]
    texts = [NOTHING if value is None else _write(value, decimals) for value in known]
    return ShownColumn(name, heading, texts, known)


def _write(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return signed(value, f".{decimals}f")
    return f"{value:,.0f}" if value.is_integer() else plain(value)


def _tell_share(value: Any) -> str:
    return percent(value) if type(value) in (int, float) else NOTHING
