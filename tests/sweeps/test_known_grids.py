"""A float tensor that already lies on a grid is told so in its rows: to quantize it again gives the same values."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.measurement import LEAST_LOOKED_AT
from qanalysis.sweeps.sweep import sweep

ORDINARY = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)


def requantize(text: str, x: np.ndarray = ORDINARY) -> np.ndarray:
    return Scheme.parse(text).fit(x).round_trip(x)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (requantize("int4 group=128"), "already on a grid of 15 levels, group 128"),
        (requantize("int8 channel"), "already on a grid of 255 levels, channel"),
        (requantize("int4 group=128").astype(ml_dtypes.bfloat16), "already on a grid of 15 levels, group 128"),
        (requantize("mxfp4"), "already on a grid of mxfp4 numbers, group 32"),
    ],
    ids=["int4 in groups", "int8 by channel", "int4 in bfloat16", "mxfp4"],
)
def test_rows_say_that_values_lie_on_a_grid(x: np.ndarray, told: str) -> None:
    rows = sweep({"w": x}, ["int4 group=128", "int8 channel=1", "int4"])
    assert [row.reason for row in rows] == [told] * 3
    assert rows.coverage[-1]["reason"] == f"1 tensor is {told}"


def test_quantizing_it_again_changes_nothing() -> None:
    again = sweep({"w": requantize("int4 group=128")}, ["int4 group=128"])[0]
    # One ulp of the step: absmax / 7 is rounded a second time.
    assert again.max_abs_error <= 2.0**-22 * np.abs(ORDINARY).max()


@pytest.mark.parametrize(
    "x",
    [
        ORDINARY,
        ORDINARY.astype(ml_dtypes.bfloat16),
        ORDINARY.astype(np.float16),
        requantize("int4 group=128")[: LEAST_LOOKED_AT // 256 - 1],
    ],
    ids=["float32", "bfloat16", "float16", "few values"],
)
def test_ordinary_values_are_on_none(x: np.ndarray) -> None:
    assert sweep({"w": x}, ["int4 group=128"])[0].reason == ""
