"""Every control of tab Capture reaches the engine: the figures are those of the same reading and options, and others than before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.converters.captures import (
    analyze_capture,
    analyze_captures,
    describe_capture,
    describe_captures,
    describe_tested,
    measure_capture,
    open_capture,
    open_captures,
    open_tested,
)
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.sample_records import DEFAULT_RECORD
from qanalysis.converters.spectrum.options import SpectrumOptions
from tests.dashboard.converter.test_converter_page import figures, headline, open_tab
from tests.dashboard.scenes import read_charts

SAMPLES = 4096
TURNS = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
NOISE = np.random.default_rng(11).normal(0, 0.6, SAMPLES)
CODES = np.rint(2048 + 2000 * np.sin(127 * TURNS) + 3 * np.sin(900 * TURNS) + NOISE).astype(int)
DEFAULT = f"sample:{DEFAULT_RECORD}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_lines("codes.csv", map(str, CODES))
    write_lines("gray.csv", map(str, CODES ^ (CODES >> 1)))
    write_lines("digits.csv", (f"{code:d}" for code in CODES % 10 + 10 * (CODES // 10 % 10)))
    write_lines("millivolts.csv", (f"{value:.0f}" for value in 1650 + 1500 * np.sin(127 * TURNS) + NOISE))
    CODES.astype("<u2").tofile("words.bin")
    phases = np.arange(8)[:, None]
    rng = np.random.default_rng(12)
    eight = 2000 * np.sin(127 * TURNS + phases) + rng.normal(0, 2, (8, SAMPLES))
    np.save("eight.npy", np.rint(eight).astype(np.int16))
    times = np.cumsum(rng.uniform(0.5e-6, 1.5e-6, SAMPLES))
    values = 0.8 * np.sin(2 * np.pi * 31e3 * times)
    write_lines("uneven.txt", ["time\tV(out)", *(f"{t:.15e}\t{v:.15e}" for t, v in zip(times, values, strict=True))])
    inputs = np.linspace(0, 3.3, 8001)
    steps = np.clip(np.floor(inputs / 3.3 * 64 + 0.3 * np.sin(2 * inputs)), 0, 63).astype(int)
    pairs = (f"{x:.6f},{code},{code % 7}" for x, code in zip(inputs, steps, strict=True))
    write_lines("pairs.csv", ["vin (V),code,other", *pairs])
    return tmp_path


def write_lines(name: str, lines: Any) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def told(page: AppTest) -> str:
    boxes = (*page.markdown, *page.caption, *page.warning, *page.info, *page.error)
    return " ".join(re.sub(r"\\(.)", r"\1", box.value) for box in boxes)


@pytest.mark.parametrize(
    ("name", "parameters", "reading", "options"),
    [
        ("millivolts.csv", {"unit": "mV"}, {"unit": "mV"}, {}),
        ("gray.csv", {"coding": "binary"}, {"coding": "binary"}, {}),
        ("digits.csv", {"radix": "hex"}, {"radix": "hex"}, {}),
        ("words.bin", {"dtype": "i16be"}, {"dtype": "i16be"}, {}),
        ("uneven.txt", {"resample": "true"}, {"resample": True}, {}),
        ("codes.csv", {"window": "hann"}, {}, {"window": "hann"}),
        ("codes.csv", {"window": "hann", "side_bins": "20"}, {}, {"window": "hann", "side_bins": 20}),
        ("codes.csv", {"record_osr": "4"}, {}, {"osr": 4.0}),
        (
            "codes.csv",
            {"rate_hz": "1000000", "band_low": "10000", "band_high": "150000"},
            {"fs_hz": 1e6},
            {"band_hz": (1e4, 1.5e5)},
        ),
    ],
    ids=["unit", "coding", "radix", "dtype", "resample", "window", "side-bins", "oversampling", "band"],
)
def test_a_control_of_the_spectrum_is_the_engine_s(
    name: str, parameters: dict[str, str], reading: dict[str, Any], options: dict[str, Any]
) -> None:
    record = open_capture(name, Reading(**reading))
    row = describe_capture(record, analyze_capture(record, SpectrumOptions(**options)))
    page = open_tab("capture", record=name, **parameters)
    assert headline(page).startswith(f"{name}: {row.headline}")
    assert figures(page) == {figure.label: (figure.text, figure.convention) for figure in row.lines}
    before = open_tab("capture", record=name)
    assert before.error or figures(before) != figures(page)


def test_the_box_of_the_coding_says_what_was_guessed() -> None:
    assert open_tab("capture", record="gray.csv").selectbox(key="coding").options[0] == "guess: gray"
    assert open_tab("capture", record="codes.csv").selectbox(key="coding").options[0] == "guess: binary"


@pytest.mark.parametrize("average", ["power", "coherent"])
def test_the_channels_of_a_file_become_one_spectrum(average: Any) -> None:
    page = open_tab("capture", record="eight.npy")
    page.selectbox(key="average").set_value(average).run()
    records = open_captures(["eight.npy"], every=True)
    row = describe_captures(records, analyze_captures(records, SpectrumOptions(average=average)))
    assert headline(page) == f"eight.npy: {row.headline}"
    assert f"So are 8 channels: {average} average." in told(page)
    page.selectbox(key="average").set_value("none").run()
    first = open_capture("eight.npy")
    assert headline(page) == f"eight.npy: {describe_capture(first, analyze_capture(first)).headline}"


def test_one_channel_is_not_averaged_and_that_is_said() -> None:
    page = open_tab("capture", record="codes.csv", average="power")
    assert headline(page) == headline(open_tab("capture", record="codes.csv"))
    assert "The file has one channel: nothing is averaged." in told(page)
    assert not [box for box in open_tab("capture", record="codes.csv").selectbox if box.key == "average"]


def test_uneven_times_have_no_figures_until_they_are_resampled() -> None:
    page = open_tab("capture", record="uneven.txt")
    assert headline(page) == "uneven.txt: Figures withheld"
    assert "not taken in even steps" in page.error[0].value
    assert "Resample" in page.error[0].value
    assert not page.table  # nor is there a word of figures among the findings
    assert not re.search(r"\d dB", told(page))
    assert "No spectrum to draw" in read_charts(page)["c-spectrum"]["alt"]
    page.toggle(key="resample").set_value(True).run()
    assert page.query_params["resample"] == "true"
    assert headline(page).startswith("uneven.txt: SINAD ")
    page.toggle(key="resample").set_value(False).run()
    assert headline(page) == "uneven.txt: Figures withheld"


def test_figures_that_contradict_the_width_are_warned_of_above_the_chart() -> None:
    # Eight phases of a tone of twenty steps: all that rounding leaves lies on its harmonics, none in the noise.
    np.save("locked.npy", np.rint(20 * np.sin(512 * TURNS + 0.3)).astype(np.int16))
    page = open_tab("capture", record="locked.npy", record_bits="12")
    record = open_capture("locked.npy", Reading(bits=12))
    assert describe_capture(record, analyze_capture(record)).contradicted
    assert "ENOB above width" in page.error[0].value
    assert not any("ENOB above width" in box.value for box in page.warning)


def test_messages_name_the_boxes_of_the_page() -> None:
    page = open_tab("capture", record=DEFAULT, test="pairs")
    assert "the box Input column" in page.error[0].value
    assert "--" not in page.error[0].value.replace("\\", "")
    shown = figures(open_tab("capture", record="sample:sine for a linearity test, 10 bit", test="sine"))
    assert "needs the ends of the input: the boxes Input from and Input to" in shown["Offset"][1]


def test_a_second_record_stands_behind_the_first_with_its_own_figures() -> None:
    page = open_tab("capture", record="codes.csv", rate_hz="1000000")
    first = headline(page)
    page.selectbox(key="second").set_value(DEFAULT).run()
    second = open_capture(DEFAULT)
    row = describe_capture(second, analyze_capture(second))
    assert headline(page) == first
    assert f"Behind it **{DEFAULT}**: {row.headline}" in told(page)
    chart = read_charts(page)["c-spectrum"]
    assert [trace["name"] for trace in chart["figure"]["data"][:2]] == [DEFAULT, "codes.csv"]
    assert f"Behind it {DEFAULT}: SINAD" in chart["alt"]
    assert f"second = open_capture('{DEFAULT}')" in chart["python"]


def test_the_second_record_may_be_another_column_of_the_same_file() -> None:
    write_lines("two.csv", ["a,b", *(f"{code},{code // 16}" for code in CODES)])
    page = open_tab("capture", record="two.csv", column="a", second="two.csv", second_column="b")
    other = open_capture("two.csv", Reading(column="b"))
    assert describe_capture(other, analyze_capture(other)).headline in told(page)
    names = [trace["name"] for trace in read_charts(page)["c-spectrum"]["figure"]["data"][:2]]
    assert names == ["two.csv, b", "two.csv, a"]


@pytest.mark.parametrize("second", ["gone.csv", "../away.csv", "sample:none"])
def test_a_second_record_that_can_not_be_read_leaves_the_first(second: str) -> None:
    page = open_tab("capture", record="codes.csv", second=second)
    assert "Second record:" in re.sub(r"\\(.)", r"\1", page.error[0].value)
    assert headline(page) == headline(open_tab("capture", record="codes.csv"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"band_low": "1000"}, "its upper end is missing"),
        ({"band_low": "9000", "band_high": "5000"}, "the lower end must lie below the upper one"),
        ({"band_high": "9000", "record_osr": "4"}, "both choose the band"),
        ({"dtype": "i99"}, "i99"),
        ({"side_bins": "9999"}, "side_bins"),
    ],
)
def test_what_can_not_be_measured_so_is_one_message(parameters: dict[str, str], message: str) -> None:
    page = open_tab("capture", record="codes.csv", rate_hz="48000", **parameters)
    assert message in re.sub(r"\\(.)", r"\1", page.error[0].value)


def test_words_of_an_address_that_mean_nothing_are_left_out_and_named() -> None:
    wrong = {
        "unit": "kV",
        "coding": "bcd",
        "radix": "octal",
        "window": "welch",
        "average": "median",
        "band_low": "wide",
    }
    page = open_tab("capture", record="codes.csv", **wrong)
    notice = page.warning[0].value.replace("\\", "")
    assert all(f"{name}={word}" in notice for name, word in wrong.items())
    assert headline(page) == headline(open_tab("capture", record="codes.csv"))


def test_what_is_stated_in_a_folded_part_unfolds_it() -> None:
    def unfolded(**parameters: str) -> list[bool]:
        page = open_tab("capture", record="codes.csv", **parameters)
        return [part.proto.expanded for part in page.expander]

    assert unfolded() == [False, False]
    assert unfolded(coding="gray") == [True, False]
    assert unfolded(record_osr="2") == [False, True]


def test_pairs_of_input_and_code_are_tested_as_the_engine_does() -> None:
    parameters = {"record": "pairs.csv", "test": "pairs", "record_bits": "6", "record_low": "0", "record_high": "3.3"}
    page = open_tab("capture", **parameters, column="code", input_column="vin (V)")
    options = LinearityOptions(test="pairs", low=0.0, high=3.3)
    record = open_tested("pairs.csv", Reading(column="code", inputs="vin (V)", bits=6), options)
    row = describe_tested(record, measure_capture(record, options))
    assert headline(page) == f"pairs.csv: {row.headline}"
    assert figures(page) == {figure.label: (figure.text, figure.convention) for figure in row.lines}
