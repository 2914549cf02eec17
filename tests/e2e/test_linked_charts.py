"""The linked charts of page Layers in a browser: they follow the hand at once, agree with everything else, and stay whole at every width and in every trouble."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.reports.report import read_rows

from .conftest import OpenVisit, Server, Visit
from .downloads import take_file
from .layers_page import (
    ROOT,
    SLIDER,
    click_cell,
    find_row,
    focus_slider,
    read_charts,
    read_headline,
    save_deep,
    save_encoder,
    save_model,
    wait_for_charts,
    wait_for_layer,
    wait_for_query,
    wait_until_idle,
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector

REST_MS = 280
MOST_AT_REST, MOST_PER_CLICK = 10_000, 150_000
LAPTOP, NARROW, WIDE = (1440, 900), (1100, 900), (1920, 1080)

# When a hand moved the slider, and when the page spoke to its server.
STAMP = """() => {
  window.moved = []; window.spoken = [];
  document.addEventListener("input", (event) => event.target.matches(".ql-range") && window.moved.push(performance.now()), true);
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (...told) { window.spoken.push(performance.now()); return send.apply(this, told); };
}"""
# Boxes of all texts in sight that are not within another one, with what holds each; texts that scroll are cut to the
# box that they scroll in, and of a tip none is read.
TEXTS = """(root) => {
  const boxes = [];
  const clip = (element, box) => {
    for (let outer = element.parentElement; outer && !outer.matches(root); outer = outer.parentElement) {
      if (!/auto|scroll|hidden/.test(getComputedStyle(outer).overflow)) continue;
      const { left, right, top, bottom } = outer.getBoundingClientRect();
      box = { left: Math.max(box.left, left), right: Math.min(box.right, right), top: Math.max(box.top, top), bottom: Math.min(box.bottom, bottom) };
    }
    return box;
  };
  const walker = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("[hidden], .heat-tip, .hoverlayer, .modebar, defs") || !element.checkVisibility?.({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const head = element.closest(".heat-box")?.querySelector(".heat-area");
    const inside = element.closest(".heat-labels");
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const box = clip(element, { left, right, top, bottom });
      if (inside) box.top = Math.max(box.top, element.closest(".heat-box").getBoundingClientRect().top + element.closest(".heat-box").querySelector(".heat-head").getBoundingClientRect().height);
      if (box.right - box.left > 1 && box.bottom - box.top > 1) boxes.push({ ...box, text: node.textContent, panel: element.closest(".ql-slot")?.dataset.panel ?? "" });
    }
  }
  return boxes;
}"""
CUT = """(root) => [...document.querySelectorAll(`${root} *`)].filter((element) =>
  element.checkVisibility() && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
  && getComputedStyle(element).overflowX !== "visible" && !element.closest("svg, .heat-box, .ql-scroll, .heat-tip")
).map((element) => `${element.className}: ${element.textContent.slice(0, 60)}`)"""


@pytest.fixture(scope="module")
def models(server: Server) -> Iterator[Path]:
    save_model(server.root)
    save_encoder(server.root)
    save_deep(server.root, 70)
    return server.root


def open_charts(open_visit: OpenVisit, server: Server, query: str = "", **options: Any) -> Visit:
    visit = open_visit(f"{server.url}/?{query}", **options)
    wait_for_charts(visit.page)
    wait_until_idle(visit.page)
    return visit


def check_clean(server: Server, *visits: Visit) -> None:
    for visit in visits:
        assert visit.page.locator('[data-testid="stException"]').count() == 0
        assert visit.complaints == []
    assert server.read_trouble() == []


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two lines of text touch: a box is higher than its letters by the leading, a quarter of it."""
    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
    high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return bool(wide > 1 and high > min(box["bottom"] - box["top"] for box in (one, other)) / 4)


