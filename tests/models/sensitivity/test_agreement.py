"""Are rank correlations those of scipy, and do their intervals hold the agreement that is there?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qanalysis.models.sensitivity.agreement import Orders, find_ends


@pytest.mark.parametrize("layers", [3, 8, 40])
@pytest.mark.parametrize("ties", [False, True], ids=["no-ties", "ties"])
def test_correlations_are_those_of_scipy(layers: int, ties: bool) -> None:
    generator = np.random.default_rng(layers)
    a, b = generator.normal(size=(2, 6, layers))
    b += a
    if ties:
        a, b = np.round(a), np.round(b)
    x, y = Orders(a), Orders(b)
    for row, (spearman, kendall) in enumerate(zip(x.find_spearman(y), x.find_kendall(y), strict=True)):
        if len(set(a[row])) == 1 or len(set(b[row])) == 1:
            assert math.isnan(spearman)
            assert math.isnan(kendall)
            continue
        # Ratios of sums of some thousand products: 1e-12 holds them.
        assert spearman == pytest.approx(stats.spearmanr(a[row], b[row]).statistic, abs=1e-12)
        assert kendall == pytest.approx(stats.kendalltau(a[row], b[row]).statistic, abs=1e-12)


def test_layers_without_damage_rank_below_all_others_and_tie() -> None:
    damage = np.array([-math.inf, 1.0, -math.inf, 2.0])
    assert Orders(damage).find_kendall(Orders(damage))[0] == 1
    assert Orders(damage).find_spearman(Orders(damage))[0] == 1


def test_one_damage_for_all_agrees_with_nothing() -> None:
    alike, rising = Orders(np.ones(4)), Orders(np.arange(4.0))
    assert math.isnan(alike.find_kendall(rising)[0])
    assert math.isnan(rising.find_spearman(alike)[0])


def test_an_interval_holds_the_agreement_of_true_damages() -> None:
    generator, repeats, hits = np.random.default_rng(1), 200, 0
    truth = np.stack([np.linspace(0, 3, 15), np.linspace(0, 3, 15) + generator.normal(0, 0.5, 15)])
    expected = stats.kendalltau(*truth).statistic
    for _repeat in range(repeats):
        seen = truth + generator.normal(0, 0.15, truth.shape)
        drawn = seen + generator.normal(0, 0.15, (200, *truth.shape))
        value = Orders(seen[0]).find_kendall(Orders(seen[1]))[0]
        low, high = find_ends(value, Orders(drawn[:, 0]).find_kendall(Orders(drawn[:, 1])))
        assert low <= value <= high
        hits += low <= expected <= high
    assert hits / repeats >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / repeats)
