"""What is stated of the numbers' unit stands over what they look like: volts, millivolts or codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.captures import analyze_capture, describe_capture
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import RecordError, _doubt_codes, _state_unit, read_as_values, read_record
from qanalysis.converters.records.samples import Samples
from qanalysis.converters.records.text.columns import rises_evenly
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


@pytest.mark.parametrize("unit", [None, "V", "mV"])
def test_numbers_that_carry_their_unit_are_in_it_whatever_is_stated(unit: str | None) -> None:
    samples = Samples(np.array([1, 2, 3]), unit="V", carries_unit=True)
    stated = _state_unit(samples, unit, "x.csv")  # type: ignore[arg-type]
    assert (stated.numbers.dtype.kind, stated.numbers.tolist(), stated.unit) == ("f", [1.0, 2.0, 3.0], "V")


def test_numbers_that_carry_their_unit_are_no_codes() -> None:
    with pytest.raises(RecordError, match=r"x\.csv: the cells carry the unit V: they are no codes"):
        _state_unit(Samples(np.array([1, 2]), unit="V", carries_unit=True), "code", "x.csv")


@pytest.mark.parametrize("unit", ["mV", "V", "millivolts", "µV"])
def test_a_header_that_names_a_voltage_is_told_beside_the_guess_and_taken_with_a_range(
    unit: str, tmp_path: Path
) -> None:
    record = read_record(write(tmp_path, np.rint(900 * TURNS).astype(int)), fs_hz=1e6, bits=12)
    record = replace(record, unit=unit)
    found = analyze_capture(record, SpectrumOptions(low=-2500, high=2500))
    assert found.lsb == 5000 / 4096
    note = next(finding for finding in describe_capture(record, found).findings if finding.code == "whole-values")
    assert f"are in '{unit}' by the header and lie within the range" in note.text
    assert "whole-values" not in {finding.code for finding in analyze_capture(record).findings}


def test_a_guess_of_the_width_tells_of_a_header_that_names_a_voltage() -> None:
    notes = (Finding("bits-guessed", "12 bits guessed.", 12), Finding("unsigned", "None is negative.", 0))
    told = _doubt_codes(notes, "mV", None)
    assert told[0].text == (
        "12 bits guessed. The header names mV: state the unit, V or mV, where the numbers are no codes."
    )
    assert told[1] == notes[1]
    assert (
        _doubt_codes(notes, "mV", "code") == _doubt_codes(notes, "code", None) == _doubt_codes(notes, "", None) == notes
    )


def test_one_rail_of_fractions_makes_both_values(tmp_path: Path) -> None:
    np.save(tmp_path / "iq.npy", np.array([1 + 0.5j, 2 - 0.25j, 3 + 1j] * 8))
    record = read_record(tmp_path / "iq.npy")
    assert record.codes is None
    np.testing.assert_array_equal(record.quadrature[:3], [0.5, -0.25, 1.0])


def test_values_that_leave_double_precision_rise_in_no_even_steps() -> None:
    assert not rises_evenly(np.array([-1e308, 1e308] * 40 + [1e308]))
    assert rises_evenly(np.arange(40.0))
