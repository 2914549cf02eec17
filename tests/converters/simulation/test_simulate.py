"""A simulated converter: the chain against a slow one, every imperfection by its known effect,
the same record every time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import SHAPES, Inl
from qanalysis.converters.noise_limits import jitter_snr_db
from qanalysis.converters.simulation.dither import DITHERS, find_dither
from qanalysis.converters.simulation.noise_model import sine_moments
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation, band_power, shape_noise
from qanalysis.converters.simulation.tone_sweeps import measure_tone
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, OwnRecord, Ramp, Sine, TwoTone
from qanalysis.decibels import DB_PER_BIT, SINE_DB
from qanalysis.quantizers.rounding import Rounding

TWELVE = Converter(12, -1, 1)
TONE = Sine(2047 / 2048, 127 / 16384)


def run(**options: object) -> SimulatedRecord:
    return Simulation(**({"converter": TWELVE, "waveform": TONE} | options)).run()  # type: ignore[arg-type]


def sinad_db(capture: SimulatedRecord) -> float:
    return float(measure_tone(capture.values, 127).sinad_db[0])


@pytest.mark.parametrize("transfer", ["mid-tread", "mid-rise", "floor"])
def test_without_imperfections_the_chain_is_the_converter(transfer: str) -> None:
    converter = replace(TWELVE, transfer=transfer)
    capture = run(converter=converter)
    assert np.array_equal(capture.codes, converter.encode(TONE.sample(16384, 1.0)))
    assert np.array_equal(capture.values, converter.round_trip(capture.ideal))
    assert np.array_equal(capture.errors, capture.values - capture.ideal)
    assert np.abs(capture.errors).max() <= converter.error_bound + 2**-52


@pytest.mark.parametrize("bits", [6, 8, 10, 12, 14, 16])
def test_a_full_sine_reaches_six_decibels_per_bit(bits: int) -> None:
    capture = run(converter=Converter(bits, -1, 1), waveform=Sine(1 - 2.0**-bits, 127 / 16384))
    # The slow sine's exact figure. Of 16384 phases a quarter are independent, e^2 varies by sqrt(0.8):
    # 4.34 sqrt(0.8/4096) dB, three of them.
    assert sinad_db(capture) == pytest.approx(sine_moments(2 ** (bits - 1) - 0.5).sqnr_db, abs=0.19)
    assert sinad_db(capture) == pytest.approx(DB_PER_BIT * bits + SINE_DB, abs=0.5)


def test_the_same_simulation_gives_the_same_record_and_another_seed_another() -> None:
    noisy = Simulation(TWELVE, TONE, noise_lsb=1.0, jitter_s=1e-3, dither="tpdf")
    first, again, other = (simulation.run().values for simulation in (noisy, noisy, replace(noisy, seed=1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_source_leaves_the_draws_of_the_others_as_they_were() -> None:
    noisy = Simulation(TWELVE, TONE, noise_lsb=1.0)
    alone = noisy.disturb(np.zeros(16384))
    assert np.array_equal(alone, replace(noisy, dither="tpdf").disturb(np.zeros(16384)))
    assert np.array_equal(
        replace(noisy, dither="tpdf").draw_dither(), replace(noisy, dither="tpdf", noise_lsb=0.0).draw_dither()
    )


def test_records_scale_with_the_range_and_ignore_the_label_of_the_rate() -> None:
    options = {"noise_lsb": 0.5, "offset_lsb": 0.3, "gain_error_percent": 0.1, "dither": "tpdf", "inl": Inl("bow", 1.0)}
    here = run(**options)
    there = run(
        converter=Converter(12, -8, 8), waveform=Sine(8 * 2047 / 2048, 127 / 16384 * 48000), fs_hz=48000.0, **options
    )
    assert np.array_equal(here.codes, there.codes)
    assert np.array_equal(8 * here.values, there.values)


def test_offset_and_gain_add_to_the_input_about_the_low_end() -> None:
    converter = Converter(8, 0, 256)
    capture = run(
        converter=converter,
        waveform=OwnRecord(np.array([0.0, 100.0, 200.0])),
        samples=3,
        offset_lsb=2,
        gain_error_percent=10,
    )
    assert capture.disturbed == pytest.approx([2.0, 112.0, 222.0], abs=1e-12)  # numbers below 256 to 2^-45
    assert capture.codes.tolist() == [2, 112, 222]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "none"])
@pytest.mark.parametrize("transfer", ["mid-tread", "mid-rise", "floor"])
def test_transitions_are_where_the_codes_change(shape: str, transfer: str) -> None:
    simulation = Simulation(
        Converter(6, -1, 1, transfer=transfer),
        Dc(0.0),
        offset_lsb=0.7,
        gain_error_percent=-1.5,
        inl=Inl(shape, 0.4 if shape == "mid-step" else 0.8),
    )
    transitions = simulation.transitions
    assert transitions.size == 63
    hair = 1e-9  # far above float64's rounding near 1, far below a step of 1/32
    for offset, codes in ((hair, np.arange(1, 64)), (-hair, np.arange(63))):
        record = replace(simulation, waveform=OwnRecord(transitions + offset), samples=63).run()
        assert np.array_equal(record.codes, codes)


def test_inl_is_the_distance_of_transitions_from_the_straight_line() -> None:
    straight, inl = Simulation(TWELVE, Dc(0.0)), Inl("s-shape", 1.5)
    off = (replace(straight, inl=inl).transitions - straight.transitions) / TWELVE.lsb
    u = np.linspace(-1, 1, 4095)
    # Transitions below 1 carry 2^-53 each, 2^-42 in steps of 2^-11.
    assert off == pytest.approx(1.5 * np.sin(np.pi * u), abs=2**-40)
    assert abs(off[0]) == abs(off[-1]) < 2**-40


def test_a_falling_shape_makes_missing_codes_and_never_turns_back() -> None:
    capture = run(converter=Converter(6, 0, 64), waveform=Ramp(0, 64), inl=Inl("saw-tooth", 3.0))
    assert (np.diff(capture.codes) >= 0).all()
    assert len(np.unique(capture.codes)) < 64


@pytest.mark.parametrize("frequency_cycles", [127, 1021])
def test_jitter_leaves_the_snr_of_its_formula(frequency_cycles: int) -> None:
    frequency, jitter = frequency_cycles / 16384, 0.01
    capture = run(converter=Converter(20, -1, 1), waveform=Sine(0.99, frequency), jitter_s=jitter)
    tone = float(measure_tone(capture.values, frequency_cycles).sinad_db[0])
    # The power of M Gaussian errors weighted by cos^2: relative deviation sqrt(3/M) = 0.0135, 0.06 dB; four of them.
    assert tone == pytest.approx(jitter_snr_db(frequency, jitter), abs=0.24)


def test_noise_has_the_power_it_was_given() -> None:
    capture = run(waveform=Gaussian(0.1), noise_lsb=2.0)
    power = np.mean(np.square(capture.errors / TWELVE.lsb))
    # Noise and rounding add; relative deviation sqrt(2/M) = 0.011, four of them.
    assert power == pytest.approx(4 + 1 / 12, rel=0.045)


@pytest.mark.parametrize("name", DITHERS)
def test_dither_costs_what_it_should_on_a_busy_signal(name: str) -> None:
    capture = run(waveform=Gaussian(0.1), dither=name)
    ratio = 12 * np.mean(np.square(capture.errors / TWELVE.lsb))
    # The error of TPDF has the largest spread; e^2 has a relative deviation below 1.5, over sqrt(16384): 0.012, four of
    # them.
    assert ratio == pytest.approx(find_dither(name).power_ratio, rel=0.05)


def test_subtractive_dither_is_taken_out_again() -> None:
    capture = run(waveform=Dc(0.3 * TWELVE.lsb), dither="subtractive")
    assert np.abs(capture.errors).max() <= TWELVE.half_step + 2**-52
    assert np.unique(capture.codes).size == 2


def test_unknown_dither_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="use none, rpdf, tpdf, subtractive"):
        run(dither="blue")


def shape_by_loop(x: list[Fraction], dither: list[Fraction], past: list[Fraction]) -> tuple[list[int], list[Fraction]]:
    """Error feedback as a book draws it, exact: y = round(v + d), e = y - v,
    v = x + what the filter makes of past e, the latest first.
    """
    weights = [(-1) ** k * math.comb(len(past), k) for k in range(1, len(past) + 1)]
    codes = []
    for value, added in zip(x, dither, strict=True):
        v = value + sum(w * e for w, e in zip(weights, past, strict=True))
        codes.append(math.floor(v + added + Fraction(1, 2)))
        past = [codes[-1] - v, *past][: len(past)]
    return codes, past


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["none", "tpdf"])
def test_shaping_without_a_loop_is_the_loop_in_its_steady_state(order: int, name: str) -> None:
    rng = np.random.default_rng(order)
    # Multiples of 2^-20, so that every fraction is exact.
    x = np.rint((20 * np.sin(2 * np.pi * 0.0123 * np.arange(1024)) + rng.standard_normal(1024) * 1e-3) * 2**20) / 2**20
    dither = np.rint(find_dither(name).draw(rng, (1024,)) * 2**20) / 2**20
    codes, error = shape_noise(x, dither, order=order, rounding=Rounding("half-up"))
    # The input of the loop is what the codes and errors say it was: x and less than 1/M of DC, the same in every
    # sample.
    past = [Fraction(value) for value in error[::-1][:order]]
    dc = Fraction(float(np.mean(codes - x)))
    by_loop, end = shape_by_loop([Fraction(value) + dc for value in x], [Fraction(value) for value in dither], past)
    assert abs(dc) < Fraction(1, 1024)
    assert by_loop == codes.tolist()
    # Roundings of 2^-53 in DC and past, integrated L times over 1024 samples: 2^-53 * 1024^L / L! of a step.
    assert all(abs(a - b) < 2.0**-53 * 1024**order for a, b in zip(end, past, strict=True))


def shaping_gain_db(osr: float, order: int) -> float:
    """(20 L + 10) log10 OSR - 10 log10(pi^2L / (2L + 1)):
    (pi f / fs)^2L stands for |2 sin(pi f / fs)|^2L, the limit of large `osr`.
    """
    return (20 * order + 10) * math.log10(osr) - 10 * math.log10(math.pi ** (2 * order) / (2 * order + 1))


@pytest.mark.parametrize(("osr", "gains"), [(64, (18.06, 49.01, 77.41, 105.05)), (32, (15.05, 39.98, 62.36, 83.98))])
def test_the_formula_gives_the_published_gains(osr: int, gains: tuple[float, ...]) -> None:
    for order, gain in enumerate(gains):
        assert shaping_gain_db(osr, order) == pytest.approx(gain, abs=0.005 + 1e-9)  # tables are stated to 0.01 dB


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("osr", [32, 64])
def test_oversampling_and_shaping_gain_what_the_formula_says(osr: int, order: int) -> None:
    capture = run(waveform=Sine(0.9, 31 / 16384), osr=osr, shaping_order=order, dither="subtractive")
    level = 20 * math.log10(0.9)
    gain = capture.in_band_snr_db - (DB_PER_BIT * 12 + SINE_DB + level)  # type: ignore[operator]
    # K = M/(2 osr) bins, the uppermost weigh most: chi-square of about K/(L + 1) pairs, deviation 4.34 sqrt((2L+1)/K)
    # dB, three of them; the mean of the error is taken out, and 0.02 dB that (pi f)^2L passes sin^2L by.
    tolerance = 3 * 4.34 * math.sqrt((2 * order + 1) / (16384 / 2 / osr)) + 0.02
    assert gain == pytest.approx(shaping_gain_db(osr, order), abs=tolerance)


def filter_ideally(capture: SimulatedRecord) -> np.ndarray:
    """The values through an ideal low-pass of the band that counts, at the converter's rate."""
    spectrum = np.fft.rfft(capture.values)
    spectrum[capture.values.size // (2 * capture.simulation.osr) + 1 :] = 0
    return np.fft.irfft(spectrum, capture.values.size)


def test_values_in_the_band_are_the_record_without_what_lies_above() -> None:
    capture = run(waveform=Sine(0.5, 31 / 16384), osr=64, shaping_order=2)
    spectrum = np.abs(np.fft.rfft(filter_ideally(capture)))
    assert spectrum[129:].max() < 1e-8 * spectrum[31]
    # The tone and what is left in the band: 1e-4 of amplitude 0.5 at most.
    assert np.abs(filter_ideally(capture) - capture.ideal).max() < 1e-4


def test_power_in_a_band_is_the_sum_of_its_lines() -> None:
    n = np.arange(4096)
    x = 0.25 + np.sin(2 * np.pi * 10 * n / 4096) + np.sin(2 * np.pi * 600 * n / 4096)
    assert band_power(x, 1) == pytest.approx(0.0625 + 1.0, rel=1e-12)
    assert band_power(x, 8) == pytest.approx(0.0625 + 0.5, rel=1e-12)  # bins to 256
    assert band_power(np.ones(16), 2) == pytest.approx(1.0, rel=1e-15)


def test_saturated_samples_are_counted_and_named() -> None:
    capture = run(waveform=Sine(1.5, 127 / 16384))
    assert capture.saturated == np.count_nonzero(
        (capture.ideal >= TWELVE.levels[-1] + TWELVE.half_step) | (capture.ideal < -1 - TWELVE.half_step)
    )
    assert [finding.code for finding in capture.findings] == ["clipping"]
    assert {capture.codes.min(), capture.codes.max()} == {0, 4095}


@pytest.mark.parametrize("inl", [Inl(), Inl("bow", 0.5)], ids=["straight", "bent"])
def test_a_bent_converter_saturates_where_a_straight_one_does(inl: Inl) -> None:
    capture = run(
        converter=Converter(3, 0, 8),
        waveform=OwnRecord(np.array([-5.0, -0.6, -0.4, 7.4, 7.6, 50.0])),
        samples=6,
        inl=inl,
    )
    assert capture.saturated == 4
    assert capture.codes.tolist() == [0, 0, 0, 7, 7, 7]


def test_an_overloaded_shaper_says_so() -> None:
    assert (
        run(converter=Converter(2, -1, 1), waveform=Sine(0.9, 31 / 16384), osr=64, shaping_order=3).findings[0].code
        == "clipping"
    )


def test_a_locked_tone_and_one_outside_the_band_are_named() -> None:
    assert [finding.code for finding in run(waveform=Sine(0.5, 128 / 16384)).findings] == ["locked-period"]
    assert [finding.code for finding in run(waveform=Sine(0.5, 1021 / 16384), osr=64).findings] == ["out-of-band"]
    assert run().findings == ()


def test_both_of_two_tones_are_looked_at() -> None:
    findings = run(waveform=TwoTone(0.4, 127 / 16384, 128 / 16384)).findings
    assert [(finding.code, finding.value) for finding in findings] == [("locked-period", 128.0)]


def test_bent_transitions_with_shaping_distort_the_input() -> None:
    bow = Inl("bow", 50.0)
    capture = run(waveform=Sine(0.9, 31 / 16384), osr=64, shaping_order=2, inl=bow)
    error = filter_ideally(capture) - capture.ideal + TWELVE.lsb * bow.displace(capture.ideal, TWELVE)
    assert np.abs(error).max() < 0.1 * TWELVE.lsb  # shaped noise is some 60 dB below a step; the bow is 50 steps


def test_a_constant_has_no_signal_and_a_level_no_error() -> None:
    assert run(waveform=Dc(0.3)).in_band_snr_db is None
    assert (
        run(converter=Converter(4, 0, 16), waveform=OwnRecord(np.arange(16.0)), samples=16).in_band_snr_db == math.inf
    )


@pytest.mark.parametrize("bits", [1, 2, 32])
def test_every_width_runs(bits: int) -> None:
    capture = run(converter=Converter(bits, -1, 1), samples=64)
    assert capture.codes.max() < 2**bits
    # Between the ends; the top code reaches a whole step.
    assert np.abs(capture.errors).max() <= 2 * capture.simulation.converter.half_step


def test_one_sample_is_a_record() -> None:
    assert run(waveform=Dc(0.25), samples=1).codes.tolist() == [2560]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"samples": 0}, "samples 0"),
        ({"samples": 2**23}, "has 1 to 4194304"),
        ({"fs_hz": 0.0}, "fs_hz 0.0"),
        ({"noise_lsb": -1.0}, "noise_lsb -1.0"),
        ({"jitter_s": math.inf}, "jitter_s inf"),
        ({"offset_lsb": math.nan}, "offset nan LSB"),
        ({"gain_error_percent": -100.0}, "the gain stays above 0"),
        ({"osr": 0}, "oversampling 0"),
        ({"shaping_order": 6}, "shaping order 6"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"converter": Converter(21, 0, 1), "inl": Inl("bow", 1.0)}, "INL goes code by code, to 20 bits"),
    ],
)
def test_what_can_not_be_simulated_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("wave", 1.0), "use none, bow, s-shape, saw-tooth, mid-step"), (("bow", math.nan), "peak nan LSB")],
)
def test_what_is_no_inl_is_refused(arguments: tuple[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inl(*arguments)
