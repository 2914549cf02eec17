"""Which column of a text is time, which counts, which is the signal? By names in several languages, and by the numbers.

A column that rises in even steps is a counter or an axis; it is never the signal while another column is there, nor is
one that stands still while another moves, nor a flag of two values beside one of more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import FIRST, RecordError, name_some
from qanalysis.converters.records.text.cells import CellError, FormError, find_form, parse_cells
from qanalysis.converters.records.text.dialects import (
    COUNT_UNITS,
    INDEX_WORDS,
    STRONG_TIME_NAMES,
    TIME_UNITS,
    TIME_WORDS,
    WEAK_TIME_NAMES,
)
from qanalysis.converters.records.text.layout import Column, Layout
from qanalysis.converters.records.text.rates import split_unit
from qanalysis.notation import quote

Role = Literal["signal", "flag", "constant", "axis", "counter", "words"]
_BEST: tuple[Role, ...] = ("signal", "flag", "constant", "counter", "axis")
_LARGEST = 1e150  # the square of what counts or is a time is in double precision
_STRAIGHT = 0.01  # of its range: what a column is off a straight line at most to be an axis
_ENOUGH = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """Which columns are read: `picked` the samples, `inputs` what stood at the input, `time` the times; None for none.

    `is_time` says that the column of times is one by its name or its stamps and not by its numbers alone, and `counts`
    that it holds numbers of samples. `columns` are those of the layout, with the form of the picked one as it was
    stated.
    """

    picked: int
    inputs: int | None
    time: int | None
    is_time: bool
    counts: bool
    columns: tuple[Column, ...]
    notes: tuple[Finding, ...] = ()


def choose_columns(layout: Layout, reading: Reading, place: str) -> Choice:
    """The columns to read, as stated in `reading`, else by what they are.

    A note names the column where there was a choice. Raises RecordError for a column that is not there or holds no
    numbers.
    """
    roles = [_judge(layout, number) for number in range(len(layout.columns))]
    stated = None if reading.column is None else find_column(layout.names, reading.column, place)
    inputs = None if reading.inputs is None else find_column(layout.names, reading.inputs, place)
    if inputs is not None and inputs == stated:
        raise RecordError(
            f"{place}: column {quote(layout.names[inputs])} is asked for as the samples and as the inputs"
        )
    time, is_time = _find_time(layout, roles, taken=(stated, inputs))
    picked = stated if stated is not None else _pick(layout, roles, taken=(time, inputs))
    if picked is None:
        picked, time = (time, None) if time is not None and inputs != time else (0, time)
    notes = () if stated is not None else _tell_choice(layout, picked, roles)
    columns = list(layout.columns)
    columns[picked] = _state_form(layout, picked, reading, place)
    if inputs is not None:
        columns[inputs] = _state_form(layout, inputs, Reading(), place)
    counts = time is not None and _counts(layout.columns[time], is_time=is_time)
    return Choice(picked, inputs, time, is_time, counts, tuple(columns), notes)


def find_column(names: Sequence[str], column: str | int, place: str) -> int:
    """The place, from 0, of a column by its number from 1 or by its name, in any case and with or without its unit.

    A name of digits is taken as a name where a column has it. Raises RecordError for a column that is not there.
    """
    if isinstance(column, int) or (column not in names and column.isdecimal()):
        if not 1 <= int(column) <= len(names):
            raise RecordError(
                f"{place} has {len(names)} column{'s' * (len(names) > 1)}, column {column} was asked for; {FIRST}"
            )
        return int(column) - 1
    wanted = column.strip().casefold()
    for spell in (str.casefold, lambda name: split_unit(name)[0].casefold()):
        matches = [index for index, name in enumerate(names) if spell(name) == wanted]
        if matches:
            return matches[0]
    raise RecordError(f"{place} has no column {quote(column)}; it has {name_some([name[:80] for name in names])}")


def _state_form(layout: Layout, number: int, reading: Reading, place: str) -> Column:
    """The column with the form of its cells as stated. Raises RecordError where they may be read in two ways, or hold
    no numbers.
    """
    column = layout.columns[number]
    cells = [row[number] for row in layout.rows if number < len(row)]
    if reading.radix is not None:
        found = replace(column, radix=reading.radix, fault="")
        try:
            form = find_form(cells, radix=reading.radix, decimal_comma=layout.decimal_comma)
        except FormError as error:
            raise RecordError(f"{place}, column {number + 1} ({column.name[:80]}): {error}") from None
        column = replace(found, form=form, stamp="")
    if column.fault:
        raise RecordError(f"{place}, column {number + 1} ({column.name[:80]}): {column.fault}")
    if column.form is None:
        shown = next((cell for cell in cells if cell), "")
        line = next((index for index, cell in enumerate(cells) if cell), 0) + layout.first + 1
        raise RecordError(
            f"{place}, line {line}, column {number + 1} ({column.name[:80]}): "
            f"{quote(shown, 40) if shown else 'an empty cell'} is not a number; choose a column of numbers"
        )
    return column


def read_evidence(layout: Layout, number: int) -> NDArray[np.float64]:
    """The numbers of a column in the first lines (values,); cells that are none are left out."""
    return _parse(layout.columns[number], [row[number] for row in layout.rows if number < len(row)])


def _parse(column: Column, cells: Sequence[str]) -> NDArray[np.float64]:
    if column.form is None:
        return np.zeros(0)
    try:
        return parse_cells(cells, column.form).astype(np.float64)
    except CellError:
        kept = [cell for cell in cells if column.matches(cell)]
    try:
        return parse_cells(kept, column.form).astype(np.float64)
    except CellError:
        return np.zeros(0)


def _judge(layout: Layout, number: int) -> Role:
    column = layout.columns[number]
    if column.stamp:
        return "axis"
    if column.form is None:
        return "words"
    values = read_evidence(layout, number)
    values = values[np.isfinite(values)]
    if is_counter(values):
        return "counter"
    if rises_evenly(values):
        return "axis"
    others = _parse(column, [row[number] for row in layout.others if number < len(row)])
    kinds = np.unique(np.concatenate([values, others])).size
    return "constant" if kinds <= 1 else "flag" if kinds == 2 else "signal"


def is_counter(values: NDArray[np.float64]) -> bool:
    """Whether nearly all steps of the numbers (values,) are the same and above zero: numbers of samples that may wrap,
    or times of several runs.

    >>> is_counter(np.arange(600) % 256), is_counter(np.array([1.0, 2.0, 10.0, 11.0]))
    (True, False)
    """
    if values.size < 3 or not np.abs(values).max() < _LARGEST:
        return False
    steps = np.diff(values)
    usual = float(np.median(steps))
    same = np.abs(steps - usual) <= 1e-6 * abs(usual) + 1e-9 * float(np.abs(values).max())
    return usual > 0 and bool(same.mean() >= 0.9)


def rises_evenly(values: NDArray[np.float64]) -> bool:
    """Whether numbers (values,) rise as times do: in steps that are alike, or in all close to a straight line."""
    if values.size < 3 or not np.abs(values).max() < _LARGEST:
        return False
    steps = np.diff(values)
    if bool((steps > 0).all()) and float(np.ptp(steps)) <= 0.5 * float(steps.mean()):
        return True
    if values.size < _ENOUGH or values[-1] <= values[0]:
        return False
    order = np.arange(values.size, dtype=np.float64)
    order -= order.mean()
    slope = float(order @ values) / float(order @ order)
    rest = values - values.mean() - slope * order
    return slope > 0 and float(np.sqrt(np.mean(rest**2))) <= _STRAIGHT * float(np.ptp(values))


def _find_time(layout: Layout, roles: Sequence[Role], taken: Sequence[int | None]) -> tuple[int | None, bool]:
    """The column of times or sample numbers, and whether its name or stamps say that it holds times."""
    free = [
        number for number in range(len(layout.columns)) if number not in taken and layout.columns[number].has_values
    ]
    named = [number for number in free if is_time_name(layout.columns[number]) and roles[number] != "words"]
    moving = [number for number in named if roles[number] != "constant" and not _stands(layout, number)]
    if moving and (len(free) > 1 or taken != (None, None)):
        return moving[0], True
    weak = [number for number in free if _is_weak_time(layout.columns[number]) and roles[number] in {"axis", "counter"}]
    if weak and len(layout.columns) > 1:
        return weak[0], not _is_index(layout.columns[weak[0]]) and not _rises_by_one(layout, weak[0])
    rising = [number for number in free if not _stands(layout, number)][:2]
    rising = rising[:1] if len(rising) > 1 and roles[rising[1]] not in {"axis", "counter"} else rising
    if not rising or len(layout.columns) < 2 or roles[rising[0]] not in {"axis", "counter"}:
        return None, False
    # Beside numbers of samples, what rises in other steps and has no name is their times.
    has_times = len(rising) > 1 and _counts_by_one(layout, rising[0]) and not _counts_by_one(layout, rising[1])
    return rising[1 if has_times and layout.columns[rising[1]].name.startswith("column ") else 0], False


def _counts_by_one(layout: Layout, number: int) -> bool:
    """Whether a column rises by one a line."""
    values = read_evidence(layout, number)
    return values.size > 1 and counts_by_one(values)


def _rises_by_one(layout: Layout, number: int) -> bool:
    """Whether a column without a unit counts lines."""
    return not layout.columns[number].unit and counts_by_one(read_evidence(layout, number))


def counts_by_one(values: NDArray[np.float64]) -> bool:
    """Whether each number (values,) is one more than the one before it, as no infinity is.

    >>> counts_by_one(np.array([7.0, 8.0, 9.0])), counts_by_one(np.array([7.0, np.inf, np.inf]))
    (True, False)
    """
    return bool(np.isfinite(values).all() and (values[1:] == values[:-1] + 1).all())


def _stands(layout: Layout, number: int) -> bool:
    """Whether all stamps of a column are one, as those of a date beside a time of day are."""
    return len({row[number] for row in layout.rows if number < len(row)}) == 1 and len(layout.rows) > 1


def _words(column: Column) -> tuple[str, str]:
    """The name in small letters without its unit, and the unit."""
    name, unit = split_unit(column.name)
    name = name.split("(")[0] if "(" in name and name.split("(")[0].strip() else name
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").replace(".", " ").split()), column.unit or unit


def is_time_name(column: Column) -> bool:
    """Whether a column holds times by its stamps, its name, or a unit of times without a name of something else."""
    name, unit = _words(column)
    if column.stamp:
        return True
    if unit.casefold() in COUNT_UNITS - {"", "-"}:
        return False
    in_time = unit.casefold() in TIME_UNITS
    if name in STRONG_TIME_NAMES or TIME_WORDS & set(name.split()):
        return True
    return in_time and (not name or name in WEAK_TIME_NAMES or name in TIME_UNITS)


def _is_weak_time(column: Column) -> bool:
    """Whether a column holds times by its name where it rises evenly."""
    name, unit = _words(column)
    return name in WEAK_TIME_NAMES or unit.casefold() in TIME_UNITS or column.name.casefold() in WEAK_TIME_NAMES


def _is_index(column: Column) -> bool:
    """Whether a column holds numbers of samples by its name or the unit in a row of units."""
    name, unit = _words(column)
    return bool(INDEX_WORDS & set(name.split()[:1])) or unit.casefold() in COUNT_UNITS - {""}


def _counts(column: Column, *, is_time: bool) -> bool:
    return _is_index(column) and not (is_time and is_time_name(column))


def _pick(layout: Layout, roles: Sequence[Role], taken: Sequence[int | None]) -> int | None:
    """The first column of the best role that there is; None where none but the taken ones holds numbers."""
    for role in _BEST:
        for number, found in enumerate(roles):
            column = layout.columns[number]
            if found == role and number not in taken and column.form is not None:
                return number
    return None


def _tell_choice(layout: Layout, picked: int, roles: Sequence[Role]) -> tuple[Finding, ...]:
    """Which column is read where there was a choice, and which others were passed over and why."""
    numbers = [number for number, column in enumerate(layout.columns) if column.has_values]
    if len(numbers) < 2:
        return ()
    reasons = {"counter": "it counts", "axis": "it rises evenly", "constant": "it stands still", "flag": "it is a flag"}
    passed = [
        f"{quote(layout.names[number])} ({reasons[roles[number]]})"
        for number in numbers
        if number < picked and roles[number] in reasons and not is_time_name(layout.columns[number])
    ]
    over = f" {', '.join(passed[:4])} {'is' if len(passed) == 1 else 'are'} passed over." if passed else ""
    text = (
        f"Column {quote(layout.names[picked])} is read, number {picked + 1} of {len(layout.columns)}; name another "
        f"where it was meant.{over}"
    )
    return (Finding("column", text, picked + 1),)
