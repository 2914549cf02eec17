"""Slow content beside a tone: SINAD is the residual's, SFDR its largest line's, and it is named as what it is."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum

CODES = ("drift", "hum", "settling")


def draw(samples: int, cycles: float, *, amplitude: float = 1.0, phase: float = 0.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * cycles * np.arange(samples) / samples + phase)


def find_codes(spectrum: Spectrum) -> list[str]:
    return [finding.code for finding in spectrum.findings if finding.code in CODES]


# A ramp of P has lines P/(pi k), the first of them the largest, and the power P^2/12; a sine of whole periods is a line.
@pytest.mark.parametrize("cycles", [401.0, 401.3], ids=["coherent", "between bins"])
@pytest.mark.parametrize(
    ("slow", "sfdr_dbc", "name"),
    [
        (10 * np.sin(2 * np.pi * np.arange(4096) / 4096 + 0.4), 20 * np.log10(1229 / 10), "slow line"),
        (np.linspace(-2.5, 2.5, 4096), 20 * np.log10(1229 * np.pi / 5), "drift"),
        (np.linspace(-10, 10, 4096), 20 * np.log10(1229 * np.pi / 20), "drift"),
        (np.linspace(-50, 50, 4096), 20 * np.log10(1229 * np.pi / 100), "drift"),
    ],
    ids=["a period of 10 LSB", "ramp of 5 LSB", "ramp of 20 LSB", "ramp of 100 LSB"],
)
def test_slow_content_has_the_figures_of_its_making(
    cycles: float, slow: np.ndarray, sfdr_dbc: float, name: str
) -> None:
    spectrum = analyze_spectrum(np.rint(draw(4096, cycles, amplitude=1229) + slow), bits=12, fs_hz=1e6)
    # Rounding adds LSB^2/12, and a line of it 1e-3 LSB^2 at most: 0.06 dB beside the smallest ramp.
    error = np.var(slow) + 1 / 12
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(1229**2 / 2 / error), abs=0.06)
    assert spectrum.sfdr_dbc == pytest.approx(sfdr_dbc, abs=0.1)
    assert (spectrum.spur.name, spectrum.spur.kind) == (name, "spur")
    assert spectrum.sfdr_dbc >= spectrum.sinad_db


def test_a_drift_tells_its_size() -> None:
    spectrum = analyze_spectrum(np.rint(draw(4096, 401.3, amplitude=1229) + np.linspace(-10, 10, 4096)), bits=12)
    finding = next(finding for finding in spectrum.findings if finding.code == "drift")
    # The slope of the fit is sure to 0.1 LSB over the record: sqrt(12/12/4096) times four.
    assert finding.value == pytest.approx(20, abs=0.1)
    assert "20" in finding.text
    assert "LSB" in finding.text


@pytest.mark.parametrize(("hertz", "name"), [(50.0, "hum"), (120.0, "hum"), (87.0, "slow line")])
def test_a_line_at_the_frequency_of_the_mains_is_hum(hertz: float, name: str) -> None:
    samples, fs_hz = 8192, 50_000.0
    slow = draw(samples, hertz * samples / fs_hz, amplitude=8, phase=1)
    spectrum = analyze_spectrum(np.rint(draw(samples, 901.3, amplitude=1500) + slow), bits=12, fs_hz=fs_hz)
    assert spectrum.spur.name == name
    assert spectrum.spur.frequency_hz == pytest.approx(hertz, rel=0.03)
    assert "hum" in find_codes(spectrum)


@pytest.mark.parametrize("cycles", [401.0, 401.3], ids=["coherent", "between bins"])
@pytest.mark.parametrize("constant", [9.0, 60.0, 500.0])
def test_settling_tells_its_time_constant_and_where_it_ends(cycles: float, constant: float) -> None:
    start, noise = 300.0, np.random.default_rng(0).normal(scale=0.5, size=4096)
    record = draw(4096, cycles, amplitude=1000) + start * np.exp(-np.arange(4096) / constant) + noise
    spectrum = analyze_spectrum(np.rint(record), bits=12)
    finding = next(finding for finding in spectrum.findings if finding.code == "settling")
    # Below the noise, sqrt(0.25 + 1/12) rms, after ln(300/0.58) = 6.25 time constants; both are read to a fifth.
    assert finding.value == pytest.approx(6.25 * constant, rel=0.2)
    decay = np.exp(-1 / constant)
    power = start**2 / 4096 / (1 - decay**2) - (start / 4096 / (1 - decay)) ** 2
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(5e5 / (power + 1 / 3)), abs=0.3)
    assert find_codes(spectrum)[0] == "settling"


KINDS = {
    "linear": lambda t, g: t - 0.5,
    "parabola": lambda t, g: 4 * (t - 0.5) ** 2,
    "sine": lambda t, g: np.cos(2 * np.pi * (g.uniform(0.75, 3) * t + g.uniform())),
    "part of a sine": lambda t, g: np.cos(2 * np.pi * (g.uniform(0.3, 0.75) * t + g.uniform())),
    "exponential": lambda t, g: np.exp(-t * 10 ** g.uniform(0.8, 2.7)),
}
RIGHT = {
    "linear": {"drift"},
    "parabola": {"drift"},
    "sine": {"hum"},
    "part of a sine": {"drift", "hum"},
    "exponential": {"settling"},
}


# Of 40 records each, of which one or two may be other or none: measured 0 to 2 in a thousand.
@pytest.mark.parametrize("kind", KINDS)
def test_slow_content_of_any_size_gets_its_name_and_the_residual_s_sinad(kind: str) -> None:
    rng, right, seen = np.random.default_rng(3), 0, 0
    for _ in range(40):
        samples, bits = int(rng.choice([1024, 4096, 16384])), int(rng.choice([8, 10, 12, 16]))
        time = np.arange(samples) / samples
        amplitude, size = 0.7 * 2.0 ** (bits - 1), 10 ** rng.uniform(-1, 2)
        cycles = round(samples * rng.uniform(0.05, 0.45)) + rng.choice([0.0, rng.uniform(0.1, 0.9)])
        slow = min(size, amplitude / 4) * KINDS[kind](time, rng)
        noise = rng.normal(scale=0.4, size=samples)
        tone = amplitude * np.sin(2 * np.pi * (cycles * time + rng.uniform()))
        spectrum = analyze_spectrum(np.rint(tone + slow + noise), bits=bits)
        assert spectrum.sfdr_dbc >= spectrum.sinad_db
        low, high = spectrum.sinad_ci95_db
        # A coherent record is fitted with its own frequency by three parameters, which moves SINAD by 0.1 dB at most.
        assert low - 0.1 <= spectrum.sinefit_sinad_db <= high + 0.1
        # Energy over the noise power of a sample: 500 is seven times what chance can be.
        if np.var(slow) * samples > 500 * (0.16 + 1 / 12):
            seen += 1
            right += bool(RIGHT[kind] & set(find_codes(spectrum)[:1]))
    assert seen >= 12
    assert seen - right <= 2


def test_distortion_that_folds_next_to_dc_is_no_hum() -> None:
    # HD3 of 1366 periods of 4096 folds to 2.
    record = draw(4096, 1366, amplitude=1500) + draw(4096, 3 * 1366, amplitude=5)
    spectrum = analyze_spectrum(np.rint(record), bits=12)
    assert find_codes(spectrum) == []
    assert spectrum.spur.name == "HD3"


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("cycles", [127.0, 401.37, 1999.5])
def test_the_rounding_of_a_sine_is_no_slow_content(bits: int, cycles: float) -> None:
    spectrum = analyze_spectrum(np.rint((2 ** (bits - 1) - 1) * draw(8192, cycles, phase=0.2)), bits=bits)
    assert find_codes(spectrum) == []
