"""Is the optimum the optimum? The planner against every choice, and against scipy's solver as it is."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem

LAWS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: Sums of at most five figures are rounded by less; the planner proves a part in 1e9.
CLOSE = 1e-9


def try_all(problem: Problem) -> tuple[float, tuple[int, ...] | None]:
    """The least cost of all choices within the constraints, by looking at each."""
    least, best = np.inf, None
    for choice in itertools.product(*(range(len(one)) for one in problem.costs)):
        if keeps(problem, choice) and problem.total(choice) < least:
            least, best = problem.total(choice), choice
    return least, best


def keeps(problem: Problem, choice) -> bool:
    for limit in problem.limits:
        if sum(one[at] for one, at in zip(limit.figures, choice, strict=True)) > limit.allowed:
            return False
    for chain in problem.chains:
        ranks = [problem.ranks[unit][choice[unit]] for unit in chain]
        if ranks != sorted(ranks):
            return False
    formats = {one[at] for one, at in zip(problem.formats, choice, strict=False)}
    return problem.most_formats is None or len(formats) <= problem.most_formats


@st.composite
def problems(draw, kinds: tuple[str, ...] = ("whole", "ties", "real", "decades")) -> Problem:
    """A few units with a few options; figures with ties, zeros, negative ones, or over twelve decades."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, 5, rng.integers(1, 6))
    kind = draw(st.sampled_from(kinds))

    def make() -> tuple[np.ndarray, ...]:
        return tuple(
            {
                "whole": lambda n: rng.integers(0, 20, n).astype(float),
                "ties": lambda n: rng.integers(-1, 2, n).astype(float),
                "real": lambda n: rng.normal(size=n),
                "decades": lambda n: 10 ** rng.uniform(-9, 0, n),
            }[kind](int(length))
            for length in lengths
        )

    limits = []
    for number in range(draw(st.integers(0, 3))):
        figures = make()
        choice = [int(rng.integers(len(one))) for one in figures]
        least = sum(one.min() for one in figures)
        at_choice = sum(one[at] for one, at in zip(figures, choice, strict=True))
        # often a limit that holds with equality, sometimes one that nothing reaches
        limits.append(
            Limit(f"limit {number}", figures, draw(st.sampled_from([at_choice, at_choice, least, least - 1])))
        )
    formats = tuple(rng.integers(0, 4, n) for n in lengths)
    ranks = tuple(rng.integers(0, 3, n) for n in lengths)
    chains = ()
    if draw(st.booleans()) and len(lengths) > 1:
        chains = tuple(
            tuple(rng.permutation(len(lengths))[: rng.integers(2, len(lengths) + 1)].tolist()) for _ in range(2)
        )
    most = draw(st.sampled_from([None, None, 1, 2, 3]))
    return Problem(make(), tuple(limits), formats, most, chains, ranks)


@LAWS
@given(problems())
def test_the_optimum_is_that_of_looking_at_every_choice(problem) -> None:
    least, _best = try_all(problem)
    if np.isinf(least):
        with pytest.raises(InfeasibleError):
            solve(problem)
        return
    solution = solve(problem)
    assert solution.is_proven
    assert keeps(problem, solution.choice)
    assert solution.cost == problem.total(solution.choice)
    assert solution.bound <= solution.cost
    assert abs(solution.cost - least) <= CLOSE * abs(least) + 1e-15
    assert solution.bound <= least + 1e-15


@LAWS
@given(problems())
def test_the_nearest_limit_is_feasible_and_nothing_below_it_is(problem) -> None:
    if not np.isinf(try_all(problem)[0]):
        return
    with pytest.raises(InfeasibleError) as raised:
        solve(problem)
    error = raised.value
    if error.limit is None:
        return
    # the figure is reached, and no choice that keeps formats and chains has less of it
    assert problem.total(error.choice, error.limit.figures) == error.nearest
    assert error.nearest > error.limit.allowed
    assert problem.keeps_order(error.choice)
    least, _best = try_all(problem.minimise(error.limit.figures))
    assert error.nearest >= least - CLOSE * abs(least)
