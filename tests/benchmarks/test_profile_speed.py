"""What does a look at a layer of 10^7 values cost at all widths? Beside one full numpy pass for each width, in one run, as a ratio."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.diagnosis.profile import profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme

from ..reference_profile import describe_profile

SHAPE = (2000, 5000)
WIDTHS_S, WIDTHS_SMALL_S, SINGLE_S = 1.5, 0.04, 0.25
LEAST_RATIO = 10


@pytest.fixture(scope="module")
def layer() -> NDArray[np.float32]:
    return (np.random.default_rng(0).standard_t(4, size=SHAPE) * 0.02).astype(np.float32)


@pytest.mark.parametrize("words", ["int4", "int4 channel", "int4 group=128", "int4 asym group=32"])
def test_fifteen_widths_of_a_layer(words: str, layer, capsys) -> None:
    scheme, small = Scheme.parse(words), layer[:64, :576].copy()
    few = min(_seconds(lambda: profile_bits(small, scheme)) for _ in range(5))
    ours = min(_seconds(lambda: profile_bits(layer, scheme)) for _ in range(3))
    single = min(_seconds(lambda: profile_layer(layer, scheme)) for _ in range(3))
    theirs = 15 * _seconds(lambda: describe_profile(layer, scheme, bins=255))
    with capsys.disabled():
        print(
            f"\n{words}: 15 widths of 10^7 values {ours:.2f} s, numpy {theirs:.1f} s ({theirs / ours:.0f} times); "
            f"one width {single:.3f} s; 15 widths of 36,864 values {few * 1e3:.1f} ms"
        )
    assert theirs > LEAST_RATIO * ours
    assert ours < WIDTHS_S
    assert single < SINGLE_S
    assert few < WIDTHS_SMALL_S


def _seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
