"""Which choice costs least within its limits? The exact optimum, and the bound that proves it."""

from __future__ import annotations

import math
import time

import numpy as np

from qanalysis.plans.chain import is_one_chain, solve_chain
from qanalysis.plans.formats import can_try_formats, solve_formats
from qanalysis.plans.hull import pad
from qanalysis.plans.infeasible import explain
from qanalysis.plans.knapsack import Found, solve_knapsack
from qanalysis.plans.problem import Limit, Problem, Solution
from qanalysis.plans.reduction import split
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
    choice, bound = np.zeros(len(problem.costs), np.int64), 0.0
    parts = split(problem)
    if parts is None:
        return None
    for part in parts:
        found = _find_part(part.problem, ends)
        if found is None:
            return None
        part.place(found.choice, choice)
        bound += found.bound
    cost = problem.total(choice)
    noise = 4 * np.finfo(float).eps * math.fsum(abs(one[at]) for one, at in zip(problem.costs, choice, strict=True))
    return Solution(choice, cost, min(bound, cost), cost - bound <= max(GAP * abs(cost), noise))


def _find_part(problem: Problem, ends: float) -> Found | None:
    """The choice of least cost with its bound, None where there is none.

    The optimum within one limit alone is that of all constraints where it keeps the others too, else it is a bound.
    """
    if is_one_chain(problem):
        return solve_chain(problem)
    floor, costs = -np.inf, pad(problem.costs)
    simple = len(problem.limits) <= 1 and not problem.chains and problem.most_formats is None
    for limit in problem.limits or (Limit("", problem.costs, math.inf),):
        left = ends - time.perf_counter()
        found = solve_knapsack(costs, pad(limit.figures), limit.allowed, seconds=left if simple else left / 10)
        if found is None or (problem.keeps_limits(found.choice) and problem.keeps_order(found.choice)):
            return found
        floor = max(floor, found.bound)
    if can_try_formats(problem):
        return solve_formats(problem, seconds=ends - time.perf_counter())
    best = solve_program(problem, floor=floor, seconds=max(ends - time.perf_counter(), 0.0))
    return None if best.choice is None else Found(best.choice, best.bound)
