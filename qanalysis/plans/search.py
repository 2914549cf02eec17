"""How is an integer program solved to the end? It is reduced first: what can not be in a better choice is left out.

Multipliers of the relaxation prove a bound; a search among few options gives a choice; options whose reduced cost
exceeds the distance of the two are in no better choice. The solver sees the rest, scaled to that distance.
"""

from __future__ import annotations

import time
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
    unit = (floor - lowest if floor > lowest else spread) / _GAP_SCALE or 1.0
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
    best = _search(program, kept, known=found.choice, unit=room / _GAP_SCALE, ends=ends)
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
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, vstack

    size = len(program.owners)
    columns = np.concatenate([np.flatnonzero(kept), np.arange(size, len(program.costs))])
    options = np.flatnonzero(kept)
    base = np.minimum.reduceat(program.costs[:size], program.starts[:-1])
    if known is not None:
        base = program.costs[program.starts[:-1] + known]
    costs = np.zeros(len(columns))
    costs[: len(options)] = (program.costs[options] - base[program.owners[options]]) / unit
    once = csr_array(
        (np.ones(len(options)), (program.owners[options], np.arange(len(options)))),
        shape=(len(program.starts) - 1, len(columns)),
    )
    rows, tops = program.rows[:, columns], program.tops
    total = float(base.sum())
    while True:
        left = max(ends - time.perf_counter(), 0.01)
        with keep_stdout():
            found = milp(
                costs,
                integrality=np.ones(len(columns)),
                bounds=Bounds(0, 1),
                constraints=[LinearConstraint(once, 1, 1), LinearConstraint(rows, -np.inf, tops)],
                options={"mip_rel_gap": gap} | ({"time_limit": left} if np.isfinite(left) else {}),
            )
        bound = np.inf if found.status == 2 else -np.inf
        if found.mip_dual_bound is not None:
            bound = float(found.mip_dual_bound) * unit + total
        if found.x is None:
            break
        values = np.zeros(size)
        values[options] = found.x[: len(options)]
        choice = program.read_choice(values)
        problem = program.problem
        if problem.keeps_limits(choice) and problem.keeps_order(choice):
            known = choice if known is None or problem.total(choice) < problem.total(known) else known
            break
        chosen = np.isin(options, program.starts[:-1] + choice)
        cut = csr_array(np.concatenate([chosen, np.zeros(len(columns) - len(options))])[None, :])
        rows, tops = vstack([rows, cut], format="csr"), np.append(tops, chosen.sum() - 1.0)
    least = np.inf if known is None else program.problem.total(known)
    return Found(known, min(bound, least))
