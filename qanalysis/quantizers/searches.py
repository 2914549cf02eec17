"""What does a range rule that searches learn of the grid? Squared errors of candidate ranges, and clip edges of least
divergence.

Groups come as (groups, length) float32, NaN where an element is to be left out: it counts as 0, which has no error on
any grid here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.coded import coded_errors
from qanalysis.kernels.codes import INTEGER
from qanalysis.kernels.searches import divergence_clips, squared_errors
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.ranges import SquaredError
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.statistics import Range

# A divergence search takes up to a millisecond per group, and a sweep must stop within 0.2 s.
GROUPS_PER_CHECK = 64


@dataclass(frozen=True, slots=True)
class Search:
    """The grids of one scheme as a searching rule sees them: how one is laid over a range, how it rounds, its largest
    signed code.

    `check` is called between candidates and may raise to end the search.
    """

    lay: Callable[[Range], Grid]
    rounding: Rounding
    largest_code: int
    check: Callable[[], None]

    def squared_error(self, values: Floats) -> SquaredError:
        """A function of candidate ranges to sum e^2 of each group, (groups,)."""
        known = _fill(values)

        def squared_error(found: Range) -> Doubles:
            self.check()
            grid, errors = self.lay(found), np.empty(len(known))
            if grid.coder.kind == INTEGER:
                squared_errors(known, grid.scale, grid.inverse, *grid.ends, self.rounding.mode, errors)
            else:
                coded_errors(
                    known,
                    grid.coder.kind,
                    self.rounding.mode,
                    grid.parts,
                    np.array(grid.coder.parameters, np.float32),
                    errors,
                )
            return errors

        return squared_error

    def divergence_clip(self, values: Floats, bins: int) -> Floats:
        """The clip edge of each group with the least Kullback-Leibler divergence of a histogram of so many bins,
        (groups,).
        """
        edges = np.empty(len(values), np.float32)
        for start in range(0, len(values), GROUPS_PER_CHECK):
            self.check()
            part = slice(start, start + GROUPS_PER_CHECK)
            divergence_clips(_fill(values[part]), bins, self.largest_code, edges[part])
        return edges


def mask_non_finite(groups: Floats) -> Floats:
    """The groups as range rules take them: NaN marks what a rule must leave out; a group without one finite element
    counts as all zeros.
    """
    finite = np.isfinite(groups)
    if finite.all():
        return groups
    return np.where(finite, groups, np.where(finite.any(axis=1, keepdims=True), np.float32(np.nan), np.float32(0)))


def _fill(values: Floats) -> Floats:
    return np.ascontiguousarray(np.nan_to_num(values, nan=0.0))
