"""What is told of a plan? The budget and what it buys, beside uniform schemes, then who got what and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qanalysis.charts.wording import count_of
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.notation import NOTHING, count, decibels, percent, plain, shorten, size
from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.outline import Grid, Outline, Section
from qanalysis.reports.plan_parts import (
    find_part,
    list_warnings,
    read_number,
    read_text,
    tell_certainty,
    tell_constraints,
    tell_forward,
)
from qanalysis.reports.summary import list_notes

TENSORS_SHOWN = 20
KEPT_SHOWN = 40
_LONGEST_HEAD = 40  # of a column, in letters
#: How the sums of columns are called that a plan makes small most often.
_SUMS = {
    "relative_error_energy": "sum of relative error energies",
    "mse": "sum of squared errors",
    "output_nsr": "sum of output noise-to-signal ratios",
    "output_kl": "sum of output KL divergences",
    "loss_delta": "sum of loss changes",
}
_POINTS = {
    "plan": "this plan",
    "uniform": "all tensors",
    "smallest": "smallest possible",
    "best": "least error possible",
}


def outline_plan(table: Plan, *, title: str | None = None) -> Outline:
    """A plan as it is told; parts of its document that are missing or damaged are left out."""
    answer = head_plan(table)
    under, notes = [*_tell_budget(table), *_tell_stability(table)], list_notes(table.coverage)
    warnings = list_warnings(table)
    return Outline(
        title=title or f"Plan of {_name(table)}",
        headline=answer,
        under=[*under, *notes],
        warnings=warnings,
        opening=[answer, *under],
        closing=[*notes, *warnings],
        lead=[*_list_points(table), *_count_schemes(table), *tell_forward(table)],
        rest=[
            *_list_tensors(table),
            *tell_certainty(table),
            *tell_constraints(table),
            *_list_kept(table),
            *(replace(one, printed=False) for one in tell_coverage(table)),
            define_columns(table.columns),
        ],
    )


def head_plan(table: Plan) -> str:
    """The plan in one sentence: what it is of, bits, coverage, bytes, error, and what a uniform scheme would do."""
    kept = _read_kept(table)
    bits, total = read_number(table.more.get("bits_per_weight")), read_number(table.more.get("bytes"))
    whole = len(table) + len(kept)
    rates = NOTHING if bits is None else f"{bits:.2f}"
    sizes = [] if total is None else [size(round(total)) + (f" with {len(kept)} kept float" if kept else "")]
    told = [
        f"{_name(table)}: {rates} bits per weight (scales counted) over {len(table):,} of {count_of(whole, 'tensor')}"
    ]
    facts = [", ".join([*told, *sizes]), *_tell_objective(table), *_tell_uniform(table)]
    state = [] if table.complete else ["partial, as its rows are"]
    return "; ".join([*facts, *state])


def _name(table: Plan) -> str:
    return shorten(table.source.path.removeprefix(SAMPLE_PREFIX), 80) if table.source else "a model"


def name_sum(table: Plan) -> str:
    """What the objective is the sum of."""
    column = read_text(table.more.get("objective_column"))
    text = read_text(find_part(table, "certainty").get("objective"))
    if find_part(table, "certainty").get("scores") and text:
        return f"sum of {text}"
    return _SUMS.get(column, f"sum of {text or column or 'the objective'}")


def _tell_objective(table: Plan) -> list[str]:
    objective = read_number(table.more.get("objective"))
    if objective is None:
        return []
    return [f"{name_sum(table)} {plain(objective)}, {_tell_proof(find_part(table, 'proof'))}"]


def _tell_proof(proof: Mapping[str, Any]) -> str:
    """Whether anything is better."""
    what = "smallest possible" if proof.get("minimised") == "bits" else "optimal"
    if proof.get("proven") is True:
        return f"{what} to 1e-9"
    gap = read_number(proof.get("gap"))
    if proof.get("proven") is not False:
        return "not told whether it is optimal"
    return "the best found" if gap is None else f"the best found, no other is more than {percent(max(gap, 0.0))} better"


def _tell_uniform(table: Plan) -> list[str]:
    """The best uniform scheme of no more bits, else the smallest one, and how much worse or better it is."""
    points = [one for one in _read_points(table) if one.point == "uniform"]
    bits, objective = (read_number(table.more.get(name)) for name in ("bits_per_weight", "objective"))
    if not points or bits is None or objective is None:
        return []
    below = [one for one in points if one.bits_per_weight <= bits * (1 + 1e-9)]
    one = (
        min(below, key=lambda point: point.objective)
        if below
        else min(points, key=lambda point: (point.bits_per_weight, point.objective))
    )
    told = f"{shorten(one.scheme, 60)} for all costs {one.bits_per_weight:.2f} bits"
    if objective > 0 and one.objective > 0:
        return [f"{told} and {_tell_times(one.objective / objective)} the error"]
    return [f"{told} and sums to {plain(one.objective)}"]


def _tell_times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{plain(ratio, digits=2)} times"


def _tell_budget(table: Plan) -> list[str]:
    """The budget in words, a line; nothing where the document does not say."""
    budget = find_part(table, "constraints").get("budget")
    if not isinstance(budget, Mapping):
        return []
    amount = read_number(budget.get("amount"))
    if amount is None:
        return []
    words = {
        "budget_bpw": f"at most {amount:g} bits per weight over the planned tensors",
        "budget_bytes": f"at most {amount:,.0f} bytes of all that is stored",
        "fit_gib": f"fits in {amount:g} GiB",
        "min_sqnr_db": f"smallest plan of at least {amount:g} dB pooled SQNR",
        "max_loss": f"smallest plan whose objective sums to at most {amount:g}",
    }
    kind = read_text(budget.get("kind"))
    return [f"budget: {words[kind]}"] if kind in words else []


def _tell_stability(table: Plan) -> list[str]:
    """How many tensors keep their scheme under resampled scores, and the one that keeps it least."""
    certainty = find_part(table, "certainty")
    made = read_number(certainty.get("resamples"))
    known = [row for row in table if row.stability is not None]
    if not made or not known:
        return []
    firm = sum(row.stability == 1 for row in known)
    told = f"{firm} of {count_of(len(known), 'tensor')} keep their scheme in all {made:.0f} plans from resampled scores"
    worst = min(known, key=lambda row: row.stability or 0.0)
    if worst.stability == 1:
        return [told]
    return [f"{told}; least sure: {shorten(worst.tensor, 80)}, {tell_kept(certainty, worst, round(made))}"]


def tell_kept(certainty: Mapping[str, Any], row: PlanRow, made: int) -> str:
    """How many of the plans from resampled scores give a row's tensor its scheme.

    Such as: 14 of 20 resamples keep it at int8 channel, 17 at its bits.
    """
    kept = find_part(find_part(certainty, "kept"), row.tensor)
    scheme, bits = read_number(kept.get("scheme")), read_number(kept.get("bits"))
    if scheme is None:
        scheme = round((row.stability or 0.0) * made)
    told = f"{scheme:.0f} of {made} resamples keep it at {row.scheme}"
    return told if bits is None or bits == scheme else f"{told}, {bits:.0f} at its bits"


def _read_points(table: Plan) -> list[PointRow]:
    return list(table.totals) if table.totals.row_type is PointRow else []


def _read_kept(table: Plan) -> dict[str, int]:
    kept = table.more.get("kept_float")
    pairs = kept.items() if isinstance(kept, Mapping) else ()
    return {str(name): round(number) for name, value in pairs if (number := read_number(value)) is not None}


def _list_points(table: Plan) -> list[Section]:
    """The plan beside every uniform scheme and the ends of what can be reached, from the smallest on."""
    points = sorted(_read_points(table), key=lambda one: (one.bits_per_weight, one.objective))
    if not points:
        return []
    has_sqnr = any(one.pooled_sqnr_db is not None for one in points)
    lines = [
        (
            _POINTS.get(one.point, one.point),
            one.scheme or NOTHING,
            f"{one.bits_per_weight:.3f}",
            size(one.bytes),
            plain(one.objective),
            *([decibels(one.pooled_sqnr_db)] if has_sqnr else []),
            "yes" if one.within else "no",
        )
        for one in points
    ]
    what = name_sum(table)
    error = what if len(what) <= _LONGEST_HEAD else "error"
    heads = ("plan", "scheme", "bits per weight", "size", error, *(["pooled SQNR"] if has_sqnr else []))
    chosen = next((at for at, one in enumerate(points) if one.point == "plan"), None)
    grid = Grid((*heads, "keeps the budget"), lines, text_columns=2, names=frozenset({1}), chosen=chosen)
    note = (
        f"The error is the {what}. Sizes count what is kept float; bits per weight those of the planned tensors alone."
    )
    return [Section("points", "Beside uniform schemes", [grid], note, printed=True)]


def _count_schemes(table: Plan) -> list[Section]:
    """How many tensors each scheme has, the widest first."""
    groups = dict[str, list[PlanRow]]()
    for row in table:
        groups.setdefault(row.scheme, []).append(row)
    if not groups:
        return []
    numel, cost = sum(row.numel for row in table), sum(row.cost for row in table)
    lines = []
    for scheme, rows in sorted(groups.items(), key=lambda pair: (-_mean_bits(pair[1]), pair[0])):
        share = sum(row.cost for row in rows) / cost if cost > 0 else math.nan
        lines.append(
            (
                scheme,
                f"{len(rows):,}",
                percent(sum(row.numel for row in rows) / numel) if numel else NOTHING,
                f"{_mean_bits(rows):.3f}",
                size(sum(row.size_bytes for row in rows)),
                percent(share) if 0 <= share <= 1 else NOTHING,
            )
        )
    heads = ("scheme", "tensors", "of the weights", "bits per weight", "size", "of the error")
    bars = {2: [round(100 * sum(row.numel for row in groups[line[0]]) / numel) if numel else 0 for line in lines]}
    grid = Grid(heads, lines, names=frozenset({0}), bars=bars)
    return [Section("schemes", "Who got what", [grid], printed=True)]


def _mean_bits(rows: Sequence[PlanRow]) -> float:
    numel = sum(row.numel for row in rows)
    return sum(row.bits_per_weight * row.numel for row in rows) / numel if numel else 0.0


def _list_tensors(table: Plan) -> list[Section]:
    """The tensors that cost most, first of all."""
    rows = sorted(table, key=lambda row: -row.cost)
    if not rows:
        return []
    shown = rows[:TENSORS_SHOWN]
    sure, pools = any(row.stability is not None for row in rows), any(row.pool for row in rows)
    lines = [
        (
            row.tensor,
            row.scheme,
            row.decided_by,
            *([row.pool or NOTHING] if pools else []),
            f"{row.bits_per_weight:.3f}",
            size(row.size_bytes),
            plain(row.cost),
            decibels(row.sqnr_db),
            *([NOTHING if row.stability is None else percent(row.stability)] if sure else []),
        )
        for row in shown
    ]
    heads = ("tensor", "scheme", "decided by", *(["pool"] if pools else []), "bits per weight", "size", "cost", "SQNR")
    grid = Grid((*heads, *(["stability"] if sure else [])), lines, text_columns=3 + pools, names=frozenset({0, 1}))
    more = "" if len(rows) == len(shown) else f"The {len(shown)} of {len(rows):,} that cost most; all are below."
    return [Section("tensors", "Tensors by their part of the error", [grid], more, printed=True)]


def _list_kept(table: Plan) -> list[Section]:
    """What has no scheme, the largest first."""
    kept = sorted(_read_kept(table).items(), key=lambda pair: (-pair[1], pair[0]))
    if not kept:
        return []
    total = sum(number for _name, number in kept)
    grid = Grid(("tensor", "size"), [(name, size(number)) for name, number in kept[:KEPT_SHOWN]], names=frozenset({0}))
    more = f", the {KEPT_SHOWN} largest of them here" if len(kept) > KEPT_SHOWN else ""
    note = f"{count(len(kept), 'tensors')} without a scheme stay as they are, {size(total)} in all{more}."
    return [Section("kept", "Kept float", [grid], note)]
