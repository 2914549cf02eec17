"""A column is declared once: what its annotation may be, and that all that leaves the program knows a new one."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import jsonschema
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qanalysis.reports.list_sections import outline_plain
from qanalysis.reports.page import render_page
from qanalysis.reports.terminal import print_result
from qanalysis.results.columns import CellType, Kind, RowType, column, columns_of, describe_row, figure, names_of
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
class Held(RowType):
    """A row read from a part of what was found, from the whole, and given."""

    KIND: ClassVar[Kind] = Line.KIND

    part: Part = column("Part", of=lambda found: Part(found["gain"], found["ends"]))
    word: Literal["good", "bad"] = column("Word", of=lambda found: found["word"])
    asked: int | float | None = figure("Asked")


def test_a_row_is_described_by_its_columns_and_holds_a_dataclass_as_an_object() -> None:
    row = describe_row(Held, {"gain": 1.5, "ends": (0.0, math.inf), "word": "good"}, asked=None)
    assert row == Held(Part(1.5, (0.0, math.inf)), "good")
    assert row.to_dict() == {"part": {"gain_db": 1.5, "ends": [0.0, math.inf]}, "word": "good", "asked": None}
    assert list(Table.from_rows(Held, [row])) == [row]
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'asked'"):
        describe_row(Held, {"gain": 1.5, "ends": (0.0, math.inf), "word": "good"})


def test_a_cell_is_read_from_the_part_that_its_column_names() -> None:
    @dataclass(frozen=True)
    class Size(RowType):
        real: float = column("Real part", part="value")
        imag: float = column("Imaginary part", part="value", of=lambda value: abs(value.imag))

    assert describe_row(Size, SimpleNamespace(value=3 - 4j)) == Size(3.0, 4.0)


def test_an_integer_stays_one_where_numbers_of_both_kinds_are_allowed(tmp_path: Path) -> None:
    part = Part(1.5, (0.0, 1.0))
    table = Table.from_rows(
        Held, [Held(part, "good", asked) for asked in (2, 2.5, None)], source=SourceIdentity("shelf", 12, None)
    )
    assert [row["asked"] for row in table.to_dicts()] == [2, 2.5, None]
    text = to_json(table, created=NOON)
    assert '"asked": 2}' in text
    jsonschema.validate(json.loads(text), describe_kind(Held))
    kinds = {Held: Table}
    again = [parse_document(text, kinds, place="x.json"), parse_csv(to_csv(table).encode(), kinds, place="x.csv")]
    assert [list(map(type, found.to_pandas()["asked"])) for found in again] == [[float] * 3] * 2
    assert [[type(row.asked) for row in found] for found in again] == [[int, float, type(None)]] * 2
    assert table.column("asked").tolist() == pytest.approx([2, 2.5, math.nan], nan_ok=True)
    with write_whole(tmp_path / "x.parquet") as file:
        write_parquet(table, file)
    assert pq.read_schema(tmp_path / "x.parquet").field("asked").type == pa.float64()
    assert read_table(tmp_path / "x.parquet", kinds).rows == table.rows


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, CellType("integer")),
        (str | None, CellType("text", nullable=True)),
        (int | float, CellType("number", keeps_integers=True)),
        (float | int | None, CellType("number", nullable=True, keeps_integers=True)),
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
