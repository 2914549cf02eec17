"""Where do a group's numbers lie? A scale per group, and what coding needs beside it.

A grid maps the coder's number u to y = u * scale + centre, group by group. All arithmetic is float32, as the back ends
do it. A group whose scale could not be inverted in float32 (all zeros, or below about 1e-38) gets scale 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.codes import BIASED, CENTRE_AFTER, CENTRE_BEFORE, INVERSE, PARTS, PER_STEP, SCALE, STEP
from qanalysis.quantizers.coders import Coder
from qanalysis.quantizers.scales import FLOAT32, LARGEST_FLOAT, ScaleType

# 1/scale is finite in float32 between these.
SMALLEST_STEP, LARGEST_STEP = np.float32(2**-127), np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid per group: `scale` of shape (groups,), the numbers of `coder` for all.

    What is None where no group needs it: a sweep lays millions of groups and looks at each only once. `zero_points` are
    asymmetric integers' codes of 0; `inverses` bring values to scale 1 where that is not 1/scale; `thresholds` are
    those of a `SignCoder`; `centre` is subtracted before coding and, as stored, added after decoding; `steps` are the
    widest gaps where those are not the scales. `smallest` and `largest` are the extreme steps of the groups in use.
    """

    scale: Floats
    coder: Coder
    smallest: float
    largest: float
    zero_points: Floats | None = None
    unused: NDArray[np.bool_] | None = None
    inverses: Floats | None = None
    thresholds: Floats | None = None
    centre: tuple[Floats, Floats] | None = None
    steps: Floats | None = None

    @property
    def step(self) -> Floats:
        """The widest gap between neighbouring levels, (groups,); the step of a uniform grid."""
        return self.scale if self.steps is None else self.steps

    @property
    def zero_point(self) -> Floats:
        """The code of 0 in each group, (groups,)."""
        return np.zeros_like(self.scale) if self.zero_points is None else self.zero_points

    @property
    def idle(self) -> NDArray[np.bool_]:
        """Groups without a signal (all zeros, or too small to invert), whose step says nothing about the data;
        (groups,).
        """
        return np.zeros(self.scale.shape, np.bool_) if self.unused is None else self.unused

    @property
    def inverse(self) -> Floats:
        """What brings values to scale 1: 1/scale, rounded once, unless the format codes otherwise; (groups,)."""
        return np.float32(1) / self.scale if self.inverses is None else self.inverses

    @property
    def coding(self) -> Floats:
        """What the coder takes of each group: its inverse, or a sign coder's threshold; (groups,)."""
        return self.inverse if self.thresholds is None else self.thresholds

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """Smallest and largest number at scale 1 (codes relative to the zero point): (groups,), or (1,) where one pair
        serves all.
        """
        zero_points = np.zeros(1, np.float32) if self.zero_points is None else self.zero_points
        return np.float32(self.coder.low) - zero_points, np.float32(self.coder.high) - zero_points

    @property
    def parts(self) -> Floats:
        """(6, groups): scale, coding, 1/step (0 where a group has none), step, centre before and after, as the compiled
        loops take them.

        Where no centre can be its places are left as they are: nothing reads them.
        """
        parts = np.empty((PARTS, self.scale.size), np.float32)
        parts[SCALE], parts[INVERSE], parts[STEP] = self.scale, self.coding, self.step
        if self.unused is None and self.smallest >= SMALLEST_STEP:
            np.divide(np.float32(1), parts[STEP], out=parts[PER_STEP])
        else:
            inverses = np.float32(1) / np.maximum(parts[STEP], SMALLEST_STEP)
            parts[PER_STEP] = np.where(is_invertible(parts[STEP]), inverses, np.float32(0))
        if self.coder.kind == BIASED:
            parts[CENTRE_BEFORE], parts[CENTRE_AFTER] = self.centre or (0, 0)
        return parts

    def take(self, choose: Callable[[Any], Any]) -> Grid:
        """The grid of some of its groups; `choose` picks them from an array (groups,)."""
        names = ("scale", "zero_points", "unused", "inverses", "thresholds", "steps")
        arrays = {name: getattr(self, name) for name in names}
        chosen: dict[str, Any] = {name: None if array is None else choose(array) for name, array in arrays.items()}
        return replace(self, **chosen, centre=self.centre and (choose(self.centre[0]), choose(self.centre[1])))

    def levels(self, group: int) -> Doubles:
        """All values that the group can hold, ascending, as float32 arithmetic gives them; an end beyond that is
        infinite.
        """
        centre = np.float32(0) if self.centre is None else self.centre[1][group]
        numbers = (self.coder.levels - float(self.zero_point[group])).astype(np.float32)
        with np.errstate(over="ignore"):
            return np.sort(np.float64(numbers * self.scale[group] + centre))


def lay_scaled(
    coder: Coder,
    scale: Floats,
    *,
    stored: ScaleType = FLOAT32,
    unused: NDArray[np.bool_] | None = None,
    steps: Floats | None = None,
    inverses: Floats | None = None,
    thresholds: Floats | None = None,
    centre: tuple[Floats, Floats] | None = None,
) -> Grid:
    """A grid from its scales and other parts; `steps` follow from the coder where they are not given.

    Scales are cut, as `stored`, to what keeps all levels finite; `unused` groups are left out of the extreme steps.
    """
    if max(float(scale.max()), -float(scale.min())) * coder.high > LARGEST_FLOAT:
        scale = stored.cut(scale, coder.high)
    if steps is None:
        with np.errstate(over="ignore"):
            steps = np.minimum(np.abs(scale) * np.float32(coder.widest_gap), LARGEST_STEP)
    active = steps if unused is None else steps[~unused]
    smallest, largest = active.min(initial=np.float32(np.inf)), active.max(initial=np.float32(0))
    return Grid(
        scale,
        coder,
        float(smallest),
        float(largest),
        unused=unused,
        inverses=inverses,
        thresholds=thresholds,
        centre=centre,
        steps=steps,
    )


def find_unused(scale: Floats) -> NDArray[np.bool_] | None:
    """Groups whose scale can not be inverted; None where all can."""
    return keep_any(~is_invertible(scale))


def keep_any(unused: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The marks, or None where no group is marked."""
    return unused if unused.any() else None


def is_invertible(step: Floats) -> NDArray[np.bool_]:
    """Whether 1/step is finite and the step is a positive number; (groups,)."""
    return (step >= SMALLEST_STEP) & (step <= LARGEST_STEP)
