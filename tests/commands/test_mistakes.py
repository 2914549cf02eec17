"""Mistakes with the converter commands: one clear line and exit code 2; their help; the public names."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanalysis import Converter, measure_linearity
from tests.commands.asking import ask, make_ramp


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
        (["convert", "--bits", "8", "--range", "0:5", "--conversion-time", "0"], "conversion time 0 s"),
        (["convert", "--bits", "8", "--range", "0:5", "--fs-over", "2n"], "2n"),
        (["convert", "--bits", "8", "--range", "0:5", "--transfer", "ceil"], "transfer 'ceil' is unknown"),
        (["convert", "--bits", "8", "--range", "0:5", "--table", "codes.txt"], "--table codes.txt: a code table is written as .csv"),
        (["convert", "--bits", "8", "--range", "0:5", "--table", "a.csv", "--out", "./a.csv"], "are the same file"),
        (["convert", "--bits", "24", "--range", "0:5", "--table", "codes.csv"], "a table of 16777216 codes is too long"),
        (["convert", "--bits", "8", "--range", "0:5", "--out", "page.pdf"], "suffix '.pdf' is unknown"),
        (["record", "none.csv"], "'none.csv' can not be read: No such file or directory"),
        (["record", "words.csv", "--fs", "1"], "words.csv"),
        (["record", "tone.csv", "--fs", "1,5"], "--fs '1,5': ',5' is neither Hz nor Hz with a prefix; write it as 1.5"),
        (["record", "tone.csv", "--fs", "5V"], "--fs '5V': 'V' is neither Hz nor Hz with a prefix"),
        (["record", "tone.csv", "--fs", "fast"], "--fs 'fast' is no number with a unit"),
        (["record", "tone.csv", "--band", "0:1kHz"], "needs the sample rate"),
        (["record", "tone.csv", "--osr", "0.5"], "osr 0.5: the oversampling is a number of 1 or more"),
        (["record", "tone.csv", "--unit", "A"], "unit 'A' is unknown; use V, mV, code"),
        (["record", "tone.csv", "--coding", "grey"], "coding 'grey' is unknown; use binary, gray"),
        (["record", "tone.csv", "--radix", "octal"], "radix 'octal' is unknown; use decimal, hex, binary"),
        (["record", "tone.csv", "--fs", "0"], "fs 0 Hz was given"),
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
        (["linearity", "holes.npy", "--bits", "4", "--test", "ramp"], "samples are not finite"),
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


def test_the_public_names_are_those_of_the_engines() -> None:
    assert Converter(8, 0, 12).lsb == 0.046875
    assert measure_linearity(make_ramp(), bits=8).missing_codes == (100,)
