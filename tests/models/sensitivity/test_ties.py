"""Do layers share a rank exactly where samples can not tell them apart?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.arrays import Doubles
from qanalysis.models.sensitivity.intervals import Resampling
from qanalysis.models.sensitivity.ties import Place, find_critical, rank_damages

_SAMPLES = 60


def _rank(energies: Doubles, *, seed: int = 0, draws: int = 400) -> list[Place]:
    """Ranks of layers from their energies, (samples, layers)."""
    drawn = Resampling.draw(len(energies), seed=seed, draws=draws).weights @ energies
    return rank_damages(np.log(energies.sum(axis=0)), np.log(drawn), samples=len(energies))


def _make_energies(generator: np.random.Generator, layers: int, samples: int = _SAMPLES) -> Doubles:
    """Log-normal, a spread of one, half of it common to all layers: they are all alike."""
    common = generator.normal(size=(samples, 1))
    return np.exp(math.sqrt(0.5) * (common + generator.normal(size=(samples, layers))))


def test_the_same_layer_twice_ties() -> None:
    energies = _make_energies(np.random.default_rng(0), 1)
    assert _rank(np.repeat(energies, 3, axis=1)) == [Place(1, 1)] * 3


def test_layers_far_apart_do_not_tie_and_the_largest_comes_first() -> None:
    energies = _make_energies(np.random.default_rng(1), 3) * [1.0, 100.0, 10.0]
    assert _rank(energies) == [Place(3, 3), Place(1, 1), Place(2, 2)]


def test_a_constant_factor_tells_layers_apart_however_much_samples_vary() -> None:
    one = _make_energies(np.random.default_rng(2), 1)
    assert _rank(np.concatenate([one, 1.01 * one], axis=1)) == [Place(2, 2), Place(1, 1)]


def test_a_group_ends_where_a_layer_differs_from_its_first_member() -> None:
    damage = np.array([0.0, -0.5, -1.0, -1.5])
    noise = np.random.default_rng(3).normal(size=(2000, 4)) * 0.2
    # The standard error of a difference is 0.28 and some 2.6 of them are the limit: 0.75 lies between 0.5 and 1.
    assert rank_damages(damage, damage + noise, samples=10_000) == [Place(1, 1), Place(1, 1), Place(3, 2), Place(3, 2)]


def test_layers_without_any_damage_tie_and_stand_behind_the_others() -> None:
    energies = np.concatenate([np.zeros((_SAMPLES, 2)), _make_energies(np.random.default_rng(4), 1)], axis=1)
    with np.errstate(divide="ignore"):
        assert _rank(energies) == [Place(2, 2), Place(2, 2), Place(1, 1)]


def test_layers_in_the_noise_are_one_group_at_the_end() -> None:
    damage = np.array([3.0, 5.0, 4.0, 2.0])
    found = rank_damages(damage, None, samples=1, in_noise=[False, True, False, True])
    assert found == [Place(2, 2), Place(3, 3), Place(1, 1), Place(3, 3)]
    assert rank_damages(damage[:2], None, samples=1, in_noise=[True, True]) == [Place(1, 1), Place(1, 1)]


def test_without_draws_only_equal_damages_tie() -> None:
    assert rank_damages(np.array([1.0, 2.0, 1.0, 3.0]), None, samples=1) == [
        Place(3, 3),
        Place(2, 2),
        Place(3, 3),
        Place(1, 1),
    ]
    assert rank_damages(np.zeros(0), None, samples=1) == []


@pytest.mark.parametrize(("layers", "samples"), [(8, 100), (20, 200)])
def test_rankings_of_layers_that_are_alike_seldom_show_a_split(layers: int, samples: int) -> None:
    generator, repeats, splits = np.random.default_rng(5), 100, 0
    for repeat in range(repeats):
        found = _rank(_make_energies(generator, layers, samples), seed=repeat, draws=300)
        splits += any(place.tie_group > 1 for place in found)
    # 0.05 is promised and 0.07 was measured over 200 repeats; three standard deviations over 100.
    assert splits / repeats <= 0.07 + 3 * math.sqrt(0.07 * 0.93 / repeats)


def test_the_limit_is_that_of_tukeys_range_where_damages_are_normal() -> None:
    noise = np.random.default_rng(6).normal(size=(20_000, 5))
    # The studentized range of 5 at 95 % with many degrees of freedom is 3.858; a difference has the root of 2 more.
    assert find_critical(np.zeros(5), noise, samples=10**7) == pytest.approx(3.858 / math.sqrt(2), rel=0.01)
