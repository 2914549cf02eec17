"""By which bit widths does a float model come down to its target, and when does it take the next step?

The claims name an intermediate width and leave it open; the ladder is ours: twice the target, at most 16 (A3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from qanalysis.training.words import Rule, key

LADDER = (16, 8, 4, 2)


def plan_rungs(target: int) -> list[int]:
    """The bit widths to train at, widest first, the target last; none between for 16 bits and more.

    ValueError below 1 bit.

    >>> plan_rungs(4), plan_rungs(8), plan_rungs(2), plan_rungs(3), plan_rungs(16)
    ([8, 4], [16, 8], [4, 2], [4, 3], [16])
    """
    if target < 1:
        raise ValueError(f"target of {target} bits: a format has at least 1 bit; choose for example 4")
    return [width for width in LADDER if target < width <= 2 * target] + [target]


@dataclass(frozen=True, slots=True)
class RungState:
    """Where a training stands: the widths, the place of the current one, the steps spent on it, and the loss before it.

    `reference` is the held-out loss when the rung was entered, NaN where none was measured.
    """

    widths: tuple[int, ...]
    rung: int = 0
    steps: int = 0
    reference: float = math.nan

    @property
    def bits(self) -> int:
        """The width of the current rung."""
        return self.widths[self.rung]

    @property
    def at_target(self) -> bool:
        """Whether no rung is left."""
        return self.rung == len(self.widths) - 1


@dataclass(frozen=True, slots=True)
class Rungs(Rule):
    """One rung down after `steps` steps, or as soon as the held-out loss is not above that before the rung by `rise`.

    `decide` is asked once a step; a loss of NaN means that none was measured.
    """

    name: ClassVar[str] = "rungs"
    meaning: ClassVar[str] = "trains at twice the target's bits first"

    steps: int = key(100, low=1, meaning="steps after which the next rung is taken in any case")
    rise: float = key(0.02, low=0, meaning="share by which the held-out loss may lie above that before the rung")

    def start(self, target: int, loss: float = math.nan) -> RungState:
        """The first rung to a target width, with the held-out loss of the float model."""
        return RungState(tuple(plan_rungs(target)), reference=loss)

    def decide(self, state: RungState, loss: float = math.nan) -> tuple[RungState, str]:
        """The state after a step and, where a rung was taken, why: "loss 0.301 ≤ 0.306: 8 → 4 bits".

        >>> Rungs().decide(Rungs().start(4, 0.3), 0.301)[1]
        'loss 0.301 ≤ 0.306: 8 → 4 bits'
        """
        state = replace(state, steps=state.steps + 1)
        if state.at_target:
            return state, ""
        limit = state.reference + self.rise * abs(state.reference)
        # Comparing with NaN is false: a loss that was not measured holds the rung until its steps are over.
        if loss <= limit:
            why = f"loss {loss:.3g} ≤ {limit:.3g}"
        elif state.steps >= self.steps:
            why = f"{self.steps} step{'s' if self.steps > 1 else ''} done"
        else:
            return state, ""
        after = RungState(state.widths, state.rung + 1, reference=loss if math.isfinite(loss) else state.reference)
        return after, f"{why}: {state.bits} → {after.bits} bits"
