"""Every fault that is put into a sound record is found with its number, and a sound record has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.doctor import examine_record
from qanalysis.converters.faults.repetition import find_period
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.code_words import code_range
from qanalysis.converters.records.records import Record, read_record
from qanalysis.converters.spectrum.spectrum import analyze_spectrum
from qanalysis.results.identity import SourceIdentity

VOICE = Path(__file__).parent / "data" / "spoken_card.wav"
SAMPLES = 4096


def sine(
    bits: int = 12,
    *,
    level: float = 0.98,
    cycles: float = 127,
    phase: float = 0.1,
    offset: float = 0.0,
    noise: float = 0.0,
) -> np.ndarray:
    """Two's complement codes (4096,) of a sine of `level` times the range, saturating; offset and noise rms in LSB."""
    low, high = code_range(bits, signed=True)
    drawn = np.random.default_rng(7).normal(0, noise, SAMPLES) if noise else 0.0
    wave = level * 2.0 ** (bits - 1) * np.sin(2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + phase)
    return np.clip(np.rint(wave - 0.5 + offset + drawn), low, high).astype(np.int64)


MADE = SourceIdentity("made", 0, None)


def record_of(codes: np.ndarray, *, bits: int = 12, signed: bool = True) -> Record:
    low, high = code_range(bits, signed=signed)
    return Record(codes.astype(np.float64), codes, bits, "right", signed, low, high + 1.0, 1.0, MADE, ())


def values_of(values: np.ndarray, **facts: object) -> Record:
    return replace(Record(values, None, None, None, None, None, None, None, MADE, ()), **facts)  # type: ignore[arg-type]


def codes_in(found: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in found]


