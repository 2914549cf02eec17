"""Which numbers stand in the chosen columns of a text? They are read as a stream, some megabytes at a time.

A block goes through the C reader of pandas, the columns that no C reader reads as cells to `parse_cells`; a block in
which something is odd (a comment, NaN, a cell that is no number) is read again line by line, so that what is odd is
named with its line. Kept are 8 bytes for each sample and column, beside some blocks: 14 million lines of times and
volts (263 MB) take 214 MiB for their numbers and 270 MiB in all, beyond the 105 MiB that a short file takes.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import MAX_SAMPLES, RecordError
from qanalysis.converters.records.text.cells import OVER_RANGE, CellError, CellForm, is_numeral, parse_cells
from qanalysis.converters.records.text.delimiters import is_comment, split_cells
from qanalysis.converters.records.text.dialects import COMMENT_MARKS, SEGMENT_LINE
from qanalysis.converters.records.text.encoding import Block, TextFile, count_bytes
from qanalysis.converters.records.text.layout import Column, Layout
from qanalysis.converters.records.text.stamps import parse_stamps
from qanalysis.notation import quote

_COMMA = CellForm(decimal_comma=True)
_PART = 1 << 20
_READERS = 2  # threads: each holds some blocks, and one reads while the other's numbers are taken


@dataclass(slots=True)
class _Kept:
    """Numbers of one column that grow block by block: a store twice as large as needed is not touched, so takes no
    memory.
    """

    store: NDArray[np.float64]
    count: int = 0

    def add(self, part: NDArray[Any]) -> None:
        if self.count + part.size > self.store.size:
            grown = np.empty(max(2 * self.store.size, self.count + part.size))
            grown[: self.count] = self.store[: self.count]
            self.store = grown
        self.store[self.count : self.count + part.size] = part
        self.count += part.size


@dataclass(slots=True)
class Numbers:
    """Columns (samples,) of float64 in the order asked for, and where each sample stands."""

    columns: list[NDArray[np.float64]]
    notes: tuple[Finding, ...] = ()
    starts: list[int] = field(default_factory=list)
    lines: list[int | NDArray[np.int64]] = field(default_factory=list)

    def find_line(self, sample: int) -> int:
        """The number of the line, from 1, in which a sample stands."""
        place = bisect_right(self.starts, sample) - 1
        first = self.lines[place]
        offset = sample - self.starts[place]
        return 1 + (first + offset if isinstance(first, int) else int(first[offset]))


@dataclass(frozen=True, slots=True)
class Task:
    """What is read of a text: the columns `wanted`, by their places."""

    text: TextFile
    layout: Layout
    columns: tuple[Column, ...]
    wanted: tuple[int, ...]
    place: str

    @property
    def width(self) -> int:
        """How many cells the first line of samples has, empty ones counted."""
        return len(self.layout.rows[0])

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that are wanted, in their order."""
        return tuple(self.columns[number] for number in self.wanted)

    def parse(self, number: int, cells: Sequence[str]) -> NDArray[Any]:
        """The numbers (cells,) of a column. Raises CellError, for a sign of over-range too."""
        column = self.columns[number]
        if column.stamp:
            return parse_stamps(cells, column.stamp, self.layout.rows[0][number])
        return parse_finite(cells, column.form or CellForm())


def parse_finite(cells: Sequence[str], form: CellForm) -> NDArray[Any]:
    """The numbers (cells,) of cells. Raises CellError at the first that is none, for a sign of over-range too."""
    for index, cell in enumerate(cells):
        if cell[-1:] in "∞lLdDwW" and cell.casefold() in OVER_RANGE:
            raise CellError(index, cell)
    return parse_cells(cells, form)


