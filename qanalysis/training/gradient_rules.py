"""How is a gradient taken at Q(x) corrected before it moves x? Rules that map g to g', and the policy among them.

Notation: e = x - Q(x), r = e/step in LSB, h the curvature of the loss. Straight through means g' = g, and 0 where x is
clipped, in every rule. No rule changes its arguments; what a rule has to remember the loop holds and hands in as
`Quantized`. A new rule is a class and its line in GRADIENT_RULES. Sources: docs/training.md A1 and D1 to D9.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from qanalysis.training.policies import Bands, PolicyState
from qanalysis.training.words import Rule, key

if TYPE_CHECKING:
    from torch import Tensor

FORWARD_KINDS = frozenset({"input", "output", "weight"})
WEIGHT_ONLY = frozenset({"weight"})

#: The limit of Nagel et al. 2022 that freezing is annealed from, towards its threshold.
FIRST_FREEZING_THRESHOLD = 0.1


@dataclass(frozen=True, slots=True)
class Quantized:
    """A tensor beside its quantized values, at one step of a training.

    Parameters
    ----------
    x, y : the latent values and Q(x).
    step : the step of each element's group, broadcastable to x's shape, above 0.
    clipped : where x lies outside the range, bool, x's shape.
    progress : share of the training that is done, 0 to 1.
    mean_residual : bias-corrected running mean of r in LSB, x's shape; for rules that need "moments".
    frequency : how often each code has turned back of late (D7's f), x's shape; for rules that need "codes".
    frozen : which elements are frozen (`FreezingMemory.frozen`); None where no memory is kept.
    curvature : exact h, broadcastable to x's shape, where it is known.
    band : the active band of a policy (`PolicyState.band`).
    """

    x: Tensor
    y: Tensor
    step: Tensor
    clipped: Tensor
    progress: float = 1.0
    mean_residual: Tensor | None = None
    frequency: Tensor | None = None
    frozen: Tensor | None = None
    curvature: Tensor | None = None
    band: int = 0

    @property
    def residual(self) -> Tensor:
        """The residual e = x - Q(x), clipped elements included."""
        return self.x - self.y

    @property
    def inner_residual(self) -> Tensor:
        """The residual of the elements that are not clipped, 0 at the others: their distance would swamp the rest."""
        return self.residual.masked_fill_(self.clipped, 0)

    @property
    def lsb(self) -> Tensor:
        """The same in LSB: r = e/step, never beyond half a step."""
        return self.inner_residual.div_(self.step)


@dataclass(frozen=True, slots=True)
class GradientRule(Rule, ABC):
    """A frozen value with a text form; called on a gradient it gives the corrected one.

    `kinds` are the kinds of data that it may act on; `needs` what the loop has to track for it: "moments" (the running
    mean of r) and "codes" (how often codes turn back).
    """

    kinds: ClassVar[frozenset[str]] = WEIGHT_ONLY

    def __call__(self, g: Tensor, at: Quantized) -> Tensor:
        """The corrected gradient, of g's shape: 0 where clipped.

        A g that is not finite comes back as it is, for the loop to skip the step. Where the correction overflows, the
        plain gradient is returned.
        """
        if not is_finite(g):
            return g
        passed = g.masked_fill(at.clipped, 0)
        corrected = self.correct(passed, at)
        return corrected if corrected is passed or is_finite(corrected) else passed

    @abstractmethod
    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        """The corrected gradient from a finite g that is 0 where clipped."""

    @property
    def needs(self) -> frozenset[str]:
        """What the loop tracks for the rule."""
        return frozenset()

    def strategy(self, _band: int, /) -> str:
        """The name of the rule that acts in a band of the fluctuation; its own, but for a policy."""
        return self.name


def is_finite(g: Tensor) -> bool:
    """Whether every element is; one pass where it is so."""
    # NaN and infinity survive any sum; only a finite tensor whose sum overflows needs the second look.
    return math.isfinite(float(g.sum())) or bool(g.isfinite().all())


def bound_correction(g: Tensor, correction: Tensor) -> Tensor:
    """The sum, with the correction held to |g| + rms(g) of the tensor, so that a wrong curvature can not explode.

    All-zero g stays zero. The memory of `correction` is used for the sum: fresh memory costs as much as the arithmetic.
    """
    limit = g.abs().add_(g.norm() / math.sqrt(g.numel() or 1))
    return correction.clamp_(-limit, limit).add_(g)


@dataclass(frozen=True, slots=True)
class StraightThrough(GradientRule):
    """g' = g (D1)."""

    name: ClassVar[str] = "ste"
    meaning: ClassVar[str] = "straight through: the gradient at Q(x) is taken for that at x"
    kinds: ClassVar[frozenset[str]] = FORWARD_KINDS

    def correct(self, g: Tensor, _at: Quantized, /) -> Tensor:
        return g


@dataclass(frozen=True, slots=True)
class ElementwiseScaling(GradientRule):
    """g' = g (1 + delta sign(g) r), r in LSB (D5, arXiv 2104.00903).

    delta is that of the LSB form: the paper's, where x is normalised to [0, 1], times levels - 1. Its automatic choice
    from the Hessian's trace is not offered.
    """

    name: ClassVar[str] = "ewgs"
    meaning: ClassVar[str] = "scales each gradient by how far its element lies from the grid, in the way it pushes"
    kinds: ClassVar[frozenset[str]] = FORWARD_KINDS

    delta: float = key(0.2, low=0, high=2, meaning="share by which a whole step of residual scales")

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        return g.addcmul(g.abs(), at.lsb, value=self.delta)


@dataclass(frozen=True, slots=True)
class SoftStaircase(GradientRule):
    """g' = g times the slope of a soft staircase (D6, arXiv 1908.05033); the forward pass stays hard.

    Between two levels the staircase is S tanh(k u), u in steps from the middle, S = 1/(1 - alpha), k = ln(2/alpha - 1).
    Half its slope counts, as it rises by 2 from level to level. Steepest half a step from the grid; a format with
    unequal gaps is taken as if all were one `step`. `alpha` is fixed here, the paper learns it.
    """

    name: ClassVar[str] = "dsq"
    meaning: ClassVar[str] = "the slope of a soft staircase: larger midway between levels than on them"
    kinds: ClassVar[frozenset[str]] = FORWARD_KINDS

    alpha: float = key(0.2, low=0, high=0.5, open_ends=True, meaning="softness; near 0 a hard staircase")

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        return self.slope(at.lsb).mul_(g)

    def slope(self, lsb: Tensor) -> Tensor:
        """The slope of the soft staircase at a residual of `lsb` steps, |lsb| at most 1/2."""
        sharpness = math.log(2 / self.alpha - 1)
        bend = lsb.abs().sub_(0.5).mul_(sharpness).tanh_()
        return bend.square_().sub_(1).mul_(-0.5 * sharpness / (1 - self.alpha))


def _curve(g: Tensor, at: Quantized, strength: float) -> Tensor:
    """The curvature h of each element: exact where known, else the Fisher form strength g^2."""
    return g.square().mul_(strength) if at.curvature is None else at.curvature


@dataclass(frozen=True, slots=True)
class Curvature(GradientRule):
    """g' = g + h e, held by `bound_correction`: first-order Taylor of the gradient from Q(x) to x (A1)."""

    name: ClassVar[str] = "curvature"
    meaning: ClassVar[str] = "carries the gradient from Q(x) back to x along the curvature"

    strength: float = key(1.0, low=0, meaning="lambda of the Fisher form h = lambda g^2; unused where h is known")

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        return bound_correction(g, at.inner_residual.mul_(_curve(g, at, self.strength)))


@dataclass(frozen=True, slots=True)
class Averaged(GradientRule):
    """g' = g + h m1 step: `Curvature` with the running mean of the residual in place of the one of this step (A1)."""

    name: ClassVar[str] = "averaged"
    meaning: ClassVar[str] = "as curvature, with the mean residual of the last steps"

    strength: float = key(1.0, low=0, meaning="lambda of the Fisher form h = lambda g^2; unused where h is known")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"moments"})

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        mean = _tracked(at.mean_residual, self.name, "moments").masked_fill(at.clipped, 0)
        return bound_correction(g, mean.mul_(at.step).mul_(_curve(g, at, self.strength)))


