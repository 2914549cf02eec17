"""What does one quantizer do while a network trains? A site: a layer, a kind of data, a recipe and the state it is in.

A site sees a tensor, lets its rules act, lays the grid and passes the tensor through it. In evaluation the state stands
still; only grids that are laid over each tensor itself are laid anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping, Layout
from qanalysis.quantizers.observing import lay_at_once, observe_groups
from qanalysis.quantizers.passing import Passed, pass_through
from qanalysis.quantizers.quantizer import UniformQuantizer
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.training.adapting import Adapted, adapt, is_due, widen
from qanalysis.training.counts import Counts
from qanalysis.training.learned_ranges import SIGNED_MEAN
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KindOfData, Observation, QuantizerState

#: Above, float32 can not hold the codes.
WIDEST_FLOAT32 = 16


@dataclass(slots=True)
class Clock:
    """Where the training stands, for all its sites: the step, the steps in an epoch, the share done.

    `adapts` is false in evaluation; `records` says whether this step is told; `is_float` lets tensors pass as they are;
    `follows` whether errors of weights are followed; `is_broken` that a gradient of this step was not finite;
    `tells` whether any step is told, so that errors are followed though no rule asks.
    """

    step: int = 0
    epoch: int = 1
    progress: float = 0.0
    adapts: bool = True
    records: bool = False
    is_float: bool = False
    follows: bool = True
    tells: bool = True
    is_broken: bool = False


@dataclass(slots=True)
class Pool:
    """The largest of all layers of a kind (A11, scope=all): of this step so far and of the whole step before."""

    step: int = -1
    so_far: Observation | None = None
    before: Observation | None = None

    def to_plain(self) -> dict[str, float]:
        """The largest magnitudes, for a file."""
        found = [one.absmax[0] if one is not None else float("nan") for one in (self.so_far, self.before)]
        return {"step": self.step, "so_far": float(found[0]), "before": float(found[1])}

    def restore(self, kept: Mapping[str, float]) -> None:
        """The reverse; of the rest of the statistics nothing is needed but the magnitudes."""
        self.step = int(kept["step"])
        both = (Observation.of([kept[name]]) if kept[name] == kept[name] else None for name in ("so_far", "before"))
        self.so_far, self.before = both

    def merge(self, seen: Observation, step: int) -> Observation:
        """What all layers have shown, this one included."""
        if step != self.step:
            self.step, self.before, self.so_far = step, self.so_far, None
        self.so_far = seen if self.so_far is None else self.so_far.merge(seen)
        return self.so_far if self.before is None else self.so_far.merge(self.before)


@dataclass(slots=True)
class Site:
    """One quantizer in its place; `recipe` None for one that only observes; `axis` is that of the output channels.

    Told of the last step: `seen`, `adapted`, `passed`, `grid` and `layout`, and `events` since they were last taken.
    """

    layer: str
    kind: KindOfData
    recipe: Recipe | None
    clock: Clock
    pool: Pool | None = None
    state: QuantizerState | None = None
    axis: int = 0
    grid: Grid | None = None
    layout: Layout | None = None
    seen: Observation | None = None
    adapted: Adapted | None = None
    passed: Passed | None = None
    checks: int = 0
    adjustments: int = 0
    events: list[tuple[int, str]] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def is_at_work(self) -> bool:
        """Whether a tensor is quantized or looked at in this step."""
        return self.recipe is not None or self.clock.records

    def tell(self, text: str) -> None:
        """Note an event of this step."""
        self.events.append((self.clock.step, text))

    def observe(self, x: Floats) -> None:
        """Look at a tensor without quantizing it."""
        if self.layout is None or self.layout.shape != x.shape:
            self.layout = Grouping().lay_out(x.shape)
        self.seen = _to_observation(x, self.layout)

    def quantize(self, x: Floats) -> Passed:
        """What the quantizer makes of a tensor (float32, any shape) at this step; empty tensors pass."""
        recipe = self.recipe
        if recipe is None or self.clock.is_float or not x.size:
            return Passed(x, np.zeros(x.shape, np.bool_))
        matrix = _as_matrix(x, self.kind)
        layout = self._lay_out(matrix.shape)
        if not self.clock.adapts:
            passed = self._pass(matrix, self._find_grid(recipe, matrix, layout), layout)
            return Passed(passed.y.reshape(x.shape), passed.clipped.reshape(x.shape))
        self._adapt(recipe, matrix, layout)
        self.layout = layout
        passed = self._widen(recipe, matrix, self._pass(matrix, self.grid, layout), layout)
        self.measured = self._measure(matrix, passed) if self.clock.records else {}
        self.passed = Passed(passed.y.reshape(x.shape), passed.clipped.reshape(x.shape))
        return self.passed

    def _measure(self, matrix: Floats, passed: Passed) -> dict[str, float]:
        """Error E in steps of unclipped elements; of equal steps also the dead zone (A11). {} where many groups have
        levels with unequal gaps.
        """
        is_uniform = self.grid is not None and self.grid.coder.is_uniform
        if self.layout is None or not (is_uniform or self.steps.size == 1) or not (self.steps > 0).all():
            return {}
        step = np.broadcast_to(spread_steps(self.steps, self.layout), matrix.shape)
        finite = np.isfinite(matrix)
        inside = finite & ~passed.clipped
        if not inside.any():
            return {}
        residual = np.subtract(matrix[inside], passed.y[inside]).astype(np.float64) / step[inside]
        error = {"error": float(np.sqrt(np.mean(residual**2)))}
        if not is_uniform:
            return error
        magnitude = np.abs(matrix)
        dead = (magnitude > 0) & (magnitude < step / 2)
        return error | {"dead_zone": float(dead.sum() / finite.sum())}

    @property
    def bits(self) -> int:
        """The width of its codes."""
        return 0 if self.recipe is None else int(self.state.bits[0]) if self.state is not None else self.recipe.bits

    @property
    def scheme(self) -> Scheme:
        """The recipe's scheme at the width of now. Raises ValueError for a site that only observes."""
        if self.recipe is None:
            raise ValueError(f"{self.layer} {self.kind}: nothing is quantized here")
        scheme, bits = self.recipe.scheme, self.bits
        return scheme if bits == scheme.format.bits or not scheme.format.is_integer else _change_width(scheme, bits)

    @property
    def steps(self) -> Doubles:
        """The step of each group as the grid has it, (groups,)."""
        if self.grid is None or self.bits > WIDEST_FLOAT32:
            state, recipe = self.state, self.recipe
            if state is None or recipe is None:
                return np.full(1, np.nan)
            return np.asarray(recipe.reach.step(state.low, state.high, state.bits))
        return np.asarray(self.grid.step, np.float64)

    @property
    def offset(self) -> float:
        """What is taken off before coding and added after (LSQ+)."""
        return 0.0 if self.state is None else float(self.state.recall("offset")[0])

    def settle(self) -> None:
        """Keep the range that calibration found, and forget what the rules counted on the way."""
        if self.state is not None:
            kept = {name: self.state.recall(name) for name in ("offset", "only_zeros") if name in self.state.memory}
            self.state = QuantizerState(self.state.bits, self.state.low, self.state.high).remember(**kept)
        self.events.clear()
        self.checks = self.adjustments = 0

    def set_bits(self, bits: int, reason: str) -> None:
        """Another width over the same range, as the rungs towards a target take it."""
        if self.recipe is None or not self.recipe.scheme.format.is_integer or bits == self.bits:
            return
        self.recipe = replace(self.recipe, scheme=self.recipe.scheme.with_format(FORMATS[f"int{bits}"]))
        if self.state is not None:
            self.state = replace(self.state, bits=np.full_like(self.state.bits, bits))
            rule = self.recipe.range
            if isinstance(rule, PrecisionRule):
                high = self.recipe.reach.cover(self.state.high, self.state.bits, rule.exponent_rule)
                self.state = self.state.with_range(-high, high)
        self.grid = None
        if reason:
            self.tell(reason)
            self.adjustments += 1

    def _lay_out(self, shape: tuple[int, ...]) -> Layout:
        if self.layout is not None and self.layout.shape == shape and self.state is not None:
            return self.layout
        try:
            return self.scheme.lay_out(shape, axis=self.axis)
        except ValueError as error:
            raise ValueError(f"{self.layer} {self.kind}: {error}; choose other layers or another format") from error

    def _find_grid(self, recipe: Recipe, matrix: Floats, layout: Layout) -> Grid:
        """The grid of an evaluation: as the training left it, or over the tensor itself where the rule does so at every
        step. Nothing of the site changes.
        """
        lays_anew = recipe.range.refits and recipe.range.timing.is_always
        if lays_anew or self.state is None or self.state.high.size != layout.groups:
            return lay_at_once(matrix, self.scheme, layout)
        return self.grid if self.grid is not None else self._lay(recipe, self.state, matrix, layout)

    def _adapt(self, recipe: Recipe, matrix: Floats, layout: Layout) -> None:
        if self.state is None or self.state.high.size != layout.groups:
            self.state, self.grid = QuantizerState.blank(layout.groups, recipe.bits), None
        self.adapted, clock = None, self.clock
        due = is_due(recipe, self.state, clock.step, clock.epoch)
        watches = isinstance(recipe.range, Counts) or recipe.average is not None or self.pool is not None
        if not (due.any() or watches or clock.records or self.grid is None):
            return
        self.seen = _to_observation(matrix, layout)
        if recipe.range.is_learned and not self.state.has_range.all():
            self.state = self.state.remember(**{SIGNED_MEAN: np.full(layout.groups, _find_mean(matrix))})
        pooled = self.pool.merge(self.seen, clock.step) if self.pool is not None else self.seen
        if isinstance(recipe.range, Counts) and recipe.range.percentile < 100:
            pooled = _narrow(pooled, matrix, recipe.range.percentile)
        self.adapted = adapt(recipe, self.state, pooled, step=clock.step, epoch=clock.epoch)
        after = self._take(self.adapted)
        refits = recipe.range.refits and bool(self.adapted.checked.any())
        if refits or self.adapted.changed.any() or self.grid is None:
            self.grid = self._lay(recipe, after, matrix, layout)

    def _take(self, adapted: Adapted) -> QuantizerState:
        self.state = adapted.state
        self.checks += bool(adapted.checked.any())
        if adapted.reasons:
            self.adjustments += 1
            self.tell(_join(adapted.reasons))
        return adapted.state

    def _lay(self, recipe: Recipe, state: QuantizerState, matrix: Floats, layout: Layout) -> Grid:
        """The grid over the range of a state, or over the tensor itself where the scheme asks for more than a range."""
        scheme = self.scheme
        if recipe.range.refits and not scheme.takes_extremes:
            return lay_at_once(matrix, scheme, layout)
        low, high = (np.where(np.isnan(end), 0, end).astype(np.float32) for end in (state.low, state.high))
        return scheme.lay_grid(scheme.settle(Range(low, high)))

    def _pass(self, matrix: Floats, grid: Grid | None, layout: Layout) -> Passed:
        if grid is None:
            return Passed(matrix, np.zeros(matrix.shape, np.bool_))
        if self.bits > WIDEST_FLOAT32 and self.recipe is not None and self.recipe.scheme.format.is_integer:
            return self._pass_wide(matrix)
        rounding = self._draw_anew(self.scheme.rounding)
        if not self.offset:
            return pass_through(matrix, grid, layout, rounding)
        offset = np.float32(self.offset)
        passed = pass_through(matrix - offset, grid, layout, rounding)
        return Passed(passed.y + offset, passed.clipped)

    def _pass_wide(self, matrix: Floats) -> Passed:
        """Codes that float32 can not hold, by the uniform quantizer in float64."""
        top = 2 ** (self.bits - 1) - 1
        quantizer = UniformQuantizer(float(self.steps[0]), -top, top, rounding=self._draw_anew(self.scheme.rounding))
        y = quantizer.round_trip(matrix)
        return Passed(y.astype(np.float32), (matrix > quantizer.high) | (matrix < quantizer.low))

    def _draw_anew(self, rounding: Rounding) -> Rounding:
        """A stochastic rounding draws anew at every step, the same in every run."""
        return replace(rounding, seed=(rounding.seed + self.clock.step) % 10**9) if rounding.is_stochastic else rounding

    def _widen(self, recipe: Recipe, matrix: Floats, passed: Passed, layout: Layout) -> Passed:
        """Hold the mean magnitude against the width rule, quantizing anew while it grows."""
        adapted = self.adapted
        if adapted is None or not adapted.checked.any() or self.seen is None:
            return passed
        if not (recipe.width or recipe.average or self.clock.records) or adapted.state.high.size > 1:
            return passed
        for _ in range(8):
            before = adapted.state.bits
            adapted = widen(recipe, adapted, self.seen.mean, np.array([find_mean_magnitude(passed.y)]))
            grown = bool((adapted.state.bits != before).any())
            self.adapted, self.state = adapted, adapted.state
            if not grown:
                return passed
            self.tell(_join(adapted.reasons).rpartition("; ")[2])
            self.adjustments += 1
            self.grid = self._lay(recipe, adapted.state, matrix, layout)
            passed = self._pass(matrix, self.grid, layout)
        return passed