def read_numbers(task: Task) -> Numbers:
    """The numbers of the wanted columns, up to 2^26 samples; a note tells of those left out.

    Raises RecordError for a line that ends before a wanted column or goes on beyond the last, and for a cell that is no
    number, which are named with line and column, value, rule and way out.
    """
    room = _guess_count(task)
    kept = [_Kept(np.empty(room)) for _ in task.wanted]
    numbers = Numbers([])
    left = 0
    blocks = task.text.iterate_blocks(task.layout.first, task.layout.end)
    for parts, lines in _read_ahead(task, blocks):
        size = min(parts[0].size, MAX_SAMPLES - kept[0].count)
        if size:
            numbers.starts.append(kept[0].count)
            numbers.lines.append(lines if isinstance(lines, int) else lines[:size])
        for column, part in zip(kept, parts, strict=True):
            column.add(part[:size])
        left += parts[0].size - size
        if kept[0].count == MAX_SAMPLES:
            left += sum(block.count for block in blocks)
    numbers.notes = tell_left_out(kept[0].count, left)
    numbers.columns = [column.store[: column.count] for column in kept]
    return numbers


def _read_ahead(task: Task, blocks: Iterator[Block]) -> Iterator[tuple[list[NDArray[Any]], int | NDArray[np.int64]]]:
    """The numbers of each block in order, while others are read: pandas reads without holding the interpreter."""
    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[Future[tuple[list[NDArray[Any]], int | NDArray[np.int64]]]] = deque()
        for block in blocks:
            waiting.append(pool.submit(_read_block, task, block))
            if len(waiting) > _READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def tell_left_out(count: int, left: int) -> tuple[Finding, ...]:
    """That of more than 2^26 samples the first are read."""
    if not left:
        return ()
    text = (
        f"The first {count:,} of {count + left:,} samples are read: more than 2^26 would fill the memory. Cut out "
        "the part that matters."
    )
    return (Finding("samples-left-out", text, left),)


def _guess_count(task: Task) -> int:
    """A fair number of samples to keep room for, from the length of the first lines."""
    lines = task.text.head[task.layout.first :][:200]
    mean = sum(len(line) + 1 for line in lines) / len(lines)
    return min(MAX_SAMPLES, int(1.2 * (task.layout.end - task.text.start) / mean) + 1024)


def _read_block(task: Task, block: Block) -> tuple[list[NDArray[Any]], int | NDArray[np.int64]]:
    """The wanted numbers of a block and the line of the first of them, or of each where lines are passed over."""
    if not _has_comments(block.content, task.layout.delimiter):
        try:
            parts = _parse_quickly(task, block.content)
        except (ValueError, KeyError, CellError):  # a KeyError for columns that no line has
            return _read_lines(task, block)
        if parts[0].size == block.count and _has_width(task, block):
            return parts, block.line
    return _read_lines(task, block)


def _has_comments(content: bytes, delimiter: str | None) -> bool:
    """Whether a line starts with the mark of a comment."""
    for mark in COMMENT_MARKS:
        # One byte is sought much faster than two.
        if mark != delimiter and mark[0].encode() in content:
            line = f"\n{mark}".encode()
            if content.startswith(line[1:]) or line in content:
                return True
    return False


def _has_width(task: Task, block: Block) -> bool:
    """Whether every line may have as many cells as the first, by the number of their delimiters."""
    delimiter = task.layout.delimiter
    if not delimiter or b'"' in block.content:
        return True
    return count_bytes(block.content, delimiter.encode()) == block.count * (task.width - 1)


def _parse_quickly(task: Task, content: bytes) -> list[NDArray[Any]]:
    """The wanted columns of lines that hold nothing odd. Raises ValueError and CellError for others."""
    import pandas as pd

    delimiter = task.layout.delimiter
    plain_form = _COMMA if task.layout.decimal_comma else CellForm()
    is_fast = [column.form == plain_form and not column.stamp for column in task.all_columns]
    if not all(is_fast) and not delimiter and delimiter is not None:
        raise ValueError("cells that hold blanks")
    frame = pd.read_csv(
        io.BytesIO(content),
        sep=r"\s+" if delimiter is None else delimiter or "\x00",
        header=None,
        names=list(range(task.width)),
        usecols=list(task.wanted),
        dtype=dict(zip(task.wanted, (np.float64 if fast else object for fast in is_fast), strict=True)),
        decimal="," if task.layout.decimal_comma else ".",
        na_filter=False,
        index_col=False,
        skipinitialspace=b" " in content,  # a tenth of the time
        encoding=task.text.encoding,
        encoding_errors="replace",
        engine="c",
        low_memory=False,
        **_exactly(pd.__version__),
    )
    return [
        frame[number].to_numpy() if fast else task.parse(number, [cell.strip() for cell in frame[number].tolist()])
        for number, fast in zip(task.wanted, is_fast, strict=True)
    ]


