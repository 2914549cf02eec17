"""Streamed histograms: counts do not depend on the order or the batches in which values came."""

import numpy as np
import pytest

from qanalysis.models.activations.histograms import StreamedHistogram


def stream(values: np.ndarray, cuts: list[int], bins: int = 64) -> StreamedHistogram:
    found = StreamedHistogram(values.shape[1], bins)
    for part in np.split(values, cuts):
        found.add(part)
    return found


def test_a_span_doubles_and_bins_merge_pairwise_when_a_value_lies_outside() -> None:
    found = StreamedHistogram(1, 4)
    found.add(np.float32([[0.3], [0.6], [-0.1], [0.99]]))  # span 1, bins of 0.25
    assert found.exponents.tolist() == [0]
    assert found.counts[0].tolist() == [[1, 0, 0, 0], [0, 1, 1, 1]]
    found.add(np.float32([[1.5]]))  # span 2, bins of 0.5
    assert found.exponents.tolist() == [1]
    assert found.counts[0].tolist() == [[1, 0, 0, 0], [1, 2, 0, 1]]
    np.testing.assert_allclose(found.sums[0, 1], [0.3, 1.59, 0, 1.5], rtol=1e-6)


@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 300], list(range(1, 500, 3))], ids=["whole", "one", "few", "threes"])
def test_batches_and_order_change_no_count(cuts: list[int]) -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_t(2, (500, 3)) * [1e-6, 1, 1e6]).astype(np.float32)
    whole, parts = stream(values, []), stream(values[::-1], cuts)
    assert np.array_equal(whole.counts, parts.counts)
    assert np.array_equal(whole.exponents, parts.exponents)
    assert np.array_equal(whole.low, values.min(0))
    assert np.array_equal(parts.high, values.max(0))
    # float64 sums of 500 magnitudes in another order: 500 eps
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=500 * 2.3e-16)


def test_parts_add_to_the_whole_the_empty_one_included() -> None:
    values = np.random.default_rng(2).normal(size=(400, 2)).astype(np.float32)
    whole = stream(values, [])
    both = stream(values[:100] * np.float32(1e-3), []) + stream(values, []) + StreamedHistogram(2, 64)
    again = stream(np.concatenate([values[:100] * np.float32(1e-3), values]), [])
    assert np.array_equal(both.counts, again.counts)
    assert np.array_equal((whole + StreamedHistogram(2, 64)).counts, whole.counts)
    np.testing.assert_allclose(both.squares, again.squares, rtol=1e-12)


def test_means_and_deviations_are_exact_and_what_is_not_finite_is_left_out_and_counted() -> None:
    values = np.random.default_rng(3).normal(1, 2, (1000, 2)).astype(np.float32)
    found = stream(values, [300])
    magnitudes = np.abs(values.astype(np.float64))
    np.testing.assert_allclose(found.mean_magnitude, magnitudes.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.magnitude_std, magnitudes.std(0), rtol=1e-11)
    found.add(np.float32([[np.nan, np.inf], [-np.inf, 1]]))
    assert found.non_finite.tolist() == [2, 1]
    assert found.count.tolist() == [1000, 1001]
    assert np.isfinite(found.low).all()


def test_points_ascend_and_weigh_all_values() -> None:
    values = np.random.default_rng(4).normal(size=(300, 1)).astype(np.float32)
    found = stream(values, [])
    assert (np.diff(found.points[0]) > 0).all()
    assert found.weights.sum() == 300
    np.testing.assert_allclose((found.points * found.weights).sum(), values.sum(dtype=np.float64), rtol=1e-9)


def test_zeros_and_the_smallest_float_have_a_bin() -> None:
    found = StreamedHistogram(1, 4)
    found.add(np.float32([[0], [1e-45]]))
    found.add(np.float32([[3e38]]))
    assert found.counts[0].tolist() == [[0, 0, 0, 0], [2, 0, 0, 1]]


def test_other_groups_or_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="values of shape"):
        StreamedHistogram(2).add(np.zeros((3, 1), np.float32))
    with pytest.raises(ValueError, match="do not add"):
        StreamedHistogram(2) + StreamedHistogram(1)
