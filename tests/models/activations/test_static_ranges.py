"""Static ranges from a streamed histogram against the range rules over all values."""

import numpy as np
import pytest

from qanalysis.models.activations.histograms import StreamedHistogram
from qanalysis.models.activations.static_ranges import find_static
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range

#: The vector of six numbers whose errors are known by hand.
SIX = np.float32([0.9, -0.1, 0.4, -0.7, 0.05, -0.35])


def see(values: np.ndarray, bins: int = 1 << 14) -> StreamedHistogram:
    found = StreamedHistogram(1, bins)
    for part in np.array_split(values.reshape(-1, 1), 7):
        found.add(part)
    return found


def lay(text: str, values: np.ndarray) -> float:
    scheme = Scheme.parse(text)
    return float(scheme.lay_grid(find_static(scheme, see(values))).scale[0])


def test_the_worked_vector_keeps_its_extremes_and_the_search_clips_at_096() -> None:
    assert lay("int4", SIX) == np.float32(0.9) / np.float32(7)
    found = find_static(Scheme.parse("int4 range=mse"), see(SIX))
    np.testing.assert_allclose(found.largest, 0.96 * 0.9, rtol=1e-6)
    scheme = Scheme.parse("int4 range=mse")
    step = scheme.lay_grid(found).scale[0]
    error = np.clip(np.rint(SIX / step), -7, 7) * step - SIX
    assert np.mean(error.astype(np.float64) ** 2) == pytest.approx(0.00121423, abs=5e-9)


RULES = ["minmax", "percentile:99.9", "percentile:90", "meanstd:3", "mse:100"]
KINDS = ["normal", "heavy tails", "after ReLU"]


def draw(kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    values = rng.standard_t(3, 20_000) if kind == "heavy tails" else rng.normal(size=20_000)
    return np.float32(np.maximum(values, 0) if kind == "after ReLU" else values)


@pytest.mark.parametrize("symmetry", ["sym", "asym"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_rules_agree_with_those_over_all_values(rule: str, symmetry: str, kind: str) -> None:
    values = draw(kind)
    scheme = Scheme.parse(f"int8 {symmetry} range={rule}")
    layout = scheme.lay_out(values.shape)
    whole = scheme.find_statistic(layout.to_matrix(values), layout)
    found = find_static(scheme, see(values))
    assert isinstance(whole, Range)
    assert isinstance(found, Range)
    if rule in ("minmax", "meanstd:3"):
        np.testing.assert_allclose([found.low, found.high], [whole.low, whole.high], rtol=2e-7)
    elif rule.startswith("percentile"):
        # a bin is the span, a power of two at most twice the largest magnitude, over 2^14
        bin_width = 2 * np.abs(values).max() / (1 << 14)
        np.testing.assert_allclose([found.low, found.high], [whole.low, whole.high], atol=bin_width)
    else:
        # another minimum of a search may be as good: what counts is the error over all values
        errors = []
        for one in (found, whole):
            fitted = scheme.lay_grid(one)
            y = pass_through(values, fitted, layout).y
            errors.append(np.mean((y - values).astype(np.float64) ** 2))
        assert errors[0] <= errors[1] * 1.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bins", [128, 2048])
def test_least_divergence_clips_where_it_does_over_all_values(bins: int, kind: str) -> None:
    values, scheme = draw(kind), Scheme.parse(f"int4 range=kl:{bins}")
    layout = scheme.lay_out(values.shape)
    whole = scheme.find_statistic(layout.to_matrix(values), layout)
    found = find_static(scheme, see(values))
    assert isinstance(whole, Range)
    assert isinstance(found, Range)
    # of 2048 bins a few values fall into the neighbour's, and neighbouring edges are almost as good
    np.testing.assert_allclose(found.high, whole.high, rtol=1e-6 if bins == 128 else 0.01)


def test_one_sided_values_begin_at_zero() -> None:
    values = np.float32(np.random.default_rng(6).exponential(size=3000))
    found = find_static(Scheme.parse("int8 asym range=percentile:99"), see(values))
    grid = Scheme.parse("int8 asym range=percentile:99").lay_grid(found)
    assert grid.zero_point.tolist() == [0]


@pytest.mark.parametrize("text", ["int8", "int8 asym", "int8 range=mse", "int8 range=kl", "int8 range=percentile:99"])
def test_values_that_are_all_zero_get_a_range_of_the_least_width(text: str) -> None:
    found = find_static(Scheme.parse(text), see(np.zeros(50, np.float32)))
    assert isinstance(found, Range)
    assert (found.high - found.low).tolist() == [np.float32(1e-8)]


def test_a_constant_keeps_its_magnitude() -> None:
    assert lay("int8", np.full(50, 3, np.float32)) == np.float32(3) / np.float32(127)
    assert lay("int8 asym", np.full(50, 3, np.float32)) == np.float32(3) / np.float32(255)


def test_signs_take_means() -> None:
    assert lay("binary", SIX) == np.float32(0.41666667)
    # 0.7 mean |x| is 0.29167; above it stand 0.9, 0.4, 0.7 and 0.35
    assert lay("ternary", SIX) == pytest.approx(0.5875, rel=1e-6)


def test_nothing_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="no finite value"):
        find_static(Scheme.parse("int8"), see(np.full(9, np.nan, np.float32)))
    with pytest.raises(ValueError, match="no static range"):
        find_static(Scheme.parse("gguf:q4_0"), see(SIX))
