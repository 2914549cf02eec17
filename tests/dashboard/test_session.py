"""What a session remembers: undo without delay, redo, reset, each page's own state, and notices about links, the same on every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import settle
from tests.dashboard.scenes import ask, read_components


def _show_one_of_two() -> None:
    import streamlit as st

    from qanalysis.dashboard.main import PAGES, show_page

    two = [page for page in PAGES if page.path in ("layers", "converter")]
    show_page(two[st.session_state.get("which", 1)])


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


def open_converter(**parameters: str | list[str]) -> AppTest:
    page = AppTest.from_function(_show_one_of_two, default_timeout=60)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def turn_to(page: AppTest, which: int) -> AppTest:
    """What a click in the list of pages does: another page under its bare address."""
    page.session_state["which"] = which
    page.query_params.clear()
    page.run()
    assert not page.exception
    return page


def can_step(page: AppTest) -> tuple[bool, bool]:
    return not page.button(key="undo").disabled, not page.button(key="redo").disabled


def notice(page: AppTest) -> str:
    (warning,) = page.warning
    return re.sub(r"\\(.)", r"\1", warning.value)


def test_undo_wakes_with_the_first_change_and_redo_with_the_first_undo() -> None:
    page = open_converter()
    assert can_step(page) == (False, False)
    page.number_input(key="harmonics").set_value(9).run()
    assert can_step(page) == (True, False)
    page.button(key="undo").click().run()
    assert page.number_input(key="harmonics").value == 6
    assert can_step(page) == (False, True)
    assert page.query_params == {}
    page.button(key="redo").click().run()
    assert page.number_input(key="harmonics").value == 9
    assert page.query_params == {"harmonics": "9"}


def test_a_change_inside_a_tab_wakes_undo_too() -> None:
    page = open_converter()
    move_bits(page, 9)
    assert can_step(page) == (True, False)
    page.button(key="undo").click().run()
    assert read_bits(page) == 12


def test_a_change_after_an_undo_takes_the_place_of_what_was_undone() -> None:
    page = open_converter()
    for harmonics in (7, 8):
        page.number_input(key="harmonics").set_value(harmonics).run()
    page.button(key="undo").click().run()
    page.number_input(key="harmonics").set_value(11).run()
    assert can_step(page) == (True, False)
    for expected in (7, 6):
        page.button(key="undo").click().run()
        assert page.number_input(key="harmonics").value == expected


def test_twenty_steps_can_be_taken_back() -> None:
    page = open_converter()
    steps = [2 + place % 19 for place in range(24)]
    for harmonics in steps:
        page.number_input(key="harmonics").set_value(harmonics).run()
    taken = 0
    while not page.button(key="undo").disabled:
        page.button(key="undo").click().run()
        taken += 1
    assert taken == 20
    assert page.number_input(key="harmonics").value == steps[-21]


def test_reset_can_be_undone() -> None:
    page = open_converter(tab="simulate", sim_bits="12", harmonics="9")
    page.button(key="reset").click().run()
    assert page.query_params == {"tab": "simulate"}
    page.button(key="undo").click().run()
    assert page.query_params == {"tab": "simulate", "sim_bits": "12", "harmonics": "9"}
    assert read_components(page)["s-charts"]["at"]["step"] == 12


def test_each_page_keeps_its_own_state_though_both_say_bits() -> None:
    page = open_converter(bits="20", high="5")
    settle(turn_to(page, 0))
    assert read_components(page)["charts"]["at"]["scheme"] == "int4 group=128"
    ask(page, "charts", {"scheme": "int6 group=128", "seq": 1})
    assert page.query_params["bits"] == "6"
    turn_to(page, 1)
    assert (read_bits(page), page.number_input(key="high").value) == (20, 5.0)
    assert page.query_params == {"bits": "20", "high": "5"}
    settle(turn_to(page, 0))
    assert read_components(page)["charts"]["at"]["scheme"] == "int6 group=128"


def read_bits(page: AppTest) -> int:
    """Where the slider of tab Textbook stands."""
    return read_components(page)["k-charts"]["at"]["step"]


def move_bits(page: AppTest, bits: int) -> AppTest:
    """A move of that slider, when the hand rests."""
    seq = read_components(page)["k-charts"]["seq"] + 1
    return ask(page, "k-charts", {"step": bits, "seq": seq})


def go_back(page: AppTest, monkeypatch: pytest.MonkeyPatch, **parameters: str) -> AppTest:
    """What the browser's Back does: the parameters of an earlier address, and a run that says so."""
    page.query_params.clear()
    for key, value in parameters.items():
        page.query_params[key] = value
    with monkeypatch.context() as patch:
        patch.setattr("qanalysis.dashboard.session._goes_back", lambda: True)
        page.run()
    assert not page.exception
    return page


def test_back_to_the_bare_address_of_a_page_reached_again_keeps_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    page = turn_to(turn_to(open_converter(bits="13"), 0), 1)
    go_back(page, monkeypatch)
    assert read_bits(page) == 13
    assert page.query_params == {"bits": "13"}
    assert can_step(page) == (False, False)


def test_a_step_back_that_makes_the_page_run_twice_keeps_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    page = turn_to(turn_to(open_converter(bits="13"), 0), 1)
    for _run in range(2):
        go_back(page, monkeypatch)
        assert read_bits(page) == 13


def test_back_to_a_bare_address_of_other_figures_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_converter()
    move_bits(page, 13)
    assert read_bits(go_back(page, monkeypatch)) == 12
    turn_to(turn_to(go_back(page, monkeypatch, bits="14"), 0), 1)
    move_bits(page, 15)
    assert read_bits(go_back(page, monkeypatch)) == 12


def test_a_parameter_of_another_page_is_told_and_left_out() -> None:
    page = open_converter(layer="conv1.weight", bits="8", foo="1")
    assert notice(page).endswith(": layer=conv1.weight; foo=1")
    assert page.query_params == {"bits": "8"}
    page.button(key="dismiss").click().run()
    assert not page.warning


def test_a_notice_stays_on_its_page() -> None:
    page = open_converter(foo="1")
    assert "foo=1" in notice(page)
    assert not turn_to(page, 0).warning


def test_what_a_tab_does_not_show_is_kept() -> None:
    page = open_converter(tab="simulate", waveform="sine", phase="45", record="sample:two tones, 14 bit")
    page.selectbox(key="waveform").set_value("gaussian").run()
    assert page.query_params == {
        "tab": "simulate",
        "waveform": "gaussian",
        "phase": "45",
        "record": "sample:two tones, 14 bit",
    }
    page.selectbox(key="waveform").set_value("sine").run()
    assert read_components(page)["s-charts"]["at"]["phase"] == 45
