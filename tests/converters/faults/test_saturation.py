"""Peaks that are flat under noise, or bent, are told with level and side: 398 of 400 made records, and none of 2,200
sound ones.
"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.faults.saturation import find_saturation
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.spectrum import analyze_spectrum
from tests.reference_records import keep_codes, round_codes, turn

SAMPLES = 4096


def examine(wave: np.ndarray, noise: float = 3.0) -> Finding | None:
    """What is found in 12 bits of a wave of at most 1, with noise in LSB."""
    codes = round_codes(2000 * wave + np.random.default_rng(1).normal(0, noise, wave.size), 12)
    spectrum = analyze_spectrum(codes, bits=12)
    assert spectrum.sinefit is not None
    return find_saturation(keep_codes(codes, 12), spectrum.sinefit, 1.0, 1.0)


@pytest.mark.parametrize("limit", [0.6, 0.84, 0.97])
@pytest.mark.parametrize("cycles", [401, 401.37, 5.3])
def test_a_flat_peak_is_told_with_its_level_and_share(limit: float, cycles: float) -> None:
    found = examine(np.clip(np.sin(turn(cycles, SAMPLES, 0.2)), -limit, limit))
    assert found is not None
    assert found.code == "clipping"
    # Cuts are tried every 0.04 rad at either end.
    assert found.value == pytest.approx(2 * np.arccos(limit) / np.pi, abs=2 * 0.04 / np.pi)
    level = int(found.text.split("the top (about code ")[1].split(")")[0])
    # A cut that is wrong by 0.02 rad moves the level by 0.02 sin(cut).
    assert level == pytest.approx(2000 * limit, abs=2000 * 0.02 * np.sin(np.arccos(limit)) + 3)
    assert "the bottom" in found.text


@pytest.mark.parametrize(("side", "sign"), [("top", 1), ("bottom", -1)])
def test_one_flat_side_is_named_alone(side: str, sign: int) -> None:
    found = examine(sign * np.minimum(np.sin(turn(401.3, SAMPLES)), 0.8))
    assert found is not None
    assert found.code == "clipping"
    assert [f"the {end} (" in found.text for end in ("top", "bottom")] == [side == "top", side == "bottom"]


@pytest.mark.parametrize("drive", [1.0, 1.5, 2.5])
def test_gradual_compression_is_soft_clipping(drive: float) -> None:
    found = examine(np.tanh(drive * np.sin(turn(401.3, SAMPLES))) * 0.95)
    assert found is not None
    assert found.code == "soft-clipping"
    # The slope in the middle is the mean over 0.4 of the amplitude; a polynomial of order 5 follows tanh within 0.035.
    middle = np.tanh(0.4 * drive) / 0.4
    assert found.value == pytest.approx(1 - np.tanh(drive) / middle, abs=0.035)


@pytest.mark.parametrize("hd3_db", [-80, -50, -31])
def test_a_third_harmonic_of_a_sound_converter_is_no_saturation(hd3_db: float) -> None:
    angle = turn(401.3, SAMPLES)
    assert examine(0.95 * (np.sin(angle) + 10 ** (hd3_db / 20) * np.sin(3 * angle))) is None


@pytest.mark.parametrize("shape", ["triangle", "square", "sawtooth"])
def test_other_waves_are_not_saturated_sines(shape: str) -> None:
    angle = turn(101.3, SAMPLES)
    wave = {
        "triangle": 2 / np.pi * np.arcsin(np.sin(angle)),
        "square": 0.9 * np.sign(np.sin(angle)),
        "sawtooth": angle / np.pi % 2 - 1,
    }[shape]
    assert examine(wave) is None
