"""Which plans are worth having at any size? The lower convex hull, greedy steps between, and exact points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.problem import Problem

PointKind = Literal["hull", "greedy", "exact"]


@dataclass(frozen=True, slots=True, eq=False)
class FrontPoint:
    """A choice that no other one beats in both cost and size, as far as its kind tells: points of the hull are optimal
    at their own size, exact ones are optima of the planner, greedy ones lie between.
    """

    kind: PointKind
    choice: Codes
    cost: float
    size: float


def trace_front(problem: Problem, sizes: tuple[Doubles, ...], *, exact: int = 0) -> tuple[FrontPoint, ...]:
    """Choices from the smallest size to the least cost, ascending in size, without the problem's limits on size.

    `sizes` has one array of option sizes for each unit. `exact` is how many optima are worked out between the others.
    """
    raise NotImplementedError