@cache
def _change_width(scheme: Scheme, bits: int) -> Scheme:
    """The same words with integers of another width; the scheme itself beyond the widest format."""
    fmt = FORMATS.get(f"int{bits}")
    return scheme if fmt is None else scheme.with_format(fmt)


def find_mean_magnitude(y: Floats) -> float:
    """The mean of |y| over finite elements, in float64; NaN where there is none."""
    flat = y.reshape(-1)
    finite = np.isfinite(flat)
    chosen = flat if finite.all() else flat[finite]
    return float(np.abs(chosen).mean(dtype=np.float64)) if chosen.size else float("nan")


def _find_mean(matrix: Floats) -> float:
    """The mean of the finite elements; 0 where there is none."""
    finite = matrix[np.isfinite(matrix)]
    return float(finite.mean(dtype=np.float64)) if finite.size else 0.0


def _narrow(seen: Observation, matrix: Floats, percentile: float) -> Observation:
    """The same with a percentile of |x|, and of both tails, in the place of the extremes; of one group."""
    finite = matrix[np.isfinite(matrix)]
    if not finite.size or seen.absmax.size > 1:
        return seen
    low, high = np.percentile(finite, [100 - percentile, percentile])
    largest = np.percentile(np.abs(finite), percentile)
    return replace(seen, absmax=np.array([largest]), low=np.array([low]), high=np.array([high]))


