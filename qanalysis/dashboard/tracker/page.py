"""Page Precision tracker: what would each rule have done over the statistics of a training that took place?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.tracked import SeriesName, Tracked
from qanalysis.charts.tracker_charts import energy_chart, precision_chart, range_chart, tell_source
from qanalysis.charts.tracker_maps import MEASURES, check_raster, series_map
from qanalysis.charts.tracker_tables import Event, find_best, list_events, tabulate_events, tabulate_rules
from qanalysis.charts.wording import count_of
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.cache import list_records
from qanalysis.dashboard.elements import draw_choice_table, draw_fault
from qanalysis.dashboard.export import Extras, Picture, draw_export
from qanalysis.dashboard.linked import draw_linked
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.session import change, confine, draw_history, keep
from qanalysis.dashboard.tracker.cache import (
    LOG_SUFFIXES,
    Recorded,
    find_fault,
    find_log,
    get_logs,
    join_tables,
    read_log,
    track,
)
from qanalysis.dashboard.tracker.frames import Scene, offer_scene, write_command, write_python
from qanalysis.dashboard.tracker.notes import draw_notes
from qanalysis.dashboard.tracker.replaying import replay_all
from qanalysis.dashboard.tracker.rules import draw_rules
from qanalysis.dashboard.tracker.view import CELL_WORDS, EVENT_WORDS, TrackerView
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import decibels
from qanalysis.training.statistics.log import StatisticsLog
from sample_models import STATISTICS

EVENTS_HEIGHT = 300
_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
_WAY_OUT = "Choose another **Log** in the sidebar, change the box **Layers**, or take a step back with **Undo**."
_HELP = (
    "The sample, or a path below the root folder: a table (CSV, TSV, Parquet) with step, layer, kind, absmax and best "
    "absmin, mean, std of |x|; a log of nvdlfw-inspect; an event file of TensorBoard; a folder of either."
)
LOGS = FileKind(
    field="log",
    label="Log",
    noun="log",
    help=_HELP,
    samples=STATISTICS,
    suffixes=LOG_SUFFIXES,
    get_store=get_logs,
    list_paths=partial(list_records, suffixes=LOG_SUFFIXES),
)


def draw_tracker(view: TrackerView) -> None:
    """The page: the log and what is looked at in the sidebar; rules, what each would have done, the charts of one
    series, what changed, and the downloads.

    A log that can not be read becomes a fault in place of the result. A rule that this log can not replay is told at
    its box, and takes no part.
    """
    with st.sidebar:
        draw_picker(LOGS)
        st.text_input("Layers", key=keep("find"), placeholder="all; text or regex", icon=":material/search:")
        look = st.empty()
        draw_history(TrackerView, keeps="the log")
    try:
        recorded = find_log(view.log, view.find)
        log = read_log(recorded)
    except _FAULTS as error:
        draw_fault(str(error), _WAY_OUT)
        return
    ask_fault = partial(find_fault, recorded, view.epoch)
    faults = {rule: fault for rule in view.rules if (fault := ask_fault(rule))}
    rules = tuple(rule for rule in view.rules if rule not in faults)
    headline = st.container()
    draw_rules(view, faults, ask_fault)
    if not rules:
        draw_fault("No rule can be replayed over this log.", "Add one that goes by **absmax**, such as up-step.")
        return
    try:
        if not replay_all(recorded, rules, view.epoch):
            return
        tracked = track(recorded, rules, view.epoch)
    except ValueError as error:
        draw_fault(str(error), _WAY_OUT)
        return
    with look.container(border=True, key="look"):
        name, rule = _draw_look(view, tracked)
    with headline:
        _draw_headline(recorded, log, tracked)
    _draw_rule_table(tracked, rule)
    scene = Scene(recorded, rules, view.epoch, name, view.cells, rule, view.step)
    _draw_charts(scene)
    _draw_events(view, tracked, name)
    draw_notes(view.rules)
    _draw_export(scene)


def _draw_look(view: TrackerView, tracked: Tracked) -> tuple[SeriesName, int]:
    """The boxes that choose a series and what the map shows; the series and the place of the rule in view.

    What the log does not have is left out of the view, with a notice where a link asked for it.
    """
    st.markdown("**Look at**")
    busiest = tracked.find_busiest()
    view = confine(TrackerView, "layer", tracked.layers, chosen=busiest.layer)
    layer = view.layer or busiest.layer
    st.selectbox("Layer", tracked.layers, key=keep("layer"), help="A click on the map chooses layer and kind too.")
    kinds = list(dict.fromkeys(one.kind for one in tracked.series if one.layer == layer))
    opening = busiest.kind if busiest.kind in kinds else kinds[0]
    view = confine(TrackerView, "kind", kinds, chosen=opening)
    kind = view.kind or opening
    st.selectbox("Kind of data", kinds, key=keep("kind"))
    groups = tracked.list_groups(layer, kind)
    view = confine(TrackerView, "group", groups, chosen=groups[0])
    if len(groups) > 1:
        st.selectbox("Group", groups, key=keep("group"))
    name = SeriesName(layer, kind, view.group or groups[0])
    st.selectbox("Map shows", list(CELL_WORDS), key=keep("cells"), format_func=CELL_WORDS.__getitem__)
    st.number_input(
        "Steps in an epoch", 1, key=keep("epoch"), value=None, placeholder="the whole log",
        help="For rules that check once per epoch, or rarely (average).",
    )  # fmt: skip
    confine(TrackerView, "step", tracked.lines(name)[0].step.tolist())
    view = confine(TrackerView, "rule", tracked.rules)
    return name, tracked.rules.index(view.rule) if view.rule else 0


def _draw_headline(recorded: Recorded, log: StatisticsLog, tracked: Tracked) -> None:
    """The best rule in one line, and below it what the log holds and what was found on reading it."""
    best = find_best(tracked.totals)
    told = "no error energy is known: the log has no mean and std of |x|"
    if best is not None:
        one = tracked.totals[best]
        changes = count_of(one.adjustments, "change")
        told = f"{one.configuration} loses least: SQNR {decibels(one.sqnr_db)} (estimated), {changes}"
    st.markdown(f"#### {escape_markdown(recorded.name)}: {escape_markdown(told)}")
    steps = f"{int(log.step.min()):,} to {int(log.step.max()):,}"
    parts = [count_of(len(tracked.layers), "layer"), f"{len(tracked.series):,} series", f"steps {steps}"]
    series = ", ".join([*parts, count_of(len(log), "row")])
    notes = " ".join([f"Statistics of {series}.", *log.notes])
    st.caption(escape_markdown(notes))


def _draw_rule_table(tracked: Tracked, rule: int) -> None:
    """Table "rules" of all rules over all series; a choice puts one in view, whose map is shown."""
    st.markdown("**What each would have done**, all series; energies over the signal's")
    chosen = tracked.rules[rule]
    draw_choice_table(tabulate_rules(tracked.totals), "rules-table", chosen=chosen, on_choose=partial(_put, "rule"))
    st.caption(_tell_energies(tracked))


def _tell_energies(tracked: Tracked) -> str:
    """How the energies were found, in the words of the rows."""
    words = {str(word) for table in tracked.tables for word in table.column("energy_by").tolist()}
    told = f"Clipped shares and energies are {tell_source(words)}; the column energy_by says it row by row."
    return escape_markdown(f"{told} absmax, ranges, checks and changes are exact. A click puts a rule's map in view.")


def _draw_charts(scene: Scene) -> None:
    """The linked charts "charts" with the slider of the steps; what a person chooses there comes back at rest."""
    steps = scene.list_steps()
    step = scene.step if scene.step in steps else steps[-1]
    at = {"step": step, "layer": scene.name.layer, "scheme": scene.name.kind}
    names = frozenset((one.layer, one.kind) for one in scene.tracked.series)
    draw_linked(offer_scene(scene), "charts", at=at, on_ask=partial(take_choice, at, names, frozenset(steps)))


def take_choice(
    at: Mapping[str, Any], names: frozenset[tuple[str, str]], steps: frozenset[int], asked: Mapping[str, Any]
) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything.

    A cell of the map asks for its layer and, as `scheme`, its kind.
    """
    wanted: dict[str, Any] = {}
    layer, kind, step = asked.get("layer"), asked.get("scheme"), asked.get("step")
    cell = (layer, kind) if isinstance(layer, str) and isinstance(kind, str) else None
    if cell in names and cell != (at["layer"], at["scheme"]):
        wanted |= {"layer": layer, "kind": kind, "group": None}
    if type(step) is int and step in steps and step != at["step"]:
        wanted["step"] = step
    if wanted:
        change(TrackerView, **wanted)


