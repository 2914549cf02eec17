"""Page Compare as a person uses it: two files, a layer from the table, a swap, the gate, files, and the link again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import save_file

from qanalysis import sweep
from qanalysis.comparisons.compare import compare
from qanalysis.reports.report import read_result, write_report

from .conftest import OpenVisit, Server, Visit
from .downloads import take_file
from .layers_page import find_row, wait_for_charts, wait_for_query, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def models(server: Server) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(9)
    base = {f"block{at}.weight": rng.standard_normal((24, 32), dtype=np.float32) for at in range(5)}
    tuned = {f"model.{name}": x + np.float32(0.02) * np.roll(x, 1, axis=0) for name, x in base.items()}
    tuned["model.block3.weight"][7] *= 2
    save_file(base, server.root / "base.safetensors")
    save_file(tuned, server.root / "tuned.safetensors")
    write_report(sweep(base, ["int4 channel"]), server.root / "before.json")
    write_report(sweep(tuned, ["int4 channel"]), server.root / "after.json")
    return base, tuned


def open_compare(open_visit: OpenVisit, server: Server, query: str = "", **options: Any) -> Visit:
    visit = open_visit(
        f"{server.url}/compare?{query}", prepare=lambda page: page.set_default_timeout(PATIENCE_MS), **options
    )
    visit.page.locator(".st-key-rows tr.ql-table-row").first.wait_for()
    wait_until_idle(visit.page)
    return visit


def choose(page: Any, field: str, text: str) -> None:
    box = page.locator(f".st-key-{field} input")
    box.click()
    box.fill(text)
    page.keyboard.press("Enter")
    wait_for_query(page, **{field: text})


def check_clean(server: Server, *visits: Visit) -> None:
    assert [complaint for visit in visits for complaint in visit.complaints] == []
    assert server.read_trouble() == []


def test_two_files_a_layer_a_gate_a_swap_and_the_link_in_a_fresh_profile(
    server: Server, models: tuple, open_visit: OpenVisit, tmp_path: Path
) -> None:
    visit = open_compare(open_visit, server)
    page = visit.page
    choose(page, "a", "base.safetensors")
    choose(page, "b", "tuned.safetensors")
    rows = {row.tensor_a: row for row in compare(*models)}
    worst = f"{rows['block3.weight'].sqnr_db:.2f}"
    expect(find_row(page, "rows", "block3.weight")).to_contain_text(worst)
    wait_for_charts(page, layer="block3.weight")
    expect(page.locator(".st-key-charts [data-panel=c-places]")).to_contain_text("output channel 7")

    find_row(page, "rows", "block1.weight").click()
    wait_for_query(page, layer="block1.weight")
    wait_for_charts(page, layer="block1.weight")

    page.locator(".st-key-gate input").fill("sqnr_db<20")
    page.keyboard.press("Enter")
    wait_for_query(page, gate="sqnr_db<20")
    expect(find_row(page, "rows", "block3.weight")).to_contain_text("sqnr_db < 20")
    failing = page.locator(".st-key-rows tr.ql-table-row", has_text="✗")
    expect(failing).to_have_count(sum(row.sqnr_db < 20 for row in rows.values()))

    download = take_file(page, page.locator(".st-key-save-json button"))
    download.save_as(tmp_path / "rows.json")
    assert {row.tensor_a: row.sqnr_db for row in read_result(tmp_path / "rows.json")} == {
        name: row.sqnr_db for name, row in rows.items()
    }

    fresh = open_compare(open_visit, server, page.url.partition("?")[2], scheme="dark", size=(1100, 900))
    wait_for_charts(fresh.page, layer="block1.weight")
    expect(find_row(fresh.page, "rows", "block3.weight")).to_contain_text("sqnr_db < 20")
    assert fresh.page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollWidth <= document.documentElement.clientWidth"
    )

    page.get_by_role("button", name="Swap A and B").click()
    wait_for_query(page, a="tuned.safetensors", b="base.safetensors")
    turned = {row.tensor_a: row for row in compare(models[1], models[0])}
    line = find_row(page, "rows", "model.block3.weight")
    expect(line).to_contain_text(f"{turned['model.block3.weight'].sqnr_db:.2f}")
    check_clean(server, visit, fresh)


def test_two_results_side_by_side_and_a_step_back(server: Server, models: tuple, open_visit: OpenVisit) -> None:
    visit = open_compare(open_visit, server, "a=before.json&b=after.json")
    page = visit.page
    expect(page.locator(".st-key-totals tr.ql-table-row")).to_have_count(1)
    names = page.locator(".st-key-rows tr.ql-table-row th").all_inner_texts()
    assert len(names) == 5
    page.locator(".st-key-rows tr.ql-table-row").nth(2).click()
    page.wait_for_function("new URLSearchParams(location.search).get('layer') !== null")
    wait_until_idle(page)
    expect(page.locator(".st-key-difference tr.ql-table-row")).to_have_count(3)
    page.get_by_role("button", name="Undo").click()
    wait_for_query(page, layer=None)
    check_clean(server, visit)
