"""Are the steps the lower hull? By hand, and against the least of cost + price · size over all choices."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.plans.hull import pad, trace_steps


def test_steps_go_by_what_a_unit_of_size_saves() -> None:
    """Unit 0 saves 6 for 1, then 1 for 1; unit 1 saves 4 for 2 in one step, as its middle is above the line."""
    costs = pad([np.array([7.0, 1.0, 0.0]), np.array([5.0, 4.0, 1.0])])
    sizes = pad([np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])])
    steps = trace_steps(costs, sizes)
    assert (steps.units.tolist(), steps.options.tolist()) == ([0, 1, 0], [1, 2, 2])
    assert (steps.sizes.tolist(), steps.costs.tolist()) == ([2.0, 3.0, 5.0, 6.0], [12.0, 6.0, 2.0, 1.0])
    assert [steps.choose(count).tolist() for count in range(4)] == [[0, 0], [1, 0], [1, 2], [2, 2]]


def test_equal_options_are_the_first_and_points_on_a_line_are_one_step() -> None:
    steps = trace_steps(np.array([[2.0, 2.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 2.0, 3.0]]))
    assert (steps.first.tolist(), steps.options.tolist()) == ([0], [3])


def test_no_unit_and_a_single_option_have_no_steps() -> None:
    assert trace_steps(pad([]), pad([])).costs.tolist() == [0.0]
    assert trace_steps(np.array([[2.0]]), np.array([[3.0]])).sizes.tolist() == [3.0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-12, 3))
def test_at_every_price_a_point_of_the_hull_is_best(seed, power) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 8, 6)
    costs, sizes = pad([10 ** rng.uniform(-9, 0, n) for n in lengths]), pad([rng.random(n) for n in lengths])
    steps = trace_steps(costs, sizes)
    rate = 10.0**power
    least = (costs + rate * sizes).min(axis=1).sum()
    # six sums, each rounded by a part in 2^53
    assert abs((steps.costs + rate * steps.sizes).min() - least) <= 1e-14 * least
    assert (np.diff(steps.rates) <= 0).all()