def _to_observation(matrix: Floats, layout: Layout) -> Observation:
    found = observe_groups(matrix, layout)
    statistics = {one.name: getattr(found, one.name) for one in fields(found)}
    return Observation.of(**statistics)


def _as_matrix(x: Floats, kind: KindOfData) -> Floats:
    """Weights as they are; of activations and their gradients a row per token (Linear) or per sample (images), so that
    a group or a block runs along what a layer sums over.
    """
    if kind.startswith("weight") or x.ndim <= 2:
        return np.ascontiguousarray(x)
    return (
        np.ascontiguousarray(x).reshape(-1, x.shape[-1]) if x.ndim == 3 else np.ascontiguousarray(x).reshape(len(x), -1)
    )


def _join(reasons: Mapping[int, str]) -> str:
    """One reason as it is, of many the first and how many more."""
    told = list(reasons.values())
    return told[0] if len(told) == 1 else f"{told[0]} (and {len(told) - 1} more groups)"


def spread_steps(steps: Doubles, layout: Layout) -> Floats:
    """The step of each element, shaped like the tensor of the layout; one number for a single group."""
    if steps.size == 1:
        return steps.astype(np.float32).reshape(())
    rows = np.broadcast_to(layout.spread(steps.astype(np.float32)), (layout.rows, layout.columns))
    spread: NDArray[np.float32] = np.array(layout.from_matrix(rows), order="C")  # torch takes no read-only memory
    return spread
