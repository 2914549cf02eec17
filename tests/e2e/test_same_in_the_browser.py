"""What the browser counts and writes by itself is what Python counts and writes: numbers, dials, steps of a part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from qanalysis.charts.linked.dials import Dial, place_values
from qanalysis.charts.linked.modules import join_modules
from qanalysis.charts.linked.scene import apply_changes, find_changes, pack
from qanalysis.notation import measure, plain
from tests.e2e.conftest import FLAGS

NAMES = "tellNumber, plainNumber, indexDials, placeDial, readDial, countSteps, applyChanges, readPart"
NUMBERS = [
    *(sign * value for value in (1e-30, 5.6e-7, 9.9996e-4, 0.001, 0.25, 18.345, 999.96, 12345.6) for sign in (1, -1)),
    *(0.0, 1e6, 999_999.0, 1_234_567.0, 3.2e20, -0.004, 100.0, 99.995),
]


@pytest.fixture(scope="module")
def page(browser_path: str) -> Any:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        opened = browser.new_page()
        opened.add_script_tag(content=f"{join_modules()}\nObject.assign(window, {{ {NAMES} }});")
        yield opened
        browser.close()


@pytest.mark.parametrize("unit", ["dB", "bit", "LSB", "V", "Hz", "s"])
def test_a_figure_with_its_unit(page: Any, unit: str) -> None:
    told = page.evaluate("([values, unit]) => values.map((value) => tellNumber(value, unit, 3))", [NUMBERS, unit])
    assert told == [measure(value, unit) for value in NUMBERS]


@pytest.mark.parametrize("digits", [3, 4, 6])
def test_a_bare_number(page: Any, digits: int) -> None:
    told = page.evaluate("([values, digits]) => values.map((value) => plainNumber(value, digits))", [NUMBERS, digits])
    assert told == [plain(value, digits=digits) for value in NUMBERS]


def test_what_is_no_number(page: Any) -> None:
    told = page.evaluate("[Infinity, -Infinity].map((value) => tellNumber(value, 'dB'))")
    assert told == [measure(math.inf, "dB"), measure(-math.inf, "dB")]
    assert page.evaluate("tellNumber(null, 'dB')") == measure(None, "dB")


def test_the_place_of_a_part_among_all_that_dials_ask_for(page: Any) -> None:
    dials = (Dial("amplitude", "Amplitude", "%", 0.0, 120.0, 0.1, 2), Dial("phase", "Phase", "°", -180, 180, 1))
    rng = np.random.default_rng(5)
    at = [
        {"amplitude": round(float(rng.uniform(0, 120)), 2), "phase": int(rng.integers(-180, 181))} for _ in range(200)
    ]
    told = [dial.describe() for dial in dials]
    found = page.evaluate("([dials, at]) => at.map((values) => indexDials(dials, values))", [told, at])
    assert found == [place_values(dials, values) for values in at]
    steps = page.evaluate(
        "(dial) => Array.from({ length: countSteps(dial) }, (_, place) => readDial(dial, place))", told[0]
    )
    assert steps == [round(place / 10, 1) for place in range(1201)]


def test_a_step_of_a_part(page: Any) -> None:
    base = {
        "a": {"x": [1.5, None], "marks": [{"at": 1}, {"at": 2}]},
        "b": {"text": "−1 dB", "gone": 3},
        "c": [[1], [2]],
    }
    other = {"a": {"x": [2.5], "marks": [{"at": 1}, {"at": 7, "new": {}}]}, "b": {"text": "0 dB"}, "c": [[1], [3]]}
    changes = find_changes(base, other)
    assert apply_changes(base, changes) == other
    assert page.evaluate("([base, changes]) => applyChanges(base, changes)", [base, changes]) == other
    assert page.evaluate("(bytes) => readPart(Uint8Array.from(bytes))", list(pack(other))) == other
