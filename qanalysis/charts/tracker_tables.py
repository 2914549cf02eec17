"""Which rule would have served best, what happened when, and how does every rule stand at a step? In tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.arrays import Doubles
from qanalysis.charts.linked.scene import FactPanel
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.tracked import RuleLine, SeriesName, Tracked
from qanalysis.charts.wording import label_layers
from qanalysis.notation import NOTHING, decibels, percent, plain, signed
from qanalysis.results.columns import Column, columns_of
from qanalysis.training.row import TrackTotal

BEST = "◆ best SQNR"
MOST_EVENTS = 500
_COLUMNS = {column.name: column for column in columns_of(TrackTotal)}
_COUNTS = ("adjustments", "checks", "clipping")
_ENERGIES = ("relative_clipped_energy", "relative_rounding_energy")


def find_best(totals: Sequence[TrackTotal]) -> int | None:
    """The place of the rule with the highest SQNR, of equals the one with the fewest changes; None without any."""
    known = [place for place, one in enumerate(totals) if one.sqnr_db is not None]
    return max(known, key=lambda place: (totals[place].sqnr_db, -totals[place].adjustments), default=None)


def tabulate_rules(totals: Sequence[TrackTotal], *, height: int | None = None) -> TablePanel:
    """One line per rule over all series, in the order of the rules; a rule to be chosen by its text.

    SQNR and energies over the signal's are estimated where the log does not hold them; the best SQNR is marked in
    words.
    """
    best = find_best(totals)
    columns = [
        ShownColumn("configuration", "Rule", [one.configuration for one in totals], note="its text"),
        _list_numbers(totals, "sqnr_db"),
        ShownColumn("best", "Best", [BEST if place == best else "" for place in range(len(totals))]),
        *(_list_numbers(totals, name) for name in (*_ENERGIES, *_COUNTS)),
    ]
    rules = [one.configuration for one in totals]
    return TablePanel("rules", "What each rule would have done over all series", columns, rules, height=height)


def _list_numbers(totals: Sequence[TrackTotal], name: str) -> ShownColumn:
    column = _COLUMNS[name]
    values: list[Any] = [getattr(one, name) for one in totals]
    return ShownColumn(name, column.heading, [_write(column, value) for value in values], values, column.meaning)


def _write(column: Column, value: float | None) -> str:
    if value is None:
        return NOTHING
    if column.unit == "dB":
        return signed(value, ".2f")
    return f"{value:,}" if isinstance(value, int) else plain(value)


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a rule: where, when, and the reason."""

    rule: str
    name: SeriesName
    step: int
    reason: str


def list_events(tracked: Tracked, names: Sequence[SeriesName]) -> list[Event]:
    """The changes of all rules over these series, by step."""
    events = [
        Event(one.rule, name, int(one.step[row]), str(one.event[row]))
        for name in names
        for one in tracked.lines(name)
        for row in one.events
    ]
    return sorted(events, key=lambda event: event.step)


def tabulate_events(events: Sequence[Event], *, layers: bool, height: int) -> TablePanel:
    """The first `MOST_EVENTS` changes, one line each, to be chosen by its place; `layers` with the series of each."""
    shown = events[:MOST_EVENTS]
    names = label_layers(list(dict.fromkeys(event.name.layer for event in shown)) or [""], 28)
    columns = [
        ShownColumn("step", "Step", [f"{event.step:,}" for event in shown], [float(event.step) for event in shown]),
        ShownColumn("event", "What changed and why", [event.reason for event in shown]),
        ShownColumn("configuration", "Rule", [event.rule for event in shown]),
    ]
    if layers:
        words = [" · ".join(filter(None, (names[one.name.layer], *one.name[1:]))) for one in shown]
        columns.insert(1, ShownColumn("series", "Series", words))
    caption = f"The first {MOST_EVENTS} of {len(events):,}; the downloads hold all." if len(events) > len(shown) else ""
    rows = [str(place) for place in range(len(shown))]
    return TablePanel("events", "Changes by step", columns, rows, height=height, caption=caption)


def tell_steps(lines: Sequence[RuleLine], steps: Sequence[int]) -> list[FactPanel]:
    """How each rule stands at each of the steps of one series: precision, range, share clipped, SQNR, and what changed
    there.
    """
    told = [(one, one.sqnr_db, dict(zip(one.step.tolist(), range(one.step.size), strict=True))) for one in lines]
    return [
        FactPanel(
            "t-facts",
            [(one.rule, *_tell_row(one, sqnr_db, rows.get(step))) for one, sqnr_db, rows in told],
            f"The rules at step {step}",
        )
        for step in steps
    ]


def _tell_row(one: RuleLine, sqnr_db: Doubles, row: int | None) -> tuple[str, str]:
    if row is None:
        return NOTHING, "this step was not recorded"
    if math.isnan(one.step_size[row]):
        return NOTHING, "nothing was seen yet"
    exponent, bits, reach = (float(column[row]) for column in (one.exponent, one.bits, one.reach))
    size = (
        f"s = {signed(exponent, '.0f')}" if one.discrete[row] else f"f = {plain(float(one.step_size[row]), digits=4)}"
    )
    told = [] if math.isnan(bits) else [f"{bits:.0f} bit"]
    if math.isfinite(one.clipped[row]):
        told.append(f"clipped {percent(float(one.clipped[row]))}")
    if not math.isnan(sqnr_db[row]):
        told.append(f"SQNR {decibels(float(sqnr_db[row]))}")
    told += [word for word in (str(one.energy_by[row]), str(one.event[row])) if word]
    return f"{size}, pos {plain(reach, digits=4)}", "; ".join(told)
