"""Textbook answers: the resolution table, the problems of course books, the working, laws over all widths,
ends of the range, refusals.
"""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.converters.choices import TRANSFERS, Transfer
from qanalysis.converters.converter import LSB_CONVENTIONS, Converter
from qanalysis.converters.textbook.textbook import PRESETS, Textbook, solve_textbook, tabulate_resolution
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.notation import volts
from qanalysis.quantizers.quantizer import FsOver

# bits: codes, FS/2^n, FS/(2^n-1), ppm, percent, dB of FS, SNR of a sine in dB, rms of the error; FS = 10 V, as printed.
RESOLUTION = {
    2: ("4", "2.5", "3.333", "250000", "25", "-12.04", "13.80", "0.722"),
    4: ("16", "625e-3", "666.7e-3", "62500", "6.25", "-24.08", "25.84", "180e-3"),
    6: ("64", "156.25e-3", "158.73e-3", "15625", "1.5625", "-36.12", "37.88", "45.1e-3"),
    8: ("256", "39.0625e-3", "39.2157e-3", "3906.25", "0.390625", "-48.16", "49.93", "11.28e-3"),
    10: ("1024", "9.765625e-3", "9.775171e-3", "976.5625", "0.0976563", "-60.21", "61.97", "2.819e-3"),
    12: ("4096", "2.441406e-3", "2.442002e-3", "244.1406", "0.0244141", "-72.25", "74.01", "0.7048e-3"),
    14: ("16384", "610.352e-6", "610.389e-6", "61.0352", "0.00610352", "-84.29", "86.05", "176.2e-6"),
    16: ("65536", "152.588e-6", "152.590e-6", "15.2588", "0.00152588", "-96.33", "98.09", "44.05e-6"),
    18: ("262144", "38.1470e-6", "38.1471e-6", "3.81470", "0.000381470", "-108.37", "110.13", "11.01e-6"),
    20: ("1048576", "9.53674e-6", "9.53675e-6", "0.953674", "0.0000953674", "-120.41", "122.17", "2.753e-6"),
    24: ("16777216", "0.596046e-6", "0.596046e-6", "0.0596046", "5.96046e-6", "-144.49", "146.26", "0.1721e-6"),
}


def last_digit(printed: str) -> float:
    """Half of the last printed digit, and a hair for a figure that ends in an exact 5 there."""
    number, _e, power = printed.partition("e")
    return 0.5001 * 10.0 ** (int(power or 0) - len(number.partition(".")[2]))


def as_printed(printed: str) -> object:
    return pytest.approx(float(printed), abs=last_digit(printed))


@pytest.mark.parametrize("bits", RESOLUTION)
def test_the_resolution_table_has_both_steps(bits: int) -> None:
    row = dict(zip(range(1, 25), tabulate_resolution(0, 10), strict=True))[bits]
    codes, step, end_point_step, ppm, percent, full_scale_db, snr_db, rms = RESOLUTION[bits]
    assert row.converter.codes == int(codes)
    assert (row.step, row.other_convention.step) == (as_printed(step), as_printed(end_point_step))
    assert (row.resolution_ppm, row.relative_percent) == (as_printed(ppm), as_printed(percent))
    assert (row.resolution_db, row.ideal_snr_db) == (as_printed(full_scale_db), as_printed(snr_db))
    assert row.rms_error == as_printed(rms)


def test_the_resolution_table_in_the_other_convention() -> None:
    table = tabulate_resolution(0, 10, bits=(8, 12), fs_over="2^n-1")
    assert [row.step for row in table] == [as_printed("39.2157e-3"), as_printed("2.442002e-3")]
    assert [row.other_convention.step for row in table] == [0.0390625, 0.00244140625]


def test_12_bits_over_10_volts() -> None:
    problem = PRESETS["12 bit, 10 V"]
    assert (problem.step, problem.half_step_bound) == (2.44140625e-3, 1.220703125e-3)
    # Powers of two throughout: only the factor 100 and the decimal itself are rounded.
    assert problem.relative_percent == pytest.approx(0.0244140625, rel=4e-16)
    assert problem.half_relative_percent == pytest.approx(0.01220703125, rel=4e-16)
    assert problem.rms_error == as_printed("0.704773e-3")
    assert problem.ideal_snr_db == as_printed("74.01")
    assert problem.other_convention.step == as_printed("2.442002e-3")
    assert (problem.full_scale, problem.polarity, problem.top_level) == (10, "unipolar", 10 - 2.44140625e-3)


