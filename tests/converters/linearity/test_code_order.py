"""Codes out of order: what a histogram can not see is told, and its perfect figures are withheld."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.linearity.pairs import measure_pairs

Codes = NDArray[np.int64]
RAMP = np.repeat(np.arange(256), 16)
TRIANGLE = np.concatenate([RAMP, RAMP[::-1], RAMP])


def swap_bits(codes: Codes, first: int, second: int) -> Codes:
    differ = (codes >> first ^ codes >> second) & 1
    return codes ^ (differ << first | differ << second)


def add_noise(codes: Codes, noise: float, seed: int = 1) -> Codes:
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(codes + rng.normal(0, noise, codes.size)), 0, 255).astype(np.int64)


def is_told(found: Linearity) -> bool:
    told = found.findings[0].code == "codes-out-of-order"
    assert told == found.withheld
    return told


@pytest.mark.parametrize("record", [RAMP, RAMP[::-1], TRIANGLE], ids=["up", "down", "triangle"])
@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (2, 6), (6, 7), (0, 7)])
def test_swapped_data_lines_have_no_figures(record: Codes, pair: tuple[int, int]) -> None:
    found = measure_linearity(swap_bits(record, *pair), bits=8)
    assert is_told(found)
    assert (found.dnl_max_lsb, found.inl_max_lsb, found.missing_codes) == (None, None, None)


def test_the_furthest_pair_is_named_with_its_distance() -> None:
    # bits 6 and 7 swapped: 64..127 come behind 128..191, so that 128 lies 127 codes before 127
    (finding, *_) = measure_linearity(swap_bits(RAMP, 6, 7), bits=8).findings
    assert finding.value == pytest.approx(127, abs=0.1)
    assert "code 128 lies 127 LSB before code 127, which" in finding.text


def test_a_gray_code_is_no_transfer() -> None:
    assert is_told(measure_linearity(RAMP ^ RAMP >> 1, bits=8))


@pytest.mark.parametrize(("noise", "pair"), [(0.5, (0, 1)), (1.0, (2, 3)), (4.0, (2, 3))])
def test_noise_does_not_hide_them(noise: float, pair: tuple[int, int]) -> None:
    assert is_told(measure_linearity(swap_bits(add_noise(RAMP, noise), *pair), bits=8))


@pytest.mark.parametrize("noise", [0.3, 0.6, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("density", [1, 4, 16])
def test_noise_alone_is_in_order(noise: float, density: int) -> None:
    for seed in range(20):
        codes = add_noise(np.repeat(np.arange(256), density), noise, seed)
        codes[0], codes[-1] = 0, 255
        assert not is_told(measure_linearity(codes, bits=8))
        if density > 1:
            down = add_noise(np.repeat(np.arange(256), density)[::-1], noise, seed + 100)
            assert not is_told(measure_linearity(np.concatenate([codes, down]), bits=8))


def test_hum_on_the_ramp_is_in_order() -> None:
    t = np.arange(RAMP.size)
    for turn in (0.5, 0.05):
        codes = np.clip(np.rint(t / 16 + 3 * np.sin(turn * t)), 0, 255).astype(int)
        assert not is_told(measure_linearity(codes, bits=8))


def test_a_single_carry_that_is_not_monotonic_keeps_its_figures() -> None:
    codes = RAMP.copy()
    codes[RAMP == 127], codes[RAMP == 128] = 128, 127
    found = measure_linearity(codes, bits=8)
    assert not is_told(found)
    assert found.largest_step_back == 1


def test_pairs_out_of_order_are_told_too() -> None:
    x = np.linspace(0, 3.3, RAMP.size)
    assert is_told(measure_pairs(x, swap_bits(RAMP, 2, 4), bits=8))
    assert not is_told(measure_pairs(x, add_noise(RAMP, 1.0), bits=8))
