"""How is an integer program solved to the end? It is reduced first: what can not be in a better choice is left out.

Multipliers of the relaxation prove a bound; a search among few options gives a choice; options whose reduced cost
exceeds the distance of the two are in no better choice. The solver sees the rest, scaled to that distance.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.problem import Problem
from qanalysis.plans.program import Program
from qanalysis.plans.quiet import keep_stdout

#: The distance of choice and bound in the objective that the solver sees, whose absolute gap is 1e-6.
_GAP_SCALE = 1e3
#: Costs beyond it are as good as forbidden where multipliers are looked for; any multipliers are allowed there.
_LARGEST = 1e7
#: Beyond it the solver's numbers have no digits left for the gap.
_LARGEST_COST = 1e11
#: Options that the first search looks at, for each unit, doubled until it finds a choice.
_FEW = 3
#: What a solver may leave open, as a part of the cost.
_GAP = 1e-9
#: The same of the first search, which only has to come near, and where time is over and any choice will do.
_FIRST_GAP = 1e-4
_ANY_GAP = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A choice, None where there is none, and the least that any costs: infinite where none is possible."""

    choice: Codes | None
    bound: float


def solve_program(problem: Problem, *, floor: float = -np.inf, seconds: float = np.inf) -> Found:
    """The choice of least cost; `floor` is what is known already of the least.

    After `seconds` the best choice so far, with its bound; a first choice is looked for as long as it takes.
    """
    ends = time.perf_counter() + seconds
    program = Program.write(problem)
    lowest = sum(float(one.min()) for one in problem.costs)
    spread = sum(float(np.ptp(one)) for one in problem.costs)
    unit = max((floor - lowest if floor > lowest else spread) / _GAP_SCALE, spread / _LARGEST_COST) or 1.0
    multipliers = _relax(program, unit, ends)
    if multipliers is None:
        return Found(None, np.inf)
    priced, reduced = program.bound(multipliers)
    bound = max(priced, floor)
    found = _search_few(program, reduced, unit, ends)
    if found.choice is None:
        return found
    cost = problem.total(found.choice)
    room = cost - bound
    if room <= _GAP * abs(cost):
        return Found(found.choice, bound)
    kept = reduced <= (cost - priced) * (1 + _GAP)
    kept[program.starts[:-1] + found.choice] = True
    unit = max(room / _GAP_SCALE, spread / _LARGEST_COST)
    best = _search(program, kept, known=found.choice, unit=unit, ends=ends)
    return Found(best.choice, max(bound, best.bound))


def _relax(program: Program, unit: float, ends: float) -> Doubles | None:
    """Multipliers of the rows in the relaxation, None where even that has no choice."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    size = len(program.owners)
    once = csr_array(
        (np.ones(size), (program.owners, np.arange(size))), shape=(len(program.starts) - 1, len(program.costs))
    )
    least = np.minimum.reduceat(program.costs[:size], program.starts[:-1])
    costs = program.costs.copy()
    costs[:size] = np.minimum((costs[:size] - least[program.owners]) / unit, _LARGEST)
    found = linprog(
        costs,
        A_ub=program.rows,
        b_ub=program.tops,
        A_eq=once,
        b_eq=np.ones(once.shape[0]),
        bounds=(0, 1),
        method="highs",
        options={"time_limit": max(ends - time.perf_counter(), 0.1)} if np.isfinite(ends) else {},
    )
    if found.status == 2:
        return None
    if found.status != 0:
        return np.zeros(len(program.tops))
    multipliers: Doubles = np.maximum(-found.ineqlin.marginals, 0.0) * unit
    return multipliers


def _search_few(program: Program, reduced: Doubles, unit: float, ends: float) -> Found:
    """A good choice among the options of least reduced cost; of more and more of them until there is one."""
    few = _FEW
    while True:
        wanted = few * (len(program.starts) - 1)
        everything = wanted >= len(reduced)
        kept = np.ones(len(reduced), bool) if everything else reduced <= np.partition(reduced, wanted)[wanted]
        found = _search(program, kept, known=None, unit=unit, ends=ends, gap=_FIRST_GAP)
        if found.choice is None and everything and found.bound < np.inf:
            found = _search(program, kept, known=None, unit=unit, ends=np.inf, gap=_ANY_GAP)
        if found.choice is not None or everything:
            return found
        few *= 3


def _search(
    program: Program, kept: NDArray[np.bool_], *, known: Codes | None, unit: float, ends: float, gap: float = _GAP
) -> Found:
    """The solver's choice among the options kept, or the known one if that is better.

    A choice that only the solver's tolerance allows is excluded and the search begins again.
    """
    problem = program.problem
    core = _Core(program, np.flatnonzero(kept), known, unit)
    excluded: list[Codes] = []
    while True:
        choice, bound = core.ask(excluded, ends - time.perf_counter(), gap)
        if choice is None or (problem.keeps_limits(choice) and problem.keeps_order(choice)):
            break
        excluded.append(choice)
    if choice is None or (known is not None and problem.total(known) <= problem.total(choice)):
        choice = known
    return Found(choice, bound if choice is None else min(bound, problem.total(choice)))


class _Core:
    """The options that are left of a program, as the solver sees them."""

    def __init__(self, program: Program, options: Codes, known: Codes | None, unit: float) -> None:
        from scipy.sparse import csr_array

        self.program, self.options, self.unit = program, options, unit
        units, size = len(program.starts) - 1, len(program.owners)
        self.columns = np.concatenate([options, np.arange(size, len(program.costs))])
        owners = program.owners[options]
        if known is None:
            base = np.minimum.reduceat(program.costs[:size], program.starts[:-1])
        else:
            base = program.costs[program.starts[:-1] + known]
        self.base = float(base.sum())
        self.costs = np.zeros(len(self.columns))
        self.costs[: len(options)] = (program.costs[options] - base[owners]) / unit
        self.once = csr_array(
            (np.ones(len(options)), (owners, np.arange(len(options)))), shape=(units, len(self.columns))
        )

    def ask(self, excluded: Sequence[Codes], seconds: float, gap: float) -> tuple[Codes | None, float]:
        """The solver's best choice but those excluded, with its bound: infinite where it proves that there is none."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        program = self.program
        constraints = [
            LinearConstraint(self.once, 1, 1),
            LinearConstraint(program.rows[:, self.columns], -np.inf, program.tops),
        ]
        for choice in excluded:
            chosen = np.isin(self.columns, program.starts[:-1] + choice).astype(float)
            constraints.append(LinearConstraint(chosen, -np.inf, chosen.sum() - 1))
        with keep_stdout():
            found = milp(
                self.costs,
                integrality=np.ones(len(self.columns)),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": gap} | ({"time_limit": max(seconds, 0.01)} if np.isfinite(seconds) else {}),
            )
        if found.x is None:
            return None, np.inf if found.status == 2 else -np.inf
        values = np.zeros(len(program.owners))
        values[self.options] = found.x[: len(self.options)]
        dual = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
        return program.read_choice(values), dual * self.unit + self.base
