"""Page Sensitivity: which layer's quantization hurts the model's output, how sure is that, and when is it noise?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.linked.recipes import write_sensitivity
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.charts.sensitivity_panels import ORDER, draw_all, name_other, tabulate_ranks
from qanalysis.charts.sensitivity_sheet import Look, Sheet
from qanalysis.checkpoints.source import SAMPLE_PREFIX, CheckpointError
from qanalysis.dashboard.cache import identify, read_contents
from qanalysis.dashboard.elements import draw_choice_table, draw_fault
from qanalysis.dashboard.export import Extras, draw_export, draw_link
from qanalysis.dashboard.jobs import Job
from qanalysis.dashboard.leads import lead_to_layers
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.progress import SETTLE_S, cancel_job, draw_other_jobs
from qanalysis.dashboard.runnable_models import OWN_DATA, identify_data, identify_model, is_result
from qanalysis.dashboard.sensitivities import (
    SensitivityRequest,
    SensitivityStep,
    get_sensitivities,
    open_result,
    tell_measurement,
)
from qanalysis.dashboard.sensitivity.controls import draw_controls, draw_look
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.session import change, current_view
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import count, shorten
from qanalysis.reports.sensitivity_sections import list_warnings, tell_answer, tell_conditions
from qanalysis.results.table import Table
from qanalysis.sweeps.selection import Filter, select_tensors

POLL_S = 0.5
TABLE_HEIGHT = 380
MOST_UNASKED = 16
"""Measurements of a sample that are made without a click; about two seconds on two cores."""
_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
_WAY_OUT = "Choose another **Model** or other **Calibration data** in the sidebar, or take a step back with **Undo**."
Measurement = Job[SensitivityRequest, SensitivityStep, Table[SensitivityRow]]


def draw_sensitivity(view: SensitivityView) -> None:
    """The page: what is measured in the sidebar, the button that measures it, and the result in sight.

    A model or data that can not be opened become a fault in place of the result. Rows that were measured before are
    shown as they are.
    """
    with st.sidebar:
        place = draw_controls(view)
    try:
        if is_result(view.model):
            _draw_result(open_result(view.model), place)
            return
        request = make_request(view)
    except _FAULTS as error:
        draw_fault(str(error), _WAY_OUT)
        draw_link(SensitivityView)
        return
    job = _follow(request)
    st.session_state["has_strip"] = True
    working = job is not None and job.snapshot.is_active
    st.fragment(_draw_strip, run_every=POLL_S if working else None)(request, working=working)
    shown = _find_shown(job)
    if job is not None and job.snapshot.state == "failed":
        draw_fault(job.snapshot.message, _WAY_OUT)
    if shown is None or shown.snapshot.rows is None:
        if job is None or not job.snapshot.is_active:
            _tell_ahead(request, job)
        draw_link(SensitivityView)
        return
    if shown is not job:
        st.info(
            "Below is the measurement before; **Run** measures the choices of the sidebar.", icon=":material/history:"
        )
    _draw_result(shown.snapshot.rows, place)


def make_request(view: SensitivityView) -> SensitivityRequest:
    """What the button measures; ValueError or CheckpointError for a model or data that a page does not open."""
    identity = f"{identify_model(view.model, view.weights)} {identify_data(view.data, view.model)}"
    return SensitivityRequest(
        model=view.model,
        data=view.data,
        identity=identity,
        schemes=view.schemes,
        targets=view.targets,
        modes=view.modes,
        weights=view.weights,
        include=view.include,
        samples=view.samples,
        length=view.length,
    )


def _follow(request: SensitivityRequest) -> Measurement | None:
    """The job of a request: found, or started where it is a small one of a sample; else None.

    Waits a moment for one that it starts.
    """
    jobs = get_sensitivities()
    job = jobs.find(request.digest)
    if job is None and _is_small(request):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    return job


def _is_small(request: SensitivityRequest) -> bool:
    """Whether a sample, its own data and weights, are measured a few times at most."""
    if not request.model.startswith(SAMPLE_PREFIX) or request.data != OWN_DATA or request.weights:
        return False
    contents = read_contents(identify(request.model))
    tensors = select_tensors(contents.tensors, Filter(include=request.include or None)).tensors
    cells = len(tensors) * len(request.schemes) * len(request.targets) * len(request.modes)
    return cells <= MOST_UNASKED


def _find_shown(job: Measurement | None) -> Measurement | None:
    """The measurement in sight: that of the choices as they are where it has rows, else the last one that this session
    has seen of the same model.
    """
    if job is not None and job.snapshot.rows:
        st.session_state["sensitivity-last"] = job.request.digest
        return job
    last = get_sensitivities().find(st.session_state.get("sensitivity-last", ""))
    same = last is not None and job is not None and last.request.model == job.request.model
    return last if same else None


def _draw_strip(request: SensitivityRequest, *, working: bool) -> None:
    """One bar or line, and the one button that makes sense; the page is drawn anew where a run has begun or ended."""
    job = get_sensitivities().find(request.digest)
    snapshot = job.snapshot if job else None
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot is not None and snapshot.is_active:
            st.progress(snapshot.share_done, text=escape_markdown(tell_measurement(snapshot)))
            st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
        else:
            _draw_run_button(request, is_first=snapshot is None)
            told = tell_measurement(snapshot) if snapshot else _tell_work(request)
            st.caption(escape_markdown(told), width="stretch")
    draw_other_jobs({request.digest})
    if (snapshot is not None and snapshot.is_active) != working:
        st.rerun()


def _draw_run_button(request: SensitivityRequest, *, is_first: bool) -> None:
    """Button "run" before the first run of a request, "again" after it."""
    label, key = ("Run", "run") if is_first else ("Run again", "again")
    st.button(
        label,
        type="primary" if is_first else "secondary",
        key=key,
        width=130,
        icon=":material/play_arrow:",
        on_click=_run,
        args=(request,),
    )


def _run(request: SensitivityRequest) -> None:
    """Start the measurement, again where it has ended; for the button."""
    get_sensitivities().submit(request, again=True)


def _tell_work(request: SensitivityRequest) -> str:
    """What Run would do, in one sentence."""
    words = [f"{len(request.schemes)} schemes", ", ".join(request.targets), ", ".join(request.modes)]
    return f"Run measures {name_source(request.model)} on {name_source(request.data)}: {'; '.join(words)}"


def _tell_ahead(request: SensitivityRequest, job: Measurement | None) -> None:
    """What will be seen, and the command that measures the same, before there are rows."""
    if job is not None and job.snapshot.state == "cancelled":
        st.info("Cancelled before the first layer was done: there are no rows. **Run again** starts anew.")
    elif job is None:
        st.markdown(
            "Nothing is measured yet: a link never starts a long run. **Run** quantizes each layer by itself, runs the "
            "model on the data, and holds its outputs against the float model's."
        )
    st.caption("The same on the command line:")
    st.code(write_command(request), language="shell", wrap_lines=True)


def write_command(request: SensitivityRequest) -> str:
    """The command that makes the same rows, as a shell takes it."""
    words = ["qanalysis", "sensitivity", name_source(request.model), "--calib", name_source(request.data)]
    words += [word for scheme in request.schemes for word in ("--scheme", scheme)]
    options = {
        "--target": "" if request.targets == ("weights",) else ",".join(request.targets),
        "--mode": "" if request.modes == ("enable-one",) else ",".join(request.modes),
        "--weights": request.weights,
        "--include": request.include,
        "--samples": request.samples,
        "--length": request.length,
    }
    words += [word for option, value in options.items() if value for word in (option, str(value))]
    return shlex.join([*words, "--out", "rows.json"])


def _draw_result(table: Table[SensitivityRow], place: Any) -> None:
    """Headline, charts, table, the way to page Layers, and downloads."""
    sheet = Sheet(table)
    if not sheet.looks:
        draw_fault("This result holds no rows: its measurement stopped before the first layer.", _WAY_OUT)
        return
    with place.container(border=True, key="look"):
        look = draw_look(sheet)
    st.markdown(f"#### {escape_markdown(tell_answer(sheet, look))}")
    st.caption(escape_markdown(" · ".join(tell_conditions(sheet, look))))
    for warning in list_warnings(sheet):
        st.warning(escape_markdown(warning), icon=":material/warning:")
    _draw_charts(sheet, look)
    _draw_ranks(sheet, look)
    _draw_leads(table, look)
    _draw_export(table)


def _draw_charts(sheet: Sheet, look: Look) -> None:
    """The linked charts "charts"; a click puts a layer and a scheme in view."""
    other = current_view(SensitivityView).against or name_other(sheet, look)
    drawn = draw_all(sheet, look, other)
    wide = [name for name in ("s-map", "s-curve") if name in drawn and len(drawn) % 2]
    source = sheet.table.source.path if sheet.table.source else "model"
    python = write_sensitivity(source, sheet.table.settings)
    part = build_part(
        [[Panel(name, figure, python) for name, figure in drawn.items()]],
        layout="converter",
        order=ORDER,
        wide=wide[:1],
    )
    at = {"layer": look.layer or "", "scheme": look.scheme}
    names, schemes = frozenset(sheet.tensors), frozenset(one.scheme for one in sheet.looks)
    draw_linked(PARTS.put(part), "charts", at=at, on_ask=partial(take_choice, at, names, schemes))


def take_choice(
    at: Mapping[str, str], names: frozenset[str], schemes: frozenset[str], asked: Mapping[str, Any]
) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything."""
    wanted: dict[str, Any] = {}
    layer, scheme = asked.get("layer"), asked.get("scheme")
    if isinstance(layer, str) and layer in names and layer != at["layer"]:
        wanted["layer"] = layer
    if isinstance(scheme, str) and scheme in schemes and scheme != at["scheme"]:
        wanted["scheme"] = scheme
    if wanted:
        change(SensitivityView, **wanted)


