"""Joint runs widen a sum by their ratios, and say so where there are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qanalysis.plans.interactions import describe_interactions, widen


def _point(ratio: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"ratio": ratio, "ratio_low": low, "ratio_high": high}


BLOCK = {
    "metric": "output_nsr",
    "ratio": 1.2,
    "points": [_point(0.8, 0.7, 0.9), _point(1.5, 1.4, 1.8), _point(None)],
    "others": [{"metric": "output_kl", "ratio": None, "points": [_point(2.0), _point(3.0), _point(5.0)]}],
    "warning": "output_nsr does not add up: 1 of 2 sets. output_kl does not add up: all.",
}


def test_the_sum_is_widened_by_the_smallest_and_the_largest_ratio() -> None:
    told = describe_interactions({"additivity": BLOCK}, 10.0, "output_nsr")
    assert (told["ratio"], told["ratio_low"], told["ratio_high"], told["sets"]) == (1.2, 0.7, 1.8, 2)
    assert (told["predicted"], told["low"], told["high"]) == pytest.approx((12.0, 7.0, 18.0))
    assert told["warning"] == "output_nsr does not add up: 1 of 2 sets."


def test_other_columns_have_their_own_ratios_and_a_plain_sum_stays_possible() -> None:
    """Where nothing is pooled the median of the sets stands. One more of 2, 3, 5: exp(m ± 4.3027 s √(4/3)) with the mean
    1.1337 and the deviation 0.4592 of their logarithms and Student's t of two degrees of freedom.
    """
    told = describe_interactions({"additivity": BLOCK}, 10.0, "output_kl")
    reach = 4.302653 * 0.459154 * math.sqrt(4 / 3)
    assert told["ratio"] == 3.0
    assert told["ratio_low"] == pytest.approx(math.exp(1.133732 - reach), rel=1e-5)
    assert told["ratio_high"] == pytest.approx(math.exp(1.133732 + reach), rel=1e-5)
    assert told["warning"] == "output_kl does not add up: all."


def test_a_sum_below_zero_keeps_its_ends_in_order() -> None:
    told = describe_interactions({"additivity": BLOCK}, -1.0, "output_nsr")
    assert told["low"] < told["high"]


@pytest.mark.parametrize(
    ("more", "column", "note"),
    [
        ({}, "output_nsr", "come without runs of several layers"),
        ({"additivity": []}, "output_nsr", "come without runs of several layers"),
        ({"additivity": BLOCK}, "fisher", "fisher: no run of several layers together measures it"),
        ({"additivity": {"metric": "output_nsr", "points": [_point(None)]}}, "output_nsr", "above chance"),
        ({"additivity": {"metric": "output_nsr", "points": 3}}, "output_nsr", "above chance"),
    ],
    ids=["none", "other-form", "closed-form", "no-ratio", "damaged"],
)
def test_where_nothing_is_known_it_is_said(more: dict[str, Any], column: str, note: str) -> None:
    told = describe_interactions(more, 1.0, column)
    assert note in told["note"]
    assert (told["ratio"], told["low"], told["sets"]) == (None, None, 0)
    assert widen((1.0, 2.0), told) == (1.0, 2.0)
    assert widen(None, told) is None


def test_an_interval_is_widened_at_both_ends() -> None:
    told = describe_interactions({"additivity": BLOCK}, 10.0, "output_nsr")
    assert widen((9.0, 11.0), told) == pytest.approx((9 * 0.7, 11 * 1.8))
    assert widen((-1.0, 11.0), told) == pytest.approx((-1.8, 11 * 1.8))
    assert widen(None, told) == pytest.approx((7.0, 18.0))
