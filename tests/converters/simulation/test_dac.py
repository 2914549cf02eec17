"""The DAC's view: worst spurs of ideal bits, hold, droop, images, monotone levels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.simulation.dac import (
    find_worst_spur,
    hold_droop_db,
    hold_samples,
    list_images,
    trace_output,
)

SPURS = [(3, 25.35), (4, 34.66), (5, 44.40), (6, 51.44), (8, 67.17), (10, 84.35), (12, 100.55), (14, 116.30)]
# A/q, HD3, HD5, HD7 in dBc of a slow sine. The table was summed over sampled sines and states hundredths of dB.
HARMONICS = [
    (0.6, -4.54, -22.32, -13.50),
    (0.75, -11.73, -12.59, -22.63),
    (1.0, None, -13.98, -16.90),
    (1.5, -14.65, -31.32, -19.21),
    (2.0, -33.73, -34.58, -23.71),
    (3.0, -36.64, -58.05, -33.89),
    (5.0, -41.84, -46.69, -57.59),
    (10.0, -49.97, -51.66, -55.54),
    (50.0, -70.31, -70.58, -71.00),
    (128.0, -82.47, -82.57, -82.73),
]


def sum_harmonic(amplitude: float, order: int) -> float:
    """Peak, in steps, of an odd harmonic of a slow sine on an endless mid-tread grid, over all its crossings."""
    crossings = np.arange(1, math.ceil(amplitude + 0.5)) - 0.5
    return 4 / (order * math.pi) * float(np.cos(order * np.arcsin(crossings / amplitude)).sum())


@pytest.mark.parametrize(("amplitude", "levels"), [(row[0], row[1:]) for row in HARMONICS])
def test_the_sums_give_the_published_harmonics(amplitude: float, levels: tuple[float | None, ...]) -> None:
    for order, level in zip((3, 5, 7), levels, strict=True):
        ratio = abs(sum_harmonic(amplitude, order)) / sum_harmonic(amplitude, 1)
        if level is None:
            assert ratio < 1e-15  # cos(3 * 30 degrees) is zero
        else:
            assert 20 * math.log10(ratio) == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize(("bits", "sfdr_db"), SPURS, ids=[f"{bits} bit" for bits, _ in SPURS])
def test_the_worst_spur_is_the_published_one(bits: int, sfdr_db: float) -> None:
    assert find_worst_spur(bits).sfdr_db == pytest.approx(sfdr_db, abs=0.005 + 1e-9)  # half of the last digit stated


def test_the_worst_harmonic_of_twelve_bits_stands_just_below_two_pi_a() -> None:
    spur = find_worst_spur(12)
    assert spur.order == 12845
    assert spur.order < 2 * math.pi * 2047.5


@pytest.mark.parametrize("bits", range(4, 15))
def test_the_published_fit_is_near(bits: int) -> None:
    spur = find_worst_spur(bits)
    assert abs(spur.sfdr_db - spur.fit_db) <= 0.92


def test_the_fit_fails_at_two_bits() -> None:
    spur = find_worst_spur(2)
    assert spur.fit_db - spur.sfdr_db == pytest.approx(4.8, abs=0.05)


@pytest.mark.parametrize("bits", [2, 5, 9])
def test_the_worst_spur_is_the_largest_of_all_harmonics(bits: int) -> None:
    amplitude = (2**bits - 1) / 2
    levels = {order: abs(sum_harmonic(amplitude, order)) for order in range(3, int(5 * math.pi * amplitude), 2)}
    worst = max(levels, key=levels.__getitem__)
    spur = find_worst_spur(bits)
    assert spur.order == worst
    # Sums of 256 cosines of angles to 4000, each off by 4000 * 2^-53.
    assert spur.sfdr_db == pytest.approx(20 * math.log10(sum_harmonic(amplitude, 1) / levels[worst]), abs=1e-6)


@pytest.mark.parametrize("bits", [1, 17])
def test_spurs_are_summed_for_some_widths(bits: int) -> None:
    with pytest.raises(ValueError, match="summed for 2 to 16"):
        find_worst_spur(bits)


def test_low_harmonics_fall_nine_decibels_per_doubling() -> None:
    levels = [20 * math.log10(abs(sum_harmonic(a, 3)) / sum_harmonic(a, 1)) for a in (5, 10, 20)]
    assert levels == pytest.approx([-41.84, -49.97, -58.60], abs=0.005)


def test_the_hold_droops_as_sinc_and_is_silent_at_the_rate() -> None:
    droop = hold_droop_db([0.0, 12.0, 24.0, 48.0, 96.0], 48.0)
    assert droop.round(2).tolist() == [0.0, -0.91, -3.92, -math.inf, -math.inf]


def test_images_stand_about_the_multiples_of_the_rate() -> None:
    images = list_images(10.0, 48.0, zones=2)
    assert [image.frequency_hz for image in images] == [10, 38, 58, 86, 106]
    assert [image.multiple for image in images] == [0, 1, 1, 2, 2]
    for image in images:
        ratio = math.pi * image.frequency_hz / 48
        assert image.level_dbc == pytest.approx(20 * math.log10(abs(math.sin(ratio) / ratio)), abs=1e-9)


def test_the_output_spectrum_shows_the_images_where_the_list_has_them() -> None:
    values = np.sin(2 * np.pi * 10 * np.arange(48) / 48)
    output = trace_output(values, 48.0, zones=4)
    assert output.frequencies_hz[-1] == 96.0
    found = {round(f): level for f, level in zip(output.frequencies_hz, output.level_dbc, strict=True) if level > -100}
    assert found == pytest.approx(
        {
            round(image.frequency_hz): image.level_dbc
            for image in list_images(10.0, 48.0, zones=2)
            if image.frequency_hz < 96
        },
        abs=1e-9,
    )


def test_the_output_spectrum_is_that_of_a_finely_drawn_staircase() -> None:
    values, fine = np.random.default_rng(0).standard_normal(32), 512
    output = trace_output(values, 32.0, zones=4)
    stairs = np.abs(np.fft.rfft(np.repeat(values - values.mean(), fine)))[: output.level_dbc.size] / fine
    tone = np.abs(np.fft.rfft(values - values.mean())).max()
    kept = output.level_dbc > -100
    # Steps drawn with 512 points: sinc is off by (pi 2/512)^2 / 6 at most, 2.5e-5.
    assert 10 ** (output.level_dbc[kept] / 20) == pytest.approx(stairs[kept] / tone, rel=3e-5)


def test_silence_has_no_lines() -> None:
    assert (trace_output(np.ones(8), 1.0).level_dbc == -math.inf).all()


def test_the_staircase_keeps_each_value_for_one_period() -> None:
    times, values = hold_samples([5.0, 6.0, 7.0], 10.0)
    assert times == pytest.approx([0, 0.1, 0.1, 0.2, 0.2, 0.3])
    assert values.tolist() == [5, 5, 6, 6, 7, 7]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hold_droop_db(1.0, 0.0), "the rate is finite and above 0"),
        (lambda: hold_samples([1.0], math.inf), "the rate is finite and above 0"),
        (lambda: list_images(0.5, 1.0), "between 0 and half its rate"),
        (lambda: trace_output([1.0], 1.0), "needs a row of 2 samples"),
        (lambda: trace_output([1.0, 2.0], 1.0, zones=0), "over 0 zones"),
    ],
)
def test_what_has_no_answer_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
