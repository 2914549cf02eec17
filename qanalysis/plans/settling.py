"""What is there to decide? Rows and wishes to units with options, bytes that are kept, and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import quote
from qanalysis.plans.candidates import Candidates, Options, gather_candidates
from qanalysis.plans.depth import chain_units, rank_options
from qanalysis.plans.experts import is_expert
from qanalysis.plans.limits import Bound, bound_budget, bound_pools
from qanalysis.plans.optimum import Structure
from qanalysis.plans.pins import keep_pinned, leave_out
from qanalysis.plans.pools import assign_pools, keep_pool_schemes
from qanalysis.plans.request import Request
from qanalysis.plans.scores.catalogue import holds_pins, read_pins, read_scores
from qanalysis.plans.scores.modelopt import Pins
from qanalysis.plans.tensors import PlanTensor
from qanalysis.plans.ties import Group, tie_tensors
from qanalysis.plans.units import Figures, Unit, join_units
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.table import Table
from qanalysis.sweeps.held import TENSORS

_LOSS = "loss_delta"


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What is decided about: `options` are all candidates of the planned tensors, `units` what was left of them.

    `kept` are the bytes of each tensor that stays as it is, `places` the pools of tensors, `pinned` their schemes.
    """

    candidates: Candidates
    options: tuple[Options, ...]
    units: tuple[Unit, ...]
    figures: Figures
    kept: Mapping[str, int]
    places: Mapping[str, str]
    pinned: Mapping[str, str]
    bounds: Sequence[Bound] = ()
    notes: Sequence[str] = ()


def settle(tables: Sequence[Table[Any]], request: Request, header: Iterable[TensorInfo] = ()) -> Settled:
    """The units of some rows under what was asked. Raises ValueError for what does not go together."""
    listed = list(header)
    asked = request.asked
    objective = asked["objective"] if "objective" in asked else _choose_objective(tables, request)
    candidates, decided = _read_scores(gather_candidates(tables, objective=objective, header=listed), request)
    options, excluded = leave_out(candidates, request.exclude, decided.excluded if decided else ())
    _check_lacking(candidates, excluded)
    tensors = [*(one.tensor for one in options), *candidates.others, *excluded]
    places = assign_pools(tensors, request.pools)
    allowed = keep_floor(options, candidates, request.min_layer_sqnr_db)
    if request.budget is not None and request.budget.kind == "min_sqnr_db":
        allowed = keep_measured(allowed)
    allowed = keep_pool_schemes(allowed, request.pools, places, alone=request.budget is None)
    allowed, pinned = keep_pinned(allowed, request.pins, excluded, decided.schemes if decided else {})
    groups = _tie(request, [one.tensor for one in options], excluded)
    units = join_units(allowed, groups, pinned)
    shares = _share_experts(options, request)
    figures = Figures.of(units, shares)
    kept = {one.name: one.size_bytes for one in tensors[len(options) :] if one.is_deployed}
    bounds = bound_pools(request.pools, places, units, kept)
    if request.budget is not None:
        cache = request.cache.bytes if request.cache else 0
        text = candidates.objective.text
        bounds.insert(0, bound_budget(request.budget, figures, kept=sum(kept.values()), cache=cache, objective=text))
    notes = _list_notes(tables, candidates, request, groups, is_header_known=bool(listed))
    notes += decided.notes if decided else ()
    return Settled(candidates, options, units, figures, kept, places, pinned, bounds, notes)


def _choose_objective(tables: Sequence[Table[Any]], request: Request) -> str | None:
    """Of a sensitivity whose loss is bounded the change of the loss, where it was measured."""
    is_loss = request.budget is not None and request.budget.kind == "max_loss"
    first = tables[0] if tables else None
    if first is None or not is_loss or first.row_type is not SensitivityRow:
        return None
    return _LOSS if np.isfinite(first.column(_LOSS)).any() else None


def _read_scores(candidates: Candidates, request: Request) -> tuple[Candidates, Pins | None]:
    """The candidates weighed by the scores of a file, and the pins of one that holds choices."""
    if request.scores is None:
        return candidates, None
    if holds_pins(request.scores):
        return candidates, read_pins(request.scores, candidates)
    return read_scores(request.scores, candidates), None


def _check_lacking(candidates: Candidates, excluded: Sequence[PlanTensor]) -> None:
    """Whether every tensor with an ok row has one with a figure; ValueError names the first that has not."""
    lost = [one.name for one in candidates.lacking if one not in excluded]
    if lost:
        more = f" and {len(lost) - 1:,} others" if len(lost) > 1 else ""
        raise ValueError(
            f"{quote(lost[0])}{more}: no ok row has a figure of {candidates.objective.column}, so there is no "
            "candidate; measure it for all, take another objective, or exclude what has none"
        )


