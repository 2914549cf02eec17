"""A frame holds one array a column: what goes in comes out, null apart from NaN and infinity, at 8 bytes a cell."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from qanalysis.results.columns import RowType, column, columns_of
from qanalysis.results.table import Frame, Table
from qanalysis.sweeps.row import Row


@dataclass(frozen=True, slots=True)
class Cells(RowType):
    """One column of each kind."""

    word: Literal["yes", "no"] = column("Word")
    count: int = column("Count")
    size: int | None = column("Size")
    ratio: float | None = column("Ratio")
    right: bool = column("Right")
    known: bool | None = column("Known")
    codes: tuple[int, ...] = column("Codes")


ROWS = [
    Cells("yes", 1, 2**63 - 1, math.inf, right=True, known=None, codes=(1, 2)),
    Cells("no", -(2**63) + 1, None, None, right=False, known=True, codes=()),
    Cells("yes", 0, 0, -0.5, right=True, known=False, codes=(3,)),
]


@pytest.fixture
def frame() -> Frame[Cells]:
    return Frame.from_rows(Cells, ROWS)


def test_rows_come_out_as_they_went_in(frame: Frame[Cells]) -> None:
    assert list(frame) == ROWS
    assert frame == ROWS
    assert frame == tuple(ROWS)
    assert frame != ROWS[:2]
    assert [frame[0], frame[-1]] == [ROWS[0], ROWS[2]]
    assert frame[1:] == ROWS[1:]
    assert frame.take(np.array([True, False, True])) == [ROWS[0], ROWS[2]]
    with pytest.raises(IndexError):
        frame[3]


def test_values_are_plain_numbers_of_python(frame: Frame[Cells]) -> None:
    for row in frame:
        assert [type(value) for value in row.to_dict().values()][:2] == [str, int]
        assert {type(row.size), type(row.ratio), type(row.known)} <= {int, float, bool, type(None)}
        assert type(row.right) is bool


def test_a_column_is_an_array_with_nan_for_null(frame: Frame[Cells]) -> None:
    assert frame.column("count").dtype == np.int64
    np.testing.assert_array_equal(frame.column("size"), [2.0**63, np.nan, 0])
    np.testing.assert_array_equal(frame.column("ratio"), [np.inf, np.nan, -0.5])
    assert frame.column("right").tolist() == [True, False, True]
    assert (frame.column("word") == "yes").tolist() == [True, False, True]
    with pytest.raises(KeyError):
        frame.column("none")


def test_frames_add_up_in_order_the_empty_one_too(frame: Frame[Cells]) -> None:
    empty = Frame.from_rows(Cells, ())
    assert len(empty) == 0
    assert list(empty) == empty.to_dicts() == []
    assert frame + empty == empty + frame == frame
    assert Frame.concat(Cells, [frame, empty, frame]) == [*ROWS, *ROWS]


def test_columns_that_do_not_fit_are_refused() -> None:
    cells = {found.name: [None] for found in columns_of(Row)}
    del cells["mse"]
    with pytest.raises(ValueError, match=r"columns of Row: \['mse'\] are missing or unknown"):
        Frame(Row, cells)
    with pytest.raises(ValueError, match=r"all must have one length, found \[1, 2\]"):
        Frame(Cells, {found.name: [1, 2] if found.name == "count" else [1] for found in columns_of(Cells)})
    with pytest.raises(TypeError, match="arrays, which have no hash"):
        hash(Frame.from_rows(Cells, ROWS))


def test_a_table_of_columns_equals_one_of_rows(frame: Frame[Cells]) -> None:
    table = Table.from_columns(Cells, {name: frame.cells[name] for name in frame.cells})
    assert table == Table.from_rows(Cells, ROWS)
    assert len(table) == 3
    assert table[2] == ROWS[2]
    assert table.totals == ()


def test_a_row_of_a_sweep_costs_at_most_416_bytes() -> None:
    row = Row("w", "weight", "1", "float32", 1, "int4", "int4", 4, "tensor", "sym", "minmax", "float32", mse=0.5)
    rows = Frame.from_rows(Row, [row] * 1000)
    # Texts are shared between rows: a cell is a pointer.
    assert sum(cells.nbytes for cells in rows.cells.values()) / len(rows) <= 416
    assert sys.getsizeof(rows[0].tensor) < 60
    assert rows.cells["tensor"][0] is rows.cells["tensor"][999]
