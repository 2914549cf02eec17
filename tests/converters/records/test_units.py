"""What is stated of the numbers' unit stands over what they look like: volts, millivolts or codes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.captures import analyze_capture, describe_capture
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import RecordError, read_as_values, read_record
from qanalysis.converters.spectrum.options import SpectrumOptions

TURNS = np.sin(2 * np.pi * 401 * np.arange(4096) / 4096)
MILLIVOLTS = np.rint(2251 * TURNS).astype(int)


def write(folder: Path, numbers: np.ndarray, head: str = "") -> Path:
    path = folder / "x.csv"
    path.write_text(head + "\n".join(map(str, numbers.tolist())))
    return path


def test_whole_millivolts_are_volts_where_that_is_stated(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, MILLIVOLTS), unit="mV", bits=12)
    np.testing.assert_array_equal(record.values, MILLIVOLTS / 1000)
    assert (record.codes, record.bits, record.unit, record.low, record.guesses) == (None, 12, "V", None, ())
    found = analyze_capture(record, SpectrumOptions(low=-2.5, high=2.5))
    # Rounded to 1 mV, 1/sqrt(12) mV rms; an LSB is 5000/4096 mV.
    assert found.enob_ieee == pytest.approx(12 + np.log2(5000 / 4096), abs=0.05)


def test_whole_volts_are_no_codes_where_that_is_stated(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, np.arange(40) % 7), unit="V")
    assert (record.codes, record.unit, record.values[6]) == (None, "V", 6.0)


def test_codes_stay_codes_whatever_a_header_says_and_the_guess_tells_of_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", MILLIVOLTS.astype(float))
    record = read_record(tmp_path / "x.npy", unit="code")
    np.testing.assert_array_equal(record.codes, MILLIVOLTS)
    assert record.unit == "code"


def test_fractions_are_no_codes(tmp_path: Path) -> None:
    path = write(tmp_path, np.array([1.0, 2.0, 2.25, 3.5] * 8))
    with pytest.raises(RecordError, match=r"x\.csv holds fractions, the first is sample 2, 2\.25, and codes are whole"):
        read_record(path, unit="code")


def test_nan_among_codes_is_left_to_the_doctor(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, np.array([1.0, np.nan, 3.0] * 8)), unit="code")
    assert (record.codes, np.isnan(record.values).sum()) == (None, 8)


@pytest.mark.parametrize("stated", [{"signed": True}, {"justify": "left"}, {"coding": "gray"}])
def test_volts_are_neither_justified_nor_signed_nor_coded(tmp_path: Path, stated: dict) -> None:
    with pytest.raises(RecordError, match="is read as volts: they are neither justified nor signed codes"):
        read_record(write(tmp_path, MILLIVOLTS), unit="V", **stated)


def test_whole_numbers_that_only_the_range_holds_are_examined_as_values(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, MILLIVOLTS), bits=12, fs_hz=1e6)
    found = analyze_capture(record, SpectrumOptions(low=-2500, high=2500))
    row = describe_capture(record, found)
    codes = {finding.code for finding in row.findings}
    assert "whole-values" in codes
    assert not codes & {"wrong-width", "unsigned", "bits-guessed"}


def test_codes_that_become_values_leave_no_guess_of_codes(tmp_path: Path) -> None:
    record = read_as_values(read_record(write(tmp_path, MILLIVOLTS)))
    assert (record.codes, record.signed, record.justification, record.low, record.high) == (None,) * 5
    assert "bits-guessed" not in {guess.code for guess in record.guesses}


def test_a_coding_that_is_stated_reaches_the_words(tmp_path: Path) -> None:
    codes = np.rint(127 + 100 * TURNS).astype(int)
    record = read_record(write(tmp_path, codes ^ codes >> 1), Reading(coding="gray", bits=8))
    np.testing.assert_array_equal(record.codes, codes)


def test_numbers_beyond_double_precision_become_infinite_without_a_warning(tmp_path: Path) -> None:
    if np.finfo(np.longdouble).max <= np.finfo(float).max:
        pytest.skip("this machine has no longer doubles")
    np.save(tmp_path / "x.npy", np.full(32, np.longdouble("1e400")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            record = read_record(tmp_path / "x.npy")
        except RecordError:
            return
    assert np.isinf(record.values).all()
