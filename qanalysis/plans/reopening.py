"""Which plan comes of a saved one under another budget? Its candidates stand in its document: no rows are needed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.plans.front import FrontPoint, trace_front
from qanalysis.plans.plan import Plan
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.quantizers.scheme import Scheme

#: What rows say of one plan that another one would have to measure anew.
_MEASURED = ("cost_low", "cost_high", "stability")
_BUDGETS = ("budget", "budget_bpw", "budget_bytes", "fit_gib", "config", "context", "min_sqnr_db", "max_loss")
#: Constraints of a document that are told, not kept.
_LEFT_OUT = ("pools", "monotone", "min_layer_sqnr_db", "active_experts")
_MOST_POINTS = 600  # of a front that pins make anew


def choose_again(plan: Plan, *, budget_bpw: float | None = None, pins: Mapping[str, str] | None = None) -> Plan:
    """The plan of least objective among a saved plan's candidates, with its groups, its pins and as few formats.

    `pins` are schemes by tensor, beside those that the plan has.

    Without a budget and pins it is the plan itself. Raises InfeasibleError where no choice keeps the budget, and
    ValueError for a pin that is no candidate and a document without candidates.
    """
    asked = dict(pins or {})
    if budget_bpw is None and not asked:
        return plan
    pinned = {row.tensor: row.scheme for row in plan.rows if row.decided_by == "pin"} | asked
    _check(plan, pinned)
    units = _group(list(plan.rows))
    options = [_list_common(plan, names, pinned) for names in units]
    numel = {row.tensor: row.numel for row in plan.rows}
    costs, bits = (
        tuple(_sum(plan, names, schemes, part, numel) for names, schemes in zip(units, options, strict=True))
        for part in ("cost", "bits")
    )
    problem = _state(plan, options, costs)
    started = time.monotonic()
    solution = solve(replace(problem, limits=_limit(plan, bits, budget_bpw)))
    proof = {"minimised": "objective", "value": solution.cost, "bound": solution.bound, "gap": solution.gap}
    proof |= {"proven": solution.is_proven, "seconds": time.monotonic() - started}
    chosen = {
        name: schemes[int(at)]
        for names, schemes, at in zip(units, options, solution.choice, strict=True)
        for name in names
    }
    again = assign(plan, chosen, decided_by=dict.fromkeys(pinned, "pin"))
    told: dict[str, Any] = {"constraints": _restate(plan, budget_bpw, asked), "proof": proof}
    if asked:
        front = trace_front(problem, bits, points=_MOST_POINTS)
        told["front"] = _describe_front(plan, units, options, front)
    return replace(again, more={**again.more, **told})


def _limit(plan: Plan, bits: tuple[Doubles, ...], budget_bpw: float | None) -> tuple[Limit, ...]:
    """The budget as a limit; InfeasibleError where the smallest plan does not keep it."""
    if budget_bpw is None:
        return ()
    numel = sum(row.numel for row in plan.rows)
    least = sum(float(one.min()) for one in bits) / numel
    if least > budget_bpw * (1 + 1e-12):
        raise InfeasibleError(
            f"--budget-bpw {budget_bpw:.6g} can not be kept: the smallest plan has {least:.4g} bits per weight; give "
            f"{least:.4g} or more"
        )
    return (Limit("bits per weight", bits, budget_bpw * numel),)


def _restate(plan: Plan, budget_bpw: float | None, pins: Mapping[str, str]) -> dict[str, Any]:
    """The document's constraints with another budget, and what was pinned beside."""
    kept = {name: value for name, value in plan.constraints.items() if name not in _BUDGETS}
    if budget_bpw is not None:
        kept |= {"budget_bpw": budget_bpw, "budget": {"kind": "budget_bpw", "amount": budget_bpw}}
    if pins:
        kept["pin"] = [*kept.get("pin", ()), *(f"^{re.escape(name)}$={scheme}" for name, scheme in pins.items())]
    return kept


def list_left_out(plan: Plan) -> list[str]:
    """What a saved plan keeps that `choose_again` does not: such as pools; by the names of the document."""
    return [name for name in _LEFT_OUT if plan.constraints.get(name)]


def _state(plan: Plan, options: Sequence[Sequence[str]], costs: tuple[Doubles, ...]) -> Problem:
    """The problem without a budget: at most so many formats, as the document says."""
    most = plan.constraints.get("most_formats")
    if not isinstance(most, int):
        return Problem(costs)
    parsed = [[str(Scheme.parse(text).format) for text in schemes] for schemes in options]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for own in parsed for name in own))}
    formats = tuple(np.array([numbers[name] for name in own]) for own in parsed)
    return Problem(costs, formats=formats, most_formats=most)


