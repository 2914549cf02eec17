"""Is every point of the front worth having? Against every choice of small problems."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.plans.front import trace_front
from qanalysis.plans.problem import InfeasibleError, Limit, Problem

LAWS = settings(max_examples=60, deadline=None)


@st.composite
def figures(draw) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, 6, rng.integers(1, 5))
    if draw(st.booleans()):
        return tuple(rng.integers(0, 9, n).astype(float) for n in lengths), tuple(
            rng.integers(0, 9, n).astype(float) for n in lengths
        )
    return tuple(10 ** rng.uniform(-9, 0, n) for n in lengths), tuple(rng.random(n) for n in lengths)


def try_all(costs, sizes) -> list[tuple[float, float]]:
    """(cost, size) of every choice."""
    every = itertools.product(*(range(len(one)) for one in costs))
    return [
        (
            sum(one[at] for one, at in zip(costs, choice, strict=True)),
            sum(one[at] for one, at in zip(sizes, choice, strict=True)),
        )
        for choice in every
    ]


@LAWS
@given(figures())
def test_the_hull_is_optimal_at_its_own_sizes_and_reaches_from_the_smallest_to_the_best(both) -> None:
    costs, sizes = both
    front = trace_front(Problem(costs), sizes, exact=3)
    everything = try_all(costs, sizes)
    # a sum of five figures is rounded by less than a part in 1e14 of the largest, which is at most 9
    close = 1e-13
    assert front[0].size <= min(size for _cost, size in everything) + close
    assert front[-1].cost <= min(cost for cost, _size in everything) + close
    for earlier, later in itertools.pairwise(front):
        assert earlier.size < later.size
        assert earlier.cost > later.cost
    for point in front:
        assert point.cost == pytest.approx(Problem(costs).total(point.choice), rel=1e-12)
        assert point.size == pytest.approx(Problem(costs).total(point.choice, sizes), rel=1e-12)
        if point.kind != "greedy":
            least = min(cost for cost, size in everything if size <= point.size + close)
            assert point.cost <= least * (1 + 1e-9) + close


def test_the_front_of_300_units_keeps_its_ends_when_it_is_thinned() -> None:
    rng = np.random.default_rng(0)
    bits = np.linspace(2, 8, 28)
    costs = tuple(4.0**-bits * rng.lognormal() for _ in range(300))
    sizes = tuple(bits * rng.integers(1000, 9000) for _ in range(300))
    whole = trace_front(Problem(costs), sizes)
    began = time.perf_counter()
    thin = trace_front(Problem(costs), sizes, points=200)
    print(time.perf_counter() - began, len(whole), len(thin))
    assert len(thin) <= 200
    assert (thin[0].size, thin[-1].size) == (whole[0].size, whole[-1].size)


def test_limits_of_the_problem_hold_along_the_front() -> None:
    costs = (np.array([4.0, 1.0]), np.array([4.0, 1.0, 0.0]))
    sizes = (np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    problem = Problem(costs, (Limit("of the second", (np.zeros(2), np.array([1.0, 2.0, 3.0])), 2.0),))
    assert [(one.size, one.cost) for one in trace_front(problem, sizes)] == [(2.0, 8.0), (3.0, 5.0), (4.0, 2.0)]


def test_formats_hold_along_the_front_to_its_ends() -> None:
    costs = (np.array([4.0, 1.0]), np.array([4.0, 1.0]))
    sizes = (np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    problem = Problem(costs, formats=(np.array([0, 1]), np.array([0, 1])), most_formats=1)
    assert [(one.size, one.cost) for one in trace_front(problem, sizes)] == [(2.0, 8.0), (4.0, 2.0)]


@LAWS
@given(figures(), st.integers(0, 2**32 - 1), st.sampled_from(["formats", "chain", "limit"]))
def test_under_constraints_the_front_goes_from_the_smallest_to_the_best_and_keeps_them(both, seed, kind) -> None:
    costs, sizes = both
    rng = np.random.default_rng(seed)
    numbers = tuple(rng.integers(0, 3, len(one)) for one in costs)
    if kind == "formats":
        problem = Problem(costs, formats=numbers, most_formats=2)
    elif kind == "chain":
        problem = Problem(costs, chains=(tuple(range(len(costs))),), ranks=tuple(map(np.sort, numbers)))
    else:
        problem = Problem(costs, (Limit("rank", tuple(one * 1.0 for one in numbers), float(len(costs))),))
    every = [
        (problem.total(choice), problem.total(choice, sizes))
        for choice in itertools.product(*(range(len(one)) for one in costs))
        if problem.keeps_limits(choice) and problem.keeps_order(choice)
    ]
    if not every:
        with pytest.raises(InfeasibleError):
            trace_front(problem, sizes)
        return
    front = trace_front(problem, sizes)
    # the planner proves a part in 1e9 of sums below 50
    close = 1e-7
    assert front[0].size <= min(size for _cost, size in every) + close
    assert front[-1].cost <= min(cost for cost, _size in every) + close
    for point in front:
        assert problem.keeps_limits(point.choice)
        assert problem.keeps_order(point.choice)
        if point.kind == "hull":
            assert point.cost <= min(cost for cost, size in every if size <= point.size + 1e-12) + close


def test_the_hull_of_three_formats_has_more_than_its_ends() -> None:
    """Units that weigh 1, 10, ..., at 2, 4 and 8 bits of which two may be used: one unit after another gets more."""
    costs = tuple(10.0**-power * np.array([1.0, 0.1, 0.0]) for power in range(6))
    sizes = (np.array([2.0, 4.0, 8.0]),) * 6
    front = trace_front(Problem(costs, formats=(np.arange(3),) * 6, most_formats=2), sizes)
    assert len([point for point in front if point.kind == "hull"]) > 6
