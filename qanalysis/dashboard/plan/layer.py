"""The layer in view: the scheme that the plan gives it, another one by hand, and the ways to the other pages."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from qanalysis.charts.wording import count_of, label_layers
from qanalysis.dashboard.leads import lead_to_layers, lead_to_sensitivity
from qanalysis.dashboard.plan.certainty import tell_layer
from qanalysis.dashboard.plan.view import PlanView
from qanalysis.dashboard.plans import split_pin
from qanalysis.dashboard.session import change, confine, current_view, keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import plain
from qanalysis.plans.plan import Plan


def read_locks(view: PlanView) -> dict[str, str]:
    """The schemes that layers keep by hand, by tensor."""
    return dict(map(split_pin, view.lock))


def confine_locks(candidates: Sequence[str]) -> PlanView:
    """The view without locks that are none of the candidates, TENSOR=SCHEME; a notice where a link asked for them."""
    return confine(PlanView, "lock", candidates)


def choose_layer(plan: Plan) -> str:
    """The layer in view: the one chosen, else the one that costs most."""
    dearest = max(plan.rows, key=lambda row: row.cost).tensor
    view = confine(PlanView, "layer", [row.tensor for row in plan.rows], chosen=dearest)
    return view.layer or dearest


def draw_layer(plan: Plan, source: str) -> None:
    """Boxes "layer" and "scheme-LAYER", the switch "lock-LAYER", the button "unlock", and two links."""
    names = [row.tensor for row in plan.rows]
    rows = {row.tensor: row for row in plan.rows}
    tensor = choose_layer(plan)
    row, locks, labels = rows[tensor], read_locks(current_view(PlanView)), label_layers(names, 44)
    with st.container(border=True, key="layer-box"):
        left, middle, right = st.columns([5, 4, 2], vertical_alignment="bottom")
        left.selectbox(
            "Layer in view", names, key=keep("layer"), format_func=labels.__getitem__,
            help="A click on a bar or a row of the table chooses the layer too. The one that costs most opens.",
        )  # fmt: skip
        own = plan.candidates[tensor]
        told = {
            scheme: f"{scheme} · {bits:.2f} bit · error {plain(cost)}"
            for scheme, bits, cost in zip(own["scheme"], own["bits_per_weight"], own["cost"], strict=True)
        }
        # The plan in view decides what the box shows, so its key changes with it.
        key = f"scheme {tensor} {row.scheme}"
        middle.selectbox(
            "Scheme", list(told), list(told).index(row.scheme), key=key, format_func=told.__getitem__,
            on_change=_override, args=(tensor, key), help="Another scheme is kept, and the rest is planned anew.",
        )  # fmt: skip
        right.toggle(
            "Lock", tensor in locks, key=f"lock {tensor} {row.scheme} {tensor in locks}", on_change=_toggle,
            args=(tensor, row.scheme), help="Keep this scheme whatever the budget is.",
        )  # fmt: skip
        sure = tell_layer(plan, row)
        if sure:
            st.caption(escape_markdown(sure))
        with st.container(horizontal=True, vertical_alignment="center"):
            if locks:
                text = f"Unlock {count_of(len(locks), 'layer')}"
                st.button(
                    text,
                    key="unlock",
                    icon=":material/lock_open:",
                    on_click=change,
                    args=(PlanView,),
                    kwargs={"lock": ()},
                )
            _draw_leads(source, tensor, row.scheme)


def _draw_leads(source: str, tensor: str, scheme: str) -> None:
    for lead, text, icon in (
        (lead_to_layers(source, tensor, scheme), "Its error on page Layers", ":material/layers:"),
        (lead_to_sensitivity(source, tensor, scheme), "What it does to the output", ":material/stacked_bar_chart:"),
    ):
        if lead:
            st.link_button(text, lead, icon=icon)


def lock_layer(tensor: str, scheme: str | None) -> None:
    """Keep a scheme of a layer, or let go of it for None; for callbacks."""
    locks = {name: own for name, own in read_locks(current_view(PlanView)).items() if name != tensor}
    locks |= {tensor: scheme} if scheme else {}
    change(PlanView, lock=tuple(f"{name}={own}" for name, own in locks.items()), layer=tensor)


def _override(tensor: str, key: str) -> None:
    lock_layer(tensor, st.session_state[key])


def _toggle(tensor: str, scheme: str) -> None:
    locked = tensor in read_locks(current_view(PlanView))
    lock_layer(tensor, None if locked else scheme)
