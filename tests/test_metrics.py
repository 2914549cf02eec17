"""Error sums: hand-worked figures, sums that add, figures that are not defined, histograms, torch as independent peer."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import ErrorStats, Histogram, measure
from qanalysis.sweeps.row import COLUMNS, METRICS

FLOATS = st.floats(-1e6, 1e6, width=32)


def test_four_values_worked_by_hand() -> None:
    # e = 0.5, -0.5, 0, 1
    stats = measure([1.0, -2.0, 0.0, 4.0], [1.5, -2.5, 0.0, 5.0])
    assert (stats.count, stats.relative_count, stats.zeroed) == (4, 3, 0)
    assert (stats.mse, stats.bias, stats.mean_abs_error, stats.max_abs_error) == (1.5 / 4, 0.25, 0.5, 1.0)
    assert stats.mean_relative_error == (0.5 + 0.25 + 0.25) / 3
    assert stats.sqnr_db == pytest.approx(10 * math.log10(21 / 1.5), rel=1e-15)
    assert stats.sqnr_ac_db == pytest.approx(10 * math.log10((21 - 9 / 4) / 1.5), rel=1e-15)
    assert stats.relative_l2 == math.sqrt(1.5 / 21)
    assert stats.cosine == pytest.approx(26.5 / math.sqrt(21 * 33.5), rel=1e-15)
    # cov = mean(xe) - mean x mean e = 5.5/4 - 0.1875, var x = 18.75/4, var e = 1.25/4
    assert stats.error_signal_correlation == pytest.approx(
        (5.5 / 4 - 0.1875) / math.sqrt(18.75 / 4 * 1.25 / 4), rel=1e-14
    )
    # 1.7609 and 6.0206 are printed to four decimals.
    assert stats.enob == pytest.approx((stats.sqnr_db - 1.7609) / 6.0206, abs=2e-5)


def test_everything_rounded_to_zero_correlates_fully_and_has_0_db() -> None:
    stats = measure([1.0, -2.0, 3.0], [0.0, 0.0, 0.0])
    assert stats.sqnr_db == 0
    assert stats.error_signal_correlation == pytest.approx(-1, abs=1e-15)
    assert (stats.zeroed_fraction, stats.relative_l2, stats.mean_relative_error, stats.cosine) == (1, 1, 1, None)


def test_no_error_is_an_infinite_ratio_and_no_share() -> None:
    stats = measure([1.0, 2.0], [1.0, 2.0])
    assert (stats.sqnr_db, stats.sqnr_ac_db, stats.enob) == (math.inf, math.inf, math.inf)
    assert (stats.mse, stats.relative_l2, stats.cosine, stats.error_signal_correlation) == (
        0,
        0,
        pytest.approx(1, abs=1e-15),
        None,
    )
    assert (stats.clipping_share, stats.rounding_share) == (None, None)


def test_no_signal_has_no_ratio() -> None:
    stats = measure([0.0, 0.0], [0.5, 0.0])
    assert (
        stats.sqnr_db,
        stats.sqnr_ac_db,
        stats.enob,
        stats.relative_l2,
        stats.cosine,
        stats.mean_relative_error,
    ) == (None,) * 6
    assert stats.mse == 0.125


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_nothing_measured_has_no_figures(shape: tuple[int, ...]) -> None:
    stats = measure(np.zeros(shape), np.zeros(shape))
    assert stats == ErrorStats()
    assert {getattr(stats, name) for name in METRICS if name not in ("theory_sqnr_db", "non_finite", "size_bytes")} == {
        None
    }
    assert (stats.numel, stats.size_bytes) == (0, 0)


def test_a_reconstruction_alone_says_nothing_of_steps_clipping_or_storage() -> None:
    stats = measure([1.0], [0.5])
    names = (
        "bits_per_weight",
        "step_min",
        "step_mean",
        "step_max",
        "half_step_bound",
        "rmse_in_steps",
        "clipped_fraction",
        "clipping_share",
        "rounding_share",
        "shannon_gap_db",
        "wasted_bits",
    )
    assert [getattr(stats, name) or None for name in names] == [None] * len(names)


def test_non_finite_elements_are_left_out_and_counted() -> None:
    stats = measure([1.0, math.nan, math.inf, -2.0], [1.5, 0.0, 0.0, -2.0])
    assert (stats.count, stats.non_finite, stats.numel, stats.max_abs_error) == (2, 2, 4, 0.5)


def test_different_shapes_fail() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: x has \(2,\), y has \(2, 1\); both must be the same tensor"):
        measure([1.0, 2.0], [[1.0], [2.0]])


def test_adding_covers_every_field() -> None:
    # Distinct primes: a field left out or swapped would show.
    fields = [field.name for field in dataclasses.fields(ErrorStats)]
    primes = [p for p in range(2, 400) if all(p % d for d in range(2, p))]
    first = ErrorStats(**dict(zip(fields, primes, strict=False)))
    second = ErrorStats(**dict(zip(fields, primes[len(fields) :], strict=False)))
    rules = {"max_abs_e": max, "step_low": min, "step_high": max}
    total = first + second
    for name in fields:
        assert getattr(total, name) == rules.get(name, lambda a, b: a + b)(
            getattr(first, name), getattr(second, name)
        ), name


@given(x=hnp.arrays(np.float32, st.integers(0, 40), elements=FLOATS), data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_parts_add_up_to_the_whole(x: np.ndarray, data: st.DataObject) -> None:
    y = x + data.draw(hnp.arrays(np.float32, x.size, elements=FLOATS))
    cut = data.draw(st.integers(0, x.size))
    parts = measure(x[:cut], y[:cut]) + ErrorStats() + measure(x[cut:], y[cut:])
    whole = measure(x, y)
    for field in dataclasses.fields(ErrorStats):
        # Another order of at most 40 float64 additions of terms below (2e6)^2, 1e45 times that for |e|/|x| of subnormals.
        size = (
            max(abs(getattr(whole, field.name)), whole.sum_x2, whole.sum_e2, 1)
            if field.name != "sum_relative"
            else whole.sum_relative
        )
        expected = getattr(whole, field.name)
        assert getattr(parts, field.name) == (
            expected if math.isinf(expected) else pytest.approx(expected, abs=40 * 2.0**-52 * size)
        ), field.name


def test_the_empty_value_is_neutral() -> None:
    stats = measure([1.0, -2.0], [0.5, -2.5])
    assert stats + ErrorStats() == stats == ErrorStats() + stats


def test_figures_of_known_sums() -> None:
    stats = ErrorStats(
        count=8,
        relative_count=8,
        sum_x2=8.0,
        sum_e2=0.5,
        clipped_e2=0.125,
        clipped=2,
        zeroed=1,
        sum_e2_in_steps=2.0,
        groups=2,
        step_sum=3.0,
        step_low=1.0,
        step_high=2.0,
        storage_bits=33,
    )
    assert (stats.bits_per_weight, stats.size_bytes) == (33 / 8, 5)
    assert (stats.step_min, stats.step_mean, stats.step_max, stats.half_step_bound) == (1, 1.5, 2, 1)
    assert (
        stats.clipping_share,
        stats.rounding_share,
        stats.clipped_fraction,
        stats.zeroed_fraction,
        stats.rmse_in_steps,
    ) == (0.25, 0.75, 0.25, 0.125, 0.5)
    assert stats.shannon_gap_db == pytest.approx(20 * math.log10(2) * 33 / 8 - 10 * math.log10(16), rel=1e-14)
    # A ratio of 16 needs 2 bits of an ideal code.
    assert stats.wasted_bits == pytest.approx(33 / 8 - 2, rel=1e-14)


def test_every_metric_is_a_column_with_a_direction() -> None:
    assert set(METRICS) <= set(COLUMNS)
    assert all(
        name == metric.name and metric.label and metric.formula and metric.better in ("higher", "lower", None)
        for name, metric in METRICS.items()
    )


def test_every_figure_among_the_columns_is_in_the_catalogue() -> None:
    described = {
        "tensor",
        "kind",
        "role",
        "stored",
        "shape",
        "dtype",
        "numel",
        "scheme",
        "format",
        "bits",
        "grouping",
        "symmetry",
        "range",
        "scale",
        "relative_count",
        "status",
        "reason",
    }
    assert set(COLUMNS) - described == set(METRICS)


def test_torch_agrees_on_sqnr_l2_and_cosine() -> None:
    import torch

    with warnings.catch_warnings():
        # The package around these three functions announces its move elsewhere.
        warnings.simplefilter("ignore")
        from torch.ao.ns.fx.utils import compute_cosine_similarity, compute_normalized_l2_error, compute_sqnr

    rng = np.random.default_rng(0)
    for text in ("int8 channel", "int4 group=32", "int3 asym", "int2 sym-full channel"):
        x = rng.normal(size=(64, 96)).astype(np.float32)
        y = Scheme.parse(text).fit(x).round_trip(x)
        ours, pair = measure(x, y), (torch.from_numpy(x), torch.from_numpy(y))
        # Theirs take float32 only: norms of 6144 terms, added in trees, keep 1e-4 dB, which is 1.2e-5 of a norm.
        assert ours.sqnr_db == pytest.approx(float(compute_sqnr(*pair)), abs=1e-4)
        assert ours.relative_l2 == pytest.approx(float(compute_normalized_l2_error(*pair)), rel=1.2e-5)
        assert ours.cosine == pytest.approx(float(compute_cosine_similarity(*pair)), abs=1.2e-5)


def test_histogram_counts_by_hand() -> None:
    histogram = Histogram.from_values([-1.0, 0.0, 0.24, 0.25, 1.0, 1.01, math.nan, math.inf], low=0, high=1, bins=4)
    assert histogram.counts.tolist() == [2, 1, 0, 1]
    # Infinity is not a value to count.
    assert (histogram.below, histogram.above, histogram.total) == (1, 1, 6)
    assert histogram.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]


@given(values=hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(-3, 3, width=32)), cut=st.integers(0, 50))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_histograms_of_parts_add_up_to_the_whole(values: np.ndarray, cut: int) -> None:
    whole, first, second = (
        Histogram.from_values(part, low=-1, high=1.5, bins=7) for part in (values, values[:cut], values[cut:])
    )
    total = first + second
    assert (total.counts.tolist(), total.below, total.above, total.total) == (
        whole.counts.tolist(),
        whole.below,
        whole.above,
        values.size,
    )
    counted = [
        int(((values >= low) & ((values < high) | ((values == 1.5) & (high == 1.5)))).sum())
        for low, high in zip(whole.edges, whole.edges[1:], strict=False)
    ]
    # np.histogram places by index arithmetic: a value within a rounding of an inner edge may fall beside it.
    near = [int((np.abs(values - edge) < 1e-6).sum()) for edge in whole.edges]
    assert all(abs(a - b) <= near[i] + near[i + 1] for i, (a, b) in enumerate(zip(counted, whole.counts, strict=True)))


@pytest.mark.parametrize(("low", "high", "bins"), [(1, 1, 4), (2, 1, 4), (0, 1, 0), (math.nan, 1, 4)])
def test_histogram_of_impossible_bins_fails(low: float, high: float, bins: int) -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(f"histogram of {bins} bins over [{low}, {high}]: needs low < high and at least one bin"),
    ):
        Histogram.from_values([1.0], low=low, high=high, bins=bins)


def test_histograms_over_different_bins_do_not_add() -> None:
    with pytest.raises(ValueError, match=r"histograms over different bins do not add: \(0, 1, 4\) and \(0, 1, 5\)"):
        Histogram.from_values([], low=0, high=1, bins=4) + Histogram.from_values([], low=0, high=1, bins=5)
