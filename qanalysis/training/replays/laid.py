"""Which grid stands over a range that rules made, and what would it lose of a tensor known by its statistics?

Grids are those of the scheme at each width; above 16 bits, which float32 codes do not hold, steps follow from the ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.statistics import Range
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.energies import (
    Law,
    find_clipped_energy,
    find_clipped_share,
    find_level_energy,
    find_mean_quantized,
    find_rounding_energy,
)
from qanalysis.training.state import Observation

_EXACT, _INSIDE, _LAW = "exact", "gamma law; clipping exact", "gamma law"
_NO_MOMENTS, _BAD_MOMENTS, _ROUNDING = "mean and std unknown", "mean and std exceed absmax", "no law for this rounding"
#: What float32 arithmetic may leave between the largest |x| and the end of the grid laid over it.
_ULPS = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """N grids: `scale` of the numbers, `step` between them at the widest, ends `low` and `high` of all levels; (n,).

    `levels` are the non-negative and the negated non-positive numbers at scale 1 where steps are not equal.
    """

    scale: Doubles
    step: Doubles
    low: Doubles
    high: Doubles
    levels: tuple[Doubles, Doubles] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What n grids lose: mean squares of rounding and clipping errors, the share clipped, NaN where unknown; `by` says
    how each was found; (n,) each.
    """

    rounding: Doubles
    clipped: Doubles
    clipped_share: Doubles
    by: NDArray[np.object_]


def lay_grids(recipe: Recipe, low: Doubles, high: Doubles, bits: Codes) -> Laid:
    """The grids of a recipe over n ranges at n widths; where there is no range a step of 1."""
    ends = np.nan_to_num(low), np.nan_to_num(high)
    if not recipe.scheme.format.is_integer:
        return _lay(recipe, *ends, name=recipe.scheme.format.name)
    parts = [(bits == width, f"int{width}") for width in np.unique(bits).tolist()]
    if len(parts) == 1:
        return _lay(recipe, *ends, name=parts[0][1])
    laid = np.empty((4, low.size))
    for where, name in parts:
        one = _lay(recipe, ends[0][where], ends[1][where], name=name)
        laid[:, where] = one.scale, one.step, one.low, one.high
    return Laid(*laid)


def _lay(recipe: Recipe, low: Doubles, high: Doubles, *, name: str) -> Laid:
    if name not in FORMATS:
        bits = np.full(low.shape, int(name.removeprefix("int")), np.int64)
        step = recipe.reach.step(low, high, bits)
        step = np.where(step > 0, step, 1.0)
        return Laid(step, step, low, high)
    scheme = recipe.scheme.with_format(FORMATS[name]) if recipe.scheme.format.is_integer else recipe.scheme
    grid = scheme.lay_grid(Range(low.astype(np.float32), high.astype(np.float32)))
    scale = grid.scale.astype(np.float64)
    first, last = (end.astype(np.float64) * scale for end in grid.ends)
    if not scheme.symmetry.signed:
        # A zero point is rounded: the codes end up to half a step inside the range, which is no clipping.
        near = grid.step * np.float64(0.5 + _ULPS)
        first = np.where(first <= low + near, np.minimum(first, low), first)
        last = np.where(last >= high - near, np.maximum(last, high), last)
    numbers = grid.coder.levels
    levels = None if grid.coder.is_uniform else (numbers[numbers >= 0], -numbers[numbers <= 0][::-1])
    return Laid(scale, grid.step.astype(np.float64), first, last, levels)


def estimate_mean_quantized(seen: Observation, laid: Laid) -> Doubles:
    """E |Q(x)| under the law, of grids with equal steps; NaN where the moments are unknown; (n,)."""
    law = Law(seen.mean, seen.std, seen.absmax)
    found = np.full(seen.absmax.shape, np.nan)
    known = law.is_known
    part, step = law.take(known), laid.step[known]
    positive = _share_positive(seen)[known]
    upper = find_mean_quantized(part, step, laid.high[known])
    lower = find_mean_quantized(part, step, -laid.low[known]) if (laid.low != -laid.high).any() else upper
    found[known] = np.where(part.mean == 0, 0.0, positive * upper + (1 - positive) * lower)
    return found


