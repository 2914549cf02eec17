"""Sidebands that a window's lobe hides: they count, they are named, and one-sided lines are no modulation."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum

SAMPLES = 16384
TIME = np.arange(SAMPLES) / SAMPLES


def modulate(cycles: float, rate: float, *, am: float = 0.0, pm: float = 0.0, amplitude: float = 28000) -> np.ndarray:
    # Even about the middle of the record, so that the fit's frequency takes nothing of a phase modulation.
    wave = np.cos(2 * np.pi * rate * (TIME - 0.5))
    return amplitude * (1 + am * wave) * np.sin(2 * np.pi * cycles * TIME + pm * wave)


def find_codes(spectrum: Spectrum) -> list[str]:
    return [finding.code for finding in spectrum.findings if finding.code.endswith("-modulation")]


@pytest.mark.parametrize("cycles", [1601.0, 1601.4], ids=["coherent", "between bins"])
@pytest.mark.parametrize("rate", [1, 2, 4, 9, 12])
@pytest.mark.parametrize(
    ("depths", "code", "name"),
    [
        ({"am": 0.002}, "amplitude-modulation", "AM sideband"),
        ({"pm": 0.002}, "phase-modulation", "PM sideband"),
    ],
    ids=["amplitude", "phase"],
)
def test_sidebands_near_the_tone_have_half_the_depth(
    cycles: float, rate: int, depths: dict[str, float], code: str, name: str
) -> None:
    spectrum = analyze_spectrum(np.rint(modulate(cycles, rate, **depths)), bits=16)
    # Each sideband m/2 or J1(b)/J0(b), within 1e-6 of b/2: -60.00 dBc; both together -56.99. Rounding lies 40 dB below.
    assert spectrum.sfdr_dbc == pytest.approx(60.0, abs=0.02)
    assert spectrum.sinad_db == pytest.approx(56.99, abs=0.02)
    assert (spectrum.spur.name, spectrum.spur.kind) == (name, "spur")
    assert find_codes(spectrum) == [code]
    finding = next(finding for finding in spectrum.findings if finding.code == code)
    # What the fit of the tone takes of so slow a modulation is less than a hundredth.
    assert finding.value == pytest.approx(0.002, rel=0.01)
    assert f"{rate}" in finding.text


def test_a_deep_phase_modulation_follows_bessel() -> None:
    from scipy.special import jv

    spectrum = analyze_spectrum(modulate(1601.4, 6, pm=0.2), low=-32768, high=32768)
    # The depth is read from the first order, 2 J1/J0 of the tone as fitted: 0.2 (1 + 0.2^2/8).
    assert spectrum.sfdr_dbc == pytest.approx(-20 * np.log10(jv(1, 0.2) / jv(0, 0.2)), abs=0.05)


@pytest.mark.parametrize("rate", [0.3, 0.6, 2.5, 7.3, 11.8])
@pytest.mark.parametrize("kind", ["am", "pm"])
def test_any_rate_counts_in_sinad_and_is_named(rate: float, kind: str) -> None:
    for cycles in (1601.0, 1601.4):
        spectrum = analyze_spectrum(np.rint(modulate(cycles, rate, **{kind: 0.005})), bits=16)
        assert spectrum.sinad_db == pytest.approx(spectrum.sinefit_sinad_db, abs=0.05)
        assert spectrum.sfdr_dbc >= spectrum.sinad_db
        assert find_codes(spectrum) == [{"am": "amplitude-modulation", "pm": "phase-modulation"}[kind]]


def test_a_tone_that_grows_is_modulated() -> None:
    record = 1000 * (1 + 0.01 * TIME) * np.sin(2 * np.pi * 1601.4 * TIME)
    spectrum = analyze_spectrum(np.rint(record), bits=12)
    # The mean amplitude over a ramp of 10 LSB of it, and rounding.
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(1005**2 / 2 / (100 / 24 + 1 / 12)), abs=0.03)
    assert find_codes(spectrum) == ["amplitude-modulation"]


@pytest.mark.parametrize("offset", [-6.0, 3.0, 9.5])
def test_a_line_on_one_side_is_a_spur_and_counts(offset: float) -> None:
    record = 28000 * np.sin(2 * np.pi * 1601.4 * TIME) + 28 * np.sin(2 * np.pi * (1601.4 + offset) * TIME)
    spectrum = analyze_spectrum(np.rint(record), bits=16)
    assert find_codes(spectrum) == []
    assert spectrum.spur.name == "spur"
    # Its bin stands up to 3.92 dB below a line half-way between two, and the fit takes some of what is near.
    assert spectrum.sinad_db == pytest.approx(60.0, abs=0.2)
    assert 59.9 <= spectrum.sfdr_dbc <= 64


def test_breaks_are_not_called_modulation() -> None:
    jump = np.sin(2 * np.pi * 1601.4 * TIME + np.where(TIME > 0.4, 0.5, 0.0))
    burst = np.sin(2 * np.pi * 1601.4 * TIME) * (TIME > 0.4)
    for record in (jump, burst):
        spectrum = analyze_spectrum(np.rint(2000 * record), bits=12)
        assert find_codes(spectrum) == []
        assert "sinad-differs" in [finding.code for finding in spectrum.findings]
        assert spectrum.sinad_db == spectrum.sinefit_sinad_db


def test_distortion_that_folds_beside_the_tone_is_no_modulation() -> None:
    # At 4097 periods of 16384 HD3 falls four bins below the tone, HD5 four above it.
    clean = np.sin(2 * np.pi * 4097 * TIME + 0.3)
    spectrum = analyze_spectrum(np.rint(30000 * (clean + 1e-3 * clean**3 + 1e-3 * clean**5)), bits=16)
    assert find_codes(spectrum) == []
    assert spectrum.spur.name in {"HD3", "HD5"}


@pytest.mark.parametrize("cycles", [1601.0, 1601.4], ids=["coherent", "between bins"])
def test_in_a_band_only_what_lies_in_it_counts(cycles: float) -> None:
    noise = np.random.default_rng(1).normal(scale=0.4, size=SAMPLES)
    record = np.rint(1229 * np.sin(2 * np.pi * cycles * TIME) + 20 * TIME + noise)
    slow = analyze_spectrum(record, bits=12, osr=4)
    fast = analyze_spectrum(record, bits=12, fs_hz=1.0, band_hz=(0.05, 0.25))
    white = 0.16 + 1 / 12
    assert slow.sinad_db == pytest.approx(10 * np.log10(1229**2 / 2 / (400 / 12 + white / 4)), abs=0.1)
    # Two fifths of the band; a ramp's lines beyond 819 periods are 2 (20/2 pi)^2/819 = 0.025, a quarter of the noise.
    assert fast.sinad_db == pytest.approx(10 * np.log10(1229**2 / 2 / (0.4 * white)), abs=1.2)
    assert slow.spur.name == "drift"
