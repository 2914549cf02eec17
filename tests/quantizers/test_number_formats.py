"""Each format's numbers, exhaustively: every code, every midpoint and its neighbours, shared scales, and what lies beyond the ends."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.words import parse_format
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep
from tests.reference import MODES, check_row, round_code
from tests.reference_formats import (
    ALL_FORMATS,
    BITS,
    BLOCKS,
    GGUF_BITS,
    MX,
    SCALED_FLOATS,
    FormatWords,
    describe_format,
)
from tests.reference_levels import FLOATS, NF4, decode_bits, list_levels, round_to_ladder

Floats = NDArray[np.float32]
EIGHT_BITS = [*SCALED_FLOATS]
NEAREST_MODES = MODES[:6]


def list_values(name: str) -> list[float]:
    """Every finite number of a float format, ascending, one zero."""
    total = 1 + sum(FLOATS[name][:2])
    return sorted({value for pattern in range(2**total) if math.isfinite(value := decode_bits(pattern, name))})


def at_scale_one(name: str, values: Floats, mode: str = "nearest-even") -> Floats:
    """The values through a grid whose scale is 1: it was fitted to the format's largest number."""
    fitted = Scheme.parse(f"{name} round={mode}").fit(np.full_like(values, list_levels(name).high))
    y: Floats = fitted.round_trip(values)
    return y


def around(points: list[float]) -> Floats:
    """Each point with its two float32 neighbours, and all of that negated."""
    middle = np.float32(points)
    up, down = np.nextafter(middle, np.float32(np.inf)), np.nextafter(middle, np.float32(-np.inf))
    near = np.concatenate([middle, up, down])
    return np.concatenate([near, -near])


def give_row(x: NDArray, text: str) -> Row:
    return sweep({"x": x}, [text], workers=1)[0]


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "largest", "smallest"),
    [
        # OCP FP8 and MX v1.0, and IEEE 754: finite numbers (zero once), the largest, the smallest above 0.
        ("fp8_e4m3", 253, 448.0, 2.0**-9),
        ("fp8_e5m2", 247, 57344.0, 2.0**-16),
        ("fp6_e2m3", 63, 7.5, 0.125),
        ("fp6_e3m2", 63, 28.0, 0.0625),
        ("fp4_e2m1", 15, 6.0, 0.5),
        ("bfloat16", 2**16 - 2 * 128 - 1, 3.3895313892515355e38, 2.0**-133),
        ("float16", 2**16 - 2 * 1024 - 1, 65504.0, 2.0**-24),
    ],
)
def test_a_float_format_holds_the_numbers_of_its_specification(
    name: str, count: int, largest: float, smallest: float
) -> None:
    levels = FORMATS[name].element.levels
    assert levels.tolist() == list_values(name)
    assert (len(levels), levels[-1], levels[0], levels[levels > 0][0]) == (count, largest, -largest, smallest)


def test_four_bit_floats_are_the_well_known_sixteen() -> None:
    halves = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    assert FORMATS["fp4_e2m1"].element.levels.tolist() == [*(-value for value in halves[:0:-1]), *halves]
    assert (
        FORMATS["mxfp4"].element.levels.tolist()
        == FORMATS["nvfp4"].element.levels.tolist()
        == FORMATS["gguf:mxfp4"].element.levels.tolist()
    )


def test_nf4_has_its_published_sixteen_levels() -> None:
    assert FORMATS["nf4"].element.levels.tolist() == list(NF4)
    assert FORMATS["nf4"].element.widest_gap == 1.0 - 0.6961928009986877


@pytest.mark.parametrize(
    ("name", "levels"),
    [("binary", [-1, 1]), ("ternary", [-1, 0, 1]), ("gguf:tq1_0", [-1, 0, 1]), ("gguf:tq2_0", [-1, 0, 1])],
)
def test_one_and_two_bit_formats_have_signs_and_perhaps_zero(name: str, levels: list[int]) -> None:
    assert FORMATS[name].element.levels.tolist() == levels


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_the_catalogue_knows_each_formats_bits_and_block(name: str) -> None:
    fmt = parse_format(name)
    assert (str(fmt), fmt.bits, fmt.block) == (name, FormatWords(name).bits, BLOCKS.get(name))
    assert fmt.element.levels.size <= 2**fmt.bits
    assert (np.diff(fmt.element.levels) > 0).all()
    assert (fmt.element.low, fmt.element.high, fmt.element.widest_gap) == (
        fmt.element.levels[0],
        fmt.element.levels[-1],
        np.diff(fmt.element.levels).max(),
    )