@dataclass(frozen=True, slots=True)
class Dampening(GradientRule):
    """g' = g + 2 lambda e: the gradient of lambda sum (Q(x) - x)^2, which pulls to the level (D8, arXiv 2203.11086).

    lambda rises from 0 at `start` to `strength` at the end, by half a cosine. Acts where g is 0 too, and is not held by
    `bound_correction`. 2 lambda above the curvature h can keep an element in the wrong cell: show one beside the other.
    """

    name: ClassVar[str] = "dampening"
    meaning: ClassVar[str] = "pulls each element to its level, more and more to the end"

    strength: float = key(0.1, low=0, meaning="lambda at the end of the training")
    start: float = key(0.25, low=0, high=1, meaning="share of the training before the pull sets in")

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        return g.add(at.inner_residual, alpha=2 * self.strength_at(at.progress))

    def strength_at(self, progress: float) -> float:
        """The lambda when so much of the training is done.

        >>> [round(Dampening().strength_at(progress), 8) for progress in (0.25, 0.625, 1.0)]
        [0.0, 0.05, 0.1]
        """
        return self.strength * _ramp(progress, self.start)


def _ramp(progress: float, start: float) -> float:
    """Half a cosine from 0 at `start` to 1 at the end."""
    if progress >= 1:
        return 1.0
    return 0.5 * (1 - math.cos(math.pi * (progress - start) / (1 - start))) if progress > start else 0.0


