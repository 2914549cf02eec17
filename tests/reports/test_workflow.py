"""Annotations and summaries of a GitHub workflow: escaped as its documentation says, never more than it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qanalysis.commands.gating import hold_conditions
from qanalysis.comparisons.tables import compare_tables
from qanalysis.reports.workflow import MOST_ANNOTATIONS, annotate, summarise
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep


def _compare() -> Table[Any]:
    a, b = ({"a|b<i>": np.float32([[1, -0.5 * k, 0.3]]), "w": np.eye(3, dtype=np.float32)} for k in (1, 2))
    return compare_tables(sweep(a, ["int2"]), sweep(b, ["int2"]), names=("old.json", "new.json"))


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (("too much", "100% worse"), "::error file=m.gguf,title=too much::100%25 worse"),
        (("a: b, c", "d: e, f"), "::error file=m.gguf,title=a%3A b%2C c::d: e, f"),
        (("x", "two\r\nlines ::error::none"), "::error file=m.gguf,title=x::two  lines ::error::none"),
        (("x", "\x1b[2J\u202e"), "::error file=m.gguf,title=x::\\x1b[2J\\u202e"),
    ],
    ids=["percent", "property", "line ends", "control"],
)
def test_one_line_for_each_finding(finding: tuple[str, str], line: str) -> None:
    assert annotate([finding], file="m.gguf") == [line]


def test_a_path_can_not_end_its_property() -> None:
    assert annotate([("t", "m")], file="a,b:c%.json") == ["::error file=a%2Cb%3Ac%25.json,title=t::m"]


def test_without_a_file_there_is_no_property_of_it() -> None:
    assert annotate([("t", "m")], file="") == ["::error title=t::m"]


def test_beyond_ten_the_last_line_counts_the_others() -> None:
    lines = annotate([("t", str(i)) for i in range(25)], file="x")
    assert len(lines) == MOST_ANNOTATIONS
    assert lines[-1].endswith("::16 more findings are in the step's log")
    assert len(annotate([("t", str(i)) for i in range(10)], file="x")) == 10


def test_the_summary_is_markdown_in_which_names_stay_names() -> None:
    table = hold_conditions(_compare(), ["delta_sqnr_db<100"])
    text = summarise(table, [("condition missed", "w|x")])
    assert text.startswith("## old.json against new.json\n\n2 of 2 rows are in both")
    assert "* **condition missed**: w\\|x" in text
    assert "| delta\\_sqnr\\_db \\< 100 | 2 | " in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") in (6, 9, 10, 11, 12, 13) for line in rows)
    assert "a\\|b\\<i\\>" in text
    assert "<i>" not in text