def test_the_catalogue_is_complete_and_in_order() -> None:
    assert list(FORMATS) == [*(f"int{bits}" for bits in range(2, 17)), *ALL_FORMATS]
    assert len(BITS) + len(GGUF_BITS) < len(ALL_FORMATS) + 15


# --- codes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOATS)
def test_every_code_decodes_to_the_value_of_its_bit_pattern_and_back(name: str) -> None:
    total = 1 + sum(FLOATS[name][:2])
    patterns = np.arange(2**total, dtype=np.float32)
    values = np.array([decode_bits(int(pattern), name) for pattern in patterns])
    finite = np.isfinite(values)
    fitted = Scheme.parse(name).fit(np.full(int(finite.sum()), list_levels(name).high, np.float32))
    np.testing.assert_array_equal(fitted.decode(patterns[finite]), np.float32(values[finite]))
    codes = fitted.encode(np.float32(values[finite]))
    # -0.0 may be coded as either zero.
    signless = values[finite] == 0
    np.testing.assert_array_equal(codes[~signless], patterns[finite][~signless])
    assert set(codes[signless]) <= {0.0, 2.0 ** (total - 1)}


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp8_e5m2"])
def test_codes_of_nan_and_infinity_decode_to_them(name: str) -> None:
    patterns = [pattern for pattern in range(256) if not math.isfinite(decode_bits(pattern, name))]
    assert len(patterns) == {"fp8_e4m3": 2, "fp8_e5m2": 8}[name]
    fitted = Scheme.parse(name).fit(np.full(len(patterns), list_levels(name).high, np.float32))
    np.testing.assert_array_equal(fitted.decode(patterns), [decode_bits(pattern, name) for pattern in patterns])


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_decoding_what_was_encoded_is_the_round_trip(name: str) -> None:
    x = np.random.default_rng(21).normal(size=(2, 256)).astype(np.float32)
    fitted = Scheme.parse(name).fit(x)
    codes = fitted.encode(x)
    assert codes.shape == x.shape
    assert (codes == np.rint(codes)).all()
    assert np.unique(codes).size <= 2 ** FORMATS[name].bits
    np.testing.assert_array_equal(fitted.decode(codes), fitted.round_trip(x))
    np.testing.assert_array_equal(fitted.half_step, fitted.step / 2)


# --- midpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", EIGHT_BITS)
def test_every_level_and_midpoint_and_their_neighbours_round_as_the_mode_says(name: str, mode: str) -> None:
    magnitudes = [value for value in list_values(name) if value >= 0]
    values = around([*magnitudes, *(sum(pair) / 2 for pair in pairwise(magnitudes))])
    expected = [round_to_ladder(value, list_levels(name), mode, place) for place, value in enumerate(values)]
    clipped = np.clip(expected, list_levels(name).low, list_levels(name).high).tolist()
    assert at_scale_one(name, values, mode).tolist() == clipped


@pytest.mark.parametrize("mode", NEAREST_MODES)
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_sixteen_bit_midpoints_round_as_the_mode_says(name: str, mode: str) -> None:
    # Every 61st of the 32 thousand magnitudes, the first sixty and the last sixty.
    magnitudes = [value for value in list_values(name) if value >= 0]
    chosen = [*magnitudes[:60], *magnitudes[60:-60:61], *magnitudes[-60:]]
    values = around(
        [
            *chosen,
            *(sum(pair) / 2 for pair in pairwise(magnitudes[-60:])),
            *(sum(pair) / 2 for pair in pairwise(magnitudes[:60])),
        ]
    )
    expected = [round_to_ladder(value, list_levels(name), mode, 0) for value in values]
    clipped = np.clip(expected, list_levels(name).low, list_levels(name).high).tolist()
    assert at_scale_one(name, values, mode).tolist() == clipped