@dataclass(frozen=True, slots=True)
class Freezing(GradientRule):
    """g' = 0 of elements that turn back too often; the loop keeps them at a code with `FreezingMemory` (D9).

    The limit on f falls by half a cosine from 0.1 (or `threshold`, where that is more) at `start` to `threshold` at the
    end; nothing is frozen before. One turn alone gives f = `momentum`.
    """

    name: ClassVar[str] = "freezing"
    meaning: ClassVar[str] = "elements that flip too often stay at the code where they were most"

    threshold: float = key(0.01, low=0, high=1, meaning="limit on the flip frequency at the end of the training")
    momentum: float = key(0.001, low=0, high=1, open_ends=True, meaning="weight of a new step in frequency and mean")
    start: float = key(0.25, low=0, high=1, meaning="share of the training before the first may freeze")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"codes"})

    def find_fault(self) -> str:
        if self.threshold < self.momentum:
            return (
                f"threshold={self.threshold:g} is below momentum={self.momentum:g}, so the first turn of any element "
                f"would freeze it; set threshold={2 * self.momentum:g} or more"
            )
        return ""

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        if at.frozen is not None:
            return g.masked_fill(at.frozen, 0)
        frequency = _tracked(at.frequency, self.name, "codes")
        return g.masked_fill(frequency > self.threshold_at(at.progress), 0)

    def threshold_at(self, progress: float) -> float:
        """The limit when so much of the training is done; infinite before `start`.

        >>> [round(Freezing().threshold_at(progress), 8) for progress in (0.2, 0.25, 0.625, 1.0)]
        [inf, 0.1, 0.055, 0.01]
        """
        if progress < self.start:
            return math.inf
        first = max(FIRST_FREEZING_THRESHOLD, self.threshold)
        return self.threshold + (first - self.threshold) * (1 - _ramp(progress, self.start))


