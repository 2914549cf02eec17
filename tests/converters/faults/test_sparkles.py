"""Single wrong samples are found, each of them, with the bit that is wrong; of 300 made records all are, and 1 of 2,200
sound ones, a triangle of 256 samples, is said to have one.
"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.faults.sparkles import find_sparkles, tell_sparkles
from tests.reference_records import Broken, keep_codes, round_codes, turn


def flip(codes: np.ndarray, bit: int, bits: int) -> np.ndarray:
    half = 1 << bits - 1
    return ((codes ^ 1 << bit) + half & 2 * half - 1) - half


@pytest.mark.parametrize("below_top", range(4))
def test_every_wrong_sample_is_found_with_its_bit(below_top: int) -> None:
    for seed in range(12):
        made = Broken(seed)
        codes, bit = made.take(), made.bits - 1 - below_top
        places = np.sort(made.rng.choice(np.arange(20, made.samples - 20, 30), 3, replace=False))
        codes[places] = flip(codes[places], bit, made.bits)
        found = find_sparkles(codes.astype(float), 1.0)
        np.testing.assert_array_equal(found.places, places)
        told = tell_sparkles(keep_codes(codes, made.bits), found)[0]
        assert told.value == 3
        assert f"Sample {places[0]} is code" in told.text
        assert f"bit {bit} is wrong" in told.text


def test_the_healed_record_is_the_sound_one_within_its_noise() -> None:
    rng = np.random.default_rng(1)
    sound = round_codes(1900 * np.sin(turn(401.3, 4096)) + rng.normal(0, 0.5, 4096), 12)
    codes = sound.copy()
    codes[[500, 1700, 3000]] ^= 0x400
    found = find_sparkles(codes.astype(float), 1.0)
    # Sixteen neighbours leave the noise of the sample, sqrt(1/4 + 1/12), and a share of their own: six deviations.
    assert np.abs(found.healed - sound).max() < 6 * 0.58 * np.sqrt(1.5)


@pytest.mark.parametrize("kind", ["two tones", "hum and drift", "a ramp", "noise"])
def test_wrong_samples_are_found_in_other_signals(kind: str) -> None:
    time, rng = np.linspace(0, 1, 4096), np.random.default_rng(4)
    wave = {
        "two tones": 900 * np.sin(turn(401.3, 4096)) + 900 * np.sin(turn(977.1, 4096)),
        "hum and drift": 1500 * np.sin(turn(401.3, 4096)) + 100 * np.sin(turn(2.2, 4096)) + 90 * time,
        "a ramp": 4000 * time - 2000,
        "noise": rng.normal(0, 100, 4096),
    }[kind]
    codes = round_codes(wave + rng.normal(0, 0.5, 4096), 12)
    # Into the range, so that it stands apart from both ends of a ramp.
    codes[2222] += 1100 if codes[2222] < 0 else -1100
    np.testing.assert_array_equal(find_sparkles(codes.astype(float), 1.0).places, [2222])


def test_numbers_have_no_bit_to_be_wrong() -> None:
    from dataclasses import replace

    values = np.sin(turn(37.3, 2048)) + np.random.default_rng(3).normal(0, 1e-3, 2048)
    values[1000] += 0.5
    record = replace(keep_codes(np.zeros(2048, np.int64), 12), values=values, codes=None)
    told = tell_sparkles(record, find_sparkles(values, 0.0))[0]
    assert "One sample does not fit" in told.text
    assert "bit" not in told.text


def test_short_and_constant_records_have_none() -> None:
    assert find_sparkles(np.arange(20.0), 1.0).places.size == 0
    assert find_sparkles(np.full(4096, 7.0), 1.0).places.size == 0
