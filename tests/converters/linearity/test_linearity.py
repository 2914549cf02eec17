"""Ramp and sine histograms against known transitions:
noise-free to 0.001 LSB, noisy within the error bars that are stated.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.choices import INL_REFERENCES
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.linearity import measure_linearity, samples_needed

Array = NDArray[np.float64]
DENSE = 2**20


def make_transitions(bits: int, *, spread: float = 0.1, seed: int = 1) -> Array:
    """Transitions of a converter of range 0..2^bits (LSB 1), each off its place by a normal number of `spread` LSB."""
    ideal = np.arange(1, 2**bits) - 0.5
    made: Array = np.sort(ideal + np.random.default_rng(seed).normal(0, spread, ideal.size))
    return made


def convert(transitions: Array, x: Array) -> NDArray[np.int64]:
    return np.searchsorted(transitions, x, side="right")


def make_sine(bits: int, *, samples: int = DENSE, cycles: float = 1021, overdrive: float = 1.02) -> Array:
    half = 2 ** (bits - 1)
    return half + overdrive * half * np.sin(2 * np.pi * cycles * np.arange(samples) / samples + 0.3)


def drive_of_sine(bits: int, overdrive: float = 1.02) -> tuple[float, float]:
    half = 2 ** (bits - 1)
    return half - overdrive * half, half + overdrive * half


def find_errors_one_by_one(transitions: Array, reference: str) -> tuple[list[float], list[float]]:
    """DNL and INL by the written definitions, code by code, the line by numpy's polyfit."""
    count = len(transitions)
    mean = (transitions[-1] - transitions[0]) / (count - 1)
    dnl = [(transitions[i + 1] - transitions[i]) / mean - 1 for i in range(count - 1)]
    step, start = (mean, transitions[0]) if reference == "end-point" else np.polyfit(range(count), transitions, 1)
    return dnl, [(transitions[i] - start - step * i) / step for i in range(count)]


@pytest.mark.parametrize("bits", [4, 8, 10])
def test_a_dense_ramp_gives_back_the_transitions(bits: int) -> None:
    truth = make_transitions(bits)
    found = measure_linearity(convert(truth, np.linspace(0, 2**bits, DENSE)), bits=bits, low=0, high=2**bits)
    # half the distance of two samples: 2^bits / 2^20 / 2, at most 0.0005 LSB
    assert np.abs(found.transitions - truth).max() <= 2**bits / (DENSE - 1) / 2 * (1 + 1e-9)
    assert np.abs(found.transitions - truth).max() < 0.001


@pytest.mark.parametrize("bits", [4, 8, 10])
def test_a_dense_sine_gives_back_the_transitions(bits: int) -> None:
    truth = make_transitions(bits)
    found = measure_linearity(
        convert(truth, make_sine(bits)), bits=bits, test="sine", low=0, high=2**bits, drive=drive_of_sine(bits)
    )
    # a hit more or less moves a transition by pi A/S, at mid-scale; A = 1.02 * 2^(bits-1): 0.0016 LSB at 10 bits; half
    # of it on either side
    assert np.abs(found.transitions - truth).max() <= math.pi * 1.02 * 2 ** (bits - 1) / DENSE
    if bits <= 8:
        assert np.abs(found.transitions - truth).max() < 0.001


@pytest.mark.parametrize("reference", INL_REFERENCES)
@pytest.mark.parametrize("test", ["ramp", "sine"])
def test_errors_are_those_of_the_definitions_code_by_code(test: str, reference: str) -> None:
    truth = make_transitions(6, spread=0.2, seed=5)
    x = np.linspace(0, 64, DENSE) if test == "ramp" else make_sine(6)
    found = measure_linearity(convert(truth, x), bits=6, test=test, reference=reference)
    dnl, inl = find_errors_one_by_one(truth, reference)
    # each transition is known within 64/2^20 LSB (ramp) or pi 33/2^20 (sine): 1e-4; a width takes two of them, a line's
    # ends two more
    assert found.dnl_lsb == pytest.approx(dnl, abs=4e-4)
    assert found.inl_lsb == pytest.approx(inl, abs=4e-4)
    assert (found.dnl_min_lsb, found.dnl_max_lsb) == (found.dnl_lsb.min(), found.dnl_lsb.max())
    assert (found.inl_min_lsb, found.inl_max_lsb) == (found.inl_lsb.min(), found.inl_lsb.max())


