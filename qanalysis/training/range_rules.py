"""How does a range follow what is seen? One frozen callable per rule, one line of the catalogue each.

A rule begins a range from the first observation, watches every step, and decides when its trigger says so. It looks at
n quantizers at once; the formulas are those of A2 and A6 to A10 and of torch's observers.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.training.reach import Reach
from qanalysis.training.state import Decision, Observation, QuantizerState
from qanalysis.training.triggers import Trigger
from qanalysis.training.words import Rule, key

Scope = Literal["layer", "all", "group"]
_SCOPES = ("layer", "all", "group")
# Asked for at every step of every quantizer.
_read_trigger = cache(Trigger.parse)


@dataclass(frozen=True, slots=True)
class RangeRule(Rule):
    """Base of the rules that move a range.

    `needs_moments`: whether mean and std of |x| must be known; `is_learned`: whether it moves by its gradient, so that
    statistics can not replay it; `begins_from_data`: whether the first range follows from what is seen first.
    """

    needs_moments: ClassVar[bool] = False
    is_learned: ClassVar[bool] = False
    begins_from_data: ClassVar[bool] = True

    trigger: str = key("every", meaning="when it decides: never, every, every:K, epoch, doubling:CAP")

    def find_fault(self) -> str:
        """A trigger that can not be read."""
        try:
            Trigger.parse(self.trigger)
        except ValueError as error:
            return str(error)
        return ""

    @property
    def timing(self) -> Trigger:
        """When it decides."""
        return _read_trigger(self.trigger)

    @property
    def refits(self) -> bool:
        """Whether it lays the grid over the tensor itself at each check, by the range rule of the scheme."""
        return False

    @abstractmethod
    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        """The state with a first range for all n, from what is seen first."""

    def watch(self, state: QuantizerState, _seen: Observation, _reach: Reach) -> QuantizerState:
        """The state after a step, checked or not: what the rule counts and averages."""
        return state

    @abstractmethod
    def decide(self, state: QuantizerState, seen: Observation, reach: Reach) -> Decision:
        """The state after a check of all n."""


def find_ends(seen: Observation, reach: Reach) -> tuple[Doubles, Doubles]:
    """The range that was seen: symmetric for one step for both signs, else widened to hold 0; (n,) each."""
    if reach.is_signed:
        return -seen.absmax, seen.absmax
    return np.minimum(seen.low, 0), np.maximum(seen.high, 0)


@dataclass(frozen=True, slots=True)
class MinMax(RangeRule):
    """The range of what is seen at each check; with `running` the widest so far (torch's MinMaxObserver)."""

    name: ClassVar[str] = "minmax"
    meaning: ClassVar[str] = "the range of each step; running=yes keeps the widest so far"

    running: bool = key(False, meaning="the widest range so far instead of the step's own")

    @property
    def refits(self) -> bool:
        return not self.running

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        return state.with_range(*find_ends(seen, reach))

    def decide(self, state: QuantizerState, seen: Observation, reach: Reach) -> Decision:
        low, high = find_ends(seen, reach)
        if self.running:
            low, high = np.fmin(state.low, low), np.fmax(state.high, high)
        return Decision(state.with_range(low, high))


@dataclass(frozen=True, slots=True)
class MovingAverage(RangeRule):
    """Both ends as exponential averages, end = momentum * end + (1 - momentum) * seen (torch's
    MovingAverageMinMaxObserver, whose averaging_constant is 1 - momentum).
    """

    name: ClassVar[str] = "ema"
    meaning: ClassVar[str] = "both ends as exponential averages"

    momentum: float = key(0.9, low=0, high=1, meaning="weight of the old end")

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        return state.with_range(*find_ends(seen, reach))

    def decide(self, state: QuantizerState, seen: Observation, reach: Reach) -> Decision:
        low, high = find_ends(seen, reach)
        keep, take = self.momentum, 1 - self.momentum
        return Decision(state.with_range(keep * state.low + take * low, keep * state.high + take * high))


@dataclass(frozen=True, slots=True)
class PrecisionRule(RangeRule):
    """Base of A6 to A9: raise the precision when the amount that must fit is not below pos.

    `precision` s keeps steps at powers of two by the exponent rule, f makes pos the amount itself. Ranges are symmetric
    and never lowered here; a `Down` beside the rule does that.
    """

    gradual: ClassVar[bool] = False

    precision: Literal["s", "f"] = key("s", choices=("s", "f"), meaning="a step 2^s, or a real step f")
    exponent: Literal["covering", "source", "library"] = key(
        "covering", choices=("covering", "source", "library"), meaning="how s follows from the largest value"
    )
    scope: Scope = key("layer", choices=_SCOPES, meaning="where the largest value is looked for")

    @property
    def exponent_rule(self) -> Literal["covering", "source", "library"] | None:
        """The rule of s; None for f."""
        return self.exponent if self.precision == "s" else None

    def amount(self, seen: Observation) -> Doubles:
        """What must fit: the largest magnitude; (n,)."""
        return seen.absmax

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        amount = self.amount(seen)
        if self.scope == "group":
            amount = np.where(amount > 0, amount, np.nanmax(amount, initial=0.0))  # an empty group takes its layer's
        high = reach.cover(amount, state.bits, self.exponent_rule)
        return state.with_range(-high, high)

    def decide(self, state: QuantizerState, seen: Observation, reach: Reach) -> Decision:
        amount = self.amount(seen)
        fires = amount >= state.high
        if not fires.any():
            return Decision(state)
        wanted = 2 * state.high if self.gradual else reach.cover(amount, state.bits, self.exponent_rule)
        bound = reach.largest(state.bits) * np.exp2(126.0 - reach.top_exponent(state.bits))
        high = np.where(fires, np.minimum(np.maximum(wanted, state.high), np.maximum(bound, state.high)), state.high)
        after = state.with_range(-high, high)
        return Decision(after, self._explain(state, after, amount, reach))

    def _explain(self, before: QuantizerState, after: QuantizerState, amount: Doubles, reach: Reach) -> dict[int, str]:
        return {
            int(
                i
            ): f"{self.subject} {amount[i]:.4g} ≥ pos {before.high[i]:.4g}: {self.tell(before, after, int(i), reach)}"
            for i in np.flatnonzero(after.high > before.high)  # NaN, of what was never seen, is not
        }

    @property
    def subject(self) -> str:
        """What is held against pos."""
        return "absmax"

    def tell(self, before: QuantizerState, after: QuantizerState, i: int, reach: Reach) -> str:
        """One quantizer's precision before and after, such as `s −7 → −5`."""
        return tell_precision(before, after, i, reach, discrete=self.precision == "s")


def tell_precision(before: QuantizerState, after: QuantizerState, i: int, reach: Reach, *, discrete: bool) -> str:
    """The precision of quantizer i before and after, in words."""
    steps = [reach.step(one.low[i : i + 1], one.high[i : i + 1], one.bits[i : i + 1])[0] for one in (before, after)]
    if discrete:
        first, second = (f"{round(np.log2(step)):d}".replace("-", "−") for step in steps)
        return f"s {first} → {second}"
    return f"f {steps[0]:.4g} → {steps[1]:.4g}"


@dataclass(frozen=True, slots=True)
class Hold(PrecisionRule):
    """The first range for good: that of the calibration, or of a log's first step; a `Down` beside it may lower it."""

    name: ClassVar[str] = "hold"
    meaning: ClassVar[str] = "keep the first range"

    def decide(self, state: QuantizerState, _seen: Observation, _reach: Reach) -> Decision:
        return Decision(state)


@dataclass(frozen=True, slots=True)
class UpStep(PrecisionRule):
    """At once to what holds the largest magnitude (A6) (CN111832695A)."""

    name: ClassVar[str] = "up-step"
    meaning: ClassVar[str] = "up by the largest magnitude, in one step"


@dataclass(frozen=True, slots=True)
class UpGradual(PrecisionRule):
    """By one exponent, or a doubling of f, per check (A7) (assumed)."""

    name: ClassVar[str] = "up-gradual"
    meaning: ClassVar[str] = "up by the largest magnitude, one doubling per check"
    gradual: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class UpDistribution(PrecisionRule):
    """At once to what holds mean|x| + n std|x| (A8) (assumed); the tail is clipped by intention."""

    name: ClassVar[str] = "up-distribution"
    meaning: ClassVar[str] = "up by mean + n std of |x|, in one step"
    needs_moments: ClassVar[bool] = True

    n: float = key(3.0, low=0, meaning="standard deviations above the mean")

    def amount(self, seen: Observation) -> Doubles:
        return seen.mean + self.n * seen.std

    @property
    def subject(self) -> str:
        return f"mean + {self.n:g} std"


@dataclass(frozen=True, slots=True)
class UpDistributionGradual(UpDistribution):
    """By one doubling per check while mean|x| + n std|x| is not below pos (A9) (assumed)."""

    name: ClassVar[str] = "up-distribution-gradual"
    meaning: ClassVar[str] = "up by mean + n std of |x|, one doubling per check"
    gradual: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Down(Rule):
    """One exponent down when the largest magnitude lies below 2^(s + bits - n) (A10): a quarter of pos at n = 3, so the
    next check can not raise it again. Real steps are halved under the same test (ours).
    """

    name: ClassVar[str] = "down"
    meaning: ClassVar[str] = "down by one when the largest magnitude is below 2^(s + bits − n)"

    n: float = key(3.0, low=3, meaning="with 2 it would go down and up in turn")
    s_min: int = key(-64, low=-126, high=126, meaning="the lowest exponent; it is never passed")

    def decide(self, state: QuantizerState, seen: Observation, reach: Reach, *, discrete: bool = True) -> Decision:
        """The state after a check; quantizers that see only zeros stay."""
        step = state.high / reach.largest(state.bits)
        threshold = step * np.exp2(reach.top_exponent(state.bits) + 1 - self.n)
        lowest = step <= 2.0**self.s_min if discrete else step / 2 < 2.0**self.s_min
        fires: NDArray[np.bool_] = (seen.absmax > 0) & (seen.absmax < threshold) & ~lowest
        if not fires.any():
            return Decision(state)
        high = np.where(fires, state.high / 2, state.high)
        after = state.with_range(-high, high)
        return Decision(
            after,
            {
                int(i): f"absmax {seen.absmax[i]:.4g} < {threshold[i]:.4g}: "
                f"{tell_precision(state, after, int(i), reach, discrete=discrete)}"
                for i in np.flatnonzero(fires)
            },
        )