def estimate_losses(seen: Observation, laid: Laid, *, nearest: bool = True) -> Losses:
    """What the grids lose of what was seen; rounding is estimated where it goes to the nearest level.

    Both signs share the law of |x| alike where both were seen. Zeros are exact, and so is one single |x|, unless its
    signs matter. Where nothing lies beyond the ends clipping is exactly 0, also where moments are unknown.
    """
    law = Law(seen.mean, seen.std, seen.absmax)
    zero, known = seen.absmax == 0, law.is_known
    usable = known & ~zero
    part, some = law.take(usable), {name: getattr(seen, name)[usable] for name in ("low", "high", "count")}
    rounding, clipped, share = (np.where(zero, 0.0, np.nan) for _ in range(3))
    ends = laid.low[usable], laid.high[usable]
    share_up = _share_positive(seen)[usable]
    sides = [(share_up, some["high"], ends[1], 0), (1 - share_up, -some["low"], -ends[0], 1)]
    if np.array_equal(*map(np.abs, ends)) and (some["low"] == -some["high"]).all():
        sides = [(np.ones_like(share_up), some["high"], ends[1], 0)]  # both sides are alike
    found = np.zeros((3, share_up.size))
    for weight, top, end, side in sides:
        found += weight * _lose_on_side(part, np.maximum(top, 0), end, laid, usable, side, some["count"] * weight)
    rounding[usable], clipped[usable], share[usable] = found
    inside = (seen.high <= laid.high * (1 + _ULPS)) & (seen.low >= laid.low * (1 + _ULPS))
    half = laid.step / 2
    within = (seen.high <= laid.high + half) & (seen.low >= laid.low - half)
    clipped, share = np.where(inside, 0.0, clipped), np.where(within, 0.0, share)
    if not nearest:
        rounding = np.where(zero, 0.0, np.nan)
    alone = zero.copy()
    alone[usable] = part.is_constant & ((len(sides) == 1) | (share_up == 0) | (share_up == 1))
    by = _explain(alone, usable, inside, np.isnan(law.mean + law.std), nearest=nearest)
    return Losses(rounding, clipped, share, by)


def _lose_on_side(
    law: Law, top: Doubles, end: Doubles, laid: Laid, where: NDArray[np.bool_], side: int, count: Doubles
) -> Doubles:
    """(rounding, clipped, share) of the elements of one sign, whose largest magnitude is `top`; (3, n)."""
    cut = Law(law.mean, law.std, top)
    step = laid.step[where]
    if laid.levels is None:
        rounding = find_rounding_energy(cut, step, end)
    else:
        rounding = find_level_energy(cut, laid.levels[side], laid.scale[where])
    return np.stack([rounding, find_clipped_energy(cut, end, count), find_clipped_share(cut, end + step / 2, count)])


def _share_positive(seen: Observation) -> Doubles:
    """Which share of the elements is taken to be positive: all, none, or half where both signs were seen."""
    return np.where(seen.low >= 0, 1.0, np.where(seen.high <= 0, 0.0, 0.5))


def _explain(
    exact: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    *,
    nearest: bool,
) -> NDArray[np.object_]:
    """How the losses were found, in words; (n,)."""
    words = np.array([_EXACT, _INSIDE, _LAW, *_tell_unknown(_NO_MOMENTS), *_tell_unknown(_BAD_MOMENTS)], object)
    code = np.where(inside, 1, 2)
    code = np.where(usable, code, np.where(missing, 3, 5) + inside)
    code = np.where(exact, 0, code)
    told: NDArray[np.object_] = words[code]
    if not nearest:
        told = np.where(usable & ~exact, _ROUNDING, told)
    return told


def _tell_unknown(why: str) -> tuple[str, str]:
    """The words where something, and where nothing, lies beyond the ends."""
    return f"unknown: {why}", f"clipping exact; rounding unknown: {why}"
