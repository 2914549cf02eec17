"""What would other rules have done in a training run of which statistics were recorded? Recipes replayed over a log.

All series go through a rule at once, step by step. Nothing is trained: a rule that learns by gradient has nothing to
learn from, and a grid that must see the elements can not be laid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table
from qanalysis.training.adapting import Adapted, adapt, widen
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.laid import estimate_mean_quantized, lay_grids
from qanalysis.training.replays.replayable import check_replayable, find_scope
from qanalysis.training.replays.scopes import Lanes, Rows, read_rows, split_scopes
from qanalysis.training.replays.track_columns import Replayed, Run, fill_columns
from qanalysis.training.row import TrackRow
from qanalysis.training.state import Observation, QuantizerState
from qanalysis.training.statistics.log import MOST_ROWS, StatisticsLog
from qanalysis.training.width_rules import DISTORTION

_LOST = "nothing finite: the range stays"
#: More widths than any rule has.
_MOST_GROWTHS = 8


def replay(
    log: StatisticsLog,
    recipes: Sequence[Recipe],
    *,
    epoch: int | None = None,
    source: SourceIdentity | None = None,
    check: Callable[[], None] = lambda: None,
) -> Table[TrackRow]:
    """What each recipe would have done: a row for each of them, each series and each step in which something was seen.

    `epoch` is the number of steps in one, by default all of the log; `check` is called at each step and may raise to
    end the work. Where widths or intervals need mean|Q(x)|, it is the log's own while a quantizer has the width that
    it began with, else it is estimated. Raises ValueError for a recipe that statistics can not replay, for steps below
    0, and for more than 5,000,000 rows.
    """
    if not recipes:
        raise ValueError("no rule is given; name at least one, such as 'up-step + down'")
    if epoch is not None and epoch < 1:
        raise ValueError(f"an epoch of {epoch} steps; it has at least 1, by default all steps of the log")
    texts = [str(recipe) for recipe in recipes]
    repeated = next((text for text in texts if texts.count(text) > 1), None)
    if repeated is not None:
        raise ValueError(f"rule {quote(repeated, 80)} stands twice; keep one")
    rows = read_rows(log)
    if not len(rows):
        raise ValueError(f"{log.source or 'the log'}: no row has an absmax, so nothing was observed; record it again")
    if rows.step.min() < 0:
        raise ValueError(f"{log.source or 'the log'}: step {rows.step.min()} is below 0; steps are counted from 0")
    if len(rows) * len(recipes) > MOST_ROWS:
        raise ValueError(
            f"{len(rows):,} observations under {len(recipes)} rules make more than {MOST_ROWS:,} rows; "
            "choose kinds or layers, or fewer rules"
        )
    for recipe in recipes:
        check_replayable(recipe, rows, epoch, place=log.source or "the log")
    last = int(rows.step.max(initial=0))
    traces = [_replay_one(rows, recipe, epoch or last + 1, check) for recipe in recipes]
    return Table.from_columns(
        TrackRow,
        fill_columns(traces),
        totals=[trace.sum_up() for trace in traces],
        source=source,
        settings={"rule": texts, "epoch": epoch},
        coverage=_tell_coverage(log, rows, recipes),
    )


def _replay_one(rows: Rows, recipe: Recipe, epoch: int, check: Callable[[], None]) -> Replayed:
    told, lanes, follows = split_scopes(rows, find_scope(recipe))
    run, state = Run.blank(len(lanes.rows)), QuantizerState.blank(lanes.n, recipe.bits)
    for step, part, seen in lanes.steps():
        check()
        had_range = state.has_range
        adapted = _take_step(recipe, state, _hide_unknown(recipe, seen), lanes, step, epoch)
        state, lane = adapted.state, lanes.lane[part]
        run.low[part], run.high[part], run.bits[part] = state.low[lane], state.high[lane], state.bits[lane]
        run.checked[part], run.changed[part] = adapted.checked[lane], (adapted.changed & had_range)[lane]
        run.diff_bit[part] = state.recall(DISTORTION, np.nan)[lane]
        for i, reason in adapted.reasons.items():
            run.event[part.start + np.flatnonzero(lane == i)] = reason
    run.event[~lanes.rows.seen.known] = _LOST
    run.diff_bit[~lanes.rows.seen.known] = np.nan
    return Replayed.of(recipe, told, run, follows, _find_causes(told, lanes, follows))


def _find_causes(told: Rows, lanes: Lanes, follows: Codes) -> NDArray[np.bool_]:
    """Of the rows that share a driving row, the one with its largest |x|: there its event is told."""
    largest = lanes.rows.seen.absmax[follows]
    candidates = np.flatnonzero((told.seen.absmax == largest) | np.isnan(largest))
    found = np.zeros(len(told), bool)
    found[candidates[np.unique(follows[candidates], return_index=True)[1]]] = True
    return found


def _hide_unknown(recipe: Recipe, seen: Observation) -> Observation:
    """What a rule may act on: one that goes by moments sees nothing where they are unknown."""
    if not recipe.range.needs_moments:
        return seen
    return replace(seen, absmax=np.where(np.isnan(seen.mean + seen.std), np.nan, seen.absmax))


def _take_step(
    recipe: Recipe, state: QuantizerState, seen: Observation, lanes: Lanes, step: int, epoch: int
) -> Adapted:
    adapted = adapt(recipe, state, seen, step=step, epoch=epoch)
    if find_scope(recipe) == "group" and isinstance(recipe.range, PrecisionRule):
        adapted = _fill_empty_groups(adapted, state, seen, lanes)
    if recipe.width is None and recipe.average is None:
        return adapted
    for turn in range(_MOST_GROWTHS):
        before = adapted.state.bits
        now = adapted.state
        estimated = estimate_mean_quantized(seen, lay_grids(recipe, now.low, now.high, now.bits))
        own = (now.bits == recipe.bits) & np.isfinite(seen.mean_quantized) & (turn == 0)
        adapted = widen(recipe, adapted, seen.mean, np.where(own, seen.mean_quantized, estimated))
        if np.array_equal(adapted.state.bits, before):
            break
    return adapted


def _fill_empty_groups(adapted: Adapted, before: QuantizerState, seen: Observation, lanes: Lanes) -> Adapted:
    """A group that begins with zeros takes the widest first range of its own tensor (A11)."""
    empty = ~before.has_range & (seen.absmax == 0)
    if not empty.any():
        return adapted
    widest = np.zeros(lanes.n)
    filled = seen.known & ~empty
    np.maximum.at(widest, lanes.owner[filled], adapted.state.high[filled])
    high = widest[lanes.owner]
    after = adapted.state.choose(empty & (high > 0), adapted.state.with_range(-high, high))
    return Adapted(after, adapted.checked, adapted.changed, adapted.reasons)


def _tell_coverage(log: StatisticsLog, rows: Rows, recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """What figures rest on: notes of the log, and what is estimated."""
    notes = list(log.notes)
    notes.append(
        "Energies are estimated from mean and std of |x| by a gamma law, except where energy_by says exact; "
        "a tail that is lighter or heavier changes what is clipped."
    )
    if any(not recipe.reach.is_signed for recipe in recipes) and not np.isfinite(log.low).any():
        notes.append("There are no columns low and high: tensors are taken to reach from -absmax to absmax.")
    if any(recipe.width or recipe.average for recipe in recipes):
        own = "measured where a row has mean_quantized, else " if np.isfinite(log.mean_quantized).any() else ""
        notes.append(f"The mean of |Q(x)| is {own}estimated by the same law.")
    unseen = len(log) - len(rows)
    if unseen:
        notes.append(f"{unseen:,} row{'s' * (unseen != 1)} without a finite absmax left out.")
    return [{"note": note} for note in notes]
