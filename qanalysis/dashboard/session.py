"""What does a session remember of its pages? Each page's view, the steps that led to it, and what its link could not
mean.

On every run a page's view is read from its widgets and bent into what is possible before anything is drawn. The
address follows the view; it is read where a session begins, where a page is reached with parameters, and where the
browser goes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from qanalysis.dashboard.views import (
    Query,
    V,
    drop_passing,
    join_link,
    list_rules,
    name_parameter,
    read_address,
    read_view,
    reset_view,
    spell_view,
    write_view,
)
from qanalysis.dashboard.wording import escape_markdown

HISTORY_LENGTH = 20


@dataclass(slots=True)
class Memory(Generic[V]):
    """A page's view and its history.

    `asked` are the parameters that its address came with, until the page was drawn once; `chosen` is what a field of
    None stands for with the source in view; `buttons` says which of Undo and Redo a person can press. `live` are the
    fields whose widgets are on the page, by the part of the page that draws them, `drawn` those of the run under way:
    what a widget holds counts while it is live. `returned` is the view with which the page was reached again under its
    bare address, until the browser has gone back there. `whole` says that the run under way is one of the whole page.
    """

    view: V
    history: list[V] = field(default_factory=list)
    place: int = -1
    asked: frozenset[str] = frozenset()
    chosen: dict[str, str] = field(default_factory=dict)
    buttons: tuple[bool, bool] = (False, False)
    returned: V | None = None
    whole: bool = False
    part: str = "page"
    live: dict[str, set[str]] = field(default_factory=lambda: {"page": set(), "tab": set()})
    drawn: dict[str, set[str]] = field(default_factory=lambda: {"page": set(), "tab": set()})

    @property
    def can_step(self) -> tuple[bool, bool]:
        """Whether there is a view before this one, and one after it."""
        return self.place > 0, self.place < len(self.history) - 1

    def note(self, view: V) -> None:
        """Take the view as the newest one where it differs; what had been undone is forgotten then.

        At most `HISTORY_LENGTH` steps are kept; passing fields make no step of their own.
        """
        self.view, step = view, drop_passing(view)
        if self.place < 0 or self.history[self.place] != step:
            self.history = [*self.history[: self.place + 1], step][-HISTORY_LENGTH - 1 :]
            self.place = len(self.history) - 1

    def step(self, by: int) -> V:
        """The view so many steps later.

        Stays at the first and the last view; fields that pass keep what they are now.
        """
        self.place = min(max(self.place + by, 0), len(self.history) - 1)
        passing = {name: getattr(self.view, name) for name, rule in list_rules(type(self.view)).items() if rule.passing}
        return replace(self.history[self.place], **passing)

    def begin(self, part: str) -> None:
        """A part is about to be drawn; of a run that was broken off both what it drew and what stood before it is live.

        `part` is "page" or "tab".
        """
        self.part = part
        self.live[part] |= self.drawn[part]
        self.drawn[part] = set()

    def end(self, part: str) -> None:
        """A part was drawn to its end."""
        self.live[part] = set(self.drawn[part])

    def is_live(self, name: str) -> bool:
        """Whether the field's widget is on the page."""
        return any(name in names for names in self.live.values())

    def wanted(self, name: str) -> Any:
        """What the field's widget is to hold; None where it chooses for itself."""
        value = write_view(self.view)[name]
        return self.chosen.get(name) if value is None else value

    def hold(self, name: str) -> None:
        """Let the field's widget hold what is wanted from the next time it is drawn; None empties a box of a number and
        lets any other widget choose for itself.
        """
        wanted = self.wanted(name)
        if wanted is None and list_rules(type(self.view))[name].number is None:
            st.session_state.pop(name, None)
        else:
            st.session_state[name] = wanted


@contextmanager
def open_page(kind: type[V], path: str) -> Iterator[V]:
    """A full run of a page, from the reading of its address to the writing of it.

    Drawing happens inside the block. A page that is left and reached again keeps its view, unless the address came with
    parameters, which then decide.
    """
    arrives, asked = st.session_state.get("page") != path, read_query()
    if arrives:
        st.session_state.update({"page": path, "notices": []})
    if _key(kind) not in st.session_state or arrives or _goes_back():
        _settle_address(kind, asked, arrives=arrives)
    memory = st.session_state["memory"] = _recall(kind)
    if arrives:
        memory.live, memory.drawn = {"page": set(), "tab": set()}, {"page": set(), "tab": set()}
    memory.begin("page")
    memory.whole = True
    try:
        yield current_view(kind)
    finally:
        memory.whole = False
    memory.end("page")
    publish(kind)
    memory.asked = frozenset()


