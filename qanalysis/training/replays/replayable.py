"""What must statistics hold so that a recipe can be replayed over them? The refusals, each with its way out."""

from __future__ import annotations

import numpy as np

from qanalysis.notation import quote
from qanalysis.training.counts import Counts
from qanalysis.training.range_rules import PrecisionRule, Scope
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.scopes import Rows


def find_scope(recipe: Recipe) -> Scope:
    """Which rows share a quantizer: the rule's own scope, and the group where the grid has many ranges in a tensor."""
    if _asks_groups(recipe):
        return "group"
    return recipe.range.scope if isinstance(recipe.range, PrecisionRule) else "layer"


def check_replayable(recipe: Recipe, rows: Rows, epoch: int | None = None, *, place: str = "the log") -> None:
    """Raise ValueError, naming the rule and the way out, where statistics do not hold what a recipe needs."""
    fault = next((told for fails, told in _list_needs(recipe, rows, epoch, place) if fails), "")
    if fault:
        raise ValueError(f"rule {quote(str(recipe), 80)}: {fault}")


def _list_needs(recipe: Recipe, rows: Rows, epoch: int | None, place: str) -> list[tuple[bool, str]]:
    """What must not be, and what is told of it."""
    rule, scheme = recipe.range, recipe.scheme
    beside = recipe.gradient.name if recipe.gradient else ""
    moments = {name: np.isfinite(getattr(rows.seen, name)).any() for name in ("mean", "std")}
    missing = " and ".join(name for name, is_there in moments.items() if not is_there)
    measured = moments["mean"] and np.isfinite(rows.seen.mean_quantized).any()
    timed = rule.trigger == "epoch" or (recipe.average is not None and recipe.average.phases)
    return [
        (
            recipe.gradient is not None,
            f"{beside} corrects gradients, and statistics hold none; leave it out",
        ),
        (
            isinstance(rule, Counts) and rule.percentile < 100,
            "a percentile needs the elements, and statistics hold the extremes; leave percentile= out",
        ),
        (rule.is_learned, f"{rule.name} learns by gradient; statistics hold none; take ema, counts or minmax"),
        (
            scheme.is_tensor_scaled,
            f"{scheme.format} has a second scale over each tensor, which statistics do not tell; take another format",
        ),
        (
            not scheme.takes_extremes,
            _tell_elements(recipe, place),
        ),
        (_asks_groups(recipe) and not (rows.group != "").any(), _tell_groups(recipe, place)),
        (_asks_blocks(recipe) and not _has_blocks(recipe, rows), _tell_blocks(recipe, place)),
        (
            rule.needs_moments and bool(missing),
            f"{rule.name} goes by mean and std of |x|, and {place} lacks {missing}; record them, or take up-step",
        ),
        (
            recipe.width is not None and bool(missing) and not measured,
            f"width-growth goes by the mean of |x| and of |Q(x)|, and {place} lacks {missing}; record mean and std",
        ),
        (
            timed and epoch is None,
            "it is checked once per epoch; say how many steps one has, by --epoch N",
        ),
    ]


def _tell_elements(recipe: Recipe, place: str) -> str:
    scheme = recipe.scheme
    way = f"leave range={scheme.range} out" if str(scheme.range) != "minmax" else "take intN or an fp format"
    return f"{scheme} lays its grid over the elements, and {place} holds statistics; {way}"


def _asks_groups(recipe: Recipe) -> bool:
    return str(recipe.scheme.grouping) != "tensor"


def _asks_blocks(recipe: Recipe) -> bool:
    return recipe.scheme.grouping.columns is not None


def _tell_groups(recipe: Recipe, place: str) -> str:
    block = recipe.scheme.format.block
    what = f"{recipe.scheme.format} has blocks of {block}" if block else f"{recipe.scheme.grouping} has many ranges"
    return f"{what} in a tensor, and {place} has one row per tensor; record each in a row of its own with a group"


def _tell_blocks(recipe: Recipe, place: str) -> str:
    grouping = recipe.scheme.grouping
    return (
        f"{recipe.scheme} has blocks of {(grouping.rows or 1) * (grouping.columns or 1)} elements, and the groups of "
        f"{place} are not said to be such by their numel; record statistics block by block"
    )


def _has_blocks(recipe: Recipe, rows: Rows) -> bool:
    """Whether the groups are as large as the blocks; the last of a row may be shorter."""
    length = (recipe.scheme.grouping.rows or 1) * (recipe.scheme.grouping.columns or 1)
    counts = rows.seen.count[rows.group != ""]
    return bool(counts.size) and float(counts.max()) == length  # NaN, of an unknown count, is equal to nothing
