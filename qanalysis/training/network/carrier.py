"""What happens to one tensor on the way there and back? Quantized forward, its gradient corrected backward.

A carrier belongs to a site. Forward it lets the site quantize; backward it applies the gradient rule, the rule of a
learned range, or straight through, where clipped elements pass no gradient. Carriers of weights also remember how each
element's error moved (A1, D7 to D9).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qanalysis.arrays import Floats
from qanalysis.training.gradient_rules import Freezing, FreezingMemory, Policy, Quantized, StraightThrough, is_finite
from qanalysis.training.learned_ranges import LearnedRange
from qanalysis.training.network.following import Followed, Follower
from qanalysis.training.network.site import Clock, Site, spread_steps
from qanalysis.training.policies import PolicyState, v_scalar
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import QuantizerState

#: Values of E that the scalar fluctuation looks back on (A1).
WINDOW = 20
#: A change of the step above which errors in steps can not be compared with those before.
_ANOTHER_STEP = 0.1
_STRAIGHT = StraightThrough()


def to_array(x: Tensor) -> Floats:
    """The values as float32 on the CPU, without a copy where they are there."""
    array: Floats = x.detach().to("cpu", torch.float32).contiguous().numpy()
    return array


def from_array(array: Any, like: Tensor) -> Tensor:
    """An array as a tensor of the device and type of another."""
    made = torch.from_numpy(np.ascontiguousarray(array))
    return made.to(like.device) if made.dtype == torch.bool else made.to(like.device, like.dtype)


@dataclass(slots=True, eq=False)
class Carrier:
    """A site of activations on the way there and back; `slope` is what a learned range gathers until the update."""

    site: Site
    slope: dict[str, float] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """That of the training."""
        return self.site.clock

    def carry(self, x: Tensor) -> Tensor:
        """The quantized tensor, with a way back; the tensor itself where nothing is quantized."""
        if self.site.recipe is None or self.clock.is_float:
            return x
        return quantized(x, self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Q(x) and where it is clipped."""
        passed = self.site.quantize(to_array(x))
        return from_array(passed.y, x), from_array(passed.clipped, x)

    def keep(self, x: Tensor, y: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """What of x and Q(x) the way back needs; a copy of an output, into which an in-place activation may write."""
        recipe = self.site.recipe
        if recipe is None or not (recipe.range.is_learned or _corrects(recipe)):
            return None, None
        if not _corrects(recipe):
            return x, None
        return x, y.clone() if self.site.kind == "output" else y

    def backward(self, g: Tensor, x: Tensor, y: Tensor, clipped: Tensor) -> Tensor:
        """The corrected gradient; x and y as `keep` gave them."""
        recipe, state = self.site.recipe, self.site.state
        if recipe is None or not is_finite(g):
            self.clock.is_broken |= not is_finite(g)
            return g
        rule = recipe.gradient or _STRAIGHT
        if isinstance(recipe.range, LearnedRange) and state is not None:
            moved = recipe.range.differentiate(g, x, state, recipe.reach)
            for name, slope in moved.to_rule.items():
                self.slope[name] = self.slope.get(name, 0.0) + slope
            if isinstance(rule, StraightThrough):
                return moved.to_input
        if not isinstance(rule, StraightThrough):
            return rule(g, self.describe(x, y, clipped))
        return g.masked_fill(clipped, 0) if clipped.any() else g

    def describe(self, x: Tensor, y: Tensor, clipped: Tensor) -> Quantized:
        """What a gradient rule is told."""
        return Quantized(x, y, self.step_like(x), clipped, progress=self.clock.progress)

    def step_like(self, x: Tensor) -> Tensor:
        """The step of each element, broadcastable to x."""
        layout = self.site.layout
        if layout is None or self.site.steps.size == 1:
            return torch.as_tensor(float(self.site.steps[0]), dtype=x.dtype, device=x.device)
        return from_array(spread_steps(self.site.steps, layout).reshape(x.shape), x)

    def descend(self, rate: float) -> None:
        """Move a learned range by what was gathered."""
        recipe, state = self.site.recipe, self.site.state
        moves = bool(self.slope) and all(np.isfinite(slope) for slope in self.slope.values())
        if moves and recipe is not None and state is not None and isinstance(recipe.range, LearnedRange):
            self.site.state = recipe.range.descend(state, self.slope, rate, recipe.reach)
            self.site.grid = None
        self.slope.clear()


@dataclass(slots=True, eq=False)
class WeightCarrier(Carrier):
    """A weight: what is remembered of its elements, and the gradient that moves the latent values.

    `latent` is the parameter that the optimizer moves; `gradient` the site of its gradient (dW), which may quantize it.
    `corrected` is the last gradient, `flips` those since the last row, `shown` the last latent and quantized values.
    `carried` is the quantized weight until the clock moves: what is read more than once, as tied weights are, is
    quantized and followed once.
    """

    latent: nn.Parameter | None = None
    gradient: Site | None = None
    follower: Follower | None = None
    followed: Followed | None = None
    errors: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    policy: PolicyState = field(default_factory=PolicyState)
    freezing: FreezingMemory | None = None
    corrected: Tensor | None = None
    flips: int = 0
    switches: int = 0
    measured_step: float = float("nan")
    shown: tuple[Tensor, Tensor] | None = None
    correction: float = float("nan")
    carried: tuple[tuple[int, bool, bool], QuantizerState | None, Tensor] | None = None

    def __post_init__(self) -> None:
        rule = self.site.recipe.gradient if self.site.recipe is not None else None
        if isinstance(rule, Policy):
            self.errors = deque(maxlen=max(rule.window, 2))  # one value has no deviation

    def carry(self, x: Tensor) -> Tensor:
        clock, site = self.clock, self.site
        gradient_rests = self.gradient is None or not self.gradient.is_at_work
        if clock.is_float or (site.recipe is None and (not clock.adapts or (gradient_rests and not clock.records))):
            return x
        if clock.adapts and not clock.follows:
            return quantized(x, self)
        seen = clock.step, clock.adapts, torch.is_grad_enabled()
        if self.carried is None or self.carried[:2] != (seen, site.state):
            y = quantized(x, self)
            self.carried = seen, site.state, y
        return self.carried[2]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.site.recipe is None:
            if self.clock.records:
                self.site.observe(to_array(x))
            return x.view_as(x), torch.zeros((), dtype=torch.bool)
        y, clipped = Carrier.forward(self, x)
        follows = self.clock.adapts and self.clock.follows and (self.clock.tells or self._must_follow)
        if follows:
            self._follow(x, y, clipped)
        if self.freezing is not None:
            y = torch.where(self.freezing.frozen, self.freezing.code.to(x.dtype) * self.step_like(x), y)
        if follows:
            self.shown = x, y
        return y, clipped

    def backward(self, g: Tensor, x: Tensor, y: Tensor, clipped: Tensor) -> Tensor:
        self.carried = None
        g = g.to_dense() if g.is_sparse else g  # of an embedding that asks for it
        g = carry_back(g, self.gradient) if self.gradient is not None else g
        self.corrected = Carrier.backward(self, g, x, y, clipped)
        if self.clock.records:
            correction = self.corrected - g.masked_fill(clipped, 0)
            self.correction = float(correction.double().square().mean().sqrt())
        return self.corrected

    def describe(self, x: Tensor, y: Tensor, clipped: Tensor) -> Quantized:
        follower = self.follower
        return Quantized(
            x,
            y,
            self.step_like(x),
            clipped,
            progress=self.clock.progress,
            mean_residual=None if follower is None else from_array(follower.m1, x),
            frequency=None if follower is None else from_array(follower.frequency, x),
            frozen=None if self.freezing is None else self.freezing.frozen,
            band=self.policy.band,
        )

    @property
    def _must_follow(self) -> bool:
        """Whether the gradient rule itself looks at what is remembered."""
        rule = self.site.recipe.gradient if self.site.recipe is not None else None
        return isinstance(rule, Policy) or (rule is not None and bool(rule.needs))

    @property
    def strategy(self) -> str:
        """The gradient rule in use, by name."""
        rule = self.site.recipe.gradient if self.site.recipe is not None else None
        return (rule or _STRAIGHT).strategy(self.policy.band)

    @property
    def v_scalar(self) -> float:
        """std(E)/mean(E) over the window; NaN before there are two values."""
        return v_scalar(self.errors) if len(self.errors) > 1 else float("nan")

    def make_follower(self) -> Follower:
        """The memory of the elements, begun."""
        recipe = self.site.recipe
        if recipe is None or self.latent is None:
            raise ValueError(f"{self.site.layer}: nothing is quantized here, so nothing can be followed")
        momentum = recipe.gradient.momentum if isinstance(recipe.gradient, Freezing) else 0.01
        uniform = recipe.scheme.coder.is_uniform
        self.follower = Follower(tuple(self.latent.shape), momentum=momentum, by_code=uniform)
        return self.follower

    def _follow(self, x: Tensor, y: Tensor, clipped: Tensor) -> None:
        """Errors and codes of this step; a policy decides, freezing looks for what turns back too often."""
        site, layout = self.site, self.site.layout
        recipe = site.recipe
        if recipe is None or layout is None or site.grid is None:
            return
        rule = recipe.gradient or _STRAIGHT
        uniform = site.grid.coder.is_uniform
        follower = self.follower or self.make_follower()
        step = float(np.max(site.steps, initial=0.0))
        if abs(step - self.measured_step) > _ANOTHER_STEP * self.measured_step:
            if follower.steps:
                site.tell(f"step {self.measured_step:.3g} → {step:.3g}: errors of elements begin anew")
            follower.reset()
            self.policy = replace(self.policy, steps=0, dwell=0, pending=self.policy.band)
            self.measured_step = step
        if self.measured_step != self.measured_step:
            self.measured_step = step
        mean_code = torch.from_numpy(follower.ema_code.copy()) if "codes" in rule.needs else None
        self.followed = follower.follow(to_array(x), to_array(y), site.steps, layout, to_array_of_marks(clipped))
        self.flips += self.followed.flips
        if np.isfinite(self.followed.error):
            self.errors.append(self.followed.error)
        if isinstance(rule, Policy):
            self._decide(rule)
        if mean_code is not None and uniform:
            self._freeze(rule, x, y, mean_code)

    def _decide(self, rule: Policy) -> None:
        if self.followed is None:
            return
        value = self.followed.v_elem if rule.measure == "element" else self.v_scalar
        before = self.policy.band
        self.policy, reason = rule.decide(self.policy, value)
        if self.policy.band != before:
            self.switches += 1
            self.site.tell(reason)

    def _freeze(self, rule: Any, x: Tensor, y: Tensor, mean_code: Tensor) -> None:
        freezing = rule if isinstance(rule, Freezing) else Freezing()
        codes = (y / self.step_like(x)).round()
        memory = self.freezing or FreezingMemory.of(codes)
        frequency = from_array(self.follower.frequency, x) if self.follower is not None else torch.zeros_like(x)
        threshold = freezing.threshold_at(self.clock.progress)
        self.freezing = memory.freeze(frequency, mean_code.to(x), threshold)


def _corrects(recipe: Recipe) -> bool:
    """Whether a rule looks at what is quantized, which straight through does not."""
    return not isinstance(recipe.gradient or _STRAIGHT, StraightThrough)


def to_array_of_marks(marks: Tensor) -> Any:
    """Marks as a bool array."""
    return marks.detach().cpu().contiguous().numpy()


def carry_back(g: Tensor, site: Site) -> Tensor:
    """What a site of gradients makes of one: quantized where it has a recipe, looked at where the step is recorded."""
    clock = site.clock
    if clock.is_float or not clock.adapts:
        return g
    if site.recipe is None:
        if clock.records:
            site.observe(to_array(g))
        return g
    return from_array(site.quantize(to_array(g)).y, g)


class _Quantize(torch.autograd.Function):
    """Q forward, the carrier's way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, carrier: Carrier) -> Tensor:
        y, clipped = carrier.forward(x)
        ctx.carrier = carrier
        ctx.save_for_backward(*carrier.keep(x, y), clipped)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.carrier.backward(g, *ctx.saved_tensors), None


class WatchGradient(torch.autograd.Function):
    """The tensor itself forward; its gradient is seen, and quantized, by a site on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, site: Site) -> Tensor:
        ctx.site = site
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return carry_back(g, ctx.site), None


#: Both as functions of a tensor and its carrier or site.
quantized: Callable[[Tensor, Carrier], Tensor] = _Quantize.apply
watched: Callable[[Tensor, Site], Tensor] = WatchGradient.apply
