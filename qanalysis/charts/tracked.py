"""What do charts need of replayed rules? The rows of one series under each rule, and fewer points where there are many.

A series is a layer, kind and group of a log. Of thousands of points the lowest and the highest of each run are drawn,
so that no peak is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.results.table import Table
from qanalysis.training.row import TrackRow, TrackTotal

#: Points of all lines of a chart together, and of one of them.
MOST_POINTS, MOST_PER_LINE = 48_000, 8_000


class SeriesName(NamedTuple):
    """Whose statistics: a layer, one of the six kinds, and a group, "" for the whole tensor."""

    layer: str
    kind: str
    group: str = ""

    def __str__(self) -> str:
        return " · ".join(filter(None, self))


@dataclass(frozen=True, slots=True, eq=False)
class RuleLine:
    """One rule over one series, columns (steps,) in the order of the steps; NaN where something is not known.

    Parameters
    ----------
    rule, place : its text, and its place among the rules, which is that of its colour.
    reach : the largest magnitude that its range holds (pos). signal : mean of x², from mean and std of |x|.
    discrete : where the step is a power of two by the rule, not by chance.
    """

    rule: str
    place: int
    step: Codes
    absmax: Doubles
    reach: Doubles
    exponent: Doubles
    step_size: Doubles
    bits: Doubles
    clipped: Doubles
    rounding_energy: Doubles
    clipped_energy: Doubles
    signal: Doubles
    discrete: NDArray[np.bool_]
    checked: NDArray[np.bool_]
    event: NDArray[np.object_]
    energy_by: NDArray[np.object_]

    @property
    def events(self) -> Codes:
        """Places of the rows where the rule says that it changed something, and why."""
        return np.flatnonzero(self.event != "")

    @property
    def moves(self) -> Codes:
        """Places of the rows whose range or width is not that of the row before; a range that begins is no move."""
        stays = np.ones(self.step.size, bool)
        for column in (self.reach, self.bits):
            before = np.concatenate([column[:1], column[:-1]])
            stays &= (column == before) | np.isnan(before)
        return np.flatnonzero(~stays)

    def relate(self, energy: Doubles) -> Doubles:
        """An energy over the signal's; NaN where the signal is not known or nothing."""
        share: Doubles = np.divide(energy, self.signal, out=np.full(energy.shape, np.nan), where=self.signal > 0)
        return share

    @property
    def sqnr_db(self) -> Doubles:
        """Signal over the sum of both energies in dB; infinite without an error, NaN where one is not known."""
        share = self.relate(self.rounding_energy + self.clipped_energy)
        with np.errstate(divide="ignore"):
            return np.asarray(-10 * np.log10(share))