def test_8_bits_from_0_to_5_volts() -> None:
    problem = PRESETS["8 bit, 0 to 5 V"]
    assert (problem.converter.codes, problem.step, problem.half_step_bound) == (256, 19.53125e-3, 9.765625e-3)
    assert problem.top_level == as_printed("4.980469")
    assert problem.other_convention.step == as_printed("19.60784e-3")
    assert problem.other_convention.top_level == 5


def test_8_bits_over_12_volts_at_4_5_volts_have_a_bound_and_no_error() -> None:
    problem = PRESETS["8 bit, 12 V at 4.5 V"]
    (conversion,) = problem.conversions
    assert (problem.step, problem.half_step_bound) == (46.875e-3, 23.4375e-3)
    assert (conversion.code, conversion.words[0].hexadecimal, conversion.reconstructed) == (96, "0x60", 4.5)
    assert (conversion.actual_error, conversion.relative_error_percent, conversion.within_bound) == (0, 0, True)
    assert problem.findings == ()
    other = problem.other_convention.conversions[0]
    assert (other.code, other.position_lsb) == (96, pytest.approx(95.625, rel=1e-15))
    assert other.actual_error == as_printed("17.6e-3")


def test_just_beside_a_level_the_error_is_what_was_added() -> None:
    conversion = solve_textbook(8, 0, 12, inputs=4.51).conversions[0]
    # 4.51 is rounded to 2^-50 or so.
    assert conversion.actual_error == pytest.approx(-0.01, abs=1e-15)
    assert conversion.relative_error_percent == pytest.approx(1 / 4.51, rel=1e-12)
    assert conversion.actual_error_lsb == pytest.approx(-0.01 / 0.046875, rel=1e-12)


@pytest.mark.parametrize(
    ("low", "high", "polarity"),
    [(0, 5, "unipolar"), (1, 5, "unipolar"), (-5, 0, "unipolar"), (-5, 5, "bipolar"), (-1, 3, "bipolar")],
)
def test_a_range_with_zero_inside_is_bipolar(low: float, high: float, polarity: str) -> None:
    assert solve_textbook(8, low, high).polarity == polarity


def test_the_ends_of_a_bipolar_range_in_every_format() -> None:
    problem = solve_textbook(8, -5, 5, inputs=[-5, 0, 5])
    assert [conversion.code for conversion in problem.conversions] == [0, 128, 255]
    spelled = [[word.hexadecimal for word in conversion.words] for conversion in problem.conversions]
    assert spelled == [
        ["0x00", "0x00", "0x80", None, None, "0x00"],
        ["0x80", "0x80", "0x00", "0x00", "0x00", "0xC0"],
        ["0xFF", "0xFF", "0x7F", "0x7F", "0x7F", "0x80"],
    ]


@pytest.mark.parametrize(
    ("transfer", "code", "error"), [("mid-tread", 3, 0.3), ("mid-rise", 2, -0.2), ("floor", 2, -0.7)]
)
def test_three_transfers_of_one_input(transfer: str, code: int, error: float) -> None:
    conversion = solve_textbook(3, 0, 8, inputs=[2.7], transfer=transfer).conversions[0]
    assert conversion.code == code
    assert conversion.actual_error == pytest.approx(error, abs=4 * np.spacing(2.7))


@pytest.mark.parametrize(("transfer", "beyond"), [("mid-tread", 0.98), ("floor", 1.0)])
def test_inputs_beyond_the_range_clip_and_say_so(transfer: str, beyond: float) -> None:
    problem = solve_textbook(8, 0, 5, inputs=[6.0, -1.0], transfer=transfer)
    high, low = problem.conversions
    assert ((high.code, low.code), (high.clipped, low.clipped), (high.within_bound, low.within_bound)) == (
        (255, 0),
        (True, True),
        (False, False),
    )
    assert [finding.code for finding in problem.findings] == ["clipping", "clipping"]
    # 6 V less the top level, 5 V less one step, in steps.
    assert problem.findings[0].value == pytest.approx(-(1 / 0.01953125 + 1), rel=1e-13)
    assert problem.findings[1].value == pytest.approx(1 / 0.01953125, rel=1e-13)
    assert (
        "6 V lies outside the range 0 V to 5 V and clips to code 255: the error is −1.019531 V, −52.2 LSB"
        in problem.findings[0].text
    )


