"""The table of the linked charts in a browser, without a server: focus looks, keys and clicks choose, columns sort."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from qanalysis.charts.linked.modules import join_modules, read_styles
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.palette import PALETTES

from .conftest import OpenVisit

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
PAGE = '<meta charset="utf-8"><style>{style}</style><input id="before"><div id="holder"></div><input id="after">'
SCRIPT = """{source}
const panel = {panel};
window.picked = [];
window.table = new Table(document.getElementById("holder"), {{ onPick: ({{ row }}) => window.picked.push(row) }});
window.table.show(panel, {colours});
window.table.select("layer 1");"""
ROW = "tr.ql-table-row"
ShowPanel = Callable[..., Any]


@pytest.fixture
def show_panel(open_visit: OpenVisit) -> ShowPanel:
    """Opens a page with nothing but a panel between two boxes; `width` in pixels."""

    def show(panel: TablePanel, *, width: int = 800) -> Any:
        page = open_visit("about:blank").page
        page.set_viewport_size({"width": width, "height": 900})
        page.set_content(PAGE.format(style=read_styles()))
        light = PALETTES["light"]
        colours = {role: getattr(light, role) for role in ("text", "muted", "grid", "panel", "background", "kept")}
        code = SCRIPT.format(source=join_modules(), panel=json.dumps(panel.describe()), colours=json.dumps(colours))
        page.add_script_tag(type="module", content=code)
        page.wait_for_function("window.table !== undefined")
        return page

    return show


def make_panel(count: int = 6, **facts: Any) -> TablePanel:
    """Rows "layer 0" and so on; of six the gains are 3, none, ∞, −1, 12, 3."""
    gains = ([3.0, None, math.inf, -1.0, 12.0, 3.0] * count)[:count]
    names = [f"layer {place}" for place in range(count)]
    return TablePanel(
        "layers",
        "Layers",
        [
            ShownColumn("layer", "Layer", names),
            ShownColumn("gain_db", "Gain (dB)", [f"{gain} dB" for gain in gains], gains, note="how much"),
            ShownColumn(
                "reason",
                "Reason",
                ["", "an extremely long reason that no narrow page has room for, but which is told in full"]
                * (count // 2),
            ),
        ],
        names,
        **{"height": 400} | facts,
    )


def list_rows(page: Any) -> list[int]:
    return [int(text.split()[1]) for text in page.locator(f"{ROW} > th").all_inner_texts()]


def read_picked(page: Any) -> list[str]:
    picked: list[str] = page.evaluate("window.picked")
    return picked


def read_focused(page: Any) -> str:
    focused: str = page.evaluate("document.activeElement.id || document.activeElement.innerText.split('\\t')[0]")
    return focused


def test_focus_never_chooses(show_panel: ShowPanel) -> None:
    page = show_panel(make_panel())
    page.focus("#before")
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        seen.append(read_focused(page))
    assert seen == ["Copy", "Layer", "layer 1", "after"]  # one stop for the headings, one for the rows
    page.keyboard.press("Shift+Tab")
    for key in ("ArrowDown", "ArrowDown", "End", "PageUp", "Home", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    assert read_focused(page) == "Gain (dB)"
    assert read_picked(page) == []
    assert page.locator(f'{ROW}[aria-selected="true"] > th').all_inner_texts() == ["layer 1"]


def test_enter_space_and_a_click_choose_and_the_same_row_again(show_panel: ShowPanel) -> None:
    page = show_panel(make_panel())
    page.locator(ROW).nth(2).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    page.locator(ROW).nth(5).click()
    page.locator(ROW).nth(5).click()
    assert read_picked(page) == ["layer 2", "layer 3", "layer 5", "layer 5"]
    assert page.locator('[aria-selected="true"] > th').all_inner_texts() == ["layer 5"]
    page.evaluate("window.table.select('layer 0')")  # a choice made elsewhere on the page
    assert page.locator('[aria-selected="true"] > th').all_inner_texts() == ["layer 0"]
    assert len(read_picked(page)) == 4


def test_headings_sort_up_down_and_as_in_the_file(show_panel: ShowPanel) -> None:
    page = show_panel(make_panel())
    gain, heading = page.get_by_role("button", name="Gain"), page.locator("thead th").nth(1)
    orders = []
    for _ in range(3):
        gain.click()
        orders.append((heading.get_attribute("aria-sort"), list_rows(page)))
    assert orders == [
        ("ascending", [3, 0, 5, 4, 2, 1]),  # equal ones as in the file, the one without a value last
        ("descending", [2, 4, 0, 5, 3, 1]),
        (None, [0, 1, 2, 3, 4, 5]),
    ]
    assert read_picked(page) == []


def test_numbers_in_names_sort_by_what_they_count(show_panel: ShowPanel) -> None:
    page = show_panel(make_panel(12))
    layer = page.get_by_role("button", name="Layer")
    layer.click()
    assert list_rows(page) == list(range(12))
    layer.click()
    assert list_rows(page) == list(range(12))[::-1]


def test_a_copy_holds_every_digit_in_the_order_in_sight(show_panel: ShowPanel) -> None:
    names = ["whole.name.of.a", "=1+1"]
    columns = [
        ShownColumn("name", "Name", ["a", "=1+1"]),
        ShownColumn("gain_db", "Gain (dB)", ["0.33", "∞"], [1 / 3, math.inf]),
    ]
    page = show_panel(TablePanel("numbers", "Numbers", columns, names, pick=False))
    page.evaluate(
        "navigator.clipboard = undefined; document.execCommand = () => { window.copied = document.activeElement.value; return true; }"
    )
    page.get_by_role("button", name="Gain").click()
    page.get_by_role("button", name="Gain").click()
    page.get_by_role("button", name="Copy").click()
    page.wait_for_function("window.copied !== undefined")
    assert page.evaluate("window.copied") == f"name\tgain_db\n'=1+1\tinf\nwhole.name.of.a\t{1 / 3!r}"
    assert page.get_by_role("status").inner_text() == "Copied"
    page.locator(ROW).first.click()
    assert read_picked(page) == []  # nothing to choose in a table of numbers
    assert page.locator("[aria-selected]").count() == 0


def test_a_thousand_rows_cost_as_little_as_those_in_sight(show_panel: ShowPanel) -> None:
    page = show_panel(make_panel(1000))
    assert page.locator(ROW).count() < 60
    assert page.get_by_role("grid").get_attribute("aria-rowcount") == "1001"
    page.focus(f'{ROW}[tabindex="0"]')
    page.keyboard.press("End")
    assert read_focused(page) == "layer 999"
    page.evaluate("document.querySelector('.ql-table-box').scrollTop = 0")
    page.wait_for_function(f"document.querySelector('{ROW} > th').innerText === 'layer 0'")
    page.keyboard.press("ArrowUp")  # the row with the focus was scrolled away, and is found again
    assert read_focused(page) == "layer 998"
    assert page.locator(ROW).count() < 60
    page.emulate_media(media="print")
    page.wait_for_function(f"document.querySelectorAll('{ROW}').length === 1000")
    page.emulate_media(media="screen")
    page.wait_for_function(f"document.querySelectorAll('{ROW}').length < 60")


@pytest.mark.parametrize("width", [380, 1100])
def test_nothing_is_cut_and_the_first_column_stays(show_panel: ShowPanel, width: int) -> None:
    page = show_panel(make_panel(40), width=width)
    assert page.evaluate(
        "[...document.querySelectorAll('tbody > tr > *')].every(cell => cell.scrollWidth <= cell.clientWidth)"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    first = page.locator(f"{ROW} > th").first
    before = first.bounding_box()["x"]
    room = page.evaluate(
        "(() => { const box = document.querySelector('.ql-table-box'); box.scrollLeft = 1e4; return box.scrollLeft; })()"
    )
    assert (room > 0) == (width == 380)
    assert first.bounding_box()["x"] == before
