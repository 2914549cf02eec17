"""Integer formats and their grids: worked values, the scalar reference over every convention, and the words that fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.families import integer_format
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.scales import SCALE_TYPES
from qanalysis.quantizers.statistics import Range
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.quantizers.words import parse_format
from tests.reference import SCALE_BITS, Words, lay_grid
from tests.reference import SYMMETRIES as REFERENCE_SYMMETRIES

FLOATS = st.floats(min_value=-(2.0**100), max_value=2.0**100, width=32)


def lay(low: float, high: float, words: Words) -> Grid:
    found, q = Range(np.float32([low]), np.float32([high])), integer_format(words.bits).largest_code
    return SYMMETRIES[words.symmetry].lay_grid(found, q, scale=SCALE_TYPES[words.scale])


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_each_format_parses_back_from_its_text(fmt: NumberFormat) -> None:
    assert parse_format(str(fmt)) == fmt


@pytest.mark.parametrize("bits", range(2, 17))
def test_integers_use_all_codes_of_their_bits(bits: int) -> None:
    element = integer_format(bits).element
    assert element.high - element.low == 2**bits - 1
    assert integer_format(bits) == FORMATS[f"int{bits}"]
    assert integer_format(bits).bits == bits


def test_catalogue_holds_every_format_in_its_order() -> None:
    others = (
        "binary ternary fp8_e4m3 fp8_e5m2 fp6_e2m3 fp6_e3m2 fp4_e2m1 mxfp4 mxfp6_e2m3 mxfp6_e3m2 mxfp8_e4m3 mxfp8_e5m2"
    )
    tables = "mxint8 nvfp4 nvfp4:one-level nf4 bfloat16 float16"
    blocks = "gguf:q4_0 gguf:q4_1 gguf:q5_0 gguf:q5_1 gguf:q8_0 gguf:tq1_0 gguf:tq2_0 gguf:mxfp4"
    assert list(FORMATS) == [
        *(f"int{bits}" for bits in range(2, 17)),
        *others.split(),
        *tables.split(),
        *blocks.split(),
    ]


@pytest.mark.parametrize("bits", [-1, 0, 1, 17, 40])
def test_widths_outside_2_to_16_fail(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"int{bits}: integer formats have 2 to 16 bits"):
        integer_format(bits)


def test_unknown_format_names_the_choices() -> None:
    with pytest.raises(
        ValueError,
        match=r"format 'float7' is unknown \(did you mean float16 or bfloat16\?\); formats are int2 to int16, binary",
    ):
        parse_format("float7")
    with pytest.raises(ValueError, match="format 'int17': integer formats have 2 to 16 bits"):
        parse_format("int17")
    with pytest.raises(ValueError, match="format 'gguf:q4_k': K- and I-quants are read from files, not written"):
        parse_format("gguf:q4_k")


def test_conventions_and_scale_types_are_those_of_the_text_form() -> None:
    assert tuple(SYMMETRIES) == REFERENCE_SYMMETRIES
    assert {name: scale.bits for name, scale in SCALE_TYPES.items()} == SCALE_BITS


# Range -3..1 at 4 bits: q = 7, absmax 3.
@pytest.mark.parametrize(
    ("symmetry", "step", "zero_point", "codes"),
    [
        ("sym", 3 / 7, 0, (-7, 7)),
        ("sym-full", 3 / 7.5, 0, (-8, 7)),
        ("sym-noclip", 3 / 8, 0, (-8, 7)),
        ("sym-clip", 3 / 8, 0, (-8, 7)),
        ("asym", 4 / 15, 11, (0, 15)),
    ],
)
def test_grid_over_minus_3_to_1(symmetry: str, step: float, zero_point: int, codes: tuple[int, int]) -> None:
    grid = lay(-3, 1, Words(4, symmetry))
    assert grid.step[0] == np.float32(step)
    assert grid.zero_point[0] == zero_point
    assert (grid.coder.low, grid.coder.high) == codes


def test_no_clip_convention_follows_the_longer_side_in_codes() -> None:
    assert lay(-1, 3, Words(4, "sym-noclip")).step[0] == np.float32(3 / 7)
    # -8 codes reach 3.2, 7 codes reach 2.8: the negative side needs the smaller step, the positive one decides.
    assert lay(-3.0, 2.8, Words(4, "sym-noclip")).step[0] == np.float32(np.float32(2.8) / np.float32(7))


# s of each rule at 8 bits, for a largest magnitude of a; 127 * 2^s < a where the rule does not cover.
@pytest.mark.parametrize(
    ("a", "source", "library", "covering"),
    [
        (0.9, -7, -7, -7),
        (0.999, -7, -7, -6),
        (1.0, -7, -6, -6),
        (1.5, -6, -6, -6),
        (1.99, -6, -6, -5),
        (2.0, -6, -5, -5),
        (3.0, -5, -5, -5),
        (0.5, -8, -7, -7),
    ],
)
def test_three_rules_of_power_of_two_steps(a: float, source: int, library: int, covering: int) -> None:
    found = [lay(-a / 3, a, Words(8, scale=word)).step[0] for word in ("pow2:source", "pow2:library", "pow2")]
    assert found == [2.0**source, 2.0**library, 2.0**covering]
    assert 127 * found[2] >= a


def test_power_of_two_step_of_an_asymmetric_range_is_the_position_of_the_three_mode_rule() -> None:
    # lo = -0.5, hi = 2.5 at 8 bits: floor(log2 3) - 7 = -6.
    assert lay(-0.5, 2.5, Words(8, "asym", scale="pow2:library")).step[0] == 2.0**-6


def test_asymmetric_grid_keeps_zero_exact() -> None:
    grid = lay(-0.5, 2.5, Words(8, "asym"))
    # Signed codes of the same grid lie 128 lower: offset -86.
    assert grid.zero_point[0] - 128 == -86
    assert 1 / grid.step[0] == pytest.approx(1.328125 * 2**6, rel=2**-23)
    assert grid.ends[0][0] * grid.step[0] == pytest.approx(-0.49411765, abs=2**-25 + 5e-9)
    # 2.5 itself is a tie that falls on signed code 126, printed to 8 decimals.
    assert (126 + 86) * float(grid.step[0]) == pytest.approx(2.49411765, abs=2.5 * 2**-24 + 5e-9)


def test_single_scale_of_the_position_and_scale_mode() -> None:
    assert lay(0, 3, Words(8)).step[0] == pytest.approx(0.02362205, abs=5e-9)
    assert lay(0, 3, Words(8, scale="pow2:library")).step[0] == 0.03125


@pytest.mark.parametrize("scale", SCALE_TYPES)
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_group_of_zeros_has_step_1_and_counts_as_idle(symmetry: str, scale: str) -> None:
    grid = lay(0, 0, Words(4, symmetry, scale=scale))
    assert (grid.step[0], grid.zero_point[0], grid.idle[0]) == (1, 0, True)


def test_step_that_underflows_its_type_becomes_1_but_the_group_is_not_idle() -> None:
    grid = lay(-1e-9, 1e-9, Words(8, scale="float16"))
    assert (grid.step[0], grid.idle[0]) == (1, False)


def test_step_beyond_the_largest_value_of_its_type_saturates() -> None:
    assert lay(-1e30, 1e30, Words(8, scale="float16")).step[0] == 65504


def test_range_wider_than_float32_still_has_a_finite_step() -> None:
    assert lay(-3e38, 3e38, Words(8, "asym")).step[0] == pytest.approx(6e38 / 255, rel=3 * 2**-24)


@given(
    low=FLOATS,
    high=FLOATS,
    bits=st.integers(2, 16),
    symmetry=st.sampled_from(REFERENCE_SYMMETRIES),
    scale=st.sampled_from(list(SCALE_BITS)),
)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_grids_equal_the_reference_bit_for_bit(low: float, high: float, bits: int, symmetry: str, scale: str) -> None:
    words = Words(bits, symmetry, scale=scale)
    grid, true = lay(low, high, words), lay_grid(np.float32(low), np.float32(high), words)
    assert (grid.step[0], grid.zero_point[0], grid.coder.low, grid.coder.high, grid.idle[0]) == (
        true.step,
        true.zero_point,
        true.code_min,
        true.code_max,
        true.idle,
    )


@given(
    low=FLOATS,
    high=FLOATS,
    bits=st.integers(2, 16),
    scale=st.sampled_from(["float32", "pow2"]),
    symmetry=st.sampled_from(["sym", "sym-noclip", "asym"]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_conventions_that_do_not_clip_reach_both_ends_to_half_a_step(
    low: float, high: float, bits: int, scale: str, symmetry: str
) -> None:
    grid = lay(low, high, Words(bits, symmetry, scale=scale))
    lo, hi = min(low, 0.0), max(high, 0.0)
    # The zero point is rounded, so an asymmetric end may lie half a step outside; 2^-22 for the roundings of step and end.
    slack = float(grid.step[0]) * (0.5 * (symmetry == "asym") + 2**bits * 2.0**-22)
    if not grid.idle[0]:
        assert float(grid.ends[0][0]) * float(grid.step[0]) <= lo + slack
        assert float(grid.ends[1][0]) * float(grid.step[0]) >= hi - slack