class Tracked:
    """The rows of rules that were replayed over one log, one table per rule, and where each series stands in them.

    A rule that looks at whole tensors has no rows of their groups, and one that looks at groups none of the whole.
    """

    def __init__(self, tables: Sequence[Table[TrackRow]]) -> None:
        """Take one table of one rule each, all over the same log, at least one. ValueError for one of several rules."""
        self.tables = tuple(tables)
        self.rules = tuple(_find_rule(table) for table in tables)

    @cached_property
    def series(self) -> tuple[SeriesName, ...]:
        """The series of any rule, in the order of the rows."""
        return tuple(dict.fromkeys(name for places in self._places for name in places))

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers, in the order of the rows."""
        return tuple(dict.fromkeys(one.layer for one in self.series))

    @cached_property
    def _places(self) -> tuple[Mapping[SeriesName, Codes], ...]:
        return tuple(map(_place_series, self.tables))

    @property
    def totals(self) -> list[TrackTotal]:
        """The line of each rule over all series."""
        return [total for table in self.tables for total in table.totals]

    def find_busiest(self) -> SeriesName:
        """The series whose absmax goes over the most powers of two, whatever the rules; of equals the first."""
        seen = self.tables[0].column("absmax")
        octaves = np.log2(np.where(np.isfinite(seen) & (seen > 0), seen, np.nan))
        places = self._places[0]
        return max(places, key=lambda name: _span_of(octaves[places[name]]))

    def list_groups(self, layer: str, kind: str) -> list[str]:
        """The groups of a layer and kind; "" is the whole tensor."""
        return [one.group for one in self.series if (one.layer, one.kind) == (layer, kind)]

    def follow(self, name: SeriesName, rule: int) -> RuleLine | None:
        """One rule over one series; None where it has no such series."""
        rows = self._places[rule].get(name)
        return None if rows is None else _make_line(self.tables[rule], rows, self.rules[rule], rule)

    def lines(self, name: SeriesName) -> list[RuleLine]:
        """All rules that have the series."""
        found = (self.follow(name, rule) for rule in range(len(self.rules)))
        return [one for one in found if one is not None]


def _span_of(values: Doubles) -> float:
    known = values[~np.isnan(values)]
    return float(np.ptp(known)) if known.size else 0.0


def _find_rule(table: Table[TrackRow]) -> str:
    rules = set(table.column("configuration").tolist()) or {total.configuration for total in table.totals}
    if len(rules) != 1:
        raise ValueError(f"a table of one rule is expected, found {len(rules)}: {', '.join(sorted(rules))}")
    return str(rules.pop())


def _place_series(table: Table[TrackRow]) -> dict[SeriesName, Codes]:
    """Where the rows of each series stand, by rising step."""
    columns = [table.column(name) for name in SeriesName._fields]
    codes = np.zeros(len(table), np.int64)
    for column in columns:
        values, inverse = np.unique(column.astype(str), return_inverse=True)
        codes = codes * values.size + inverse
    order = np.lexsort((table.column("step"), codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    parts = np.split(order, starts[1:]) if order.size else []
    first_seen = sorted(parts, key=lambda rows: int(rows.min()))
    return {SeriesName(*(str(column[rows[0]]) for column in columns)): rows for rows in first_seen}


def _make_line(table: Table[TrackRow], rows: Codes, rule: str, place: int) -> RuleLine:
    def take(name: str) -> Any:
        return table.column(name)[rows]

    step_size, mean, std = take("step_size"), take("mean"), take("std")
    checked = take("checked")
    return RuleLine(
        rule=rule,
        place=place,
        step=take("step").astype(np.int64),
        absmax=take("absmax"),
        reach=np.fmax(take("high"), -take("low")),
        exponent=np.log2(np.where(step_size > 0, step_size, np.nan)),
        step_size=step_size,
        bits=take("bits").astype(np.float64),
        clipped=take("clipped_fraction"),
        rounding_energy=take("rounding_energy"),
        clipped_energy=take("clipped_energy"),
        signal=mean**2 + std**2,
        discrete=~np.isnan(take("s")),
        checked=np.array([one is True or one is np.True_ for one in checked.tolist()], bool),
        event=take("event"),
        energy_by=take("energy_by"),
    )


def thin(values: Doubles, most: int) -> Codes:
    """Places of the first and last value and of the lowest and highest of each run, ascending: about `most` of them,
    all where there are no more. NaN is passed over where a run holds a number.

    >>> thin(np.array([0.0, 5, 1, 1, -3, 2]), 4).tolist()
    [0, 1, 4, 5]
    """
    if values.size <= most:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, max(most // 2, 1) + 1).astype(np.int64)[:-1]
    places = [np.array([0, values.size - 1])]
    for filled in (np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), np.inf, -values)):
        least = np.minimum.reduceat(filled, edges)
        run = np.searchsorted(edges, np.arange(values.size), side="right") - 1
        hits = np.flatnonzero(filled == least[run])
        places.append(hits[np.unique(run[hits], return_index=True)[1]])
    return np.asarray(np.unique(np.concatenate(places)), np.int64)


def thin_steps(steps: Codes, most: int, wanted: Sequence[int] = ()) -> list[int]:
    """About `most` of the steps, evenly, the first and the last among them, and those that are `wanted` where the log
    has them: where a slider can stand.

    >>> thin_steps(np.arange(10), 4, [5, 99])
    [0, 3, 5, 6, 9]
    """
    known = np.unique(steps)
    if known.size > most:
        known = known[np.unique(np.linspace(0, known.size - 1, most).astype(np.int64))]
    present = np.intersect1d(steps, np.asarray(wanted, np.int64))
    return [int(step) for step in np.union1d(known, present)]
