"""The controls of tab Capture as a person uses them: what the file is, how it is measured, and what stands behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import TimeoutError as Unanswered
from playwright.sync_api import expect

from qanalysis.converters.captures import (
    analyze_capture,
    describe_capture,
    describe_tested,
    measure_capture,
    open_capture,
    open_tested,
)
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.spectrum.options import SpectrumOptions

from .conftest import OpenVisit, Server, Visit
from .test_converter_page import check_clean, wait_for_headline, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector

SAMPLES = 4096
TURNS = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
NOISE = np.random.default_rng(21).normal(0, 0.6, SAMPLES)


def save(server: Server, name: str, lines: Any) -> Path:
    path = server.root / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tell(path: Path, options: SpectrumOptions | None = None, **reading: Any) -> str:
    """The headline that the page has to show."""
    record = open_capture(path, Reading(**reading))
    return f"{path.name}: {describe_capture(record, analyze_capture(record, options)).headline}"


def open_record(open_visit: OpenVisit, server: Server, query: str, begin: str) -> Visit:
    visit = open_visit(f"{server.url}/converter?tab=capture&{query}")
    wait_for_headline(visit.page, begin)
    return visit


def choose(page: Any, label: str, option: str | re.Pattern[str]) -> None:
    """A menu closes where the page scrolls below it, which bringing the box into sight may do: then it is asked again."""
    box, found = page.get_by_role("combobox", name=label), page.get_by_role("option", name=option)
    box.evaluate("box => box.scrollIntoView({ block: 'center' })")
    for _ in range(5):
        box.click()
        try:
            found.click(timeout=5_000)
        except Unanswered:
            continue
        return
    expect(found).to_be_visible()


def fill(page: Any, label: str, text: str) -> None:
    box = page.get_by_role("textbox", name=label)
    box.fill(text)
    box.press("Enter")


@pytest.fixture(scope="module", autouse=True)
def other(server: Server) -> Path:
    """A record that is chosen from a list, there before the list is made: for ten seconds the page believes its list."""
    return save(server, "other.csv", np.rint(2048 + 1000 * np.sin(301 * TURNS) + NOISE).astype(int))


def test_choosing_unit_and_coding_changes_the_figures(server: Server, open_visit: OpenVisit) -> None:
    millivolts = save(server, "millivolts.csv", (f"{value:.0f}" for value in 1650 + 1500 * np.sin(127 * TURNS) + NOISE))
    visit = open_record(open_visit, server, "record=millivolts.csv", re.escape(tell(millivolts)))
    choose(visit.page, "Unit", "mV")
    expected = tell(millivolts, unit="mV")
    assert expected != tell(millivolts)
    wait_for_headline(visit.page, re.escape(expected))
    visit.page.get_by_text("4,096 samples, numbers in V, no codes").wait_for()
    check_clean(visit, server)

    codes = np.rint(2048 + 2000 * np.sin(127 * TURNS) + NOISE).astype(int)
    gray = save(server, "gray.csv", codes ^ (codes >> 1))
    visit = open_record(open_visit, server, "record=gray.csv&rate_hz=1000000", re.escape(tell(gray, fs_hz=1e6)))
    visit.page.get_by_text("More about the file").click()
    choose(visit.page, "Coding", "binary")
    wait_for_headline(visit.page, re.escape(tell(gray, coding="binary", fs_hz=1e6)))
    check_clean(visit, server)


def test_uneven_times_withhold_the_figures_until_they_are_resampled(server: Server, open_visit: OpenVisit) -> None:
    times = np.cumsum(np.random.default_rng(22).uniform(0.8e-6, 1.2e-6, SAMPLES))
    values = 0.8 * np.sin(2 * np.pi * 11e3 * times)
    rows = (f"{t:.15e}\t{v:.15e}" for t, v in zip(times, values, strict=True))
    path = save(server, "uneven.txt", ["time\tV(out)", *rows])
    visit = open_record(open_visit, server, "record=uneven.txt", "^uneven.txt: Figures withheld")
    page = visit.page
    page.get_by_role("alert").filter(has_text="not taken in even steps").wait_for()
    page.get_by_text("Resample", exact=True).click()
    wait_for_headline(page, re.escape(tell(path, resample=True)))
    page.wait_for_url("**resample=true")
    check_clean(visit, server)


def test_a_second_record_is_drawn_behind_and_a_band_raises_the_snr(server: Server, open_visit: OpenVisit) -> None:
    codes = np.rint(2048 + 2000 * np.sin(127 * TURNS) + NOISE).astype(int)
    path = save(server, "tone.csv", codes)
    visit = open_record(open_visit, server, "record=tone.csv&record_bits=12", "^tone.csv: SINAD")
    page = visit.page
    fill(page, "Sample rate fs (Hz)", "1 MHz")
    page.wait_for_url("**rate_hz=1000000")
    choose(page, "Second record", "other.csv")
    page.get_by_text("Behind it other.csv: SINAD").wait_for()
    page.locator(".ql-plot[role=img][aria-label*='Behind it other.csv']").wait_for()
    legend = page.locator(".st-key-c-spectrum .ql-legend")
    legend.get_by_text("other.csv", exact=True).wait_for()
    legend.get_by_text("tone.csv", exact=True).wait_for()

    wait_until_idle(page)
    page.get_by_text("Band and side bins").click()
    fill(page, "Band to (Hz)", "100 kHz")
    options = SpectrumOptions(band_hz=(0.0, 1e5))
    # A fifth of the noise is left of 500 kHz: 7 dB more, less the scatter of a few hundred bins (0.3 dB, twice over).
    whole, part = (analyze_capture(open_capture(path, Reading(bits=12, fs_hz=1e6)), one) for one in (None, options))
    assert part.snr_db - whole.snr_db == pytest.approx(10 * np.log10(5), abs=1)
    wait_for_headline(page, re.escape(tell(path, options, bits=12, fs_hz=1e6)))
    page.wait_for_url("**band_high=100000**")
    check_clean(visit, server)


def test_pairs_of_input_and_code_are_tested(server: Server, open_visit: OpenVisit) -> None:
    inputs = np.linspace(0, 3.3, 8001)
    codes = np.clip(np.floor(inputs / 3.3 * 64 + 0.3 * np.sin(2 * inputs)), 0, 63).astype(int)
    rows = (f"{x:.6f},{code}" for x, code in zip(inputs, codes, strict=True))
    path = save(server, "pairs.csv", ["vin (V),code", *rows])
    query = "record=pairs.csv&column=code&record_bits=6&record_low=0&record_high=3.3"
    visit = open_record(open_visit, server, query, "^pairs.csv: ")
    page = visit.page
    page.get_by_role("radio", name="Pairs (input, code)").or_(
        page.get_by_role("button", name="Pairs (input, code)")
    ).first.click()
    options = LinearityOptions(test="pairs", low=0.0, high=3.3)
    record = open_tested(path, Reading(column="code", inputs="vin (V)", bits=6), options)
    row = describe_tested(record, measure_capture(record, options))
    wait_for_headline(page, re.escape(f"pairs.csv: {row.headline}"))  # the column of inputs is found
    fill(page, "Input column", "code")
    page.get_by_role("alert").filter(has_text="Choose another Record or correct how it is read").wait_for()
    wait_until_idle(page)
    fill(page, "Input column", "vin (V)")
    wait_for_headline(page, re.escape(f"pairs.csv: {row.headline}"))
    page.locator(".st-key-c-linearity .ql-plot[role=img]").wait_for()
    check_clean(visit, server)
