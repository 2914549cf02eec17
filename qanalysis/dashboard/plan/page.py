"""Page Plan: which scheme does each layer get under a budget, what does that cost, and how is it said to a back end?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.linked.plan import build_plan_part
from qanalysis.charts.plan_charts import front_chart, layer_bits
from qanalysis.charts.plan_sheet import PlanSheet, read_sheet
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.elements import draw_fault
from qanalysis.dashboard.export import Extras, draw_export, draw_link
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.plan.certainty import count_kept, list_facts
from qanalysis.dashboard.plan.checks import check_plan, draw_checks
from qanalysis.dashboard.plan.controls import draw_controls, draw_objective
from qanalysis.dashboard.plan.layer import choose_layer, confine_locks, draw_layer, read_locks
from qanalysis.dashboard.plan.recipes import draw_patterns, draw_recipes, find_float
from qanalysis.dashboard.plan.rows import find_rows
from qanalysis.dashboard.plan.view import MOST_BUDGET, PlanView
from qanalysis.dashboard.plans import (
    Found,
    Held,
    PlanQuestion,
    draw_from,
    list_candidates,
    list_objectives,
    read_energies,
    work_out,
)
from qanalysis.dashboard.session import change
from qanalysis.dashboard.wording import escape_markdown, name_controls
from qanalysis.notation import count, percent, plain, size
from qanalysis.plans.plan import Plan
from qanalysis.plans.reopening import list_left_out
from qanalysis.reports.summary import list_notes

_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
_WAY_OUT = "Choose another **Source** in the sidebar, change what is kept, or take a step back with **Undo**."

_BOXES = {
    "--budget-bpw": "the budget",
    "--most-formats": "the box Different formats",
    "--exclude": "the box Leave out",
    "--objective": "the box Made small",
    "--pin": "the box Pins",
    "--tie": "the box Tied",
    "with --source": "in `qanalysis plan`",
}


def draw_plan(view: PlanView) -> None:
    """The page: the source and what is kept in the sidebar, the plan in view with its front, and what leaves the page.

    A source that can not be opened and constraints that contradict each other become a fault in place of the plan.
    """
    with st.sidebar:
        ended, objective = draw_controls(view)
    try:
        held = find_rows(view, ended)
        if held is None:
            st.markdown("There are no rows yet: a plan is chosen from the errors of every layer under every scheme.")
            draw_link(PlanView)
            return
        _draw_plan(held, objective)
    except _FAULTS as error:
        draw_fault(_name_boxes(str(error)), _WAY_OUT)
        draw_link(PlanView)


def _name_boxes(message: str) -> str:
    """A message with the page's boxes in place of the options of the command."""
    for option, box in _BOXES.items():
        message = message.replace(option, box)
    return name_controls(message)


def _draw_plan(held: Held, objective: Any) -> None:
    """The plan of the rows in sight; raises where there is none."""
    column = draw_objective(objective, list_objectives(held.table))
    view = confine_locks(list_candidates(held))
    question = PlanQuestion(
        budget=view.budget,
        objective=column,
        exclude=view.exclude,
        pins=view.pins,
        locks=tuple(read_locks(view).items()),
        ties=view.tie,
        most_formats=view.most,
    )
    found, offered = check_plan(held, work_out(held, question), view)
    plan = found.plan
    if found.refusal:
        st.warning(escape_markdown(_name_boxes(found.refusal)), icon=":material/vertical_align_bottom:")
    notes = [*list_notes(plan.coverage), *_tell_left_out(held)]
    if notes:
        with st.expander(f"What to know of this plan ({len(notes)})", icon=":material/info:"):
            st.markdown("\n".join(f"- {escape_markdown(_name_boxes(note))}" for note in notes))
    sheet = read_sheet(draw_from(held, found), read_energies(held), own_point=False)
    _draw_charts(plan, sheet, found, view)
    draw_checks(offered)
    draw_layer(plan, view.source)
    draw_recipes(plan, find_float(view.source, plan))
    draw_patterns(plan)
    _draw_export(plan, sheet)


def _tell_left_out(held: Held) -> list[str]:
    """What a saved plan keeps that one at another budget does not."""
    names = list_left_out(held.table) if isinstance(held.table, Plan) else []
    told = ", ".join(names)
    return [f"The file keeps {told}; a plan worked out here does not: make it with `qanalysis plan`."] if names else []


def _draw_charts(plan: Plan, sheet: PlanSheet, found: Found, view: PlanView) -> None:
    """The linked charts "charts" with the slider of the budget; what a person does there comes back at rest."""
    rows, kept = {row.tensor: row for row in plan.rows}, count_kept(plan)
    stability = [rows[layer.name].stability for layer in sheet.layers]
    is_known = any(value is not None for value in stability)
    part = build_plan_part(sheet, read_locks(view), stability=is_known, under=_tell_range(sheet))
    exact: dict[str, Any] = {"step": found.budget, "choice": sheet.chosen.tolist(), "facts": list_facts(plan)}
    if is_known:
        exact |= {"stability": stability, "kept": [kept.get(layer.name) for layer in sheet.layers]}
    proof = plan.more.get("proof", {})
    if not proof.get("proven", True):
        exact["kind"] = f"the best that was found; at most {percent(float(proof.get('gap', 0)))} less error is possible"
    at = {"step": found.budget, "exact": exact, "row": choose_layer(plan)}
    draw_linked(PARTS.put(part), "charts", at=at, on_ask=partial(take_choice, frozenset(rows), at))


def take_choice(names: frozenset[str], at: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything."""
    wanted: dict[str, Any] = {}
    budget, layer = asked.get("step"), asked.get("row")
    if isinstance(budget, int | float) and not isinstance(budget, bool) and math.isfinite(budget):
        bent = min(max(round(float(budget), 4), 0.01), MOST_BUDGET)
        if bent != at["step"]:
            wanted["budget"] = bent
    if isinstance(layer, str) and layer in names and layer != at["row"]:
        wanted["layer"] = layer
    if wanted:
        change(PlanView, **wanted)


def _tell_range(sheet: PlanSheet) -> str:
    """What can be reached at all."""
    bits, costs = sheet.sum_points("bits"), sheet.sum_points("costs")
    ends = f"{plain(bits[0], digits=4)} to {plain(bits[-1], digits=4)} bits per weight"
    kept = f"; {size(sheet.kept_bytes)} stay float" if sheet.kept_bytes else ""
    return (
        f"Within reach: {ends}, error {plain(costs[0])} to {plain(costs[-1])}, "
        f"over {count(len(sheet.layers), 'layers')} and {count(len(sheet.schemes), 'schemes')}{kept}"
    )


def _draw_export(plan: Plan, sheet: PlanSheet) -> None:
    """What the files hold, in one line, and the downloads "save-csv" and so on."""
    pictures = (
        ("The front", "Error against size.", lambda: front_chart(sheet, sheet.chosen).to_figure()),
        ("Bits of each layer", "In the order of the file.", lambda: layer_bits(sheet, sheet.chosen).to_figure()),
    )
    st.caption(
        f"{count(len(plan), 'layers')} with every column, the candidates, the front and what is kept: plan.json opens "
        "again here, in `qanalysis report`, `recipe` and `verify`."
    )
    draw_export(plan, PlanView, "save", Extras(pictures=pictures))


PAGE = Page("Plan", ":material/rule_settings:", "plan", PlanView, draw_plan)
