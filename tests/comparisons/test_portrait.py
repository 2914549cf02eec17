"""A pair seen inside: every value is in one bin, energies of blocks add up to those of the whole, ends hold all."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.checkpoints.source import ArraySource
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.portrait import Portrait, draw_portrait
from qanalysis.comparisons.reading import Side


def draw(x: np.ndarray, y: np.ndarray, **options: int) -> Portrait:
    a, b = ArraySource({"w": x}), ArraySource({"w": y})
    (pair,) = match_tensors(a.tensors, b.tensors)
    return draw_portrait(pair, Side(a), Side(b), **options)


@pytest.mark.parametrize("shape", [(130, 70), (3, 5), (1, 300), (7,)], ids=str)
def test_every_value_is_counted_and_blocks_add_up(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(np.float32)
    y = (x + rng.normal(0, 0.1, size=shape)).astype(np.float32)
    found = draw(x, y)
    e = y.astype(np.float64) - x
    assert found.counts_a.sum() == found.counts_b.sum() == found.error_counts.sum() == x.size
    assert (found.edges[0], found.edges[-1]) == (min(x.min(), y.min()), max(x.max(), y.max()))
    assert found.error_edges[-1] == np.abs(e).max() == -found.error_edges[0]
    np.testing.assert_array_equal(found.counts_a, np.histogram(x.astype(np.float64), found.edges)[0])
    # Sums of at most 10^4 doubles in another order: a part in 1e12 is wide.
    assert found.row_energy.sum() == pytest.approx((e**2).sum(), rel=1e-12)
    assert found.column_energy.sum() == pytest.approx((e**2).sum(), rel=1e-12)


def test_a_block_is_the_root_mean_square_of_its_own_elements() -> None:
    x, y = np.zeros((5, 6), np.float32), np.zeros((5, 6), np.float32)
    y[4, 4:] = (3, 4)
    found = draw(x, y, cells=3)
    assert (found.row_step, found.column_step, found.rms.shape) == (2, 2, (3, 3))
    assert found.rms[2, 2] == pytest.approx(np.sqrt((9 + 16) / 2))
    assert not found.rms[:2].any()
    assert found.worst_row == (4, 1.0)
    assert found.worst_column == (5, 16 / 25)


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    x = np.float32([[1, 2, np.nan, 4], [np.inf, 1, 1, 1]])
    found = draw(x, np.ones_like(x))
    assert found.lost == 2
    assert found.counts_a.sum() == 6
    # e = 0, −1, −3 in the first row.
    assert found.row_energy.tolist() == [10.0, 0.0]


def test_equal_tensors_have_bins_all_the_same() -> None:
    x = np.full((4, 4), 2.5, np.float32)
    found = draw(x, x)
    assert found.counts_a.sum() == found.counts_b.sum() == found.error_counts.sum() == 16
    assert np.all(np.diff(found.edges) > 0)
    assert np.all(np.diff(found.error_edges) > 0)
    assert found.worst_row == (0, 0.0)


def test_a_pair_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="take pairs that fit"):
        draw(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
