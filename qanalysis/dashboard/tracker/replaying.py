"""How does a replay that takes long run? Asked for first, with a bar, and ended by a click on Cancel or any other
control.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from qanalysis.dashboard.elements import ask_first
from qanalysis.dashboard.tracker.cache import Recorded, count_steps, estimate_seconds, get_replays
from qanalysis.notation import about, count

SECONDS_UNASKED = 5.0
_ASKED = "replay"
_PAUSE_S = 0.2  # between two looks at what a person does: each costs a message to the browser


def replay_all(recorded: Recorded, rules: tuple[str, ...], epoch: int | None) -> bool:
    """Whether what the rules make of the log is held; what is not is made here, where it takes long once a person has
    asked for it.
    """
    store = get_replays()
    missing = [rule for rule in rules if store.find(recorded, rule, epoch) is None]
    seconds = estimate_seconds(recorded) * len(missing)
    steps = count_steps(recorded)
    subject = (recorded, epoch)
    if seconds > SECONDS_UNASKED and not ask_first(
        _ASKED, subject, f"Replay {count(steps)} steps, rules: {len(missing)}, {about(seconds)}"
    ):
        return False
    place = st.empty()
    for rule in missing:
        check = _draw_bar(place, rule, steps) if seconds > 1 else _pass_by
        store.make(recorded, rule, epoch, check)
    place.empty()
    return True


def _pass_by() -> None:
    """Nothing to show of a short replay."""


def _draw_bar(place: st.delta_generator.DeltaGenerator, rule: str, steps: int) -> Callable[[], None]:
    """A bar with a button "cancel-replay" beside it; what to call at each step. The call ends the script where a person
    has moved a control, as every call of streamlit does.
    """
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0)
        st.button("Cancel", key=f"cancel-replay-{rule}", on_click=st.session_state.pop, args=(f"{_ASKED}-asked", None))
    done, told = 0, time.monotonic()

    def check() -> None:
        nonlocal done, told
        done += 1
        if time.monotonic() - told > _PAUSE_S:
            told = time.monotonic()
            bar.progress(min(done / steps, 1.0), text=f"`{rule}`: step {done:,} of {steps:,}")

    return check
