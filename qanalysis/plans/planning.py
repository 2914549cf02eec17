"""How are rows made a plan? Candidates, units that are decided together, limits, the optimum, and its document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.plans.candidates import Candidates, Options, gather_candidates
from qanalysis.plans.plan import Plan
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import Limit, Problem
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.results.table import Table
from qanalysis.sweeps.held import TENSORS
from qanalysis.sweeps.row import Row


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Tensors that have one scheme together: their options under the schemes that all of them have, in one order."""

    name: str
    members: tuple[Options, ...]
    decided_by: str = "budget"

    @property
    def schemes(self) -> tuple[str, ...]:
        """What it may have."""
        return self.members[0].schemes

    def sum(self, figure: str) -> Doubles:
        """A figure of the options, summed over the members."""
        total: Doubles = np.sum([getattr(one, figure) for one in self.members], axis=0)
        return total


def plan_bits(
    rows: Table[Any] | Sequence[Table[Any]],
    *,
    budget_bpw: float | None = None,
    budget_bytes: int | None = None,
    objective: str | None = None,
    header: Iterable[TensorInfo] = (),
) -> Plan:
    """The plan of least objective within the budget."""
    tables = (rows,) if isinstance(rows, Table) else tuple(rows)
    candidates = gather_candidates(tables, objective=objective, header=header)
    units = tuple(Unit("", (one,)) for one in candidates.options)
    kept = {one.name: one.size_bytes for one in candidates.others if one.is_deployed}
    limits = []
    if budget_bpw is not None:
        numel = sum(one.tensor.numel for one in candidates.options)
        limits.append(Limit("bits per weight", tuple(one.sum("bits") for one in units), budget_bpw * numel))
    if budget_bytes is not None:
        limits.append(Limit("bytes", tuple(one.sum("sizes") for one in units), budget_bytes - sum(kept.values())))
    problem = Problem(tuple(one.sum("costs") for one in units), tuple(limits))
    solution = solve(problem)
    return describe_plan(candidates, units, solution.choice, kept, {}, settings={})


def describe_plan(
    candidates: Candidates,
    units: Sequence[Unit],
    choice: Codes,
    kept: Mapping[str, int],
    constraints: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
) -> Plan:
    """The plan of a choice, one option for each unit."""
    chosen = {
        member.tensor.name: (member, int(at), unit)
        for unit, at in zip(units, choice, strict=True)
        for member in unit.members
    }
    rows = [_make_row(candidates, *chosen[one.tensor.name]) for one in candidates.options]
    bits = sum(member.bits[at] for member, at, _unit in chosen.values())
    numel = sum(row.numel for row in rows)
    four = {
        "objective": sum(row.cost for row in rows),
        "objective_column": candidates.objective.column,
        "bits_per_weight": bits / numel,
        "bytes": sum(row.size_bytes for row in rows) + sum(kept.values()),
    }
    point = PointRow(
        point="plan",
        tensors=len(rows),
        bits_per_weight=four["bits_per_weight"],
        bytes=four["bytes"],
        objective=four["objective"],
        within=True,
    )
    more = {
        "assignments": {row.tensor: row.scheme for row in rows},
        **four,
        "front": [],
        "kept_float": dict(kept),
        "constraints": dict(constraints),
        "candidates": {
            one.tensor.name: {
                "scheme": list(one.schemes),
                "bits_per_weight": (one.bits / one.tensor.numel).tolist(),
                "size_bytes": one.sizes.astype(int).tolist(),
                "cost": one.costs.tolist(),
            }
            for one in candidates.options
        },
        **{name: part for name, part in candidates.more.items() if name == TENSORS},
    }
    return Plan.from_rows(PlanRow, rows, totals=[point], source=candidates.source, settings=settings, more=more)


def _make_row(candidates: Candidates, member: Options, at: int, unit: Unit) -> PlanRow:
    tensor = member.tensor
    kind = "" if candidates.rows.row_type is Row else "output_"
    sqnr_db, relative_l2 = (
        float(candidates.rows.column(f"{kind}{name}")[member.places[at]]) for name in ("sqnr_db", "relative_l2")
    )
    return PlanRow(
        tensor=tensor.name,
        layer=tensor.layer,
        role=tensor.role,
        shape="x".join(map(str, tensor.shape)),
        dtype=tensor.dtype,
        numel=tensor.numel,
        scheme=member.schemes[at],
        bits_per_weight=float(member.bits[at] / tensor.numel),
        size_bytes=int(member.sizes[at]),
        cost=float(member.costs[at]),
        sqnr_db=None if np.isnan(sqnr_db) else sqnr_db,
        relative_l2=None if np.isnan(relative_l2) else relative_l2,
        options=len(member.schemes),
        group=unit.name,
        decided_by=unit.decided_by,
    )
