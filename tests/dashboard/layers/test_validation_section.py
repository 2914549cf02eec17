"""Why trust this: the section shows what the command prints, runs it when asked, and survives its failure."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from qanalysis.dashboard import checks as checks_room
from qanalysis.dashboard.cache import get_checks
from qanalysis.dashboard.layers.validation import build_checks
from qanalysis.results.document import write_document
from qanalysis.validation.check import Check
from qanalysis.validation.table import tabulate_checks
from tests.dashboard.conftest import OpenPage


@pytest.fixture(autouse=True)
def fresh_checks() -> Iterator[None]:
    get_checks.clear()
    yield
    get_checks().wait(120)
    get_checks.clear()


def print_document(document: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({document!r})")


def find_button(page: AppTest, key: str) -> Button:
    return next(button for button in page.button if button.key == key)


def test_nothing_runs_until_it_is_asked_for(open_page: OpenPage) -> None:
    page = open_page()
    assert find_button(page, "validate").label == "Run the checks"
    assert not get_checks().running
    assert not any("Judge" in table.value for table in page.dataframe)


def test_the_section_shows_the_command_s_own_checks(open_page: OpenPage) -> None:
    page = open_page()
    find_button(page, "validate").click()
    page.run()
    assert any("Asking every library" in caption.value for caption in page.caption)
    get_checks().wait(120)  # the real command, half a minute where the machine is busy
    page.run()
    document = get_checks().document
    assert document is not None, get_checks().fault
    table = next(table.value for table in page.dataframe if "Judge" in table.value)
    assert len(table) == len(document["rows"]) > 50
    assert set(table["Verdict"]) <= {"ok", "by design", "not installed"}
    assert any("checks agree" in text.value for text in page.markdown)
    assert find_button(page, "validate").label == "Check again"


def test_a_run_that_breaks_off_says_why_and_can_be_repeated(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_room, "COMMAND", (sys.executable, "-c", "raise SystemExit('out of memory')"))
    page = open_page()
    find_button(page, "validate").click()
    page.run()
    get_checks().wait(60)
    page.run()
    assert [error.value for error in page.error] == [r"the checks ended with code 1\: out of memory"]
    assert find_button(page, "validate").label == "Run the checks"


def test_checks_start_once_however_often_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_room, "COMMAND", print_document('{"rows": []}'))
    checks = get_checks()
    checks.start()
    started_s = checks.started_s
    if checks.running:
        checks.start()
        assert checks.started_s == started_s
    checks.wait(60)
    assert (checks.running, checks.document, checks.fault) == (False, {"rows": []}, "")


def test_what_failed_comes_first() -> None:
    document = write_document(
        tabulate_checks(
            [
                Check("int4", "torch", "2.13", "bit-exact", reached=0.0, required=0.0, values=8),
                Check("all its checks", "gfloat", "", "bit-exact"),
                Check("shift", "optimum-quanto", "0.2", "dB", reached=0.2, reason="a real shift there"),
                Check("int8", "torch", "2.13", "dB", reached=0.2, required=1e-5),
            ]
        )
    )
    table = build_checks(document)
    assert list(table["Check"]) == ["int8", "int4", "shift", "all its checks"]
    assert list(table.iloc[1]) == ["int4", "torch", "2.13", "0 of 8 differ", "bit-exact", "ok", ""]
