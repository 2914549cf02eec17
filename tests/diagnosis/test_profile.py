"""What a profile says of a layer, against plain numpy on the quantizer's own round trip and against the rows of the sweep."""

import numpy as np
import pytest

from qanalysis.diagnosis.profile import ERROR_BINS, ERROR_REACH, profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep

SCHEMES = (
    "int4",
    "int8 channel",
    "int4 channel=1",
    "int4 group=5",
    "int3 asym group=7",
    "int4 block=2x5",
    "int4 range=percentile:90",
    "int2 sym-full",
    "int5 asym channel range=meanstd:1",
    "int4 round=floor",
    "int4 group=5 round=stochastic:3",
    "int16",
)
# Many tiles in one direction, in the other, and groups that are cut at tile borders.
LARGE_SHAPES = {"long rows": (3, 100_000), "many rows": (30_000, 5), "blocks": (300, 1_000)}


def weights(shape, seed=0):
    return (np.random.default_rng(seed).standard_t(4, size=shape) * 0.02).astype(np.float32)


def restored(x, scheme, axis=0):
    """(x, y) as float64 matrices (channels, the rest)."""
    layout = scheme.grouping.lay_out(x.shape, axis=axis)
    y = scheme.fit(x, axis=axis).round_trip(x)
    return layout, layout.to_matrix(x).astype(np.float64), layout.to_matrix(y).astype(np.float64)


def test_four_hand_worked_weights():
    # Step 1: y = 1, -7, 0, 3, so e = 0.1, 0, -0.2, -0.4; inputs are float32, hence 1e-7 of slack per unit.
    profile = profile_layer([[0.9, -7.0], [0.2, 3.4]], Scheme.parse("int4"), name="w")
    np.testing.assert_allclose(profile.channel_error, [0.005, 0.1], rtol=1e-5)
    np.testing.assert_allclose(profile.channel_share, [0.01 / 0.21, 0.2 / 0.21], rtol=1e-5)
    np.testing.assert_allclose(profile.channel_power, [(0.81 + 49) / 2, (0.04 + 11.56) / 2], rtol=1e-6)
    assert (profile.in_range.total, profile.clipped.total, profile.zeroed.total) == (3, 0, 1)
    assert profile.half_step_bound == 0.5
    assert profile.levels.tolist() == list(range(-7, 8))
    assert profile.outlier_ratios.tolist() == pytest.approx([7 / 5.2, 3.4 / 5.2], rel=1e-6)
    assert (profile.worst_channel, profile.outlier_channel, profile.count, profile.name) == (1, 0, 4, "w")


@pytest.mark.parametrize("text", SCHEMES)
def test_errors_equal_plain_numpy_on_the_quantizers_round_trip(text):
    x, scheme = weights((6, 4, 3)), Scheme.parse(text)
    profile = profile_layer(x, scheme)
    layout, matrix, y = restored(x, scheme)
    squares = (y - matrix) ** 2
    # Sums of the same float64 terms in another order: a few units of the last place.
    np.testing.assert_allclose(profile.channel_error, squares.mean(axis=1), rtol=1e-12)
    starts = range(0, layout.columns, layout.block_columns)
    np.testing.assert_allclose(
        profile.group_mse,
        np.stack([squares[:, s : s + layout.block_columns].mean(axis=1) for s in starts], axis=1),
        rtol=1e-12,
    )
    assert profile.sqnr_db == pytest.approx(10 * np.log10((matrix**2).sum() / squares.sum()), rel=1e-12)
    np.testing.assert_allclose(
        profile.channel_sqnr_db, 10 * np.log10((matrix**2).sum(axis=1) / squares.sum(axis=1)), rtol=1e-12
    )


@pytest.mark.parametrize("text", SCHEMES)
def test_fates_and_steps_equal_the_row_of_the_sweep(text):
    x = weights((6, 4, 3), seed=1)
    x[2] = 0
    profile = profile_layer(x, Scheme.parse(text))
    row = sweep({"w": x}, [text])[0]
    assert profile.clipped.total == round(row.clipped_fraction * x.size)
    both = ((restored(x, profile.scheme)[2] == 0) & (restored(x, profile.scheme)[1] != 0)).sum() - profile.zeroed.total
    assert round(row.zeroed_fraction * x.size) - profile.zeroed.total == both
    assert both <= profile.clipped.total
    assert (profile.step_min, profile.step_max) == (row.step_min, row.step_max)
    assert profile.half_step_bound == row.half_step_bound
    assert profile.sqnr_db == pytest.approx(row.sqnr_db, abs=1e-4)  # the sweep adds up to 1024 squares in float32


