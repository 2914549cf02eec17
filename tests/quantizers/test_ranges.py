"""Range rules: text forms, worked values, what each rule promises, and plain numpy forms of the two searches."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.quantizers.ranges import (
    KullbackLeibler,
    MeanSquaredError,
    MeanStd,
    MinMax,
    Percentile,
    RangeRule,
    parse_range,
    shorten_range,
)
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range

TEXTS = [
    "minmax",
    "percentile:99.9",
    "percentile:100",
    "percentile:50.5",
    "meanstd:3",
    "meanstd:0",
    "meanstd:2.25",
    "mse:100",
    "mse:1",
    "mse:37",
    "kl:2048",
    "kl:16",
]
RULES: list[RangeRule] = [MinMax(), Percentile(99.0), MeanStd(), MeanSquaredError(20), KullbackLeibler(64)]
WEIGHTS = np.float32([0.9, -0.1, 0.4, -0.7, 0.05, -0.35])


def find_range(x: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray]:
    scheme = Scheme.parse(text)
    layout = scheme.grouping.lay_out(x.shape)
    found = scheme.find_statistic(layout.to_matrix(x), layout)
    assert isinstance(found, Range)
    return found.low, found.high


@pytest.mark.parametrize("text", TEXTS)
def test_text_forms_parse_back(text: str) -> None:
    assert str(parse_range(text)) == text
    assert parse_range(shorten_range(parse_range(text))) == parse_range(text)


@given(percent=st.floats(50, 100, exclude_min=True), factor=st.floats(0, 1e6, exclude_max=True))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_number_parses_back_from_its_text(percent: float, factor: float) -> None:
    for rule in (Percentile(percent), MeanStd(factor)):
        assert parse_range(str(rule)) == rule


def test_defaults_may_be_left_out() -> None:
    assert [str(parse_range(word)) for word in ("meanstd", "mse", "kl")] == ["meanstd:3", "mse:100", "kl:2048"]
    assert [shorten_range(parse_range(text)) for text in ("meanstd:3", "mse:100", "kl:2048", "mse:50")] == [
        "meanstd",
        "mse",
        "kl",
        "mse:50",
    ]


@pytest.mark.parametrize("text", ["", "max", "minmax:2", "percent:99", "minmax:"])
def test_unknown_rules_fail_and_name_the_choices(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"range '{text}' is unknown; rules are minmax, percentile:P, meanstd:K, mse:N, kl:BINS"
    ):
        parse_range(text)


def test_percentile_needs_its_number() -> None:
    with pytest.raises(ValueError, match=r"range 'percentile' needs its P, for example percentile:99\.9"):
        parse_range("percentile")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("percentile:", "number"),
        ("percentile:x", "number"),
        ("meanstd:-1", "number"),
        ("mse:2.5", "whole number"),
        ("kl:nan", "whole number"),
    ],
)
def test_argument_must_be_a_number(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"range '{text}': '.*' is not a {kind}"):
        parse_range(text)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Percentile(50), "range percentile:50: the percentile lies above 50 and at most at 100"),
        (lambda: Percentile(100.5), "range percentile:100.5: the percentile lies above 50"),
        (lambda: Percentile(math.nan), "range percentile:nan: the percentile lies above 50"),
        (lambda: MeanStd(-1), "range meanstd:-1: the factor K is 0 or more, and finite"),
        (lambda: MeanStd(math.inf), "range meanstd:inf: the factor K is 0 or more, and finite"),
        (lambda: MeanSquaredError(0), r"range mse:0: the number of clip fractions N is 1 to 10000"),
        (lambda: MeanSquaredError(10_001), r"range mse:10001: the number of clip fractions N is 1 to 10000"),
        (lambda: KullbackLeibler(15), "range kl:15: the number of histogram bins is 16 to 65536"),
        (lambda: KullbackLeibler(65_537), "range kl:65537: the number of histogram bins is 16 to 65536"),
    ],
)
def test_arguments_outside_their_bounds_fail(build: Callable[[], RangeRule], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_percentile_is_numpys_of_magnitudes_or_of_both_tails() -> None:
    x = np.random.default_rng(0).normal(size=(3, 101)).astype(np.float32)
    low, high = find_range(x, "int4 channel range=percentile:97")
    np.testing.assert_array_equal(high, np.percentile(np.abs(x), 97, axis=1))
    np.testing.assert_array_equal(low, -high)
    low, high = find_range(x, "int4 asym channel range=percentile:97")
    np.testing.assert_array_equal(low, np.percentile(x, 3, axis=1))
    np.testing.assert_array_equal(high, np.percentile(x, 97, axis=1))


def test_percentile_interpolates_linearly() -> None:
    # |x| sorted 1, 2, 3, 4, 5: the 90th percentile stands at place 3.6.
    low, high = find_range(np.float32([5, -1, 3, -4, 2]), "int4 range=percentile:90")
    assert (low[0], high[0]) == (-np.float32(4.6), np.float32(4.6))


@given(
    x=hnp.arrays(np.float32, (3, 11), elements=st.floats(-100, 100, width=32)),
    symmetry=st.sampled_from(["sym", "asym"]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_percentile_100_gives_the_grid_of_minmax(x: np.ndarray, symmetry: str) -> None:
    ours, theirs = (
        Scheme.parse(f"int4 {symmetry} group=4 range={rule}").fit(x) for rule in ("percentile:100", "minmax")
    )
    np.testing.assert_array_equal(ours.step, theirs.step)
    np.testing.assert_array_equal(ours.zero_point, theirs.zero_point)


def test_meanstd_adds_deviations_to_the_mean_magnitude() -> None:
    # |x| = 1, 2, 3, 4: mean 2.5, population deviation sqrt(1.25).
    x = np.float32([1, -2, 3, -4])
    edge = np.float32(2.5 + 2 * math.sqrt(1.25))
    assert [float(end[0]) for end in find_range(x, "int4 range=meanstd:2")] == [-edge, edge]


def test_meanstd_of_asymmetric_grids_stays_inside_the_data() -> None:
    low, high = find_range(np.float32([0, 1, 2, 3]), "int4 asym range=meanstd:9")
    assert (low[0], high[0]) == (0, 3)


def test_mse_search_picks_fraction_0_96_of_the_six_weights() -> None:
    low, high = find_range(WEIGHTS, "int4 range=mse")
    assert high[0] == np.float32(0.9) * np.float32(0.96)
    assert low[0] <= 0
    e = Scheme.parse("int4 range=mse").fit(WEIGHTS).round_trip(WEIGHTS).astype(np.float64) - WEIGHTS
    # Printed to six digits; float32 values leave 2^-24 * 0.9 in an e of 0.03.
    assert np.mean(e**2) == pytest.approx(0.00121423, abs=5e-9)


@pytest.mark.parametrize("symmetry", ["sym", "sym-full", "sym-noclip", "sym-clip", "asym"])
@pytest.mark.parametrize("scale", ["float32", "pow2"])
def test_mse_search_finds_the_best_fraction_of_a_plain_loop(symmetry: str, scale: str) -> None:
    x = np.random.default_rng(1).standard_t(3, size=(4, 50)).astype(np.float32)
    text = f"int3 {symmetry} channel scale={scale}"
    scheme = Scheme.parse(text)
    layout = scheme.grouping.lay_out(x.shape)
    low, high = x.min(axis=1), x.max(axis=1)
    best = np.full(4, np.inf)
    for part in range(1, 31):
        grid = scheme.lay_grid(Range(low * np.float32(part / 30), high * np.float32(part / 30)))
        step, zero_point = layout.spread(grid.step), layout.spread(grid.zero_point)
        y = (
            np.clip(np.rint(x * (np.float32(1) / step)) + zero_point, grid.coder.low, grid.coder.high) - zero_point
        ) * step
        best = np.minimum(best, np.square(y.astype(np.float64) - x).sum(axis=1))
    found = Scheme.parse(text + " range=mse:30").fit(x).round_trip(x).astype(np.float64) - x
    # The search adds 50 squares in float32: 54 * 2^-24 may swap two candidates that close.
    np.testing.assert_allclose(np.square(found).sum(axis=1), best, rtol=2 * 54 * 2.0**-24)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("symmetry", ["sym", "asym"])
def test_non_finite_elements_are_left_out(rule: RangeRule, symmetry: str) -> None:
    clean = np.random.default_rng(2).normal(size=(1, 60)).astype(np.float32)
    dirty = np.concatenate([clean[:, :30], np.float32([[np.nan, np.inf, -np.inf]]), clean[:, 30:]], axis=1)
    ours, theirs = (find_range(x, f"int4 {symmetry} range={rule}") for x in (dirty, clean))
    if isinstance(rule, MinMax | Percentile):
        np.testing.assert_array_equal(ours, theirs)
    else:
        # Zeros stand for the missing elements in a search, which have no error on any grid; means are float64.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6 if isinstance(rule, MeanStd | MeanSquaredError) else 0.3)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(
    "values",
    [np.zeros((2, 9)), np.full((2, 9), np.nan), np.full((2, 9), 0.3), np.full((2, 1), -0.7)],
    ids=["zeros", "nan", "constant", "one element"],
)
@pytest.mark.parametrize("symmetry", ["sym", "asym"])
def test_degenerate_groups_get_finite_ranges_without_a_warning(
    rule: RangeRule, values: np.ndarray, symmetry: str
) -> None:
    low, high = find_range(values.astype(np.float32), f"int4 {symmetry} channel range={rule}")
    assert np.isfinite([low, high]).all()
    assert low.shape == high.shape == (2,)


def divergences(magnitudes: np.ndarray, bins: int, levels: int) -> dict[int, float]:
    """D(P || Q) in nats by edge, for edges that keep half of the values.

    P is the histogram clipped at the edge with the tail in its last non-empty bin, Q its `levels` cells, without the tail,
    each spread evenly over the cell's non-empty bins.
    """
    top = magnitudes.max()
    counts = np.bincount(
        np.minimum((magnitudes.astype(np.float64) / float(top) * bins).astype(int), bins - 1), minlength=bins
    ).astype(float)
    found = {}
    for edge in range(levels, bins + 1):
        kept = counts[:edge]
        if 2 * kept.sum() < counts.sum():
            continue
        p, q = kept.copy(), np.zeros(edge)
        p[np.flatnonzero(kept)[-1]] += counts[edge:].sum()
        for cell in range(levels):
            part = slice(cell * edge // levels, (cell + 1) * edge // levels)
            used = kept[part] > 0
            if used.any():
                q[part] = np.where(used, kept[part].sum() / used.sum(), 0)
        p, q = p / p.sum(), q / q.sum()
        used = p > 0
        found[edge] = float(np.sum(p[used] * np.log(p[used] / q[used])))
    return found


@pytest.mark.parametrize("bits", [4, 8])
def test_kl_rule_finds_the_edge_of_a_plain_numpy_search(bits: int) -> None:
    x = np.random.default_rng(3).normal(size=4096).astype(np.float32)
    bins = 512
    by_edge = divergences(np.abs(x), bins, 2 ** (bits - 1) - 1)
    _low, high = find_range(x, f"int{bits} range=kl:{bins}")
    edge = round(float(high[0] / np.abs(x).max()) * bins)
    # Both are float64 sums of 512 terms near 1: they agree to 1e-12, and so do equal minima.
    assert by_edge[edge] == pytest.approx(min(by_edge.values()), abs=1e-12)
    assert high[0] == np.float32(float(np.abs(x).max()) * edge / bins)


def test_kl_rule_clips_an_outlier() -> None:
    x = np.append(np.random.default_rng(4).normal(size=4096), 100.0).astype(np.float32)
    assert find_range(x, "int8 range=kl")[1][0] < 20


@pytest.mark.parametrize("text", ["minmax", "percentile:90", "meanstd:1", "mse:20", "kl:64"])
def test_a_rule_that_does_not_ask_the_grid_finds_one_range_for_all_widths(text: str) -> None:
    x = np.random.default_rng(2).standard_t(2, size=(8, 200)).astype(np.float32)
    found = []
    for bits in (2, 5, 8):
        scheme = Scheme.parse(f"int{bits} channel range={text}")
        found.append(scheme.find_statistic(x, scheme.lay_out(x.shape)))
    assert all(isinstance(one, Range) for one in found)
    same = all(np.array_equal(found[0].low, one.low) and np.array_equal(found[0].high, one.high) for one in found)
    assert same is not parse_range(text).asks_grid
