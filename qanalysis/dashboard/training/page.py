"""Page Training lab: why did a layer's range, scale or gradient move while its network was trained quantized?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import streamlit as st

from qanalysis.charts.linked.scene import build_still
from qanalysis.charts.training_charts import CHARTS, Measure, Ratio
from qanalysis.charts.training_lines import History
from qanalysis.charts.training_sheet import Look
from qanalysis.charts.training_tables import find_event_line, list_lines, tabulate_plan
from qanalysis.dashboard.elements import draw_fault
from qanalysis.dashboard.export import Extras, Picture, draw_export, draw_link
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.progress import cancel_job, draw_other_jobs
from qanalysis.dashboard.session import change, confine, draw_history, keep, open_tab
from qanalysis.dashboard.training.controls import draw_configurations, draw_preset, draw_toml, read_faults
from qanalysis.dashboard.training.frames import Shown, offer_run, place_run
from qanalysis.dashboard.training.honesty import draw_examples, draw_readings
from qanalysis.dashboard.training.runs import warm_training
from qanalysis.dashboard.training.view import LabView
from qanalysis.dashboard.trainings import (
    TrainingJob,
    TrainingRequest,
    get_trainings,
    read_experiment,
    read_rows,
    tell_run,
)
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count
from qanalysis.results.table import Table
from qanalysis.training.presets import PRESETS
from qanalysis.training.row import MODEL, HistoryRow

POLL_S = 0.7
"""Between two looks at a run: a browser draws all charts in a third of it."""
REFRESH = 20
"""Steps between two drawings of a run at work."""
_WAY_OUT = "Mend the configuration that the message names, or go **Back to the preset**."


def draw_lab(view: LabView) -> None:
    """The page: what is to be trained, the button that trains it, and the run in sight with all its charts."""
    warm_training()
    with st.sidebar:
        with st.container(border=True, key="readings"):
            st.markdown("**How rules are read**")
            draw_readings()
        draw_history(LabView, keeps="nothing")
    draw_preset(view)
    try:
        experiment = read_experiment(view.text, place="the experiment of this link")
        request = TrainingRequest(view.readings.apply(experiment).to_toml())
    except (ValueError, LookupError) as error:
        draw_fault(str(error.args[0]), "Choose a preset, or go **Back to the preset**.")
        return
    job = get_trainings().find(request.digest)
    draw_configurations(experiment)
    draw_toml(request.text)
    shown = _find_shown(job)
    st.session_state["has_strip"] = True
    polls = _is_at_work(job, shown)
    st.fragment(_draw_run, run_every=POLL_S if polls else None)(request, shown.request if shown else None, polls=polls)
    draw_examples()


def _find_shown(job: TrainingJob | None) -> TrainingJob | None:
    """The run in sight: that of the configurations as they are, else the last one that this session has seen."""
    if job is not None:
        st.session_state["lab-run"] = job.request.digest
        return job
    return get_trainings().find(st.session_state.get("lab-run", ""))


def _draw_run(request: TrainingRequest, seen: TrainingRequest | None, *, polls: bool) -> None:
    """The button, how far the run is, and its charts as far as it is; runs by itself while anything is at work.

    `request` is what Run trains, `seen` the run in sight, which may be another. Where a run has begun or ended since
    the page was drawn, the page is drawn anew.
    """
    with open_tab(LabView) as view:
        job = get_trainings().find(request.digest)
        shown = _find_shown(job)
        if _is_at_work(job, shown) != polls or (shown.request if shown else None) != seen:
            st.rerun()
        _draw_strip(request, job)
        draw_other_jobs({request.digest})
        if shown is None:
            _tell_ahead(request)
            draw_link(LabView)
            return
        if shown is not job:
            st.info("Below is the run before; **Run** trains the configurations above.", icon=":material/history:")
        _draw_outcome(view, shown)


def _is_at_work(*jobs: TrainingJob | None) -> bool:
    """Whether any of them waits or works."""
    return any(job is not None and job.snapshot.is_active for job in jobs)


def _draw_outcome(view: LabView, job: TrainingJob) -> None:
    """What came of a run so far: its fault, its charts, and once it has ended its files."""
    snapshot = job.snapshot
    if snapshot.state == "failed":
        draw_fault(snapshot.message, _WAY_OUT)
    rows = read_rows(snapshot)
    shown = _draw_charts(view, job, History.of(rows)) if rows is not None else None
    if snapshot.rows is not None and rows is not None:
        _draw_downloads(snapshot.rows, shown)


def _draw_strip(request: TrainingRequest, job: TrainingJob | None) -> None:
    """One bar or line, and the one button that makes sense: "run" before, "cancel" during, "again" after."""
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if job is not None and job.snapshot.is_active:
            st.progress(job.snapshot.share_done, text=escape_markdown(tell_run(job.snapshot)))
            st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
            return
        faults = len(read_faults())
        label, key = ("Run", "run") if job is None else ("Run again", "again")
        st.button(
            label,
            type="primary",
            key=key,
            width=130,
            icon=":material/play_arrow:",
            disabled=bool(faults),
            on_click=_run,
            args=(request,),
        )
        told = tell_run(job.snapshot) if job is not None else _tell_work(request)
        st.caption(escape_markdown(f"{faults} boxes above can not be read yet" if faults else told), width="stretch")


def _tell_work(request: TrainingRequest) -> str:
    """What Run would do, in one sentence."""
    experiment = request.experiment
    names = [f"{one.name} ({one.steps:,} steps, seed {one.seed})" for one in experiment.configurations]
    return f"Run trains {', '.join(names)} on {experiment.model}, {request.steps:,} steps in all"


def _tell_ahead(request: TrainingRequest) -> None:
    """What is to be trained and what will be seen, before anything was run.

    The table "lab-plan" is drawn as the charts will be, so that a browser has all that draws them when Run is pressed.
    """
    st.markdown(
        "Nothing is trained yet: a link never starts a run. The charts follow while **Run** works, and the step slider "
        "replays it afterwards."
    )
    panel = tabulate_plan(request.experiment)
    draw_linked(PARTS.put(build_still(panel.describe())), "lab-plan", at={}, on_ask=lambda _asked: None)


def _run(request: TrainingRequest) -> None:
    """Start the training, again where it has ended; for the button."""
    get_trainings().submit(request, again=True)
    st.session_state["lab-run"] = request.digest
    st.session_state["lab-row"] = ""
    change(LabView, step=None)


def _draw_charts(view: LabView, job: TrainingJob, history: History) -> Shown | None:
    """What is looked at, and the linked charts "lab-charts" of it; None before the first row of a layer."""
    if not history.layers:
        return None
    end = max(one.steps for one in job.request.experiment.configurations)
    look = _choose_look(view, history, end)
    rows = job.snapshot.rows
    paths: Sequence[Mapping[str, Any]] = rows.more.get("paths", ()) if rows is not None else ()
    measures = cast("Measure", view.measure), cast("Ratio", view.ratio)
    shown = Shown(job.request, history, look, *measures, paths, ended=rows is not None)
    at = place_run(shown, view.step, st.session_state.get("lab-row", ""))
    draw_linked(_pace(shown), "lab-charts", at=at, on_ask=partial(_take_asked, shown))
    return shown


def _pace(shown: Shown) -> str:
    """The address of the charts: while a run works that of charts already on their way, until the browser has them and
    `REFRESH` more steps are done.
    """
    last: tuple[str, int, object] = st.session_state.get("lab-offered", ("", 0, None))
    address, steps, subject = last
    trained = (line for line in shown.history.places if line[1:] == (MODEL, "training"))
    done = sum(int(shown.history.steps_of(line)[-1]) + 1 for line in trained)
    now = shown.request.digest, shown.look, shown.measure, shown.ratio
    is_behind = done - steps < REFRESH or PARTS.get(address) is None
    if shown.ended or subject != now or not is_behind:
        address = offer_run(shown)
        st.session_state["lab-offered"] = address, done, now
    return address


def _choose_look(view: LabView, history: History, end: int) -> Look:
    """The boxes of configuration, layer and kind side by side; what nobody has chosen is what the preset speaks of."""
    preset, names, layers = PRESETS[view.preset], history.configurations, history.layers
    focus = confine(LabView, "focus", names, chosen=names[0]).focus or names[0]
    usual = preset.layer if preset.layer in layers else layers[0]
    layer = confine(LabView, "layer", layers, chosen=usual).layer or usual
    kinds = history.kinds_of(layer)
    usual = next((kind for kind in (preset.kind, "weight") if kind in kinds), kinds[0])
    kind = confine(LabView, "kind", kinds, chosen=usual).kind or usual
    with st.container(horizontal=True, key="lab-look"):
        st.selectbox("Configuration in view", names, key=keep("focus"))
        st.selectbox("Layer", layers, key=keep("layer"))
        st.selectbox("Kind of data", kinds, key=keep("kind"))
    return Look(layer, kind, focus, end)


def _take_asked(shown: Shown, asked: Mapping[str, Any]) -> None:
    """Put in view what was chosen in the charts or tables; for their callback, whose words may be anything."""
    wanted: dict[str, Any] = {}
    step, row = asked.get("step"), asked.get("row")
    if type(step) is int and step in shown.steps:
        wanted["step"] = None if step == shown.steps[-1] else step
    if isinstance(row, str):
        line = list_lines(shown.history).get(row) or find_event_line(shown.history, row)
        if line is not None:
            wanted |= dict(zip(("focus", "layer", "kind"), line, strict=True))
        elif row in shown.history.configurations:
            wanted["focus"] = row
        st.session_state["lab-row"] = row
    if wanted:
        change(LabView, **wanted)


def _draw_downloads(rows: Table[HistoryRow], shown: Shown | None) -> None:
    """What the files hold, in one line, and the downloads with keys "save-csv" and so on; the report has the charts of
    what is looked at.
    """
    state = "" if rows.complete else " The run was cancelled: these are the rows so far."
    held = "rows of the history with every column, the totals and the experiment's text"
    st.caption(f"{count(len(rows))} {held}.{state}")
    draw_export(rows, LabView, "save", Extras(pictures=_list_pictures(shown) if shown else ()))


def _list_pictures(shown: Shown) -> list[Picture]:
    """The charts in sight for the report, drawn when it is asked for."""
    caption = f"{shown.look.kind} of {shown.look.layer}, {shown.look.focus}"
    names = [name for name, chart in CHARTS.items() if chart.has_figures(shown.history, shown.look)]
    return [(name.capitalize(), caption, partial(_draw_one, shown, name)) for name in names]


def _draw_one(shown: Shown, name: str) -> Any:
    """One chart of a run as a figure."""
    return shown.draw()[name].to_figure()


PAGE = Page("Training lab", ":material/model_training:", "lab", LabView, draw_lab)