@pytest.mark.parametrize("shape", LARGE_SHAPES.values(), ids=LARGE_SHAPES)
@pytest.mark.parametrize(
    "text",
    [
        "int4",
        "int4 channel",
        "int4 group=700",
        "int3 asym group=32",
        "int4 block=7x900",
        "int4 group=32 round=stochastic:1",
    ],
)
def test_tiles_change_nothing(shape, text):
    x, scheme = weights(shape), Scheme.parse(text)
    profile = profile_layer(x, scheme)
    _, matrix, y = restored(x, scheme)
    np.testing.assert_allclose(profile.channel_error, ((y - matrix) ** 2).mean(axis=1), rtol=1e-11)
    assert profile.channel_absmax.tolist() == np.abs(matrix).max(axis=1).tolist()
    assert profile.weights.total == profile.error_in_steps.total == x.size
    assert ((y == 0) & (matrix != 0)).sum() == profile.zeroed.total


@pytest.mark.parametrize("bins", [1, 64, 255, 256])
def test_weight_histogram_equals_numpys_and_keeps_its_edges_for_every_scheme(bins):
    x = weights((40, 50))
    reach = float(np.abs(x).max())
    expected, _ = np.histogram(x.astype(np.float64), bins=bins, range=(-reach, reach))
    for text in ("int2 channel", "int8 asym", "int4 range=percentile:80"):
        histogram = profile_layer(x, Scheme.parse(text), bins=bins).weights
        assert histogram.counts.tolist() == expected.tolist()
        assert (histogram.low, histogram.high) == (-reach, reach)


def test_error_histogram_counts_in_steps_of_the_own_group():
    x, scheme = weights((8, 64)), Scheme.parse("int4 group=16 range=percentile:90")
    profile = profile_layer(x, scheme)
    layout, matrix, y = restored(x, scheme)
    in_steps = (y - matrix) / layout.spread(scheme.fit(x).step)
    assert (profile.error_in_steps.below, profile.error_in_steps.above) == (
        (in_steps < -ERROR_REACH).sum(),
        (in_steps > ERROR_REACH).sum(),
    )
    assert profile.error_in_steps.below + profile.error_in_steps.above > 0
    expected, _ = np.histogram(in_steps, bins=ERROR_BINS, range=(-ERROR_REACH, ERROR_REACH))
    # Places are found in float32: an error within 2^-16 bins of an edge may fall on its other side.
    assert np.abs(profile.error_in_steps.counts - expected).sum() <= 2
    assert profile.beyond_bound == (np.abs(in_steps) > 0.5 + 1e-5).sum()
    assert profile.within_bound == 1 - profile.beyond_bound / x.size


@pytest.mark.parametrize("bits", range(2, 17))
def test_without_clipping_nothing_is_beyond_half_a_step(bits):
    profile = profile_layer(weights((16, 100)), Scheme.parse(f"int{bits} group=25"))
    assert (profile.beyond_bound, profile.clipped.total, profile.within_bound) == (0, 0, 1.0)


def test_levels_are_those_of_the_widest_group_and_left_out_above_256():
    x = np.float32([[0.3, -0.7], [1.4, 0.1], [0, 0]])
    profile = profile_layer(x, Scheme.parse("int4 channel"))
    np.testing.assert_allclose(profile.levels, np.arange(-7, 8) * 0.2, rtol=1e-6)  # 1.4 / 7, in float32
    assert profile.groups == 3
    asymmetric = profile_layer(np.float32([0.0, 3.0, 1.2]), Scheme.parse("int2 asym"))
    assert asymmetric.levels.tolist() == [0, 1, 2, 3]
    wide = profile_layer(x, Scheme.parse("int9"))
    assert wide.levels is None
    assert (wide.level_count, wide.level_high) == (511, pytest.approx(1.4))
    assert profile_layer(x, Scheme.parse("int8 asym")).levels.size == 256


def test_a_group_of_zeros_has_no_say_in_the_steps():
    profile = profile_layer(np.float32([[0, 0], [0.07, 0.01]]), Scheme.parse("int4 channel"))
    assert profile.step_min == profile.step_max == pytest.approx(0.01)
    assert np.isnan(profile.channel_sqnr_db[0])
    assert profile.channel_error[0] == 0


