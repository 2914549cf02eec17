"""An ENOB beyond the width is told, in a band and of averages too, and a sound record is never said to flatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanalysis.converters.faults.flattery import find_flattery
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum
from tests.reference_records import keep_codes, round_codes, turn

SAMPLES = 8192


@pytest.mark.parametrize("osr", [1, 4, 16])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_rounded_tones_keep_to_their_width_in_any_band(osr: int, noise: float) -> None:
    rng = np.random.default_rng(osr)
    for bits in (8, 10, 12, 14):
        for cycles in (101, rng.uniform(9, SAMPLES / 2.2 / osr)):
            codes = round_codes(
                0.95 * 2 ** (bits - 1) * np.sin(turn(cycles, SAMPLES)) + rng.normal(0, noise, SAMPLES), bits
            )
            spectrum = analyze_spectrum(codes, bits=bits, osr=osr)
            assert find_flattery(keep_codes(codes, bits), spectrum) == [], (bits, cycles)


@pytest.mark.parametrize("osr", [1, 4, 16])
def test_volts_finer_than_the_stated_width_are_told(osr: int) -> None:
    wave = 0.95 * np.sin(turn(101.3, SAMPLES)) + np.random.default_rng(1).normal(0, 1e-5, SAMPLES)
    record = replace(keep_codes(np.zeros(SAMPLES, np.int64), 12), values=wave, codes=None)
    spectrum = analyze_spectrum(wave, bits=12, low=-1, high=1, osr=osr)
    found = find_flattery(record, spectrum)
    assert [finding.code for finding in found] == ["enob-above-width"]
    # log2(2 / (1e-5 sqrt 12)) = 15.82 bits, and half a bit for each doubling of the rate; the noise in a band of 256
    # bins scatters by 0.4 dB, 0.06 bit.
    assert found[0].value == pytest.approx(15.82 + np.log2(osr) / 2, abs=0.2)
    assert (f"a band of 1/{osr} of the spectrum" in found[0].text) is (osr > 1)
    assert replace(spectrum, findings=tuple(found)).contradicted


def flatter(records: int | None) -> Spectrum:
    codes = round_codes(2000 * np.sin(turn(101, SAMPLES)), 12)
    spectrum = analyze_spectrum(codes, bits=12)
    return replace(spectrum, enob_ieee=13.9, enob_ci95=(13.8, 14.0), records=records, average="coherent")


def test_an_average_explains_half_a_bit_for_each_doubling() -> None:
    record = keep_codes(round_codes(2000 * np.sin(turn(101, SAMPLES)), 12), 12)
    # 13.8 lies above 12 + log2(8)/2 = 13.5 and below 12 + log2(16)/2 = 14.
    assert find_flattery(record, flatter(16)) == []
    found = find_flattery(record, flatter(8))
    assert (
        "more than the 12 bits of the converter can give with the 1.5 bit that 8 records laid in phase explain"
        in found[0].text
    )


def test_noise_shaped_by_one_bit_is_no_contradiction() -> None:
    tone, first, second = 0.5 * np.sin(turn(101, 65536)), 0.0, 0.0
    codes = np.empty(65536, np.int64)
    for index, wanted in enumerate(tone.tolist()):
        given = 1.0 if second >= 0 else -1.0
        first += wanted - given
        second += first - given
        codes[index] = 0 if given > 0 else -1
    spectrum = analyze_spectrum(codes, bits=1, osr=64)
    assert spectrum.enob_ieee is not None
    assert spectrum.enob_ieee > 10
    assert find_flattery(keep_codes(codes, 1), spectrum) == []
