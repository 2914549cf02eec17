"""What do linked charts ask for? Their owner one question after the other, the last one with what is in view then; parts
before anybody asks for them.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from qanalysis.charts.linked.modules import describe_looks, join_modules, read_plotly
from qanalysis.charts.linked.scene import Panel, build_part, pack
from tests.e2e.conftest import FLAGS

BEGIN = """async ([part, looks]) => {
  const bytes = Uint8Array.from(part);
  window.asked = [];
  window.busy = window.away = false;
  window.linked = new Linked(document.getElementById("here"), {
    Plotly, looks, load: async () => bytes,
    isBusy: () => window.busy, isAway: () => window.away, ask: (state) => window.asked.push(state),
  });
  const colours = makeColours(looks, "light");
  window.say = (seq, step) => window.linked.update({ scene: "a", at: { step }, seq, colours });
  await window.say(0, 1);
}"""


@pytest.fixture(scope="module")
def page(browser_path: str) -> Any:
    from playwright.sync_api import sync_playwright

    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1]), layout={"meta": {"alt": "A line."}, "height": 200})
    part = build_part([[Panel("line", figure)]] * 4, control={"label": "Step", "steps": [1, 2, 3, 4]})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        opened = browser.new_page()
        opened.set_content('<div id="here"></div>')
        opened.add_script_tag(content=read_plotly().decode())
        opened.add_script_tag(content=join_modules())
        opened.evaluate(BEGIN, [list(pack(part)), describe_looks()])
        yield opened
        browser.close()


def test_a_question_waits_for_the_answer_and_for_an_owner_at_work(page: Any) -> None:
    page.evaluate("window.linked.move(1)")
    page.wait_for_function("window.asked.length === 1")
    page.evaluate("window.linked.move(2)")
    page.wait_for_timeout(600)
    assert page.evaluate("window.asked.length") == 1  # not answered yet
    page.evaluate("window.busy = true; window.say(1, 2)")
    page.evaluate("window.linked.move(3)")
    page.wait_for_timeout(600)
    assert page.evaluate("window.asked.length") == 1  # answered, and still at work
    page.evaluate("window.busy = false")
    page.wait_for_function("window.asked.length === 2")
    assert page.evaluate("window.asked") == [{"step": 2, "seq": 1}, {"step": 4, "seq": 2}]
    assert page.evaluate("window.linked.at.step") == 4


def test_an_owner_that_was_started_again_is_believed(page: Any) -> None:
    page.evaluate("window.say(2, 4)")
    page.evaluate("window.say(0, 3)")  # it counts from the beginning
    assert page.evaluate("[window.linked.at.step, window.linked.seq]") == [3, 0]
    page.evaluate("window.say(2, 4)")


def test_an_owner_that_never_answers_is_asked_all_the_same(page: Any) -> None:
    page.evaluate("window.busy = true; window.linked.move(0)")
    page.wait_for_function("window.asked.length === 3", timeout=20_000)


def test_an_owner_that_is_away_is_asked_when_it_is_back(page: Any) -> None:
    page.evaluate("window.busy = false; window.say(3, 1)")
    page.evaluate("window.away = true; window.linked.move(2)")
    page.wait_for_timeout(900)
    assert page.evaluate("window.asked.length") == 3
    page.evaluate("window.away = false")
    page.wait_for_function("window.asked.length === 4")
    assert page.evaluate("window.asked[3].step") == 3


def test_charts_that_were_let_go_draw_nothing_and_ask_nothing(page: Any) -> None:
    page.evaluate("window.linked.move(1); window.linked.destroy(); window.linked.paint()")
    page.wait_for_timeout(500)
    assert page.evaluate("[window.asked.length, document.querySelectorAll('.js-plotly-plot').length]") == [4, 0]


AHEAD = """async ([scene, layer, looks]) => {
  const [parts, fetched] = [{ scene, layer }, []];
  window.other = new Linked(document.getElementById("here"), {
    Plotly, looks, ask: () => undefined,
    load: async (address) => { fetched.push(address); return Uint8Array.from(parts[address] ?? parts.layer); },
  });
  await window.other.update({ scene: "scene", at: { layer: "b", scheme: "int2" }, colours: makeColours(looks, "light") });
  window.fetched = fetched;
}"""


def test_layers_beside_the_one_in_view_are_fetched_before_anybody_asks(page: Any) -> None:
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1]), layout={"meta": {"alt": "A line."}, "height": 200})
    names, large = ["a", "b", "c", "d"], 50_000_000
    scene = build_part(
        [[]],
        control={"label": "Bits in view", "unit": "bit"},
        # In the map's order: d, b, c; a is searched away, and c is too large to be read unasked.
        layers={"names": names, "numel": [9, 9, large, 9], "listed": [3, 1, 2]},
        families=[{"name": "tensor", "schemes": ["int2", "int3"], "steps": [2, 3], "swept": [True] * 2, "frames": "f"}],
    )
    layer = build_part([[Panel("weights", figure)]] * 2)
    page.evaluate(AHEAD, [list(pack(scene)), list(pack(layer)), describe_looks()])
    page.wait_for_function("window.fetched.length >= 3")
    page.wait_for_timeout(500)
    assert page.evaluate("window.fetched") == ["scene", "f/1", "f/3"]
    page.evaluate("window.other.destroy()")
