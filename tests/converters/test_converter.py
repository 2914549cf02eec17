"""An ideal converter: levels and transitions of the three transfers, both steps, saturating ends,
and what is no converter.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qanalysis.converters.choices import TRANSFERS
from qanalysis.converters.converter import Converter
from qanalysis.quantizers.quantizer import UniformQuantizer

EVERY = [(transfer, fs_over) for transfer in TRANSFERS for fs_over in ("2^n", "2^n-1")]


def encode_by_hand(x: float, converter: Converter) -> int:
    """The code's definition, one value at a time: the number of transitions at or below x."""
    return sum(transition <= x for transition in converter.transitions.tolist())


@pytest.mark.parametrize(("transfer", "fs_over"), EVERY)
def test_a_code_counts_the_transitions_at_or_below_the_input(transfer: str, fs_over: str) -> None:
    converter = Converter(4, -2, 3, fs_over=fs_over, transfer=transfer)
    x = np.linspace(-3, 4, 997)
    assert converter.encode(x).tolist() == [encode_by_hand(value, converter) for value in x]


@pytest.mark.parametrize(("transfer", "fs_over"), EVERY)
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_codes_survive_the_way_back(transfer: str, fs_over: str, bits: int) -> None:
    converter = Converter(bits, -1, 1, fs_over=fs_over, transfer=transfer)
    # A floor converter's levels are its transitions, where one rounding error decides: ask in the middle of the cell.
    inside = converter.levels + (converter.half_step if transfer == "floor" else 0.0)
    assert np.array_equal(converter.encode(inside), np.arange(converter.codes))
    assert converter.levels.size == converter.codes == converter.transitions.size + 1


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_every_transition_enters_its_code_and_a_hair_below_does_not(transfer: str) -> None:
    converter = Converter(10, -1, 1, transfer=transfer)
    transitions = converter.transitions
    assert np.array_equal(converter.encode(transitions), np.arange(1, 1024))
    # 1e-9 of an LSB is far above the rounding of numbers near 1 (2^-52) and far below a step.
    assert np.array_equal(converter.encode(transitions - 1e-9 * converter.lsb), np.arange(1023))


def test_first_and_last_transitions_stand_where_the_definitions_put_them() -> None:
    mid_tread, mid_rise, floor = (Converter(3, 0, 8, transfer=transfer) for transfer in TRANSFERS)
    assert (mid_tread.transitions[0], mid_tread.transitions[-1]) == (0.5, 6.5)
    assert (mid_rise.transitions[0], mid_rise.transitions[-1]) == (1.0, 7.0)
    assert (floor.transitions[0], floor.transitions[-1]) == (1.0, 7.0)
    assert mid_tread.levels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7] == floor.levels.tolist()
    assert mid_rise.levels.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]


def test_zero_is_a_level_of_mid_tread_and_a_transition_of_mid_rise() -> None:
    assert 0.0 in Converter(6, -1, 1).levels
    mid_rise = Converter(6, -1, 1, transfer="mid-rise")
    assert 0.0 in mid_rise.transitions
    assert np.array_equal(mid_rise.levels, -mid_rise.levels[::-1])


@pytest.mark.parametrize(("transfer", "fs_over"), EVERY)
def test_errors_stay_within_the_bound_up_to_the_last_half_step(transfer: str, fs_over: str) -> None:
    converter = Converter(9, -3, 5, fs_over=fs_over, transfer=transfer)
    last = converter.levels[-1] + (converter.lsb if transfer == "floor" else converter.half_step)
    x = np.linspace(-3 if transfer != "mid-rise" else converter.levels[0] - converter.half_step, last, 40_001)
    # Values below 5 are known to 2^-51, so a tie may pass the bound by that much.
    assert np.abs(converter.round_trip(x) - x).max() <= converter.error_bound + 2**-51


def test_the_saturating_end_of_mid_tread_reaches_a_whole_step() -> None:
    converter = Converter(8, 0, 5)
    assert 5.0 - converter.round_trip([5.0])[0] == converter.lsb == 2 * converter.half_step


@pytest.mark.parametrize(
    ("transfer", "mean_lsb", "rms_lsb"),
    [("mid-tread", 0.0, 12**-0.5), ("mid-rise", 0.0, 12**-0.5), ("floor", -0.5, 3**-0.5)],
)
def test_error_moments_are_those_of_the_transfer(transfer: str, mean_lsb: float, rms_lsb: float) -> None:
    converter = Converter(6, 0, 64, transfer=transfer)
    x = (np.arange(62 * 1000) + 0.5) / 1000 + 1
    error = converter.round_trip(x) - x
    # A thousand mid-points per cell: the mean is exact by symmetry, the mean square short by 1/12 of the spacing
    # squared.
    assert error.mean() == pytest.approx(mean_lsb, abs=1e-9)
    assert math.sqrt(np.mean(error**2)) == pytest.approx(rms_lsb, abs=1e-6)


