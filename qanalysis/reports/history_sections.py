"""What is told of a quantized training, and of rules over statistics? A line per configuration, then the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.charts.wording import count_of
from qanalysis.notation import decibels, percent, plain
from qanalysis.reports.common_sections import define_columns, list_limits, tell_coverage
from qanalysis.reports.outline import Grid, Outline, Section
from qanalysis.results.table import Table

_NOTHING = "–"
_MOST_EVENTS = 200
_MOST_PRINTED = 30  # of a training; a terminal shows no part of more


def outline_history(table: Table[Any], *, title: str | None = None) -> Outline:
    """The configurations beside one another (float, post-training, trained), then what happened and why."""
    lines = [
        (
            one.configuration,
            str(one.steps),
            _share(one.float_accuracy, one.float_loss),
            _share(one.post_training_accuracy, one.post_training_loss),
            _share(one.final_accuracy, one.final_loss),
            str(one.adjustments),
            str(one.switches),
            f"{one.flips:,}",
        )
        for one in table.totals
    ]
    heads = (
        "configuration", "steps", "float", "post-training", "trained", "adjustments", "switches", "flips",
    )  # fmt: skip
    best = max(table.totals, key=_rank, default=None)
    headline = (
        f"{count_of(len(table.totals), 'configuration')}; the best after training is {best.configuration}: "
        f"{_share(best.final_accuracy, best.final_loss)} on held-out data, before training in float "
        f"{_share(best.float_accuracy, best.float_loss)}."
        if best is not None
        else f"{len(table):,} rows of a quantized training."
    )
    return Outline(
        title=title or "Quantized training",
        headline=headline,
        lead=_list_totals("configurations", heads, lines),
        rest=[
            *_list_events(table, printed=int(np.count_nonzero(table.column("event"))) <= _MOST_PRINTED),
            *list_limits(table),
            *tell_coverage(table),
            *_show_experiment(table),
            define_columns(table.columns),
        ],
        opening=[headline],
    )


def _show_experiment(table: Table[Any]) -> list[Section]:
    """The text that the training was started from, line by line."""
    text = str(table.settings.get("experiment", ""))
    lines = [(line,) for line in text.splitlines()]
    grid = Grid(("TOML",), lines, names=frozenset({0}))
    return (
        [Section("experiment", "Experiment", [grid], "`qanalysis train FILE` makes the same again.")] if lines else []
    )


def outline_track(table: Table[Any], *, title: str | None = None) -> Outline:
    """The rules beside one another: how often they moved, what they would have clipped and rounded; then the events."""
    lines = [
        (
            one.configuration,
            str(one.series),
            f"{one.observations:,}",
            f"{one.checks:,}",
            f"{one.adjustments:,}",
            f"{one.clipping:,}",
            _plain(one.relative_rounding_energy),
            _plain(one.relative_clipped_energy),
            decibels(one.sqnr_db),
        )
        for one in table.totals
    ]
    heads = (
        "rule", "series", "observations", "checks", "changes", "clipping", "rounding energy", "clipped energy", "SQNR",
    )  # fmt: skip
    what = table.source.path if table.source else "statistics"
    rules = len(dict.fromkeys(table.column("configuration").tolist()))
    return Outline(
        title=title or f"Rules over {what}",
        headline=f"{count_of(rules, 'rule')} replayed over {what}; energies over the signal's, estimated from moments.",
        lead=_list_totals("rules", heads, lines),
        rest=[
            *_list_events(table, printed=True),
            *list_limits(table),
            *_list_notes(table),
            define_columns(table.columns),
        ],
    )


def _list_totals(name: str, heads: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> list[Section]:
    """A line for each total; nothing where a result was read from CSV, which holds none."""
    return [Section(name, name.capitalize(), [Grid(heads, lines, text_columns=1)], printed=True)] if lines else []


def _list_notes(table: Table[Any]) -> list[Section]:
    """What the figures rest on; a command tells it beside the result."""
    return [replace(one, heading="What this rests on", printed=False) for one in tell_coverage(table)]


def _share(accuracy: float | None, loss: float | None) -> str:
    if accuracy is not None:
        return percent(accuracy)
    return _NOTHING if loss is None else f"loss {plain(loss)}"


def _plain(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3g}"


def _rank(total: Any) -> tuple[float, float]:
    nothing = float("-inf")
    return (
        nothing if total.final_accuracy is None else total.final_accuracy,
        nothing if total.final_loss is None else -total.final_loss,
    )


def _list_events(table: Table[Any], *, printed: bool = False) -> list[Section]:
    """What happened, in the order of the rows; of many the first, and how many more there are."""
    places = np.flatnonzero(table.column("event") != "")
    if not places.size:
        return []
    events = [
        (
            row.configuration,
            str(row.step),
            " ".join(filter(None, (row.layer, getattr(row, "group", "")))),
            row.kind,
            row.event,
        )
        for row in table.rows.take(places[:_MOST_EVENTS])
    ]
    note = f"The first {_MOST_EVENTS} of {places.size:,}." if places.size > _MOST_EVENTS else f"{places.size} in all."
    grid = Grid(("configuration", "step", "layer", "kind", "what changed and why"), events, text_columns=5)
    return [Section("events", "Events", [grid], note, printed=printed)]
