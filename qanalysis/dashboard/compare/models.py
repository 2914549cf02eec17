"""Two models beside each other: their structure at once, then the error of each tensor, and one pair from inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.comparison_charts import draw_ranks
from qanalysis.charts.comparison_tables import name_pairs, rank_pairs, tabulate_kept, tabulate_pairs
from qanalysis.charts.drawing import Drawing
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.charts.wording import count_of
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.kept import sum_kept, total_kept
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.comparisons.stored import read_stored
from qanalysis.dashboard.compare.gate import Gate, draw_gate, find_gate, gated
from qanalysis.dashboard.compare.inside import draw_inside, draw_log_toggle
from qanalysis.dashboard.compare.running import draw_strip, follow
from qanalysis.dashboard.compare.view import SHOWN, CompareView
from qanalysis.dashboard.comparisons import CompareRequest, make_request, read_structure
from qanalysis.dashboard.elements import draw_choice_table, draw_fault
from qanalysis.dashboard.export import Extras, Picture, draw_export
from qanalysis.dashboard.finding import find_tensors
from qanalysis.dashboard.leads import lead_to_layers
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.session import change, confine, keep
from qanalysis.dashboard.sources import QUANTIZED_PREFIX
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import shorten, size
from qanalysis.reports.comparison_sections import tell_answer
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table

TABLE_HEIGHT = 420
KEPT_HEIGHT = 330
_HEADINGS = {
    "c-values": "Values of the layer in view",
    "c-difference": "Its difference",
    "c-places": "Where it differs",
}
ORDER = ("c-ranks", "c-places", "c-values", "c-difference")


@dataclass(frozen=True)
class Rows:
    """The rows of a comparison with their names, in the order of their ranks, and what the gate says of each."""

    table: Table[ComparisonRow]
    rows: list[ComparisonRow]
    names: list[str]
    missed: list[str]
    gate: Gate

    @classmethod
    def rank(cls, table: Table[ComparisonRow], gate: Gate) -> Rows:
        rows = list(table)
        order, names = rank_pairs(rows), name_pairs(rows)
        missed = gate.missed or ("",) * len(rows)
        return cls(table, [rows[at] for at in order], [names[at] for at in order], [missed[at] for at in order], gate)

    def count(self, word: str) -> int:
        """How many rows a word of SHOWN leaves."""
        return sum(self._takes(at, word) for at in range(len(self.rows)))

    def pick(self, word: str, find: str) -> list[int]:
        """The places that a word of SHOWN and a search in both names leave."""
        places = [at for at in range(len(self.rows)) if self._takes(at, word)]
        texts = {at: f"{self.rows[at].tensor_a} {self.rows[at].tensor_b}" for at in places}
        found = set(find_tensors(list(texts.values()), find))
        return [at for at in places if texts[at] in found]

    def _takes(self, at: int, word: str) -> bool:
        row = self.rows[at]
        match word:
            case "all":
                return True
            case "fails":
                return bool(self.missed[at])
            case "renamed":
                return bool(row.tensor_a and row.tensor_b) and row.tensor_a != row.tensor_b and row.status != "tied"
        return row.status == word


def draw_models(view: CompareView, ended: Any) -> None:
    """The strip, the answer, the charts, the table of tensors, who kept what, and what leaves the page.

    Until the values are compared the rows of the structure stand there. Raises where the sides can not be opened or no
    tensor of A is one of B.
    """
    request = make_request(view.a, view.b, view.map)
    structure = read_structure(request)
    job = follow(request, structure, named=view.job)
    if job is not None:
        change(CompareView, job=request.digest)
    working = job is not None and job.snapshot.is_active
    with ended if job is not None and not working else st.container():
        draw_strip(request, structure, working=working)
    if job is not None and job.snapshot.state == "failed":
        draw_fault(job.snapshot.message, "Choose another **A** or **B**; the rows below are of the headers alone.")
    measured = job.snapshot.rows if job is not None else None
    table = structure if measured is None else measured
    shown = Rows.rank(table, find_gate(table, view.gate) if measured is not None else Gate())
    _draw_answer(shown, waits=bool(view.gate.strip()) and measured is None)
    layer = _choose_layer(shown)
    inside = _draw_charts(request, shown, layer, log=view.log, looks=measured is not None or view.layer is not None)
    _draw_table(shown, view, layer)
    _draw_leads(request, shown, layer)
    _draw_kept(shown)
    _draw_export(shown, inside)


def _draw_answer(shown: Rows, *, waits: bool) -> None:
    """The answer in one sentence, sizes and the pooled SQNR as figures, notes, and the gate."""
    st.markdown(f"#### {escape_markdown(tell_answer(shown.table, shown.rows))}")
    a, b = total_kept(shown.rows)
    told = [f"A {_name(shown.table, 'a')}, {size(a.size_bytes)}{_tell_bits(a.bits)}"]
    told.append(f"B {_name(shown.table, 'b')}, {size(b.size_bytes)}{_tell_bits(b.bits)}")
    told += [f"B is {b.size_bytes / a.size_bytes:.1%} of A" if a.size_bytes else ""]
    told.append("e = b − a")
    st.caption(escape_markdown(" · ".join(filter(None, told))))
    notes = list_notes(shown.table.coverage)
    if notes:
        st.caption(escape_markdown(" · ".join(notes)))
    draw_gate(shown.gate)
    if waits:
        st.caption("The gate is held against the rows when their values are compared.")


def _name(table: Table[ComparisonRow], side: str) -> str:
    return shorten(str(table.settings.get(side, "")), 60)


def _tell_bits(bits: float | None) -> str:
    return "" if bits is None else f" ({bits:.4g} bits per value)"


def _choose_layer(shown: Rows) -> str:
    """The row in view: the one chosen, else the one that differs most."""
    view = confine(CompareView, "layer", shown.names, chosen=shown.names[0])
    return view.layer or shown.names[0]


def _draw_charts(request: CompareRequest, shown: Rows, layer: str, *, log: bool, looks: bool) -> list[Panel]:
    """The linked charts "charts": tensors by their error, and, where it `looks` into it, the layer in view from inside;
    a click chooses. The charts of the layer.
    """
    labels = shown.names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Layer in view", labels, key=keep("layer"), width="stretch",
            help="A click on a bar or a row of the table chooses too. The tensor that differs most opens.",
        )  # fmt: skip
        draw_log_toggle()
    row = shown.rows[shown.names.index(layer)]
    panels = [Panel("c-ranks", figure)] if (figure := _draw_ranks(shown, layer)) else []
    # Which tensor differs most is not known before the values are compared.
    inside = draw_inside(request, row, log=log) if looks else []
    panels += inside
    if not panels:
        return []
    part = build_part([panels], layout="converter", order=ORDER, wide=["c-ranks"] if len(panels) % 2 else [])
    at = {"layer": layer}
    draw_linked(PARTS.put(part), "charts", at=at, on_ask=partial(take_choice, frozenset(shown.names), at))
    return inside


def _draw_ranks(shown: Rows, layer: str) -> Drawing | None:
    failing = {name for name, missed in zip(shown.names, shown.missed, strict=True) if missed}
    return draw_ranks(shown.rows, shown.names, chosen=layer, failing=failing)


def take_choice(names: frozenset[str], at: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything."""
    layer = asked.get("layer")
    if isinstance(layer, str) and layer in names and layer != at["layer"]:
        change(CompareView, layer=layer)


