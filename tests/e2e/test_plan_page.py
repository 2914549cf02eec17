"""Page Plan as a person uses it: the budget under the hand, a lock and a step back, patterns, a recipe, files, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from qanalysis.plans.plan import Plan
from qanalysis.plans.reopening import choose_again
from qanalysis.reports.report import read_result, write_report
from tests.charts.plans import make_plan

from .conftest import OpenVisit, Server, Visit
from .downloads import take_file
from .layers_page import ROOT, read_query, wait_for_query, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
PATIENCE_MS = 120_000

# Milliseconds from each step of the slider to the second frame after the plan stands.
STEPS = """async (count) => {
  const root = document.querySelector(".st-key-charts .ql-root"), input = root.querySelector(".ql-range");
  const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const times = [];
  for (let step = 0; step < count; step += 1) {
    const before = root.dataset.shown, start = performance.now();
    input.value = Number(input.value) + (step < count / 2 ? 1 : -1);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    while (root.dataset.shown === before) await new Promise((done) => setTimeout(done));
    await frames();
    times.push(performance.now() - start);
  }
  return times;
}"""


@pytest.fixture(scope="module")
def saved(server: Server) -> Iterator[Path]:
    write_report(make_plan(6), server.root / "six.json")
    write_report(make_plan(300), server.root / "many.json")
    return server.root


@pytest.fixture(scope="module")
def visit(browser: Any, server: Server, saved: Path) -> Iterator[Visit]:
    """One profile for the tests of this file, as a person's who stays: what a page needs is fetched once."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    opened = Visit(context.new_page())
    opened.watch()
    yield opened
    context.close()


def go_to(visit: Visit, server: Server, query: str) -> Any:
    """The page at an address, its charts drawn."""
    visit.page.goto(f"{server.url}/plan?{query}")
    wait_for_plan(visit.page)
    return visit.page


def open_plan(open_visit: OpenVisit, server: Server, query: str, **options: Any) -> Visit:
    """The same in a fresh profile."""
    opened = open_visit(
        f"{server.url}/plan?{query}", prepare=lambda page: page.set_default_timeout(PATIENCE_MS), **options
    )
    wait_for_plan(opened.page)
    return opened


def wait_for_plan(page: Any, budget: float | None = None) -> None:
    """Until the charts stand at a budget, at any where None is asked for, and the page behind them is idle."""
    page.wait_for_function(
        """([root, budget]) => {
          const shown = JSON.parse(document.querySelector(root)?.dataset.shown ?? "[]")[1];
          return shown !== undefined && (budget === null || shown === budget);
        }""",
        arg=[ROOT, budget],
    )
    wait_until_idle(page)


def read_table(page: Any) -> dict[str, str]:
    """The scheme of each layer in sight, by its label."""
    lines = page.locator(f"{ROOT} [data-panel=p-layers] tr.ql-table-row")
    cells = [line.split("\t") for line in lines.all_inner_texts()]
    return {name.strip(): scheme.strip() for name, scheme, *_ in cells}


def check_clean(server: Server, *visits: Visit) -> None:
    assert [complaint for visit in visits for complaint in visit.complaints] == []
    assert server.read_trouble() == []


def test_the_budget_moves_the_whole_plan_without_the_server_and_the_address_when_the_hand_rests(
    server: Server, visit: Visit, tmp_path: Path
) -> None:
    plan = make_plan(6)
    page = go_to(visit, server, "source=six.json&budget=4")
    assert read_table(page) == choose_again(plan, budget_bpw=4).assignments
    head = page.locator(f"{ROOT} .ql-headline")
    before, spoken = head.inner_text(), len(visit.sent)
    slider = page.get_by_role("slider", name="Budget")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([root, before]) => document.querySelector(`${root} .ql-headline`).textContent !== before", arg=[ROOT, before]
    )
    assert len(visit.sent) == spoken
    budget = float(slider.get_attribute("aria-valuetext").split()[0])
    wait_for_query(page, budget=f"{budget:g}")
    wait_for_plan(page, budget)
    exact = choose_again(plan, budget_bpw=budget)
    assert read_table(page) == exact.assignments
    assert head.inner_text().startswith(f"{exact.bits_per_weight:.3f} bits per weight")
    expect(page.locator(f"{ROOT} [data-panel=p-totals]")).to_contain_text("exact optimum")

    download = take_file(page, page.locator(".st-key-save-json button"))
    download.save_as(tmp_path / "plan.json")
    exported = read_result(tmp_path / "plan.json")
    assert isinstance(exported, Plan)
    assert exported.assignments == exact.assignments

    other = Visit(page.context.new_page())  # another session of the server, that knows the address alone
    other.watch()
    other.page.emulate_media(color_scheme="dark")
    go_to(other, server, page.url.partition("?")[2])
    assert other.page.locator(f"{ROOT} .ql-headline").inner_text() == head.inner_text()
    assert read_table(other.page) == exact.assignments
    other.page.close()
    check_clean(server, visit, other)


def test_a_lock_by_hand_stays_at_every_budget_until_it_is_undone(server: Server, visit: Visit) -> None:
    page = go_to(visit, server, "source=six.json&budget=4")
    first = read_table(page)
    name = list(first)[3]
    page.locator(f"{ROOT} tr[data-row] > th", has_text=name).click()
    wait_for_query(page, layer=name)
    box = page.get_by_role("combobox", name=re.compile("^Scheme"))
    box.click()
    box.fill("int8 channel")
    box.press("Enter")
    wait_for_query(page, lock=f"{name}=int8 channel")
    page.locator(f"{ROOT} tr.ql-table-row", has_text="locked").wait_for()
    assert read_table(page)[name] == "int8 channel"
    page.get_by_role("button", name="Undo").click()
    wait_for_query(page, lock=None)
    expect(page.locator(f"{ROOT} tr.ql-table-row", has_text="locked")).to_have_count(0)
    assert read_table(page) == first
    check_clean(server, visit)


def test_patterns_recipes_and_a_narrow_window(server: Server, visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 800, "height": 900})
    page = go_to(visit, server, "source=six.json&budget=3.5")
    page.get_by_text("Patterns: the layers of each scheme").click()
    wait_for_query(page, patterns="true")
    pattern = page.locator("[data-testid=stCode]", has_text="^model").first
    expect(pattern).to_be_visible()
    names = list(read_table(page))
    assert [name for name in names if re.search(pattern.inner_text().strip(), name)]
    assert page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollWidth <= document.documentElement.clientWidth"
    )
    page.get_by_role("radio", name="mlx").click()
    wait_for_query(page, recipe="mlx")
    download = take_file(page, page.get_by_role("button", name="Download").first)
    assert download.path().read_text()
    assert read_query(page)["budget"] == ["3.5"]
    check_clean(server, visit)


def test_three_hundred_layers_are_painted_at_each_step_without_the_server(server: Server, visit: Visit) -> None:
    """How fast that is, the benchmark of this page says: a machine that does other work beside has its own pace."""
    visit.page.set_viewport_size({"width": 1440, "height": 900})
    page = go_to(visit, server, "source=many.json&budget=4")
    head = page.locator(f"{ROOT} .ql-headline")
    before, spoken = head.inner_text(), len(visit.sent)
    assert len(page.evaluate(STEPS, 12)) == 12
    assert head.inner_text() == before  # as many steps back as forward
    assert len(visit.sent) == spoken
    page.evaluate(STEPS, 1)
    assert head.inner_text() != before
    check_clean(server, visit)