def test_the_last_half_step_of_the_range_breaks_the_bound_without_clipping() -> None:
    problem = solve_textbook(3, 0, 8, inputs=[7.5, 7.75, 8.0])
    assert [conversion.clipped for conversion in problem.conversions] == [False] * 3
    assert [conversion.actual_error for conversion in problem.conversions] == [-0.5, -0.75, -1.0]
    assert [conversion.within_bound for conversion in problem.conversions] == [True, False, False]
    assert [(finding.code, finding.value) for finding in problem.findings] == [
        ("end-of-range", -0.75),
        ("end-of-range", -1.0),
    ]
    assert "the top code stands for 7 V, so that the bound ends at 7.5 V" in problem.findings[0].text
    assert solve_textbook(3, 0, 8, inputs=[8.0], fs_over="2^n-1").findings == ()
    assert solve_textbook(3, 0, 8, inputs=[8.0], transfer="floor").findings == ()


def test_an_input_beyond_the_range_by_less_than_the_bound_clips_too() -> None:
    (finding,) = solve_textbook(3, 0, 8, inputs=[-0.25]).findings
    assert (finding.code, finding.value) == ("clipping", 0.25)


def test_relative_errors_of_several_inputs_leave_zero_out() -> None:
    problem = solve_textbook(3, 0, 8, inputs=[0.0, 0.25, 1.25])
    assert [conversion.relative_error_percent for conversion in problem.conversions] == [None, 100, 20]
    errors = problem.relative_errors
    assert (errors.of_measured, errors.of_measured_count) == ((1 + 0.2) / 2, 2)
    assert (errors.of_predicted, errors.of_predicted_count) == (0.25, 1)
    assert solve_textbook(3, 0, 8).relative_errors.of_measured is None


def test_the_conversion_rate_is_one_over_the_time() -> None:
    assert solve_textbook(8, 0, 5, conversion_time_s=4e-6).conversion_rate_hz == 250e3
    assert solve_textbook(8, 0, 5).conversion_rate_hz is None


@pytest.mark.parametrize("fs_over", LSB_CONVENTIONS)
@pytest.mark.parametrize("bits", range(1, 33))
def test_figures_of_every_width_agree_with_exact_fractions(bits: int, fs_over: str) -> None:
    problem = solve_textbook(bits, -3, 7, fs_over=fs_over)
    step = Fraction(10, 2**bits - (fs_over == "2^n-1"))
    # One division and at most three products: 4 eps.
    assert problem.step == pytest.approx(float(step), rel=1e-15)
    assert problem.half_step_bound == problem.step / 2
    assert problem.relative_percent == pytest.approx(float(10 * step), rel=1e-15)
    assert problem.resolution_ppm == pytest.approx(float(step * 10**5), rel=1e-15)
    assert problem.rms_error**2 == pytest.approx(float(step**2 / 12), rel=1e-15)
    # The power of a sine of FS/2 over that of the error; a logarithm near 200 dB is rounded by 3e-14.
    ratio = Fraction(25, 2) / (step**2 / 12)
    assert problem.ideal_snr_db == pytest.approx(10 * math.log10(ratio), abs=1e-12)
    assert problem.top_level == pytest.approx(-3 + float((2**bits - 1) * step), abs=2 * np.spacing(7.0))
    assert problem.other_convention.other_convention == problem
    assert problem.other_convention.converter.fs_over != fs_over


@settings(max_examples=150)
@given(
    st.integers(1, 32),
    st.sampled_from(TRANSFERS),
    st.sampled_from(list(LSB_CONVENTIONS)),
    st.floats(-0.2, 1.2),
    st.sampled_from([(0.0, 5.0), (-10.0, 10.0), (-1.0, 3.3)]),
)
def test_inside_the_range_the_bound_holds_and_what_breaks_it_is_told(
    bits: int, transfer: str, fs_over: str, place: float, span: tuple[float, float]
) -> None:
    low, high = span
    problem = solve_textbook(bits, low, high, inputs=[low + place * (high - low)], transfer=transfer, fs_over=fs_over)
    (conversion,) = problem.conversions
    step = (Fraction(high) - Fraction(low)) / (2**bits - (fs_over == "2^n-1"))
    position = (Fraction(conversion.input) - Fraction(low)) / step
    in_bins = position + Fraction(transfer == "mid-tread", 2)
    # The division is rounded: within a millionth of a step, or 4 ulp of the range, of an edge either code is right.
    if abs(in_bins - round(in_bins)) > max(1e-6, 4 * np.spacing(max(abs(low), high)) / float(step)):
        assert conversion.code == min(max(math.floor(in_bins), 0), 2**bits - 1)
    assert conversion.clipped == (not low <= conversion.input <= high)
    assert conversion.within_bound or conversion.finding is not None
    top_half = transfer == "mid-tread" and fs_over == "2^n" and position > 2**bits - 1
    if not conversion.clipped and not top_half:
        assert conversion.within_bound
        assert problem.findings == ()