def keep_floor(options: Sequence[Options], candidates: Candidates, floor: float | None) -> tuple[Options, ...]:
    """The candidates whose SQNR is at least so many dB. Raises ValueError for a tensor that has none."""
    if floor is None:
        return tuple(options)
    column = "output_sqnr_db" if candidates.rows.row_type is SensitivityRow else "sqnr_db"
    figures = candidates.rows.column(column)
    return tuple(_keep_high(one, figures[list(one.places)].tolist(), floor) for one in options)


def _keep_high(one: Options, sqnr_db: Sequence[float], floor: float) -> Options:
    kept = [place for place, value in enumerate(sqnr_db) if value >= floor]
    if not kept:
        best = max(sqnr_db, default=float("nan"))
        raise ValueError(
            f"least SQNR of a layer {floor:g} dB: {quote(one.tensor.name)} reaches {best:.2f} dB at best; give less, "
            "exclude it, or make rows of wider schemes"
        )
    return one.take(kept)


def keep_measured(options: Sequence[Options]) -> tuple[Options, ...]:
    """The candidates with an error that can be pooled. Raises ValueError for a tensor that has none."""
    kept = [one.take(np.flatnonzero(np.isfinite(one.errors)).tolist()) for one in options]
    lost = next((one.tensor.name for one in kept if not one.schemes), None)
    if lost is not None:
        raise ValueError(
            f"--min-sqnr: no row of {quote(lost)} has an error to pool, in mse or output_relative_l2; exclude it, or "
            "give another budget"
        )
    return tuple(kept)


def _tie(request: Request, tensors: Sequence[PlanTensor], excluded: Sequence[PlanTensor]) -> tuple[Group, ...]:
    """The groups of planned tensors. Raises ValueError for a group that is excluded in part."""
    out = {one.name for one in excluded}
    groups = tie_tensors([*tensors, *excluded], request.ties)
    for group in groups:
        left = [name for name in group.members if name not in out]
        if 0 < len(left) < len(group.members):
            lost = next(name for name in group.members if name in out)
            raise ValueError(
                f"the group {quote(group.name)} has one scheme, but {quote(lost)} is excluded and {quote(left[0])} is "
                "not; exclude all of it, or leave out the tie"
            )
    return tuple(group for group in groups if group.members[0] not in out)


def _share_experts(options: Sequence[Options], request: Request) -> dict[str, float]:
    """The share of each expert that works on a token. Raises ValueError where there is no expert."""
    if request.active is None:
        return {}
    experts = [one.tensor.name for one in options if is_expert(one.tensor)]
    if not experts:
        raise ValueError(
            f"active experts {request.active}: none of the {len(options):,} tensors is an expert by its name, such as "
            "experts.0.up_proj or ffn_up_exps; leave it out"
        )
    return dict.fromkeys(experts, float(request.active))


def find_structure(units: Sequence[Unit], request: Request) -> Structure:
    """The rules that hold whatever the size of a plan."""
    words = {scheme: str(Scheme.parse(scheme).format) for scheme in {one for unit in units for one in unit.schemes}}
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words.values()))}
    return Structure(
        formats=tuple(np.array([numbers[words[scheme]] for scheme in unit.schemes], np.int64) for unit in units),
        most_formats=request.most_formats,
        chains=chain_units(units, request.monotone) if request.monotone else (),
        ranks=rank_options(units) if request.monotone else (),
    )


def _list_notes(
    tables: Sequence[Table[Any]],
    candidates: Candidates,
    request: Request,
    groups: Sequence[Group],
    *,
    is_header_known: bool,
) -> list[str]:
    """What a reader of the plan has to know, a sentence each."""
    notes = list(request.cache.notes) if request.cache else []
    if not candidates.complete:
        notes.append("the rows are partial: their run was cancelled, so candidates or tensors may be missing")
    if not is_header_known and not any(table.more.get(TENSORS) for table in tables):
        notes.append(
            "the rows do not say what else their file holds, so bytes of tensors without rows are not counted; "
            "give the file too, with --source"
        )
    counts = [len(one.schemes) for one in candidates.options]
    fewer = [one.tensor.name for one in candidates.options if len(one.schemes) < max(counts)]
    if fewer:
        notes.append(
            f"{len(fewer):,} of {len(counts):,} tensors, such as {quote(fewer[0])}, have ok rows under some of the "
            "schemes only; they are planned over these"
        )
    for tie in request.ties:
        if not groups:
            notes.append(f"nothing is tied by {tie}: no two tensors have names that it joins")
    return notes
