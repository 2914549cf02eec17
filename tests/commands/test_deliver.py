"""How results of the converter commands leave: the same row in every file, pages that stand alone."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.commands.asking import LINEARITY, RECORD, ask, ask_json


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
def test_every_kind_of_file_holds_the_same_row(words: tuple[str, ...], folder: Path) -> None:
    row = ask_json(*words)["rows"][0]
    result = ask(
        *words, *(word for suffix in ("csv", "json", "parquet", "html") for word in ("--out", f"out.{suffix}"))
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("wrote ") == 4
    document = json.loads(Path("out.json").read_text("utf-8"))
    assert document["rows"][0] == row
    (cells,) = csv.DictReader(io.StringIO(Path("out.csv").read_text("utf-8")))
    assert list(cells) == list(row)
    for name, value in row.items():
        if isinstance(value, float):
            assert float(cells[name]) == value
        elif isinstance(value, list):
            assert json.loads(cells[name]) == value
    table = pq.read_table("out.parquet")
    assert table.column_names == list(row)
    assert {name: value for name, value in table.to_pylist()[0].items() if not _holds_infinity(value)} == {
        name: row[name] for name, value in table.to_pylist()[0].items() if not _holds_infinity(value)
    }
    head = json.loads(table.schema.metadata[b"qanalysis"])
    assert (head["settings"]["command"], head["source"]) == (words[0], document["source"])


def _holds_infinity(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(item, float) and math.isinf(item) for item in values)


@pytest.mark.parametrize(
    "words",
    [("convert", "--bits", "8", "--range", "0:12", "--input", "4.5"), RECORD, LINEARITY],
    ids=lambda words: words[0],
)
def test_the_page_stands_alone_and_holds_every_figure(words: tuple[str, ...], folder: Path) -> None:
    assert ask(*words, "--out", "page.html").exit_code == 0
    page = Path("page.html").read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    for label in (
        "By which convention",
        "Where it comes from",
        *(("The working",) if words[0] == "convert" else ("Input digest", "Findings")),
    ):
        assert label in page
    packed = re.search(r"data:application/json;base64,([^\"]+)", page)
    assert packed
    assert json.loads(base64.b64decode(packed[1]))["rows"] == ask_json(*words)["rows"]
    assert (page.count('class="ql-root scene"') == 1) == (words[0] != "convert")


def test_the_page_tells_of_a_missed_limit_and_is_written_before_the_exit(folder: Path) -> None:
    assert ask(*RECORD, "--min-enob", "12", "--out", "page.html").exit_code == 1
    assert "--min-enob 12 is missed: reached 11.0" in Path("page.html").read_text("utf-8")


def test_a_page_of_many_codes_leaves_out_the_lists_and_says_so(folder: Path) -> None:
    np.save("wide.npy", np.repeat(np.arange(2**16, dtype=np.uint16), 2))
    assert (
        ask(
            "linearity", "wide.npy", "--bits", "16", "--test", "ramp", "--drive", "0:65536", "--out", "page.html"
        ).exit_code
        == 0
    )
    page = Path("page.html").read_text("utf-8")
    assert len(page) < 6_000_000
    assert "Left out so that this file stays small: dnl_lsb, inl_lsb, dnl_bar_lsb, inl_bar_lsb." in page
    packed = re.search(r"data:application/json;base64,([^\"]+)", page)
    assert packed
    assert "dnl_max_lsb" in json.loads(base64.b64decode(packed[1]))["rows"][0]


def test_names_from_the_input_are_text_on_the_page(folder: Path) -> None:
    Path("<b>x.csv").write_bytes(Path("ramp.csv").read_bytes())
    assert ask("linearity", "<b>x.csv", "--bits", "8", "--test", "ramp", "--out", "page.html").exit_code == 0
    page = Path("page.html").read_text("utf-8")
    assert "&lt;b&gt;x.csv" in page
    assert "<b>x" not in page
