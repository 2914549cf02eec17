"""What is refused as a problem, and what is within a limit?"""

import numpy as np
import pytest

from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem, Solution

TWO = (np.array([1.0, 2.0]), np.array([3.0]))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "minus-inf"])
def test_figures_that_are_no_finite_number_are_refused_with_their_place(wrong) -> None:
    with pytest.raises(ValueError, match=r"^cost of option 1 of unit 0 is (nan|inf|-inf): it must be finite$"):
        Problem((np.array([0.0, wrong]),))
    with pytest.raises(ValueError, match="bytes of option 0 of unit 1"):
        Limit("bytes", (np.zeros(2), np.array([wrong])), 1.0)


@pytest.mark.parametrize("most", [np.nan, -np.inf], ids=["nan", "minus-inf"])
def test_a_limit_is_a_number(most) -> None:
    with pytest.raises(ValueError, match=r"the limit of bytes is (nan|-inf): it must be a number"):
        Limit("bytes", TWO, most)


def test_a_limit_of_infinity_is_none() -> None:
    assert solve(Problem(TWO, (Limit("bytes", TWO, np.inf),))).choice.tolist() == [0, 0]


def test_a_unit_has_an_option() -> None:
    with pytest.raises(ValueError, match="unit 1 has no option: there is nothing to choose"):
        Problem((np.zeros(1), np.zeros(0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limits": (Limit("bytes", TWO[:1], 1.0),)}, "bytes: needs one figure for each option of the 2 units"),
        ({"most_formats": 1}, "format: needs one figure"),
        ({"most_formats": 0, "formats": TWO}, "at most 0 different formats: at least one is needed"),
        ({"chains": ((0, 1),)}, "rank: needs one figure"),
        ({"chains": ((0, 2),), "ranks": TWO}, "a chain has unit 2; there are 2 units, from 0"),
    ],
    ids=["figures-of-other-units", "formats-missing", "no-format", "ranks-missing", "chain-of-another-unit"],
)
def test_constraints_are_those_of_the_units(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(TWO, **changes)


def test_a_sum_is_rounded_once() -> None:
    tenths = tuple(np.array([0.1]) for _ in range(10))
    assert Problem(tenths).total([0] * 10) == 1.0


def test_a_limit_that_is_the_sum_of_a_choice_allows_it_whatever_the_order() -> None:
    """0.1 + 0.2 + 0.3 is 0.6000000000000001 from the left and 0.6 from the right."""
    figures = tuple(np.array([one, 1.0]) for one in (0.1, 0.2, 0.3))
    for most in (0.6, 0.1 + 0.2 + 0.3):
        assert solve(Problem(tuple(-one for one in figures), (Limit("bits", figures, most),))).choice.tolist() == [
            0,
            0,
            0,
        ]


def test_a_limit_gives_no_more_room_than_rounding_takes() -> None:
    """A part in 1e10 of the limit, far below the promised 1e-9."""
    limit = Limit("bits", (np.array([1.0, 2.0]),), 100.0)
    assert 100.0 <= limit.allowed <= 100.0 * (1 + 1e-9)
    assert not Problem(limit.figures, (Limit("bits", limit.figures, 2 - 1e-9),)).keeps_limits([1])


def test_the_gap_is_a_part_of_the_cost_and_nothing_when_proven() -> None:
    assert Solution(np.zeros(1, np.int64), 2.0, 1.5, is_proven=False).gap == 0.25
    assert Solution(np.zeros(1, np.int64), 2.0, 2.0, is_proven=True).gap == 0.0


class TestInfeasible:
    SIZES = (np.array([2.0, 4.0]), np.array([3.0, 5.0]))
    COSTS = (np.array([9.0, 1.0]), np.array([9.0, 1.0]))

    def test_a_budget_below_the_smallest_says_what_is_nearest(self) -> None:
        problem = Problem(self.COSTS, (Limit("bytes", self.SIZES, 4.0),))
        message = r"^no choice keeps bytes at most 4: the nearest that is possible is 5$"
        with pytest.raises(InfeasibleError, match=message) as raised:
            solve(problem)
        assert raised.value.limit is problem.limits[0]
        assert raised.value.nearest == 5.0
        assert raised.value.choice.tolist() == [0, 0]

    def test_two_limits_that_contradict_each_other_say_what_is_nearest_beside_the_other(self) -> None:
        limits = (Limit("bytes", self.SIZES, 6.0), Limit("loss", self.COSTS, 3.0))
        message = "no choice keeps bytes at most 6: the nearest that is possible while loss is kept is 9"
        with pytest.raises(InfeasibleError, match=message):
            solve(Problem(self.COSTS, limits))

    def test_more_formats_than_allowed_say_how_many_are_needed(self) -> None:
        formats = (np.array([0]), np.array([1]), np.array([2]))
        problem = Problem((np.zeros(1),) * 3, formats=formats, most_formats=1)
        with pytest.raises(InfeasibleError, match="at most 1 different formats: at least 3 are needed") as raised:
            solve(problem)
        assert (raised.value.limit, raised.value.nearest) == (None, 3)

    def test_pins_against_a_chain_are_told_apart_from_formats(self) -> None:
        problem = Problem((np.zeros(1),) * 2, chains=((0, 1),), ranks=(np.array([8]), np.array([4])))
        with pytest.raises(InfeasibleError, match="no choice keeps the order along the chains") as raised:
            solve(problem)
        assert np.isnan(raised.value.nearest)

    def test_three_limits_of_which_no_single_one_is_to_blame(self) -> None:
        """a and b allow only opposite options, c and d too: whichever limit goes, the other pair remains."""
        zero, one = np.array([0.0, 1.0]), np.array([1.0, 0.0])
        none = np.zeros(2)
        limits = [
            Limit(name, figures, 0.0)
            for name, figures in {
                "a": (zero, none),
                "b": (one, none),
                "c": (none, zero),
                "d": (none, one),
            }.items()
        ]
        with pytest.raises(InfeasibleError, match="b at most 0: the nearest that is possible while a is kept is 1"):
            solve(Problem((none, none), tuple(limits)))