@pytest.mark.parametrize("mode", ["nearest-even", "to-zero", "ceil", "stochastic:7"])
@pytest.mark.parametrize("name", EIGHT_BITS)
def test_the_compiled_loops_round_every_midpoint_the_same(name: str, mode: str) -> None:
    # The largest number beside it makes the scale 1 and has no error: twice the bias is the other value's error, exactly.
    magnitudes = [value for value in list_values(name) if value >= 0]
    values = around([sum(pair) / 2 for pair in pairwise(magnitudes)])
    largest = np.float32(list_levels(name).high)
    rows = sweep(
        {str(number): np.array([value, largest]) for number, value in enumerate(values)},
        [f"{name} round={mode}"],
        workers=1,
    )
    # An error is a float32 number itself.
    expected = [float(np.float32(round_to_ladder(value, list_levels(name), mode, 0)) - value) for value in values]
    assert [row.bias * 2 for row in rows] == expected


@pytest.mark.parametrize("position", range(15))
def test_nf4_ties_go_down_as_its_peer_sends_them(position: int) -> None:
    low, high = np.float32(NF4[position]), np.float32(NF4[position + 1])
    border = np.float32((low + high) / np.float32(2))
    x = np.float32([border, np.nextafter(border, np.float32(-2)), np.nextafter(border, np.float32(2)), 1.0])
    assert Scheme.parse("nf4").fit(x).round_trip(x).tolist() == [low, low, high, 1.0]
    assert Scheme.parse("nf4").fit(x).encode(x).tolist() == [position, position, position + 1, 15]


@pytest.mark.parametrize("sign", [1, -1])
def test_mxfp4_of_gguf_breaks_ties_toward_zero(sign: int) -> None:
    ties = sign * np.float32([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 4.0])
    x = np.concatenate([ties, np.zeros(24, np.float32)])
    assert Scheme.parse("gguf:mxfp4").fit(x).round_trip(x)[:8].tolist() == [
        sign * value for value in (0, 0.5, 1, 1.5, 2, 3, 4, 4)
    ]
    assert Scheme.parse("mxfp4").fit(x).round_trip(x)[:8].tolist() == [
        sign * value for value in (0, 1, 1, 2, 2, 4, 4, 4)
    ]


@pytest.mark.parametrize("mode", NEAREST_MODES)
def test_mxint8_rounds_to_sixty_fourths(mode: str) -> None:
    # 1 sets the shared scale to 1; a quarter, a half and three quarters of a step around some of the 256 levels.
    steps = np.float32([*np.arange(-6, 6.25, 0.25), 100.5, -100.5, 126.5, 127.25])
    x = np.concatenate([steps / 64, [np.float32(1)]]).astype(np.float32)
    padded = np.pad(x, (0, -x.size % 32))
    padded[:32][-1] = padded[32:][-1] = 1
    y = Scheme.parse(f"mxint8 round={mode}").fit(padded).round_trip(padded)
    assert (y * 64).tolist() == [max(min(round_code(np.float32(value * 64), mode, 0), 127), -128) for value in padded]


# --- beyond the ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", NEAREST_MODES)
@pytest.mark.parametrize("name", FLOATS)
def test_what_lies_beyond_the_largest_number_saturates(name: str, mode: str) -> None:
    largest = np.float32(list_levels(name).high)
    with np.errstate(over="ignore"):
        beyond = np.float32(
            [np.nextafter(largest, np.float32(np.inf)), min(float(largest) * 1.5, 3.4e38), 3.4e38, np.inf]
        )
    assert at_scale_one(name, beyond, mode).tolist() == [largest] * 4
    assert at_scale_one(name, -beyond, mode).tolist() == [-largest] * 4


@pytest.mark.parametrize("name", [*SCALED_FLOATS, "nf4", "binary", "ternary", "bfloat16", "float16"])
def test_nan_stays_nan_and_infinity_saturates(name: str) -> None:
    x = np.float32([1, -0.5, np.nan, np.inf, -np.inf, 0.25])
    fitted = Scheme.parse(name).fit(x)
    y = fitted.round_trip(x)
    plain = Scheme.parse(name).fit(x[[0, 1, 5]]).round_trip(x[[0, 1, 5]])
    np.testing.assert_array_equal(y[[0, 1, 5]], plain)
    top = np.float32(FORMATS[name].element.high) * fitted.scale[0]
    np.testing.assert_array_equal(y[2:5], [np.nan, top, -top])