def _settle_address(kind: type[V], asked: Query, *, arrives: bool) -> None:
    """Follow the address, or keep the view where the bare address only means that the page was reached from the list.

    The browser's history has two entries then: the bare address, and the one that `publish` writes. Going back from the
    second to the first changes nothing, and the first takes the words of the view.
    """
    memory: Memory[V] | None = st.session_state.get(_key(kind))
    steps_back = _goes_back()
    at_home = memory is not None and not arrives and not asked and memory.returned == drop_passing(memory.view)
    if steps_back and at_home:
        return  # and once more, where the browser's step makes the page run twice
    if memory is None or asked or steps_back:
        _follow_link(kind, asked)
    if memory is not None:
        memory.returned = drop_passing(memory.view) if arrives and not asked and not steps_back else None


def _follow_link(kind: type[V], asked: Query) -> None:
    """Take the view that an address spells, whole: what it does not spell is the default.

    Notices tell what was refused.
    """
    address = read_address(kind, asked)
    memory = st.session_state.setdefault(_key(kind), Memory(address.view))
    memory.asked = frozenset(asked)
    _leave_out(address.left_out)
    st.session_state["notices"].extend(address.refusals)
    replace_view(address.view)


@contextmanager
def open_tab(kind: type[V]) -> Iterator[V]:
    """A run of the part of a page that runs by itself: the address follows at once, and so do Undo and Redo where one
    of them awakes.

    For fragments: it writes the address before the tab is drawn, so that slow charts do not hold it back. In a run of
    the whole page the page does: a browser that comes from another page needs a moment to have the path.
    """
    memory = _recall(kind)
    memory.begin("tab")
    view = current_view(kind)
    if not memory.whole:
        publish(kind)
    if memory.buttons != memory.can_step:
        st.rerun()
    yield view
    memory.end("tab")


def current_view(kind: type[V]) -> V:
    """The view that this session's widgets hold, bent into what is possible; before the widgets are drawn.

    KeyError before the page was opened.
    """
    memory = _recall(kind)
    rules = list_rules(kind)
    held = {name: st.session_state.get(name) for name in rules if memory.is_live(name)}
    emptied = {name for name in held if rules[name].number is not None and name in st.session_state}
    known = {name: value for name, value in held.items() if value is not None or name in emptied}
    unchosen = dict.fromkeys(name for name, value in memory.chosen.items() if held.get(name) == value)
    memory.note(read_view(kind, write_view(memory.view) | known | unchosen))
    _correct(memory)
    return memory.view


def keep(name: str) -> str:
    """The key of a field's widget, for the moment it is drawn: one that was not on the page takes its value from the
    view.

    To be called where the widget is made: it also notes that the field's widget is on the page.
    """
    memory: Memory[Any] = st.session_state["memory"]
    if not memory.is_live(name):
        memory.hold(name)
    memory.drawn[memory.part].add(name)
    return name


def publish(kind: type[V]) -> None:
    """Bring the address in line with the view.

    Fields with their defaults are left out. Writes only where something changes: each write is a step of the browser's
    history.
    """
    query = spell_view(_recall(kind).view)
    if query != read_query():
        st.query_params.from_dict(query)


def write_link(kind: type[V]) -> str:
    """The address that shows this view in a fresh browser.

    Only the parameters that differ from the defaults; a bare query where no browser has told its address.
    """
    return join_link(st.context.url or "", spell_view(_recall(kind).view))


def confine(kind: type[V], name: str, choices: Sequence[str] | Sequence[int], *, chosen: str | None = None) -> V:
    """The view without values of a field that this source does not have; a notice where they came with the link.

    `chosen` is what the field's widget shows where nobody has chosen.

    `choices` are what the source has. A field of several keeps those of its values that are there.
    """
    memory = _recall(kind)
    if chosen is not None:
        memory.chosen[name] = chosen
    held = getattr(memory.view, name)
    parts = held if isinstance(held, tuple) else (held,)
    missing = [part for part in parts if part is not None and part not in choices]
    if missing:
        if name in memory.asked:
            _leave_out([name_parameter(name, list(map(str, missing)))])
        kept = tuple(part for part in parts if part in choices)
        memory.note(replace(memory.view, **{name: kept if isinstance(held, tuple) else None}))
    _correct(memory)
    return memory.view


