"""What does a file of a plan hold? Its rows, the points beside it, and the parts of its document, in plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.plans.candidates import Options
from qanalysis.plans.front import FrontPoint
from qanalysis.plans.plan import Plan
from qanalysis.plans.points import pick
from qanalysis.plans.problem import Solution
from qanalysis.plans.request import Request
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.plans.settling import Settled
from qanalysis.plans.stability import Stability
from qanalysis.plans.units import Unit
from qanalysis.sweeps.held import TENSORS
from qanalysis.sweeps.row import Row

#: A front in a document has at most so many places of schemes, ten points at least.
MOST_PLACES = 400_000
_LEAST_POINTS = 10


def describe_plan(
    settled: Settled,
    request: Request,
    solution: Solution,
    *,
    certainty: tuple[Stability, Mapping[str, Any]] | None,
    points: Sequence[PointRow],
    front: Sequence[FrontPoint],
    settings: Mapping[str, Any],
    coverage: Sequence[Mapping[str, Any]],
    proof: Mapping[str, Any],
) -> Plan:
    """The plan of a solution."""
    chosen = {one.tensor.name: at for one, at in pick(settled.units, solution.choice)}
    units = {one.tensor.name: unit for unit in settled.units for one in unit.members}
    stability = certainty[0] if certainty else None
    rows = [
        _describe_row(settled, one, units[one.tensor.name], chosen[one.tensor.name], stability)
        for one in settled.options
    ]
    plan = points[0]
    four = _tell_four(plan.objective, settled, plan.bits_per_weight, plan.bytes)
    more = {
        "assignments": {row.tensor: row.scheme for row in rows},
        **four,
        "front": describe_front(settled, front),
        "kept_float": dict(settled.kept),
        "constraints": _describe_constraints(settled, request, rows, solution),
        "candidates": {one.tensor.name: _describe_options(one) for one in settled.options},
        "proof": dict(proof),
        **({"certainty": dict(certainty[1])} if certainty else {}),
        **{name: part for name, part in settled.candidates.more.items() if name == TENSORS},
    }
    return Plan.from_rows(
        PlanRow,
        rows,
        totals=points,
        source=settled.candidates.source,
        settings=settings,
        complete=settled.candidates.complete,
        coverage=tuple(coverage),
        more=more,
    )


def _tell_four(objective: float, settled: Settled, bits_per_weight: float, size: int) -> dict[str, Any]:
    return {
        "objective": objective,
        "objective_column": settled.candidates.objective.column,
        "bits_per_weight": bits_per_weight,
        "bytes": size,
    }


def _describe_row(settled: Settled, every: Options, unit: Unit, at: int, stability: Stability | None) -> PlanRow:
    """The row of a tensor; `every` are all its candidates, `at` is the place of its scheme in the unit's."""
    rows, tensor, scheme = settled.candidates.rows, every.tensor, unit.schemes[at]
    place = every.schemes.index(scheme)
    prefix = "" if rows.row_type is Row else "output_"
    sqnr_db, relative_l2 = (
        float(rows.column(f"{prefix}{name}")[every.places[place]]) for name in ("sqnr_db", "relative_l2")
    )
    low, high = stability.costs.get(tensor.name, (None, None)) if stability else (None, None)
    kept = stability.kept.get(tensor.name) if stability else None
    return PlanRow(
        tensor=tensor.name,
        layer=tensor.layer,
        role=tensor.role,
        shape="x".join(map(str, tensor.shape)),
        dtype=tensor.dtype,
        numel=tensor.numel,
        scheme=scheme,
        bits_per_weight=float(every.bits[place] / tensor.numel) if tensor.numel else 0.0,
        size_bytes=int(every.sizes[place]),
        cost=float(every.costs[place]),
        sqnr_db=None if math.isnan(sqnr_db) else sqnr_db,
        relative_l2=None if math.isnan(relative_l2) else relative_l2,
        cost_low=low,
        cost_high=high,
        stability=kept.share if kept else None,
        options=len(every.schemes),
        group=unit.name,
        pool=settled.places.get(tensor.name, ""),
        decided_by=_tell_decider(tensor.name, every, unit, settled.pinned),
    )


def _tell_decider(name: str, every: Options, unit: Unit, pinned: Mapping[str, str]) -> str:
    if name in pinned:
        return "pin"
    if len(every.schemes) == 1 or (len(unit.schemes) == 1 and not unit.is_pinned):
        return "only candidate"
    return "group" if len(unit.members) > 1 else "budget"