def test_a_ramp_of_four_codes_worked_by_hand() -> None:
    # 81 samples from 0 to 80 in a range of 0..80, LSB 20: code 1 begins between 9 and 10, code 2 between 39 and 40,
    # code 3 between 54 and 55
    found = measure_linearity(np.repeat([0, 1, 2, 3], [10, 30, 15, 26]), bits=2, low=0, high=80)
    assert found.transitions.tolist() == pytest.approx([9.5, 39.5, 54.5], abs=1e-12)
    assert found.dnl_lsb.tolist() == pytest.approx([30 / 22.5 - 1, 15 / 22.5 - 1], abs=1e-12)
    assert found.inl_lsb.tolist() == pytest.approx([0, (39.5 - 32) / 22.5, 0], abs=1e-12)
    assert found.offset_lsb == pytest.approx(-0.5 / 20, abs=1e-12)  # ideal 10, 30, 50
    assert found.gain_error_percent == pytest.approx(12.5, abs=1e-9)  # 22.5 for 20
    assert found.tue_max_lsb == pytest.approx(9.5 / 20, abs=1e-12)  # 39.5 for 30


def test_the_integral_error_at_the_end_points_is_the_sum_of_the_differential_ones() -> None:
    found = measure_linearity(convert(make_transitions(8), np.linspace(0, 256, DENSE)), bits=8)
    assert found.inl_lsb == pytest.approx(
        np.concatenate(([0], np.cumsum(found.dnl_lsb))), abs=1e-10
    )  # 255 sums of doubles near 1
    assert found.inl_lsb[[0, -1]] == pytest.approx([0, 0], abs=1e-12)


def test_the_best_fit_has_the_smaller_square_and_no_mean() -> None:
    codes = convert(make_transitions(8, spread=0.4), np.linspace(0, 256, DENSE))
    end, best = (measure_linearity(codes, bits=8, reference=reference) for reference in INL_REFERENCES)
    assert np.square(best.inl_lsb).sum() < np.square(end.inl_lsb).sum()
    assert best.inl_lsb.mean() == pytest.approx(0, abs=1e-12)
    assert best.dnl_lsb.tolist() == end.dnl_lsb.tolist()


def test_an_ideal_converter_has_no_errors_whatever_its_transfer_and_step() -> None:
    for transfer in ("mid-tread", "mid-rise", "floor"):
        for fs_over in ("2^n", "2^n-1"):
            ideal = Converter(8, -5, 5, fs_over=fs_over, transfer=transfer)
            codes = convert(ideal.transitions, np.linspace(-5, 5, DENSE))
            found = measure_linearity(codes, bits=8, low=-5, high=5, fs_over=fs_over, transfer=transfer)
            # transitions within half a sample, 128/2^20 LSB; a gain over 254 steps within 2 of them
            assert max(abs(found.offset_lsb or 0), found.tue_max_lsb or 0, np.abs(found.dnl_lsb).max()) < 3e-4
            assert found.offset_lsb is not None
            assert abs(found.gain_error_percent or 0) < 1e-4
            assert found.missing_codes == ()


@pytest.mark.parametrize("reference", INL_REFERENCES)
def test_offset_and_gain_are_those_put_in(reference: str) -> None:
    truth = 1.01 * np.linspace(0.5, 254.5, 255) + 0.75
    found = measure_linearity(
        convert(truth, np.linspace(-3, 260, DENSE)), bits=8, low=0, high=256, reference=reference, drive=(-3, 260)
    )
    # the first transition should be at 0.5 and is at 1.255
    assert found.offset_lsb == pytest.approx(0.755, abs=3e-4)
    assert found.gain_error_percent == pytest.approx(1.0, abs=2e-4)
    assert found.tue_max_lsb == pytest.approx(truth[-1] - 254.5, abs=3e-4)
    assert np.abs(found.inl_lsb).max() < 3e-4