def _draw_events(view: TrackerView, tracked: Tracked, name: SeriesName) -> None:
    """Table "events-table" of the changes; a choice jumps to its step, and to its series."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**What changed and why**; a row jumps to its step")
        st.segmented_control(
            "Changes of", list(EVENT_WORDS), key=keep("events"), format_func=EVENT_WORDS.__getitem__, required=True,
            label_visibility="collapsed",
        )  # fmt: skip
    everywhere = view.events == "all"
    events = list_events(tracked, tracked.series if everywhere else [name])
    if not events:
        st.info(
            "No rule tells of a change here. Rules such as ema move at every step without one.", icon=":material/info:"
        )
        return
    panel = tabulate_events(events, layers=everywhere, height=EVENTS_HEIGHT)
    chosen = next((str(place) for place, one in enumerate(events) if (one.step, one.name) == (view.step, name)), "")
    draw_choice_table(panel, "events-table", chosen=chosen, on_choose=partial(_jump, events))


def _jump(events: Sequence[Event], row: str) -> None:
    """Put the step and the series of an event in view; for the table's callback."""
    event = events[int(row)]
    change(TrackerView, step=event.step, layer=event.name.layer, kind=event.name.kind, group=event.name.group or None)


def _put(field: str, value: str) -> None:
    change(TrackerView, **{field: value})


def _draw_export(scene: Scene) -> None:
    """The downloads "save-csv" and so on of all rows, and what makes the same without the page."""
    rows = join_tables(scene.recorded, scene.rules, scene.epoch)
    st.caption(f"{count_of(len(rows), 'row')}: every rule, series and step, with the totals and the settings.")
    draw_export(rows, TrackerView, "save", Extras(pictures=list_pictures(scene)))
    with st.expander("The same without this page", icon=":material/terminal:"):
        st.code(write_command(scene.recorded, scene.rules, scene.epoch), language="shell", wrap_lines=True)
        st.code(write_python(scene.recorded, scene.rules, scene.epoch), language="python", wrap_lines=True)


def list_pictures(scene: Scene) -> list[Picture]:
    """The charts of the series in view, for the report."""
    tracked, name = scene.tracked, scene.name
    lines = tracked.lines(name)
    under = f"Series {name}."
    return [
        ("Range over absmax", under, lambda: range_chart(lines, name).to_figure()),
        ("Precision", under, lambda: precision_chart(lines, name).to_figure()),
        ("Error energy", under, lambda: energy_chart(lines, name).to_figure()),
        ("Checks and changes", "", lambda: check_raster(tracked, name).to_figure()),
        (MEASURES[scene.cells].label, "", lambda: series_map(tracked, scene.rule, scene.cells, name).to_figure()),
    ]


PAGE = Page("Precision tracker", ":material/query_stats:", "tracker", TrackerView, draw_tracker)
