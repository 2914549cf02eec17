"""How sure is the plan in view? Stability of its layers, the range of its sum, and what a run of the model gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qanalysis.notation import NOTHING, decibels, percent, plain
from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PlanRow
from qanalysis.reports.plan_parts import find_part, read_number, read_text
from qanalysis.reports.plan_sections import tell_kept

Fact = Mapping[str, str]
#: Columns that samples are drawn for; errors of weights are exact.
_ESTIMATED = ("output_nsr", "output_kl", "loss_delta")


def list_facts(plan: Plan) -> list[Fact]:
    """Lines below the totals of a plan: label, text and note; none of a plan that is sure of nothing."""
    certainty, forward = find_part(plan, "certainty"), find_part(find_part(plan, "proof"), "forward")
    return [
        {"label": label, "text": text, "note": note}
        for label, text, note in (*_tell_sum(plan, certainty), *_tell_run(forward))
    ]


def _tell_sum(plan: Plan, certainty: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The interval of the objective, how many layers stay, and what layers do together."""
    ends = _tell_ends(certainty, "objective")
    if ends:
        yield "Error at 95 %", ends, read_text(certainty.get("note"))
    known = [row.stability for row in plan.rows if row.stability is not None]
    made = read_number(certainty.get("resamples"))
    if known and made:
        stay = sum(share == 1 for share in known)
        failed = read_number(certainty.get("failed"))
        lost = f"; {failed:.0f} of them found no plan within the limits" if failed else ""
        note = f"keep their scheme in all {made:.0f} plans from resampled scores{lost}"
        yield "Stability", f"{stay} of {len(plan)} layers", note
    elif plan.objective_column in _ESTIMATED and read_text(certainty.get("note")):
        yield "Stability", NOTHING, read_text(certainty.get("note"))
    interaction, ends = find_part(certainty, "interaction"), _tell_ends(certainty, "predicted")
    if ends and read_number(interaction.get("ratio")) is not None:
        yield "Predicted", ends, read_text(interaction.get("note"))
    warning = read_text(interaction.get("warning"))
    if warning:
        yield "Interactions", "the sum is not the whole", warning


def _tell_run(forward: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What was measured beside what was predicted, and the outputs themselves."""
    measured, ratio = (read_number(forward.get(name)) for name in ("measured", "ratio"))
    if measured is not None:
        times = "" if ratio is None else f"{plain(ratio)} times the sum"
        inside = {True: ", inside the predicted range", False: ", outside the predicted range"}
        known = forward.get("is_inside")
        note = f"{times}{inside.get(known, '') if isinstance(known, bool) else ''}; {_name_data(forward)}"
        yield "Measured", plain(measured), note.removeprefix("; ")
    sqnr = read_number(forward.get("output_sqnr_db"))
    if sqnr is not None:
        yield "Output SQNR", decibels(sqnr), _name_data(forward) if measured is None else "of the same run"
    right, own = (read_number(forward.get(name)) for name in ("accuracy", "float_accuracy"))
    if right is not None and 0 <= right <= 1:
        beside = f"under the plan; {percent(own)} of the float model" if own is not None and 0 <= own <= 1 else ""
        yield "Accuracy", percent(right), beside
    if read_text(forward.get("status")) not in ("", "ok"):
        yield "A run of the plan", "failed", read_text(forward.get("reason"))


def _name_data(forward: Mapping[str, Any]) -> str:
    samples = read_number(forward.get("samples"))
    of = "" if samples is None else f", {samples:,.0f} samples of {read_text(forward.get('calibration')) or 'the data'}"
    return f"a run of the model with all layers under the plan{of}"


def _tell_ends(part: Mapping[str, Any], name: str) -> str:
    low, high = (read_number(part.get(f"{name}_{end}")) for end in ("low", "high"))
    return "" if low is None or high is None else f"{plain(low)} to {plain(high)}"


def count_kept(plan: Plan) -> dict[str, str]:
    """How many plans from resampled scores keep the scheme, by tensor: 14 of 20; empty where that is not known."""
    made = read_number(find_part(plan, "certainty").get("resamples"))
    if not made:
        return {}
    return {row.tensor: f"{row.stability * made:.0f} of {made:.0f}" for row in plan.rows if row.stability is not None}


def tell_layer(plan: Plan, row: PlanRow) -> str:
    """How sure a layer's scheme is, in a sentence; empty where that is not known.

    Such as: 14 of 20 resamples keep it at int8 channel, 17 at its bits; others give it int6 channel (3).
    """
    certainty = find_part(plan, "certainty")
    made = read_number(certainty.get("resamples"))
    told = []
    if row.stability is not None and made:
        counts = find_part(find_part(find_part(certainty, "kept"), row.tensor), "counts")
        others = [f"{name} ({number})" for name, number in counts.items() if name != row.scheme][:3]
        told.append(tell_kept(certainty, row, round(made)) + (f"; others give {', '.join(others)}" if others else ""))
    if row.cost_low is not None and row.cost_high is not None:
        told.append(f"cost {plain(row.cost)}, {plain(row.cost_low)} to {plain(row.cost_high)} at 95 %")
    return "; ".join(told)