def _draw_table(shown: Rows, view: CompareView, layer: str) -> None:
    """Which rows are in sight, and table "rows" of them."""
    counts = {word: shown.count(word) for word in SHOWN}
    words = [word for word in SHOWN if counts[word] or word in ("all", view.show)]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.segmented_control(
        "Tensors in sight", words, key=keep("show"), required=True,
        format_func=lambda word: f"{SHOWN[word]} {counts[word]:,}",
    )  # fmt: skip
    right.text_input("Find tensors", key=keep("find"), placeholder="text or regex")
    try:
        places = shown.pick(view.show, view.find)
    except ValueError as error:
        draw_fault(str(error), "Change the box *Find tensors*: a part of a name is enough.")
        return
    panel = tabulate_pairs(
        [shown.rows[at] for at in places],
        [shown.names[at] for at in places],
        missed=[shown.missed[at] for at in places],
        height=TABLE_HEIGHT,
    )
    draw_choice_table(panel, "rows", chosen=layer, on_choose=_choose)


def _choose(name: str) -> None:
    """Put a row in view; for the table's callback."""
    change(CompareView, layer=name)


def list_pictures(panels: Sequence[Panel]) -> list[Picture]:
    """The charts of the layer in view as a report takes them, which draws the others itself."""
    return [(_HEADINGS[panel.name], "", partial(_give, panel)) for panel in panels]


def _give(panel: Panel) -> Any:
    return panel.figure


def _draw_leads(request: CompareRequest, shown: Rows, layer: str) -> None:
    """The ways to the layer on page Layers, in A and in B."""
    row = shown.rows[shown.names.index(layer)]
    stored = read_stored(TensorInfo(row.tensor_b, (), row.dtype_b, 0, stored=row.stored_b))
    scheme = str(stored.scheme) if stored.scheme else ""
    leads = []
    for side, text, tensor in (("A", request.a, row.tensor_a), ("B", request.b, row.tensor_b)):
        source = (request.a if side == "B" else request.b) if text.startswith(QUANTIZED_PREFIX) else text
        lead = lead_to_layers(source, tensor, scheme if side == "A" or source != text else "") if tensor else ""
        leads += [(side, lead)] if lead else []
    with st.container(horizontal=True):
        for side, lead in leads:
            st.link_button(f"The layer in {side} on page Layers", lead, icon=":material/layers:")


def _draw_kept(shown: Rows) -> None:
    kinds = sum_kept(shown.rows)
    st.markdown(f"**Who kept what**: bytes and bits of {count_of(len(kinds), 'kind')} of tensors")
    draw_choice_table(tabulate_kept(kinds, height=KEPT_HEIGHT), "kept", chosen="", on_choose=lambda _row: None)


def _draw_export(shown: Rows, panels: Sequence[Panel]) -> None:
    state = "" if shown.table.complete else " The comparison was cancelled: rows without figures were not reached."
    st.caption(f"{len(shown.table):,} rows with every column, and the settings.{state}")
    draw_export(gated(shown.table, shown.gate), CompareView, "save", Extras(pictures=list_pictures(panels)))
