"""Sweeps: the published numbers of amplitude, loading and dither, records against exact sums,
and the line of 6.02 b + 1.76.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.simulation.noise_model import sine_moments
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.sweeps import sweep_amplitude, sweep_bits, sweep_dither, sweep_loading
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, Sine

# Sine of so many LSB, 127 periods in 4096 samples: correlation, rms error times sqrt 12; stated to five and four
# digits.
RECORDS = [
    (0.3, -1.0, 0.7348),
    (0.6, 0.20216, 1.2518),
    (1, 0.28646, 0.8764),
    (2, 0.20277, 0.9133),
    (4, 0.13992, 0.9391),
    (16, 0.07071, 0.9699),
    (127, 0.02455, 0.9889),
]


def test_records_have_the_published_correlation_and_rms() -> None:
    sweep = sweep_amplitude([row[0] for row in RECORDS])
    for (_, correlation, rms), found, power in zip(RECORDS, sweep.correlation, sweep.power_ratio, strict=True):
        assert found == pytest.approx(correlation, abs=0.5e-5 + 1e-9)
        assert math.sqrt(power) == pytest.approx(rms, abs=0.5e-4 + 1e-9)


def test_dither_takes_the_correlation_away() -> None:
    assert np.abs(sweep_amplitude([row[0] for row in RECORDS], dither="tpdf").correlation).max() < 0.06


@pytest.mark.parametrize(("dither", "ratio"), [("tpdf", 3.0), ("subtractive", 1.0)])
def test_dither_fixes_the_power_at_every_size(dither: str, ratio: float) -> None:
    power = sweep_amplitude([0.1, 0.5, 1.5, 10], dither=dither).power_ratio
    assert power == pytest.approx(
        np.full(4, ratio), rel=0.1
    )  # deviation of e^2 below 1.5, over sqrt(4096): 0.023, four of them


def test_records_follow_the_exact_sums() -> None:
    sweep = sweep_amplitude(np.geomspace(0.55, 30, 60))
    # A crossing is misplaced by half of 1/4096 of a turn at most; errors jump there by a step, 4 A + 4 crossings a
    # turn: 12 (4 A + 4)/8192.
    reach = 12 * (4 * sweep.amplitudes_lsb + 4) / 8192
    assert (np.abs(sweep.power_ratio - sweep.exact_power_ratio) < reach).all()
    assert sweep.model_sqnr_db == pytest.approx(10 * np.log10(6 * sweep.amplitudes_lsb**2), abs=1e-12)


def test_small_sines_have_no_snr_at_all() -> None:
    sweep = sweep_amplitude([0.1, 0.3, 0.5])
    assert sweep.sqnr_db[:2] == pytest.approx([0, 0], abs=1e-12)
    assert sweep.exact_correlation.tolist() == [-1.0, -1.0, -1.0]


def test_a_gaussian_loses_its_correlation_at_half_a_step() -> None:
    sweep = sweep_amplitude([0.1, 0.3, 0.5, 1.0], signal="gaussian", samples=65536)
    # Three standard errors of a correlation: 3/sqrt(65536) = 0.012.
    assert sweep.correlation == pytest.approx(sweep.exact_correlation, abs=0.012)
    assert sweep.exact_correlation[2] == pytest.approx(-0.025, abs=0.0005)


@pytest.mark.parametrize("sizes", [[0.0], [1.0, -1.0], [math.nan]])
def test_sizes_are_above_zero(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        sweep_amplitude(sizes)


def test_sqnr_against_bits_runs_along_its_line() -> None:
    sweep = sweep_bits(Simulation(Converter(12, -1, 1, transfer="mid-rise"), Sine(1.0, 127 / 16384)), bits=range(4, 17))
    exact = [sine_moments(2.0 ** (bits - 1), mid_rise=True).sqnr_db for bits in range(4, 17)]
    # Of 16384 phases a quarter are independent, e^2 varies by sqrt(0.8): 4.34 sqrt(0.8/4096) dB, three of them.
    assert sweep.sqnr_db == pytest.approx(exact, abs=0.19)
    # The error power of a sine differs from the model's by 0.28/sqrt(A), 0.45 dB at 8 steps, beside that.
    assert sweep.sqnr_db == pytest.approx(sweep.ideal_db, abs=0.65)
    assert sweep.level_db == pytest.approx(0.0, abs=1e-9)
    assert sweep.ideal_db.tolist() == [6.020599913279624 * bits + 1.7609125905568124 for bits in range(4, 17)]


def test_a_full_sine_costs_mid_tread_its_missing_half_step() -> None:
    sweep = sweep_bits(Simulation(Converter(12, -1, 1), Sine(1.0, 127 / 16384)), bits=[4, 12])
    assert (sweep.saturated > 0).all()
    assert sweep.ideal_db[0] - sweep.sqnr_db[0] > 2 > 0.5 > sweep.ideal_db[1] - sweep.sqnr_db[1]


def test_imperfections_bend_the_line_down() -> None:
    sweep = sweep_bits(Simulation(Converter(12, -1, 1), Sine(0.9, 127 / 16384), inl=Inl("bow", 2.0)), bits=[8, 12, 21])
    short = sweep.ideal_db + sweep.level_db - sweep.sqnr_db
    assert (short[:2] > 6).all()
    assert abs(short[2]) < 0.3  # above 20 bits it is left out


def test_a_constant_has_no_sqnr() -> None:
    sweep = sweep_bits(Simulation(Converter(12, -1, 1), Dc(0.3)), bits=[8])
    assert math.isnan(sweep.sqnr_db[0])
    assert sweep.level_db == -math.inf


# n, SQNR at k = 2, 3, 4, 5, best k, best SQNR, step/sigma
LOADINGS = [
    (2, 9.25, 7.22, 4.73, 2.61, 1.991, 9.25, 0.9957),
    (4, 16.68, 19.04, 16.81, 14.87, 2.682, 19.38, 0.3352),
    (6, 18.88, 29.15, 28.83, 26.92, 3.330, 29.83, 0.1041),
    (8, 19.27, 33.27, 40.55, 38.96, 3.938, 40.57, 0.0308),
    (10, 19.35, 33.83, 49.44, 50.98, 4.498, 51.55, 0.0088),
    (12, 19.37, 33.89, 51.85, 62.71, 5.014, 62.71, 0.00245),
    (14, 19.38, 33.90, 52.07, 71.56, 5.492, 74.01, 0.00067),
    (16, 19.38, 33.90, 52.09, 73.91, 5.938, 85.40, 0.00018),
]


@pytest.mark.parametrize("row", LOADINGS, ids=[f"{row[0]} bit" for row in LOADINGS])
def test_a_loaded_gaussian_has_the_published_sqnr(row: tuple[float, ...]) -> None:
    bits, *sqnr, best_k, best, step = row
    sweep = sweep_loading(int(bits), [2, 3, 4, 5])
    assert sweep.sqnr_db == pytest.approx(sqnr, abs=0.005 + 1e-9)  # half of the last digit stated
    assert sweep.best_sqnr_db == pytest.approx(best, abs=0.005 + 1e-9)
    # The maximum is flat: the published places were found to the last digit they state, ours to its half.
    assert sweep.best_clip_sigma == pytest.approx(best_k, abs=0.001)
    assert sweep.best_step_sigma == pytest.approx(step, rel=0.03 if bits > 12 else 0.006)


def test_tails_beyond_the_ends_are_the_published_ones() -> None:
    assert sweep_loading(8, [2, 3, 4, 5]).beyond == pytest.approx(
        [4.55e-2, 2.70e-3, 63.3e-6, 0.573e-6], rel=2e-3
    )  # three digits


def test_a_simulated_loaded_gaussian_agrees_with_the_integral() -> None:
    capture = Simulation(Converter(8, -4, 4, transfer="mid-rise"), Gaussian(1.0), samples=2**18).run()
    exact = float(sweep_loading(8, [4]).sqnr_db[0])
    # Overload is a third of the error here and comes from 16 of 2^18 samples: a third of 1/sqrt(16), times 4.34 dB, and
    # three of them.
    assert capture.stats.sqnr_db == pytest.approx(exact, abs=1.1)
    assert capture.saturated == pytest.approx(2**18 * 63.3e-6, abs=4 * 4)  # Poisson, four deviations


def test_dithers_side_by_side() -> None:
    panel = sweep_dither(positions=21, draws=20_000)
    places = panel.positions_lsb
    inner = slice(1, -1)  # at the ends the undithered code is a matter of the last bit
    # Means of draws with at most 1/2 LSB of deviation: 0.0035, four of them; powers less.
    assert panel.mean_error_lsb["none"][inner] == pytest.approx(-places[inner], abs=1e-12)
    for name in ("rpdf", "tpdf", "subtractive"):
        assert panel.mean_error_lsb[name] == pytest.approx(np.zeros(21), abs=0.015)
    part = np.abs(places)
    assert panel.error_power_lsb2["rpdf"] == pytest.approx(part * (1 - part), abs=0.015)
    assert panel.error_power_lsb2["tpdf"] == pytest.approx(np.full(21, 0.25), abs=0.015)
    assert panel.error_power_lsb2["subtractive"] == pytest.approx(np.full(21, 1 / 12), abs=0.004)
    # f (1 - f) has the mean 1/6: trapezium of 20 parts, short by h^2/6.
    assert np.trapezoid(panel.error_power_lsb2["rpdf"], places) == pytest.approx(1 / 6, abs=0.005)


@pytest.mark.parametrize("wrong", [{"positions": 1}, {"draws": 0}])
def test_a_panel_needs_places_and_draws(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="needs 2 and 1 at least"):
        sweep_dither(**wrong)
