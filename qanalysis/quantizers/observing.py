"""What would a range rule know of a tensor? The statistics of its groups, of finite elements alone; and grids at once
where extremes are all that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels import observing
from qanalysis.kernels.scans import extremes, scan
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Statistics of the groups, (groups,) float64 each; NaN where a group has nothing to tell.

    `absmax`, `mean` and `std` (population) are those of |x|, `absmin` of the |x| above 0; `low` and `high` are the
    extremes of x; `count` elements are finite, `non_finite` are not.
    """

    absmax: Doubles
    absmin: Doubles
    mean: Doubles
    std: Doubles
    low: Doubles
    high: Doubles
    count: Doubles
    non_finite: Doubles


def observe_groups(x: ArrayLike, layout: Layout) -> Observed:
    """The statistics of the groups of `x`, float32 of the layout's shape.

    A group without finite elements has a count of 0 and no other statistics (NaN); one of zeros has no `absmin`.

    >>> from qanalysis.quantizers.grouping import Grouping
    >>> found = observe_groups(np.float32([-3, 1, 0, np.inf]), Grouping().lay_out((4,)))
    >>> found.absmax.tolist(), found.absmin.tolist(), found.low.tolist(), found.non_finite.tolist()
    ([3.0], [1.0], [-3.0], [1.0])
    """
    values, blocks = _flatten(_take(x, layout), layout)
    found = np.zeros((layout.groups, observing.PLACES))
    if values.size:
        observing.observe(values, *blocks, found)
    return _conclude(found)


def lay_at_once(x: ArrayLike, scheme: Scheme, layout: Layout) -> Grid:
    """The grid that `scheme.fit(x)` lays, in a fraction of its time where the scheme asks for extremes alone.

    ValueError for an `x` of another shape than the layout's, or an empty one.

    >>> scheme = Scheme.parse("int4")
    >>> lay_at_once(np.float32([0.5, -1.75]), scheme, scheme.lay_out((2,))).scale
    array([0.25], dtype=float32)
    """
    tensor = _take(x, layout)
    if not tensor.size:
        raise ValueError(f"a tensor of shape {layout.shape} is empty; there is nothing to fit a grid to")
    if not scheme.takes_extremes:
        return scheme.lay_grid(scheme.find_statistic(layout.to_matrix(tensor), layout))
    values, blocks = _flatten(tensor, layout)
    low, high = np.zeros((2, layout.groups), np.float32)
    strange, _largest = scan(values)
    extremes(np.where(np.isfinite(values), values, np.float32(0)) if strange else values, *blocks, low, high)
    return scheme.lay_grid(scheme.settle(Range(low, high)))


def _take(x: ArrayLike, layout: Layout) -> Floats:
    """The tensor as float32; ValueError where the layout is another's."""
    values = np.asarray(x, np.float32)
    if values.shape != layout.shape:
        raise ValueError(f"x has shape {values.shape}, its layout is for {layout.shape}; lay the scheme out anew")
    return values


def _flatten(values: Floats, layout: Layout) -> tuple[Floats, tuple[int, int, int]]:
    """The elements in the order of their matrix, and its columns and the size of blocks, as the compiled loops take
    them.
    """
    # One group needs no order of its elements, so that no other axis has to be moved to the front.
    matrix = values if layout.groups == 1 else layout.to_matrix(values)
    blocks = (layout.columns, layout.block_rows, layout.block_columns)
    if layout.group_columns == 1:
        # Whole rows lie one after the other, so that a group is a run, however short its rows.
        blocks = (values.size, 1, layout.block_rows * layout.columns)
    return np.ascontiguousarray(matrix).reshape(-1), blocks


def _conclude(found: Doubles) -> Observed:
    """Statistics from what the loop knows of each group, (groups, PLACES)."""
    count, non_finite, low, high, absmin, mean, squares = found.T
    known = count > 0
    low, high, mean = (np.where(known, part, np.nan) for part in (low, high, mean))
    std = np.sqrt(squares / np.where(known, count, np.nan))
    absmin = np.where(np.isfinite(absmin), absmin, np.nan)
    return Observed(np.maximum(-low, high), absmin, mean, std, low, high, count, non_finite)
