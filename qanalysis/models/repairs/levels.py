"""Which levels may a weight take? Those next to it on the grid of its group, which was laid over the original weights.

All values here are what the quantizer itself decodes, so that they encode to the same codes again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.quantizer import LevelQuantizer

_ONE_BY_ONE = Grouping(1, 1)


@dataclass(slots=True, eq=False)
class ColumnRounder:
    """Rounds one element of every row of a tensor's matrix at a time, each on the grid of its own group."""

    quantizer: LevelQuantizer
    _last: tuple[Codes, Grid] | None = field(default=None, init=False)

    def __call__(self, values: Doubles, columns: Codes) -> Doubles:
        """What becomes of `values`, (rows,), that stand in `columns`, (rows,), of their rows."""
        layout = self.quantizer.layout
        rows = np.arange(layout.rows)
        groups = rows // layout.block_rows * layout.group_columns + columns // layout.block_columns
        if self._last is None or not np.array_equal(groups, self._last[0]):
            self._last = groups, self.quantizer.grid.take(lambda part: part[groups])
        single = _ONE_BY_ONE.lay_out((values.size, 1))
        own = LevelQuantizer(self._last[1], single, self.quantizer.rounding)
        rounded: Doubles = own.round_trip(values.reshape(-1, 1).astype(np.float32)).reshape(-1).astype(np.float64)
        return rounded


def settle(quantizer: LevelQuantizer, values: Floats) -> Floats:
    """Values on the grid as the quantizer decodes them from their codes.

    Raises ValueError where they do not read back: the codes of such a format stand for other values than it encodes.
    """
    settled = quantizer.decode(quantizer.encode(values))
    again = quantizer.decode(quantizer.encode(settled))
    if not np.array_equal(settled.view(np.uint32), again.view(np.uint32)):
        raise ValueError("values on its grid do not encode to the same codes again")
    return settled


def check_elementwise(quantizer: LevelQuantizer) -> None:
    """ValueError where a draw, and not the value alone, decides how an element is rounded."""
    if quantizer.rounding.is_stochastic:
        raise ValueError("its rounding is drawn at random, so there is no level that a weight goes to")


def find_neighbours(quantizer: LevelQuantizer, values: Floats) -> tuple[Floats, Floats]:
    """The levels below and above every value, shape of the tensor; equal where it is a level or beyond the ends."""
    grid, layout = quantizer.grid, quantizer.layout
    matrix = layout.to_matrix(values).astype(np.float64)
    centre = layout.spread(grid.centre[1]) if grid.centre else 0.0
    scale = layout.spread(grid.scale).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers = np.nan_to_num(np.where(scale == 0, 0.0, (matrix - centre) / scale))
    shift = 0.0 if grid.zero_points is None else layout.spread(grid.zero_points).astype(np.float64)
    levels = grid.coder.levels
    below = np.searchsorted(levels, numbers + shift, side="right") - 1
    low, high = levels[below.clip(0)], levels[(below + 1).clip(0, levels.size - 1)]
    first, second = (_decode(quantizer, chosen) for chosen in (low, high))
    smaller, larger = np.minimum(first, second), np.maximum(first, second)
    # a number that is a level itself, be it within rounding, has no other beside it
    on_level = (smaller == values) | (larger == values)
    return np.where(on_level, values, smaller), np.where(on_level, values, larger)


def _decode(quantizer: LevelQuantizer, numbers: Doubles) -> Floats:
    """The values of numbers of the coder, a matrix, in the shape of the tensor."""
    codes = quantizer.grid.coder.to_codes(numbers.astype(np.float32))
    return quantizer.decode(quantizer.layout.from_matrix(codes))