def _describe_options(one: Options) -> dict[str, list[Any]]:
    return {
        "scheme": list(one.schemes),
        "bits_per_weight": (one.bits / max(one.tensor.numel, 1)).tolist(),
        "size_bytes": one.sizes.astype(np.int64).tolist(),
        "cost": one.costs.tolist(),
    }


def count_points(settled: Settled) -> int:
    """How many points of the front a document holds at most."""
    return max(MOST_PLACES // max(len(settled.options), 1), _LEAST_POINTS)


def describe_front(settled: Settled, front: Sequence[FrontPoint]) -> list[dict[str, Any]]:
    """Points as a document holds them, ascending in size; of very many an even share, both ends among them."""
    if not front:
        return []
    most = count_points(settled)
    shown = np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int))
    points = [front[at] for at in shown]
    choices = np.array([point.choice for point in points], np.int64).reshape(len(points), len(settled.units))
    figures, kept = settled.figures, sum(settled.kept.values())
    objective, bits, size = (
        np.sum([one[choices[:, at]] for at, one in enumerate(part)], axis=0)
        for part in (figures.costs, figures.bits, figures.sizes)
    )
    places = _place_in_candidates(settled, choices)
    return [
        {
            **_tell_four(float(objective[at]), settled, float(bits[at] / figures.numel), int(size[at]) + kept),
            "kind": point.kind,
            "choice": places[at].tolist(),
        }
        for at, point in enumerate(points)
    ]


def _place_in_candidates(settled: Settled, choices: Codes) -> Codes:
    """The places of the schemes among all candidates of each row, shape (points, rows)."""
    owners = {one.tensor.name: place for place, unit in enumerate(settled.units) for one in unit.members}
    columns = []
    for every in settled.options:
        place = owners[every.tensor.name]
        known = np.array([every.schemes.index(scheme) for scheme in settled.units[place].schemes], np.int64)
        columns.append(known[choices[:, place]])
    stacked: Codes = np.stack(columns, axis=1)
    return stacked


def _describe_constraints(
    settled: Settled, request: Request, rows: Sequence[PlanRow], solution: Solution
) -> dict[str, Any]:
    """Everything as asked, then what followed: groups with members and schemes, what pools and the budget hold."""
    schemes = {row.tensor: row.scheme for row in rows}
    told = request.to_dict()
    if request.budget is not None:
        told["budget"] = {"kind": request.budget.kind, "amount": request.budget.amount}
    groups = [unit for unit in settled.units if len(unit.members) > 1]
    told["groups"] = [
        {
            "name": unit.name,
            "members": [one.tensor.name for one in unit.members],
            "scheme": schemes[unit.members[0].tensor.name],
        }
        for unit in groups
    ]
    told["pools"] = [_describe_pool(settled, request, name, rows) for name in (pool.name for pool in request.pools)]
    told["parts"] = _describe_parts(settled, request, rows)
    if request.active is not None:
        figures = settled.figures
        counted = sum(float(one[at]) for one, at in zip(figures.counted, solution.choice, strict=True))
        told["active"] = {
            "share": str(request.active),
            "weights": float(figures.counted_numel),
            "bits_per_active_weight": counted / figures.counted_numel,
        }
    return told


def _describe_pool(settled: Settled, request: Request, name: str, rows: Sequence[PlanRow]) -> dict[str, Any]:
    pool = next(one for one in request.pools if one.name == name)
    own = [row for row in rows if row.pool == name]
    kept = sum(size for tensor, size in settled.kept.items() if settled.places.get(tensor) == name)
    return {
        "name": name,
        "bytes": pool.bytes,
        "used": sum(row.size_bytes for row in own) + kept,
        "kept_float": kept,
        "tensors": len(own),
        "schemes": list(dict.fromkeys(row.scheme for row in own)),
    }


def _describe_parts(settled: Settled, request: Request, rows: Sequence[PlanRow]) -> dict[str, Any]:
    """What the bytes are of."""
    parts: dict[str, Any] = {
        "weights": sum(row.size_bytes for row in rows),
        "kept_float": sum(settled.kept.values()),
    }
    if request.cache is not None:
        parts["cache"] = request.cache.to_dict()
    return parts
