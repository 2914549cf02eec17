"""How are the grids of many bit widths laid at once? One array operation for all widths over the same groups.

The formulas are the symmetry's own, asked for a column of widths: steps come out as (widths, groups) instead of
(groups,), bit for bit what `Scheme.lay_grid` lays one by one. Scales that are not stored as computed are laid one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.quantizers.grids import LARGEST_STEP, SMALLEST_STEP, Grid, is_invertible
from qanalysis.quantizers.scales import LARGEST_FLOAT
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range, Statistic


@dataclass(frozen=True, slots=True, eq=False)
class UniformGrids:
    """Uniform grids of several widths over the same groups.

    `scale` and its inverse are (widths, groups) float32, the end codes relative to the zero point (widths, groups), or
    (widths, 1) where one pair serves all groups. `unused` groups (None where there are none) count for no step;
    `smallest` and `largest` are the extreme steps of the others, (widths,).
    """

    scale: Floats
    inverse: Floats
    low: Floats
    high: Floats
    smallest: Doubles
    largest: Doubles
    unused: NDArray[np.bool_] | None = None

    @classmethod
    def stack(cls, grids: Sequence[Grid]) -> Self:
        """Grids that were laid one by one."""
        low, high = zip(*(grid.ends for grid in grids), strict=True)
        scale, inverse = np.stack([grid.scale for grid in grids]), np.stack([grid.inverse for grid in grids])
        unused = np.stack([grid.idle for grid in grids])
        smallest, largest = np.array([(grid.smallest, grid.largest) for grid in grids]).T
        return cls(scale, inverse, np.stack(low), np.stack(high), smallest, largest, unused if unused.any() else None)

    def count_steps(self) -> Doubles:
        """(4, widths): how many groups have a step of their own, the sum of those, the smallest, the largest."""
        if self.unused is None:
            groups, total = np.full(len(self.scale), self.scale.shape[1]), self.scale.sum(axis=1, dtype=np.float64)
        else:
            groups, total = (~self.unused).sum(axis=1), self.scale.sum(axis=1, dtype=np.float64, where=~self.unused)
        return np.array((groups, total, self.smallest, self.largest))


@dataclass(frozen=True, slots=True, eq=False)
class Widths:
    """Integer schemes that differ in their width alone.

    `largest_codes` are their q and `ends` their lowest and highest code, columns (widths, 1) float32; `farthest` is the
    larger magnitude of the two, (widths,).
    """

    schemes: tuple[Scheme, ...]
    largest_codes: Floats
    ends: tuple[Floats, Floats]
    farthest: Doubles

    @classmethod
    def of(cls, schemes: Sequence[Scheme]) -> Self:
        """The widths of some schemes, in their order."""
        codes = [scheme.format.largest_code for scheme in schemes]
        ends = np.array([[schemes[0].symmetry.ends(code)] for code in codes], np.float32)
        return cls(
            tuple(schemes),
            np.array(codes, np.float32)[:, np.newaxis],
            (ends[..., 0], ends[..., 1]),
            np.abs(ends).max(axis=(1, 2)).astype(np.float64),
        )

    def lay(self, found: Statistic) -> UniformGrids:
        """The grids over the ranges of all groups.

        >>> widths = Widths.of([Scheme.parse("int2"), Scheme.parse("int4")])
        >>> widths.lay(Range(np.float32([-0.7]), np.float32([0.35]))).scale
        array([[0.7],
               [0.1]], dtype=float32)
        """
        together = self._lay_together(found) if isinstance(found, Range) and is_plain(self.schemes[0]) else None
        return together or UniformGrids.stack([scheme.lay_grid(found) for scheme in self.schemes])

    def _lay_together(self, found: Range) -> UniformGrids | None:
        """None where a step has to be cut, so that its largest level stays a float32 number."""
        symmetry, (first, last) = self.schemes[0].symmetry, self.ends
        low, high = np.minimum(found.low, np.float32(0)), np.maximum(found.high, np.float32(0))
        step: Floats = symmetry.step(low, high, self.largest_codes)
        smallest, largest, unused = step.min(axis=1), step.max(axis=1), None
        if not SMALLEST_STEP <= smallest.min() <= largest.max() <= LARGEST_STEP:
            unused = ~is_invertible(step)
            step = np.where(unused, np.float32(1), step)
            smallest = step.min(axis=1, where=~unused, initial=np.float32(np.inf))
            largest = step.max(axis=1, where=~unused, initial=np.float32(0))
        smallest, largest = smallest.astype(np.float64), largest.astype(np.float64)
        if (largest * self.farthest > LARGEST_FLOAT).any():
            return None
        if not symmetry.signed:
            zero_points = np.clip(-np.rint(low / step), first, last)
            first, last = first - zero_points, last - zero_points
        return UniformGrids(step, np.float32(1) / step, first, last, smallest, largest, unused)


def is_plain(scheme: Scheme) -> bool:
    """Whether the grids of this scheme are laid together with those of other widths.

    Integers whose steps are stored as computed.
    """
    return scheme.format.is_integer and scheme.scale.is_exact