def test_all_zeros_have_neither_signal_nor_error():
    profile = profile_layer(np.zeros((3, 4), np.float32), Scheme.parse("int4 group=2"))
    assert profile.sqnr_db is None
    assert (profile.step_max, profile.mse, profile.zeroed.total, profile.weights.counts.max()) == (1.0, 0.0, 0, 12)
    assert profile.channel_share.tolist() == [0, 0, 0]
    assert profile.outlier_ratios.tolist() == [1, 1, 1]


@pytest.mark.parametrize("text", ["int4", "int4 channel", "int4 group=128"])
def test_one_element_is_exact(text):
    profile = profile_layer(np.float32([-0.7]), Scheme.parse(text))
    assert profile.sqnr_db == np.inf
    assert profile.channel_sqnr_db.tolist() == [np.inf]
    assert (profile.count, profile.groups, profile.weights.counts[0]) == (1, 1, 1)


def test_elements_that_are_not_finite_are_left_out_and_counted():
    x = weights((4, 10))
    dirty = x.copy()
    dirty[0, :3] = np.nan, np.inf, -np.inf
    dirty[3] = np.nan
    profile = profile_layer(dirty, Scheme.parse("int4 channel"))
    clean = profile_layer(x[1:3], Scheme.parse("int4 channel"))
    rest = profile_layer(x[:1, 3:], Scheme.parse("int4 channel"))
    assert (profile.count, profile.non_finite) == (27, 13)
    np.testing.assert_allclose(profile.channel_error[:3], [rest.channel_error[0], *clean.channel_error], rtol=1e-12)
    assert np.isnan(profile.channel_error[3])
    assert np.isnan(profile.group_mse[3, 0])
    assert profile.weights.total == profile.error_in_steps.total == 27
    assert profile.mse == pytest.approx((7 * rest.mse + 20 * clean.mse) / 27)
    assert profile.channel_share[3] == 0


def test_float64_beyond_float32_is_not_finite_and_float16_is_widened():
    assert profile_layer(np.array([1e300, 1.0]), Scheme.parse("int4")).non_finite == 1
    half = weights((3, 5)).astype(np.float16)
    assert (
        profile_layer(half, Scheme.parse("int4")).mse
        == profile_layer(half.astype(np.float32), Scheme.parse("int4")).mse
    )


def test_the_channel_axis_is_followed_and_the_grouping_may_override_it():
    x = weights((4, 6))
    assert profile_layer(x, Scheme.parse("int4 channel"), axis=1).channel_error.shape == (6,)
    by_axis, by_word = (
        profile_layer(x, Scheme.parse("int4 channel"), axis=1),
        profile_layer(x, Scheme.parse("int4 channel=1")),
    )
    assert by_axis.channel_error.tolist() == by_word.channel_error.tolist()


def test_shares_name_the_channels_that_carry_the_error():
    x = weights((10, 200))
    x[7] *= 20
    profile = profile_layer(x, Scheme.parse("int4 channel"))
    assert profile.worst_channel == profile.outlier_channel == 7
    assert profile.channel_share.sum() == pytest.approx(1)
    shares = [profile.top_share(count) for count in range(11)]
    assert shares == sorted(shares)
    assert (shares[0], shares[1], shares[10]) == (0, profile.channel_share[7], pytest.approx(1))


def test_a_profile_over_bits_is_the_profiles_at_those_bits():
    x, scheme = weights((5, 30)), Scheme.parse("int4 asym group=8")
    several = profile_bits(x, scheme, [2, 16], name="w")
    for profile, text in zip(several, ("int2 asym group=8", "int16 asym group=8"), strict=True):
        single = profile_layer(x, Scheme.parse(text))
        assert (profile.scheme, profile.name, profile.mse) == (Scheme.parse(text), "w", single.mse)
    assert len(profile_bits(x, scheme)) == 15


@pytest.mark.parametrize(
    ("x", "bins", "error", "message"),
    [
        (np.arange(3), 255, TypeError, "'w' has dtype int64"),
        (np.float32(1.0), 255, ValueError, r"shape \(\): a profile needs at least one dimension"),
        (np.zeros((0, 3), np.float32), 255, ValueError, r"shape \(0, 3\): .* one finite element"),
        (np.full(3, np.nan, np.float32), 255, ValueError, "one finite element"),
        (np.ones(3, np.float32), 257, ValueError, "bins=257: .* 1 to 256 bins"),
        (np.ones(3, np.float32), 0, ValueError, "bins=0"),
    ],
)
def test_what_can_not_be_profiled_is_refused_by_name(x, bins, error, message):
    with pytest.raises(error, match=message):
        profile_layer(x, Scheme.parse("int4"), bins=bins, name="w")
