"""The Pareto front of size and quality: by hand where it is subtle, against the plain definition everywhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.sweeps.pareto import pareto_front

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("costs", "gains", "front"),
    [
        ([], [], []),
        ([4], [-3.0], [True]),
        ([4, 4, 2], [20.0, 20.0, 5.0], [True, True, True]),  # duplicates share their place
        ([4, 4], [20.0, 19.0], [True, False]),  # as large and better
        ([4, 8], [20.0, 20.0], [True, False]),  # as good and smaller
        ([8, 4], [19.0, 20.0], [False, True]),  # better in both, whatever the order
        ([4, 8, 16], [20.0, INF, INF], [True, True, False]),  # exact results are as good as each other
        ([4, None, 2, NAN, 8], [20.0, INF, None, INF, NAN], [True, False, False, False, False]),
        ([INF, 3], [9.0, -INF], [True, True]),
    ],
    ids=["none", "one", "twice", "equal size", "equal gain", "beaten", "exact", "unknown", "infinite"],
)
def test_by_hand(costs: list[float | None], gains: list[float | None], front: list[bool]) -> None:
    assert pareto_front(costs, gains) == front


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs, gains = rng.integers(0, 8, (2, 40)).astype(float)  # few values, so that many tie
    gains[rng.random(40) < 0.1] = INF
    beaten = [
        any(
            costs[other] <= costs[one]
            and gains[other] >= gains[one]
            and (costs[other], gains[other]) != (costs[one], gains[one])
            for other in range(40)
        )
        for one in range(40)
    ]
    assert pareto_front(costs.tolist(), gains.tolist()) == [not worse for worse in beaten]


def test_the_front_only_rises() -> None:
    costs, gains = np.random.default_rng(4).standard_normal((2, 200))
    front = np.array(pareto_front(costs.tolist(), gains.tolist()))
    by_cost = gains[front][np.argsort(costs[front])]
    assert np.all(np.diff(by_cost) > 0)
    assert front[np.argmin(costs)]
    assert front[np.argmax(gains)]


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        pareto_front([1.0, 2.0], [3.0])