@pytest.mark.parametrize("name", [name for name in ALL_FORMATS if name != "binary"])
def test_both_zeros_come_back_as_zero(name: str) -> None:
    x = np.random.default_rng(22).normal(size=256).astype(np.float32)
    x[:4] = [0.0, -0.0, 0.0, -0.0]
    y = Scheme.parse(name).fit(x).round_trip(x)
    if name in ("gguf:q4_1", "gguf:q5_1"):
        # Their codes start at the block's smallest element; 0 is a value like any other.
        assert (y[:4] != 0).any()
    else:
        assert (y[:4] == 0).all()


def test_binary_counts_both_zeros_as_positive() -> None:
    x = np.float32([0.0, -0.0, 3.0, -1.0])
    assert Scheme.parse("binary").fit(x).round_trip(x).tolist() == [1, 1, 1, -1]


def test_ternary_is_worked_by_hand() -> None:
    # mean |x| is 1, so 0.7 is still 0 and 0.8 counts; the level is the mean of 0.8, 1.5 and 2.
    x = np.float32([0.0, 0.7, -0.8, 1.5, -2.0])
    level = np.float32((0.8 + 1.5 + 2.0) / 3)
    y = Scheme.parse("ternary").fit(x).round_trip(x)
    assert np.abs(y - np.float32([0, 0, -level, level, -level])).max() <= 2**-23 * level


@pytest.mark.parametrize("scale", [2.0**-149, 2.0**-140, 2.0**-130])
@pytest.mark.parametrize("name", ["bfloat16", "float16", *MX, "fp8_e4m3", "nf4", "nvfp4", "gguf:q4_0"])
def test_subnormal_tensors_are_measured_without_a_warning(name: str, scale: float) -> None:
    x = (np.arange(-32, 32) * scale).astype(np.float32)
    check_row(give_row(x, name), describe_format(x, FormatWords(name)))


def test_bfloat16_keeps_the_subnormal_numbers_it_has() -> None:
    x = np.float32([2.0**-133, 3 * 2.0**-134, 2.0**-134, 2.0**-149])
    assert Scheme.parse("bfloat16").fit(x).round_trip(x).tolist() == [2.0**-133, 2.0**-132, 0, 0]


# --- shared scales ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "largest", "scale"),
    [
        # 2^(floor(log2 absmax) - exponent of the largest number), worked by hand.
        ("mxfp4", 7.9, 1),
        ("mxfp4", 8, 2),
        ("mxfp6_e2m3", 7.9, 1),
        ("mxfp6_e3m2", 16, 1),
        ("mxfp8_e4m3", 511, 1),
        ("mxfp8_e5m2", 65536, 2),
        ("mxint8", 1.99, 1),
        ("mxint8", 2, 2),
        ("gguf:mxfp4", 7.9, 1),
        ("mxfp4", 2.0**-149, 2.0**-127),
        ("mxfp8_e4m3", 3e38, 2.0**119),
    ],
)
def test_shared_exponents_are_those_of_the_specification(name: str, largest: float, scale: float) -> None:
    x = np.zeros(32, np.float32)
    x[17] = -largest
    assert Scheme.parse(name).fit(x).scale.tolist() == [scale]


def test_mx_elements_beyond_the_largest_number_saturate_and_are_counted() -> None:
    # Scale 1: 7 rounds to 8 and 6.9 to 6, both end at 6, only the first is clipped; all but 6 lies beyond the end level.
    x = np.float32([7, 6.9, 6, -7.9, *[0] * 28])
    row = give_row(x, "mxfp4")
    assert (row.clipped_fraction, row.max_abs_error, row.step_max, row.clipping_share, row.rounding_share) == (
        2 / 32,
        np.float32(7.9) - 6,
        2,
        1,
        0,
    )


def test_blocks_of_zeros_say_nothing_of_steps() -> None:
    x = np.zeros((2, 64), np.float32)
    x[0, :3] = [4, 1, -3]
    for name in ("mxfp4", "nvfp4", "nvfp4:one-level", "gguf:q4_0", "gguf:q4_1", "gguf:q8_0", "gguf:mxfp4"):
        row = give_row(x, name)
        assert row.step_min == row.step_max > 0
        check_row(row, describe_format(x, FormatWords(name)))
