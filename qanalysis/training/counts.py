"""When do counts over the iterations move a range? The rule of initial activation ranges (A2) (CN115936092A).

Per end: of N iterations, how many values lay beyond the end and how many inside; where a share passes its proportion
the end moves, by a weighted mean or by a coefficient, and the counts begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.training.range_rules import RangeRule, find_ends
from qanalysis.training.reach import Reach
from qanalysis.training.state import Decision, Observation, QuantizerState
from qanalysis.training.words import key

_FLOOR = 1e-8  # of the width of a range


@dataclass(frozen=True, slots=True)
class Counts(RangeRule):
    """Move an end when more than `first` of N iterations lie beyond it, or more than `second` inside it; strict, as in
    the claim.

    `update=mean`: end = keep * end + (1 - keep) * mean of all N values. That mean can lie on the wrong side of the end,
    so that a raise lowers it; guarded, the mean of the values beyond alone is taken there.
    `update=coefficient`: end * raise or end * lower, on the magnitude of the end; an end at 0 stays.
    `when=running` decides at every iteration once N >= count, `when=window` at each multiple of count; counts are kept
    where nothing moves. With a `percentile` below 100 an iteration's value is that of its tensor, so that single
    elements do not count.
    """

    name: ClassVar[str] = "counts"
    meaning: ClassVar[str] = "move an end when enough of N iterations lie beyond or inside it"

    first: float = key(0.6, low=0, high=1, meaning="share beyond the end above which it is raised")
    second: float = key(0.8, low=0, high=1, meaning="share inside the end above which it is lowered")
    update: Literal["mean", "coefficient"] = key("mean", choices=("mean", "coefficient"))
    keep: float = key(0.5, low=0, high=1, meaning="weight of the old end in a mean update")
    raise_: float = key(1.1, low=1, open_ends=True, meaning="coefficient of a raise")
    lower: float = key(0.9, low=0, high=1, open_ends=True, meaning="coefficient of a lowering")
    when: Literal["running", "window"] = key("running", choices=("running", "window"))
    count: int = key(10, low=1, meaning="iterations before a decision, or in a window")
    mean: Literal["guarded", "literal"] = key("guarded", choices=("guarded", "literal"))
    percentile: float = key(100.0, low=50, high=100, meaning="of the batch, taken for its largest value")
    start: float | None = key(None, low=0, open_ends=True, meaning="the initial upper end; the first seen by default")
    start_low: float | None = key(None, high=0, meaning="the initial lower end of an asymmetric range")

    def begin(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        low, high = find_ends(seen, reach)
        high = high if self.start is None else np.full(high.shape, self.start)
        low = low if self.start_low is None else np.full(low.shape, self.start_low)
        return state.with_range(-high if reach.is_signed else low, high)

    def watch(self, state: QuantizerState, seen: Observation, reach: Reach) -> QuantizerState:
        low, high = find_ends(seen, reach)
        return self._count(self._count(state, "high", state.high, high), "low", -state.low, -low)

    def _count(self, state: QuantizerState, end: str, stands: Doubles, seen: Doubles) -> QuantizerState:
        """Counts of one end; a value is beyond where it lies further from 0 than the end."""
        known = np.isfinite(seen) & np.isfinite(stands)
        value = np.where(known, seen, 0.0)
        beyond, inside = known & (seen > stands), known & (seen < stands)
        added = {"n": known, "up": beyond, "down": inside, "sum": value, "sum_up": np.where(beyond, value, 0.0)}
        return state.remember(**{f"{end}_{name}": state.recall(f"{end}_{name}") + more for name, more in added.items()})

    def decide(self, state: QuantizerState, _seen: Observation, reach: Reach) -> Decision:
        after, new_high, reasons = self._move(state, "high", state.high)
        new_low = -new_high
        if not reach.is_signed:
            after, magnitude, more = self._move(after, "low", -state.low)
            new_low = np.minimum(-magnitude, 0.0)
            reasons |= {i: f"{reasons[i]}; {text}" if i in reasons else text for i, text in more.items()}
            new_high = np.maximum(new_high, new_low + _FLOOR)
        return Decision(after.with_range(new_low, new_high), reasons)

    def _move(self, state: QuantizerState, end: str, stands: Doubles) -> tuple[QuantizerState, Doubles, dict[int, str]]:
        """(state with counts reset where the end moved, magnitude of the end, reasons) of one end."""
        n, up, down = (state.recall(f"{end}_{name}") for name in ("n", "up", "down"))
        may = (n > 0) & (n % self.count == 0) if self.when == "window" else (n >= self.count)
        shares = np.maximum(n, 1)
        over, under = up / shares - self.first, down / shares - self.second
        raises = may & (up > self.first * n) & (over >= np.where(down > self.second * n, under, -np.inf))
        lowers = may & (down > self.second * n) & ~raises
        if self.update == "coefficient":  # which moves no end that lies at 0
            raises, lowers = raises & (stands != 0), lowers & (stands != 0)
        moved = self._new_end(state, end, stands, raises, lowers)
        kept = {
            f"{end}_{name}": np.where(raises | lowers, 0.0, state.recall(f"{end}_{name}"))
            for name in ("n", "up", "down", "sum", "sum_up")
        }
        reasons = {
            int(i): _explain(end, n[i], up[i], down[i], stands[i], moved[i], self, raised=bool(raises[i]))
            for i in np.flatnonzero(raises | lowers)
        }
        return state.remember(**kept), moved, reasons

    def _new_end(
        self,
        state: QuantizerState,
        end: str,
        stands: Doubles,
        raises: NDArray[np.bool_],
        lowers: NDArray[np.bool_],
    ) -> Doubles:
        if self.update == "coefficient":
            factor = np.where(raises, self.raise_, np.where(lowers, self.lower, 1.0))
            return stands * factor
        n, up, down = (np.maximum(state.recall(f"{end}_{name}"), 1) for name in ("n", "up", "down"))
        total, beyond = state.recall(f"{end}_sum"), state.recall(f"{end}_sum_up")
        mean = total / n
        if self.mean == "guarded":
            level = stands * (state.recall(f"{end}_n") - state.recall(f"{end}_up") - state.recall(f"{end}_down"))
            mean = np.where(raises & (mean <= stands), beyond / up, mean)
            mean = np.where(lowers & (mean >= stands), (total - beyond - level) / down, mean)
        return np.where(raises | lowers, self.keep * stands + (1 - self.keep) * mean, stands)


def _explain(
    end: str, n: float, up: float, down: float, stands: float, moved: float, rule: Counts, *, raised: bool
) -> str:
    """Such as `4 of 5 above 6.0 > 0.6: high 6 → 6.3`."""
    sign = 1 if end == "high" else -1
    beyond, inside = ("above", "below") if end == "high" else ("below", "above")
    words = (
        f"{up:.0f} of {n:.0f} {beyond} {sign * stands:#.3g} > {rule.first:g}"
        if raised
        else f"{down:.0f} of {n:.0f} {inside} {sign * stands:#.3g} > {rule.second:g}"
    )
    return f"{words.replace('-', '−')}: {end} {sign * stands:.4g} → {sign * moved:.4g}".replace(" -", " −")
