"""`record` as a person or a build server meets it: figures, conventions, limits, exit codes."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qanalysis import analyze_spectrum
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.results.columns import names_of
from tests.commands.asking import RECORD, ask, ask_json, make_tone


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
    assert re.search(r"HD3 +93\.02 kHz", result.stdout)
    assert "Findings\n" in result.stdout


def test_a_guessed_width_stands_in_the_first_lines_of_the_terminal_and_of_the_report(folder: Path) -> None:
    words = [word for word in RECORD if word not in {"--bits", "12"}]
    printed = ask(*words).stdout.splitlines()
    ask(*words, "--out", "report.html")
    assert re.fullmatch(r"SINAD .* dB, ENOB .* bit at 12 bit \(guessed\), SFDR .* dBc\.", printed[1])
    assert printed[1] in (folder / "report.html").read_text(encoding="utf-8")
    assert "guessed" not in ask(*RECORD).stdout.splitlines()[1]


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
        "stored": "",
    }


def test_the_columns_stand_in_the_order_of_the_contract() -> None:
    contract = (
        "bits, low, high, lsb, lsb_convention, fs_hz, samples, coherent, window, side_bins, fundamental_hz, level_dbfs, full_scale, sinad_db, snr_db, "
        "thd_dbc, thd_below_noise, sfdr_dbc, sfdr_dbfs, enob_ieee, enob_at_level, nsd_dbfs_hz, harmonics_counted, hd2_dbc, hd3_dbc, hd4_dbc, hd5_dbc, hd6_dbc, "
        "spectrum_sinad_db, sinefit_sinad_db, sinad_ci95_db, snr_ci95_db, thd_ci95_db, sfdr_ci95_db, findings"
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
    assert "IMD3 2f1−f2" in ask(*words).stdout


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
