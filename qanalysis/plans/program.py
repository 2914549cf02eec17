"""How is a problem with constraints of every kind written for an integer solver?

minimise c·x with one option of each unit and A·x ≤ b, where the rows of A are limits, formats (an option needs its
format's switch) and chains (what is chosen up to a rank later is chosen up to it earlier).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.problem import Problem

#: The bound of a limit's row: the solver's absolute tolerance of 1e-6 is then a part in 1e10 of it.
_ROW_SCALE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Columns are the options of all units, one after another, then one switch for each format.

    `owners` is the unit of each option; `rows` a sparse (rows, columns) array with Σ ≤ `tops`.
    """

    problem: Problem
    costs: Doubles
    owners: Codes
    starts: Codes
    switches: int
    rows: Any
    tops: Doubles

    @classmethod
    def write(cls, problem: Problem) -> Program:
        """The program of a problem."""
        from scipy.sparse import csr_array, vstack

        lengths = np.array([len(one) for one in problem.costs])
        starts = np.concatenate([[0], np.cumsum(lengths)])
        owners = np.repeat(np.arange(len(lengths)), lengths)
        formats = _number_formats(problem)
        switches = int(formats.max()) + 1 if len(formats) else 0
        columns = int(starts[-1]) + switches
        parts, tops = [csr_array((0, columns))], [np.zeros(0)]
        for make in (_write_limits, _write_formats, _write_chains):
            rows, top = make(problem, starts, columns)
            parts.append(rows)
            tops.append(top)
        costs = np.concatenate([*problem.costs, np.zeros(switches)])
        return cls(problem, costs, owners, starts, switches, vstack(parts, format="csr"), np.concatenate(tops))

    def read_choice(self, values: Doubles) -> Codes:
        """The option of each unit that has most of it."""
        return np.array([int(np.argmax(values[a:b])) for a, b in pairwise(self.starts)], np.int64)

    def bound(self, multipliers: Doubles) -> tuple[float, Doubles]:
        """The least that any choice costs, and the reduced cost of each option: what that rises by with the option.

        Any multipliers y ≥ 0 of the rows prove one: Σ over units of the least of (c + Aᵀy) − y·b.
        """
        priced = self.costs + self.rows.T @ multipliers
        options = priced[: self.starts[-1]]
        least = np.minimum.reduceat(options, self.starts[:-1])
        switched = np.minimum(priced[self.starts[-1] :], 0.0).sum()
        bound = float(least.sum() + switched - multipliers @ self.tops)
        return bound, options - least[self.owners]


def _number_formats(problem: Problem) -> Codes:
    """The formats of all options as 0, 1, 2, ...; empty where their number does not matter."""
    if problem.most_formats is None:
        return np.zeros(0, np.int64)
    numbers: Codes = np.unique(np.concatenate(problem.formats), return_inverse=True)[1]
    return numbers


def _write_limits(problem: Problem, starts: Codes, columns: int) -> tuple[Any, Doubles]:
    """Σ of what figures exceed the least of their unit; each row scaled by its bound.

    An option that breaks the limit by itself counts twice the bound, however large its figure is.
    """
    from scipy.sparse import csr_array

    rows, tops = np.zeros((len(problem.limits), columns)), np.zeros(len(problem.limits))
    for row, limit in enumerate(problem.limits):
        least = np.array([one.min() for one in limit.figures])
        above = np.concatenate([one - low for one, low in zip(limit.figures, least, strict=True)])
        top = limit.allowed - float(least.sum())
        unit = top if top > 0 else np.finfo(float).tiny
        rows[row, : starts[-1]] = np.minimum(above, 2 * unit) / unit * _ROW_SCALE
        tops[row] = _ROW_SCALE if top > 0 else 0.0
    return csr_array(rows), tops


def _write_formats(problem: Problem, starts: Codes, columns: int) -> tuple[Any, Doubles]:
    """What a unit has of a format is at most its switch; the switches add up to at most their number."""
    from scipy.sparse import csr_array

    formats = _number_formats(problem)
    if not len(formats):
        return csr_array((0, columns)), np.zeros(0)
    count = int(formats.max()) + 1
    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    pairs, row = np.unique(owners * count + formats, return_inverse=True)
    last = len(pairs)
    at = np.concatenate([row, np.arange(last), np.full(count, last)])
    to = np.concatenate([np.arange(len(formats)), starts[-1] + pairs % count, starts[-1] + np.arange(count)])
    values = np.concatenate([np.ones(len(formats)), -np.ones(last), np.ones(count)])
    tops = np.concatenate([np.zeros(last), [float(problem.most_formats or 0)]])
    return csr_array((values, (at, to)), shape=(last + 1, columns)), tops


def _write_chains(problem: Problem, starts: Codes, columns: int) -> tuple[Any, Doubles]:
    """For each rank: what the later unit has up to it is at most what the earlier one has up to it."""
    from scipy.sparse import csr_array

    rows, at, values, count = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)], 0
    for earlier, later in (pair for chain in problem.chains for pair in pairwise(chain)):
        for rank in np.unique(np.concatenate([problem.ranks[earlier], problem.ranks[later]]))[:-1]:
            for unit, sign in ((later, 1.0), (earlier, -1.0)):
                upto = starts[unit] + np.flatnonzero(problem.ranks[unit] <= rank)
                rows.append(np.full(len(upto), count))
                at.append(upto)
                values.append(np.full(len(upto), sign))
            count += 1
    where = (np.concatenate(rows).astype(np.int64), np.concatenate(at).astype(np.int64))
    return csr_array((np.concatenate(values), where), shape=(count, columns)), np.zeros(count)
