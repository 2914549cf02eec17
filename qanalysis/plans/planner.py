"""Which choice costs least within its limits? The exact optimum, and the bound that proves it."""

from __future__ import annotations

import math
import time

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.plans.hull import pad
from qanalysis.plans.infeasible import explain
from qanalysis.plans.knapsack import solve_knapsack
from qanalysis.plans.problem import Limit, Problem, Solution
from qanalysis.plans.search import solve_program

#: Relative difference of cost and bound below which a choice counts as proven.
GAP = 1e-9


def solve(problem: Problem, *, seconds: float = 60.0) -> Solution:
    """The choice of least cost within all limits.

    After `seconds` the best choice so far is given with its bound, `is_proven` false; a first choice is looked for as
    long as it takes. The same problem gives the same choice, as long as the time is enough. Raises InfeasibleError
    where no choice keeps all limits.
    """
    solution = _find(problem, seconds)
    if solution is None:
        raise explain(problem, lambda other: _find(other, seconds))
    return solution


def _find(problem: Problem, seconds: float) -> Solution | None:
    """The optimum, None where there is no choice."""
    ends = time.perf_counter() + seconds
    kept = _drop_idle(problem)
    solution, floor = _solve_with_one(kept, seconds)
    if solution is not None or floor == np.inf:
        return solution
    found = solve_program(kept, floor=floor, seconds=max(ends - time.perf_counter(), 0.0))
    return None if found.choice is None else _make_solution(kept, found.choice, found.bound)


def _drop_idle(problem: Problem) -> Problem:
    """Without constraints that every choice keeps."""
    limits = tuple(one for one in problem.limits if sum(float(x.max()) for x in one.figures) > one.allowed)
    formats = problem.most_formats
    if formats is not None and len(np.unique(np.concatenate([*problem.formats, []]))) <= formats:
        formats = None
    chains = tuple(one for one in problem.chains if len(one) > 1)
    return Problem(problem.costs, limits, problem.formats, formats, chains, problem.ranks)


def _solve_with_one(problem: Problem, seconds: float) -> tuple[Solution | None, float]:
    """The optimum with each limit alone: of all that is asked for where it keeps the rest too, else a bound of it.

    The bound is infinite where one limit alone allows nothing.
    """
    floor = -np.inf
    costs = pad(problem.costs)
    for limit in problem.limits or (Limit("nothing", problem.costs, math.inf),):
        found = solve_knapsack(costs, pad(limit.figures), limit.allowed, seconds=seconds)
        if found is None:
            return None, np.inf
        if problem.keeps_limits(found.choice) and problem.keeps_order(found.choice):
            return _make_solution(problem, found.choice, found.bound), found.bound
        floor = max(floor, found.bound)
    return None, floor


def _make_solution(problem: Problem, choice: Codes, bound: float) -> Solution:
    cost = problem.total(choice)
    bound = min(bound, cost)
    return Solution(choice, cost, bound, cost - bound <= GAP * abs(cost))
