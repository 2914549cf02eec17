"""The levels next to a value, against a plain list of all levels of its group."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.models.repairs.levels import find_neighbours, settle
from qanalysis.quantizers.scheme import Scheme

FORMATS = [
    "int2 channel",
    "int4 asym group=8",
    "int5 sym-full",
    "nf4 group=16",
    "fp8_e4m3 channel",
    "fp4_e2m1 block=2x8",
    "mxfp4",
    "gguf:q4_0",
    "gguf:q4_1",
    "ternary channel",
    "binary channel",
]


@pytest.mark.parametrize("text", FORMATS)
def test_are_those_of_the_list_of_all_levels(text: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    values[0, :8] = 0
    quantizer = Scheme.parse(text).fit(values)
    layout = quantizer.layout
    low, high = find_neighbours(quantizer, values)
    numbers = np.arange(layout.groups, dtype=np.float64)
    groups = layout.from_matrix(np.broadcast_to(layout.spread(numbers), (4, 64))).astype(int)
    for place in np.ndindex(values.shape):
        levels = np.float32(np.unique(quantizer.grid.levels(groups[place])))
        below, above = levels[levels <= values[place]], levels[levels >= values[place]]
        wanted = below[-1] if below.size else levels[0], above[0] if above.size else levels[-1]
        assert (low[place], high[place]) == wanted


@pytest.mark.parametrize("text", FORMATS)
def test_one_of_both_is_the_nearest(text: str) -> None:
    values = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    quantizer = Scheme.parse(text).fit(values)
    low, high = find_neighbours(quantizer, values)
    nearest = quantizer.round_trip(values)
    if text in ("mxfp4", "gguf:q4_0", "gguf:q4_1", "ternary channel"):  # coded by another scale or a threshold
        assert np.mean((nearest == low) | (nearest == high)) > 0.9
    else:
        assert ((nearest == low) | (nearest == high)).all()


def test_a_level_settles_to_what_its_code_decodes_to_without_a_negative_zero() -> None:
    values = np.float32([[-0.01, 0.7, -0.3]])
    quantizer = Scheme.parse("int4").fit(values)
    settled = settle(quantizer, quantizer.round_trip(values))
    assert np.signbit(settled).tolist() == [[False, False, True]]
