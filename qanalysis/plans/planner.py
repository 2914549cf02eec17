"""Which choice costs least within its limits? The exact optimum, and the bound that proves it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.problem import InfeasibleError, Problem, Solution

#: Relative difference of cost and bound below which a choice counts as proven.
GAP = 1e-9


def solve(problem: Problem, *, seconds: float = 60.0) -> Solution:
    """The choice of least cost within all limits.

    After `seconds` the best choice so far is given with its bound, `is_proven` false. Raises InfeasibleError where no
    choice keeps all limits.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    lengths = [len(one) for one in problem.costs]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    size = int(starts[-1])
    costs = np.concatenate(problem.costs)
    scale = float(np.abs(costs).max()) or 1.0
    owners = np.repeat(np.arange(len(lengths)), lengths)
    once = csr_array((np.ones(size), (owners, np.arange(size))), shape=(len(lengths), size))
    constraints = [LinearConstraint(once, 1, 1)]
    constraints += [
        LinearConstraint(np.concatenate(limit.figures)[None, :], -np.inf, limit.most) for limit in problem.limits
    ]
    found = milp(
        costs / scale,
        integrality=np.ones(size),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"time_limit": seconds, "mip_rel_gap": GAP},
    )
    if found.x is None:
        raise InfeasibleError("no choice keeps all limits")
    choice = _read_choice(found.x, starts)
    cost = problem.total(choice)
    bound = min(float(found.mip_dual_bound or -np.inf) * scale, cost)
    return Solution(choice, cost, bound, found.status == 0)


def _read_choice(values: Doubles, starts: Sequence[int] | Codes) -> Codes:
    return np.array([int(np.argmax(values[a:b])) for a, b in pairwise(starts)], np.int64)
