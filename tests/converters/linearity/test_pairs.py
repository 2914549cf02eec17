"""DNL and INL from pairs of input and code: known transitions found again, whatever the order and the steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.linearity.pairs import judge_evenness, measure_pairs

Array = NDArray[np.float64]
BITS, COUNT = 8, 256
TRUTH = np.sort(np.arange(1, COUNT) - 0.5 + np.random.default_rng(3).normal(0, 0.15, COUNT - 1))
TRUTH[100] = TRUTH[99]
STEP = (TRUTH[-1] - TRUTH[0]) / (COUNT - 2)
EVEN = np.linspace(-1, COUNT + 1, COUNT * 32)
UNEVEN = COUNT / 2 - (COUNT / 2 + 1) * np.cos(np.linspace(0, np.pi, COUNT * 32))


def convert(x: Array) -> NDArray[np.int64]:
    return np.searchsorted(TRUTH, x, side="right")


def name_findings(found: Linearity) -> list[str]:
    return [finding.code for finding in found.findings]


def test_pairs_worked_by_hand() -> None:
    # codes change between 0.1 and 0.2, 0.3 and 0.5, 0.8 and 0.9: T = 0.15, 0.4, 0.85; mean width 0.35
    found = measure_pairs([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9], [0, 0, 1, 1, 2, 2, 2, 3], bits=2, low=0, high=1.2)
    assert found.transitions == pytest.approx([0.15, 0.4, 0.85], abs=1e-12)
    assert found.dnl_lsb == pytest.approx([0.25 / 0.35 - 1, 0.45 / 0.35 - 1], abs=1e-12)
    assert found.inl_lsb == pytest.approx([0, -0.1 / 0.35, 0], abs=1e-12)
    assert found.offset_lsb == pytest.approx(0.0, abs=1e-12)  # ideal 0.15, 0.45, 0.75
    assert found.gain_error_percent == pytest.approx(100 / 6, abs=1e-9)  # 0.35 for 0.3
    assert found.tue_max_lsb == pytest.approx(1 / 3, abs=1e-12)  # 0.85 for 0.75


def test_on_even_steps_pairs_are_the_histogram_of_the_ramp() -> None:
    codes = convert(EVEN)
    ramp = measure_linearity(codes, bits=BITS, low=0, high=COUNT, drive=(-1, COUNT + 1))
    pairs = measure_pairs(EVEN, codes, bits=BITS, low=0, high=COUNT)
    # sums of 8192 lengths near 1/32, each rounded to 1e-14 of the inputs
    assert pairs.transitions == pytest.approx(ramp.transitions, abs=1e-10)
    assert pairs.dnl_lsb == pytest.approx(ramp.dnl_lsb, abs=1e-10)
    assert pairs.inl_lsb == pytest.approx(ramp.inl_lsb, abs=1e-9)
    assert pairs.offset_lsb == pytest.approx(ramp.offset_lsb, abs=1e-9)
    assert pairs.missing_codes == ramp.missing_codes == (100,)


@pytest.mark.parametrize(
    "x", [EVEN, UNEVEN, np.random.default_rng(1).permutation(UNEVEN)], ids=["even", "uneven", "any"]
)
def test_transitions_are_found_within_the_step_of_the_input(x: Array) -> None:
    found = measure_pairs(x, convert(x), bits=BITS, low=0, high=COUNT)
    ordered = np.sort(x)
    behind = np.searchsorted(ordered, TRUTH)
    assert (np.abs(found.transitions - TRUTH) <= (ordered[behind] - ordered[behind - 1]) / 2 + 1e-9).all()
    assert found.missing_codes == (100,)
    assert not {"coarse-steps", "hysteresis", "unknown-range"} & set(name_findings(found))


def test_several_sweeps_of_noise_average() -> None:
    rng, x = np.random.default_rng(2), np.tile(EVEN[::4], 16)
    one, all_ = (measure_pairs(x[:n], convert(x[:n] + rng.normal(0, 0.5, n)), bits=BITS) for n in (2048, x.size))
    errors = [float(np.sqrt(np.mean((found.transitions - TRUTH) ** 2))) for found in (one, all_)]
    # deviation sqrt(0.564 g sigma) of a sweep: 0.188 LSB at g = 1/8, sigma = 0.5; a quarter of it for 16
    assert errors[0] == pytest.approx(0.188, rel=0.2)
    assert errors[1] == pytest.approx(0.047, rel=0.25)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_error_bars_hold_the_truth(noise: float) -> None:
    rng, held = np.random.default_rng(4), []
    dnl, inl = np.diff(TRUTH) / STEP - 1, (TRUTH - TRUTH[0]) / STEP - np.arange(COUNT - 1)
    for _ in range(40):
        x = np.linspace(-1 - rng.random() / 10, COUNT + 1, COUNT * 10)
        found = measure_pairs(x, convert(x + rng.normal(0, noise, x.size) * bool(noise)), bits=BITS)
        held.append(
            [
                np.mean(np.abs(found.dnl_lsb - dnl) <= found.dnl_bar_lsb),
                np.mean(np.abs(found.inl_lsb - inl) <= found.inl_bar_lsb),
            ]
        )
    # 1.96 deviations hold the sum of two uniform errors in 96.6 %, of three with unequal parts in up to 98.5 %
    assert 0.92 < np.mean(held, axis=0)[0] < 0.985
    assert 0.88 < np.mean(held, axis=0)[1] < 0.995  # the ends count for all: 40 records are little more than 40 cases


def test_without_a_range_the_step_is_that_of_the_line() -> None:
    found = measure_pairs(EVEN / 100, convert(EVEN), bits=BITS)
    assert (found.offset_lsb, found.gain_error_percent, found.tue_max_lsb) == (None, None, None)
    assert found.converter.lsb == pytest.approx(STEP / 100, rel=1e-3)
    assert name_findings(found) == ["unknown-range"]


@pytest.mark.parametrize("fs_over", ["2^n", "2^n-1"])
@pytest.mark.parametrize("transfer", ["mid-tread", "mid-rise", "floor"])
def test_the_converter_of_the_line_has_its_end_transitions(fs_over: str, transfer: str) -> None:
    found = measure_pairs(EVEN, convert(EVEN), bits=BITS, fs_over=fs_over, transfer=transfer)
    assert found.converter.transitions[[0, -1]] == pytest.approx(found.transitions[[0, -1]], abs=1e-9)


@pytest.mark.parametrize("size", [0.5, 3.0, -3.0])
def test_hysteresis_between_sweeps_up_and_down_is_told(size: float) -> None:
    up = EVEN[::4]
    codes = np.concatenate(
        [np.searchsorted(TRUTH + size / 2, up, side="right"), np.searchsorted(TRUTH - size / 2, up[::-1], side="right")]
    )
    found = measure_pairs(np.concatenate([up, up[::-1]]), codes, bits=BITS)
    finding = next(finding for finding in found.findings if finding.code == "hysteresis")
    assert finding.value == pytest.approx(abs(size), abs=0.02)
    assert f"on the way {'up' if size > 0 else 'down'}" in finding.text
    assert "delay" not in finding.text
    assert found.transitions == pytest.approx(TRUTH, abs=0.2)


def test_no_hysteresis_is_told_of_noise_alone() -> None:
    x = np.concatenate([EVEN[::4], EVEN[::-4]])
    codes = convert(x + np.random.default_rng(8).normal(0, 1, x.size))
    assert "hysteresis" not in name_findings(measure_pairs(x, codes, bits=BITS))


def test_coarse_steps_are_told_and_coarser_ones_withhold() -> None:
    half = np.arange(-1.0, COUNT + 1, 0.5)
    found = measure_pairs(half, convert(half), bits=BITS)
    assert (found.findings[-1].code, found.findings[-1].value) == ("coarse-steps", pytest.approx(0.5, rel=0.01))
    wide = np.arange(-1.0, COUNT + 1, 1.5)
    found = measure_pairs(wide, convert(wide), bits=BITS)
    assert found.withheld
    assert (found.findings[0].code, found.missing_codes) == ("coarse-steps", None)


def test_the_levels_of_a_dac_are_no_transitions() -> None:
    codes = np.arange(COUNT)
    found = measure_pairs(codes * 0.0125 + np.random.default_rng(1).normal(0, 0.002, COUNT), codes, bits=BITS)
    assert (found.findings[0].code, found.withheld) == ("single-inputs", True)


def test_a_stuck_bit_is_named() -> None:
    found = measure_pairs(EVEN, convert(EVEN) & ~4, bits=BITS)
    assert (found.findings[0].code, found.withheld, len(found.missing_codes or ())) == ("stuck-bits", True, 128)


def test_twos_complement_has_its_own_numbers() -> None:
    straight = measure_pairs(EVEN, convert(EVEN), bits=BITS)
    signed = measure_pairs(EVEN, convert(EVEN) - 128, bits=BITS)
    assert signed.dnl_lsb.tolist() == straight.dnl_lsb.tolist()
    assert (signed.first_code, signed.missing_codes) == (-128, (-28,))


@pytest.mark.parametrize(
    ("x", "codes", "options", "message"),
    [
        (
            EVEN * 1000,
            convert(EVEN),
            {"low": 0, "high": COUNT},
            "a thousand times smaller; state the range in the unit",
        ),
        (EVEN / 1000, convert(EVEN), {"low": 0, "high": COUNT}, "a thousand times larger; state the range in the unit"),
        (-EVEN, convert(EVEN), {}, "the codes fall while the input rises"),
        (EVEN[500:-500], convert(EVEN)[500:-500], {}, "the sweep of the pairs does not cover the range: its codes are"),
        (np.append(EVEN[1:], math.nan), convert(EVEN), {}, "input 8191 is nan"),
        (EVEN[1:], convert(EVEN), {}, r"8192 codes have inputs of shape \(8191,\)"),
        (EVEN * 0, convert(EVEN), {}, "all inputs of the pairs are 0"),
        (["a"] * EVEN.size, convert(EVEN), {}, "the inputs of pairs are numbers"),
        (EVEN, convert(EVEN) * 2, {}, "lie outside 0 to 255"),
        (EVEN, convert(EVEN) + 0.5, {}, "no whole number"),
        (EVEN, convert(EVEN), {"drive": (0.0, 1.0)}, r"leave the ends of the input \(drive\) out"),
    ],
)
def test_what_are_no_pairs_is_refused(x: Array, codes: Array, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_pairs(x, codes, bits=BITS, **options)


def test_a_range_of_another_size_is_told() -> None:
    found = measure_pairs(EVEN, convert(EVEN), bits=BITS, low=0, high=3 * COUNT)
    finding = next(finding for finding in found.findings if finding.code == "range-differs")
    assert finding.value == pytest.approx(1 / 3, rel=0.01)


def test_pairs_are_not_measured_as_a_histogram() -> None:
    with pytest.raises(ValueError, match="give them to measure_pairs"):
        measure_linearity(convert(EVEN), bits=BITS, test="pairs")


def test_inputs_of_a_ramp_are_even_or_told() -> None:
    assert judge_evenness(EVEN, BITS) is None
    assert judge_evenness(EVEN[::-1], BITS) is None
    assert judge_evenness(np.repeat(np.arange(300.0), 16), BITS) is None
    finding = judge_evenness(UNEVEN, BITS)
    assert finding is not None
    # a cosine is off the line by 0.105 of the range at most
    assert finding.value == pytest.approx(0.105 * COUNT, rel=0.01)


@pytest.mark.parametrize("scale", [1e200, 1e-200], ids=["huge", "tiny"])
@pytest.mark.filterwarnings("error")
def test_inputs_whose_squares_leave_double_precision_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="count in a larger or smaller unit"):
        measure_pairs(EVEN * scale, convert(EVEN), bits=BITS)


@pytest.mark.filterwarnings("error")
def test_a_span_beyond_double_precision_is_no_ramp() -> None:
    assert judge_evenness(np.array([-1.7e308, 0.0, 1.7e308]), BITS) is None


def test_a_width_beyond_the_test_is_refused_before_its_codes_are_counted() -> None:
    with pytest.raises(ValueError, match="bits is 32; a linearity test takes 2 to 24"):
        measure_pairs(EVEN, convert(EVEN), bits=32)
