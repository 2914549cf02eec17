"""Statistics of groups against numpy in float64, group by group; small ripples, zeros, nothing finite."""

from __future__ import annotations

from dataclasses import astuple, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.arrays import Floats
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grouping import Grouping, parse_grouping
from qanalysis.quantizers.observing import Observed, lay_at_once, observe_groups
from qanalysis.quantizers.scheme import Scheme

GROUPINGS = (
    "tensor",
    "channel",
    "channel=1",
    "group=1",
    "group=7",
    "group=10",
    "group=32",
    "group=5000",
    "block=2x3",
    "block=3x40",
)


def describe(own: Floats) -> list[float]:
    """The fields of `Observed` for one group."""
    finite = own[np.isfinite(own)].astype(np.float64)
    if not finite.size:
        return [np.nan] * 6 + [0, own.size]
    magnitudes = np.abs(finite)
    absmin = magnitudes[magnitudes > 0].min(initial=np.inf)
    means = [magnitudes.max(), absmin if absmin < np.inf else np.nan, magnitudes.mean(), magnitudes.std()]
    return [*means, finite.min(), finite.max(), finite.size, own.size - finite.size]


def hold_equal(x: Floats, text: str) -> None:
    layout = parse_grouping(text).lay_out(x.shape)
    found = np.array(astuple(observe_groups(x, layout))).T
    numbers = np.broadcast_to(layout.spread(np.arange(layout.groups)), (layout.rows, layout.columns))
    matrix = layout.to_matrix(x)
    assert found.shape == (layout.groups, len(fields(Observed)))
    for group, own in enumerate(found):
        expected = np.array(describe(matrix[numbers == group]))
        # Sums of n float64 numbers in another order differ by n eps; a deviation is as exact as its mean.
        limit = 1e-12 * np.nan_to_num(np.array([0, 0, 1, 1, 0, 0, 0, 0]) * expected[0])
        np.testing.assert_array_less(np.abs(np.nan_to_num(own - expected)), np.nextafter(limit, np.inf))
        assert np.isnan(own).tolist() == np.isnan(expected).tolist()


@pytest.mark.parametrize("text", GROUPINGS)
@pytest.mark.parametrize("shape", [(5000,), (6, 1000), (7, 3, 50), (90, 50), (3, 1)], ids=str)
@pytest.mark.parametrize("strange", [False, True], ids=["finite", "not all finite"])
def test_every_grouping_is_told_as_numpy_tells_it(text: str, shape: tuple[int, ...], strange: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_t(3, size=shape).astype(np.float32)
    if strange:
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = -np.inf
    if len(shape) > 1 or text != "channel=1":
        hold_equal(x, text)


@settings(max_examples=200, deadline=None)
@given(
    x=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.floats(width=32)),
    text=st.sampled_from(GROUPINGS),
)
def test_any_tensor_is_told_as_numpy_tells_it(x: Floats, text: str) -> None:
    hold_equal(x, text)


def test_a_small_ripple_on_a_large_mean_keeps_its_deviation() -> None:
    # Magnitudes 2^20 and 2^20 + 1/8 by turns: float32 sums, or a mean of squares, would lose 1/16 beside 2^40.
    x = np.where(np.arange(100_000) % 2, 2.0**20, -(2.0**20) - 0.125).astype(np.float32)
    found = observe_groups(x, Grouping().lay_out(x.shape))
    assert found.mean[0] == pytest.approx(2.0**20 + 0.0625, rel=1e-15)
    assert found.std[0] == pytest.approx(0.0625, rel=1e-9)


def test_extreme_magnitudes_neither_overflow_nor_vanish() -> None:
    found = observe_groups(np.float32([[3e38, -3e38], [1e-45, 0]]), Grouping(1).lay_out((2, 2)))
    assert found.absmax.tolist() == [np.float32(3e38), np.float32(1e-45)]
    assert found.mean.tolist() == [np.float32(3e38), np.float32(1e-45) / 2]
    assert (found.std.tolist(), found.absmin[1]) == ([0, np.float32(1e-45) / 2], np.float32(1e-45))


def test_groups_without_finite_or_without_any_elements_have_no_statistics() -> None:
    for x in (np.float32([np.nan, np.inf]), np.zeros(0, np.float32)):
        found = observe_groups(x, Grouping().lay_out(x.shape))
        assert (found.count.tolist(), found.non_finite.tolist()) == (
            [0] * len(found.count),
            [x.size] * len(found.count),
        )
        assert np.isnan(astuple(found)[:6]).all()


def test_zeros_have_no_smallest_magnitude() -> None:
    found = observe_groups(np.float32([0, -0.0]), Grouping().lay_out((2,)))
    assert [float(part[0]) for part in astuple(found) if not np.isnan(part[0])] == [0, 0, 0, 0, 0, 2, 0]
    assert np.isnan(found.absmin[0])


WORDS = [
    *FORMATS,
    *(f"int4 {words}" for words in ("asym channel", "channel=1", "sym-full group=7", "block=2x3", "channel range=mse")),
    "nf4 group=64 scale=double",
    "fp8_e4m3 channel scale=pow2:library",
]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("strange", [False, True], ids=["finite", "not all finite"])
def test_a_grid_laid_at_once_is_the_fitted_one(words: str, strange: bool) -> None:
    rng, scheme = np.random.default_rng(4), Scheme.parse(words)
    x = rng.standard_t(3, size=(5, 2, 256)).astype(np.float32)
    x[0, 0, :64] = 0
    if strange:
        x[rng.random(x.shape) < 0.1] = np.nan
        x[1], x[2, 0, 3] = -np.inf, np.inf
    layout = scheme.lay_out(x.shape)
    laid, fitted = lay_at_once(x, scheme, layout), scheme.fit(x).grid
    assert (laid.coder, laid.smallest, laid.largest) == (fitted.coder, fitted.smallest, fitted.largest)
    np.testing.assert_array_equal(laid.scale, fitted.scale)
    np.testing.assert_array_equal(laid.zero_point, fitted.zero_point)
    np.testing.assert_array_equal(laid.coding, fitted.coding)
    np.testing.assert_array_equal(laid.step, fitted.step)
    np.testing.assert_array_equal(laid.idle, fitted.idle)
    assert (laid.centre is None) == (fitted.centre is None)
    if laid.centre and fitted.centre:
        np.testing.assert_array_equal(laid.centre, fitted.centre)


def test_what_does_not_fit_is_refused() -> None:
    scheme, three = Scheme.parse("int4"), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"x has shape \(3,\), its layout is for \(2,\)"):
        observe_groups(three, Grouping().lay_out((2,)))
    with pytest.raises(ValueError, match=r"x has shape \(3,\), its layout is for \(2,\)"):
        lay_at_once(three, scheme, scheme.lay_out((2,)))
    with pytest.raises(ValueError, match=r"a tensor of shape \(0,\) is empty"):
        lay_at_once(three[:0], scheme, scheme.lay_out((0,)))
