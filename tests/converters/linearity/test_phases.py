"""The phases that a sine record shows: gaps against a sorted list, locked and nearly locked generators told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.phases import find_frequency, measure_gaps
from qanalysis.converters.linearity.row import describe_linearity, read_dnl
from qanalysis.results.gates import Gate, hold_gates


def convert_sine(
    frequency: float, samples: int, *, bits: int = 8, noise: float = 0.0, over: float = 1.05
) -> NDArray[np.int64]:
    half = 2 ** (bits - 1)
    x = half - 0.5 + over * half * np.sin(2 * np.pi * frequency * np.arange(samples) + 0.1)
    x += noise * np.random.default_rng(1).standard_normal(samples)
    return np.clip(np.rint(x), 0, 2**bits - 1).astype(np.int64)


@pytest.mark.parametrize("frequency", [0.1234567891, 0.118034, 0.25 + 1e-7, 1 / 3 + 1e-4, 0.499, 0.002, 1021 / 4096])
@pytest.mark.parametrize("samples", [2, 17, 1000, 4096, 100_000])
def test_the_largest_gap_is_that_of_the_sorted_phases(frequency: float, samples: int) -> None:
    phases = np.sort(np.arange(samples) * frequency % 1.0)
    largest = np.diff(phases, append=phases[0] + 1.0).max()
    # n f is rounded to 1e-16 of up to 5e4 periods
    assert measure_gaps(frequency, samples).largest == pytest.approx(largest, abs=1e-10)


@pytest.mark.parametrize(("turns", "lag"), [(1, 100), (10, 81), (1021, 4096), (1, 3)])
def test_a_fraction_of_the_rate_comes_back_after_its_denominator(turns: int, lag: int) -> None:
    gaps = measure_gaps(turns / lag, 300_000)
    assert (gaps.lag, round(gaps.largest * lag, 6)) == (lag, 1.0)


@pytest.mark.parametrize("frequency", [0.1234567891, 0.118034, 0.02, 0.4567])
@pytest.mark.parametrize("samples", [4096, 300_000])
def test_the_frequency_of_a_clipped_sine_is_found(frequency: float, samples: int) -> None:
    found = find_frequency(convert_sine(frequency, samples))
    assert found is not None
    assert abs(found - frequency) * samples < 1e-3  # of a period over the record


LOCKED = {
    "shared-reference": (0.1234567891, 300_000, 81),
    "locked": (0.01, 100_000, 100),
    "nearly-a-quarter": (0.25 + 1e-9, 300_000, 4),
    "of-a-long-record": (0.1234567891, 400_000, 81),
}


@pytest.mark.parametrize(("frequency", "samples", "phases"), LOCKED.values(), ids=LOCKED)
def test_few_phases_are_counted_and_their_figures_withheld(frequency: float, samples: int, phases: int) -> None:
    found = measure_linearity(convert_sine(frequency, samples), bits=8, test="sine")
    assert (found.findings[0].code, found.findings[0].value) == ("few-phases", phases)
    assert found.withheld
    assert found.missing_codes is None
    row = describe_linearity(found)
    gates = [
        Gate("--max-dnl", "dnl", "at most", 99.0, read_dnl),
        Gate("--max-missing", "missing_codes", "at most", 255),
    ]
    assert [(check.reached, check.met) for check in hold_gates(row, gates)] == [(None, False)] * 2
    assert row.headline == "DNL and INL are withheld (few phases), missing codes: –."


@pytest.mark.parametrize(
    ("frequency", "samples"),
    [(0.11803398875, 300_000), (1021 / 16384, 16384), (20.4 / 100_000, 100_000), (1 / 3 + 1e-5, 300_000)],
    ids=["golden", "coherent", "slow", "drifts-through"],
)
def test_enough_phases_are_not_told(frequency: float, samples: int) -> None:
    found = measure_linearity(convert_sine(frequency, samples), bits=8, test="sine")
    assert not found.withheld
    assert max(abs(found.dnl_min_lsb or 9.0), abs(found.dnl_max_lsb or 9.0)) < 0.05


def test_noise_over_the_gaps_fills_them() -> None:
    # 100 phases leave 8 codes between them at mid-scale; noise of 5 codes leaves exp(-2 pi^2 25/64) = 0.0005 of that
    found = measure_linearity(convert_sine(0.01, 100_000, noise=5.0, over=1.2), bits=8, test="sine")
    assert not found.withheld
    assert found.missing_codes == ()
    assert measure_linearity(convert_sine(0.01, 100_000, noise=1.0), bits=8, test="sine").withheld
