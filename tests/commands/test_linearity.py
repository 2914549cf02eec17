"""`linearity` as a person or a build server meets it: errors by code, references, limits, exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qanalysis import measure_linearity
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.results.columns import names_of
from tests.commands.asking import LINEARITY, ask, ask_json, make_ramp


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
