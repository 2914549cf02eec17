"""The noise model: exact moments against the published tables and plain sums, and the meter's verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.converter import Converter
from qanalysis.converters.simulation.noise_model import (
    correlate,
    gaussian_moments,
    judge_noise_model,
    sine_moments,
)
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, Sine, Waveform

# A/q, gain, error power over q^2/12, corr(e, x), SQNR, 6.02 N model. The table was summed over sampled sines
# and states three decimals and hundredths of dB: one unit of the last place.
SINES = [
    (0.6, 1.173, 1.567, 0.203, 1.39, 3.34),
    (0.75, 1.265, 1.259, 0.434, 4.28, 5.28),
    (1.0, 1.103, 0.768, 0.287, 8.93, 7.78),
    (1.5, 0.800, 1.296, -0.645, 10.18, 11.30),
    (2.0, 1.038, 0.834, 0.201, 14.59, 13.80),
    (3.0, 1.021, 0.864, 0.163, 17.96, 17.32),
    (5.0, 1.010, 0.894, 0.125, 22.25, 21.76),
    (10.0, 1.003, 0.925, 0.088, 28.12, 27.78),
    (50.0, 1.000, 0.967, 0.039, 41.91, 41.76),
    (128.0, 1.000, 0.979, 0.024, 50.02, 49.93),
]


@pytest.mark.parametrize(
    ("a", "gain", "power", "correlation", "sqnr", "model"),
    SINES,
    ids=[f"A={row[0]}" for row in SINES],
)
def test_a_slow_sine_has_the_published_moments(
    a: float,
    gain: float,
    power: float,
    correlation: float,
    sqnr: float,
    model: float,
) -> None:
    moments = sine_moments(a)
    assert moments.gain == pytest.approx(gain, abs=0.001)
    assert moments.power_ratio == pytest.approx(power, abs=0.001)
    assert moments.correlation == pytest.approx(correlation, abs=0.001)
    assert moments.sqnr_db == pytest.approx(sqnr, abs=0.01)
    assert 10 * math.log10(6 * a * a) == pytest.approx(model, abs=0.01)


@pytest.mark.parametrize("a", [0.01, 0.3, 0.5])
def test_a_sine_below_half_a_step_is_lost_and_its_error_is_its_negative(a: float) -> None:
    moments = sine_moments(a)
    assert (moments.gain, moments.correlation, moments.sqnr_db) == (0.0, -1.0, 0.0)
    assert moments.power_ratio == pytest.approx(6 * a * a, rel=1e-12)  # one division and back


def test_correlation_changes_sign_with_the_fraction_of_a_step() -> None:
    assert sine_moments(2.5).correlation == pytest.approx(-0.52, abs=0.005)
    for a in (1, 2, 4, 8, 16, 32, 64, 128):
        # "About 0.28/sqrt(A)": one unit of the last digit; 0.271 at A = 128, 0.287 at 1 and 2.
        assert sine_moments(a).correlation * math.sqrt(a) == pytest.approx(0.28, abs=0.01)


def test_mid_rise_makes_a_comparator_of_a_small_sine() -> None:
    moments = sine_moments(0.3, mid_rise=True)
    assert moments.gain == pytest.approx(2.12, abs=0.005)
    assert moments.correlation == pytest.approx(0.74, abs=0.005)


@pytest.mark.parametrize("mid_rise", [False, True])
@pytest.mark.parametrize("a", [0.7, 1.3, 2.5, 17.2])
def test_sine_moments_are_those_of_a_finely_sampled_sine(a: float, mid_rise: bool) -> None:
    x = a * np.sin(2 * np.pi * (np.arange(2**18) + 0.5) / 2**18)
    y = np.floor(x) + 0.5 if mid_rise else np.floor(x + 0.5)
    moments = sine_moments(a, mid_rise=mid_rise)
    # Each of 4 A crossings is misplaced by at most half of 2^-18 of a turn, where the error jumps by one step.
    reach = 4 * (a + 1) * 2**-18
    assert np.mean((y - x) ** 2) == pytest.approx(moments.power_ratio / 12, abs=reach)
    assert np.mean(x * y) / np.mean(x * x) == pytest.approx(moments.gain, abs=2 * reach / a)


@pytest.mark.parametrize(
    ("s", "correlation", "digits"),
    [
        (0.1, -1.0, 3),
        (0.2, -0.842, 3),
        (0.25, -0.611, 3),
        (0.3, -0.393, 3),
        (0.35, -0.229, 3),
        (0.4, -0.121, 3),
        (0.5, -0.025, 3),
        (0.6, -0.0034, 4),
    ],
)
def test_a_gaussian_has_the_published_correlation(s: float, correlation: float, digits: int) -> None:
    assert gaussian_moments(s).correlation == pytest.approx(
        correlation, abs=0.5 * 10**-digits + 1e-9
    )  # half of the last digit stated


def test_a_gaussian_of_one_step_is_free_of_its_error() -> None:
    moments = gaussian_moments(1.0)
    assert abs(moments.correlation) < 1e-7
    assert moments.power_ratio == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("s", [0.01, 0.05, 0.2, 0.45, 2.0])
def test_gaussian_moments_are_those_of_the_integral(s: float) -> None:
    from scipy.stats import norm

    k = np.arange(-40, 41)
    low, high = (k - 0.5) / s, (k + 0.5) / s
    mass, first = norm.cdf(high) - norm.cdf(low), s * (norm.pdf(low) - norm.pdf(high))
    xy, yy = float(k @ first), float(k**2 @ mass)
    moments = gaussian_moments(s)
    # Sums of numbers near 1 cancel to s^2: 1e-15 over 1e-4, taken twice.
    assert moments.power_ratio / 12 == pytest.approx(yy - 2 * xy + s * s, rel=1e-9)
    assert moments.gain == pytest.approx(xy / s**2, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sine_moments(0.0), "amplitude 0.0 LSB"),
        (lambda: sine_moments(math.inf), "amplitude inf LSB"),
        (lambda: gaussian_moments(-1.0), "deviation -1.0 LSB"),
    ],
)
def test_moments_of_nothing_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def simulate(waveform: Waveform, **options: object) -> SimulatedRecord:
    return Simulation(
        Converter(12, -1, 1, transfer=str(options.pop("transfer", "mid-tread"))), waveform, **options
    ).run()  # type: ignore[arg-type]


STEP = 2 / 4096


@pytest.mark.parametrize("transfer", ["mid-tread", "mid-rise", "floor"])
def test_the_model_holds_for_a_gaussian_of_many_steps(transfer: str) -> None:
    model = judge_noise_model(simulate(Gaussian(0.1), transfer=transfer))
    assert model.verdict == "holds"
    assert model.power_ratio == pytest.approx(1.0, abs=model.power_limit - 0.05)  # the chance part of the limit alone
    assert model.uniformity is not None


def test_a_full_scale_sine_has_the_power_but_gives_lines() -> None:
    model = judge_noise_model(simulate(Sine(2047 / 2048, 127 / 4096), samples=4096))
    assert model.verdict == "power only"
    assert model.line_ratio > model.line_limit
    assert "Do not trust it for spurs" in model.text


@pytest.mark.parametrize(("steps", "expected"), [(0.4, -1.0), (1.5, -0.645), (2.0, 0.201)])
def test_the_model_fails_for_a_small_sine(steps: float, expected: float) -> None:
    model = judge_noise_model(simulate(Sine(steps * STEP, 127 / 16384)))
    assert model.verdict == "fails"
    # The record's 16384 phases against the continuous sine: crossings misplaced by 2^-14 of a turn.
    assert model.correlation == pytest.approx(expected, abs=0.002)
    assert "does not hold" in model.text


@pytest.mark.parametrize(("dither", "ratio"), [("tpdf", 3.0), ("subtractive", 1.0)])
def test_dither_makes_the_model_hold_for_a_small_sine(dither: str, ratio: float) -> None:
    model = judge_noise_model(simulate(Sine(1.5 * STEP, 127 / 16384), dither=dither))
    assert model.verdict == "holds"
    assert model.expected_ratio == ratio
    assert model.power_ratio == pytest.approx(ratio, rel=model.power_limit)


def test_rectangular_dither_frees_the_mean_but_not_the_power_of_a_constant_input() -> None:
    still = judge_noise_model(simulate(Dc(0.0), dither="rpdf"))
    moved = judge_noise_model(simulate(Dc(0.5 * STEP), dither="rpdf"))
    assert still.power_ratio == 0.0
    assert moved.power_ratio == 3.0  # f (1 - f) = 1/4 on either side of a transition
    assert still.verdict == moved.verdict == "fails"


def test_a_constant_error_is_said_to_be_one() -> None:
    model = judge_noise_model(simulate(Dc(0.3 * STEP)))
    assert model.correlation is None
    assert "the error is constant" in model.text


def test_a_constant_signal_with_triangular_dither_is_within_the_model() -> None:
    model = judge_noise_model(simulate(Dc(0.3 * STEP), dither="tpdf"))
    assert (model.verdict, model.correlation) == ("holds", None)


@pytest.mark.parametrize("shaping", [{}, {"osr": 16, "shaping_order": 2}], ids=["plain", "shaped"])
def test_saturation_breaks_the_model_and_is_named(shaping: dict[str, int]) -> None:
    model = judge_noise_model(simulate(Sine(1.2, 127 / 16384), **shaping))
    assert model.verdict == "fails"
    assert "of 16384 samples saturate" in model.text


def test_chance_rarely_fails_a_true_record() -> None:
    verdicts = [judge_noise_model(simulate(Gaussian(0.1, seed=seed), samples=2048)).verdict for seed in range(100)]
    # The limits leave 1 of 1000 each, with slack on top; four figures and a hundred records make 0.4 at the very most.
    assert verdicts.count("holds") >= 98


def test_the_meter_does_not_depend_on_the_unit() -> None:
    small, large = (
        judge_noise_model(Simulation(Converter(8, -a, a), Sine(0.9 * a, 127 / 4096), samples=4096).run())
        for a in (2**-20, 2**20)
    )
    assert small == large


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(1)
    e, x = rng.standard_normal((2, 500))
    assert correlate(e, x) == pytest.approx(np.corrcoef(e, x)[0, 1], abs=1e-14)  # both sums of 500 in float64
    assert correlate(np.ones(4), x[:4]) is None
