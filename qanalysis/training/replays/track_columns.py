"""How does a rule over a log become rows? What a run left behind, the grids over it, and the columns of all.

A run has one place per driving row: what a quantizer was at a step. A told row follows one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.decibels import ratio_db
from qanalysis.results.columns import names_of
from qanalysis.results.table import NO_INTEGER
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.laid import Laid, Losses, estimate_losses, lay_grids
from qanalysis.training.replays.scopes import Rows, number_rows
from qanalysis.training.row import TrackRow, TrackTotal


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What quantizers were at each driving row: range, width, whether it was checked, whether it moved, diff_bit, and
    what happened; (rows,) each, filled step by step.
    """

    low: Doubles
    high: Doubles
    bits: Codes
    checked: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    diff_bit: Doubles
    event: NDArray[np.object_]

    @classmethod
    def blank(cls, count: int) -> Self:
        """A run of so many driving rows in which nothing has happened yet."""
        low, high, diff_bit = np.full((3, count), np.nan)
        checked, changed = np.zeros((2, count), np.bool_)
        return cls(low, high, np.zeros(count, np.int64), checked, changed, diff_bit, np.full(count, "", object))


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """One recipe over a log: the rows to tell, the driving row that each `follows`, and whether it is the `cause` of
    what happened there; the grids over the ranges, and what they lose.
    """

    recipe: Recipe
    rows: Rows
    run: Run
    follows: Codes
    cause: NDArray[np.bool_]
    laid: Laid
    losses: Losses

    @classmethod
    def of(cls, recipe: Recipe, rows: Rows, run: Run, follows: Codes, cause: NDArray[np.bool_]) -> Self:
        """A run with its grids and losses."""
        laid = lay_grids(recipe, run.low[follows], run.high[follows], run.bits[follows])
        losses = estimate_losses(rows.seen, laid, nearest=recipe.scheme.rounding.is_nearest)
        return cls(recipe, rows, run, follows, cause, laid, losses)

    @property
    def is_discrete(self) -> bool:
        """Whether steps are powers of two by rule."""
        rule = self.recipe.range
        return self.recipe.scheme.scale.is_power_of_two or (isinstance(rule, PrecisionRule) and rule.precision == "s")

    def sum_up(self) -> TrackTotal:
        """The rule over all series; energies as sums over elements, which weigh alike where their number is unknown."""
        seen, losses = self.rows.seen, self.losses
        rounding, clipped = self._relate(losses.rounding), self._relate(losses.clipped)
        lost = None if rounding is None or clipped is None else rounding + clipped
        clips = np.isfinite(seen.absmax) & ~(losses.clipped_share == 0)
        return TrackTotal(
            configuration=str(self.recipe),
            series=int(number_rows(self.rows.layer, self.rows.kind, self.rows.group).max(initial=-1)) + 1,
            observations=int(np.isfinite(seen.absmax).sum()),
            checks=int(self.run.checked.sum()),
            adjustments=int(self.run.changed.sum()),
            clipping=int(clips.sum()),
            relative_rounding_energy=rounding,
            relative_clipped_energy=clipped,
            sqnr_db=ratio_db(1.0, lost) if lost else None,
        )

    def _relate(self, energy: Doubles) -> float | None:
        """An energy over the signal's, where both are known; None without a signal."""
        seen = self.rows.seen
        signal = seen.mean**2 + seen.std**2
        weight = seen.count if np.isfinite(seen.count).all() else np.ones(signal.size)
        both = np.isfinite(energy) & np.isfinite(signal)
        total = float((signal * weight)[both].sum())
        return float((energy * weight)[both].sum()) / total if total > 0 else None


def fill_columns(traces: Sequence[Replayed]) -> dict[str, NDArray[Any]]:
    """All columns of all recipes, one after the other; those that elements are needed for are null."""
    parts = [_describe(trace) for trace in traces]
    count = sum(len(trace.rows) for trace in traces)
    blank = {
        **dict.fromkeys(("loss", "accuracy", "error", "v_scalar", "v_elem"), np.nan),
        **dict.fromkeys(("grad_rms", "grad_cosine", "correction_rms", "dead_zone", "data_low", "data_high"), np.nan),
        "flips": NO_INTEGER,
    }
    columns: dict[str, NDArray[Any]] = {name: np.broadcast_to(value, (count,)) for name, value in blank.items()}
    columns["strategy"] = np.full(count, None, object)
    for name in names_of(TrackRow):
        if name not in columns:
            columns[name] = np.concatenate([part[name] for part in parts])
    return columns


def _describe(trace: Replayed) -> dict[str, NDArray[Any]]:
    """The columns of one recipe."""
    rows, laid, losses = trace.rows, trace.laid, trace.losses
    run, place = trace.run, trace.follows
    seen, finite = rows.seen, np.isfinite(rows.seen.absmax)
    there = np.isfinite(run.high[place])

    def known(values: Doubles) -> Doubles:
        return np.where(there, values, np.nan)

    def whole(values: Doubles, where: NDArray[np.bool_]) -> Codes:
        return np.where(where, np.nan_to_num(values), NO_INTEGER).astype(np.int64)

    is_discrete = np.full(len(rows), trace.is_discrete) & there
    event = np.where(trace.cause, run.event[place], "")
    return {
        "configuration": np.full(len(rows), str(trace.recipe), object),
        "step": rows.step,
        "layer": rows.layer,
        "kind": rows.kind,
        "group": rows.group,
        "bits": run.bits[place],
        "s": np.where(is_discrete, np.rint(np.log2(laid.scale)).astype(np.int64), NO_INTEGER),
        "f": known(np.where(is_discrete, np.nan, laid.scale)),
        "step_size": known(laid.step),
        "low": known(run.low[place] + 0.0),  # no -0
        "high": known(run.high[place]),
        "clipped_fraction": np.where(there & finite, losses.clipped_share, np.nan),
        "event": event.astype(object),
        **{name: getattr(seen, name) for name in ("absmax", "absmin", "mean", "std", "mean_quantized")},
        "numel": whole(seen.count, np.isfinite(seen.count)),
        "non_finite": whole(seen.non_finite, np.isfinite(seen.non_finite)),
        "diff_bit": run.diff_bit[place],
        "checked": run.checked[place].astype(object),
        **_describe_exponents(rows),
        "rounding_energy": np.where(there & finite, losses.rounding, np.nan),
        "clipped_energy": np.where(there & finite, losses.clipped, np.nan),
        "energy_by": np.where(there & finite, losses.by, "").astype(object),
    }


def _describe_exponents(rows: Rows) -> dict[str, NDArray[Any]]:
    """Block scales by exponent, from the first to the last that a row has."""
    first, counts = np.full(len(rows), NO_INTEGER), np.full(len(rows), None, object)
    if rows.exponents:
        exponents = np.arange(min(rows.exponents), max(rows.exponents) + 1)
        nothing = np.zeros(len(rows))
        table = np.nan_to_num(np.stack([rows.exponents.get(int(one), nothing) for one in exponents], axis=1))
        for row in np.flatnonzero(table.any(axis=1)).tolist():
            used = np.flatnonzero(table[row])
            first[row] = exponents[used[0]]
            counts[row] = tuple(table[row, used[0] : used[-1] + 1].astype(np.int64).tolist())
    return {"first_exponent": first, "exponent_counts": counts}
