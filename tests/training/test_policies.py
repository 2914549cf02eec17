"""The fluctuation of the quantization error, and how long a value must point to a band before the rule changes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.training.gradient_rules import Policy
from qanalysis.training.policies import Bands, PolicyState, v_elem, v_scalar


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param([0.10, 0.12, 0.08, 0.10], 0.14142136, id="row-3 calm"),
        pytest.param([0.20, 0.28, 0.14, 0.30], 0.27839671, id="row-3 moving"),
        pytest.param([0.100, 0.101, 0.099, 0.100], 0.00707107, id="row-3 still"),
    ],
)
def test_row_3_the_scalar_measure_is_deviation_over_mean(window: list[float], expected: float) -> None:
    assert v_scalar(window) == pytest.approx(expected, rel=1e-6)


def test_row_3_a_weight_that_flips_is_calm_to_the_scalar_and_loud_to_the_element_measure() -> None:
    r = np.array([0.45, -0.45, 0.45, -0.45])
    assert v_scalar([math.sqrt(one**2) for one in r]) == 0
    assert v_elem(r.mean(keepdims=True), (r**2).mean(keepdims=True)) == pytest.approx(1.55884573, rel=1e-8)


def test_row_3_running_means_tell_the_same_after_six_steps() -> None:
    m1 = m2 = torch.zeros(1, dtype=torch.float64)
    for r in (0.45, -0.45) * 3:
        m1, m2 = 0.9 * m1 + 0.1 * r, 0.9 * m2 + 0.1 * r**2
    share = 1 - 0.9**6
    assert v_elem(m1 / share, m2 / share) == pytest.approx(1.55668516, rel=1e-8)


def test_the_element_measure_is_one_for_an_error_spread_over_the_cell() -> None:
    r = (np.arange(1000) + 0.5) / 1000 - 0.5
    # The midpoint rule over n cells falls short of 1/12 by 1/(12 n^2) of it.
    assert v_elem(np.array([r.mean()]), np.array([(r**2).mean()])) == pytest.approx(1, rel=1e-6)


def test_nothing_fluctuates_where_there_is_nothing() -> None:
    assert v_scalar([]) == 0
    assert v_scalar([0.0, 0.0]) == 0
    assert v_elem(np.zeros(0), np.zeros(0)) == 0
    assert v_elem(torch.zeros(0), torch.zeros(0)) == 0
    # Rounding may leave the variance of a still error below 0.
    assert v_elem(np.array([0.3]), np.array([0.3**2 - 1e-17])) == 0


def list_switches(policy: Policy, values: list[float]) -> list[tuple[int, str]]:
    state, switches = PolicyState(), []
    for step, v in enumerate(values, 1):
        state, why = policy.decide(state, v)
        if why:
            switches.append((step, why))
    return switches


# Up past 0.11 and 0.88, down past 0.09 and 0.72, each for 3 steps in a row, from step 4 on.
SERIES = [
    *[2.0] * 3,  # before the window ends
    *[0.105] * 4,  # above 0.1, but within the margin
    *[0.2, 0.2, 0.05],  # two steps are not three
    *[0.2, 0.3, 0.4],  # 13: to curvature
    *[0.85] * 3,  # above 0.8, within the margin
    *[0.9, 0.95, 0.91],  # 19: to dampening
    *[0.75] * 3,  # within the margin below
    *[0.7, 0.05, 0.05, 0.05],  # 26: to ewgs, as the pending band changed on the way
    *[0.05] * 2,
    *[1.0, float("nan"), 1.0, 1.0],  # 32: straight to dampening, NaN not counted
]
SWITCHES = [
    (13, "v_elem 0.4 ≥ 0.11 for 3 steps: ewgs → curvature"),
    (19, "v_elem 0.91 ≥ 0.88 for 3 steps: curvature → dampening"),
    (26, "v_elem 0.05 < 0.09 for 3 steps: dampening → ewgs"),
    (32, "v_elem 1 ≥ 0.88 for 3 steps: ewgs → dampening"),
]


def test_row_4_switches_match_a_list_made_by_hand() -> None:
    assert list_switches(Policy(dwell=3, window=4), SERIES) == SWITCHES


def test_row_4_each_measure_has_its_own_thresholds() -> None:
    assert list_switches(Policy(measure="scalar", window=1), [0.06] * 5) == [
        (5, "v_scalar 0.06 ≥ 0.055 for 5 steps: ewgs → curvature")
    ]
    assert list_switches(Policy(window=1), [0.06] * 20) == []
    assert list_switches(Policy(bands=(0.01, 0.05), below="ste", above="averaged", window=1, dwell=1), [0.06]) == [
        (1, "v_elem 0.06 ≥ 0.055 for 1 step: ste → averaged")
    ]


def test_no_decision_falls_before_the_window_is_full() -> None:
    assert [step for step, _why in list_switches(Policy(dwell=1), [1.0] * 30)] == [20]
    assert [step for step, _why in list_switches(Policy(), [1.0] * 30)] == [24]


@given(
    st.lists(st.floats(0, 2, allow_nan=False), max_size=120),
    st.integers(1, 6),
    st.floats(0, 0.9),
    st.tuples(st.floats(0.05, 0.5), st.floats(0.6, 1.5)),
)
def test_two_switches_are_never_closer_than_the_dwell(
    values: list[float], dwell: int, hysteresis: float, bands: tuple[float, float]
) -> None:
    policy = Policy(bands=bands, dwell=dwell, hysteresis=hysteresis, window=1)
    steps = [step for step, _why in list_switches(policy, values)]
    assert all(after - before >= dwell for before, after in itertools.pairwise(steps))
    assert not steps or steps[0] >= dwell


@given(st.floats(0, 3), st.integers(0, 2), st.floats(0, 0.9))
def test_a_band_that_a_value_points_to_is_where_it_stays(v: float, band: int, hysteresis: float) -> None:
    bands = Bands(0.1, 0.8, hysteresis, dwell=1, window=1)
    target = bands.find_band(band, v)
    assert bands.find_band(target, v) == target
