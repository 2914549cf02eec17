"""One way from input to row: the same inputs through the commands and through the page give the same rows, every column of them, and the same settings."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.dashboard import export


def _show_converter() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "converter"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


def ask_command(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def ask_page(monkeypatch: pytest.MonkeyPatch, **parameters: str) -> dict[str, Any]:
    """The document that the page's download button would write."""
    given: list[tuple[Any, Any]] = []
    monkeypatch.setattr(export, "_delay", lambda rows, _suffix, extras: given.append((rows, extras)) or bytes)
    page = AppTest.from_function(_show_converter, default_timeout=60)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    assert not page.error, page.error[0].value
    assert not page.warning or "Left out" not in page.warning[0].value, page.warning[0].value
    document: dict[str, Any] = json.loads(export.render_file(given[-1][0], ".json", given[-1][1]))
    return document


def assert_same(page: dict[str, Any], command: dict[str, Any]) -> None:
    assert [list(row) for row in page["rows"]] == [list(row) for row in command["rows"]]
    assert page["rows"] == command["rows"]
    ignored = {"created"}
    assert {key: value for key, value in page["settings"].items() if key not in ignored} == {
        key: value for key, value in command["settings"].items() if key not in ignored
    }
    assert (page["source"] or {}).get("digest") == (command["source"] or {}).get("digest")


def write_wav(path: Path, channels: Sequence[np.ndarray], *, rate: int = 48_000) -> Path:
    """A WAV file of 32-bit floats."""
    data = np.stack(channels, axis=1).astype("<f4").tobytes()
    count = len(channels)
    header = struct.pack("<HHIIHH", 3, count, rate, rate * 4 * count, 4 * count, 32)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


def tone(cycles: int, *, samples: int = 8192, level: float = 0.5, noise: float = 5e-5, seed: int = 3) -> np.ndarray:
    x = level * np.sin(2 * np.pi * cycles * np.arange(samples) / samples)
    return x + noise * np.random.default_rng(seed).standard_normal(samples)


def test_a_wav_of_floats_is_spread_over_the_range_that_is_stated(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(root / "tone.wav", [tone(1021)])
    command = ask_command("record", str(path), "--range", "-2:2", "--bits", "14")
    page = ask_page(monkeypatch, tab="capture", record="tone.wav", record_low="-2", record_high="2", record_bits="14")
    assert_same(page, command)
    assert page["rows"][0]["level_dbfs"] == pytest.approx(-6.02, abs=0.01)  # half the file's own full scale, whatever the volts


def test_a_wav_of_floats_without_a_range_keeps_the_file_s_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(root / "tone.wav", [tone(1021)])
    assert_same(ask_page(monkeypatch, tab="capture", record="tone.wav"), ask_command("record", str(path)))


def test_the_second_of_two_channels(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(root / "two.wav", [tone(1021), tone(509, level=0.9, noise=2e-4)])
    first, second = (ask_command("record", str(path), "--channel", str(channel)) for channel in (1, 2))
    assert first["rows"] != second["rows"]
    assert_same(ask_page(monkeypatch, tab="capture", record="two.wav", channel="2"), second)


def test_two_tones_and_another_full_scale(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(root / "pair.wav", [tone(1021, level=0.4) + tone(1035, level=0.4, seed=4)])
    command = ask_command("record", str(path), "--full-scale", "dc", "--harmonics", "4", "--fs-over", "2^n-1", "--bits", "12")
    page = ask_page(monkeypatch, tab="capture", record="pair.wav", full_scale="dc", harmonics="4", fs_over="2^n-1", record_bits="12")
    assert_same(page, command)


def test_a_sample_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "sample:two tones, 14 bit"
    assert_same(ask_page(monkeypatch, tab="capture", record=name), ask_command("record", name))


def test_both_refuse_a_spectrum_without_a_rate(root: Path) -> None:
    (root / "codes.csv").write_bytes(b"".join(b"%d\n" % (100 + n % 50) for n in range(512)))
    done = CliRunner().invoke(app, ["record", str(root / "codes.csv"), "--json"])
    page = AppTest.from_function(_show_converter, default_timeout=60)
    page.query_params.update(tab="capture", record="codes.csv")
    page.run()
    assert done.exit_code == 2
    assert "does not tell its sample rate" in str(done.exception or done.output) + done.stderr
    assert "does not tell its sample rate" in page.error[0].value


def _write_ramp(path: Path) -> Path:
    codes = np.sort(np.random.default_rng(8).integers(0, 256, 40_000))
    path.write_text("\n".join(map(str, codes)), encoding="utf-8")
    return path


def test_linearity_without_a_range_is_counted_in_steps(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write_ramp(root / "ramp.csv")
    command = ask_command("linearity", str(path), "--bits", "8", "--test", "ramp")
    page = ask_page(monkeypatch, tab="capture", test="ramp", record="ramp.csv", record_bits="8")
    assert_same(page, command)
    assert page["rows"][0]["lsb"] == 1


def test_linearity_over_a_range_with_a_drive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write_ramp(root / "ramp.csv")
    command = ask_command(
        *("linearity", str(path), "--bits", "8", "--test", "ramp", "--range", "0:3.3"),
        *("--drive=-0.01:3.31", "--reference", "best-fit", "--transfer", "floor"),
    )
    over = {"record_low": "0", "record_high": "3.3", "drive_low": "-0.01", "drive_high": "3.31"}
    page = ask_page(monkeypatch, tab="capture", test="ramp", record="ramp.csv", record_bits="8", inl_reference="best-fit", transfer="floor", **over)
    assert_same(page, command)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (["--bits", "12", "--range", "0:10"], {}),
        (["--bits", "8", "--range", "0:12", "--input", "4.5", "--input", "13"], {"bits": "8", "high": "12", "inputs": "4.5; 13"}),
        (
            ["--bits", "10", "--range=-1:1", "--fs-over", "2^n-1", "--transfer", "floor", "--conversion-time", "1e-5"],
            {"bits": "10", "low": "-1", "high": "1", "fs_over": "2^n-1", "transfer": "floor", "conversion_us": "10"},
        ),
        (
            ["--bits", "14", "--range=-1:1", "--jitter", "1e-13", "--frequency", "70e6", "--capacitance", "2e-12"],
            {"bits": "14", "low": "-1", "high": "1", "clock_jitter_ps": "0.1", "tone_hz": "70e6", "capacitance_pf": "2"},
        ),
    ],
    ids=["untouched", "inputs", "conventions", "noise"],
)
def test_convert_and_textbook(root: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], parameters: dict[str, str]) -> None:
    assert_same(ask_page(monkeypatch, tab="textbook", **parameters), ask_command("convert", *options))
