"""Statistics of groups: worked values of each kind, what is left out, and parts that are taken."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import (
    DoubledScale,
    Extremes,
    LargestOfTensor,
    MeanMagnitude,
    Range,
    SignedLargest,
    Statistic,
    Threshold,
)

NAN, INF = np.nan, np.inf
X = np.float32([[1, -3, 3, 2], [0, 0, 0, 0], [NAN, INF, -0.5, 0.25], [NAN, NAN, -INF, INF]])
ROWS = Grouping(1).lay_out(X.shape)


def find(kind: type[Statistic], x: np.ndarray = X) -> list[list[float]]:
    found = kind.find(x, Grouping(1).lay_out(x.shape))
    assert all(getattr(found, part.name).dtype == np.float32 for part in fields(found))
    return [getattr(found, part.name).tolist() for part in fields(found)]


def test_extremes_leave_out_what_is_not_finite_and_are_zero_where_nothing_is_left() -> None:
    assert find(Extremes) == [[-3, 0, -0.5, 0], [3, 0, 0.25, 0]]
    # Not widened to hold 0: GGUF's offset blocks begin at the smallest value.
    assert find(Extremes, np.float32([[2, 5]])) == [[2], [5]]


def test_the_signed_largest_is_the_first_of_equals() -> None:
    assert find(SignedLargest) == [[-3, 0, -0.5, 0]]
    assert find(SignedLargest, np.float32([[3, -3], [-1, 2]])) == [[3, 2]]


def test_means_are_of_magnitudes_and_of_those_above_seven_tenths_of_the_mean() -> None:
    assert find(MeanMagnitude, X[:2]) == [[9 / 4, 0]]
    # 0.7 * 2.25 = 1.575: 3, 3 and 2 lie above.
    threshold, above = find(Threshold, X[:2])
    assert threshold == [np.float32(0.7) * np.float32(2.25), 0]
    assert above == [np.float32(8 / 3), 0]


def test_a_range_knows_its_largest_magnitude() -> None:
    assert Range(np.float32([-3, -1]), np.float32([2, 4])).largest.tolist() == [3, 4]


@pytest.mark.parametrize(
    "kind", [Range, Extremes, SignedLargest, MeanMagnitude, Threshold, LargestOfTensor, DoubledScale]
)
def test_taking_groups_keeps_the_kind_and_every_part(kind: type[Statistic]) -> None:
    parts = {
        part.name: np.float32([10 * place, 10 * place + 1, 10 * place + 2]) for place, part in enumerate(fields(kind))
    }
    taken = kind(**parts).take(lambda values: values[1:])
    assert type(taken) is kind
    assert {name: getattr(taken, name).tolist() for name in parts} == {
        name: values[1:].tolist() for name, values in parts.items()
    }


@pytest.mark.parametrize("kind", [Range, LargestOfTensor, DoubledScale])
def test_what_values_alone_do_not_tell_is_refused(kind: type[Statistic]) -> None:
    with pytest.raises(
        TypeError, match=f"{kind.__name__} of 4 groups in 16 values: a range rule or the whole tensor gives it"
    ):
        kind.find(X, ROWS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_lays_its_grids_over_the_statistic_that_it_names(name: str) -> None:
    x = np.random.default_rng(41).standard_normal((2, 256), dtype=np.float32)
    scheme = Scheme.parse(name)
    layout = scheme.lay_out(x.shape)
    found = scheme.find_statistic(x, layout)
    assert isinstance(found, LargestOfTensor if scheme.has_outer_scale else scheme.format.statistic)
    grid = scheme.lay_grid(found)
    assert grid.coder == scheme.coder
    assert grid.scale.shape == (layout.groups,)


def test_integers_are_laid_over_ranges_alone() -> None:
    with pytest.raises(TypeError, match="int4 is laid over ranges, and MeanMagnitude is none"):
        Scheme.parse("int4").lay_grid(MeanMagnitude(np.ones(1, np.float32)))


def test_scales_that_depend_on_the_tensor_are_settled_from_all_groups() -> None:
    found = Range(np.float32([-1, -2]), np.float32([0.5, 1]))
    assert Scheme.parse("int4").settle(found) is found
    pair = Scheme.parse("nvfp4").settle(found)
    assert isinstance(pair, LargestOfTensor)
    assert (pair.largest.tolist(), pair.tensor.tolist()) == ([1, 2], [2, 2])
    beside = Scheme.parse("nvfp4").settle(found, largest=np.float32(8))
    assert isinstance(beside, LargestOfTensor)
    assert beside.tensor.tolist() == [8, 8]
    doubled = Scheme.parse("nf4 scale=double").settle(found)
    assert isinstance(doubled, DoubledScale)
    assert doubled.true.tolist() == [1, 2]
    # Two scales lie at the ends of the code book around their mean: stored to float32's last digits.
    np.testing.assert_allclose(doubled.stored, [1, 2], rtol=0.01)


def test_one_property_says_whether_groups_depend_on_their_tensor() -> None:
    scaled = {
        text: Scheme.parse(text).is_tensor_scaled
        for text in ("nvfp4", "nf4 scale=double", "nf4", "nvfp4:one-level", "int4")
    }
    assert scaled == {"nvfp4": True, "nf4 scale=double": True, "nf4": False, "nvfp4:one-level": False, "int4": False}