def test_without_its_drive_a_sine_has_no_offset_and_the_same_differential_errors() -> None:
    codes = convert(make_transitions(8), make_sine(8))
    blind = measure_linearity(codes, bits=8, test="sine", low=-1, high=1)
    told = measure_linearity(codes, bits=8, test="sine", low=0, high=256, drive=drive_of_sine(8))
    assert (blind.offset_lsb, blind.gain_error_percent, blind.tue_max_lsb) == (None, None, None)
    assert blind.dnl_lsb == pytest.approx(told.dnl_lsb, abs=1e-9)
    assert blind.inl_lsb == pytest.approx(told.inl_lsb, abs=1e-9)
    ideal = Converter(8, -1, 1).transitions
    assert blind.transitions[[0, -1]] == pytest.approx(ideal[[0, -1]], abs=1e-12)
    assert "unknown-drive" in {finding.code for finding in blind.findings}
    assert "unknown-drive" not in {finding.code for finding in told.findings}


def test_missing_codes_have_their_own_numbers() -> None:
    truth = make_transitions(8, spread=0)
    truth[99] = truth[100]  # code 100 has no width
    truth[200] = truth[201] - 0.05  # code 201 keeps 5 % of its own
    codes = convert(np.sort(truth), np.linspace(0, 256, DENSE))
    assert measure_linearity(codes, bits=8).missing_codes == (100, 201)
    assert measure_linearity(codes - 128, bits=8).missing_codes == (-28, 73)
    assert measure_linearity(codes, bits=8).dnl_lsb[99] == -1.0


def test_error_lists_know_their_codes() -> None:
    codes = convert(make_transitions(4), np.linspace(0, 16, DENSE))
    found = measure_linearity(codes - 8, bits=4)
    assert found.dnl_codes.tolist() == list(range(-7, 7))
    assert found.inl_codes.tolist() == list(range(-7, 8))
    assert (found.dnl_lsb.size, found.inl_lsb.size) == (14, 15)


def test_signed_codes_give_what_unsigned_ones_give() -> None:
    codes = convert(make_transitions(8), np.linspace(0, 256, DENSE))
    plain, signed = measure_linearity(codes, bits=8), measure_linearity((codes - 128).astype(np.int8), bits=8)
    assert signed.first_code == -128
    assert signed.transitions.tolist() == plain.transitions.tolist()
    assert measure_linearity(codes.astype(np.uint64), bits=8).inl_lsb.tolist() == plain.inl_lsb.tolist()
    assert measure_linearity(codes.astype(float), bits=8).inl_lsb.tolist() == plain.inl_lsb.tolist()


def test_figures_in_lsb_do_not_depend_on_the_unit_of_the_range() -> None:
    codes = convert(make_transitions(8), np.linspace(0, 256, DENSE))
    small, large = (
        measure_linearity(codes, bits=8, low=0, high=1e-9),
        measure_linearity(codes, bits=8, low=-1e9, high=1e9),
    )
    # positions near 1e9 keep 2e-16 * 1e9 of an LSB of 8e6: 1e-14; sums over 255 of them
    assert small.dnl_lsb == pytest.approx(large.dnl_lsb, abs=1e-10)
    assert small.offset_lsb == pytest.approx(large.offset_lsb, abs=1e-10)
    assert small.gain_error_percent == pytest.approx(large.gain_error_percent, abs=1e-8)


def test_a_falling_ramp_gives_the_same_transitions_and_is_told() -> None:
    codes = convert(make_transitions(8), np.linspace(0, 256, DENSE))
    rising, falling = measure_linearity(codes, bits=8), measure_linearity(codes[::-1], bits=8)
    assert falling.transitions.tolist() == rising.transitions.tolist()
    assert "falling-ramp" in {finding.code for finding in falling.findings}
    assert falling.monotonic


