"""Scale types: what they round to, against the casts of ml_dtypes, and the facts that others ask of them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scales import (
    DOUBLE,
    E8M0,
    FLOAT16,
    FLOAT32,
    FP8,
    NO_SCALE,
    NORMAL_FP8,
    SCALE_TYPES,
    STORED_FLOATS,
    ScaleType,
)

EVERY = list(dict.fromkeys([*STORED_FLOATS, *(scale for fmt in FORMATS.values() for scale in fmt.scales)]))
POSITIVE = st.floats(2.0**-120, 2.0**120, width=32)


def fit(scale: ScaleType, step: float) -> float:
    return float(scale.fit(np.float32([step]), np.float32([7 * step]), 3)[0])


@given(step=st.floats(0, 1000, width=32))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_e4m3_scales_are_the_cast_of_ml_dtypes_saturating(step: float) -> None:
    assert fit(FP8, step) == float(np.float32(min(step, 448)).astype(ml_dtypes.float8_e4m3fn))
    assert fit(NORMAL_FP8, step) == max(fit(FP8, step), 2.0**-6)


@given(step=POSITIVE)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_type_rounds_as_it_says(step: float) -> None:
    for scale in EVERY:
        stored = fit(scale, step)
        assert not scale.is_exact or stored == np.float32(step)
        assert not scale.is_power_of_two or np.frexp(stored)[0] == 0.5
    assert fit(FLOAT16, step) == float(np.float32(min(step, 65504)).astype(np.float16))


def test_one_name_has_one_meaning() -> None:
    assert len({scale.name for scale in EVERY}) == len(EVERY)
    assert [str(scale) for scale in STORED_FLOATS] == list(SCALE_TYPES)
    assert {scale for scale in EVERY if scale.is_exact} == {FLOAT32, NO_SCALE}
    assert {scale for scale in EVERY if scale.is_double} == {DOUBLE}
    assert E8M0.is_power_of_two


@pytest.mark.parametrize(("groups", "bits"), [(1, 64), (256, 64), (257, 96), (10_000, 32 * 41)])
def test_doubled_scales_store_a_mean_and_a_largest_per_256(groups: int, bits: int) -> None:
    assert DOUBLE.tensor_bits(groups) == bits
    assert FLOAT32.tensor_bits(groups) == 0


@pytest.mark.parametrize("scale", [FLOAT32, SCALE_TYPES["pow2"]], ids=str)
def test_scales_are_cut_to_what_keeps_the_largest_level_finite(scale: ScaleType) -> None:
    cut = scale.cut(np.float32([3e38, 1, -3e38]), 7.0)
    assert (np.isfinite(cut * np.float32(7))).all()
    assert cut[1] == 1
    assert cut[0] == -cut[2] > 2e37
    assert not scale.is_power_of_two or np.frexp(cut[0])[0] == 0.5
