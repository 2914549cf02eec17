"""What does a fitted grid make of a tensor, and where does it clip? The round trip of a quantizer, fast enough for
training.

The arithmetic is the quantizer's, number for number; the sign of a zero is left open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Codes, Floats
from qanalysis.kernels import codes
from qanalysis.kernels.passes import UNSCALED, pass_tiles
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping, Layout
from qanalysis.quantizers.quantizer import NEAREST_EVEN, LevelQuantizer
from qanalysis.quantizers.rounding import Rounding

_ONE_BY_ONE = Grouping(1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What became of a tensor: `y` in its shape, and `clipped` where a code lies outside the grid's, so that no
    gradient passes.
    """

    y: Floats
    clipped: NDArray[np.bool_]


def pass_through(
    x: ArrayLike, grid: Grid, layout: Layout, rounding: Rounding = NEAREST_EVEN, *, first_index: int = 0
) -> Passed:
    """Quantize `x`, float32 of the layout's shape, on the grids of its groups.

    NaN stays NaN and is not clipped; infinities become end levels and are. A list of numbers clips half an end gap
    beyond its ends. `first_index` is the place of the first element in its tensor, on which stochastic draws depend. A
    C-contiguous float32 array is read where it lies unless groups run along another axis than the first.

    >>> from qanalysis.quantizers.scheme import Scheme
    >>> fitted = Scheme.parse("int4").fit(np.float32([0.7, -0.3, 0]))
    >>> passed = pass_through(np.float32([0.28, 9.0, np.nan]), fitted.grid, fitted.layout)
    >>> passed.y, passed.clipped.tolist()
    (array([0.3, 0.7, nan], dtype=float32), [False, True, False])
    """
    values = np.asarray(x, np.float32)
    if values.shape != layout.shape:
        raise ValueError(f"x has shape {values.shape}, its layout is for {layout.shape}; lay the scheme out anew")
    if layout.groups == 1 and not rounding.is_stochastic:
        # One group needs no order of its elements, so that no other axis has to be moved to the front.
        y, clipped = _pass_matrix(values, grid, Grouping().lay_out((values.size,)), rounding, 0)
        return Passed(y.reshape(layout.shape), clipped.reshape(layout.shape))
    y, clipped = _pass_matrix(layout.to_matrix(values), grid, layout, rounding, first_index)
    return Passed(layout.from_matrix(y), layout.from_matrix(clipped))


def _pass_matrix(
    matrix: Floats, grid: Grid, layout: Layout, rounding: Rounding, first_index: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """What `Passed` holds, flat in the order of the matrix."""
    x = np.ascontiguousarray(matrix).reshape(-1)
    y, clipped = np.empty(x.size, np.float32), np.empty(x.size, np.uint8)
    parameters = np.zeros(codes.MOST_PARAMETERS, np.float32)
    parameters[: len(grid.coder.parameters)] = grid.coder.parameters
    parts, shifted = grid.parts, grid.zero_points is not None
    if shifted:
        parts[codes.CENTRE_BEFORE], parts[codes.CENTRE_AFTER] = grid.ends
    blocks = (layout.columns, layout.block_rows, layout.block_columns, 0)
    coder, mode = (grid.coder.kind, parameters), (rounding.mode, rounding.seed)
    if pass_tiles(x, first_index, blocks, shifted, coder, mode, parts, y, clipped):
        places = np.flatnonzero(clipped == UNSCALED)
        y[places] = _pass_singly(x[places], grid, _find_groups(places, layout), rounding)
        clipped[places] = ~np.isnan(x[places])
    return y, clipped.view(np.bool_)


def _pass_singly(x: Floats, grid: Grid, groups: Codes, rounding: Rounding) -> Floats:
    """The quantizer's own y of a few elements, (n,), of which none is a stochastic draw: infinities and NaN."""
    own = grid.take(lambda part: part[groups])
    return LevelQuantizer(own, _ONE_BY_ONE.lay_out(x.shape), rounding).round_trip(x)


def _find_groups(places: Codes, layout: Layout) -> Codes:
    """The group of each flat place of the matrix."""
    rows, columns = np.divmod(places, layout.columns)
    groups: Codes = rows // layout.block_rows * layout.group_columns + columns // layout.block_columns
    return groups