def test_slider_charts_address_tables_exports_and_command_hold_one_state(
    server: Server, models: Path, open_visit: OpenVisit, tmp_path: Path
) -> None:
    """Keys, wheel and pointer move the charts at once; when the hand rests, headline, address, both tables, the export,
    the command line and a fresh browser at that address hold the same numbers, and the charts that moved in place are
    those that are drawn anew. Undo, redo, the browser's way back and a reload keep them.
    """
    visit = open_charts(open_visit, server, "source=own.npz&layer=block1.weight")
    page = visit.page
    axes = page.evaluate(
        f"document.querySelector('{ROOT} [data-panel=weights] .js-plotly-plot')._fullLayout.yaxis.range"
    )
    focus_slider(page)
    for bits in (5, 6, 7):
        page.keyboard.press("ArrowRight")
        wait_for_charts(page, layer="block1.weight", scheme=f"int{bits} group=128")
    wait_for_query(page, bits="7")
    assert axes == page.evaluate(
        f"document.querySelector('{ROOT} [data-panel=weights] .js-plotly-plot')._fullLayout.yaxis.range"
    )  # the eye compares heights
    page.locator(SLIDER).hover()
    page.mouse.wheel(0, -100)
    wait_for_charts(page, scheme="int8 group=128")
    page.mouse.wheel(0, 100)
    wait_for_charts(page, scheme="int7 group=128")
    box = page.locator(SLIDER).bounding_box()
    # Of 15 steps the fourth; the thumb's half width of 8 px stands at both ends.
    page.mouse.click(box["x"] + 8 + 3 / 14 * (box["width"] - 16), box["y"] + box["height"] / 2)
    wait_for_charts(page, layer="block1.weight", scheme="int5 group=128")
    wait_for_query(page, bits="5")
    shown, charts = read_headline(page), read_charts(page)

    wait_until_idle(page)
    for kind in ("csv", "json"):
        download = take_file(page, page.locator(f".st-key-save-{kind} button"))
        download.save_as(tmp_path / f"own.{kind}")
    exported = read_rows(tmp_path / "own.json")
    assert read_rows(tmp_path / "own.csv").rows == exported.rows
    command = [
        sys.executable,
        "-m",
        "qanalysis.cli",
        "sweep",
        str(models / "own.npz"),
        "--scheme",
        "int5 group=128",
        "--weights-only",
        "--json",
    ]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    row = next(row for row in exported.rows if (row.tensor, row.scheme) == ("block1.weight", "int5 group=128"))
    total = next(total for total in exported.totals if total.scheme == "int5 group=128")
    assert next(line for line in told["rows"] if line["tensor"] == "block1.weight")["sqnr_db"] == row.sqnr_db
    assert told["totals"][0]["sqnr_db"] == total.sqnr_db
    assert f"{total.sqnr_db:.1f} dB pooled" in shown
    assert f"{row.sqnr_db:.2f} dB" in page.locator(f"{ROOT} .ql-value").inner_text()
    assert f"{row.sqnr_db:.2f}" in find_row(page, "layers", "block1.weight").inner_text()
    assert f"{total.sqnr_db:.2f}" in find_row(page, "totals", "int5 group=128").inner_text()
    assert f"{row.sqnr_db:.2f} dB" in charts["heat"]["chosen"]

    fresh = open_charts(open_visit, server, page.url.partition("?")[2])
    assert read_headline(fresh.page) == shown
    assert read_charts(fresh.page) == charts

    page.get_by_role("button", name="Undo").click()
    wait_for_charts(page, scheme="int7 group=128")
    wait_for_query(page, bits="7")
    page.get_by_role("button", name="Redo").click()
    wait_for_charts(page, scheme="int5 group=128")
    wait_for_query(page, bits="5")
    page.go_back()
    wait_for_query(page, bits="7")
    wait_for_charts(page, scheme="int7 group=128")
    page.go_forward()
    wait_for_query(page, bits="5")
    wait_for_charts(page, scheme="int5 group=128")
    page.reload()
    wait_for_charts(page, layer="block1.weight", scheme="int5 group=128")
    assert read_headline(page) == shown
    check_clean(server, visit, fresh)