def _draw_ranks(sheet: Sheet, look: Look) -> None:
    """Table "ranks" of the measurement in view; a choice puts a layer in view."""
    st.markdown(f"**Layers**, {escape_markdown(look.convention)}")
    panel = tabulate_ranks(sheet, look, height=TABLE_HEIGHT)
    draw_choice_table(panel, "ranks", chosen=look.layer or "", on_choose=_choose_layer)


def _choose_layer(layer: str) -> None:
    change(SensitivityView, layer=layer)


def _draw_leads(table: Table[SensitivityRow], look: Look) -> None:
    """The way to the same layer and scheme on page Layers, where the model has a file to open there."""
    source = table.source.path if table.source else ""
    link = lead_to_layers(source, look.layer or "", look.scheme)
    if link and look.layer:
        told = (
            f"Weight error of {escape_markdown(shorten(look.layer))} at {escape_markdown(look.scheme)} on page Layers"
        )
        st.link_button(told, link, icon=":material/layers:")


def _draw_export(table: Table[SensitivityRow]) -> None:
    """What the files hold, in one line, and the downloads "save-csv" and so on."""
    state = "" if table.complete else " The measurement was cancelled: these are the rows so far."
    st.caption(f"{count(len(table), 'rows')} with every column, intervals and settings.{state}")
    draw_export(table, SensitivityView, "save", Extras())


PAGE = Page("Sensitivity", ":material/stacked_bar_chart:", "sensitivity", SensitivityView, draw_sensitivity)
