"""The signal is read, never a counter, an axis, a flag or a constant beside it; names and numbers choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records.records import Record, RecordError, read_record
from qanalysis.converters.records.text.columns import counts_by_one, is_counter, rises_evenly

COUNT = 256
STEP = 2e-4
VALUES = np.round(np.sin(2 * np.pi * 17 * np.arange(COUNT) / COUNT + 0.3), 4)
CELLS = {
    "time": lambda n: f"{n * STEP:.6f}",
    "index": lambda n: f"{n}",
    "one": lambda n: f"{n + 1}",
    "wrap": lambda n: f"{n % 64}",
    "bytes": lambda n: f"{4 * n + 4096}",
    "constant": lambda n: "50.0",
    "flag": lambda n: f"{n % 2}",
    "late": lambda n: f"{int(n == 200)}",
    "word": lambda n: "OK",
    "value": lambda n: f"{VALUES[n]:.4f}",
    "ramp": lambda n: f"{n * 0.01:.4f}",
}


def write(folder: Path, head: str, kinds: str) -> Path:
    path = folder / "capture.csv"
    rows = (",".join(CELLS[kind](n) for kind in kinds.split()) for n in range(COUNT))
    path.write_text(f"{head}\n" + "\n".join(rows) + "\n")
    return path


def tell(record: Record) -> str:
    return next((finding.text for finding in record.guesses if finding.code == "column"), "")


@pytest.mark.parametrize(
    ("head", "kinds", "has_rate"),
    [
        ("Sample,Time(S),CH1(V)", "index time value", True),
        ("Index,Time [s],ch1", "index time value", True),
        ("No.,Time,Voltage", "one time value", True),
        ("Time [s],Sample,ch1", "time index value", True),
        ("Time,cnt,ch1", "time wrap value", True),
        ("address,ch1", "bytes value", False),
        ("ch1,frame", "value wrap", False),
        ("Sample in Buffer,Sample in Window,TRIGGER,adc", "index index late value", False),
        ("t_s,temperature,ch1", "time constant value", True),
        ("t_s,trig,ch1", "time flag value", True),
        ("t_s,ch1,trig", "time value flag", True),
        ("state,t_s,ch1", "word time value", True),
        ("ch1,t_s", "value time", True),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)
def test_the_signal_is_found_among_other_columns(tmp_path: Path, head: str, kinds: str, has_rate: bool) -> None:
    record = read_record(write(tmp_path, head, kinds))
    np.testing.assert_array_equal(record.values, VALUES)
    assert record.fs_hz == (pytest.approx(1 / STEP) if has_rate else None)


def test_the_note_says_what_was_passed_over_and_why(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, "n,TRIGGER,state,adc", "index constant word value"))
    assert tell(record) == (
        "Column 'adc' is read, number 4 of 4; name another where it was meant. "
        "'n' (it counts), 'TRIGGER' (it stands still) are passed over."
    )


@pytest.mark.parametrize(("kinds", "first"), [("time constant", "50.0"), ("time flag", "0"), ("index", "0")])
def test_what_is_no_signal_is_read_where_there_is_nothing_else(tmp_path: Path, kinds: str, first: str) -> None:
    record = read_record(write(tmp_path, ",".join(["t_s", "v"][-len(kinds.split()) :]), kinds))
    assert record.values.size == COUNT
    assert record.values[0] == float(first)


@pytest.mark.parametrize("column", ["CH2 (V)", "ch2 (v)", "CH2", 3, "3"])
def test_a_column_is_chosen_with_and_without_its_unit(tmp_path: Path, column: str | int) -> None:
    record = read_record(write(tmp_path, "t_s,CH1 (V),CH2 (V)", "time ramp value"), column=column)
    np.testing.assert_array_equal(record.values, VALUES)


def test_a_name_may_hold_brackets(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, "n,adc[11:0],adc[5]", "index value flag"), column="adc[11:0]")
    np.testing.assert_array_equal(record.values, VALUES)


def test_words_are_no_samples_where_they_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, "t_s,v,flag", "time value word")
    with pytest.raises(RecordError, match=r"line 2, column 3 \(flag\): 'OK' is not a number; choose a column of num"):
        read_record(path, column="flag")


def test_inputs_stand_beside_the_samples(tmp_path: Path) -> None:
    path = write(tmp_path, "vin,code", "ramp value")
    record = read_record(path, inputs="vin")
    np.testing.assert_array_equal(record.values, VALUES)
    assert record.inputs is not None
    np.testing.assert_array_equal(record.inputs, np.round(0.01 * np.arange(COUNT), 4))
    with pytest.raises(RecordError, match="as the samples and as the inputs"):
        read_record(path, inputs="vin", column=1)


def test_a_unit_of_a_name_is_that_of_the_samples(tmp_path: Path) -> None:
    assert read_record(write(tmp_path, "t/ms,U/mV", "time value")).unit == "mV"
    assert read_record(write(tmp_path, "t/ms,Strom [A]", "time value")).unit == "A"


def test_a_counter_is_told_from_a_signal() -> None:
    assert is_counter(np.arange(100) % 10)
    assert not is_counter(np.sin(np.arange(100)))
    assert not is_counter(np.ones(100))
    assert not is_counter(np.arange(100)[::-1])


def test_an_axis_lies_close_to_a_straight_line() -> None:
    jittered = np.arange(200) + np.random.default_rng(1).uniform(-0.7, 0.7, 200)
    assert rises_evenly(jittered)
    assert rises_evenly(np.repeat(np.arange(100.0), 2))
    assert not rises_evenly(np.arange(200) + 20 * np.sin(np.arange(200)))


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.0, np.inf, np.inf, np.inf]),
        np.array([1.7e308, -1.7e308, 1.7e308, -1.7e308]),
        np.array([0.0, 8e307, 1.6e308]),
        np.array([0.0, 1.0, np.nan, 3.0]),
    ],
    ids=["infinities", "differences beyond double precision", "a sum beyond double precision", "a NaN"],
)
@pytest.mark.filterwarnings("error")
def test_numbers_that_have_no_steps_are_no_axis(values: np.ndarray) -> None:
    assert not is_counter(values)
    assert not rises_evenly(values)
    assert not counts_by_one(values)


@pytest.mark.filterwarnings("error")
def test_a_counter_with_infinities_gives_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "capture.csv"
    path.write_text("n,v\n" + "".join(f"{'inf' if n in (5, 6) else n},{VALUES[n]}\n" for n in range(COUNT)))
    record = read_record(path)
    np.testing.assert_array_equal(record.values, VALUES)
    assert record.fs_hz is None


@pytest.mark.parametrize("kinds", ["wrap value", "value wrap"])
def test_a_counter_without_a_name_that_wraps_gives_no_times(tmp_path: Path, kinds: str) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("\n".join(",".join(CELLS[kind](n) for kind in kinds.split()) for n in range(COUNT)) + "\n")
    record = read_record(path)
    np.testing.assert_array_equal(record.values, VALUES)
    assert (record.fs_hz, record.uneven) == (None, False)
