"""What rises evenly all along is a ramp and has no figures of a tone; what only leans is a tone."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.ramp import is_even
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 2000
TIME = np.arange(SAMPLES)
TURN = TIME / SAMPLES
NOISE = np.random.default_rng(0).normal(size=SAMPLES)

RAMPS = {
    "counter": TIME,
    "falling": -TIME,
    "time axis": TIME * 2e-7 - 1e-4,
    "uneven time axis": TIME * 2e-7 + 1e-8 * NOISE,
    "stairs of three bits": TIME * 8 // SAMPLES,
    "stairs of twelve bits": TIME * 4096 // SAMPLES,
    "noise of a tenth": TURN * 10 + NOISE,
    "noise as large": TURN + NOISE,
    "bowed": TURN * 100 + 5 * (1 - (2 * TURN - 1) ** 2),
}
OTHERS = {
    "half a sine": np.sin(np.pi * TURN),
    "half a cosine": np.cos(np.pi * TURN),
    "triangle of five periods": np.abs(5 * TURN % 1 - 0.5),
    "there and back": np.minimum(TIME, SAMPLES - TIME),
    "saw of four periods": 4 * TURN % 1,
    "exponential": np.exp(-5 * TURN),
    "noise": NOISE,
}


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_is_no_tone(name: str) -> None:
    spectrum = analyze_spectrum(RAMPS[name])
    assert "ramp-not-tone" in [finding.code for finding in spectrum.findings]
    figures = ("sinad_db", "snr_db", "thd_dbc", "sfdr_dbc", "enob_at_level", "cycles", "coherent", "spur")
    assert [getattr(spectrum, figure) for figure in figures] == [None] * len(figures)


def test_the_finding_holds_the_slope() -> None:
    spectrum = analyze_spectrum(-3.0 * TIME)
    # Least squares of an exact line; its rounding grows with the scale taken off.
    assert next(one.value for one in spectrum.findings if one.code == "ramp-not-tone") < 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_ramp_is_none(name: str) -> None:
    assert not is_even(OTHERS[name] - OTHERS[name].mean())


@pytest.mark.parametrize("cycles", [311.0, 311.4], ids=["coherent", "between bins"])
def test_a_tone_on_a_ramp_is_a_tone_that_drifts(cycles: float) -> None:
    record = 1000 * TURN + 100 * np.sin(2 * np.pi * cycles * TURN)
    spectrum = analyze_spectrum(record)
    # 100^2/2 over 1000^2/12, of which the sine takes next to nothing: 2 dB of its leak would be seen.
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(5000 / (1e6 / 12)), abs=0.1)
    assert "drift" in [finding.code for finding in spectrum.findings]
    assert spectrum.cycles == pytest.approx(cycles, abs=0.01)