def test_a_moving_hand_asks_nothing_and_a_resting_one_once(server: Server, models: Path, open_visit: OpenVisit) -> None:
    """No message while the slider moves, one when it rests, with little to carry; a layer's charts are small as well."""
    visit = open_charts(
        open_visit, server, "source=encoder.safetensors", prepare=lambda page: page.add_init_script(f"({STAMP})()")
    )
    page = visit.page
    focus_slider(page)
    page.keyboard.press("ArrowRight")  # the first step wakes Undo, with which the sidebar is drawn once more
    wait_for_query(page, bits="5")
    visit.wait_for_silence()
    sent, received = len(visit.sent), len(visit.received)
    page.evaluate("window.moved.length = window.spoken.length = 0")
    for key, bits in [
        *(("ArrowRight", bits) for bits in range(6, 13)),
        *(("ArrowLeft", bits) for bits in range(11, 5, -1)),
    ]:
        page.keyboard.press(key)
        wait_for_charts(page, scheme=f"int{bits} group=128")
    wait_for_query(page, bits="6")
    moved, spoken = page.evaluate("[window.moved, window.spoken]")
    assert len(moved) == 13
    # A busy machine makes a pause of a step: then the hand rested there too, and once for each such pause.
    pauses = 1 + int((np.diff(moved) >= REST_MS).sum())
    assert 1 <= len(spoken) <= pauses
    # Two bytes are the empty sign of life that the frame around the page sends every so often.
    assert sum(len(payload) > 2 for payload in visit.sent[sent:]) == len(spoken)
    assert all(min(time - before for before in moved if before < time) >= REST_MS - 1 for time in spoken)
    carried = sum(len(payload) for payload in visit.received[received:])
    assert carried <= MOST_AT_REST * len(spoken)

    parts = []
    page.on(
        "response", lambda response: parts.append(len(response.body())) if "/linked/frames/" in response.url else None
    )
    click_cell(page, "encoder.layer.1.intermediate.dense.weight", "int4 channel")
    wait_for_layer(page, "encoder.layer.1.intermediate.dense.weight")
    assert parts
    assert max(parts) <= MOST_PER_CLICK
    check_clean(server, visit)


def test_a_change_of_theme_recolours_without_a_word_to_the_server(
    server: Server, models: Path, open_visit: OpenVisit
) -> None:
    """The page follows the system's theme at once: every chart in other colours, no reload, nothing asked or fetched."""
    visit = open_charts(open_visit, server, "source=own.npz")
    page = visit.page
    asked, look = [], f"document.querySelector('{ROOT} [data-panel=errors] .js-plotly-plot')"
    light = page.evaluate(
        f"[{look}.data[0].line.color, {look}._fullLayout.xaxis.gridcolor, {look}._fullLayout.font.color]"
    )
    visit.wait_for_silence()
    sent = len(visit.sent)
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector(f'{ROOT}[data-theme="dark"]')
    dark = page.evaluate(
        f"[{look}.data[0].line.color, {look}._fullLayout.xaxis.gridcolor, {look}._fullLayout.font.color]"
    )
    assert all(one != other for one, other in zip(light, dark, strict=True))
    page.emulate_media(color_scheme="light")
    page.wait_for_selector(f'{ROOT}[data-theme="light"]')
    assert light == page.evaluate(
        f"[{look}.data[0].line.color, {look}._fullLayout.xaxis.gridcolor, {look}._fullLayout.font.color]"
    )
    assert [url for url in asked if "/linked/" in url] == []
    assert [payload for payload in visit.sent[sent:] if len(payload) > 2] == []  # signs of life go on
    check_clean(server, visit)


