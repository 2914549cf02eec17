"""How long does a plan of 1000 layers take, with its bound and with its proof? Beside scipy's solver as it is."""

import time

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from qanalysis.plans.front import trace_front
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import Limit, Problem

UNITS, OPTIONS = 1000, 20
#: A gap of a part in a thousand is less than scores tell apart; the proof is of a part in 1e9.
SECONDS_WITH_BOUND, STATED_GAP = 2.0, 1e-3
SECONDS_WITH_PROOF, PROVEN_GAP = 15.0, 1e-9
PEER_SECONDS = 60.0
SHAPES = (4096 * 4096, 4096 * 11008, 4096 * 1024, 32000 * 4096, 1024 * 1024)


def make_layers(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Layers of few shapes under five widths in four groupings: error energies ~ 4^-bits times what a layer weighs."""
    bits = np.add.outer([2, 3, 4, 6, 8], [0, 0.125, 0.25, 0.5]).ravel()
    energies = np.multiply.outer(4.0 ** -np.array([2, 3, 4, 6, 8]), [1, 0.8, 0.65, 0.5]).ravel()
    costs = [energies * rng.lognormal() * rng.lognormal(sigma=0.1, size=OPTIONS) for _ in range(UNITS)]
    return costs, [bits * numel for numel in rng.choice(SHAPES, UNITS)]


def make_ragged(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Layers whose sizes have no divisor in common."""
    bits = np.linspace(2, 8, OPTIONS)
    numel = rng.integers(1000, 10_000_000, UNITS)
    costs = [4.0**-bits * rng.lognormal() * rng.lognormal(sigma=0.05, size=OPTIONS) for _ in range(UNITS)]
    return costs, [np.round(bits * one) for one in numel]


def make_decades(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Costs over nine decades in each layer."""
    return (
        [np.sort(10 ** rng.uniform(-9, 0, OPTIONS))[::-1] for _ in range(UNITS)],
        [np.sort(rng.random(OPTIONS)) for _ in range(UNITS)],
    )


def make_correlated(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is saved is the size itself, in whole numbers: every option is at the same price."""
    sizes = [np.sort(rng.integers(1, 10_000, OPTIONS)).astype(float) for _ in range(UNITS)]
    return [-one for one in sizes], sizes


def make_strongly_correlated(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is saved is the size and a constant, in real numbers."""
    sizes = [np.sort(rng.random(OPTIONS)) for _ in range(UNITS)]
    return [-(one + 0.1) for one in sizes], sizes


def make_equal(rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same layer a thousand times."""
    sizes = np.sort(rng.random(OPTIONS))
    return [4.0 ** (-8 * sizes)] * UNITS, [sizes] * UNITS


KINDS = {
    "layers": make_layers,
    "ragged sizes": make_ragged,
    "nine decades": make_decades,
    "correlated": make_correlated,
    "strongly correlated": make_strongly_correlated,
    "equal layers": make_equal,
}


def solve_plainly(problem: Problem) -> tuple[float, float, bool]:
    """Seconds, cost and whether scipy's solver proved it, given the whole problem as it is."""
    began = time.perf_counter()
    count = UNITS * OPTIONS
    once = csr_array((np.ones(count), (np.repeat(np.arange(UNITS), OPTIONS), np.arange(count))))
    (limit,) = problem.limits
    found = milp(
        np.concatenate(problem.costs),
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(once, 1, 1),
            LinearConstraint(np.concatenate(limit.figures)[None, :], -np.inf, limit.most),
        ],
        options={"time_limit": PEER_SECONDS, "mip_rel_gap": PROVEN_GAP},
    )
    return time.perf_counter() - began, np.inf if found.x is None else float(found.fun), found.status == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_layers_are_planned_in_two_seconds_and_proven_in_fifteen(kind, capsys) -> None:
    lines = []
    for share in (0.1, 0.3, 0.6):
        costs, sizes = KINDS[kind](np.random.default_rng(0))
        least, most = (sum(float(one) for one in map(end, sizes)) for end in (np.min, np.max))
        limit = Limit("bits", tuple(sizes), least + share * (most - least))
        problem = Problem(tuple(costs), (limit,))
        began = time.perf_counter()
        quick = solve(problem, seconds=SECONDS_WITH_BOUND / 2)
        quick_seconds = time.perf_counter() - began
        began = time.perf_counter()
        proven = solve(problem, seconds=SECONDS_WITH_PROOF - 1)
        seconds = time.perf_counter() - began
        peer = "" if share != 0.3 else _compare(problem, proven.cost, seconds)
        lines.append(
            f"{kind}, {share:.0%} of the range: bound in {quick_seconds:.2f} s (gap {quick.gap:.1e}), "
            f"proof in {seconds:.2f} s (gap {(proven.cost - proven.bound) / abs(proven.cost):.1e}){peer}"
        )
        assert quick_seconds < SECONDS_WITH_BOUND
        assert quick.gap < STATED_GAP
        assert seconds < SECONDS_WITH_PROOF
        assert proven.is_proven
        assert quick.bound <= proven.cost + PROVEN_GAP * abs(proven.cost)
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def _compare(problem: Problem, cost: float, seconds: float) -> str:
    taken, found, is_proven = solve_plainly(problem)
    # scipy's solver allows its limits a part in 1e6, so that it may seem cheaper
    assert cost <= found + 1e-5 * abs(found)
    return f"; plain milp {'' if is_proven else 'without a proof '}{taken:.1f} s, ratio {taken / seconds:.0f}"


def test_the_front_of_300_layers_is_drawn_while_a_slider_moves(capsys) -> None:
    rng = np.random.default_rng(0)
    bits = np.linspace(2, 8, 28)
    costs = tuple(4.0**-bits * rng.lognormal() * rng.lognormal(sigma=0.1, size=28) for _ in range(300))
    sizes = tuple(bits * numel for numel in rng.choice(SHAPES, 300))
    times = []
    for points in (200, None):
        began = time.perf_counter()
        front = trace_front(Problem(costs), sizes, points=points)
        times.append((time.perf_counter() - began, len(front)))
    with capsys.disabled():
        print("\nfront of 300 layers: " + ", ".join(f"{count} points in {taken:.3f} s" for taken, count in times))
    assert times[0][0] < 0.05
    assert times[1][0] < 2.0