def change(kind: type[V], /, **values: Any) -> None:
    """Set fields of the view from a callback, or passing ones while the page is drawn; other widgets keep what they
    hold.

    Values are not bent: callers give possible ones.
    """
    memory = _recall(kind)
    memory.view = replace(memory.view, **values)
    for name in filter(memory.is_live, values):
        memory.hold(name)


def replace_view(view: V) -> None:
    """Show another view from the next run on; for callbacks.

    Undo, redo and reset go this way; the next run notes it as a step of the history.
    """
    memory = _recall(type(view))
    memory.view = view
    for name in filter(memory.is_live, list_rules(type(view))):
        memory.hold(name)


def read_query() -> Query:
    """The parameters of the address.

    Every value as a list, in the order of the address; empty for a bare one.
    """
    return {key: st.query_params.get_all(key) for key in st.query_params}


def draw_history(kind: type[V], *, keeps: str) -> None:
    """Undo, redo and reset, side by side.

    Buttons "undo", "redo" and "reset"; `keeps` says what a reset leaves alone.
    """
    memory = _recall(kind)
    memory.buttons = can_undo, can_redo = memory.can_step
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Undo",
            icon=":material/undo:",
            on_click=_step,
            args=(kind, -1),
            disabled=not can_undo,
            width="stretch",
            key="undo",
        )
        st.button(
            "Redo",
            icon=":material/redo:",
            on_click=_step,
            args=(kind, 1),
            disabled=not can_redo,
            width="stretch",
            key="redo",
        )
        st.button(
            "Reset",
            on_click=_reset,
            args=(kind,),
            width="stretch",
            key="reset",
            help=f"Every control of this page back to its default but {keeps}",
        )


def draw_notices() -> None:
    """What was left out or refused since the page was opened, until it is dismissed.

    The button is "dismiss"; texts from an address are shown as text.
    """
    notices: list[str] = st.session_state["notices"]
    if notices:
        with st.container(horizontal=True, vertical_alignment="center", key="notices"):
            text = "\n\n".join(map(escape_markdown, notices))
            st.warning(text, icon=":material/warning:", width="stretch")
            st.button("Dismiss", key="dismiss", on_click=notices.clear)


_LEFT_OUT = "Left out of the link, because the page or this model does not know it: "


def _leave_out(parameters: Sequence[str]) -> None:
    """Add parameters to the one notice of what was left out; none leaves the notices as they are."""
    notices: list[str] = st.session_state["notices"]
    told = next((notice for notice in notices if notice.startswith(_LEFT_OUT)), None)
    if told is not None:
        notices.remove(told)
    if told or parameters:
        notices.append("; ".join([told, *parameters] if told else [_LEFT_OUT + parameters[0], *parameters[1:]]))


def _step(kind: type[V], by: int) -> None:
    """Go so many steps through the page's history; for the callbacks of Undo and Redo."""
    replace_view(_recall(kind).step(by))


def _reset(kind: type[V]) -> None:
    """Back to the defaults, as a step that can be undone; for a callback."""
    replace_view(reset_view(_recall(kind).view))


def _correct(memory: Memory[V]) -> None:
    """Give widgets the view's values, except where what a person typed reads as these."""
    for name, rule in list_rules(type(memory.view)).items():
        value, held, wanted = getattr(memory.view, name), st.session_state.get(name), memory.wanted(name)
        reads_so = held == wanted if value is None else rule.bend(held) == value
        if memory.is_live(name) and not reads_so:
            memory.hold(name)


def _key(kind: type[V]) -> str:
    """Where the session keeps a page's memory."""
    return f"memory of {kind.__name__}"


def _recall(kind: type[V]) -> Memory[V]:
    """The page's memory; KeyError before it was opened."""
    memory: Memory[V] = st.session_state[_key(kind)]
    return memory


def _goes_back() -> bool:
    """Whether this run follows the browser's Back or Forward; false outside of a session, as in tests."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation
