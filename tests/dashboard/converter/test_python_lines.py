"""The lines of Python beside the charts of a captured record run where its file lies, and make the charts' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qanalysis.converters.sample_records import write_sample
from qanalysis.dashboard.converter.python_lines import (
    write_captured_codes,
    write_captured_linearity,
    write_captured_spectrum,
)
from qanalysis.dashboard.converter.recordings import (
    analyze_recording,
    find_recording,
    get_records,
    measure_recording,
    read_recording,
    state_linearity,
    state_spectrum,
)
from qanalysis.dashboard.converter.second_record import find_behind
from qanalysis.dashboard.converter.view import ConverterView
from tests.dashboard.converter.test_converter_page import open_tab
from tests.dashboard.scenes import read_charts

TONE, RAMP = "sample:clipped tone, 8 bit", "sample:ramp for a linearity test, 8 bit"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(lines: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(lines, "lines of a chart", "exec"), names)
    return names


@pytest.mark.parametrize(("test", "chart"), [("spectrum", "c-spectrum"), ("ramp", "c-linearity")])
def test_every_chart_of_the_tab_has_its_lines(test: str, chart: str) -> None:
    panels = read_charts(open_tab("capture", record=RAMP if test == "ramp" else TONE, test=test))
    assert set(panels) == {chart, "c-codes"}
    assert all("record = open_capture('sample:" in panel["python"] for panel in panels.values())


@pytest.mark.parametrize(
    "view",
    [
        ConverterView(record=TONE),
        ConverterView(record=TONE, record_bits=10, justify="right", rate_hz="48000", full_scale="dc", harmonics=9),
        ConverterView(record=TONE, record_low=-1.0, record_high=1.0, fs_over="2^n-1"),
        ConverterView(record=TONE, window="hann", side_bins=8, record_osr=4.0, coding="binary", radix="decimal"),
        ConverterView(record=TONE, band_low="1000", band_high="200000", unit="code"),
    ],
    ids=["as found", "as stated", "over a range", "windowed", "in a band"],
)
def test_a_spectrum_and_its_codes_are_made_again(view: ConverterView) -> None:
    recording, options = find_recording(view), state_spectrum(view)
    found = analyze_recording(recording, options)
    made = run(write_captured_spectrum(recording, options))["spectrum"]
    assert_array_equal(made.power_dbfs, found.power_dbfs)
    assert (made.sinad_db, made.enob_ieee, made.thd_dbc) == (found.sinad_db, found.enob_ieee, found.thd_dbc)
    codes = run(write_captured_codes(recording))
    assert_array_equal(np.repeat(codes["codes"], codes["counts"]), np.sort(read_recording(recording).codes))


@pytest.mark.parametrize(
    "view",
    [
        ConverterView(record=RAMP, test="ramp"),
        ConverterView(
            record=RAMP, test="ramp", inl_reference="best-fit", transfer="floor", drive_low=0.1, drive_high=3.0
        ),
    ],
    ids=["as found", "as stated"],
)
def test_a_linearity_test_is_made_again(view: ConverterView) -> None:
    recording, options = find_recording(view), state_linearity(view)
    found, made = measure_recording(recording, options), run(write_captured_linearity(recording, options))
    assert_array_equal(made["dnl_lsb"], found.dnl_lsb)
    assert_array_equal(made["inl_lsb"], found.inl_lsb)
    assert made["found"].gain_error_percent == found.gain_error_percent


def test_the_second_record_is_made_again() -> None:
    view = ConverterView(record=TONE, rate_hz="48000", second="sample:two tones, 14 bit", window="hann")
    recording, options, behind = find_recording(view), state_spectrum(view), find_behind(view, state_spectrum(view))
    assert behind is not None
    made = run(write_captured_spectrum(recording, options, behind))
    assert made["spectrum"].sinad_db == analyze_recording(recording, options).sinad_db
    assert made["behind"].sinad_db == behind.row.sinad_db


@pytest.mark.parametrize("average", ["power", "coherent"])
def test_an_average_of_channels_is_made_again(average: str, root: Path) -> None:
    tone = 900 * np.sin(2 * np.pi * 127 * np.arange(1024) / 1024 + np.arange(3)[:, None])
    np.save(root / "three.npy", np.rint(tone + np.random.default_rng(4).normal(0, 1, tone.shape)).astype(np.int16))
    view = ConverterView(record="three.npy", record_bits=11, average=average)
    recording, options = find_recording(view), state_spectrum(view)
    made = run(write_captured_spectrum(recording, options))["spectrum"]
    assert_array_equal(made.power, analyze_recording(recording, options).power)
    assert made.records == 3


def test_pairs_are_made_again(root: Path) -> None:
    inputs = np.linspace(0, 1, 2001)
    codes = np.clip(np.floor(inputs * 32), 0, 31)
    np.savetxt(root / "pairs.csv", np.column_stack([inputs, codes]), fmt=["%.5f", "%d"], delimiter=",")
    view = ConverterView(record="pairs.csv", test="pairs", column="2", record_bits=5, record_low=0.0, record_high=1.0)
    recording, options = find_recording(view), state_linearity(view)
    found, made = measure_recording(recording, options), run(write_captured_linearity(recording, options))
    assert_array_equal(made["inl_lsb"], found.inl_lsb)
    counted = run(write_captured_codes(recording))
    assert counted["counts"].sum() == inputs.size


def test_of_an_upload_the_lines_name_the_file_alone(root: Path) -> None:
    content = write_sample("clipped tone, 8 bit")
    recording = find_recording(ConverterView(record=get_records().save("my tone.csv", content)))
    lines = write_captured_codes(recording)
    assert "upload:" not in lines
    assert "'my_tone.csv'" in lines
    (root / "my_tone.csv").write_bytes(content)
    assert run(lines)["counts"].sum() == read_recording(recording).codes.size
