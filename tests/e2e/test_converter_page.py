"""Page Converter as a person uses it: a textbook problem, a simulation under the slider, a capture of one's own, and links to all of them."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.converters.captures import analyze_capture, describe_capture
from qanalysis.converters.records.records import read_record
from qanalysis.dashboard.converter.cache import build_simulation, run_simulation, simulation_key
from qanalysis.dashboard.converter.simulate_panels import headline_simulation, list_errors
from qanalysis.dashboard.converter.view import ConverterView

from .conftest import OpenVisit, Server, Visit
from .downloads import take_file

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
    )


def wait_for_headline(page: Any, text: str) -> str:
    heading = page.get_by_role("heading", level=4).filter(has_text=re.compile(text))
    heading.wait_for(timeout=60_000)
    wait_until_idle(page)
    return str(heading.inner_text())


def open_page(open_visit: OpenVisit, server: Server, tab: str) -> Visit:
    visit = open_visit(f"{server.url}/converter")
    wait_for_headline(visit.page, "^12 bit over 10 V")
    visit.page.get_by_role("tab", name=tab).click()
    wait_for_headline(
        visit.page,
        {"Textbook": "^12 bit over 10 V", "Simulate": "^8 bit: SQNR", "Capture": "^sample:tone between bins"}[tab],
    )
    return visit


def read_alternatives(page: Any) -> list[str]:
    charts = page.locator(".ql-plot[role=img]")
    charts.first.wait_for()
    return [charts.nth(index).get_attribute("aria-label") for index in range(charts.count())]


def copy_link(page: Any) -> str:
    page.get_by_role("button", name="Copy link").click()
    return str(page.locator('[data-testid="stCode"] code').inner_text()).strip()


def check_clean(visit: Visit, server: Server) -> None:
    assert visit.page.locator('[data-testid="stException"]').count() == 0
    assert visit.complaints == []
    assert server.read_trouble() == []


def test_a_textbook_problem_from_the_preset_to_the_code_table(
    server: Server, open_visit: OpenVisit, tmp_path: Path
) -> None:
    visit = open_page(open_visit, server, "Textbook")
    page = visit.page
    wait_for_headline(page, "12 bit over 10 V: step 2.441 mV, bound ±1.221 mV")
    page.get_by_role("button", name="8 bit, 12 V at 4.5 V").click()
    shown = wait_for_headline(page, "8 bit over 12 V: step 46.88 mV, bound ±23.44 mV")
    working = page.locator('[data-testid="stTable"]', has_text="Actual error").last.inner_text()
    assert re.search(r"Actual error\s+e = y − x\s+4\.5 V − 4\.5 V\s+0 V", working)

    page.get_by_text("Code table: code, lower edge").click()
    page.locator(".st-key-k-save-codes button").wait_for()
    wait_until_idle(page)  # a button that the run under way draws again would lose the click
    download = take_file(page, page.locator(".st-key-k-save-codes button"))
    download.save_as(tmp_path / "codes.csv")
    lines = (tmp_path / "codes.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 257
    assert lines[97].startswith("96,4.4765625,4.5,4.5234375,4.5,")

    fresh = open_visit(copy_link(page))
    assert wait_for_headline(fresh.page, "8 bit over 12 V") == shown
    page.keyboard.press("Escape")
    page.get_by_role("slider", name="Bits").focus()
    page.keyboard.press("ArrowRight")
    wait_for_headline(page, "9 bit over 12 V: step 23.44 mV")
    check_clean(visit, server)


def test_a_simulation_follows_its_sliders_and_every_view_shows_its_charts(
    server: Server, open_visit: OpenVisit
) -> None:
    visit = open_page(open_visit, server, "Simulate")
    page = visit.page
    page.get_by_role("slider", name="Bits").focus()
    page.keyboard.press("ArrowRight")
    expected = headline_simulation(build_simulation(ConverterView(sim_bits=9)).run())
    assert wait_for_headline(page, "^9 bit: SQNR") == expected
    for view, count in (("Codes and ledger", 2), ("Spectrum", 1), ("Sweeps", 6), ("DAC", 2)):
        page.get_by_role("radio", name=view).or_(page.get_by_role("button", name=view)).first.click()
        page.locator('.ql-root[data-waiting="false"] .main-svg').first.wait_for()
        page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot').length === {count}")
        wait_until_idle(page)
        assert all(re.search(r"\d", text) for text in read_alternatives(page))
    page.get_by_role("tab", name="Textbook").click()
    wait_for_headline(page, "12 bit over 10 V")
    page.get_by_role("tab", name="Simulate").click()
    assert wait_for_headline(page, "^9 bit: SQNR") == expected

    fresh = open_visit(copy_link(page), scheme="dark")
    assert wait_for_headline(fresh.page, "^9 bit: SQNR") == expected
    check_clean(visit, server)


def read_texts(page: Any) -> dict[str, str]:
    sliders = page.get_by_role("slider").all()
    return {slider.get_attribute("aria-label"): slider.get_attribute("aria-valuetext") for slider in sliders}


def test_bits_amplitude_and_phase_move_at_once_and_address_and_undo_follow(
    server: Server, open_visit: OpenVisit
) -> None:
    visit = open_page(open_visit, server, "Simulate")
    page = visit.page
    other = open_visit(f"{server.url}/converter?tab=simulate&sim_bits=5")
    wait_for_headline(other.page, "^5 bit: SQNR")
    for name, key in (("Bits", "ArrowRight"), ("Amplitude", "ArrowLeft"), ("Start phase", "ArrowRight")):
        page.get_by_role("slider", name=name).focus()
        page.keyboard.press(key)
    moved = ConverterView(sim_bits=9, amplitude=99.1, phase=1)
    expected = headline_simulation(build_simulation(moved).run())
    assert wait_for_headline(page, re.escape(expected)) == expected
    page.wait_for_url("**/converter?tab=simulate&sim_bits=9&amplitude=99.1&phase=1")
    assert read_texts(page)["Amplitude"] == "99.1 %"
    assert read_texts(page)["Start phase"] == "1 °"
    page.locator('.ql-root[data-waiting="false"]').wait_for()
    shown = dict(row.split("\t") for row in page.locator(".ql-facts tbody").inner_text().splitlines())
    facts = list_errors(run_simulation(simulation_key(moved)), moved)
    assert all(shown[name].startswith(value) for name, value, _ in facts)

    fresh = open_visit(page.url)
    assert wait_for_headline(fresh.page, "^9 bit") == expected
    wait_until_idle(page)
    page.locator(".st-key-reset button").first.click()
    wait_for_headline(page, "^8 bit: SQNR")
    assert read_texts(page)["Amplitude"] == "99.2 %"
    page.locator(".st-key-undo button").first.click()
    assert wait_for_headline(page, "^9 bit: SQNR") == expected
    assert read_texts(page)["Start phase"] == "1 °"
    assert wait_for_headline(other.page, "^5 bit: SQNR")
    check_clean(visit, server)


def test_controls_that_contradict_each_other_leave_the_sliders_and_a_sentence(
    server: Server, open_visit: OpenVisit
) -> None:
    visit = open_visit(f"{server.url}/converter?tab=simulate&sim_view=spectrum&osr=256&samples=1024")
    alert = visit.page.locator(".ql-trouble")
    alert.wait_for()
    assert "Change the control that the message names" in alert.inner_text()
    assert set(read_texts(visit.page)) >= {"Bits", "Amplitude", "Start phase"}


def save_wav(path: Path) -> Path:
    n, rng = np.arange(8192), np.random.default_rng(3)
    tone = (
        30_000 * np.sin(2 * np.pi * 1021 * n / n.size)
        + 30 * np.sin(2 * np.pi * 3063 * n / n.size)
        + rng.normal(0, 4, n.size)
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(np.rint(tone).astype("<i2").tobytes())
    return path


def test_a_capture_from_the_upload_to_the_report(server: Server, open_visit: OpenVisit, tmp_path: Path) -> None:
    record = read_record(save_wav(tmp_path / "tone.wav"))
    expected = describe_capture(record, analyze_capture(record))

    visit = open_page(open_visit, server, "Capture")
    page = visit.page
    wait_for_headline(page, "sample:tone between bins, 12 bit: SINAD 70")
    page.get_by_role("button", name="Your own record").click()
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(tmp_path / "tone.wav")
    assert wait_for_headline(page, "^tone.wav: SINAD") == f"tone.wav: {expected.headline}"
    page.keyboard.press("Escape")
    page.locator(".ql-plot[role=img][aria-label*='Spectrum of 8192 samples, coherent']").first.wait_for()
    wait_until_idle(page)
    for kind in ("json", "html"):
        download = take_file(page, page.locator(f".st-key-c-save-{kind} button"))
        download.save_as(tmp_path / f"row.{kind}")
    document = json.loads((tmp_path / "row.json").read_text(encoding="utf-8"))
    assert document["rows"][0]["sinad_db"] == expected.sinad_db
    assert document["source"]["digest"] == record.source.digest
    assert 0 < (tmp_path / "row.html").stat().st_size < 6_000_000
    check_clean(visit, server)
