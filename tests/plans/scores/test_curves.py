"""Damages between, beyond and at the points of a curve, and what error energy adds to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.plans.scores.curves import interpolate, price, read_errors, trace_errors
from tests.plans.tables import sweep_candidates


@pytest.mark.parametrize(
    ("points", "damages", "bits", "wanted"),
    [
        ([4.0], [1.0], 4.0, 1.0),
        ([4.0], [1.0], 5.0, 0.25),
        ([4.0], [1.0], 2.0, 16.0),
        ([4.0, 6.0], [1.0, 0.01], 5.0, 0.1),
        ([4.0, 6.0], [1.0, 0.0], 5.0, 0.5),
        ([4.0, 6.0], [1.0, 0.0], 7.0, 0.0),
        ([4.0, 6.0], [0.1, 0.4], 6.0, 0.1),
        ([4.0, 6.0], [0.0, 0.0], 3.0, 0.0),
    ],
    ids=["at", "above", "below", "between", "to-harmless", "harmless-above", "noise-never-rises", "all-harmless"],
)
def test_a_curve_goes_through_its_points(points: list[float], damages: list[float], bits: float, wanted: float) -> None:
    found = interpolate(np.array([bits]), np.array(points), np.array(damages))
    assert found[0] == pytest.approx(wanted, rel=1e-12)


@given(
    points=st.lists(st.floats(1, 16), min_size=1, max_size=6, unique=True),
    damages=st.lists(st.floats(0, 10), min_size=6, max_size=6),
    bits=st.lists(st.floats(0.5, 20), min_size=2, max_size=20),
)
def test_more_bits_never_hurt_more(points: list[float], damages: list[float], bits: list[float]) -> None:
    """A share of the interpolation is rounded in float64: 1e-9 is a thousand times what that makes of it."""
    at = np.sort(bits)
    found = interpolate(at, np.sort(points), np.array(damages[: len(points)]))
    assert (np.diff(found) <= 1e-9 * found[:-1] + 1e-300).all()


def test_among_schemes_of_like_bits_the_error_decides() -> None:
    """int4 channel and int4 channel range=percentile:90 take the same bits; the one with k times the error of the other
    costs k times as much, and exactly the measured damage belongs to the better one.
    """
    candidates = sweep_candidates({"w": (8, 64)}, ("int4 channel", "int4 channel range=percentile:90"))
    one, errors = candidates.options[0], read_errors(candidates)[0]
    bits = float(one.bits[0] / one.tensor.numel)
    costs = price(one, errors, np.array([bits]), np.array([2.0]))
    assert costs.min() == pytest.approx(2.0)
    assert costs[1] / costs[0] == pytest.approx(errors[1] / errors[0])


def test_a_candidate_without_any_error_costs_nothing() -> None:
    candidates = sweep_candidates({"w": (4, 32)}, ("int4 channel", "int8 channel"))
    one = candidates.options[0]
    costs = price(one, np.array([0.5, 0.0]), np.array([4.0]), np.array([1.0]))
    assert costs[0] > 0
    assert costs[1] == 0


def test_errors_are_shares_of_the_tensors_energy() -> None:
    candidates = sweep_candidates({"w": (4, 32)}, ("int4 channel",))
    row = candidates.rows[0]
    assert read_errors(candidates)[0][0] == pytest.approx(row.relative_l2**2, rel=1e-9)


def test_errors_between_and_beyond_the_candidates_follow_the_same_line() -> None:
    candidates = sweep_candidates({"w": (4, 64)}, ("int4 channel", "int8 channel"))
    one, errors = candidates.options[0], read_errors(candidates)[0]
    bits = one.bits / one.tensor.numel
    low, middle, high = trace_errors(one, errors, [bits[0], bits.mean(), bits[1] + 1])
    assert low == pytest.approx(errors[0])
    assert middle == pytest.approx(np.sqrt(errors[0] * errors[1]))
    assert high == pytest.approx(errors[1] / 4)