def _describe_front(
    plan: Plan, units: Sequence[Sequence[str]], options: Sequence[Sequence[str]], front: Sequence[FrontPoint]
) -> list[dict[str, Any]]:
    """The points as a document holds them: of each tensor the place of its scheme among its candidates."""
    candidates, numel = plan.candidates, {row.tensor: row.numel for row in plan.rows}
    kept, weights = sum(plan.kept_float.values()), sum(numel.values())
    places = [
        {name: [list(candidates[name]["scheme"]).index(one) for one in schemes] for name in names}
        for names, schemes in zip(units, options, strict=True)
    ]
    points = []
    for point in front:
        at = {name: own[int(one)] for part, one in zip(places, point.choice, strict=True) for name, own in part.items()}
        sums = {
            part: [candidates[name][part][place] for name, place in at.items()]
            for part in ("cost", "bits_per_weight", "size_bytes")
        }
        bits = sum(value * numel[name] for value, name in zip(sums["bits_per_weight"], at, strict=True))
        points.append(
            {
                "kind": point.kind,
                "choice": [at[row.tensor] for row in plan.rows],
                "objective": sum(sums["cost"]),
                "objective_column": plan.objective_column,
                "bits_per_weight": bits / weights,
                "bytes": sum(sums["size_bytes"]) + kept,
            }
        )
    return points


def assign(plan: Plan, schemes: Mapping[str, str], *, decided_by: Mapping[str, str] | None = None) -> Plan:
    """The plan with other candidates of its tensors; KeyError for a tensor without a scheme."""
    rows = [_give(plan, row, schemes[row.tensor], (decided_by or {}).get(row.tensor, "")) for row in plan.rows]
    numel = sum(row.numel for row in rows)
    four: dict[str, Any] = {
        "objective": sum(row.cost for row in rows),
        "objective_column": plan.objective_column,
        "bits_per_weight": sum(row.bits_per_weight * row.numel for row in rows) / numel,
        "bytes": sum(row.size_bytes for row in rows) + sum(plan.kept_float.values()),
    }
    point = PointRow(
        point="plan",
        tensors=len(rows),
        bits_per_weight=four["bits_per_weight"],
        bytes=four["bytes"],
        objective=four["objective"],
        within=True,
    )
    totals = [point, *(one for one in plan.totals if one.point != "plan")]
    more = {**plan.more, **four, "assignments": {row.tensor: row.scheme for row in rows}}
    for part in ("certainty", "proof"):  # of the plan that was saved
        more.pop(part, None)
    return Plan.from_rows(PlanRow, rows, totals=totals, source=plan.source, settings=plan.settings, more=more)


def _check(plan: Plan, pinned: Mapping[str, str]) -> None:
    """ValueError for a document that lacks candidates, and for a pin of no tensor of it."""
    names = [row.tensor for row in plan.rows]
    missing = next((name for name in names if name not in plan.candidates), None)
    if missing is not None:
        raise ValueError(f"the plan has no candidates of {quote(missing)}: make it again with `qanalysis plan`")
    strange = next((name for name in pinned if name not in names), None)
    if strange is not None:
        raise ValueError(f"pin {quote(strange)}: is no tensor of the plan")


def _group(rows: Sequence[PlanRow]) -> list[list[str]]:
    """Tensors that have one scheme together, in the order of the rows."""
    units = dict[str, list[str]]()
    for place, row in enumerate(rows):
        units.setdefault(row.group or f"\0{place}", []).append(row.tensor)
    return list(units.values())


def _list_common(plan: Plan, names: Sequence[str], pinned: Mapping[str, str]) -> list[str]:
    """The schemes that all of some tensors may have, or the one that they are pinned to."""
    common = [
        scheme
        for scheme in plan.candidates[names[0]]["scheme"]
        if all(scheme in plan.candidates[name]["scheme"] for name in names)
    ]
    wanted = {pinned[name] for name in names if name in pinned}
    if not wanted:
        return common
    if len(wanted) > 1:
        raise ValueError(f"{quote(names[0])} and its group have one scheme; the pins give {', '.join(sorted(wanted))}")
    if not wanted <= set(common):
        raise ValueError(f"pin {quote(names[0])}: {wanted.pop()} is none of its candidates {', '.join(common)}")
    return list(wanted)


def _sum(plan: Plan, names: Sequence[str], schemes: Sequence[str], part: str, numel: Mapping[str, int]) -> Doubles:
    """A figure of each scheme over a unit's tensors: costs, or bits in all."""
    total = np.zeros(len(schemes))
    for name in names:
        own = plan.candidates[name]
        places = [list(own["scheme"]).index(scheme) for scheme in schemes]
        column = np.asarray(own["cost" if part == "cost" else "bits_per_weight"], np.float64)[places]
        total += column if part == "cost" else column * numel[name]
    return total


def _give(plan: Plan, row: PlanRow, scheme: str, decided_by: str) -> PlanRow:
    """The row under another scheme; what only a measurement of it would tell is left open."""
    own = plan.candidates[row.tensor]
    place = list(own["scheme"]).index(scheme)
    # How often resampled plans keep a scheme was counted under the limits of the plan that was saved.
    changed: dict[str, Any] = {"stability": None} | ({"decided_by": decided_by} if decided_by else {})
    if scheme == row.scheme:
        return replace(row, **changed)
    changed |= dict.fromkeys((*_MEASURED, "sqnr_db", "relative_l2"))
    cost = float(own["cost"][place])
    if plan.objective_column == "relative_error_energy" and cost > 0:
        changed |= {"relative_l2": cost**0.5, "sqnr_db": float(-10 * np.log10(cost))}
    return replace(
        row,
        scheme=scheme,
        bits_per_weight=float(own["bits_per_weight"][place]),
        size_bytes=int(own["size_bytes"][place]),
        cost=cost,
        **changed,
    )