@pytest.mark.parametrize(
    "query",
    ["source=sample:digits-cnn", "source=encoder.safetensors", "source=deep.npz&show=all"],
    ids=["sample", "encoder", "70 layers"],
)
def test_everything_has_its_place_at_every_width(
    server: Server, models: Path, open_visit: OpenVisit, query: str
) -> None:
    """On a laptop the slider, the map and both histograms are in sight together; in a narrow window they stand below
    one another; a wide one is used. Nowhere does a text overlap another, or is cut, or does the page run over the side.
    """
    visit = open_charts(open_visit, server, query, size=LAPTOP)
    page = visit.page
    boxes = {}
    for size in (LAPTOP, NARROW, WIDE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_function(
            """(root) => [...document.querySelectorAll(`${root} .js-plotly-plot`)].every((plot) => {
              const { width, height } = plot.getBoundingClientRect();
              return Math.abs(plot._fullLayout.width - width) < 1.5 && Math.abs(plot._fullLayout.height - plot.parentElement.clientHeight) < 1.5;
            })""",
            arg=ROOT,
        )  # fmt: skip
        boxes = {
            name: page.locator(f"{ROOT} {selector}").bounding_box()
            for name, selector in {"slider": ".ql-slider"}.items() | {(panel, f"[data-panel={panel}]") for panel in ("heat", "weights", "errors", "curves", "channels")}
        }  # fmt: skip
        if size == LAPTOP:
            for name in ("slider", "heat", "weights", "errors"):
                assert boxes[name]["y"] >= 0, name
                assert boxes[name]["y"] + boxes[name]["height"] <= size[1], name
        if size == NARROW:
            assert boxes["heat"]["y"] + boxes["heat"]["height"] <= boxes["weights"]["y"]
        if size == WIDE:
            rightmost = max(box["x"] + box["width"] for box in boxes.values())
            assert rightmost >= 0.9 * size[0]
        assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
        assert page.evaluate(CUT, ROOT) == []
        texts = page.evaluate(TEXTS, ROOT)
        clashes = [
            (one["panel"], one["text"], other["text"], one, other)
            for place, one in enumerate(texts)
            for other in texts[:place]
            if overlap(one, other)
        ]
        assert clashes == [], size
        root = page.locator(ROOT).bounding_box()
        outside = [
            text for text in texts if text["left"] < root["x"] - 1 or text["right"] > root["x"] + root["width"] + 1
        ]
        assert outside == [], size
    check_clean(server, visit)


def test_without_a_pointer_every_state_is_within_reach(server: Server, models: Path, open_visit: OpenVisit) -> None:
    """Tab leads to the slider and the map, arrows move both, Enter on a row of a table chooses; less motion is kept."""
    visit = open_charts(open_visit, server, "source=own.npz&layer=block1.weight", still=True)
    page = visit.page
    page.locator("body").focus()
    where = "document.activeElement?.className ?? ''"
    for _ in range(60):
        page.keyboard.press("Tab")
        if "ql-range" in page.evaluate(where):
            break
    page.keyboard.press("ArrowRight")
    wait_for_charts(page, scheme="int5 group=128")
    for _ in range(10):
        page.keyboard.press("Tab")
        if "heat-box" in page.evaluate(where):
            break
    page.keyboard.press("ArrowDown")
    wait_for_charts(page, layer="block2.weight", scheme="int5 group=128")
    page.keyboard.press("ArrowRight")
    wait_for_charts(page, layer="block2.weight", scheme="int6 group=128")
    wait_for_query(page, bits="6", layer="block2.weight")
    find_row(page, "totals", "int3 channel").focus()
    page.keyboard.press("Enter")
    wait_for_charts(page, layer="block2.weight", scheme="int3 channel")
    wait_for_query(page, bits="3", grouping="channel")
    find_row(page, "layers", "block0.weight").focus()
    page.keyboard.press("Enter")
    wait_for_charts(page, layer="block0.weight", scheme="int3 channel")
    assert page.evaluate(f"getComputedStyle(document.querySelector('{ROOT} .ql-slot')).transitionDuration") == "0s"
    wait_until_idle(page)
    for panel in ("weights", "errors", "curves", "channels"):  # what is drawn is told and can be read as numbers
        slot = page.locator(f"{ROOT} [data-panel={panel}]")
        assert any(letter.isdigit() for letter in slot.locator(".ql-plot").get_attribute("aria-label"))
        slot.get_by_role("button", name="Numbers").press("Enter")
        assert slot.locator(".ql-drawer table tbody tr").count() > 1
    check_clean(server, visit)


def test_on_paper_the_charts_keep_within_the_page(server: Server, models: Path, open_visit: OpenVisit) -> None:
    """Printed, the headline and every chart are there and none is wider than the paper."""
    visit = open_charts(open_visit, server, "source=own.npz", size=NARROW)
    page = visit.page
    page.emulate_media(media="print")
    assert page.locator(f"{ROOT} .ql-headline").is_visible()
    assert page.locator(f"{ROOT} .ql-tools").first.is_hidden()
    for panel in ("heat", "weights", "errors", "curves", "channels"):
        box = page.locator(f"{ROOT} [data-panel={panel}]").bounding_box()
        assert box["width"] > 200
        assert box["x"] + box["width"] <= NARROW[0] + 1
    check_clean(server, visit)


def test_what_can_not_be_drawn_is_said_in_its_place(server: Server, models: Path, open_visit: OpenVisit) -> None:
    """An unknown layer of a link, a layer without figures, a file that is gone: each a sentence, never a blank."""
    visit = open_charts(open_visit, server, "source=encoder.safetensors&layer=no.such.layer")
    page = visit.page
    assert "no.such.layer" in page.locator(".st-key-notices").inner_text()
    assert page.locator(f"{ROOT} [data-panel=weights] .main-svg").first.is_visible()
    page.goto(f"{server.url}/?source=encoder.safetensors&layer=embeddings.position_ids&roles=all")
    wait_for_charts(page, layer="embeddings.position_ids")
    note = page.locator(f"{ROOT} .ql-remark[role=status]")
    assert "embeddings.position_ids" in note.inner_text()
    assert "no figures" in note.inner_text()
    assert page.locator(f"{ROOT} .heat-box").is_visible()
    wait_until_idle(page)
    check_clean(server, visit)


def test_two_tabs_and_a_file_that_is_gone(server: Server, models: Path, open_visit: OpenVisit) -> None:
    """Two tabs on one source keep their own states; when the file is deleted, what is held stays and the rest is a sentence."""
    path = save_deep(server.root, 12, "passing.npz")
    layers = [f"model.decoder.layers.{place // 5}.part{place % 5}.weight" for place in range(12)]
    one = open_charts(open_visit, server, f"source=passing.npz&layer={layers[0]}")
    other = open_charts(open_visit, server, f"source=passing.npz&layer={layers[1]}&bits=6")
    focus_slider(one.page)
    one.page.keyboard.press("ArrowRight")
    wait_for_charts(one.page, layer=layers[0], scheme="int5 group=128")
    wait_for_query(one.page, bits="5")
    wait_for_charts(other.page, layer=layers[1], scheme="int6 group=128")
    path.unlink()
    click_cell(one.page, layers[7], "int5 group=128")
    said = one.page.locator(f'{ROOT} .ql-trouble:not([hidden]), [data-testid="stAlert"]')
    said.first.wait_for()
    assert "passing.npz" in said.first.inner_text()
    assert str(server.root) not in said.first.inner_text()
    assert one.page.locator('[data-testid="stException"]').count() == 0
    assert server.read_trouble() == []


@pytest.mark.parametrize(
    ("pattern", "words"), [("**/linked/asset/**", "can not be drawn here"), ("**/linked/frames/**", "does not answer")]
)
def test_what_does_not_arrive_is_said(
    server: Server, models: Path, open_visit: OpenVisit, pattern: str, words: str
) -> None:
    """Where scripts or charts are kept from the browser a sentence says so, and tables and downloads are there."""
    visit = open_visit(
        f"{server.url}/?source=own.npz", prepare=lambda page: page.route(pattern, lambda route: route.abort())
    )
    page = visit.page
    page.locator(".st-key-charts", has_text=words).wait_for(timeout=60_000)
    wait_until_idle(page)
    assert page.locator(".st-key-save-csv button").is_visible()
    assert page.locator('[data-testid="stException"]').count() == 0
    assert server.read_trouble() == []
