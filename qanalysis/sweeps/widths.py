"""How are the grids of many bit widths laid at once? One array operation for all widths over the same groups.

The formulas are the symmetry's own, asked for a column of widths: steps come out as (widths, groups) instead of (groups,),
bit for bit what `Scheme.lay_grid` lays one by one. Scales that are stored in fewer bits are laid one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.quantizers.formats import IntegerFormat
from qanalysis.quantizers.grids import LARGEST, LARGEST_STEP, SCALE_TYPES, SMALLEST_STEP, Grid, is_invertible
from qanalysis.quantizers.scheme import Scheme


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

    @property
    def steps(self) -> tuple[NDArray[Any], Doubles]:
        """How many groups have a step, and the sum of their steps, (widths,) each."""
        if self.unused is None:
            return np.full(len(self.scale), self.scale.shape[1]), self.scale.sum(axis=1, dtype=np.float64)
        return (~self.unused).sum(axis=1), self.scale.sum(axis=1, dtype=np.float64, where=~self.unused)


@dataclass(frozen=True, slots=True, eq=False)
class Widths:
    """Integer schemes that differ in their width alone. To a symmetry's formulas they are one format whose facts are arrays (widths, 1).

    `ends` are the smallest and largest code, float32; `farthest` the larger magnitude of the two, (widths,).
    """

    schemes: tuple[Scheme, ...]
    bits: Codes
    max_code: Codes
    min_code: Codes
    ends: tuple[Floats, Floats]
    farthest: Doubles

    @classmethod
    def of(cls, schemes: Sequence[Scheme]) -> Self:
        """The widths of some schemes, in their order."""
        formats = [scheme.format for scheme in schemes if isinstance(scheme.format, IntegerFormat)]
        bits, max_code, min_code = np.array([(fmt.bits, fmt.max_code, fmt.min_code) for fmt in formats]).T[..., np.newaxis]
        symmetry = schemes[0].symmetry
        ends = np.array([[(symmetry.low_code(fmt), symmetry.high_code(fmt))] for fmt in formats], np.float32)
        return cls(tuple(schemes), bits, max_code, min_code, (ends[..., 0], ends[..., 1]), np.abs(ends).max(axis=(1, 2)).astype(np.float64))

    def lay(self, low: Floats, high: Floats) -> UniformGrids:
        """The grids over the ranges low..high, (groups,).

        >>> Widths.of([Scheme.parse("int2"), Scheme.parse("int4")]).lay(np.float32([-0.7]), np.float32([0.35])).scale
        array([[0.7],
               [0.1]], dtype=float32)
        """
        together = self._lay_together(low, high) if is_plain(self.schemes[0]) else None
        return together or UniformGrids.stack([scheme.lay_grid(low, high) for scheme in self.schemes])

    def _lay_together(self, low: Floats, high: Floats) -> UniformGrids | None:
        """None where a step has to be cut, so that its largest level stays a float32 number."""
        symmetry, (first, last), fmt = self.schemes[0].symmetry, self.ends, self
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        as_one: Any = fmt
        step: Floats = symmetry.step(low, high, as_one)
        smallest, largest, unused = step.min(axis=1), step.max(axis=1), None
        if not SMALLEST_STEP <= smallest.min() <= largest.max() <= LARGEST_STEP:
            unused = ~is_invertible(step)
            step = np.where(unused, np.float32(1), step)
            smallest = step.min(axis=1, where=~unused, initial=np.float32(np.inf))
            largest = step.max(axis=1, where=~unused, initial=np.float32(0))
        smallest, largest = smallest.astype(np.float64), largest.astype(np.float64)
        if (largest * self.farthest > LARGEST).any():
            return None
        if not symmetry.signed:
            zero_points = np.clip(-np.rint(low / step), first, last)
            first, last = first - zero_points, last - zero_points
        return UniformGrids(step, np.float32(1) / step, first, last, smallest, largest, unused)


def is_plain(scheme: Scheme) -> bool:
    """Whether the grids of this scheme are laid together with those of other widths: integers whose steps are stored as they are."""
    return isinstance(scheme.format, IntegerFormat) and scheme.scale == SCALE_TYPES["float32"]
