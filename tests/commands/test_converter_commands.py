"""`convert`, `record` and `linearity` as a person or a build server meets them: figures, files, limits, exit codes, one line for what is wrong."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from qanalysis import Converter, analyze_spectrum, measure_linearity
from qanalysis.cli import app
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.results.columns import names_of

SAMPLES, CYCLES = 4096, 127


def ask(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="qanalysis")


def ask_json(*words: str, exit_code: int = 0) -> dict[str, Any]:
    result = ask(*words, "--json")
    assert result.exit_code == exit_code, result.stderr
    document: dict[str, Any] = json.loads(result.stdout, parse_constant=pytest.fail)
    schema = json.loads(files("qanalysis").joinpath(f"schema/{words[0]}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert list(document) == ["schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"]
    return document


def make_tone(*, third: float = 0.5, noise: float = 0.3) -> np.ndarray:
    phase, rng = 2 * np.pi * CYCLES * np.arange(SAMPLES) / SAMPLES, np.random.default_rng(0)
    x = 2047.5 + 2047 * np.sin(phase) + third * np.sin(3 * phase) + noise * rng.normal(size=SAMPLES)
    return np.clip(np.rint(x), 0, 4095).astype(np.int64)


def make_ramp() -> np.ndarray:
    """8 bits, 64 samples per code, code 100 never occurs."""
    codes = np.repeat(np.arange(256), 64)
    codes[codes == 100] = 101
    return codes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savetxt("tone.csv", make_tone(), fmt="%d", header="code", comments="")
    np.savetxt("clean.csv", make_tone(third=0), fmt="%d")
    np.savetxt("ramp.csv", make_ramp(), fmt="%d")
    np.save("volts.npy", make_tone() * 3.3 / 4096)
    np.save("noise.npy", np.random.default_rng(1).integers(0, 4096, SAMPLES))
    phase = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
    np.save("two.npy", np.rint(2048 + 900 * np.sin(127 * phase) + 900 * np.sin(149 * phase)).astype(np.int16))
    np.save(
        "sine.npy",
        np.clip(np.rint(511.5 + 530 * np.sin(2 * np.pi * 1021 * np.arange(2**17) / 2**17)), 0, 1023).astype(np.uint16),
    )
    np.save("flat.npy", np.full(200, 7))
    np.save("three.npy", np.array([1, 2, 3]))
    np.save("holes.npy", np.array([0.0, math.nan] * 50))
    Path("words.csv").write_text("code\none\ntwo\n")
    return tmp_path


RECORD = ("record", "tone.csv", "--bits", "12", "--range", "0:3.3", "--fs", "1e6")
LINEARITY = ("linearity", "ramp.csv", "--bits", "8", "--test", "ramp")


# convert


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (
            ["--bits", "12", "--range", "0:10"],
            [
                "Step: LSB = FS / 2^n = 10 V / 4096 = 2.441406 mV",
                "0.02441406 %",
                "±1.220703 mV",
                "0.01220703 %",
                "74.01 dB",
            ],
        ),
        (["--bits", "8", "--range", "0:5"], ["19.53125 mV", "±9.765625 mV", "4.980469 V", "19.60784 mV"]),
        (["--bits", "8", "--range", "0:5", "--fs-over", "2^n-1"], ["19.60784 mV", "LSB = FS/(2^n-1)"]),
        (
            ["--bits", "8", "--range", "0:12", "--input", "4.5"],
            ["46.875 mV", "23.4375 mV", "96    0x60", "11100000", "01010000"],
        ),
        (["--bits", "8", "--range", "0:12", "--conversion-time", "1e-6"], ["Conversion rate", "1 MS/s"]),
    ],
    ids=["12 bit 10 V", "8 bit 5 V", "the other step", "4.5 V of 12 V", "rate"],
)
def test_convert_answers_the_textbook_with_the_working(words: list[str], answers: list[str]) -> None:
    result = ask("convert", *words)
    assert result.exit_code == 0
    for answer in answers:
        assert answer in result.stdout
    assert "The working\n  Number of codes: N = 2^n" in result.stdout


def test_convert_as_json_has_a_row_for_each_input_and_no_source() -> None:
    document = ask_json(
        "convert", "--bits", "8", "--range", "-6:6", "--input", "-1.5", "--input", "5.99", "--transfer", "floor"
    )
    assert document["source"] is None
    assert document["settings"]["inputs"] == [-1.5, 5.99]
    assert [row["code"] for row in document["rows"]] == [
        96,
        255,
    ]  # 4.5 and 11.99 over the lower end, in steps of 12/256
    first = document["rows"][0]
    assert list(first) == list(names_of(TextbookRow))
    solved = solve_textbook(8, -6, 6, inputs=[-1.5, 5.99], transfer="floor")
    assert (first["step"], first["rms_error"], first["ideal_snr_db"]) == (
        solved.step,
        solved.rms_error,
        solved.ideal_snr_db,
    )
    assert (first["error_bound"], first["half_step_bound"], first["actual_error"]) == (0.046875, 0.0234375, 0.0)
    assert (first["straight_binary"], first["twos_complement"], first["gray"]) == ("01100000", "11100000", "01010000")
    assert first["working"] == [str(step) for step in work_out(solved)]


def test_convert_without_an_input_is_one_row_with_nulls() -> None:
    rows = ask_json("convert", "--bits", "32", "--range", "0:1")["rows"]
    assert len(rows) == 1
    assert {
        rows[0][name] for name in ("input", "code", "reconstructed", "actual_error", "gray", "conversion_rate_hz")
    } == {None}


def test_convert_tells_of_an_input_beyond_the_range() -> None:
    result = ask("convert", "--bits", "8", "--range", "0:5", "--input", "7")
    assert result.exit_code == 0
    assert "Clipping: 7 V lies outside the range" in result.stdout


def test_the_lowest_code_has_no_word_in_two_of_the_formats() -> None:
    row = ask_json("convert", "--bits", "4", "--range", "0:1", "--input", "0")["rows"][0]
    assert (row["ones_complement"], row["sign_magnitude"], row["twos_complement"]) == (None, None, "1000")
    assert row["relative_error_percent"] is None


def test_the_code_table_has_a_line_for_each_code(folder: Path) -> None:
    assert ask("convert", "--bits", "8", "--range", "0:5", "--table", "codes.csv").exit_code == 0
    lines = list(csv.DictReader(Path("codes.csv").read_text("utf-8").splitlines()))
    assert len(lines) == 256
    assert [float(lines[1][name]) for name in ("code", "lower_edge", "centre", "upper_edge")] == [
        1,
        0.009765625,
        0.01953125,
        0.029296875,
    ]


# record


def test_record_prints_each_figure_with_its_convention_and_what_stands_out(folder: Path) -> None:
    result = ask(*RECORD)
    assert result.exit_code == 0
    found = analyze_spectrum(make_tone(), fs_hz=1e6, bits=12, low=0, high=3.3)
    lines = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    assert lines["tone.csv: 4,096 samples at 1 MHz"]
    assert f"{found.sinad_db:.2f} dB" in lines["SINAD"]
    assert f"{found.enob_ieee:.2f} bit" in lines["ENOB"]
    assert "IEEE 1241, of full scale" in lines["ENOB"]
    assert "HD2 to HD6, folded, noise taken off" in lines["THD"]
    assert "0 dBFS: rms of a full-range sine" in lines["Level"]
    assert re.search(r"HD3 +93\.01758 kHz", result.stdout)
    assert "Findings\n" in result.stdout


def test_record_as_json_is_the_row_of_the_engine(folder: Path) -> None:
    document = ask_json(*RECORD)
    row = document["rows"][0]
    assert list(row) == list(names_of(RecordRow))
    found = analyze_spectrum(make_tone(), fs_hz=1e6, bits=12, low=0, high=3.3)
    for name in (
        "sinad_db",
        "snr_db",
        "thd_dbc",
        "sfdr_dbc",
        "sfdr_dbfs",
        "enob_ieee",
        "enob_at_level",
        "nsd_dbfs_hz",
        "sinefit_sinad_db",
        "fundamental_hz",
    ):
        assert row[name] == getattr(found, name)
    assert row["hd3_dbc"] == found.hd3_dbc
    assert row["sinad_ci95_db"] == list(found.sinad_ci95_db or ())
    assert (row["coherent"], row["window"], row["lsb"], row["full_scale"]) == (True, "rectangular", 3.3 / 4096, "sine")
    content = (folder / "tone.csv").read_bytes()
    assert document["source"] == {
        "path": "tone.csv",
        "size": len(content),
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
    }


def test_the_columns_stand_in_the_order_of_the_contract() -> None:
    contract = (
        "bits, low, high, lsb, lsb_convention, fs_hz, samples, coherent, window, side_bins, fundamental_hz, level_dbfs, full_scale, sinad_db, snr_db, "
        "thd_dbc, thd_below_noise, sfdr_dbc, sfdr_dbfs, enob_ieee, enob_at_level, nsd_dbfs_hz, harmonics_counted, hd2_dbc, hd3_dbc, hd4_dbc, hd5_dbc, hd6_dbc, "
        "sinefit_sinad_db, sinad_ci95_db, snr_ci95_db, thd_ci95_db, sfdr_ci95_db, findings"
    )
    assert ", ".join(names_of(RecordRow)).startswith(contract)
    static = "dnl_min_lsb, dnl_max_lsb, inl_min_lsb, inl_max_lsb, inl_reference, offset_lsb, gain_error_percent, tue_max_lsb, missing_codes, dnl_lsb, inl_lsb"
    assert [name for name in names_of(LinearityRow) if name in static.split(", ")] == static.split(", ")
    textbook = ["step", "relative_percent", "half_step_bound", "code", "reconstructed", "actual_error"]
    assert [name for name in names_of(TextbookRow) if name in textbook] == textbook


def test_conventions_can_be_switched(folder: Path) -> None:
    sine, dc = ask_json(*RECORD)["rows"][0], ask_json(*RECORD, "--full-scale", "dc")["rows"][0]
    assert sine["level_dbfs"] - dc["level_dbfs"] == pytest.approx(10 * math.log10(2), abs=1e-9)
    assert ask_json(*RECORD, "--fs-over", "2^n-1")["rows"][0]["lsb"] == pytest.approx(3.3 / 4095, rel=1e-12)
    assert ask_json(*RECORD, "--harmonics", "10")["rows"][0]["harmonics_counted"] == 10
    assert ask_json(*RECORD, "--window", "blackman-harris", "--side-bins", "8")["rows"][0]["side_bins"] == 8
    assert ask_json(*RECORD, "--band", "1000:400e3")["rows"][0]["band_hz"] == [1000.0, 400e3]


def test_what_the_file_tells_need_not_be_said(folder: Path) -> None:
    row = ask_json("record", "tone.csv", "--fs", "1e6")["rows"][0]
    assert (row["bits"], row["lsb"]) == (12, 1.0)
    assert row["sinad_db"] == ask_json(*RECORD)["rows"][0]["sinad_db"]


def test_values_in_volts_are_measured_like_codes(folder: Path) -> None:
    row = ask_json("record", "volts.npy", "--bits", "12", "--range", "0:3.3", "--fs", "1e6")["rows"][0]
    assert row["sinad_db"] == pytest.approx(
        ask_json(*RECORD)["rows"][0]["sinad_db"], abs=1e-6
    )  # scaling rounds each value to 1e-16 of it


REACHED = {
    "--min-enob": "enob_ieee",
    "--min-sinad": "sinad_db",
    "--min-snr": "snr_db",
    "--min-sfdr": "sfdr_dbc",
    "--max-thd": "thd_dbc",
}


@pytest.mark.parametrize(("option", "column"), REACHED.items())
def test_a_missed_limit_of_a_record_ends_with_1_after_everything_is_printed(
    option: str, column: str, folder: Path
) -> None:
    reached = ask_json(*RECORD)["rows"][0][column]
    easier = -0.01 if option.startswith("--min") else 0.01
    met = ask_json(*RECORD, option, str(reached + easier))
    assert met["totals"] == [
        {"limit": option, "asked": reached + easier, "column": column, "reached": reached, "met": True}
    ]
    missed = ask_json(*RECORD, option, str(reached - easier), exit_code=1)
    assert missed["rows"] == met["rows"]
    assert missed["totals"][0]["met"] is False
    result = ask(*RECORD, option, str(reached - easier))
    assert result.exit_code == 1
    assert re.search(rf"{option} .* missed$", result.stdout, re.MULTILINE)
    assert f"{option} {reached - easier:g} is missed: reached {reached:.6g}" in result.stderr


def test_a_distortion_below_the_noise_is_held_to_what_the_noise_leaves_room_for(folder: Path) -> None:
    clean = ("record", "clean.csv", "--bits", "12", "--range", "0:3.3", "--fs", "1e6")
    row = ask_json(*clean)["rows"][0]
    assert (row["thd_below_noise"], row["thd_dbc"]) == (True, None)
    room = row["thd_ci95_db"][1]
    assert ask_json(*clean, "--max-thd", str(room + 1))["totals"][0]["reached"] == room
    assert ask(*clean, "--max-thd", str(room - 1)).exit_code == 1
    assert "below noise" in ask(*clean).stdout


@pytest.mark.parametrize(("file", "code"), [("noise.npy", "no-tone"), ("flat.npy", "constant")])
def test_a_record_without_a_tone_is_a_row_with_a_finding_and_meets_no_limit(file: str, code: str, folder: Path) -> None:
    words = ("record", file, "--bits", "12", "--range", "0:3.3", "--fs", "1e6")
    row = ask_json(*words)["rows"][0]
    assert row["sinad_db"] is None
    assert {code, "one-code"} & {finding["code"] for finding in row["findings"]}
    assert ask_json(*words, "--min-enob", "1", exit_code=1)["totals"][0]["reached"] is None
    assert "there is no figure to hold against it" in ask(*words, "--min-enob", "1").stderr
    assert "no figure" in ask(*words, "--min-enob", "1").stdout


def test_two_tones_are_a_row_with_a_finding_and_exit_0(folder: Path) -> None:
    words = ("record", "two.npy", "--bits", "12", "--range", "0:3.3", "--fs", "1e6")
    row = ask_json(*words)["rows"][0]
    assert "two-tone" in {finding["code"] for finding in row["findings"]}
    assert {line["name"] for line in row["intermodulation"]} >= {"IMD3 2f1-f2", "IMD2 f1+f2"}
    assert "IMD3 2f1-f2" in ask(*words).stdout


# linearity


def test_linearity_prints_each_error_with_its_reference_and_the_missing_codes(folder: Path) -> None:
    result = ask(*LINEARITY)
    assert result.exit_code == 0
    assert "ramp.csv: ramp histogram of 16,384 samples, 8 bits" in result.stdout
    assert re.search(r"DNL, lowest +−1\.000 LSB", result.stdout)
    assert re.search(r"Missing codes +1: 100 ", result.stdout)
    assert "end-point line (through both ends)" in result.stdout
    assert "Assumed drive: " in result.stdout


def test_linearity_as_json_is_the_row_of_the_engine(folder: Path) -> None:
    document = ask_json(
        *LINEARITY,
        "--reference",
        "best-fit",
        "--range",
        "0:5",
        "--drive",
        "-0.1:5.1",
        "--confidence",
        "0.9",
        "--within",
        "0.05",
    )
    row = document["rows"][0]
    assert list(row) == list(names_of(LinearityRow))
    found = measure_linearity(
        make_ramp(),
        bits=8,
        test="ramp",
        reference="best-fit",
        low=0,
        high=5,
        drive=(-0.1, 5.1),
        confidence=0.9,
        dnl_within_lsb=0.05,
    )
    assert row["dnl_lsb"] == found.dnl_lsb.tolist()
    assert row["inl_lsb"] == found.inl_lsb.tolist()
    assert row["dnl_bar_lsb"] == found.dnl_bar_lsb.tolist()
    assert (row["offset_lsb"], row["gain_error_percent"], row["tue_max_lsb"]) == (
        found.offset_lsb,
        found.gain_error_percent,
        found.tue_max_lsb,
    )
    assert (row["missing_codes"], row["inl_reference"], row["lsb"]) == ([100], "best-fit", 5 / 256)
    assert row["samples_needed"] == found.samples_needed
    assert document["settings"]["drive"] == "-0.1:5.1"


def test_linearity_counts_in_steps_where_no_range_is_given(folder: Path) -> None:
    row = ask_json(*LINEARITY)["rows"][0]
    assert (row["low"], row["high"], row["lsb"]) == (0.0, 256.0, 1.0)


def test_a_sine_leaves_offset_and_gain_open(folder: Path) -> None:
    row = ask_json("linearity", "sine.npy", "--bits", "10", "--test", "sine")["rows"][0]
    assert (row["offset_lsb"], row["gain_error_percent"], row["tue_max_lsb"]) == (None, None, None)
    # rint is ideal; a hit more or less is pi 530/2^17 = 0.013 LSB per transition
    assert max(abs(row["dnl_min_lsb"]), row["dnl_max_lsb"]) < 0.026
    result = ask("linearity", "sine.npy", "--bits", "10", "--test", "sine")
    assert "needs the ends of the input: --drive" in result.stdout
    assert "Few samples: " in result.stdout


@pytest.mark.parametrize(
    ("option", "met", "missed"), [("--max-dnl", "1.1", "0.9"), ("--max-inl", "1.1", "0.9"), ("--max-missing", "1", "0")]
)  # the missing code doubles its neighbour: DNL -1 and +1, INL -1
def test_a_missed_limit_of_linearity_ends_with_1_after_everything_is_printed(
    option: str, met: str, missed: str, folder: Path
) -> None:
    assert ask_json(*LINEARITY, option, met)["totals"][0] == {
        "limit": option,
        "asked": float(met),
        "column": {"--max-dnl": "dnl", "--max-inl": "inl", "--max-missing": "missing_codes"}[option],
        "reached": pytest.approx(1.0, abs=1e-9),
        "met": True,
    }
    assert ask_json(*LINEARITY, option, missed, exit_code=1)["rows"] == ask_json(*LINEARITY)["rows"]
    result = ask(*LINEARITY, option, missed)
    assert result.exit_code == 1
    assert "Missing codes" in result.stdout
    assert f"{option} {missed} is missed: reached 1" in result.stderr


def test_several_limits_are_all_told(folder: Path) -> None:
    result = ask(*LINEARITY, "--max-dnl", "0.5", "--max-inl", "2", "--max-missing", "0")
    assert [line.split()[-1] for line in result.stdout.splitlines() if line.startswith("--max")] == [
        "missed",
        "met",
        "missed",
    ]
    assert result.stderr.count("is missed") == 2


def test_signed_codes_keep_their_own_numbers(folder: Path) -> None:
    np.save("signed.npy", (make_ramp() - 128).astype(np.int8))
    row = ask_json("linearity", "signed.npy", "--bits", "8", "--test", "ramp", "--signed")["rows"][0]
    assert (row["first_code"], row["missing_codes"]) == (-128, [-28])


# files


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
def test_every_kind_of_file_holds_the_same_row(words: tuple[str, ...], folder: Path) -> None:
    row = ask_json(*words)["rows"][0]
    result = ask(
        *words, *(word for suffix in ("csv", "json", "parquet", "html") for word in ("--out", f"out.{suffix}"))
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("wrote ") == 4
    document = json.loads(Path("out.json").read_text("utf-8"))
    assert document["rows"][0] == row
    (cells,) = csv.DictReader(io.StringIO(Path("out.csv").read_text("utf-8")))
    assert list(cells) == list(row)
    for name, value in row.items():
        if isinstance(value, float):
            assert float(cells[name]) == value
        elif isinstance(value, list):
            assert json.loads(cells[name]) == value
    table = pq.read_table("out.parquet")
    assert table.column_names == list(row)
    assert {name: value for name, value in table.to_pylist()[0].items() if not _holds_infinity(value)} == {
        name: row[name] for name, value in table.to_pylist()[0].items() if not _holds_infinity(value)
    }
    head = json.loads(table.schema.metadata[b"qanalysis"])
    assert (head["settings"]["command"], head["source"]) == (words[0], document["source"])


def _holds_infinity(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(item, float) and math.isinf(item) for item in values)


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
def test_the_page_stands_alone_and_holds_every_figure(words: tuple[str, ...], folder: Path) -> None:
    assert ask(*words, "--out", "page.html").exit_code == 0
    page = Path("page.html").read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    for label in (
        "By which convention",
        "Where it comes from",
        *(("The working",) if words[0] == "convert" else ("Input digest", "Findings")),
    ):
        assert label in page
    packed = re.search(r"data:application/json;base64,([^\"]+)", page)
    assert packed
    assert json.loads(base64.b64decode(packed[1]))["rows"] == ask_json(*words)["rows"]
    assert (page.count('class="plot"') == 1) == (words[0] != "convert")


def test_the_page_tells_of_a_missed_limit_and_is_written_before_the_exit(folder: Path) -> None:
    assert ask(*RECORD, "--min-enob", "12", "--out", "page.html").exit_code == 1
    assert "--min-enob 12 is missed: reached 11.0" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_stored_rows_become_a_report_later(words: tuple[str, ...], suffix: str, folder: Path) -> None:
    limit = {"record": ("--max-thd", "-70"), "linearity": ("--max-dnl", "2"), "convert": ()}[words[0]]
    ask(*words, *limit, "--out", f"rows{suffix}")
    result = ask("report", f"rows{suffix}", "--out", "again.json", "--out", "page.html")
    assert (result.exit_code, result.stderr) == (0, "wrote again.json\nwrote page.html\n")
    again = json.loads(Path("again.json").read_text("utf-8"))
    first = ask_json(*words, *limit)
    again["settings"].pop("created")
    first["settings"].pop("created")
    assert again == first
    assert "By which convention" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 7}, "schema_version is 7, this program reads 1; run `qanalysis convert` again"),
        ({"rows": [{"bits": 8}]}, "rows[0]: not a row of qanalysis; missing columns: ['actual_error'"),
        ({"rows": None}, "'rows' must be a list of rows, found NoneType; write the file again with `qanalysis convert"),
        ({"totals": [{"limit": "--max-dnl"}]}, "totals[0]: not a row of qanalysis; missing columns: "),
        ({"settings": None}, "must be an object"),
    ],
)
def test_stored_rows_that_were_changed_are_refused(change: dict[str, Any], message: str, folder: Path) -> None:
    ask("convert", "--bits", "8", "--range", "0:12", "--out", "rows.json")
    Path("rows.json").write_text(json.dumps({**json.loads(Path("rows.json").read_text("utf-8")), **change}))
    result = ask("report", "rows.json", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_what_is_no_rows_file_at_all_is_refused_as_ever(suffix: str, folder: Path) -> None:
    Path(f"broken{suffix}").write_text("{")
    result = ask("report", f"broken{suffix}", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "write it again with `qanalysis sweep" in result.stderr


def test_a_page_of_many_codes_leaves_out_the_lists_and_says_so(folder: Path) -> None:
    np.save("wide.npy", np.repeat(np.arange(2**16, dtype=np.uint16), 2))
    assert (
        ask(
            "linearity", "wide.npy", "--bits", "16", "--test", "ramp", "--drive", "0:65536", "--out", "page.html"
        ).exit_code
        == 0
    )
    page = Path("page.html").read_text("utf-8")
    assert len(page) < 6_000_000
    assert "Left out so that this file stays small: dnl_lsb, inl_lsb, dnl_bar_lsb, inl_bar_lsb." in page
    packed = re.search(r"data:application/json;base64,([^\"]+)", page)
    assert packed
    assert "dnl_max_lsb" in json.loads(base64.b64decode(packed[1]))["rows"][0]


def test_names_from_the_input_are_text_on_the_page(folder: Path) -> None:
    Path("<b>x.csv").write_bytes(Path("ramp.csv").read_bytes())
    assert ask("linearity", "<b>x.csv", "--bits", "8", "--test", "ramp", "--out", "page.html").exit_code == 0
    page = Path("page.html").read_text("utf-8")
    assert "&lt;b&gt;x.csv" in page
    assert "<b>x" not in page


# mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["convert", "--bits", "0", "--range", "0:5"], "bits"),
        (["convert", "--bits", "33", "--range", "0:5"], "bits"),
        (["convert", "--bits", "eight", "--range", "0:5"], "Invalid value for '--bits'"),
        (["convert", "--range", "0:5"], "Missing option '--bits'"),
        (["convert", "--bits", "8", "--range", "5:0"], "--range '5:0': the first number must be finite and below the second"),
        (["convert", "--bits", "8", "--range", "5"], "--range '5': two numbers with a colon between"),
        (["convert", "--bits", "8", "--range", "0:five"], "--range '0:five': two numbers"),
        (["convert", "--bits", "8", "--range", "0:inf"], "--range '0:inf': the first number must be finite"),
        (["convert", "--bits", "8", "--range", "0:5", "--input", "nan"], "input nan: has no code"),
        (["convert", "--bits", "8", "--range", "0:5", "--conversion-time", "0"], "conversion time 0.0 s"),
        (["convert", "--bits", "8", "--range", "0:5", "--fs-over", "2n"], "2n"),
        (["convert", "--bits", "8", "--range", "0:5", "--transfer", "ceil"], "transfer 'ceil' is unknown"),
        (["convert", "--bits", "8", "--range", "0:5", "--table", "codes.txt"], "--table codes.txt: a code table is written as .csv"),
        (["convert", "--bits", "8", "--range", "0:5", "--table", "a.csv", "--out", "./a.csv"], "are the same file"),
        (["convert", "--bits", "24", "--range", "0:5", "--table", "codes.csv"], "a table of 16777216 codes is too long"),
        (["convert", "--bits", "8", "--range", "0:5", "--out", "page.pdf"], "suffix '.pdf' is unknown"),
        (["record", "none.csv"], "'none.csv' can not be read: No such file or directory"),
        (["record", "words.csv", "--fs", "1"], "words.csv"),
        (["record", "tone.csv"], "tone.csv does not tell its sample rate; give it with --fs"),
        (["record", "tone.csv", "--fs", "0"], "fs 0.0 Hz was given"),
        (["record", "tone.csv", "--fs", "1", "--range", "3:3"], "--range '3:3'"),
        (["record", "tone.csv", "--fs", "1", "--bits", "10"], "codes reach from 1 to 4094, which 10 bits can not hold"),
        (["record", "tone.csv", "--fs", "1", "--window", "best"], "window 'best' is unknown"),
        (["record", "tone.csv", "--fs", "1", "--side-bins", "few"], "--side-bins 'few': a whole number of bins, or auto"),
        (["record", "tone.csv", "--fs", "1", "--harmonics", "1"], "harmonics 1"),
        (["record", "tone.csv", "--fs", "1", "--full-scale", "peak"], "full_scale 'peak'"),
        (["record", "tone.csv", "--fs", "1", "--band", "9"], "--band '9'"),
        (["record", "tone.csv", "--fs", "1", "--column", "volts"], "'volts'"),
        (["record", "tone.csv", "--fs", "1", "--column", "4"], "column 4"),
        (["record", "two.npy", "--fs", "1", "--channel", "3"], "channel 3"),
        (["record", "tone.csv", "--fs", "1", "--justify", "middle"], "justify 'middle'"),
        (["record", "tone.csv", "--fs", "1", "--out", "none/x.csv"], "folder none does not exist"),
        (["record", "three.npy", "--fs", "1"], "3 samples"),
        (["record", "holes.npy", "--fs", "1"], "NaN|finite"),
        (["linearity", "ramp.csv", "--bits", "8"], "Missing option '--test'"),
        (["linearity", "ramp.csv", "--bits", "8", "--test", "steps"], "test 'steps' is unknown"),
        (["linearity", "ramp.csv", "--bits", "7", "--test", "ramp"], "codes lie outside 0 to 127"),
        (["linearity", "ramp.csv", "--bits", "12", "--test", "ramp"], "the ramp does not cover the range"),
        (["linearity", "ramp.csv", "--bits", "8", "--test", "ramp", "--reference", "ends"], "INL reference 'ends' is unknown"),
        (["linearity", "ramp.csv", "--bits", "8", "--test", "ramp", "--drive", "1:0"], "--drive '1:0'"),
        (["linearity", "ramp.csv", "--bits", "8", "--test", "ramp", "--confidence", "95"], "confidence is 95.0, must lie between 0 and 1"),
        (["linearity", "clean.csv", "--bits", "12", "--test", "sine"], "4096 samples are too few for the 4096 codes of 12 bits"),
        (["linearity", "volts.npy", "--bits", "12", "--test", "sine"], "volts.npy holds numbers that are no whole ones: a linearity test counts codes"),
        (["linearity", "flat.npy", "--bits", "4", "--test", "ramp"], "all 200 samples are code 7"),
        (["linearity", "ramp.csv", "--bits", "0", "--test", "ramp"], "bits"),
        (["linearity", "ramp.csv", "--bits", "99999", "--test", "ramp"], "bits 99999 was given; converters have 1 to 32"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line_and_exit_2(words: list[str], message: str, folder: Path) -> None:
    result = ask(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message if "|" in message else re.escape(message), result.stderr)


@pytest.mark.parametrize("command", ["convert", "record", "linearity"])
def test_help_shows_an_example_that_runs(command: str, folder: Path) -> None:
    result = ask(command, "--help")
    assert result.exit_code == 0
    assert f"qanalysis {command} " in result.stdout


def test_help_is_there_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom qanalysis.cli import app\n"
        "assert CliRunner().invoke(app, ['record', '--help']).exit_code == 0\n"
        "print([name for name in ('numpy', 'scipy', 'pandas', 'plotly', 'pyarrow', 'numba', 'jinja2') if name in sys.modules])"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.perf_counter() - began < 2  # 0.2 s on a quiet machine


def test_a_real_process_ends_with_the_exit_code_of_the_limit(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qanalysis.cli", *RECORD, "--min-enob", "11.5", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["totals"][0]["met"] is False
    assert done.stderr == f"--min-enob 11.5 is missed: reached {json.loads(done.stdout)['rows'][0]['enob_ieee']:.6g}\n"


def test_the_public_names_are_those_of_the_engines() -> None:
    assert Converter(8, 0, 12).lsb == 0.046875
    assert measure_linearity(make_ramp(), bits=8).missing_codes == (100,)


def test_a_sample_record_is_opened_by_name_without_a_file() -> None:
    document = ask_json("record", "sample:coherent tone with distortion, 12 bit")
    assert document["source"]["path"] == "sample:coherent tone with distortion, 12 bit"
    assert document["rows"][0]["bits"] == 12
    tested = ask_json("linearity", "sample:ramp for a linearity test, 8 bit", "--bits", "8", "--test", "ramp")
    assert tested["rows"][0]["samples"] == 16384
    unknown = ask("record", "sample:tune")
    assert unknown.exit_code == 2
    assert "there is no sample record 'tune'; the samples are tone between bins, 12 bit;" in unknown.stderr.replace(
        "\n", " "
    )


def test_convert_tells_what_jitter_and_a_sampling_capacitor_allow() -> None:
    words = ("convert", "--bits", "14", "--range", "-1:1")
    (row,) = ask_json(*words, "--jitter", "1e-12", "--frequency", "70e6", "--capacitance", "1e-12")["rows"]
    # Published: 67.13 dB at 70 MHz and 1 ps; 74.80 dB for 1 pF at 1 V, and 6.02 dB more for twice the range.
    assert row["jitter_snr_db"] == pytest.approx(67.13, abs=0.005)
    assert row["thermal_noise_rms"] == pytest.approx(64.4e-6, abs=0.05e-6)
    assert row["thermal_snr_db"] == pytest.approx(74.80 + 20 * math.log10(2), abs=0.01)
    powers = [10 ** (-row[name] / 10) for name in ("ideal_snr_db", "jitter_snr_db", "thermal_snr_db")]
    assert row["limited_snr_db"] == pytest.approx(-10 * math.log10(sum(powers)), rel=1e-12)
    assert row["limited_enob"] == pytest.approx((row["limited_snr_db"] - 1.7609) / 6.0206, abs=1e-4)
    assert any(
        step.startswith("SNR that jitter allows: −20 · log10(2 π · f · t) = ") and step.endswith("= 67.13 dB")
        for step in row["working"]
    )
    (plain,) = ask_json(*words)["rows"]
    assert {
        plain[name]
        for name in ("jitter_snr_db", "thermal_noise_rms", "thermal_snr_db", "limited_snr_db", "limited_enob")
    } == {None}
    assert len(plain["working"]) == len(row["working"]) - 4
    assert "SNR with these limits" in ask(*words, "--capacitance", "1e-12").stdout
    assert "SNR with these limits" not in ask(*words).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--jitter", "1e-12"), "--jitter 1e-12 needs --frequency"),
        (("--frequency", "1e6"), "--frequency 1e+06 is of --jitter alone"),
        (("--jitter", "1e200", "--frequency", "1e5"), "shifts the phase by 6.28e+205 radians"),
        (("--jitter", "1e-3", "--frequency", "1e3"), "give a jitter far below"),
        (("--conversion-time", "1e-320"), "needs a finite time of 1e-18 s or more"),
        (("--capacitance", "0"), "capacitance 0.0 F: needs a finite value above 0, such as 1e-12"),
    ],
)
def test_half_a_source_of_noise_is_refused(words: tuple[str, ...], message: str) -> None:
    result = ask("convert", "--bits", "8", "--range", "0:5", *words)
    assert result.exit_code == 2
    assert message in result.stderr
