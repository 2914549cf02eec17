"""`convert` as a person or a script meets it: the answers with their working, rows, the code table."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.results.columns import names_of
from tests.commands.asking import ask, ask_json


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
        (["--bits", "8", "--range", "0:5"], ["19.53125 mV", "±9.765625 mV", "4.980469 V", "19.61 mV"]),
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
        (("--jitter", "1e200", "--frequency", "1e5"), "shifts the phase by 6.28·10²⁰⁵ radians"),
        (("--jitter", "1e-3", "--frequency", "1e3"), "give a jitter far below"),
        (("--conversion-time", "1e-320"), "needs a finite time of 1·10⁻¹⁸ s or more"),
        (("--capacitance", "0"), "capacitance 0 F: needs a finite value above 0, such as 1e-12"),
    ],
)
def test_half_a_source_of_noise_is_refused(words: tuple[str, ...], message: str) -> None:
    result = ask("convert", "--bits", "8", "--range", "0:5", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_range_stands_in_the_document_as_it_was_typed() -> None:
    document = ask_json("convert", "--bits", "8", "--range", "0:1e9")
    assert document["settings"]["range"] == "0:1e9"
    assert document["rows"][0]["high"] == 1e9
