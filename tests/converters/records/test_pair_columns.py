"""Input and code of a table: found by their numbers, or as stated, or refused with the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.captures import describe_tested, measure_capture, open_capture, open_tested
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.records.pair_columns import read_pairs
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError

VOLTS = 3.3 * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 4096)))
CODES = np.clip(np.floor(VOLTS / 3.3 * 256), 0, 255).astype(int)
PAIRS = LinearityOptions(test="pairs", low=0.0, high=3.3, transfer="floor")


def write_table(folder: Path, header: str, *columns: object) -> Path:
    path = folder / "sweep.csv"
    lines = (",".join(str(cell) for cell in line) for line in zip(*columns, strict=True))  # type: ignore[call-overload]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("stated", [{}, {"column": "code"}, {"column": "code", "inputs": "vin"}, {"inputs": "vin"}])
def test_both_columns_are_found(tmp_path: Path, stated: dict[str, str], *, swapped: bool) -> None:
    columns = {"vin": np.round(VOLTS, 6), "code": CODES}
    names = list(columns)[::-1] if swapped else list(columns)
    path = write_table(tmp_path, ",".join(names), *(columns[name] for name in names))
    record = open_tested(path, Reading(bits=8, **stated), PAIRS)  # type: ignore[arg-type]
    assert record.codes is not None
    assert record.inputs is not None
    assert record.codes.tolist() == CODES.tolist()
    assert record.inputs.tolist() == columns["vin"].tolist()
    notes = [guess.code for guess in record.guesses]
    assert ("pair-columns" in notes) == (len(stated) < 2)
    row = describe_tested(record, measure_capture(record, PAIRS))
    # transitions within half a step of the input, 0.1 LSB at mid-range
    assert (row.test, row.missing_codes) == ("pairs", ())
    assert row.dnl_max_lsb is not None
    assert row.dnl_max_lsb < 0.25
    assert row.offset_lsb == pytest.approx(0.0, abs=0.05)


def test_a_counter_is_neither(tmp_path: Path) -> None:
    path = write_table(tmp_path, "n,vin,code", range(4096), np.round(VOLTS, 6), CODES)
    record = read_pairs(path, Reading(bits=8))
    assert record.codes is not None
    assert record.codes.tolist() == CODES.tolist()


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        (
            "a,b,code",
            (VOLTS, VOLTS * 2, CODES),
            "each of the columns 1, 2 could be the inputs of pairs; state the column",
        ),
        ("mv,code", (np.rint(VOLTS * 1000).astype(int), CODES), "each of the columns 1, 2 could be the codes of pairs"),
        ("a,b", (VOLTS, VOLTS**2), "has no column that can be the codes of pairs; state the column of the inputs"),
        ("code", (CODES,), "has no column that can be the inputs of pairs"),
    ],
    ids=["two-inputs", "two-codes", "no-codes", "no-inputs"],
)
def test_what_can_not_be_told_is_left_to_be_stated(
    tmp_path: Path, header: str, columns: tuple[object, ...], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        read_pairs(write_table(tmp_path, header, *columns), Reading(bits=8))


def test_whole_millivolts_are_inputs_where_they_are_stated(tmp_path: Path) -> None:
    millivolts = np.rint(VOLTS * 1000).astype(int)
    path = write_table(tmp_path, "mv,code", millivolts, CODES)
    record = read_pairs(path, Reading(bits=8, column="code", inputs="mv"))
    assert record.inputs is not None
    assert record.inputs.tolist() == millivolts.tolist()
    with pytest.raises(ValueError, match="a thousand times smaller"):
        measure_capture(record, PAIRS)


def test_a_record_without_inputs_is_no_pairs(tmp_path: Path) -> None:
    path = write_table(tmp_path, "code", CODES)
    with pytest.raises(ValueError, match=r"sweep.csv: pairs are an input and a code in each line; state the column"):
        measure_capture(open_capture(path, Reading(bits=8)), PAIRS)


def test_a_ramp_with_uneven_inputs_is_withheld(tmp_path: Path) -> None:
    record = read_pairs(write_table(tmp_path, "vin,code", np.round(VOLTS, 6), CODES), Reading(bits=8))
    row = describe_tested(record, measure_capture(record, LinearityOptions(test="ramp")))
    assert (row.dnl_max_lsb, row.inl_min_lsb, row.missing_codes, row.findings[0].code) == (None,) * 3 + (
        "uneven-input",
    )
    even = read_pairs(
        write_table(tmp_path, "vin,code", np.linspace(0, 1, 4096), np.repeat(np.arange(256), 16)), Reading(bits=8)
    )
    assert describe_tested(even, measure_capture(even, LinearityOptions(test="ramp"))).dnl_max_lsb is not None