def _exactly(version: str) -> dict[str, Any]:
    """The option by which pandas reads the nearest double, before it did so by itself."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


def _read_lines(task: Task, block: Block) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
    """The wanted numbers of a block, line by line, and the line of each."""
    kept = list(_iterate_rows(task, block))
    lines = np.array([line for line, _cells in kept], np.int64)
    parts = []
    for place in task.wanted:
        try:
            parts.append(task.parse(place, [cells[place] for _line, cells in kept]))
        except CellError as error:
            line, cells = kept[error.index]
            raise RecordError(_tell_cell(task, line, place, cells)) from None
    return parts, lines


def _iterate_rows(task: Task, block: Block) -> Iterator[tuple[int, list[str]]]:
    """The number, from 0, and the cells of each line of a block that is no comment.

    Raises RecordError for a line that begins another record, ends before a wanted column, or goes on beyond the last.
    """
    delimiter, last = task.layout.delimiter, max(task.wanted)
    width = max(len(task.columns), task.layout.width)
    for number, line in enumerate(task.text.decode(block.content).split("\n"), block.line):
        if is_comment(line, delimiter):
            continue
        cells = split_cells(line, delimiter)
        where = f"{task.place}, line {number + 1}"
        if SEGMENT_LINE.fullmatch(line.strip()):
            raise RecordError(
                f"{where}: {quote(line.strip(), 40)} begins another record within the file; "
                "keep the lines of one of them"
            )
        if last >= len(cells):
            raise RecordError(_tell_short(task, block, number, line, len(cells)))
        if any(map(is_numeral, cells[width:])):
            raise RecordError(
                f"{where} has {len(cells)} cells where the table has {width} columns; mend the line, and write decimal "
                "points where commas separate the columns"
            )
        yield number, cells


def _tell_short(task: Task, block: Block, number: int, line: str, count: int) -> str:
    """What is wrong with a line that ends before a wanted column: words, cut off, or short."""
    where = f"{task.place}, line {number + 1}"
    if not any(char.isdigit() for char in line):
        shown = quote(line.strip(), 40)
        return f"{where}: {shown} is no line of numbers, and samples follow; take it out, or keep one record"
    missing = next(place for place in task.wanted if place >= count)
    ended = f"ends after column {count}, column {missing + 1} is missing"
    if task.text.decode(block.content).rstrip().count("\n") + block.line == number and block.end >= task.layout.end:
        return f"{where}, the last one, is cut off: it {ended}; take the line out, or copy the file again"
    return f"{where} {ended}; mend the line or take it out"


def _tell_cell(task: Task, line: int, place: int, cells: Sequence[str]) -> str:
    cell, name = cells[place], task.columns[place].name
    where = f"{task.place}, line {line + 1}, column {place + 1} ({name[:80]})"
    if cell.casefold() in OVER_RANGE:
        return (
            f"{where}: {quote(cell, 40)} says that the input was over range, infinite: no number stands for it; "
            "capture with a wider range, or cut out the part before"
        )
    if SEGMENT_LINE.fullmatch(cell):
        return f"{where}: {quote(cell, 40)} begins another record within the file; keep the lines of one of them"
    shown = quote(cell, 40) if cell else "an empty cell"
    return f"{where}: {shown} is not a number; mend or take out the line"


def to_words(values: NDArray[np.float64]) -> NDArray[np.int64] | NDArray[np.float64]:
    """The values (samples,) as integers, in the memory that they have, where all are finite, whole and below 2^53."""
    for start in range(0, values.size, _PART):
        part = values[start : start + _PART]
        with np.errstate(invalid="ignore"):
            whole = bool((part == np.rint(part)).all()) and float(np.abs(part).max()) < 2**53
        if not whole:
            return values
    words = values.view(np.int64)
    for start in range(0, values.size, _PART):
        words[start : start + _PART] = values[start : start + _PART].astype(np.int64)
    return words
