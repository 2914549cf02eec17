"""Which column of a table is the input and which the code? Pairs (input, code) from a file, found or as stated.

Nothing but the numbers decides: codes are whole and do not count lines, inputs are no codes. Where several columns
could be either it is left to be stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record, read_record
from qanalysis.converters.records.samples import RecordError
from qanalysis.notation import quote

_MOST_COLUMNS = 8
_WAY_OUT = "state the column of the inputs (--input-column) and that of the codes (--column)"


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A column as it was read by its number from 1."""

    number: int
    record: Record

    @property
    def counts(self) -> bool:
        """Whether it numbers its lines."""
        codes = self.record.codes
        return codes is not None and codes.size > 1 and bool((np.diff(codes) == 1).all())


def read_pairs(path: str | Path, reading: Reading) -> Record:
    """The record of codes with `inputs` beside it; a note tells which columns were taken where that was not stated.

    Raises RecordError where the columns can not be told, or are not as long as each other, and as `read_record` does.
    """
    path = Path(path)
    if reading.inputs is not None and reading.column is not None:
        record = read_record(path, reading)
        return record if record.inputs is not None else _join(record, read_record(path, Reading(column=reading.inputs)))
    columns = [one for one in _read_columns(path) if not one.counts]
    inputs = None if reading.inputs is None else read_record(path, Reading(column=reading.inputs))
    if reading.column is not None:
        record, code = read_record(path, replace(reading, inputs=None)), reading.column
    else:
        wholes = [one for one in columns if one.record.codes is not None and not _is_same(one.record, inputs)]
        code = _take_only(wholes, path.name, "codes").number
        record = read_record(path, replace(reading, column=code, inputs=None))
    if inputs is not None and reading.inputs is not None:
        return _tell(_join(record, inputs), reading.inputs, code)
    others = [one for one in columns if one.number != code and not _is_same(one.record, record)]
    picked = _take_only(others, path.name, "inputs")
    return _tell(_join(record, picked.record), picked.number, code)


def _read_columns(path: Path) -> list[_Column]:
    """The first columns of a file that hold numbers."""
    columns = []
    for number in range(1, _MOST_COLUMNS + 1):
        try:
            columns.append(_Column(number, read_record(path, Reading(column=number))))
        except RecordError:
            continue
    return columns


def _take_only(columns: list[_Column], name: str, words: str) -> _Column:
    """The only candidate; RecordError for none and for several."""
    if len(columns) == 1:
        return columns[0]
    if not columns:
        raise RecordError(f"{name} has no column that can be the {words} of pairs; {_WAY_OUT}")
    numbers = ", ".join(str(one.number) for one in columns)
    raise RecordError(f"{name}: each of the columns {numbers} could be the {words} of pairs; {_WAY_OUT}")


def _is_same(one: Record, other: Record | None) -> bool:
    """Whether both are one column."""
    return (
        other is not None and one.values.shape == other.values.shape and bool(np.array_equal(one.values, other.values))
    )


def _join(codes: Record, inputs: Record) -> Record:
    """The codes with their inputs; RecordError where one of them has more lines."""
    if codes.values.size != inputs.values.size:
        raise RecordError(
            f"{codes.name}: {codes.values.size} codes and {inputs.values.size} inputs are no pairs; {_WAY_OUT}"
        )
    return replace(codes, inputs=inputs.values)


def _tell(record: Record, inputs: str | int, codes: str | int) -> Record:
    """With the note that names both columns, which takes the place of the one that names the column."""
    taken, other = (quote(word) if isinstance(word, str) else str(word) for word in (inputs, codes))
    text = f"Column {taken} is taken as the inputs and column {other} as the codes of the pairs; else {_WAY_OUT}."
    guesses = tuple(guess for guess in record.guesses if guess.code != "column")
    return replace(record, guesses=(*guesses, Finding("pair-columns", text)))