def find(found: tuple[Finding, ...], code: str) -> Finding:
    assert code in codes_in(found), found
    return next(finding for finding in found if finding.code == code)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("level", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_sound_record_has_no_findings(bits: int, level: float, noise: float) -> None:
    codes = sine(bits, level=level, noise=noise)
    record = record_of(codes, bits=bits)
    spectrum = analyze_spectrum(codes, bits=bits)
    assert examine_record(record, spectrum) == ()


def test_gaussian_noise_a_ramp_and_a_square_wave_are_not_clipped_or_stuck() -> None:
    noise = np.rint(np.random.default_rng(3).normal(0, 300, SAMPLES)).astype(np.int64)
    square = np.where(np.arange(SAMPLES) % 30 < 15, 2000, -2001)
    for codes in (noise, np.arange(SAMPLES) - 2048, square):
        assert not {"clipping", "stuck-bits", "tied-bits", "left-justified"} & set(
            codes_in(examine_record(record_of(codes)))
        )


# Clipping


def test_clipping_is_found_at_both_ends_with_its_share_and_longest_run() -> None:
    codes = sine(level=1.05)
    found = find(examine_record(record_of(codes)), "clipping")
    share = np.mean((codes == 2047) | (codes == -2048))
    assert found.value == share
    # Codes 2047 and -2048 begin at +-2047 of 2150.4: acos of that over pi on each side, and 4096 even phases miss an
    # arc by one at most.
    assert found.value == pytest.approx(2 * np.arccos(2047 / (1.05 * 2048)) / np.pi, abs=2 / SAMPLES)
    held = "".join("x" if code == 2047 else " " for code in codes)
    assert f"at the top (code 2047, longest run {max(map(len, held.split()))})" in found.text
    assert "Only the" not in found.text


@pytest.mark.parametrize(("end", "sign"), [("top", 1), ("bottom", -1)])
def test_clipping_of_one_end_below_the_range_is_found(end: str, sign: int) -> None:
    codes = sign * np.minimum(sign * sine(), 1800)
    found = find(examine_record(record_of(codes)), "clipping")
    assert f"Only the {end} is clipped" in found.text
    assert found.value == np.mean(codes == sign * 1800)


def test_floats_clip_too() -> None:
    found = find(examine_record(values_of(np.clip(1.3 * np.sin(np.arange(1000)), -1, 1))), "clipping")
    assert "value 1," in found.text
    assert not examine_record(values_of(np.sin(np.arange(1000))))


def test_three_lsb_of_overdrive_are_clipping_and_one_is_not() -> None:
    for bits in (10, 12):
        assert "clipping" in codes_in(examine_record(record_of(sine(bits, level=1 + 4 / 2 ** (bits - 1)), bits=bits)))
        assert "clipping" not in codes_in(
            examine_record(record_of(sine(bits, level=1 + 1 / 2 ** (bits - 1)), bits=bits))
        )


def test_an_overdriven_recording_is_found_clipped() -> None:
    record = read_record(VOICE)
    found = find(examine_record(record, analyze_spectrum(record.codes, bits=16, fs_hz=16000)), "clipping")
    assert found.value == np.mean(record.codes == -32768)
    assert "Only the bottom" in found.text


# Bits


@pytest.mark.parametrize("place", range(11))
@pytest.mark.parametrize("state", [0, 1])
def test_a_stuck_bit_is_found_by_its_number(place: int, state: int) -> None:
    codes = sine(noise=1) + 2048
    stuck = codes | 1 << place if state else codes & ~(1 << place)
    found = find(examine_record(record_of(stuck, signed=False)), "stuck-bits")
    assert found.value == place
    assert f"bit {place} at {state}" in found.text


@pytest.mark.parametrize(("first", "second", "word"), [(0, 1, "equals"), (3, 7, "equals"), (2, 9, "is the inverse of")])
def test_tied_bits_are_found(first: int, second: int, word: str) -> None:
    codes = sine(noise=1) + 2048
    copied = codes >> first & 1 ^ (word != "equals")
    tied = codes & ~(1 << second) | copied << second
    found = find(examine_record(record_of(tied, signed=False)), "tied-bits")
    assert found.value == second
    assert f"Bit {second} always {word} bit {first}" in found.text


def test_sign_bits_of_a_low_tone_are_not_tied() -> None:
    assert codes_in(examine_record(record_of(sine(level=0.05, noise=1)))) == ["unused-upper-bits"]
    assert codes_in(examine_record(record_of(sine(level=0.05, noise=1) + 2048, signed=False))) == []


def test_left_justified_words_are_found_where_they_were_read_right_justified() -> None:
    found = examine_record(record_of(sine() << 4, bits=16))
    assert codes_in(found) == ["left-justified"]
    assert found[0].value == 4
    assert "of 12 bits" in found[0].text


# Width


def test_codes_outside_the_stated_width_are_counted() -> None:
    codes = sine()
    found = find(examine_record(record_of(codes, bits=10)), "wrong-width")
    assert found.value == np.count_nonzero((codes < -512) | (codes > 511))
    assert "takes 12 bits" in found.text


def test_unused_upper_bits_are_counted_unless_the_width_is_a_guess() -> None:
    low = record_of(sine(level=0.01))
    found = examine_record(low)
    assert codes_in(found) == ["unused-upper-bits"]
    assert found[0].value == 12 - 6  # +-20 LSB take 6 bits
    assert examine_record(replace(low, guesses=(Finding("bits-guessed", ""),))) == ()


# Period


def test_an_exact_repetition_is_found_with_its_period() -> None:
    found = examine_record(record_of(sine(cycles=128)))
    assert codes_in(found) == ["locked-period"]
    assert found[0].value == 32


def test_a_noisy_locked_tone_is_found_by_its_spectrum() -> None:
    codes = sine(cycles=96, noise=1)
    record = record_of(codes)
    assert examine_record(record) == ()
    found = examine_record(record, analyze_spectrum(codes, bits=12))
    assert codes_in(found) == ["locked-period"]
    assert found[0].value == 32  # gcd(96, 4096)


def test_leakage_is_the_distance_to_a_whole_number_of_periods() -> None:
    codes = sine(cycles=127.37)
    found = examine_record(record_of(codes), analyze_spectrum(codes, bits=12, fs_hz=48e3))
    assert codes_in(found) == ["leakage"]
    # Cramer-Rao bound of a 74 dB tone in 4096 samples: below 1e-5 of a period.
    assert found[0].value == pytest.approx(0.37, abs=1e-4)


def test_periods_are_the_shortest_and_exact() -> None:
    assert find_period(np.tile(np.arange(7.0), 3)) == 7
    assert find_period(np.append(np.tile(np.arange(7.0), 3), 9.0)) is None
    assert find_period(np.tile([0.0, 1.0], 300)) == 2
    assert find_period(np.arange(10.0)) is None
    assert find_period(np.array([1.0])) is None
    assert find_period(np.tile([1.0, np.nan], 8)) is None
    almost = np.tile(np.arange(100.0), 10)
    almost[-1] = 0
    assert find_period(almost) is None
    # A block that comes back early hides no longer period.
    assert find_period(np.tile(np.concatenate([np.zeros(200), np.ones(100)]), 4)) == 300


# DC and no signal


def test_dc_is_measured_from_the_middle_of_the_range() -> None:
    signed = find(examine_record(record_of(sine(level=0.5, offset=500))), "dc-offset")
    # 127 periods are whole: only rounding is left, q/sqrt(12 N) = 0.0045 LSB and its lines.
    assert signed.value == pytest.approx(500, abs=0.1)
    unsigned = find(examine_record(record_of(sine(level=0.5, offset=-500) + 2048, signed=False)), "dc-offset")
    assert unsigned.value == pytest.approx(-500, abs=0.1)
    wav = find(examine_record(values_of(0.3 + 0.5 * np.sin(np.arange(1000)), low=-1.0, high=1.0)), "dc-offset")
    assert wav.value == pytest.approx(0.3, abs=0.001)  # at most 1/(1000 sin(1/2)) of the amplitude


def test_one_code_is_named() -> None:
    codes = np.full(SAMPLES, 7)
    alone = examine_record(record_of(codes))
    assert codes_in(alone) == ["constant"]
    assert (alone[0].value, "code 7" in alone[0].text) == (7, True)
    assert examine_record(record_of(codes), analyze_spectrum(codes, bits=12)) == ()  # the spectrum says it
    assert codes_in(examine_record(values_of(np.zeros(20)))) == ["constant"]


def test_dc_with_noise_gives_its_noise_free_bits() -> None:
    codes = np.rint(np.random.default_rng(1).normal(100, 1, SAMPLES)).astype(np.int64)
    found = find(examine_record(record_of(codes)), "dc-only")
    assert found.value == codes.std()
    assert f"leaves {12 - np.log2(6.6 * codes.std()):.2f} noise-free bits" in found.text
    spectrum = analyze_spectrum(codes, bits=12)
    assert "dc-only" in codes_in(examine_record(record_of(codes), spectrum))
    assert "no-tone" in codes_in(spectrum.findings)


def test_a_tone_of_one_lsb_is_not_dc_where_the_spectrum_shows_it() -> None:
    codes = np.rint(np.sin(2 * np.pi * 127 * np.arange(SAMPLES) / SAMPLES)).astype(np.int64)
    assert "dc-only" in codes_in(examine_record(record_of(codes)))
    assert "dc-only" not in codes_in(examine_record(record_of(codes), analyze_spectrum(codes, bits=12)))


def test_three_samples_are_too_few() -> None:
    found = examine_record(record_of(np.array([0, 1, 0])))
    assert find(found, "too-short").value == 3
    assert "need 16" in found[0].text


def test_nan_and_infinity_are_counted_and_placed() -> None:
    values = np.sin(np.arange(1000))
    values[[70, 80]] = np.nan, np.inf
    found = examine_record(values_of(values))
    assert codes_in(found) == ["non-finite"]
    assert found[0].value == 2
    assert "the first is sample 70" in found[0].text
    assert codes_in(examine_record(values_of(np.full(20, np.nan)))) == ["non-finite"]


def test_two_tones_and_folded_harmonics_are_left_to_the_spectrum() -> None:
    both = sine(level=0.45, cycles=128) + sine(level=0.45, cycles=160, noise=1)
    spectrum = analyze_spectrum(both, bits=12)
    assert "two-tone" in codes_in(spectrum.findings)
    assert examine_record(record_of(both), spectrum) == ()
    quarter = sine(cycles=1024, noise=1)
    folded = analyze_spectrum(quarter, bits=12)
    assert {"harmonic-on-tone", "harmonic-on-dc"} <= set(codes_in(folded.findings))
    assert codes_in(examine_record(record_of(quarter), folded)) == ["locked-period"]


def test_every_finding_has_a_number_in_its_text() -> None:
    made = [
        sine(level=1.05),
        sine(offset=300),
        sine() & ~16,
        sine(cycles=128),
        sine() << 4,
        sine(level=0.01),
        np.full(64, 3),
        np.array([1, 2, 1]),
    ]
    for codes in made:
        for finding in examine_record(record_of(codes, bits=16 if codes.max() > 2047 else 12)):
            assert finding.value is not None
            assert any(char.isdigit() for char in finding.text)
            assert finding.text.endswith((".", "?"))


def test_findings_become_cells() -> None:
    finding = Finding("dc-offset", "Text.", 2.0)
    assert finding.to_dict() == {"code": "dc-offset", "text": "Text.", "value": 2.0}
    assert finding.title == "DC offset"
