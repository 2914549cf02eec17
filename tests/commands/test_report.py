"""`report`: stored rows of any command in another form, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from qanalysis.reports.report import read_result, read_rows, write_report
from qanalysis.results import parquet
from qanalysis.results.columns import columns_of
from qanalysis.results.table import Frame
from qanalysis.sweeps.row import Row
from tests.commands.asking import LINEARITY, RECORD, ask, ask_json


def test_report_turns_stored_rows_into_another_format(checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--bits", "4", "--out", "rows.parquet")
    result = ask("report", "rows.parquet", "--out", "rows.json", "--out", "rows.csv")
    assert result.exit_code == 0
    assert read_rows("rows.json").rows == read_rows("rows.csv").rows == read_rows("rows.parquet").rows


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_stored_rows_become_a_report_later(words: tuple[str, ...], suffix: str, folder: Path) -> None:
    limit = {"record": ("--max-thd", "-70"), "linearity": ("--max-dnl", "2"), "convert": ()}[words[0]]
    ask(*words, *limit, "--out", f"rows{suffix}")
    result = ask("report", f"rows{suffix}", "--out", "again.json", "--out", "page.html")
    assert (result.exit_code, result.stderr) == (0, "wrote again.json\nwrote page.html\n")
    again = json.loads(Path("again.json").read_text("utf-8"))
    first = ask_json(*words, *limit)
    again["settings"].pop("created")
    first["settings"].pop("created")
    assert again == first
    assert "By which convention" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 7}, "schema_version is 7, this program reads 1 to 3; run `qanalysis convert` again"),
        ({"rows": [{"bits": 8}]}, "rows[0]: not a row of qanalysis; missing columns: ['actual_error'"),
        ({"rows": None}, "'rows' must be a list of rows, found NoneType; write the file again with `qanalysis convert"),
        ({"totals": [{"limit": "--max-dnl"}]}, "totals[0]: not a row of qanalysis; missing columns: "),
        ({"settings": None}, "must be an object"),
    ],
)
def test_stored_rows_that_were_changed_are_refused(change: dict[str, Any], message: str, folder: Path) -> None:
    ask("convert", "--bits", "8", "--range", "0:12", "--out", "rows.json")
    Path("rows.json").write_text(json.dumps({**json.loads(Path("rows.json").read_text("utf-8")), **change}))
    result = ask("report", "rows.json", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_what_is_no_rows_file_at_all_is_refused_as_ever(suffix: str, folder: Path) -> None:
    Path(f"broken{suffix}").write_text("{")
    result = ask("report", f"broken{suffix}", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "write it again with `qanalysis sweep" in result.stderr


def test_a_scheme_belongs_to_a_sweep_and_nothing_is_written(folder: Path) -> None:
    ask("convert", "--bits", "8", "--range", "0:12", "--out", "rows.json")
    result = ask("report", "rows.json", "--scheme", "int4", "--out", "again.csv", "--out", "again.html")
    assert result.exit_code == 2
    told = "error: --scheme belongs to a sweep; rows.json holds a result of `qanalysis convert`; leave it out"
    assert result.stderr == f"{told}\n"
    assert not list(folder.glob("again.*"))


def test_a_file_without_rows_is_refused_before_the_first_output(checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--scheme", "int4", "--out", "rows.csv")
    Path("rows.csv").write_text(Path("rows.csv").read_text().splitlines()[0] + "\n")
    result = ask("report", "rows.csv", "--out", "again.json", "--out", "again.html")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "rows.csv: holds no rows, there is nothing to report" in result.stderr
    assert not Path("again.json").exists()


def test_a_csv_can_not_tell_whether_the_sweep_was_complete_and_says_so(checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--scheme", "int4", "--out", "rows.csv")
    result = ask("report", "rows.csv", "--out", "again.json")
    assert result.exit_code == 0
    assert "rows.csv: a CSV holds no totals and can not say whether the sweep was complete" in result.stderr


def test_diagnoses_and_a_mark_of_byte_order_survive_a_report(checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--scheme", "int4", "--out", "rows.json")
    document = json.loads(Path("rows.json").read_text())
    diagnoses = [{"name": "attention", "advice": "group=32"}]
    Path("marked.json").write_text("\ufeff" + json.dumps({**document, "diagnoses": diagnoses}), encoding="utf-8")
    assert ask("report", "marked.json", "--out", "again.json").exit_code == 0
    again = json.loads(Path("again.json").read_text())
    assert again["diagnoses"] == diagnoses
    assert again["rows"] == document["rows"]


def test_integers_of_findings_and_limits_stay_integers(folder: Path) -> None:
    assert ask(*LINEARITY, "--max-missing", "2", "--out", "rows.json").exit_code == 0
    ask("report", "rows.json", "--out", "again.json")
    first, again = (json.loads(Path(name).read_text()) for name in ("rows.json", "again.json"))
    (limit,) = again["totals"]
    assert list(map(repr, (limit["asked"], limit["reached"]))) == ["2", "1"]
    assert repr(again["rows"][0]["findings"]) == repr(first["rows"][0]["findings"])


def test_a_listing_from_an_older_version_is_named(checkpoint: Path) -> None:
    document = json.loads(ask("show", str(checkpoint), "--json").stdout)
    del document["settings"]["command"]
    Path("old.json").write_text(json.dumps(document))
    result = ask("report", "old.json", "--out", "again.csv")
    assert result.exit_code == 2
    assert "old.json: a result of `qanalysis show` from an older version; run `qanalysis show SOURCE" in result.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {"complete": "x"}}, "rows.json: complete is 'x', must be true or false"),
        ({"settings": {"created": 5}}, "rows.json: created is 5, must be text"),
        ({"tool_version": []}, "rows.json: tool_version is [], must be text"),
    ],
    ids=["complete", "created", "version"],
)
def test_facts_of_a_document_have_their_kinds(change: dict[str, Any], told: str, checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--scheme", "int4", "--out", "rows.json")
    Path("rows.json").write_text(json.dumps({**json.loads(Path("rows.json").read_text()), **change}))
    result = ask("report", "rows.json", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert told in result.stderr


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_a_count_below_zero_is_refused(suffix: str, checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--scheme", "int4", "--out", f"rows{suffix}")
    rows = read_rows(f"rows{suffix}")
    write_report(replace(rows, rows=[replace(rows[0], numel=-5), *rows[1:]], totals=()), f"wrong{suffix}")
    result = ask("report", f"wrong{suffix}", "--out", "again.csv")
    assert result.exit_code == 2
    assert "column numel holds -5, must be at least 0" in result.stderr


@pytest.mark.parametrize("place", [79, -1])
def test_parquet_that_points_beyond_its_own_texts_is_refused(place: int) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([place], pa.int32()), pa.array(["w"]), safe=False)
    (scheme,) = [one for one in columns_of(Row) if one.name == "scheme"]
    damaged = SimpleNamespace(read=lambda columns: {columns[0]: pa.chunked_array([words])})
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        parquet._read_column(damaged, scheme)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_lists_by_code_are_as_long_as_the_converter_has_codes(suffix: str, folder: Path) -> None:
    ask(*LINEARITY, "--out", "rows.json")
    rows = read_result("rows.json")
    short = replace(rows[0], dnl_lsb=rows[0].dnl_lsb[:-1])
    write_report(replace(rows, rows=Frame.from_rows(rows.row_type, [short])), f"wrong{suffix}")
    result = ask("report", f"wrong{suffix}", "--out", "again.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "rows[0]: column dnl_lsb has 253 items, 8 bits have 254" in result.stderr
