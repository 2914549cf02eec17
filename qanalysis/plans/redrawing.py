"""What would the scores be by other samples? Each row's cost, drawn anew from samples or from its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.plans.candidates import Candidates
from qanalysis.sweeps.row import Row

#: So many draws for intervals, as far as memory allows; the first ones are those that plans are made of.
DRAWS = 1000
_MOST_CELLS = 4_000_000
#: By column the sums of a sample whose ratio is the figure, and the column whose ends are known.
_SUMS = {
    "output_nsr": ("error_energy", "float_energy"),
    "output_kl": ("kl", "tokens"),
    "loss_delta": ("loss_delta", "targets"),
}
_SIGNED = ("loss_delta",)
_REACH = 1.959963984540054  # of a 95 % interval in standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Costs of rows in each draw: `moved` (cells, draws) of the rows `places`; other rows stay at `costs`, (rows,)."""

    method: Literal["samples", "intervals", "none"]
    note: str
    costs: Doubles
    places: Mapping[int, int]
    moved: Doubles

    def take(self, number: int) -> Doubles:
        """The costs of all rows in one draw, (rows,)."""
        found = self.costs.copy()
        found[list(self.places)] = self.moved[list(self.places.values()), number]
        return found

    def total(self, rows: Sequence[int]) -> Doubles:
        """The sum of the costs of some rows in every draw, (draws,)."""
        fixed = sum(self.costs[row] for row in rows if row not in self.places)
        moving = [self.places[row] for row in rows if row in self.places]
        found: Doubles = fixed + self.moved[moving].sum(axis=0)
        return found


def draw_scores(candidates: Candidates, least: int, *, seed: int) -> Drawn:
    """The costs in at least so many draws; none where they are no estimates, or nothing is known of their chance."""
    objective = candidates.objective
    costs = np.asarray(objective.costs, np.float64)
    refusal = _refuse(candidates)
    if refusal:
        return Drawn("none", refusal, costs, {}, np.zeros((0, least)))
    cells = _find_cells(candidates)
    if cells:
        return _draw_samples(candidates, cells, least, seed)
    ends = read_ends(candidates)
    if ends is not None and np.isfinite(ends[0]).any():
        return _draw_intervals(candidates, ends, least, seed)
    note = f"neither samples nor intervals of {objective.column} are in the rows: nothing could be drawn anew"
    return Drawn("none", note, costs, {}, np.zeros((0, least)))


def _refuse(candidates: Candidates) -> str:
    objective = candidates.objective
    if objective.scores:
        return f"{objective.scores} says nothing of how sure its scores are: nothing could be drawn anew"
    if candidates.rows.row_type is Row:
        return f"{objective.column} of the weights is exact, no sample was drawn for it: there is nothing to draw anew"
    return ""


def read_ends(candidates: Candidates) -> tuple[Doubles, Doubles] | None:
    """Both ends of the 95 % interval of each row's cost, (rows,), NaN where there is none; None where the objective has
    no such columns.
    """
    rows, column = candidates.rows, candidates.objective.column
    names = {one.name for one in rows.columns}
    if candidates.objective.scores:
        return None
    base = "output_relative_l2" if column == "output_nsr" else column
    if not {f"{base}_low", f"{base}_high"} <= names:
        return None
    low, high = (np.asarray(rows.column(f"{base}{end}"), np.float64) for end in ("_low", "_high"))
    return (low**2, high**2) if column == "output_nsr" else (low, high)


def _find_cells(candidates: Candidates) -> dict[int, Mapping[str, Any]]:
    """Of rows the damages of single samples, where the document has them."""
    damages = candidates.more.get("damages")
    column = candidates.objective.column
    if not isinstance(damages, Mapping) or column not in _SUMS:
        return {}
    parts, whole = _SUMS[column]
    known = {
        (cell.get("tensor"), cell.get("scheme")): cell
        for cell in damages.get("cells") or ()
        if isinstance(cell, Mapping) and (cell.get("target"), cell.get("mode")) == ("weights", "enable-one")
    }
    samples = len(damages.get(whole) or ())
    found = dict[int, Mapping[str, Any]]()
    for one in candidates.options:
        for scheme, place in zip(one.schemes, one.places, strict=True):
            cell = known.get((one.tensor.name, scheme))
            if cell is not None and samples > 1 and len(cell.get(parts) or ()) == samples:
                found[place] = cell
    return found


def _draw_samples(candidates: Candidates, cells: Mapping[int, Mapping[str, Any]], least: int, seed: int) -> Drawn:
    """Ratios of sums over samples that are drawn with replacement.

    The document may hold a subset of the samples: a draw moves the cost of all samples by as much as it moves that of
    the subset, as a factor, or as a difference where the figure has a sign.
    """
    damages, column = candidates.more["damages"], candidates.objective.column
    parts, whole = _SUMS[column]
    wholes = np.asarray(damages[whole], np.float64)
    values = np.array([cells[place][parts] for place in cells], np.float64)
    samples = len(wholes)
    draws = max(min(DRAWS, _MOST_CELLS // samples), least)
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(samples, np.full(samples, 1 / samples), size=draws).astype(np.float64)
    costs = np.asarray(candidates.objective.costs, np.float64)
    own = costs[list(cells)][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = (values @ weights.T) / (weights @ wholes)
        point = (values.sum(axis=1) / wholes.sum())[:, None]
        moved = own + (figures - point) if column in _SIGNED else own * np.where(point > 0, figures / point, 1.0)
    moved = np.where(np.isfinite(moved), moved, own)
    note = f"{samples} samples drawn anew with replacement, the same for all tensors"
    if samples < damages.get("measured", samples):
        note += (
            f"; the document keeps {samples} of {damages['measured']}, so that intervals are wider than they need be"
        )
    lacking = sum(len(one.schemes) for one in candidates.options) - len(cells)
    if lacking:
        note += f"; {lacking} candidates have no samples in the document and stay as they are"
    return Drawn("samples", note, costs, {place: at for at, place in enumerate(cells)}, moved)


def _draw_intervals(candidates: Candidates, ends: tuple[Doubles, Doubles], least: int, seed: int) -> Drawn:
    """Log-normal between the ends, or normal where a figure has a sign; one deviate for each tensor and draw, since its
    schemes were measured on the same samples.
    """
    costs = np.asarray(candidates.objective.costs, np.float64)
    draws, rows = max(DRAWS, least), len(costs)
    draws = max(min(draws, _MOST_CELLS // max(rows, 1)), least)
    generator = np.random.default_rng(seed)
    signed = candidates.objective.column in _SIGNED
    places, moved = dict[int, int](), list[Doubles]()
    for one in candidates.options:
        deviates = generator.standard_normal(draws)
        for place in one.places:
            spread = _find_spread(ends[0][place], ends[1][place], signed=signed)
            if spread is None:
                continue
            places[place] = len(moved)
            moved.append(costs[place] + spread * deviates if signed else costs[place] * np.exp(spread * deviates))
    note = "drawn from each figure's 95 % interval, all schemes of a tensor together; the document holds no samples"
    return Drawn("intervals", note, costs, places, np.array(moved).reshape(len(moved), draws))


def _find_spread(low: float, high: float, *, signed: bool) -> float | None:
    """The standard deviation, of the logarithm unless signed; None where the interval does not tell it."""
    if not np.isfinite([low, high]).all() or high < low or (not signed and low <= 0):
        return None
    return float((high - low) if signed else np.log(high / low)) / (2 * _REACH)
