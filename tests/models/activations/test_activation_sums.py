"""Figures of activations against numpy and scipy over all values at once."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from qanalysis.models.activations.activation_sums import ActivationSums


def see(tokens: np.ndarray, cuts: list[int]) -> ActivationSums:
    found = ActivationSums(tokens.shape[1])
    for part in np.split(tokens, cuts):
        found.add(part)
    return found


def draw() -> np.ndarray:
    rng = np.random.default_rng(7)
    tokens = rng.standard_t(5, (500, 40)).astype(np.float32)
    tokens[:, 3] *= 50
    tokens[:, 17] = 0
    return tokens


def test_figures_are_those_of_all_values() -> None:
    tokens = draw()
    found, values = see(tokens, [100, 101, 400]).describe(), tokens.astype(np.float64)
    energies = np.square(values).sum(0)
    assert found["rms"] == pytest.approx(np.sqrt(np.square(values).mean()), rel=1e-12)
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-9)
    assert found["crest_db"] == pytest.approx(20 * np.log10(np.abs(values).max() / found["rms"]), rel=1e-12)
    assert found["excess_kurtosis"] == pytest.approx(kurtosis(values, axis=None), rel=1e-9)
    assert found["zero_share"] == 1 / 40
    # the hundredth of 40 features is one feature
    assert found["top_energy_share"] == pytest.approx(energies.max() / energies.sum(), rel=1e-12)
    assert (found["tokens"], found["calls"], found["features"]) == (500, 4, 40)


def test_an_outlier_is_a_feature_above_six_times_the_median_of_largest_magnitudes() -> None:
    tokens = np.ones((4, 5), np.float32)
    tokens[0] = [1, 2, 3, 18.1, 0]  # of 1, 2, 3 and 18.1 the median is 2.5; the dead feature takes no part
    tokens[:, 4] = 0
    found = see(tokens, []).describe()
    assert found["outlier_features"] == 1
    (outlier,) = found["outliers"]
    assert outlier["feature"] == 3
    assert outlier["times_median"] == pytest.approx(18.1 / 2.5, rel=1e-6)
    assert outlier["energy_share"] == pytest.approx((18.1**2 + 3) / (4 + 7 + 12 + 18.1**2 + 3), rel=1e-6)


@pytest.mark.parametrize("cuts", [[], [1, 2], list(range(7, 500, 7))], ids=["whole", "few", "sevens"])
def test_batches_change_no_figure_and_parts_add(cuts: list[int]) -> None:
    tokens = draw()
    whole, parts = see(tokens, []).describe(), see(tokens, cuts).describe()
    both = (see(tokens[:200], []) + see(tokens[200:], []) + ActivationSums(40)).describe()
    for name in ("rms", "mean", "crest_db", "excess_kurtosis", "top_energy_share"):
        # float64 sums of 20,000 values in another order
        assert parts[name] == pytest.approx(whole[name], rel=1e-10)
        assert both[name] == pytest.approx(whole[name], rel=1e-10)
    assert parts["outliers"][0]["absmax"] == whole["outliers"][0]["absmax"]


def test_what_has_no_figure_has_none() -> None:
    empty = ActivationSums(3).describe()
    assert (empty["low"], empty["rms"], empty["crest_db"], empty["excess_kurtosis"]) == (None, None, None, None)
    constant = see(np.full((5, 2), 3, np.float32), [])
    assert constant.excess_kurtosis is None
    assert constant.crest_db == pytest.approx(0)
    strange = see(np.float32([[np.nan, 1], [np.inf, 3]]), [])
    assert strange.describe()["non_finite"] == 2
    assert strange.rms == pytest.approx(np.sqrt(5))


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 features after one of 3"):
        ActivationSums(3).add(np.zeros((1, 2), np.float32))
