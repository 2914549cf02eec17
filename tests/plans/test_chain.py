"""Is the best choice along a chain the best one? By hand; every constraint together is in the planner's tests."""

import numpy as np
import pytest

from qanalysis.plans.chain import is_one_chain, solve_chain
from qanalysis.plans.problem import Problem

RANKS = (np.array([4, 8]),) * 3


def test_what_an_early_unit_would_like_is_given_up_where_later_ones_lose_more() -> None:
    """8 bits first would cost 0 + 3 + 3, as nothing may fall after it; 4 bits everywhere costs 2 + 0 + 0."""
    costs = (np.array([2.0, 0.0]), np.array([0.0, 3.0]), np.array([0.0, 3.0]))
    found = solve_chain(Problem(costs, chains=((0, 1, 2),), ranks=RANKS))
    assert (found.choice.tolist(), found.bound) == ([0, 0, 0], 2.0)


def test_a_chain_goes_in_its_own_order_and_of_equal_options_takes_the_first() -> None:
    costs = (np.array([2.0, 0.0, 0.0]), np.array([0.0, 3.0, 3.0]))
    problem = Problem(costs, chains=((1, 0),), ranks=(np.array([4, 8, 8]),) * 2)
    assert solve_chain(problem).choice.tolist() == [1, 0]


def test_pins_that_fall_leave_no_choice() -> None:
    assert solve_chain(Problem((np.zeros(1),) * 2, chains=((0, 1),), ranks=(np.array([8]), np.array([4])))) is None


@pytest.mark.parametrize("chains", [((0, 1),), ((0, 1, 2), (2, 0)), ((0, 1, 1, 2),)], ids=["part", "two", "twice"])
def test_only_one_chain_through_all_units_is_decided_so(chains) -> None:
    assert not is_one_chain(Problem((np.zeros(2),) * 3, chains=chains, ranks=RANKS))