def test_the_working_of_the_12_bit_problem() -> None:
    steps = {step.title: str(step) for step in work_out(PRESETS["12 bit, 10 V"])}
    assert steps["Number of codes"] == "Number of codes: N = 2^n = 2^12 = 4096 codes, 0 to 4095"
    assert steps["Step"] == "Step: LSB = FS / 2^n = 10 V / 4096 = 2.441406 mV"
    assert steps["Bound of the error, half a step"].endswith("LSB / 2 = 2.441406 mV / 2 = ±1.220703 mV")
    assert steps["Resolution"].endswith("= 244.1406 ppm = 0.02441406 % = −72.25 dB of full scale")
    assert steps["Relative error, half a step of full scale"].endswith("100 · 1.220703 mV / 10 V = 0.01220703 %")
    assert steps["Ideal SNR of a full-scale sine"].endswith("6.0206 · 12 + 1.7609 = 74.01 dB")
    assert "Conversion rate" not in steps


def test_the_working_of_an_input() -> None:
    steps = [str(step) for step in work_out(PRESETS["8 bit, 12 V at 4.5 V"])[-5:]]
    assert steps == [
        "Position of 4.5 V: (x − low) / LSB = (4.5 V − 0 V) / 46.875 mV = 96 LSB",
        "Code of 4.5 V: nearest whole number, halves up, from 0 to 255 = round(96) = 96 = 0x60 = 0110 0000",
        "Level of code 96: y = low + code · LSB = 0 V + 96 · 46.875 mV = 4.5 V",
        "Actual error: e = y − x = 4.5 V − 4.5 V = 0 V, within the bound of 23.4375 mV",
        "Relative error of the reading: 100 · |e| / |x| = 100 · 0 V / 4.5 V = 0 %",
    ]


def test_the_working_of_other_transfers_clipping_zero_and_a_rate() -> None:
    text = "\n".join(
        map(str, work_out(solve_textbook(10, -5, 5, inputs=[0, -7], transfer="mid-rise", conversion_time_s=1e-5)))
    )
    assert "FS = high − low = 5 V − (−5 V) = 10 V, bipolar" in text
    assert "low + (N − 1) · LSB + LSB / 2 = −5 V + 1023 · 9.765625 mV + 4.882812 mV = 4.995117 V" in text
    assert "f = 1 / T = 1 / 10 µs = 100 kS/s" in text
    assert "y = low + (code + 0.5) · LSB = −5 V + (512 + 0.5) · 9.765625 mV = 4.882812 mV" in text
    assert "100 · 4.882812 mV / 0 V = not defined at 0 V" in text
    assert "floor(−204.8) = 0 = 0x000 = 00 0000 0000, clipped: the input lies outside the range" in text
    assert "beyond the bound of 4.882812 mV" in text
    floor = [str(step) for step in work_out(solve_textbook(10, 0, 10, inputs=[5.005], transfer="floor"))]
    assert "Level of code 512: y = low + code · LSB = 0 V + 512 · 9.765625 mV = 5 V" in floor
    assert "Bound of the error (floor): |e| < LSB = 9.765625 mV = 9.765625 mV, with e from −LSB to 0" in floor
    end_point = [str(step) for step in work_out(solve_textbook(8, 0, 5, fs_over="2^n-1"))]
    assert "Step: LSB = FS / (2^n − 1) = 5 V / 255 = 19.60784 mV" in end_point
    assert end_point[-1].endswith("20 · log10(1.224745 · 255) = 49.89 dB, where 6.0206 · 8 + 1.7609 = 49.93 dB")


