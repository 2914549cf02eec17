"""Which ranges are learned by gradient? PACT's clip (D2), LSQ's step (D3), LSQ+'s step and offset (D4).

The gradients are those of the papers, for one range per tensor; torch's tensors are handed in, nothing here loads it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.training.range_rules import RangeRule
from qanalysis.training.reach import Reach
from qanalysis.training.state import Decision, Observation, QuantizerState
from qanalysis.training.words import key

if TYPE_CHECKING:
    from torch import Tensor

#: PACT (1805.06085); steps of LSQ (1902.08153) (ours).
LEAST_CLIP, LEAST_STEP, IDLE_STEP = 1e-3, 1e-8, 1e-3
#: The memory of the mean of x, noted before a learned range begins; observations know |x| alone.
SIGNED_MEAN = "signed_mean"


@dataclass(frozen=True, slots=True)
class Moved:
    """Gradients of one backward pass: of the input, and of what the rule learns, by the name of its memory."""

    to_input: Tensor
    to_rule: dict[str, float]


@dataclass(frozen=True, slots=True)
class LearnedRange(RangeRule):
    """Base: the range moves by descent at `rate` times the training's own rate."""

    is_learned: ClassVar[bool] = True

    rate: float = key(1.0, low=0, meaning="learning rate of the range over that of the weights")

    def decide(self, state: QuantizerState, _seen: Observation, _reach: Reach) -> Decision:
        return Decision(state)

    @abstractmethod
    def differentiate(self, g: Tensor, x: Tensor, state: QuantizerState, reach: Reach) -> Moved:
        """Gradients for g = dL/dQ(x), of x's shape."""

    @abstractmethod
    def descend(self, state: QuantizerState, slope: dict[str, float], rate: float, reach: Reach) -> QuantizerState:
        """The state after one step of descent at `rate`; what is learned keeps its floor."""


@dataclass(frozen=True, slots=True)
class Pact(LearnedRange):
    """y = clip(x, 0, clip) on an unsigned grid; the clip learns from what lies above it and from an L2 penalty."""

    name: ClassVar[str] = "pact"
    meaning: ClassVar[str] = "learn the upper clip of non-negative activations (PACT)"
    begins_from_data: ClassVar[bool] = False

    start: float = key(6.0, low=LEAST_CLIP, meaning="initial clip")
    penalty: float = key(1e-4, low=0, meaning="L2 penalty on the clip")

    def begin(self, state: QuantizerState, _seen: Observation, _reach: Reach) -> QuantizerState:
        return state.with_range(np.zeros_like(state.high), np.full(state.high.shape, self.start))

    def differentiate(self, g: Tensor, x: Tensor, state: QuantizerState, _reach: Reach) -> Moved:
        clip = float(state.high[0])
        above = x >= clip
        return Moved(g * ((x >= 0) & ~above), {"clip": float((g * above).sum().double())})

    def descend(self, state: QuantizerState, slope: dict[str, float], rate: float, _reach: Reach) -> QuantizerState:
        moved = state.high - rate * self.rate * (slope["clip"] + self.penalty * state.high)
        return state.with_range(state.low, np.maximum(moved, LEAST_CLIP))


@dataclass(frozen=True, slots=True)
class Lsq(LearnedRange):
    """The step as a parameter: ds = -Qn below, Qp above, else round(v/s) - v/s, times 1/sqrt(N Qp)."""

    name: ClassVar[str] = "lsq"
    meaning: ClassVar[str] = "learn the step (LSQ)"

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        _low, top = find_codes(state, reach)
        step = np.where(seen.absmax > 0, 2 * seen.mean / np.sqrt(top), IDLE_STEP)
        return self.with_step(state, np.maximum(step, LEAST_STEP), reach)

    def with_step(self, state: QuantizerState, step: Doubles, reach: Reach) -> QuantizerState:
        """The range over which the scheme lays a grid of this step."""
        bottom, top = find_codes(state, reach)
        excess = step / reach.step(bottom * step, top * step, state.bits)
        return state.with_range(bottom * step * excess, top * step * excess)

    def differentiate(self, g: Tensor, x: Tensor, state: QuantizerState, reach: Reach) -> Moved:
        bottom, top = find_codes(state, reach)
        scaled = x / find_step(state, reach)
        inside = (scaled > bottom) & (scaled < top)
        slope = ((scaled.round() - scaled) * inside + bottom * (scaled <= bottom) + top * (scaled >= top)) * g
        scale = 1 / np.sqrt(max(x.numel(), 1) * top)
        return Moved(g * inside, {"step": float(slope.sum().double()) * scale})

    def descend(self, state: QuantizerState, slope: dict[str, float], rate: float, reach: Reach) -> QuantizerState:
        step = find_step(state, reach) - rate * self.rate * slope["step"]
        return self.with_step(state, np.full_like(state.high, max(step, LEAST_STEP)), reach)


@dataclass(frozen=True, slots=True)
class LsqPlus(Lsq):
    """Step and offset of an unsigned grid, y = s round(clip((v - offset)/s, 0, Qp)) + offset; zero need not be a level.

    Of a signed grid (weights) the offset stays 0 and the first step is max(|mean - 3 std|, |mean + 3 std|)/2^(b-1).
    """

    name: ClassVar[str] = "lsq+"
    meaning: ClassVar[str] = "learn step and offset (LSQ+)"

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        bottom, top = find_codes(state, reach)
        if reach.is_signed:
            middle = state.recall(SIGNED_MEAN)
            spread = np.sqrt(np.maximum(seen.mean**2 + seen.std**2 - middle**2, 0))
            farthest = np.maximum(np.abs(middle - 3 * spread), np.abs(middle + 3 * spread))
            step = np.where(seen.absmax > 0, farthest / 2.0 ** (state.bits - 1), IDLE_STEP)
            return self.with_step(state, np.maximum(step, LEAST_STEP), reach)
        step = np.maximum((seen.high - seen.low) / (top - bottom), LEAST_STEP)
        state = state.remember(offset=seen.low - bottom * step)
        return self.with_step(state, step, reach)

    def differentiate(self, g: Tensor, x: Tensor, state: QuantizerState, reach: Reach) -> Moved:
        bottom, top = find_codes(state, reach)
        offset = float(state.recall("offset")[0])
        found = Lsq.differentiate(self, g, x - offset, state, reach)
        scaled = (x - offset) / find_step(state, reach)
        outside = (scaled <= bottom) | (scaled >= top)
        return Moved(found.to_input, {**found.to_rule, "offset": float((g * outside).sum().double())})

    def descend(self, state: QuantizerState, slope: dict[str, float], rate: float, reach: Reach) -> QuantizerState:
        after = Lsq.descend(self, state, slope, rate, reach)
        if reach.is_signed:
            return after
        return after.remember(offset=state.recall("offset") - rate * self.rate * slope["offset"])


def find_codes(state: QuantizerState, reach: Reach) -> tuple[float, float]:
    """The end codes (-Qn, Qp) of the scheme: -2^(b-1), 2^(b-1) - 1 of sym-noclip, 0, 2^b - 1 of asym."""
    bottom, top = reach.scheme.symmetry.ends(2 ** (int(state.bits[0]) - 1) - 1)
    return float(bottom), float(top)


def find_step(state: QuantizerState, reach: Reach) -> float:
    """The step of the grid over the range that stands."""
    return float(reach.step(state.low, state.high, state.bits)[0])
