"""When does the way of compensating a gradient change? How much the quantization error fluctuates, and the bands of it.

Notation: r = (x - Q(x))/step of one weight, in LSB; E = sqrt(mean r^2) of a tensor at one step; m1 and m2 running means
of r and r^2. Sources: the outline is CN117787375A's, the measures and the policy are ours (docs/training.md A1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def v_scalar(window: Sequence[float]) -> float:
    """Deviation over mean of the last values of E: the literal reading, blind to weights that flip to and fro.

    The deviation is the population's, the mean at least 1e-12. 0 for an empty window.

    >>> round(v_scalar([0.10, 0.12, 0.08, 0.10]), 8)
    0.14142136
    """
    errors = np.asarray(window, np.float64)
    return float(errors.std() / max(errors.mean(), 1e-12)) if errors.size else 0.0


def v_elem(m1: Any, m2: Any) -> float:
    """sqrt(12 mean max(m2 - m1^2, 0)): 0 where no weight's error moves, 1 where it wanders over the whole cell.

    Parameters
    ----------
    m1, m2 : arrays or tensors of one shape: bias-corrected running means of r and r^2 of the elements that are not
        clipped. At most sqrt(3) comes out; 0 for no element.

    Examples
    --------
    >>> round(v_elem(np.zeros(2), np.full(2, 0.45**2)), 8)
    1.55884573
    """
    variance = (m2 - m1 * m1).clip(0)
    return math.sqrt(12 * float(variance.mean())) if len(variance.reshape(-1)) else 0.0


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What a policy knows of one tensor.

    `band` is the active one (0 below, 1 between, 2 above the thresholds); `pending` the band that the last values
    pointed to and `dwell` for how many steps in a row, both at rest while that is the active one; `steps` counts the
    values seen.
    """

    band: int = 0
    dwell: int = 0
    pending: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Bands:
    """Two thresholds, how far a value must pass one, and for how long.

    Going up takes v >= threshold (1 + hysteresis), going down v < threshold (1 - hysteresis), and the new band for
    `dwell` steps in a row, counted from step `window` on.
    """

    low: float
    high: float
    hysteresis: float
    dwell: int
    window: int

    def decide(self, state: PolicyState, v: float) -> tuple[PolicyState, str]:
        """The state after a value and, where the band changed, why: "0.91 ≥ 0.88 for 5 steps".

        A value that is not finite leaves the state as it is. Never two changes within `dwell` steps.

        >>> bands = Bands(0.1, 0.8, hysteresis=0.1, dwell=1, window=1)
        >>> bands.decide(PolicyState(), 0.91)
        (PolicyState(band=2, dwell=0, pending=2, steps=1), '0.91 ≥ 0.88 for 1 step')
        """
        if not math.isfinite(v):
            return state, ""
        steps = state.steps + 1
        target = self.find_band(state.band, v)
        if steps < self.window or target == state.band:
            return PolicyState(state.band, 0, state.band, steps), ""
        dwell = state.dwell + 1 if target == state.pending else 1
        if dwell < self.dwell:
            return PolicyState(state.band, dwell, target, steps), ""
        return PolicyState(target, 0, target, steps), self._explain(state.band, target, v)

    def find_band(self, band: int, v: float) -> int:
        """The band that a value points to while `band` is active."""
        while band < 2 and v >= self._up(band):
            band += 1
        while band > 0 and v < self._down(band):
            band -= 1
        return band

    def _up(self, band: int) -> float:
        return (self.low, self.high)[band] * (1 + self.hysteresis)

    def _down(self, band: int) -> float:
        return (self.low, self.high)[band - 1] * (1 - self.hysteresis)

    def _explain(self, old: int, new: int, v: float) -> str:
        passed = f"≥ {self._up(new - 1):.3g}" if new > old else f"< {self._down(new + 1):.3g}"
        return f"{v:.3g} {passed} for {self.dwell} step{'s' if self.dwell > 1 else ''}"