@pytest.mark.parametrize(
    "problem",
    [
        solve_textbook(
            bits, low, high, inputs=[low + 0.3 * (high - low), high], fs_over=fs, transfer=t, conversion_time_s=1e-6
        )
        for bits, (low, high), fs, t in itertools.product(
            (1, 8, 24, 32), ((0, 5), (-2.5, 2.5)), LSB_CONVENTIONS, TRANSFERS
        )
    ],
    ids=lambda p: (
        f"{p.converter.bits} bit {p.converter.low:g}:{p.converter.high:g} {p.converter.lsb_convention} "
        f"{p.converter.transfer}"
    ),
)
def test_the_working_says_the_figures_and_no_line_is_empty(problem: Textbook) -> None:
    steps = {step.title: step for step in work_out(problem)}
    assert all(
        text.strip()
        for step in work_out(problem)
        for text in (step.title, step.formula, step.substitution, step.result)
    )
    assert steps["Step"].result == volts(problem.step)
    assert steps["Level of the top code"].result == volts(problem.top_level)
    assert steps["RMS of the quantization error"].result == volts(problem.rms_error)
    assert float(steps["Ideal SNR of a full-scale sine"].result.split(" dB")[0]) == pytest.approx(
        problem.ideal_snr_db, abs=0.005001
    )
    codes = [int(step.result.partition(" =")[0]) for step in work_out(problem) if step.title.startswith("Code of")]
    assert codes == [conversion.code for conversion in problem.conversions]


def test_presets_are_the_problems_of_the_course_books() -> None:
    assert list(PRESETS) == ["12 bit, 10 V", "8 bit, 0 to 5 V", "8 bit, 12 V at 4.5 V"]
    assert [(p.converter.bits, p.converter.low, p.converter.high, p.inputs) for p in PRESETS.values()] == [
        (12, 0, 10, ()),
        (8, 0, 5, ()),
        (8, 0, 12, (4.5,)),
    ]


def test_the_code_table_is_that_of_the_converter() -> None:
    assert solve_textbook(4, 0, 1).code_table.to_columns()["level"].tolist() == Converter(4, 0, 1).levels.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "bits 0: a converter has 1 to 32 bits"),
        ({"bits": 33}, "bits 33: a converter has 1 to 32 bits"),
        ({"low": 5, "high": 0}, "range 5.0:0.0"),
        ({"high": math.inf}, "range 0.0:inf"),
        ({"fs_over": "255"}, "fs_over '255'"),
        ({"transfer": "ceil"}, "transfer 'ceil' is unknown"),
        ({"inputs": [1.0, math.nan]}, "input nan: has no code"),
        ({"inputs": [math.inf]}, "input inf: has no code"),
        ({"conversion_time_s": 0.0}, "conversion time 0 s: needs a finite time of"),
        ({"conversion_time_s": math.nan}, "conversion time n/a s"),
    ],
)
def test_what_is_no_problem_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        solve_textbook(**{"bits": 8, "low": 0, "high": 5, **arguments})


@pytest.mark.parametrize(("transfer", "mean"), [("mid-tread", 0.0), ("mid-rise", 0.0), ("floor", -0.5)])
@pytest.mark.parametrize("fs_over", ["2^n", "2^n-1"])
def test_the_error_has_the_mean_and_the_rms_of_its_transfer(transfer: Transfer, fs_over: FsOver, mean: float) -> None:
    problem = solve_textbook(6, -3, 5, transfer=transfer, fs_over=fs_over)
    converter = problem.converter
    # 1000 inputs evenly inside each of 8 whole steps between the ends: a sum over midpoints misses the mean square by
    # step^2 / (12 * 1000^2), the mean by rounding alone
    start = converter.locate_transitions(20)
    x = start + converter.lsb * (np.arange(8000) + 0.5) / 1000
    errors = converter.round_trip(x) - x
    assert errors.mean() == pytest.approx(problem.mean_error, abs=1e-9 * converter.lsb)
    assert errors.std() == pytest.approx(problem.error_deviation, rel=1e-6)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(problem.rms_error, rel=1e-6)
    assert problem.mean_error == pytest.approx(mean * converter.lsb)
    assert problem.ideal_snr_db == solve_textbook(6, -3, 5, fs_over=fs_over).ideal_snr_db  # type: ignore[arg-type]


def test_a_truncating_converter_of_8_bits_over_5_volts_worked_by_hand() -> None:
    problem = solve_textbook(8, 0, 5, transfer="floor")
    assert problem.rms_error == as_printed("0.01127637245")  # 5/256/sqrt 3
    assert problem.mean_error == -0.009765625
    steps = {step.title: step for step in work_out(problem)}
    assert str(steps["Mean of the quantization error"]).endswith("−LSB / 2 = −19.53125 mV / 2 = −9.765625 mV")
    assert steps["RMS of the quantization error"].formula == "LSB / √3"
    assert steps["RMS of the quantization error"].result == volts(problem.rms_error)
    assert steps["Deviation about the mean"].result == volts(problem.error_deviation)
    assert "Deviation about the mean" not in {step.title for step in work_out(solve_textbook(8, 0, 5))}
