"""The quantizer itself: rounding modes, converters by their data-sheet numbers, half-step bound, idempotence, torch as peer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.quantizers.quantizer import UniformQuantizer
from qanalysis.quantizers.rounding import ROUNDINGS, Rounding, draw_uniform, parse_rounding
from qanalysis.quantizers.scheme import Scheme
from tests.reference import MODES, SCALE_BITS, SYMMETRIES, Words, draw, quantize, round_code

TENSORS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.floats(-(2.0**60), 2.0**60, width=32)
)
WORDS = st.builds(
    Words,
    bits=st.sampled_from([2, 3, 4, 8, 16]),
    symmetry=st.sampled_from(SYMMETRIES),
    grouping=st.sampled_from(["tensor", "channel", "group=7", "group=32", "block=3x5"]),
    scale=st.sampled_from(list(SCALE_BITS)),
    mode=st.sampled_from(MODES),
)
NEAREST = ("nearest-even", "nearest-away", "half-up")


# --- rounding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rounded"),
    [
        ("nearest-even", [2, -2, 0, 0, 2, -2]),
        ("nearest-away", [3, -3, 1, -1, 2, -2]),
        ("half-up", [3, -2, 1, 0, 2, -1]),
        ("floor", [2, -3, 0, -1, 1, -2]),
        ("ceil", [3, -2, 1, 0, 2, -1]),
        ("to-zero", [2, -2, 0, 0, 1, -1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ties_round_as_the_mode_says(mode: str, rounded: list[int], dtype: type) -> None:
    assert Rounding(mode)(np.array([2.5, -2.5, 0.5, -0.5, 1.5, -1.5], dtype)).tolist() == rounded


@pytest.mark.parametrize("mode", MODES)
def test_whole_numbers_and_non_finite_values_stay(mode: str) -> None:
    whole = np.array([-3.0, -1.0, 0.0, 1.0, 2.0, 2.0**23, np.inf, -np.inf], np.float32)
    with np.errstate(invalid="ignore"):
        assert parse_rounding(mode)(whole).tolist() == whole.tolist()
        assert math.isnan(parse_rounding(mode)(np.array([np.nan], np.float32))[0])


@pytest.mark.parametrize("mode", MODES)
@given(scaled=hnp.arrays(np.float32, 20, elements=st.floats(-70000, 70000, width=32)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rounding_equals_the_reference(mode: str, scaled: np.ndarray) -> None:
    assert parse_rounding(mode)(scaled).tolist() == [
        round_code(value, mode, place) for place, value in enumerate(scaled)
    ]


@pytest.mark.parametrize("mode", [*ROUNDINGS.keys() - {"stochastic"}, "stochastic:0", "stochastic:123456789"])
def test_rounding_modes_parse_back_from_their_text(mode: str) -> None:
    assert str(parse_rounding(mode)) == mode
    assert parse_rounding(str(parse_rounding(mode))) == parse_rounding(mode)


@pytest.mark.parametrize("text", ["up", "", "floor:3", "nearest"])
def test_unknown_rounding_names_the_modes(text: str) -> None:
    with pytest.raises(ValueError, match=f"round '{text}' is unknown; modes are nearest-even, nearest-away"):
        parse_rounding(text)


def test_stochastic_needs_its_seed() -> None:
    with pytest.raises(ValueError, match="round 'stochastic' needs its seed, for example stochastic:0"):
        parse_rounding("stochastic")


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "x", "1234567890"])
def test_seed_is_a_short_whole_number(seed: str) -> None:
    with pytest.raises(ValueError, match=rf"round 'stochastic:{seed}': the seed is a whole number of at most 9 digits"):
        parse_rounding(f"stochastic:{seed}")


@pytest.mark.parametrize("seed", [0, 7, 999_999_999])
def test_draws_equal_the_reference_and_fill_the_unit_interval(seed: int) -> None:
    index = np.array([*range(200), 2**32, 2**63], np.uint64)
    assert draw_uniform(index, seed).tolist() == [draw(int(i), seed) for i in index]
    many = draw_uniform(np.arange(100_000, dtype=np.uint64), seed)
    assert 0 <= many.min() < 1e-3
    assert 1 - 1e-3 < many.max() < 1
    # Mean 1/2 with sd sqrt(1/12/n), variance 1/12 with sd sqrt(1/180/n): 4 sigma each.
    assert many.mean(dtype=np.float64) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / many.size))
    assert many.var(dtype=np.float64) == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / many.size))


@pytest.mark.parametrize("y", [0.3, -1.75, 0.5, 2.0])
def test_stochastic_rounding_has_mean_y_and_variance_p_times_1_minus_p(y: float) -> None:
    n, p = 100_000, y - math.floor(y)
    drawn = Rounding("stochastic", 3)(np.full(n, y, np.float32))
    # A coin of probability p: the mean has sd sqrt(p(1-p)/n), p(1-p) then moves by |1-2p| times that; 4 sigma, and a second-order rest.
    sigma = math.sqrt(p * (1 - p) / n)
    assert drawn.mean(dtype=np.float64) == pytest.approx(y, abs=4 * sigma + 1e-7)
    assert drawn.var(dtype=np.float64) == pytest.approx(
        p * (1 - p), abs=4 * sigma * abs(1 - 2 * p) + 16 * sigma**2 + 1e-7
    )


# --- converters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "high", "step", "end_point_step"),
    [
        (12, 10, 2.44140625e-3, 2.442002e-3),
        (8, 5, 19.53125e-3, 19.60784e-3),
        (8, 12, 46.875e-3, 47.058824e-3),
        (24, 10, 0.59604644775390625e-6, 0.596046e-6),
    ],
)
def test_converter_steps_of_both_conventions(bits: int, high: float, step: float, end_point_step: float) -> None:
    quantizer = UniformQuantizer.from_range(bits, 0, high)
    assert (quantizer.step, quantizer.half_step) == (step, step / 2)
    assert (quantizer.low, quantizer.high) == (0, pytest.approx(high - step, rel=1e-15))
    alternative = UniformQuantizer.from_range(bits, 0, high, fs_over="2^n-1")
    # Printed to seven digits at most.
    assert alternative.step == pytest.approx(end_point_step, rel=1e-6)
    assert alternative.high == pytest.approx(high, rel=1e-15)


def test_8_bit_12_volt_converter_hits_4_5_volt_exactly_though_its_bound_is_23_millivolt() -> None:
    quantizer = UniformQuantizer.from_range(8, 0, 12)
    assert quantizer.half_step == 23.4375e-3
    assert quantizer.encode(4.5) == 96
    assert quantizer.round_trip(4.5) - 4.5 == 0
    # y - x; 4.51 is not exact in binary: one rounding of 4.51.
    assert quantizer.round_trip(4.51) - 4.51 == pytest.approx(-10e-3, abs=1e-15)
    other = UniformQuantizer.from_range(8, 0, 12, fs_over="2^n-1")
    assert other.encode(4.5) == 96
    assert other.round_trip(4.5) - 4.5 == pytest.approx(17.6e-3, abs=5e-5)


def test_8_bit_5_volt_converter_ends_one_step_below_full_scale() -> None:
    assert UniformQuantizer.from_range(8, 0, 5).encode([4.98, 5.0, 99.0, -1.0, np.inf, -np.inf]).tolist() == [
        255,
        255,
        255,
        0,
        255,
        0,
    ]
    assert UniformQuantizer.from_range(8, 0, 5).high == pytest.approx(4.980469, abs=5e-7)


def test_bipolar_range_starts_at_its_low_end() -> None:
    quantizer = UniformQuantizer.from_range(3, -4, 4)
    assert quantizer.decode(np.arange(8)).tolist() == [-4, -3, -2, -1, 0, 1, 2, 3]


def test_nan_stays_nan() -> None:
    assert math.isnan(UniformQuantizer.from_range(8, 0, 5).round_trip(math.nan))


@given(bits=st.integers(1, 32), low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), part=st.floats(0, 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_converter_error_is_within_half_a_step_between_the_end_levels(
    bits: int, low: float, span: float, part: float
) -> None:
    quantizer = UniformQuantizer.from_range(bits, low, low + span)
    x = quantizer.low + part * (quantizer.high - quantizer.low)
    # Four roundings at the size of the range's ends.
    slack = 4 * 2.0**-52 * (abs(low) + span)
    assert abs(float(quantizer.round_trip(x)) - x) <= quantizer.half_step + slack


@pytest.mark.parametrize("bits", [0, -3, 33])
def test_converter_of_impossible_width_fails(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits {bits}: a converter has 1 to 32 bits"):
        UniformQuantizer.from_range(bits, 0, 1)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_converter_of_impossible_range_fails(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"range .*: needs two finite numbers, the lower one first"):
        UniformQuantizer.from_range(8, low, high)


def test_unknown_division_of_full_scale_fails() -> None:
    with pytest.raises(ValueError, match=r"fs_over '2\^n\+1': full scale is divided by '2\^n' or by '2\^n-1'"):
        UniformQuantizer.from_range(8, 0, 1, fs_over="2^n+1")


# --- grids fitted to tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "mse", "sqnr_db"), [(8, 3.46167e-6, 48.8532), (4, 1.343537e-3, 22.9636), (2, 0.0558333, 6.7772)]
)
def test_six_weights_have_their_worked_errors(bits: int, mse: float, sqnr_db: float) -> None:
    w = np.float32([0.9, -0.1, 0.4, -0.7, 0.05, -0.35])
    e = Scheme.parse(f"int{bits}").fit(w).round_trip(w).astype(np.float64) - w
    # Printed to six digits; float32 y and x add 2^-24 of 0.9 to an e of 2e-3: below 1e-4 relative in e^2.
    assert np.mean(e**2) == pytest.approx(mse, rel=1e-4)
    assert 10 * np.log10(np.sum(w.astype(np.float64) ** 2) / np.sum(e**2)) == pytest.approx(sqnr_db, abs=5e-4)


@given(x=TENSORS, words=WORDS)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_round_trip_equals_the_reference_bit_for_bit(x: np.ndarray, words: Words) -> None:
    fitted = Scheme.parse(words.text).fit(x)
    _values, y, _groups, _raw = quantize(x, words)
    np.testing.assert_array_equal(fitted.layout.to_matrix(fitted.round_trip(x)).reshape(-1), np.array(y, np.float32))


def test_non_finite_elements_do_not_move_the_grid_and_saturate() -> None:
    x = np.float32([1, -0.5, np.nan, np.inf, -np.inf])
    quantizer = Scheme.parse("int4").fit(x)
    top = np.float32(7) * quantizer.step[0]
    np.testing.assert_array_equal(quantizer.round_trip(x)[2:], [np.nan, top, -top])
    assert quantizer.step[0] == np.float32(1) / np.float32(7)


@given(x=TENSORS, bits=st.integers(2, 16), symmetry=st.sampled_from(SYMMETRIES), mode=st.sampled_from(NEAREST))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_unclipped_elements_are_within_half_a_step(x: np.ndarray, bits: int, symmetry: str, mode: str) -> None:
    quantizer = Scheme.parse(f"int{bits} {symmetry} channel round={mode}").fit(x)
    step, low, high = (
        np.broadcast_to(quantizer.layout.spread(part), quantizer.layout.to_matrix(x).shape)
        for part in (quantizer.step, quantizer.low, quantizer.high)
    )
    matrix, y = (
        quantizer.layout.to_matrix(x).astype(np.float64),
        quantizer.layout.to_matrix(quantizer.round_trip(x)).astype(np.float64),
    )
    inside = (matrix >= low) & (matrix <= high)
    # y = code * step, x * (1/step) and 1/step each round once, all at most 2^b steps large.
    slack = 3 * 2.0**-24 * 2**bits * step
    assert (np.abs(y - matrix)[inside] <= (0.5 * step + slack)[inside]).all()
    # Outside, the end level is the nearest there is.
    np.testing.assert_array_equal(y[matrix > high], high[matrix > high])
    np.testing.assert_array_equal(y[matrix < low], low[matrix < low])


@given(x=TENSORS, words=WORDS.filter(lambda words: words.mode in NEAREST))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_second_round_trip_changes_nothing(x: np.ndarray, words: Words) -> None:
    # For nearest rounding: code * step * (1/step) is off by 2^-23 of a code below 2^16, far from a tie.
    quantizer = Scheme.parse(words.text).fit(x)
    once = quantizer.round_trip(x)
    np.testing.assert_array_equal(quantizer.round_trip(once), once)


@given(x=TENSORS, words=WORDS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_codes_are_whole_numbers_inside_the_format(x: np.ndarray, words: Words) -> None:
    quantizer = Scheme.parse(words.text).fit(x)
    codes = quantizer.encode(x)
    assert codes.shape == x.shape
    assert (codes == np.rint(codes)).all()
    assert codes.min() >= quantizer.code_min
    assert codes.max() <= quantizer.code_max
    assert quantizer.code_max - quantizer.code_min < 2**words.bits
    np.testing.assert_array_equal(quantizer.decode(codes), quantizer.round_trip(x))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetry", ["sym", "sym-full", "asym"])
def test_round_trip_equals_torch_fake_quantize_bit_for_bit(bits: int, symmetry: str) -> None:
    import torch

    rng = np.random.default_rng(bits)
    x = rng.normal(size=(17, 129)).astype(np.float32) * rng.lognormal(size=(17, 1)).astype(np.float32)
    x[0, :2] = [0.0, -0.0]
    for grouping in ("tensor", "channel"):
        ours = Scheme.parse(f"int{bits} {symmetry} {grouping}").fit(x)
        # torch wants the code range to hold zero point and codes; both sides get the same steps.
        options = (ours.code_min, ours.code_max)
        if grouping == "tensor":
            theirs = torch.fake_quantize_per_tensor_affine(
                torch.from_numpy(x), float(ours.step[0]), int(ours.zero_point[0]), *options
            )
        else:
            zero_points = torch.from_numpy(ours.zero_point.astype(np.int32))
            theirs = torch.fake_quantize_per_channel_affine(
                torch.from_numpy(x), torch.from_numpy(ours.step), zero_points, 0, *options
            )
        np.testing.assert_array_equal(ours.round_trip(x), theirs.numpy())


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("int4", -7, 7), ("int4 asym", 0, 15), ("int4 sym-full", -8, 7), ("nf4", 0, 15), ("gguf:q4_0", -8, 7)],
)
def test_codes_of_a_fitted_scheme_have_ends_and_no_negative_zero(text: str, low: int, high: int) -> None:
    x = np.float32([[-1, 1, -1e-9, 0.3] * 8])
    quantizer = Scheme.parse(text).fit(x)
    assert (quantizer.code_min, quantizer.code_max) == (low, high)
    assert not np.signbit(quantizer.encode(np.float32([[-1e-9, 0, 1, 1] * 8]))).any()
    ends = quantizer.decode(np.float32([[low, high] * 16]))
    np.testing.assert_array_equal(
        ends[0, :2], np.sort([quantizer.low[0], quantizer.high[0]])[:: 1 if quantizer.scale[0] > 0 else -1]
    )


def test_a_converter_and_a_tensor_of_the_same_range_have_the_same_levels() -> None:
    # 16 levels, 0.5 apart from -4 on: FS/2^4 of the one, 4/8 of the other.
    x = np.linspace(-4, 4, 257, dtype=np.float32)
    converter, fitted = UniformQuantizer.from_range(4, -4, 4), Scheme.parse("int4 sym-clip").fit(x)
    np.testing.assert_array_equal(fitted.round_trip(x), converter.round_trip(x))
    assert (converter.step, converter.low, converter.high) == (fitted.step[0], fitted.low[0], fitted.high[0])
