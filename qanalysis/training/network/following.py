"""How restless is the quantization error of a weight tensor? What is remembered of every element from step to step.

r = (x - y) / step is followed by its average and spread, for the fluctuation; codes by their changes, for oscillation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels import codes, following
from qanalysis.quantizers.grids import SMALLEST_STEP, is_invertible
from qanalysis.quantizers.grouping import Grouping, Layout

_ONE_BY_ONE = Grouping(1, 1)
# A variable uniform over a step has the deviation 1/sqrt(12).
_UNIFORM = math.sqrt(12)
_PARTS = ("mean", "variance", "code", "direction", "frequency", "ema_code")


@dataclass(frozen=True, slots=True)
class Followed:
    """A step of a tensor: `error` is the root mean square of r, `v_elem` the fluctuation, both of the `used` elements
    (NaN where there are none): 0 for an error that stays, 1 for one that wanders uniformly over a cell.

    `flips` elements changed their code, `oscillations` of them against their last direction.
    """

    error: float
    v_elem: float
    flips: int
    oscillations: int
    used: int


class Follower:
    """The memory of one tensor; arrays have its shape.

    `decay` is that of the average of r and of its spread; `momentum` the share of a new step in the averages of
    oscillations and of codes. Where `by_code` is false, as on grids without equal steps, levels stand for codes.
    """

    def __init__(
        self, shape: tuple[int, ...], *, decay: float = 0.9, momentum: float = 0.01, by_code: bool = True
    ) -> None:
        for name, rate in (("decay", decay), ("momentum", momentum)):
            if not 0 < rate < 1:
                raise ValueError(f"{name} {rate} of a follower: it lies between 0 and 1, for example {name}=0.1")
        self.shape, self.decay, self.momentum, self.by_code = shape, decay, momentum, by_code
        self.reset()

    def reset(self) -> None:
        """Begin anew, as when the step of the grid changes: errors and codes can not be compared across it."""
        self.steps = 0
        # Not np.zeros: numpy asks for huge pages only where it does not, and this loop is some times faster on them.
        self._parts: dict[str, NDArray[Any]] = {
            name: np.full(self.shape, 0, np.int8 if name == "direction" else np.float32) for name in _PARTS
        }
        self._parts["variance"].fill(following.UNSEEN)

    @property
    def m1(self) -> Floats:
        """The average of r, corrected by 1 - c^t for its short past; 0 where none was seen."""
        return self._parts["mean"]

    @property
    def frequency(self) -> Floats:
        """The average of oscillations, each counting 1."""
        return self._parts["frequency"]

    @property
    def ema_code(self) -> Floats:
        """The average of codes, from the first one on."""
        return self._parts["ema_code"]

    def follow(
        self, x: ArrayLike, y: ArrayLike, step_of_groups: ArrayLike, layout: Layout, clipped: NDArray[np.bool_]
    ) -> Followed:
        """Take one step with latent values `x` and their quantized `y`.

        Clipped elements and those that are not finite keep their averages of r, and add nothing to the error. Groups
        without a step have r = 0. The fluctuation is sqrt(mean(max(m2 - m1^2, 0))) * sqrt(12), with m1 and m2 the
        averages of r and r^2 corrected by 1 - c^t. ValueError for another shape than the follower's.

        >>> from qanalysis.quantizers.scheme import Scheme
        >>> w, layout = np.float32([0.26, -0.40, 0.62]), Scheme.parse("int4").lay_out((3,))
        >>> followed = Follower((3,)).follow(w, np.float32([0.25, -0.5, 0.5]), [0.25], layout, np.zeros(3, bool))
        >>> round(followed.error, 6), followed.v_elem, followed.flips
        (0.361478, 0.0, 0)
        """
        blocks, parts = self._place(np.asarray(step_of_groups, np.float32), layout)
        values, levels = (np.ascontiguousarray(part, np.float32).reshape(-1) for part in (x, y))
        marks = np.ascontiguousarray(clipped, np.bool_).view(np.uint8).reshape(-1)
        if {values.size, levels.size, marks.size} != {self._parts["mean"].size}:
            raise ValueError(f"a follower of shape {self.shape} got arrays of another size; make one for each tensor")
        is_first, sums = self.steps == 0, np.zeros(following.PLACES)
        self.steps += 1
        share = (1 - self.decay) / (1 - self.decay**self.steps)
        rates = np.float32(share), np.float32(self.momentum)
        mean, variance, *memory = (part.reshape(-1) for part in self._parts.values())
        options = (self.by_code, is_first)
        following.follow_tiles(
            values, levels, marks, blocks, parts, options, rates, (mean, variance), tuple(memory), sums
        )
        return _conclude(sums)

    def _place(self, step: Floats, layout: Layout) -> tuple[tuple[int, int, int, int], Floats]:
        """How the groups lie on the flat tensor, and their inverse steps as the compiled loops take them."""
        if layout.shape != self.shape:
            raise ValueError(f"a follower of shape {self.shape} got a layout for {layout.shape}; make one for each")
        inverse = np.where(is_invertible(step), np.float32(1) / np.maximum(step, SMALLEST_STEP), np.float32(0))
        if layout.groups > 1 and not layout.view.is_in_order:
            # Groups across the order of the elements: a step for each of these.
            inverse = layout.from_matrix(
                np.broadcast_to(layout.spread(inverse), (layout.rows, layout.columns))
            ).reshape(-1)
            layout = _ONE_BY_ONE.lay_out(inverse.shape)
        parts = np.ones((codes.PARTS, inverse.size), np.float32)
        parts[codes.INVERSE] = inverse
        return (layout.columns, layout.block_rows, layout.block_columns, 0), parts

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that is remembered, for a checkpoint."""
        return {name: part.copy() for name, part in self._parts.items()} | {"steps": np.array(self.steps)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned; ValueError for the state of another tensor."""
        missing = {*_PARTS, "steps"} - state.keys()
        shapes = {np.shape(state[name]) for name in _PARTS if name in state}
        if missing or shapes != {self.shape}:
            raise ValueError(
                f"the state of a follower of shape {self.shape} lacks {sorted(missing) or 'its shape'}, it has "
                f"{sorted(shapes)}; take the checkpoint of the same model"
            )
        self.steps = int(state["steps"])
        self._parts = {name: np.array(state[name], self._parts[name].dtype, order="C") for name in _PARTS}


def _conclude(sums: NDArray[np.float64]) -> Followed:
    """The numbers of a step from its sums."""
    squares, variance, used, flips, turns = sums.tolist()
    if not used:
        return Followed(math.nan, math.nan, int(flips), int(turns), 0)
    fluctuation = math.sqrt(variance / used) * _UNIFORM
    return Followed(math.sqrt(squares / used), fluctuation, int(flips), int(turns), int(used))
