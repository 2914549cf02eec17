"""When does a tensor need more bits, and how rarely need its scale be looked at? Width growth (A13) and the adaptive
interval (A14).

diff_bit = log2(|mean|x| - mean|Q(x)|| / mean|x| + 1): the distortion of the mean magnitude (CNNL guide).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.training.state import Decision, QuantizerState
from qanalysis.training.words import Rule, key

AVERAGE, _NEXT = "average_exponent", "next_interval"
#: The memory of the last mean distortion.
DISTORTION = "diff_bit"


def find_distortion(mean: Doubles, mean_quantized: Doubles) -> Doubles:
    """diff_bit of means of |x| and |Q(x)|, (n,); 0 where mean|x| is 0, NaN where either is unknown.

    Means can agree where values do not, so an rms error belongs beside it.

    >>> float(find_distortion(np.array([0.1027]), np.array([0.1]))[0].round(8))
    0.03743869
    """
    safe = np.where(mean == 0, 1.0, mean)
    return np.where(mean == 0, 0.0, np.log2(np.abs(mean - mean_quantized) / safe + 1))


@dataclass(frozen=True, slots=True)
class WidthGrowth(Rule):
    """Add `by` bits where diff_bit exceeds the threshold, until it passes or `most` is reached (A13).

    With `shrink` a width goes back by `by` where diff_bit stayed below threshold/16 for three checks (ours).
    """

    name: ClassVar[str] = "width-growth"
    meaning: ClassVar[str] = "more bits where quantizing moves the mean magnitude too far"

    threshold: float = key(0.03, low=0, high=0.5, open_ends=True)
    by: int = key(8, low=1, high=23)
    most: int = key(24, low=2, high=31)
    shrink: bool = key(False)

    def wants_more(self, bits: NDArray[np.int64], distortion: Doubles) -> NDArray[np.bool_]:
        """Where a quantizer must grow; (n,). What is unknown does not."""
        return (distortion > self.threshold) & (bits < self.most)

    def grow(self, state: QuantizerState, where: NDArray[np.bool_], distortion: Doubles) -> Decision:
        """More bits over the same range; the average exponent moves along by as many."""
        bits = np.where(where, np.minimum(state.bits + self.by, self.most), state.bits)
        after = QuantizerState(bits, state.low, state.high, state.memory)
        if AVERAGE in state.memory:
            after = after.remember(**{AVERAGE: state.recall(AVERAGE) - (bits - state.bits)})
        reasons = {
            int(i): f"diff_bit {distortion[i]:.3g} > {self.threshold:g}: {state.bits[i]} → {bits[i]} bits"
            for i in np.flatnonzero(where)
        }
        return Decision(after, reasons)

    def relax(self, state: QuantizerState, distortion: Doubles, least: int) -> Decision:
        """One width down where diff_bit stayed below threshold/16 for three checks, if asked for; not below `least`."""
        if not self.shrink:
            return Decision(state)
        calm = np.where(distortion < self.threshold / 16, state.recall("calm_checks") + 1, 0.0)
        where = (calm >= 3) & (state.bits > least)
        bits = np.where(where, np.maximum(state.bits - self.by, least), state.bits)
        after = QuantizerState(bits, state.low, state.high, state.memory).remember(
            calm_checks=np.where(where, 0.0, calm)
        )
        reasons = {
            int(i): f"diff_bit below {self.threshold / 16:.3g} for 3 checks: {state.bits[i]} → {bits[i]} bits"
            for i in np.flatnonzero(where)
        }
        return Decision(after, reasons)


@dataclass(frozen=True, slots=True)
class Average(Rule):
    """Check rarely while the exponent is steady (A14; Zhang et al. 2020): interval = beta / max(diff1, diff2) -
    gamma with diff1 = alpha |s - mv| and diff2 = delta diff_bit^2, at least 1, at most an epoch.

    With `phases` every iteration of the first hundredth of an epoch is checked, then by the interval until the first
    epoch ends, then once per epoch.
    """

    name: ClassVar[str] = "average"
    meaning: ClassVar[str] = "check at intervals that follow from the average exponent"

    alpha: float = key(0.04, low=0, high=0.4, open_ends=True)
    beta: float = key(0.1, low=0, high=1, open_ends=True)
    gamma: float = key(2.0, low=0, high=100)
    delta: float = key(100.0, low=0, high=1000, open_ends=True)
    phases: bool = key(False)

    def average(self, exponent: Doubles, before: Doubles) -> Doubles:
        """Average exponent, alpha s + (1 - alpha) mv; the first s where there is no average yet (NaN)."""
        return np.where(np.isnan(before), exponent, self.alpha * exponent + (1 - self.alpha) * before)

    def interval(self, distortion: Doubles, distance: Doubles, epoch: int) -> Doubles:
        """Steps until the next check, from diff_bit and |s - mv|; (n,).

        >>> Average().interval(np.array([0.001, 0.0]), np.array([0.1, 0.0]), 313).tolist()
        [23.0, 313.0]
        """
        largest = np.maximum(self.alpha * distance, self.delta * np.nan_to_num(distortion) ** 2)
        with np.errstate(divide="ignore"):
            wanted = np.where(largest > 0, self.beta / largest - self.gamma, np.inf)
        return np.clip(np.rint(np.minimum(wanted, epoch)), 1, epoch)

    def reschedule(
        self, state: QuantizerState, distortion: Doubles, distance: Doubles, where: NDArray[np.bool_], epoch: int
    ) -> QuantizerState:
        """The state with the next check moved to where diff_bit and |s - mv| of this very check put it, (n,)."""
        wait = np.where(where, self.interval(distortion, distance, epoch), state.recall("interval"))
        return state.remember(**{_NEXT: state.recall(_NEXT) + wait - state.recall("interval"), "interval": wait})

    def is_due(self, state: QuantizerState, step: int, epoch: int) -> NDArray[np.bool_]:
        """Which quantizers check at this step, (n,)."""
        if self.phases and step < epoch / 100:
            return np.ones(state.high.shape, np.bool_)
        if self.phases and step >= epoch:
            return np.full(state.high.shape, step % epoch == 0) | ~state.has_range
        return (step >= state.recall(_NEXT)) | ~state.has_range

    def follow(
        self, state: QuantizerState, exponent: Doubles, step: int, checked: NDArray[np.bool_], epoch: int
    ) -> QuantizerState:
        """The state after a step: the average moves at every one, the next check is set where one was made."""
        before = state.recall(AVERAGE, np.nan)
        mean = self.average(exponent, before)
        wait = self.interval(state.recall(DISTORTION), np.nan_to_num(np.abs(exponent - before)), epoch)
        return state.remember(
            **{AVERAGE: mean, _NEXT: np.where(checked, step + wait, state.recall(_NEXT)), "interval": wait}
        )


def note_distortion(state: QuantizerState, distortion: Doubles, checked: NDArray[np.bool_]) -> QuantizerState:
    """The state with diff_bit of the quantizers that were checked."""
    return state.remember(**{DISTORTION: np.where(checked, distortion, state.recall(DISTORTION))})
