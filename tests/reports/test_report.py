"""Files of rows: what is written reads back equal, holds every digit, and never lets a name do more than be shown."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import get_args

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.every_row import order_leaving_out, pack_columns
from qanalysis.reports.kinds import load_kinds
from qanalysis.reports.report import read_rows, write_report
from qanalysis.reports.summary import choose_scheme, find_outlier, find_worst_channel, headline, select_worst
from qanalysis.results.columns import columns_of
from qanalysis.results.delimited import parse_csv, to_csv
from qanalysis.results.document import to_json
from qanalysis.results.files import check_targets
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.row import COLUMNS, STATUS_WORDS, Row, Rows, Status
from qanalysis.sweeps.sweep import sweep
from tests.reports.scenes import read_scenes

INTEGER_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "integer")


def _parse(content: bytes) -> Rows:
    return parse_csv(content, load_kinds(), place="r.csv")


NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    conv = rng.normal(size=(8, 27)).astype(np.float32)
    conv[5] *= 20
    return {
        "conv": conv,
        "=cmd()": rng.normal(size=(4, 40)).astype(np.float32),
        "'=quoted": rng.normal(size=(4, 4)).astype(np.float32),
        'a "b", c\nd': rng.normal(size=(3, 5)).astype(np.float32),
        HOSTILE: rng.normal(size=(6, 6)).astype(np.float32),
        "größe": rng.normal(size=3).astype(np.float32),
        "exact": np.array([[1, -1], [0, 1]], np.float32),
        "zeros": np.zeros((2, 2), np.float32),
        "ids": np.arange(4),
        "part": np.array([[1, np.inf], [2, 3]], np.float32),
    }


@pytest.fixture(scope="module")
def rows(arrays: dict[str, np.ndarray]) -> Rows:
    return sweep(arrays, ["int4", "int8 channel", "int4 asym group=16 range=mse"])


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_rows_read_back_equal_with_totals_source_and_settings(rows: Rows, tmp_path: Path, suffix: str) -> None:
    again = read_rows(write_report(rows, tmp_path / f"rows{suffix}", created=NOON))
    assert again.rows == rows.rows
    assert again.totals == rows.totals
    assert again.source == rows.source
    assert again.settings == {**rows.settings, "created": "2026-03-01T12:00:00+00:00"}
    assert again.complete


def test_csv_reads_back_equal_rows_and_names_itself_as_their_source(rows: Rows, tmp_path: Path) -> None:
    again = read_rows(write_report(rows, tmp_path / "rows.csv"))
    assert again.rows == rows.rows
    assert again.totals == ()
    assert again.source.path == "rows.csv"
    assert again.source.size == (tmp_path / "rows.csv").stat().st_size


def test_rows_hold_an_exact_tensor_so_that_infinity_is_really_tried(rows: Rows) -> None:
    exact = next(row for row in rows if row.tensor == "exact" and row.scheme == "int4")
    assert (exact.mse, exact.sqnr_db, exact.enob) == (0.0, math.inf, math.inf)


def test_csv_has_the_columns_in_order_every_digit_empty_null_and_inf(rows: Rows) -> None:
    lines = list(csv.reader(io.StringIO(to_csv(rows), newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(rows) + 1
    cells = dict(zip(COLUMNS, lines[1], strict=True))
    assert float(cells["sqnr_db"]) == rows[0].sqnr_db
    assert cells["mse"] == str(rows[0].mse)
    by_name = {(line[0], line[7]): dict(zip(COLUMNS, line, strict=True)) for line in lines[1:]}
    assert by_name["exact", "int4"]["sqnr_db"] == "inf"
    assert by_name["zeros", "int4"]["sqnr_db"] == ""


def test_csv_cells_that_a_spreadsheet_would_run_start_with_an_apostrophe_and_stay_distinct(rows: Rows) -> None:
    names = [line[0] for line in csv.reader(io.StringIO(to_csv(rows), newline=""))]
    assert "'=cmd()" in names
    assert "''=quoted" in names
    assert not any(name.startswith(("=", "+", "-", "@", "\t", "\r")) for name in names)


@pytest.mark.parametrize("name", ["＝1+1", " =1+1", "\u200b@x", "\x1b]0;x", "\t=1", "'＝1", "-"])
def test_csv_guards_what_spreadsheets_and_terminals_would_run_and_reads_it_back(
    name: str, arrays: dict[str, np.ndarray]
) -> None:
    rows = sweep({name: arrays["part"]}, ["int4"])
    line = list(csv.reader(io.StringIO(to_csv(rows), newline="")))[1]
    assert line[0] == f"'{name}"
    assert _parse(to_csv(rows).encode())[0].tensor == name


def test_no_name_turns_the_reading_direction_of_a_page(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    name = "layer\u202egpj.exe"
    rows = sweep({name: arrays["conv"]}, ["int4"])
    profile = profile_layer(arrays["conv"], Scheme.parse("int4"), name=name)
    page = write_report(rows, tmp_path / "report.html", profiles=[profile]).read_text("utf-8")
    assert "\u202e" not in page
    assert "layer\\u202egpj.exe" in page
    # What stands inside the packed scenes is drawn, too.
    scenes = read_scenes(page)
    assert len(scenes) == 3
    assert not [scene for scene in scenes if "\u202e" in json.dumps(scene, ensure_ascii=False)]


def test_csv_numbers_are_not_escaped() -> None:
    rows = sweep({"w": np.array([-3.0, 1.1, 0.4], np.float32)}, ["int3"])
    line = next(csv.DictReader(io.StringIO(to_csv(rows), newline="")))
    assert rows[0].bias is not None
    assert float(line["bias"]) == rows[0].bias


def test_json_follows_the_shipped_schema(rows: Rows) -> None:
    schema = json.loads(files("qanalysis").joinpath("schema/rows.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(to_json(rows, created=NOON))
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    assert list(schema["$defs"]["row"]["properties"]) == list(COLUMNS)
    broken = {**document, "rows": [{**document["rows"][0], "bits": "four"}]}
    with pytest.raises(jsonschema.ValidationError, match="four"):
        jsonschema.validate(broken, schema)


def test_json_is_strict_and_its_numbers_are_those_of_the_rows(rows: Rows) -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    document = json.loads(to_json(rows), parse_constant=refuse)
    for record, row in zip(document["rows"], rows, strict=True):
        expected = {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in row.to_dict().items()
        }
        assert record == expected
    assert [total["tensor"] for total in document["totals"]] == ["(all)"] * 3


def test_parquet_has_typed_columns(rows: Rows, tmp_path: Path) -> None:
    table = pq.read_table(write_report(rows, tmp_path / "rows.parquet"))
    assert tuple(table.column_names) == COLUMNS
    assert all(table.schema.field(name).type == pa.int64() for name in INTEGER_COLUMNS)
    assert table.schema.field("sqnr_db").type == pa.float64()
    assert math.inf in table["sqnr_db"].to_pylist()
    assert None in table["sqnr_db"].to_pylist()


def test_a_cancelled_sweep_stays_marked_as_partial(rows: Rows, tmp_path: Path) -> None:
    partial = replace(rows, complete=False)
    assert json.loads(to_json(partial))["settings"]["complete"] is False
    for suffix in (".json", ".parquet"):
        assert not read_rows(write_report(partial, tmp_path / f"rows{suffix}")).complete
    assert "Partial" in write_report(partial, tmp_path / "rows.html").read_text("utf-8")
    assert "cancelled" in headline(partial, "int4")


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_rows_of_a_cancelled_sweep_read_back_without_a_digest(rows: Rows, tmp_path: Path, suffix: str) -> None:
    partial = replace(rows, complete=False, source=SourceIdentity(rows.source.path, rows.source.size, None))
    back = read_rows(write_report(partial, tmp_path / f"rows{suffix}"))
    assert (back.source, back.complete) == (partial.source, False)


def test_a_scheme_that_is_not_there_is_refused_with_a_short_list(rows: Rows) -> None:
    many = replace(rows, totals=tuple(replace(rows.totals[0], scheme=f"int4 group={n}") for n in range(1, 100)))
    with pytest.raises(
        ValueError, match=r"scheme 'int3 group=9' is not among the rows; they hold: int4 group=1; .*and \d+ more"
    ):
        headline(many, "int3 group=9")


def test_the_time_of_the_sweep_survives_a_change_of_format(rows: Rows, tmp_path: Path) -> None:
    first = read_rows(write_report(rows, tmp_path / "first.json", created=NOON))
    second = read_rows(write_report(first, tmp_path / "second.parquet", created=datetime(2027, 1, 1, tzinfo=UTC)))
    assert second.settings["created"] == NOON.isoformat()


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".html"])
def test_the_same_rows_and_time_make_the_same_bytes(rows: Rows, tmp_path: Path, suffix: str) -> None:
    contents = [write_report(rows, tmp_path / f"{name}{suffix}", created=NOON).read_bytes() for name in "ab"]
    assert contents[0] == contents[1]


def test_an_unknown_suffix_lists_the_known(rows: Rows, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'.xlsx' is unknown.*\.csv, \.json, \.parquet, \.html"):
        write_report(rows, tmp_path / "rows.xlsx")


def test_targets_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder .* does not exist; create it"):
        check_targets([tmp_path / "none" / "rows.csv"])
    with pytest.raises(ValueError, match="is a folder; give a file name inside"):
        check_targets([tmp_path])
    with pytest.raises(ValueError, match="are the same file"):
        check_targets([tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "." / "a.csv"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_refused() -> None:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc, the one folder that nobody can write to")
    with pytest.raises(ValueError, match=r"not writable.*choose another --out"):
        check_targets(["/proc/rows.csv"])


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(rows: Rows, tmp_path: Path) -> None:
    target = tmp_path / "rows.html"
    target.write_text("old")
    with pytest.raises(ValueError, match="scheme 'int5' is not among the rows"):
        write_report(rows, target, scheme="int5")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def _break(document: dict[str, object], **changes: object) -> str:
    return json.dumps({**document, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "schema_version is 9, this program reads 1"),
        ({"source": []}, r"'source' must be an object, found \[\]"),
        ({"source": {"path": 1}}, "must be path"),
        ({"rows": {}}, "'rows' must be a list"),
        ({"totals": None}, "'totals' must be a list"),
        ({"rows": [{"tensor": "w"}]}, r"rows\[0\]: not a row of qanalysis; missing columns: \['bias'"),
        ({"rows": [7]}, "not a row"),
    ],
    ids=["version", "source", "identity", "rows", "totals", "columns", "number"],
)
def test_a_foreign_document_is_refused_with_its_place(
    rows: Rows, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = tmp_path / "foreign.json"
    file.write_text(_break(json.loads(to_json(rows)), **changes))
    with pytest.raises(ValueError, match=rf"foreign\.json.*{message}"):
        read_rows(file)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("status", "fine", "one of ok, zero"),
        ("tensor", 5, "text"),
        ("numel", None, "a number, not null"),
        ("bits", 4.5, "a 64-bit integer"),
        ("numel", 2**70, "a 64-bit integer"),
        ("bits", True, "a 64-bit integer"),
        ("mse", "low", "a number or null"),
    ],
)
def test_a_wrong_value_is_refused_with_its_column(
    rows: Rows, tmp_path: Path, column: str, value: object, rule: str
) -> None:
    document = json.loads(to_json(rows))
    document["rows"][2][column] = value
    (tmp_path / "rows.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"rows\[2\]: column {column} holds .* must be {rule}"):
        read_rows(tmp_path / "rows.json")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", '{"a": NaN}', "[" * 100_000, "\xff"],
    ids=["empty", "cut", "list", "nan", "deep", "latin"],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"rows.json: (not valid JSON|not a rows file)"):
        read_rows(tmp_path / "rows.json")


def test_broken_csv_is_refused_with_line_and_column(rows: Rows) -> None:
    lines = to_csv(replace(rows, rows=rows.rows[:2])).splitlines()
    with pytest.raises(ValueError, match=r"line 3: .* cells expected"):
        _parse("\n".join([*lines[:2], lines[2] + ",1"]).encode())
    with pytest.raises(ValueError, match=r"line 1: not a row of qanalysis; missing columns: \['bias'"):
        _parse(b"tensor,kind\nw,weight\n")
    with pytest.raises(ValueError, match="line 2: column numel holds 'many', must be an integer"):
        _parse("\n".join([lines[0], lines[1].replace(f",{rows[0].numel},", ",many,", 1)]).encode())
    with pytest.raises(ValueError, match="line 2: column mse holds 'x', must be a number"):
        _parse("\n".join([lines[0], lines[1].replace(str(rows[0].mse), "x", 1)]).encode())
    with pytest.raises(ValueError, match="line 2: column mse holds nan"):
        _parse("\n".join([lines[0], lines[1].replace(str(rows[0].mse), "nan", 1)]).encode())
    with pytest.raises(ValueError, match="not a CSV in UTF-8"):
        _parse(b"\xff\xfe")
    with pytest.raises(ValueError, match="no table of qanalysis"):
        _parse(b"")


def test_foreign_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but nothing more")
    with pytest.raises(ValueError, match=r"broken.parquet: not a readable Parquet file"):
        read_rows(tmp_path / "broken.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="not one of qanalysis"):
        read_rows(tmp_path / "other.parquet")


def test_a_missing_rows_file_and_a_strange_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file; give a rows file written by `qanalysis sweep"):
        read_rows(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"rows are read from .json, .csv, .parquet"):
        read_rows(tmp_path / "rows.html")


def test_the_headline_names_pooled_figures_worst_layer_and_outlier(rows: Rows) -> None:
    total = next(row for row in rows.totals if row.scheme == "int4")
    worst = select_worst(rows, "int4", count=1)[0]
    expected = f"arrays at int4: {total.sqnr_db:.1f} dB pooled, {total.bits_per_weight:.4g} bits per weight; worst: {worst.tensor}, {worst.sqnr_db:.1f} dB"
    assert headline(rows, "int4") == expected
    assert headline(rows, "int4", worst_channel=5) == f"{expected}, outlier channel 5"
    with pytest.raises(ValueError, match="scheme 'int9' is not among the rows; they hold: int4; "):
        headline(rows, "int9")


def test_the_headline_of_rows_without_figures_says_so() -> None:
    rows = sweep({"ids": np.arange(3)}, ["int4"])
    assert headline(rows, "int4") == "arrays at int4: no tensor could be measured"


def test_the_scheme_of_the_summary_is_the_best_below_five_bits(rows: Rows) -> None:
    small = [row for row in rows.totals if row.bits_per_weight is not None and row.bits_per_weight <= 5]
    assert choose_scheme(rows) == max(small, key=lambda row: row.sqnr_db or 0).scheme
    assert choose_scheme(sweep({"w": np.array([[1, 2], [3, 5]], np.float32)}, ["int16", "int12"])) == "int12"
    assert choose_scheme(replace(rows, totals=())) == "int4"
    with pytest.raises(ValueError, match="no rows to summarise"):
        choose_scheme(replace(rows, rows=(), totals=()))


def test_worst_layers_are_the_lowest_of_their_scheme_in_order(rows: Rows) -> None:
    worst = select_worst(rows, "int4", count=4)
    figures = [row.sqnr_db for row in worst]
    others = [row.sqnr_db for row in rows if row.scheme == "int4" and row.sqnr_db is not None and row not in worst]
    assert figures == sorted(figures)
    assert max(figures) <= min(others)


def test_an_outlier_channel_is_three_times_the_median(arrays: dict[str, np.ndarray]) -> None:
    assert find_outlier(profile_layer(arrays["conv"], Scheme.parse("int4"))) == 5
    assert find_outlier(profile_layer(np.array([[1, 2], [2, 1], [2, 2]], np.float32), Scheme.parse("int4"))) is None


def test_the_outlier_of_the_headline_is_that_of_the_worst_layer_under_its_scheme(
    arrays: dict[str, np.ndarray], rows: Rows
) -> None:
    conv = sweep({"conv": arrays["conv"]}, ["int4"])
    profiles = [profile_layer(arrays["conv"], Scheme.parse(text), name="conv") for text in ("int8", "int4")]
    assert find_worst_channel(conv, "int4", profiles) == 5
    assert find_worst_channel(conv, "int4", profiles[:1]) is None
    assert find_worst_channel(rows, "int8 channel", profiles) is None


def test_every_column_and_status_is_defined() -> None:
    assert all(column.label != column.name and column.formula for column in columns_of(Row))
    assert set(STATUS_WORDS) == set(get_args(Status)) == {"ok", "zero", "empty", "non-finite", "unsupported", "failed"}


def test_columns_are_left_out_in_the_stated_order_until_they_fit(rows: Rows) -> None:
    everything, none = pack_columns(rows.rows, limit=10**6)
    assert tuple(everything) == COLUMNS
    assert none == []
    limit = sum(map(len, everything.values())) - 1
    kept, left_out = pack_columns(rows.rows, limit=limit)
    assert left_out == [order_leaving_out(rows.columns)[0]]
    assert set(kept) == set(COLUMNS) - set(left_out)
    with pytest.raises(ValueError, match=r"30 rows need .*--include"):
        pack_columns(rows.rows, limit=100)
