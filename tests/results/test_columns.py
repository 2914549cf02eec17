"""A column is declared once: what its annotation may be, and that all that leaves the program knows a new one."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import jsonschema
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qanalysis.reports.list_sections import outline_plain
from qanalysis.reports.page import render_page
from qanalysis.reports.terminal import print_result
from qanalysis.results.columns import CellType, Kind, RowType, column, columns_of, embedded, make_row, names_of
from qanalysis.results.delimited import parse_csv, to_csv
from qanalysis.results.document import parse_document, to_json
from qanalysis.results.files import read_table, write_whole
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.parquet import write_parquet
from qanalysis.results.schema import describe_kind
from qanalysis.results.table import Table

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line(RowType):
    """A row type of a command that does not exist yet."""

    KIND: ClassVar[Kind] = Kind("weigh", "lines", "Lines", "qanalysis weigh FILE --out rows.json")

    name: str = column("Name")
    grams: float | None = column("Weight", "g", better="lower", formula="on the scales", default=None)


@dataclass(frozen=True, slots=True)
class LongerLine(Line):
    """The same with one more column: one more line."""

    drops: int | None = column("Drops", formula="how often it fell", default=None)


def make_table() -> Table[LongerLine]:
    rows = [LongerLine("first", 2.5, 7), LongerLine("second")]
    return Table.from_rows(LongerLine, rows, source=SourceIdentity("shelf", 12, None))


def test_a_new_column_is_one_line_and_everything_knows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, kinds = make_table(), {LongerLine: Table}
    assert [found.name for found in columns_of(LongerLine)] == [*names_of(Line), "drops"]
    document = json.loads(to_json(table, created=NOON))
    assert [row["drops"] for row in document["rows"]] == [7, None]
    schema = describe_kind(LongerLine)
    jsonschema.validate(document, schema)
    assert schema["$defs"]["row"]["properties"]["drops"] == {
        "type": ["integer", "null"],
        "description": "Drops: how often it fell",
    }
    assert parse_document(to_json(table), kinds, place="x.json").rows == table.rows
    assert to_csv(table).splitlines()[:2] == ["name,grams,drops", "first,2.5,7"]
    assert parse_csv(to_csv(table).encode(), kinds, place="x.csv").rows == table.rows
    with write_whole(tmp_path / "x.parquet") as file:
        write_parquet(table, file)
    assert pq.read_schema(tmp_path / "x.parquet").field("drops").type == pa.int64()
    assert read_table(tmp_path / "x.parquet", kinds).rows == table.rows
    assert table.to_pandas()["drops"].dtype == pd.Int64Dtype()
    assert table.to_pandas()["drops"].tolist() == [7, pd.NA]
    assert 'data-column="drops"' in render_page(table, created=NOON)
    assert "Drops: how often it fell" in render_page(table, created=NOON)
    assert outline_plain(table).lead[0].blocks[0].lines[0] == ["first", "2.5", "7"]
    print_result(table)
    assert "first   2.5     7" in capsys.readouterr().out


def test_a_late_column_is_null_in_what_older_files_hold() -> None:
    @dataclass(frozen=True, slots=True)
    class LateLine(Line):
        drops: int | None = column("Drops", default=None, late=True)

    old, kinds = (
        Table.from_rows(Line, [Line("first", 2.5)], source=SourceIdentity("shelf", 12, None)),
        {LateLine: Table},
    )
    for again in (
        parse_document(to_json(old), kinds, place="x.json"),
        parse_csv(to_csv(old).encode(), kinds, place="x.csv"),
    ):
        assert list(again) == [LateLine("first", 2.5, None)]


@dataclass(frozen=True, slots=True)
class Part:
    """What a row is made of."""

    gain_db: float = column("Gain", "dB")
    ends: tuple[float, float] = column("Ends", infinite=(-math.inf, math.inf))


@dataclass(frozen=True, slots=True)
class Whole(RowType):
    """A row with a part in it."""

    first_columns: ClassVar[tuple[str, ...]] = ("word",)

    part: Part = embedded()
    word: Literal["good", "bad"] = column("Word")


def test_an_embedded_part_spreads_its_columns_and_comes_back_as_a_part() -> None:
    row = Whole(Part(1.5, (0.0, math.inf)), "good")
    assert names_of(Whole) == ("word", "gain_db", "ends")
    assert row.to_dict() == {"word": "good", "gain_db": 1.5, "ends": [0.0, math.inf]}
    assert list(Table.from_rows(Whole, [row])) == [row]
    assert make_row(Whole, {"word": "good", "gain_db": 1.5, "ends": (0.0, math.inf)}) == row


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, CellType("integer")),
        (str | None, CellType("text", nullable=True)),
        (Literal["a", "b"], CellType("text", choices=("a", "b"))),
        (tuple[str, ...], CellType("list", item=CellType("text"))),
        (tuple[float, float] | None, CellType("list", nullable=True, item=CellType("number"), length=2)),
        (Part, CellType("record", record=Part)),
    ],
    ids=str,
)
def test_the_annotation_says_what_a_cell_may_hold(hint: Any, expected: CellType) -> None:
    assert CellType.from_annotation(hint) == expected


def test_a_type_that_no_file_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a column of type <class '_io.StringIO'>: a cell holds text"):
        CellType.from_annotation(io.StringIO)


def test_a_field_without_a_label_is_named_by_its_field_and_left_out_of_definitions() -> None:
    @dataclass(frozen=True)
    class Plain(RowType):
        KIND: ClassVar[Kind] = Line.KIND
        weight: float

    (found,) = columns_of(Plain)
    assert (found.label, found.meaning) == ("weight", "weight")
    assert not outline_plain(Table.from_rows(Plain, [Plain(1.0)])).rest[0].blocks[0].lines


def test_rows_of_a_derived_type_are_held_by_the_columns_of_the_type_that_is_asked_for() -> None:
    assert list(Table.from_rows(Line, [LongerLine("first", 2.5, 7)])) == [Line("first", 2.5)]
    assert replace(make_table(), complete=False).complete is False