def test_steps_back_of_a_ramp_are_measured() -> None:
    codes = convert(make_transitions(8), np.linspace(0, 256, DENSE))
    assert measure_linearity(codes, bits=8).monotonic is True
    bent = codes.copy()
    bent[DENSE // 2 : DENSE // 2 + 100] -= 3
    found = measure_linearity(bent, bits=8)
    assert (found.largest_step_back, found.monotonic) == (3, False)
    assert next(finding.value for finding in found.findings if finding.code == "step-back") == 3


def test_several_ramps_are_one_histogram() -> None:
    truth = make_transitions(6)
    ramp = convert(truth, np.linspace(0, 64, DENSE // 4))
    found = measure_linearity(np.tile(ramp, 4), bits=6)
    assert (found.largest_step_back, found.monotonic) == (None, None)
    assert "several-ramps" in {finding.code for finding in found.findings}
    assert np.abs(found.transitions * 64 - truth).max() < 0.001  # 64 * 4/2^20 LSB between the samples of one ramp


def test_a_sine_of_broken_periods_is_cut_to_whole_ones() -> None:
    truth = make_transitions(8)
    codes = convert(truth, make_sine(8, cycles=20.4))
    found = measure_linearity(codes, bits=8, test="sine", low=0, high=256, drive=drive_of_sine(8))
    assert found.samples < DENSE
    assert "partial-period" in {finding.code for finding in found.findings}
    # each end of the cut is known to a sample; at mid-scale a sample is 2 pi J A/S = 0.016 LSB per period, and counts
    # for 1/20 of them
    assert np.abs(found.transitions - truth).max() < 0.01


def test_noise_around_the_middle_does_not_break_the_periods() -> None:
    truth = make_transitions(8, spread=0)
    x = make_sine(8, cycles=20.4) + np.random.default_rng(3).normal(0, 0.5, DENSE)
    found = measure_linearity(convert(truth, x), bits=8, test="sine")
    periods = found.samples / DENSE * 20.4
    assert periods == pytest.approx(round(periods), abs=0.01)
    # one sample is 0.016 LSB; the noise of 0.5 LSB moves an edge by some 30 of 51,000 samples, and two edges count for
    # 1/20: 0.05 LSB
    assert np.abs(found.inl_lsb).max() < 0.05


@pytest.mark.parametrize("cycles", [DENSE // 2 - 1, DENSE // 3 + 1, DENSE // 10 + 1])
def test_fast_tones_keep_every_sample(cycles: int) -> None:
    truth = make_transitions(8)
    found = measure_linearity(
        convert(truth, make_sine(8, cycles=cycles)), bits=8, test="sine", low=0, high=256, drive=drive_of_sine(8)
    )
    assert found.samples == DENSE
    assert np.abs(found.transitions - truth).max() < 0.001


def test_a_record_of_less_than_two_edges_says_so() -> None:
    found = measure_linearity(convert(make_transitions(6), make_sine(6, cycles=1)), bits=6, test="sine")
    assert "few-periods" in {finding.code for finding in found.findings}
    assert found.samples == DENSE


@pytest.mark.parametrize("test", ["ramp", "sine"])
def test_the_error_bars_hold_the_truth_as_often_as_they_say(test: str) -> None:
    """Samples at random places of the input: the case that binomial counts describe."""
    truth, rng = make_transitions(7, seed=9), np.random.default_rng(4)
    inside = []
    for _ in range(20):
        u = rng.random(30_000)
        x = 128 * u if test == "ramp" else 64 - 65 * np.cos(2 * np.pi * u)
        found = measure_linearity(convert(truth, x), bits=7, test=test)
        dnl, inl = find_errors_one_by_one(truth, "end-point")
        inside.append(
            [
                np.mean(np.abs(found.dnl_lsb - dnl) <= found.dnl_bar_lsb),
                np.mean(np.abs(found.inl_lsb - inl) <= found.inl_bar_lsb),
            ]
        )
    dnl_share, inl_share = np.mean(inside, axis=0)
    assert 0.94 < dnl_share < 0.965  # 2520 nearly independent cases: 0.95 +- 3 * 0.0043
    assert inl_share > 0.90  # neighbours move together, so 20 records count for little more than 20 cases


def test_an_ordered_ramp_knows_each_code_to_one_sample() -> None:
    found = measure_linearity(convert(make_transitions(8), np.linspace(0, 256, 256 * 32)), bits=8)
    assert found.dnl_bar_lsb.max() == pytest.approx(
        1 / 32, rel=0.05
    )  # one sample in 32; the mean width is 2 % off by the spread
    truth = find_errors_one_by_one(make_transitions(8), "end-point")[0]
    assert np.abs(found.dnl_lsb - truth).max() <= found.dnl_bar_lsb.max() * 1.1


def test_a_code_without_hits_has_an_error_bar() -> None:
    rng = np.random.default_rng(0)
    truth = make_transitions(6, spread=0)
    truth[30] = truth[31]
    found = measure_linearity(convert(truth, 64 * rng.random(64 * 100)), bits=6)
    assert found.hits[31] == 0
    assert 0.01 < found.dnl_bar_lsb[30] < 0.05  # z^2/2 hits of 100: 0.019


@pytest.mark.parametrize(("bits", "dnl_lsb", "samples"), [(8, 0.1, 154_475), (12, 0.1, 2_471_588), (12, 0.25, 395_455)])
def test_samples_needed_are_those_of_the_published_formula(bits: int, dnl_lsb: float, samples: int) -> None:
    assert samples_needed(bits, dnl_lsb, 0.95) == samples


def test_the_samples_needed_bring_the_error_bar_down_to_what_was_asked() -> None:
    samples = samples_needed(7, 0.2, 0.9)
    codes = convert(
        make_transitions(7, spread=0), 64 - 64.5 * np.cos(2 * np.pi * np.random.default_rng(2).random(samples))
    )
    found = measure_linearity(codes, bits=7, test="sine", confidence=0.9, dnl_within_lsb=0.2)
    assert found.samples_needed == samples
    assert np.median(found.dnl_bar_lsb[50:77]) == pytest.approx(0.2, rel=0.05)  # at mid-scale, where a sine is fastest
    assert samples_needed(7, 0.1, 0.9) == pytest.approx(
        4 * samples, abs=4
    )  # halving the error takes four times as many; each count is rounded up


def test_ramps_need_fewer_samples_and_an_ordered_one_the_fewest() -> None:
    assert samples_needed(8, 0.1, test="ramp") == math.ceil(256 * (1.959963984540054 / 0.1) ** 2)
    assert samples_needed(8, 1 / 16, test="ramp", ordered=True) == 256 * 16


def test_few_samples_are_named_with_the_number_it_takes() -> None:
    x = 256 * np.random.default_rng(0).random(5000)
    found = measure_linearity(convert(make_transitions(8), x), bits=8)
    finding = next(finding for finding in found.findings if finding.code == "few-samples")
    assert finding.value == samples_needed(8, 0.1, test="ramp")
    assert f"{finding.value:,.0f} samples, here are 5,000" in finding.text


@pytest.mark.parametrize(("test", "code"), [("ramp", "not-a-ramp"), ("sine", "not-a-sine")])
def test_the_other_waveform_is_noticed(test: str, code: str) -> None:
    truth = make_transitions(8)
    ramp, sine = np.linspace(0, 256, DENSE), make_sine(8, overdrive=1.01)
    other, own = (sine, ramp) if test == "ramp" else (ramp, sine)
    assert code in {finding.code for finding in measure_linearity(convert(truth, other), bits=8, test=test).findings}
    assert code not in {finding.code for finding in measure_linearity(convert(truth, own), bits=8, test=test).findings}


RAMP = np.repeat(np.arange(16), 20)
SINE = convert(make_transitions(4), make_sine(4, samples=1000, cycles=7))


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (RAMP, {"bits": 1}, "bits is 1; a linearity test takes 2 to 24"),
        (RAMP, {"bits": 25}, "bits is 25; a linearity test takes 2 to 24"),
        (RAMP, {"test": "triangle"}, "test 'triangle' is unknown; choose ramp, sine, pairs"),
        (RAMP, {"reference": "ends"}, "INL reference 'ends' is unknown; choose end-point or best-fit"),
        (RAMP, {"confidence": 1.0}, "confidence is 1.0, must lie between 0 and 1"),
        (RAMP, {"dnl_within_lsb": 0.0}, "a DNL error of 0.0 LSB"),
        (RAMP, {"low": 1.0, "high": 0.0}, "range|low"),
        (RAMP, {"drive": (1.0, 0.0)}, "drive 1.0:0.0: the lowest input must lie below the highest"),
        (RAMP, {"drive": (0.0, math.inf)}, "drive 0.0:inf"),
        (RAMP, {"signed": True}, r"160 of 320 codes lie outside −8 to 7 \(4 bits two's complement\), first sample 160 with 8; these codes need 5 bits"),
        (RAMP - 8, {"signed": False}, r"160 of 320 codes lie outside 0 to 15 \(4 bits unsigned\), first sample 0 with −8; negative codes are two's complement"),
        (RAMP * 2, {}, "160 of 320 codes lie outside 0 to 15 .* these codes need 5 bits"),
        (RAMP * 0 + 5, {}, "all 320 samples are code 5: nothing moves"),
        ([0, 1, 2], {}, "3 samples are too few for the 16 codes of 4 bits: a ramp needs at least 16"),
        (SINE[:25], {"test": "sine"}, "25 samples are too few for the 16 codes of 4 bits: a sine needs at least 26"),
        (RAMP[30:-30], {}, "the ramp does not cover the range: its codes are 1 to 14, both 0 and 15 must occur"),
        (RAMP, {"bits": 8}, "its codes are 0 to 15, both 0 and 255 must occur .* or state the width: these codes fit in 4 bits"),
        (np.clip(SINE, 1, 14), {"test": "sine"}, "the sine does not overdrive the converter: its codes are 1 to 14"),
        (np.where(SINE < 8, 0, 15), {"test": "sine"}, "only the end codes 0 and 15 occur"),
        ([], {}, r"one list of numbers, found shape \(0,\)"),
        (RAMP.reshape(2, -1), {}, r"found shape \(2, 160\)"),
        (RAMP + 0.5, {}, "sample 0 is 0.5, no whole number: a linearity test counts codes, not volts"),
        ([0.0, math.nan], {}, "sample 1 is nan, no whole number"),
    ],
)  # fmt: skip
def test_what_can_not_be_measured_is_refused_with_the_reason(
    codes: NDArray[np.int64], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_linearity(codes, **{"bits": 4, **options})  # type: ignore[arg-type]


def test_a_shift_of_words_too_wide_for_the_record_is_told_in_bits() -> None:
    with pytest.raises(ValueError, match="these codes need 8 bits"):
        measure_linearity((RAMP - 8) * 16, bits=4)


@pytest.mark.parametrize("codes", [["a", "b"], [True, False], [1j, 2j]], ids=["text", "bool", "complex"])
def test_what_is_no_number_is_no_code(codes: list[object]) -> None:
    with pytest.raises(TypeError, match="codes must be whole numbers"):
        measure_linearity(codes, bits=4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((8, 0.0), "DNL error of 0.0"),
        ((8, math.inf), "DNL error of inf"),
        ((0, 0.1), "bits is 0"),
        ((8, 0.1, 0.0), "confidence is 0.0"),
    ],
)
def test_samples_for_an_impossible_wish_are_refused(words: tuple[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        samples_needed(*words)


def test_samples_are_needed_for_a_known_test_only() -> None:
    with pytest.raises(ValueError, match="test 'steps' is unknown"):
        samples_needed(8, 0.1, test="steps")