def test_steps_follow_their_convention() -> None:
    assert Converter(12, 0, 10).lsb == 10 / 4096
    assert Converter(12, 0, 10, fs_over="2^n-1").lsb == 10 / 4095
    assert Converter(8, 0, 5, fs_over="2^n-1").levels[-1] == 5.0
    assert [Converter(8, 0, 5, fs_over=fs_over).lsb_convention for fs_over in ("2^n", "2^n-1")] == [
        "fs/2^n",
        "fs/(2^n-1)",
    ]


def test_four_and_a_half_volts_of_twelve_are_code_96_exactly() -> None:
    converter = Converter(8, 0, 12)
    assert converter.encode([4.5, 4.51]).tolist() == [96, 96]
    assert converter.round_trip([4.5])[0] == 4.5
    assert converter.half_step == 12 / 512
    other = Converter(8, 0, 12, fs_over="2^n-1")
    assert other.encode([4.5])[0] == 96
    assert other.round_trip([4.5])[0] - 4.5 == pytest.approx(0.0176, abs=5e-5)  # stated to three digits


@given(
    bits=st.integers(1, 32),
    low=st.floats(-1e6, 1e6),
    span=st.floats(1e-3, 1e6),
    transfer=st.sampled_from(TRANSFERS),
    fs_over=st.sampled_from(["2^n", "2^n-1"]),
    parts=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_any_converter_rises_and_keeps_its_bound(
    bits: int, low: float, span: float, transfer: str, fs_over: str, parts: list[float]
) -> None:
    try:
        converter = Converter(bits, low, low + span, fs_over=fs_over, transfer=transfer)
    except ValueError:
        assume(False)
    last = converter.codes - 1
    # From the first cell's middle to the last one's: between the ends, whatever the transfer.
    x = np.sort(converter.decode([0])[0] + np.array(parts) * last * converter.lsb)
    codes = converter.encode(x)
    assert (np.diff(codes) >= 0).all()
    # Levels and inputs are known to a spacing of their size each, and so is the place of the transition between them.
    slack = 4 * np.spacing(max(abs(converter.low), abs(converter.high)))
    assert np.abs(converter.decode(codes) - x).max() <= converter.error_bound + slack


def test_ends_and_infinities_saturate() -> None:
    assert Converter(4, -1, 1).encode([-math.inf, -9, 9, math.inf]).tolist() == [0, 0, 15, 15]


def test_shapes_are_kept_and_nothing_gives_nothing() -> None:
    converter = Converter(4, 0, 1)
    assert converter.encode(np.zeros((2, 3, 4))).shape == (2, 3, 4)
    assert converter.encode([]).size == converter.decode([]).size == 0


def test_a_converter_is_a_quantizer_of_the_core() -> None:
    converter, x = Converter(10, -1, 1), np.linspace(-1.2, 1.2, 4001) * (1 + 1e-6)
    quantizer = converter.quantizer
    assert isinstance(quantizer, UniformQuantizer)
    assert np.array_equal(quantizer.round_trip(x), converter.round_trip(x))
    assert np.array_equal(UniformQuantizer.from_range(10, -1, 1).round_trip(x), converter.round_trip(x))  # no ties in x


def test_thirty_two_bits_keep_every_code() -> None:
    converter = Converter(32, -1, 1)
    codes = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
    assert np.array_equal(converter.encode(converter.decode(codes)), codes)
    assert all(
        later - earlier == 2**-31 for earlier, later in pairwise(converter.locate_transitions(range(5)).tolist())
    )


@pytest.mark.parametrize("name", ["levels", "transitions"])
def test_lists_by_code_stop_at_24_bits(name: str) -> None:
    with pytest.raises(ValueError, match="lists by code stop at 24 bits"):
        getattr(Converter(25, 0, 1), name)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bits": 0}, "1 to 32 bits"),
        ({"bits": 33}, "1 to 32 bits"),
        ({"low": 1, "high": 1}, "the lower one first"),
        ({"low": 5, "high": 0}, "the lower one first"),
        ({"high": math.inf}, "two finite numbers"),
        ({"low": math.nan}, "two finite numbers"),
        ({"fs_over": "2n"}, "full scale is divided by"),
        ({"transfer": "mid"}, "use mid-tread, mid-rise, floor"),
        ({"low": 1e16, "high": 1e16 + 2}, "float64 does not resolve"),
        ({"low": -1.7e308, "high": 1.7e308}, "float64 does not resolve"),
    ],
)
def test_what_is_no_converter_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Converter(**{"bits": 8, "low": 0, "high": 1} | wrong)  # type: ignore[arg-type]


def test_bits_are_a_whole_number() -> None:
    with pytest.raises(TypeError, match="whole number of bits"):
        Converter(8.5, 0, 1)  # type: ignore[arg-type]


def test_nan_has_no_code() -> None:
    with pytest.raises(ValueError, match="1 of 3 inputs are NaN"):
        Converter(8, 0, 1).encode([0.5, math.nan, 0.1])


@pytest.mark.parametrize("codes", [[-1, 3], [0, 256]])
def test_codes_outside_the_width_are_refused(codes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"8 bits have the codes 0\.\.255"):
        Converter(8, 0, 1).decode(codes)
