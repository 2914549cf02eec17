"""Page Converter and the commands are one way from an input to a row: the same input leaves both as the same document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.results.document import to_json
from qanalysis.results.table import Table

SAMPLES = 4096
TURNS = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
TONE = np.rint(2047 * np.sin(127 * TURNS) + np.random.default_rng(1).normal(0, 0.4, SAMPLES)).astype(np.int16)


def _show_page() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "converter"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wavfile.write(
        "float.wav", 48_000, (TONE / 4096).astype(np.float32)
    )  # 12 bits of 24, a quarter of the range each way
    np.save("codes.npy", TONE)
    np.save("stereo.npy", np.stack([TONE[::-1] // 2, TONE], axis=1))
    phases = 2047 * np.sin(127 * TURNS + np.arange(4)[:, None]) + np.random.default_rng(2).normal(0, 2, (4, SAMPLES))
    np.save("four.npy", np.rint(phases).astype(np.int16))
    TONE.astype(">i2").tofile("words.bin")
    codes = TONE.astype(int) + 2048
    np.savetxt("gray.csv", codes ^ (codes >> 1), fmt="%d")
    np.savetxt("hex.csv", codes % 1000, fmt="%d")
    times = np.cumsum(np.random.default_rng(3).uniform(0.5e-6, 1.5e-6, SAMPLES))
    uneven = np.column_stack([times, np.sin(2 * np.pi * 31e3 * times)])
    np.savetxt("uneven.csv", uneven, fmt="%.15e", delimiter=",", header="time (s),out (V)", comments="")
    inputs = np.linspace(0, 3.3, 4001)
    pairs = np.column_stack([inputs, np.clip(np.floor(inputs / 3.3 * 64), 0, 63)])
    np.savetxt("pairs.csv", pairs, fmt=["%.6f", "%d"], delimiter=",", header="vin (V),code", comments="")
    two = np.rint(900 * np.sin(127 * TURNS) + 900 * np.sin(149 * TURNS)).astype(np.int16)
    np.savetxt(
        "two.csv",
        np.column_stack([np.arange(SAMPLES) * 1e-6, two]),
        fmt=["%.6f", "%d"],
        delimiter=",",
        header="time (s),code",
        comments="",
    )
    ramp = np.repeat(np.arange(256), 64)
    ramp[ramp == 100] = 101
    np.save("ramp.npy", ramp)
    drive = 511.5 + 530 * np.sin(2 * np.pi * 1021 * np.arange(2**17) / 2**17)
    np.save("sine.npy", np.clip(np.rint(drive), 0, 1023).astype(np.uint16))
    return tmp_path


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[Table[Any]]:
    """What the page offers for download, in the order of its runs."""
    offered: list[Table[Any]] = []
    for tab in ("capture", "textbook"):
        monkeypatch.setattr(
            f"qanalysis.dashboard.converter.{tab}.draw_export", lambda table, *_rest: offered.append(table)
        )
    return offered


def open_tab(tab: str, parameters: dict[str, str]) -> AppTest:
    page = AppTest.from_function(_show_page, default_timeout=60)
    for key, value in {"tab": tab, **parameters}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def ask(words: tuple[str, ...]) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "--json"], prog_name="qanalysis")
    assert result.exit_code == 0, result.stderr
    return without_time(result.stdout)


def without_time(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    document["settings"].pop("created", None)
    return document


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("float.wav", "--range", "-2:2"), {"record": "float.wav", "record_low": "-2", "record_high": "2"}),
        (("float.wav",), {"record": "float.wav"}),
        (
            ("codes.npy", "--fs", "1e6", "--fs-over", "2^n-1"),
            {"record": "codes.npy", "rate_hz": "1000000", "fs_over": "2^n-1"},
        ),
        (
            ("stereo.npy", "--fs", "1e6", "--channel", "2", "--range", "0:3.3"),
            {"record": "stereo.npy", "rate_hz": "1000000", "channel": "2", "record_low": "0", "record_high": "3.3"},
        ),
        (("two.csv", "--bits", "12"), {"record": "two.csv", "record_bits": "12"}),
        (("two.csv", "--column", "2", "--unsigned"), {"record": "two.csv", "column": "2", "signed": "unsigned"}),
        (
            ("sample:left-justified words, 12 bit", "--justify", "left", "--full-scale", "dc", "--harmonics", "9"),
            {"record": "sample:left-justified words, 12 bit", "justify": "left", "full_scale": "dc", "harmonics": "9"},
        ),
        (("codes.npy", "--unit", "mV", "--fs", "48k"), {"record": "codes.npy", "unit": "mV", "rate_hz": "48000"}),
        (("gray.csv", "--coding", "gray"), {"record": "gray.csv", "coding": "gray"}),
        (("hex.csv", "--radix", "hex"), {"record": "hex.csv", "radix": "hex"}),
        (("words.bin", "--dtype", "i16be"), {"record": "words.bin", "dtype": "i16be"}),
        (("uneven.csv",), {"record": "uneven.csv"}),
        (("uneven.csv", "--resample"), {"record": "uneven.csv", "resample": "true"}),
        (
            ("codes.npy", "--window", "hann", "--side-bins", "9", "--osr", "4"),
            {"record": "codes.npy", "window": "hann", "side_bins": "9", "record_osr": "4"},
        ),
        (
            ("two.csv", "--band", "10000:45000"),
            {"record": "two.csv", "band_low": "10000", "band_high": "45000"},
        ),
        (("four.npy", "--average", "power"), {"record": "four.npy", "average": "power"}),
        (("four.npy", "--average", "coherent"), {"record": "four.npy", "average": "coherent"}),
    ],
    ids=[
        *("float-range", "float-own-range", "steps-less-one", "second-channel", "two-tones", "named-column", "sample"),
        *("unit", "coding", "radix", "dtype", "uneven", "resampled", "window", "band", "power", "coherent"),
    ],
)
def test_a_spectrum_is_the_same(words: tuple[str, ...], parameters: dict[str, str], tables: list[Table[Any]]) -> None:
    open_tab("capture", parameters)
    assert without_time(to_json(tables[-1])) == ask(("record", *words))


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("ramp.npy", "--bits", "8", "--test", "ramp"), {"record": "ramp.npy", "record_bits": "8", "test": "ramp"}),
        (
            (
                "pairs.csv",
                "--bits",
                "6",
                "--test",
                "pairs",
                "--column",
                "code",
                "--input-column",
                "1",
                "--range",
                "0:3.3",
            ),
            {"record": "pairs.csv", "record_bits": "6", "test": "pairs", "column": "code", "input_column": "1"}
            | {"record_low": "0", "record_high": "3.3"},
        ),
        (
            (
                "sine.npy",
                "--bits",
                "10",
                "--test",
                "sine",
                "--range",
                "-1:1",
                "--drive",
                "-1.04:1.04",
                "--reference",
                "best-fit",
                "--transfer",
                "floor",
            ),
            {
                "record": "sine.npy",
                "record_bits": "10",
                "test": "sine",
                "record_low": "-1",
                "record_high": "1",
                "drive_low": "-1.04",
                "drive_high": "1.04",
            }
            | {"inl_reference": "best-fit", "transfer": "floor"},
        ),
    ],
    ids=["no-range", "pairs", "driven-sine"],
)
def test_a_linearity_test_is_the_same(
    words: tuple[str, ...], parameters: dict[str, str], tables: list[Table[Any]]
) -> None:
    open_tab("capture", parameters)
    assert without_time(to_json(tables[-1])) == ask(("linearity", *words))


def test_the_two_that_were_wrong_on_the_page_are_right(tables: list[Table[Any]]) -> None:
    open_tab("capture", {"record": "float.wav", "record_low": "-2", "record_high": "2"})
    # The tone is half of what the file can hold, whatever volts that is.
    assert tables[-1][0].level_dbfs == pytest.approx(20 * np.log10(2047 / 4096), abs=0.01)
    open_tab("capture", {"record": "ramp.npy", "record_bits": "8", "test": "ramp"})
    assert (tables[-1][0].low, tables[-1][0].high, tables[-1][0].lsb) == (0, 256, 1)


def test_without_a_rate_both_tell_all_that_is_not_in_hertz(tables: list[Table[Any]]) -> None:
    open_tab("capture", {"record": "codes.npy"})
    result = CliRunner().invoke(app, ["record", "codes.npy", "--json"], prog_name="qanalysis")
    assert result.exit_code == 0
    row = json.loads(result.stdout)["rows"][0]
    assert row["fs_hz"] is None
    assert row["sinad_db"] == tables[-1][0].sinad_db


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("--bits", "8", "--range", "0:12", "--input", "4.5"), {"bits": "8", "high": "12", "inputs": "4.5"}),
        (
            (
                "--bits",
                "10",
                "--range",
                "-2.5:2.5",
                "--fs-over",
                "2^n-1",
                "--transfer",
                "floor",
                "--input",
                "-3",
                "--input",
                "1.25",
            ),
            {"bits": "10", "low": "-2.5", "high": "2.5", "fs_over": "2^n-1", "transfer": "floor", "inputs": "-3; 1.25"},
        ),
        (("--bits", "12", "--range", "0:10", "--conversion-time", "2.5e-06"), {"bits": "12", "conversion_us": "2.5"}),
    ],
    ids=["one-input", "other-conventions", "conversion-time"],
)
def test_a_textbook_problem_is_the_same(
    words: tuple[str, ...], parameters: dict[str, str], tables: list[Table[Any]]
) -> None:
    open_tab("textbook", parameters)
    assert without_time(to_json(tables[-1])) == ask(("convert", *words))
