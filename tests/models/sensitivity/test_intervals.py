"""Do intervals hold what they promise? Synthetic damages whose truth is known, and derivatives taken numerically."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from qanalysis.arrays import Doubles
from qanalysis.models.sensitivity.intervals import (
    MOST_GROUPS,
    Cosine,
    Estimate,
    Estimator,
    Ratio,
    Resampling,
    Share,
    estimate_all,
)
from qanalysis.models.sensitivity.quantiles import estimate_quantile

Source = Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]


def _estimate(one: Estimator, samples: int, *, seed: int = 0, draws: int = 300) -> Estimate:
    return estimate_all({"it": one}, Resampling.draw(samples, seed=seed, draws=draws))["it"]


def _draw_lognormal(generator: np.random.Generator, samples: int) -> tuple[Doubles, Doubles]:
    wholes = generator.gamma(4, 0.25, samples)
    return wholes * np.exp(generator.normal(0, 1, samples) - 0.5), wholes


def _draw_exponential(generator: np.random.Generator, samples: int) -> tuple[Doubles, Doubles]:
    return generator.exponential(1, samples), np.ones(samples)


@pytest.mark.parametrize(
    ("source", "samples", "expected"),
    [
        pytest.param(_draw_exponential, 30, 0.95, id="exponential-30"),
        pytest.param(_draw_exponential, 100, 0.94, id="exponential-100"),
        pytest.param(_draw_lognormal, 30, 0.905, id="log-normal-30"),
        pytest.param(_draw_lognormal, 100, 0.925, id="log-normal-100"),
        pytest.param(_draw_lognormal, 1000, 0.95, id="log-normal-1000"),
    ],
)
def test_an_interval_of_a_ratio_covers_the_truth_as_often_as_is_said(
    source: Source, samples: int, expected: float
) -> None:
    generator, repeats, hits = np.random.default_rng(7), 200, 0
    for repeat in range(repeats):
        found = _estimate(Ratio(*source(generator, samples), is_log=True), samples, seed=repeat)
        hits += found.low <= 1 <= found.high
    # Three standard deviations of a share over that many repeats, and the second digit of what is said.
    assert abs(hits / repeats - expected) <= 3 * math.sqrt(expected * (1 - expected) / repeats) + 0.01


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_an_interval_of_a_share_covers_the_truth(share: float) -> None:
    generator, repeats, hits = np.random.default_rng(8), 300, 0
    for repeat in range(repeats):
        right = (generator.random(100) < share).astype(float)
        found = _estimate(Share(right, np.ones(100)), 100, seed=repeat, draws=50)
        hits += found.low <= share <= found.high
    assert hits / repeats >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / repeats)


def test_all_right_of_thirty_leaves_room_below() -> None:
    found = _estimate(Share(np.ones(30), np.ones(30)), 30)
    t = 2.0452  # Student's t at 97.5 % with 29 degrees of freedom; Wilson's low end of 30 of 30 is n / (n + t^2)
    assert found.low == pytest.approx(30 / (30 + t * t), abs=1e-5)
    assert found.value == found.high == 1


def test_the_interval_of_a_quantile_covers_the_truth() -> None:
    generator, repeats, hits = np.random.default_rng(9), 150, 0
    truth = math.log(100)
    for repeat in range(repeats):
        positions = generator.exponential(1, 2000)
        groups = np.repeat(np.arange(200), 10)
        found = estimate_quantile(positions, groups, 0.99, Resampling.draw(200, seed=repeat, draws=200))
        assert found.low <= found.value <= found.high
        hits += found.low <= truth <= found.high
    assert hits / repeats >= 0.94 - 3 * math.sqrt(0.94 * 0.06 / repeats)


def test_the_quantile_of_a_draw_is_that_of_its_positions() -> None:
    generator = np.random.default_rng(10)
    positions, groups = generator.exponential(1, 700).astype(np.float32), np.repeat(np.arange(70), 10)
    resampling = Resampling.draw(70, seed=3, draws=25)
    found = estimate_quantile(positions, groups, 0.99, resampling)
    for weights, damage in zip(resampling.weights, found.damages, strict=True):
        repeated = np.repeat(positions, weights[groups].astype(int))
        # 7 of 700 positions may lie above it; float32 values, exact.
        assert math.exp(damage) == pytest.approx(float(np.sort(repeated)[-8]), rel=1e-12)


def test_a_ratio_without_spread_has_an_interval_without_width() -> None:
    wholes = np.arange(1.0, 21)
    found = _estimate(Ratio(3 * wholes, wholes, is_log=True), 20)
    # Residuals are rounding: 20 terms of 60 units in the last place at most.
    assert (found.low, found.high) == pytest.approx((3, 3), rel=1e-14)


def test_no_damage_is_zero_and_hurts_less_than_anything() -> None:
    found = _estimate(Ratio(np.zeros(9), np.ones(9), is_log=True), 9)
    assert (found.low, found.value, found.high, found.damage) == (0, 0, 0, -math.inf)


def test_a_damage_of_one_sample_alone_has_no_end_above_and_no_warning() -> None:
    # One sample of two hundred holds all the damage: its logarithm reaches beyond what float64 holds.
    parts = np.zeros(200)
    parts[0] = 1.0
    found = _estimate(Ratio(parts, np.ones(200), is_log=True), 200)
    assert 0 <= found.low <= found.value <= found.high


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_few_samples_get_students_interval(samples: int) -> None:
    parts = np.arange(1.0, samples + 1)
    found = _estimate(Ratio(parts, np.ones(samples)), samples)
    t = {2: 12.706205, 3: 4.302653, 4: 3.182446}[samples]
    assert found.high - found.value == pytest.approx(t * parts.std(ddof=1) / math.sqrt(samples), rel=1e-5)


def test_a_single_sample_has_no_interval() -> None:
    found = estimate_all({"it": Ratio(np.ones(1), np.ones(1))}, None)["it"]
    assert (found.value, found.damages.size) == (1, 0)
    assert math.isnan(found.low)
    with pytest.raises(ValueError, match="1 samples: an interval needs at least 2"):
        Resampling.draw(1, seed=0)


def test_intervals_do_not_depend_on_the_scale_and_are_the_same_again() -> None:
    parts, wholes = _draw_lognormal(np.random.default_rng(1), 40)
    found, again = (_estimate(Ratio(parts, wholes, is_log=True), 40) for _ in range(2))
    scaled = _estimate(Ratio(parts * 2.0**-30, wholes, is_log=True), 40)
    assert (found.low, found.high) == (again.low, again.high)
    assert scaled.low == pytest.approx(found.low * 2.0**-30, rel=1e-12)


def _make_outputs(size: float) -> tuple[Doubles, Doubles]:
    generator = np.random.default_rng(4)
    y = generator.normal(size=(50, 8)) * np.exp(generator.normal(size=(50, 1)))
    return y, y + size * generator.normal(size=(50, 8)) * np.abs(y) ** 1.3


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-5], ids=["coarse", "fine", "very-fine"])
def test_a_cosine_and_its_standard_error_follow_from_sums(size: float) -> None:
    y, q = _make_outputs(size)
    y2, ye, e2 = (y * y).sum(1), (y * (q - y)).sum(1), ((q - y) ** 2).sum(1)
    one = Cosine(y2, ye, e2)
    plain = (y * q).sum() / math.sqrt((y * y).sum() * (q * q).sum())
    # The plain formula loses what the cosine lacks of one: some units in the last place of one.
    assert one.value == pytest.approx(plain, abs=1e-15 * 8)

    def lack(number: int, step: float) -> float:
        w = np.ones(50)
        w[number] += step
        sums = (w @ one.columns)[:3]
        y_all, z, e = sums
        q_all = y_all + 2 * z + e
        return float((y_all * e - z * z) / (y_all * q_all) / (1 + (y_all + z) / math.sqrt(y_all * q_all)))

    slopes = np.array([(lack(number, 1e-3) - lack(number, -1e-3)) / 2e-3 for number in range(50)])
    # Central differences with steps of a thousandth err by their square.
    assert one._own == pytest.approx(math.sqrt((slopes**2).sum()), rel=1e-3)


def test_the_interval_of_a_cosine_holds_it() -> None:
    y, q = _make_outputs(1e-4)
    found = _estimate(Cosine((y * y).sum(1), (y * (q - y)).sum(1), ((q - y) ** 2).sum(1)), 50)
    assert 0 < 1 - found.high < 1 - found.value < 1 - found.low < 1e-6


def test_many_samples_are_drawn_in_groups_that_keep_every_sum() -> None:
    samples = 3 * MOST_GROUPS + 5
    resampling = Resampling.draw(samples, seed=0, draws=2)
    grouped = resampling.group(np.arange(float(samples)))
    assert grouped.shape == (MOST_GROUPS,)
    assert grouped.sum() == samples * (samples - 1) / 2
    assert grouped[7] == 7 + (MOST_GROUPS + 7) + (2 * MOST_GROUPS + 7)
