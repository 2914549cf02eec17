"""How are rows made a plan? Candidates, units that are decided together, limits, the optimum, and its document."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.plans.certainty import judge_plan
from qanalysis.plans.describing import count_points, describe_plan
from qanalysis.plans.front import FrontPoint, trace_front
from qanalysis.plans.optimum import Structure, find_ends, find_optimum
from qanalysis.plans.plan import Plan
from qanalysis.plans.points import describe_point, list_points, pick
from qanalysis.plans.pools import PoolTexts
from qanalysis.plans.problem import Problem, Solution
from qanalysis.plans.request import Request
from qanalysis.plans.row import PointRow
from qanalysis.plans.settling import Settled, find_structure, settle
from qanalysis.plans.stability import Stability
from qanalysis.results.table import Table

#: Optima that are worked out for the front, and the most seconds that each may take.
_EXACT, _EXACT_S = 12, 1.0
_FEW, _QUICK_OPTIONS = 2, 2000
#: Costs that differ by less than this part are one.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class PlanProgress:
    """What is at work: reach, optimum, front, stability; `points` are what can be reached, once that is known."""

    step: str
    done: int
    total: int
    points: tuple[PointRow, ...] = ()


def plan_bits(
    rows: Table[Any] | Sequence[Table[Any]],
    *,
    budget_bpw: float | None = None,
    budget_bytes: float | str | None = None,
    fit_gib: float | None = None,
    min_sqnr_db: float | None = None,
    max_loss: float | None = None,
    config: Any = None,
    context: int | None = None,
    kv_dtype: str | None = None,
    objective: str | None = None,
    pin: Mapping[str, str] | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    tie: str | Iterable[str] = (),
    pools: PoolTexts = (),
    pool_schemes: Mapping[str, str | Sequence[str]] | Iterable[str] = (),
    most_formats: int | None = None,
    monotone: bool | str = False,
    min_layer_sqnr_db: float | None = None,
    active_experts: str | Fraction | None = None,
    scores: str | os.PathLike[str] | None = None,
    resamples: int | None = None,
    header: Iterable[TensorInfo] = (),
    seed: int = 0,
    seconds: float = 60.0,
    front: bool = True,
    stability: bool = True,
    on_progress: Callable[[PlanProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Plan:
    r"""The plan of least objective within a budget, proven to be that, from the ok rows of a sweep or a sensitivity.

    Parameters
    ----------
    rows : a table, or several of one source whose schemes are put together.
    budget_bpw : bits per weight over the assigned tensors, scales counted.
    budget_bytes : bytes of all that is stored, kept-float tensors too; a number or a text such as "4GiB".
    fit_gib, config, context, kv_dtype : GiB for what is stored and, with a config.json (a path or its values), for the
        keys and values of a context of so many tokens, by default float16.
    min_sqnr_db, max_loss : the smallest plan whose pooled SQNR is at least, whose summed objective is at most that.
        Pooled: 10 log10(ΣΣx²/ΣΣe²) over the tensors; of a sensitivity −10 log10 of the summed output NSR.
    objective : a column that adds over tensors; by default relative_error_energy, of a sensitivity output_nsr (for
        `max_loss` loss_delta).
    pin : "REGEX=SCHEME" texts, or a mapping of expressions to schemes. exclude : expressions of what stays float.
    tie : vllm, llama.cpp or expressions: tensors that have one scheme.
    pools, pool_schemes : "NAME=BYTES:REGEX" and "NAME=REGEX" of schemes, or mappings; alone or beside a budget.
    most_formats : how many number formats (int4, nf4, ...) there may be at most, whatever their grouping.
    monotone : whether bits per weight never fall from the first block to the last, among tensors of one kind (names
        alike but for the number of the block); or an expression of those for which that holds.
    min_layer_sqnr_db : the least SQNR of each tensor.
    active_experts : "K/N", or "config": bits per weight then count an expert with the share K/N.
    scores : a file of another tool: an imatrix, mlx sensitivities, an EXL3 measurement, a calibration csv, whose scores
        weigh the candidates; or a ModelOpt result, whose choices are pins.
    resamples, seed : how many plans are made from scores that are drawn anew, where rows tell their chance.
    header : the tensors of the source, where rows come from files that do not hold them.
    seconds : after which the best plan so far is taken, with the bound of what could be gained.
    front : whether the plans of other sizes are worked out too. stability : whether plans are made again from scores
        that are drawn anew. cancel : once set, what comes after the optimum is left out.

    Raises ValueError for anything that does not go together, and InfeasibleError, with the nearest feasible budget, for
    a budget that no plan keeps.
    """
    request = Request.read(
        budget_bpw=budget_bpw,
        budget_bytes=budget_bytes,
        fit_gib=fit_gib,
        min_sqnr_db=min_sqnr_db,
        max_loss=max_loss,
        config=config,
        context=context,
        kv_dtype=kv_dtype,
        objective=objective,
        pin=pin,
        exclude=exclude,
        tie=tie,
        pools=pools,
        pool_schemes=pool_schemes,
        most_formats=most_formats,
        monotone=monotone,
        min_layer_sqnr_db=min_layer_sqnr_db,
        active_experts=active_experts,
        scores=scores,
        resamples=resamples,
        seed=seed,
    )
    tables = (rows,) if isinstance(rows, Table) else tuple(rows)
    return plan_request(
        tables,
        request,
        header=header,
        seconds=seconds,
        front=front,
        stability=stability,
        on_progress=on_progress,
        cancel=cancel,
    )


def plan_request(
    tables: Sequence[Table[Any]],
    request: Request,
    *,
    header: Iterable[TensorInfo] = (),
    seconds: float = 60.0,
    front: bool = True,
    stability: bool = True,
    on_progress: Callable[[PlanProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Plan:
    """The plan that a request asks for."""
    started = time.monotonic()
    tell = on_progress or (lambda _progress: None)
    settled = settle(tables, request, header)
    structure = find_structure(settled.units, request)
    tell(PlanProgress("reach", 0, 4))
    points = measure_reach(settled, structure)
    tell(PlanProgress("optimum", 1, 4, tuple(points)))
    smallest = request.budget is not None and request.budget.is_quality
    problem, solution = find_optimum(settled.figures, settled.bounds, structure, smallest=smallest, seconds=seconds)
    tell(PlanProgress("front", 2, 4, tuple(points)))
    traced = _trace(settled, structure, solution) if front and not _is_set(cancel) else ()
    tell(PlanProgress("stability", 3, 4, tuple(points)))
    certainty = _judge(settled, request, problem, solution) if stability and not _is_set(cancel) else None
    kept = sum(settled.kept.values())
    plan = describe_point("plan", pick(settled.units, solution.choice), kept, within=True)
    return describe_plan(
        settled,
        request,
        solution,
        certainty=certainty,
        points=[plan, *points],
        front=traced,
        settings={**request.to_dict(), "rows": _describe_rows(tables)},
        coverage=_cover(tables, settled),
        proof=_prove(solution, smallest=smallest, seconds=time.monotonic() - started),
    )


def measure_reach(settled: Settled, structure: Structure) -> list[PointRow]:
    """The ends of what can be reached, and every scheme that all tensors have, before any optimum is looked for."""
    kept = sum(settled.kept.values())
    ends = find_ends(settled.figures, structure)
    problem = structure.state(settled.figures.costs, [bound.limit for bound in settled.bounds])

    def is_within(choice: Sequence[int] | Codes) -> bool:
        return problem.keeps_limits(choice) and problem.keeps_order(choice)

    return list_points(settled.options, settled.units, ends, kept=kept, within=is_within)


def _trace(settled: Settled, structure: Structure, solution: Solution) -> list[FrontPoint]:
    """Plans of other sizes, and the plan itself among them."""
    figures = settled.figures
    problem = structure.state(figures.costs)
    most = count_points(settled)
    # Formats and chains make an optimum of hundreds of layers a matter of seconds instead of milliseconds.
    is_quick = structure.is_free or sum(map(len, figures.costs)) <= _QUICK_OPTIONS
    exact = _EXACT if is_quick else _FEW
    points = list(trace_front(problem, figures.counted, exact=exact, points=most, seconds=_EXACT_S))
    own = FrontPoint(
        "exact" if solution.is_proven else "greedy",
        solution.choice,
        problem.total(solution.choice),
        problem.total(solution.choice, figures.counted),
    )
    return _place_own(points, own)


def _place_own(points: Sequence[FrontPoint], own: FrontPoint) -> list[FrontPoint]:
    """The points, with the plan's own where no other one beats it: pools, a floor, or an error that is bounded in place
    of the objective, may ask for a plan that is none of the best ones at any size.
    """
    if any(np.array_equal(point.choice, own.choice) or _beats(point, own) for point in points):
        return list(points)
    others = [point for point in points if not (point.size >= own.size and point.cost >= own.cost)]
    return sorted([*others, own], key=lambda point: point.size)


def _beats(one: FrontPoint, other: FrontPoint) -> bool:
    return one.size <= other.size and one.cost < other.cost - _SAME * abs(other.cost)


def _is_set(cancel: threading.Event | None) -> bool:
    return cancel is not None and cancel.is_set()


def _judge(
    settled: Settled, request: Request, problem: Problem, solution: Solution
) -> tuple[Stability, dict[str, Any]]:
    """How sure the plan is of its scores."""
    candidates = replace(settled.candidates, options=settled.options)
    return judge_plan(
        candidates, settled.units, problem, solution.choice, resamples=request.resamples, seed=request.seed
    )


def _describe_rows(tables: Sequence[Table[Any]]) -> Any:
    """The settings of the rows, a list of those of several tables."""
    told = [dict(table.settings) for table in tables]
    return told[0] if len(told) == 1 else told


def _cover(tables: Sequence[Table[Any]], settled: Settled) -> list[Mapping[str, Any]]:
    """What the rows leave out, and the notes of the plan."""
    carried = [entry for table in tables for entry in table.coverage]
    once = [entry for place, entry in enumerate(carried) if entry not in carried[:place]]
    empty = {"role": "", "tensors": None, "values": None}
    return [*once, *({"part": "note", **empty, "reason": note} for note in settled.notes)]


def _prove(solution: Solution, *, smallest: bool, seconds: float) -> dict[str, Any]:
    """What is known of the optimum: what was made small, its least possible value, and whether it is reached."""
    bound, gap = float(solution.bound), float(solution.gap)
    return {
        "minimised": "bits" if smallest else "objective",
        "value": float(solution.cost),
        "bound": bound if math.isfinite(bound) else None,
        "gap": gap if math.isfinite(gap) else None,
        "proven": bool(solution.is_proven),
        "seconds": round(seconds, 3),
    }
