"""A text is read as a stream: what is odd is named with its line wherever it stands, and nothing is left out silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record, RecordError, read_record
from qanalysis.converters.records.text import dumps, encoding, numbers
from qanalysis.converters.records.text.text_file import read_text

COUNT = 300
VALUES = np.round(np.sin(2 * np.pi * 17 * np.arange(COUNT) / COUNT + 0.3), 4)


def read(folder: Path, content: str | bytes, **stated: object) -> Record:
    path = folder / "capture.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_record(path, **stated)


def table(change: dict[int, str], head: str = "t,v\n") -> str:
    """Lines of times and values, of which some are changed; sample n stands in line n + 2."""
    return head + "".join(change.get(n, f"{n * 1e-3:.4f},{v}") + "\n" for n, v in enumerate(VALUES.tolist()))


@pytest.mark.parametrize("block", [1 << 22, 700], ids=["one-block", "many-blocks"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({7: "0.0070,oops"}, r"line 9, column 2 \(v\): 'oops' is not a number; mend or take out the line"),
        ({0: "0.0000,oops"}, r"line 2, column 2 \(v\): 'oops'"),
        ({200: "0.2000,"}, r"line 202, column 2 \(v\): an empty cell is not a number"),
        ({200: "x,1"}, r"line 202, column 1 \(t\): 'x' is not a number"),
        ({200: "0.2"}, "line 202 ends after column 1, column 2 is missing; mend the line"),
        ({299: "0.2"}, "line 301, the last one, is cut off: it ends after column 1"),
        ({200: "0,2000,0,5"}, "line 202 has 4 cells where the table has 2 columns"),
        ({200: "second run"}, "line 202: 'second run' is no line of numbers, and samples follow"),
        ({200: "Step Information: R=2K"}, "line 202: 'Step Information: R=2K' begins another record within the file"),
        ({200: "0.2000,-∞"}, r"line 202, column 2 \(v\): '-∞' says that the input was over range, infinite"),
        ({3: "0.0030,OL"}, "line 5, column 2 .*over range"),
        ({3: "0.0030,OVLD"}, "line 5, column 2 .*over range"),
        ({3: "0.0030,١٢"}, "line 5, column 2 .*is not a number"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, change: dict[int, str], message: str
) -> None:
    monkeypatch.setattr(encoding, "BLOCK", block)
    with pytest.raises(RecordError, match=message):
        read(tmp_path, table(change))


@pytest.mark.parametrize("block", [1 << 22, 700], ids=["one-block", "many-blocks"])
@pytest.mark.parametrize(
    "change",
    [
        {50: "0.0500,NaN"},
        {50: f"# pause\n0.0500,{VALUES[50]}"},
        {50: f"\n  \n0.0500,{VALUES[50]}"},
        {50: f'"0.0500","{VALUES[50]}"'},
        {50: f"0.0500,{VALUES[50]},a note, and more"},
        {50: f" 0.0500 ,\t{VALUES[50]} ,,"},
        {299: f"0.2990,{VALUES[299]}\n\n\nEND OF DATA\n,,,"},
    ],
    ids=["nan", "comment", "blank-lines", "quotes", "words", "blanks", "footer"],
)
def test_what_is_odd_but_fits_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, change: dict[int, str]
) -> None:
    monkeypatch.setattr(encoding, "BLOCK", block)
    record = read(tmp_path, table(change))
    wanted = VALUES.copy()
    if "NaN" in next(iter(change.values())):
        wanted[50] = np.nan
    np.testing.assert_array_equal(record.values, wanted)
    assert record.fs_hz == pytest.approx(1000)


def test_commas_between_columns_and_within_numbers_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{n * 1e-3:.4f},{v:.4f}\n".replace(".", ",") for n, v in enumerate(VALUES.tolist()))
    with pytest.raises(RecordError, match="has commas between its columns and in its numbers"):
        read(tmp_path, rows)
    with pytest.raises(RecordError, match="semicolons or tabs"):
        read(tmp_path, "t,v\n" + rows)


def test_whole_columns_between_commas_are_no_decimal_commas(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 7 + 10},{n % 3 + 10},{n % 5 + 10}\n" for n in range(COUNT))
    assert read(tmp_path, rows, column=2).values.tolist() == [n % 7 + 10 for n in range(COUNT)]


def test_of_more_samples_than_fit_the_first_are_read_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "MAX_SAMPLES", 100)
    monkeypatch.setattr(dumps, "MAX_SAMPLES", 100)
    monkeypatch.setattr(encoding, "BLOCK", 700)
    record = read(tmp_path, table({}))
    np.testing.assert_array_equal(record.values, VALUES[:100])
    (left,) = [finding for finding in record.guesses if finding.code == "samples-left-out"]
    assert left.value == 200
    assert left.text.startswith("The first 100 of 300 samples are read")
    listed = read(tmp_path, line())
    assert [finding.value for finding in listed.guesses if finding.code == "samples-left-out"] == [900]


def line() -> str:
    return ",".join(str(n % 50) for n in range(1000)) + "\n"


def test_one_line_of_words_is_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 700)
    record = read(tmp_path, line())
    assert record.values.tolist() == [n % 50 for n in range(1000)]
    with pytest.raises(RecordError, match="line 1: 'x' is not a number"):
        read(tmp_path, line().replace("49,0,", "49,x,", 1))


def test_a_memory_view_is_one_record_and_a_column_of_it_one_where_it_is_named(tmp_path: Path) -> None:
    codes = np.rint(2047 + 1800 * np.sin(2 * np.pi * 101 * np.arange(4096) / 4096)).astype(int)
    rows = "".join(" ".join(f"{code:5d}" for code in codes[n : n + 16]) + "\n" for n in range(0, 4096, 16))
    np.testing.assert_array_equal(read(tmp_path, rows).codes, codes)
    np.testing.assert_array_equal(read(tmp_path, rows, column=2).codes, codes[1::16])


def test_hexadecimal_beside_times_gives_words_of_their_digits(tmp_path: Path) -> None:
    codes = np.rint(2047 + 1800 * np.sin(2 * np.pi * 17 * np.arange(COUNT) / COUNT)).astype(int)
    path = tmp_path / "capture.csv"
    path.write_text("t_s,adc\n" + "".join(f"{n * 1e-3:.4f},0x{code:03X}\n" for n, code in enumerate(codes)))
    samples = read_text(path, Reading())
    np.testing.assert_array_equal(samples.numbers, codes)
    assert (samples.container_bits, samples.container_signed, samples.fs_hz) == (12, False, pytest.approx(1000))


def test_cells_carry_their_unit(tmp_path: Path) -> None:
    record = read(tmp_path, "t,v\n" + "".join(f"{n} ms,{v * 1000:.1f} mV\n" for n, v in enumerate(VALUES.tolist())))
    np.testing.assert_allclose(record.values, VALUES, atol=1e-12)
    assert (record.unit, record.fs_hz) == ("V", pytest.approx(1000))


def test_a_table_of_padded_words_under_as_many_names_is_no_pairs_of_a_fraction(tmp_path: Path) -> None:
    rows = "".join(f"{n + 100},{n + 100},{int(n == 9)},{n % 50:06d}\n" for n in range(COUNT))
    assert read(tmp_path, "a,b,c,d\n" + rows, column="d", radix="decimal").values[51] == 1


def test_bytes_of_all_kinds_are_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"capture\.csv"):
        read(tmp_path, bytes(range(1, 256)) * 40)


@pytest.mark.parametrize(
    ("name", "fs_hz"), [("X", None), ("Second", 1.0), ("X (ms)", 1000.0), ("Index", None)], ids=str
)
def test_a_column_that_counts_lines_is_time_only_by_its_name_or_unit(
    tmp_path: Path, name: str, fs_hz: float | None
) -> None:
    record = read(tmp_path, f"{name},v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(VALUES.tolist())))
    np.testing.assert_array_equal(record.values, VALUES)
    assert record.fs_hz == fs_hz


def test_no_end_of_a_lone_line_is_taken_for_a_comment(tmp_path: Path) -> None:
    cells = [f"{value:+.3f}".replace(".", ",") for value in np.resize(VALUES, 4096).tolist()]
    for shift in range(8):  # looked at are the last 8 KiB, which may begin with a semicolon
        assert read(tmp_path, "0" * shift + ";".join(cells).lstrip("+")).values.size == 4096