@dataclass(frozen=True, slots=True, eq=False)
class FreezingMemory:
    """Which elements are frozen (bool) and at which code, both of the tensor's shape; once frozen, for good.

    The code stays when the step changes, so the value moves with the step.
    """

    frozen: Tensor
    code: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> FreezingMemory:
        """Nothing frozen yet."""
        return cls(codes.new_zeros(codes.shape).bool(), codes.clone())

    def freeze(self, frequency: Tensor, mean_code: Tensor, threshold: float) -> FreezingMemory:
        """Freezes what turned back more often than `threshold` (D7's f, this step included).

        Parameters
        ----------
        mean_code : running mean of the codes before this step; a frozen element keeps it, rounded half to even.
        """
        newly = (frequency > threshold) & ~self.frozen
        return FreezingMemory(self.frozen | newly, mean_code.round().to(self.code.dtype).where(newly, self.code))

    def keep(self, codes: Tensor) -> Tensor:
        """The codes with those of the frozen elements put in their place."""
        return self.code.where(self.frozen, codes)


def _tracked(value: Tensor | None, rule: str, need: str) -> Tensor:
    if value is None:
        raise ValueError(f"{rule}: nothing was tracked of this tensor; a loop that runs it has to track its {need}")
    return value


#: The rules that a policy may choose among.
STRATEGIES: dict[str, type[GradientRule]] = {
    rule.name: rule
    for rule in (StraightThrough, ElementwiseScaling, SoftStaircase, Curvature, Dampening, Averaged, Freezing)
}


@dataclass(frozen=True, slots=True)
class Policy(GradientRule):
    """Chooses among the other rules, each with its defaults, by how much the quantization error fluctuates (A1).

    `decide` is asked once a step with the measure; the band it gives comes back as `Quantized.band`.
    """

    name: ClassVar[str] = "policy"
    meaning: ClassVar[str] = "another rule in each of three bands of the fluctuation of the error"

    bands: tuple[float, float] | None = key(None, meaning="the thresholds; 0.1:0.8, or 0.05:0.25 of the scalar")
    dwell: int = key(5, low=1, meaning="steps in a row that the new band must hold")
    hysteresis: float = key(0.1, low=0, high=0.9, meaning="share by which a threshold must be passed")
    measure: Literal["element", "scalar"] = key(
        "element", choices=("element", "scalar"), meaning="fluctuation of each element, or of the mean error"
    )
    below: str = key("ewgs", choices=tuple(STRATEGIES), meaning="rule while the error is steady")
    between: str = key("curvature", choices=tuple(STRATEGIES), meaning="rule while elements change cells")
    above: str = key("dampening", choices=tuple(STRATEGIES), meaning="rule while elements flip to and fro")
    window: int = key(20, low=1, meaning="steps before the first decision, and values of the scalar measure")

    def find_fault(self) -> str:
        low, high = self.thresholds
        if not 0 < low < high < math.inf:
            return f"bands={low:g}:{high:g} must rise from above 0, such as bands=0.1:0.8"
        return ""

    @property
    def thresholds(self) -> tuple[float, float]:
        """Those asked for, or the measure's own."""
        return self.bands or ((0.1, 0.8) if self.measure == "element" else (0.05, 0.25))

    @property
    def needs(self) -> frozenset[str]:
        own = frozenset({"moments"} if self.measure == "element" else ())
        return own.union(*(STRATEGIES[self.strategy(band)]().needs for band in range(3)))

    def strategy(self, band: int, /) -> str:
        return (self.below, self.between, self.above)[band]

    def correct(self, g: Tensor, at: Quantized, /) -> Tensor:
        return STRATEGIES[self.strategy(at.band)]().correct(g, at)

    def decide(self, state: PolicyState, v: float) -> tuple[PolicyState, str]:
        """The state after the measure `v` and, where the rule changed, why; see `Bands.decide`.

        >>> Policy(dwell=1, window=1).decide(PolicyState(band=1), 0.91)[1]
        'v_elem 0.91 ≥ 0.88 for 1 step: curvature → dampening'
        """
        low, high = self.thresholds
        after, why = Bands(low, high, self.hysteresis, self.dwell, self.window).decide(state, v)
        measure = "v_elem" if self.measure == "element" else "v_scalar"
        change = f"{self.strategy(state.band)} → {self.strategy(after.band)}"
        return after, f"{measure} {why}: {change}" if why else ""


GRADIENT_RULES: dict[str, type[GradientRule]] = {**STRATEGIES, Policy.name: Policy}
