"""Is the optimum the optimum? The planner against every choice, and against scipy's solver as it is."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

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


def solve_plainly(problem: Problem) -> float:
    """The least cost by scipy's solver, given every option and limit as it is."""
    lengths = [len(one) for one in problem.costs]
    owners = np.repeat(np.arange(len(lengths)), lengths)
    once = np.equal.outer(np.arange(len(lengths)), owners).astype(float)
    constraints = [LinearConstraint(once, 1, 1)]
    constraints += [LinearConstraint(np.concatenate(one.figures), -np.inf, one.most) for one in problem.limits]
    found = milp(
        np.concatenate(problem.costs),
        integrality=np.ones(len(owners)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 1e-9},
    )
    return float(found.fun)


@pytest.mark.parametrize("limits", [1, 2], ids=["one-limit", "two-limits"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sixty_units_of_ten_options_are_as_scipy_solves_them(limits, seed) -> None:
    """Whole figures below a thousand, for which the solver's tolerance of 1e-6 is nothing."""
    rng = np.random.default_rng(seed)
    costs = tuple(rng.integers(1, 1000, 10).astype(float) for _ in range(60))
    figures = [tuple(rng.integers(1, 1000, 10).astype(float) for _ in range(60)) for _ in range(limits)]
    problem = Problem(costs, tuple(Limit(f"{number}", one, 15_000.0) for number, one in enumerate(figures)))
    solution = solve(problem)
    assert solution.is_proven
    assert problem.keeps_limits(solution.choice)
    assert solution.cost == round(solve_plainly(problem))


def make_layers(units: int, seed: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Error energies ~ 4^-bits times a weight of the layer, over nine decades, and bits of layers of few shapes."""
    rng = np.random.default_rng(seed)
    bits = np.linspace(2, 8, 13)
    costs = tuple(4.0**-bits * 10 ** rng.uniform(-6, 0) * rng.lognormal(sigma=0.1, size=13) for _ in range(units))
    return costs, tuple(bits * numel for numel in rng.choice([4096, 16384, 65536], units))


def test_the_same_problem_gives_the_same_choice() -> None:
    costs, sizes = make_layers(200, 0)
    problem = Problem(costs, (Limit("bits", sizes, sum(one[4] for one in sizes)),))
    first, second = solve(problem), solve(problem)
    assert first.choice.tolist() == second.choice.tolist()
    assert first.is_proven


@pytest.mark.parametrize("uniform", range(13))
def test_a_budget_that_is_a_uniform_plan_allows_it(uniform) -> None:
    costs, sizes = make_layers(50, 1)
    problem = Problem(costs, (Limit("bits", sizes, sum(one[uniform] for one in sizes)),))
    solution = solve(problem)
    assert solution.cost <= problem.total([uniform] * 50)
    assert solution.cost > 0
    assert problem.total(solution.choice, sizes) <= problem.limits[0].most * (1 + 1e-9)


def test_without_time_a_choice_comes_with_a_bound_that_holds() -> None:
    costs, sizes = make_layers(400, 2)
    problem = Problem(costs, (Limit("bits", sizes, sum(one[3] for one in sizes)),))
    quick, proven = solve(problem, seconds=0.0), solve(problem)
    assert problem.keeps_limits(quick.choice)
    assert quick.bound <= proven.cost <= quick.cost
    assert proven.is_proven


def test_the_least_size_within_a_cost_is_the_same_question_with_its_parts_changed() -> None:
    """The optimum of one is within the limit of the other, so neither can beat the other."""
    costs, sizes = make_layers(100, 3)
    least_cost = solve(Problem(costs, (Limit("bits", sizes, sum(one[5] for one in sizes)),)))
    least_size = solve(Problem(sizes, (Limit("cost", costs, least_cost.cost),)))
    assert least_size.cost <= Problem(sizes).total(least_cost.choice)
    assert Problem(costs).total(least_size.choice) <= least_cost.cost * (1 + CLOSE)


def test_pools_are_decided_one_by_one() -> None:
    """Two limits on different units: the sum of two problems."""
    costs, sizes = make_layers(80, 4)
    halves = [tuple(one if unit % 2 == half else np.zeros(13) for unit, one in enumerate(sizes)) for half in (0, 1)]
    limits = [Limit(name, one, sum(x[6] for x in one)) for name, one in zip(("gpu", "cpu"), halves, strict=True)]
    together = solve(Problem(costs, tuple(limits)))
    apart = [solve(Problem(costs[half::2], (Limit("", sizes[half::2], limits[half].most),))).cost for half in (0, 1)]
    assert together.is_proven
    assert together.cost == pytest.approx(sum(apart), rel=2 * CLOSE)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_few_formats_are_the_best_of_their_sets(most) -> None:
    costs, sizes = (tuple(one[::2] for one in figures) for figures in make_layers(40, 5))
    limit = Limit("bits", sizes, sum(one[3] for one in sizes))
    found = solve(Problem(costs, (limit,), (np.arange(7),) * 40, most))
    by_sets = []
    for kept in map(list, itertools.combinations(range(7), most)):
        part = Problem(tuple(one[kept] for one in costs), (Limit("", tuple(one[kept] for one in sizes), limit.most),))
        if sum(one.min() for one in part.limits[0].figures) <= limit.allowed:
            by_sets.append(solve(part).cost)
    assert found.is_proven
    assert found.cost == pytest.approx(min(by_sets), rel=CLOSE)
