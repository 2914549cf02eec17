"""`report`: stored rows of any command in another form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanalysis.reports.report import read_rows
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
        ({"schema_version": 7}, "schema_version is 7, this program reads 1; run `qanalysis convert` again"),
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
