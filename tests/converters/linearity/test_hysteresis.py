"""Hysteresis of ramps both ways: found within its resolution, and not where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.linearity import measure_linearity

BITS, COUNT = 8, 256


def convert_both_ways(
    hysteresis: NDArray[np.float64] | float,
    *,
    density: int = 32,
    beyond: float = 0.0,
    noise: float = 0.0,
    ramps: int = 2,
) -> NDArray[np.int64]:
    """Codes of a triangle that begins at a turn; transitions lie half of `hysteresis` LSB higher on the way up."""
    truth = np.arange(1, COUNT) - 0.5 + np.random.default_rng(5).normal(0, 0.1, COUNT - 1)
    input_ = np.linspace(-beyond, COUNT - 1 + beyond, COUNT * density)
    rng, parts = np.random.default_rng(6), []
    for ramp in range(ramps):
        rises = ramp % 2 == 0
        x = (input_ if rises else input_[::-1]) + rng.normal(0, noise, input_.size) * bool(noise)
        levels = truth + hysteresis / 2 * (1 if rises else -1)
        parts.append(np.searchsorted(np.sort(levels), x, side="right"))
    return np.concatenate(parts)


def find(codes: NDArray[np.int64]) -> Finding | None:
    found = measure_linearity(codes, bits=BITS)
    return next((finding for finding in found.findings if finding.code == "hysteresis"), None)


@pytest.mark.parametrize("size", [0.5, 1.0, 3.0, 10.0, -0.5, -3.0, -10.0])
@pytest.mark.parametrize(("beyond", "noise"), [(12.0, 0.0), (12.0, 0.7), (0.0, 0.0)], ids=["clean", "noisy", "bare"])
def test_hysteresis_is_found_with_its_size_and_its_sense(size: float, beyond: float, noise: float) -> None:
    finding = find(convert_both_ways(size, beyond=beyond, noise=noise))
    assert finding is not None
    # a turn is known to a sample of each ramp, 1/32 LSB; the mean of 250 transitions adds less than that
    assert finding.value == pytest.approx(abs(size), abs=0.07)
    assert f"on the way {'up' if size > 0 else 'down'}" in finding.text


@pytest.mark.parametrize("ramps", [2, 3, 4, 7])
def test_it_is_found_in_any_number_of_ramps(ramps: int) -> None:
    finding = find(convert_both_ways(2.0, beyond=20.0, ramps=ramps))
    assert finding is not None
    assert finding.value == pytest.approx(2.0, abs=0.07)


def test_codes_moved_by_whole_steps_on_the_way_down_are_those_steps_apart() -> None:
    up = np.repeat(np.arange(COUNT), 16)
    finding = find(np.concatenate([up, np.clip(up[::-1] - 3, 0, COUNT - 1)]))
    assert finding is not None
    assert finding.value == pytest.approx(3.0, abs=1e-9)


def test_hysteresis_of_a_part_of_the_range_is_told_with_its_place() -> None:
    bulge = 2.0 * np.exp(-(((np.arange(1, COUNT) - 100) / 12) ** 2))
    finding = find(convert_both_ways(bulge, beyond=12.0))
    assert finding is not None
    assert "most at code" in finding.text
    place = int(finding.text.split("at code ")[1].split()[0])
    assert abs(place - 100) <= 5
    assert 1.7 < float(finding.text.split("with ")[1].split()[0]) < 2.1


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("beyond", [0.0, 12.0])
@pytest.mark.parametrize("ramps", [2, 5])
def test_none_is_told_where_there_is_none(noise: float, beyond: float, ramps: int) -> None:
    assert find(convert_both_ways(0.0, noise=noise, beyond=beyond, ramps=ramps)) is None


def test_a_record_of_one_direction_has_none() -> None:
    assert find(np.tile(np.repeat(np.arange(COUNT), 16), 3)) is None
