"""What a sweep was of: the line below the headline, the table of what was left out, the columns shown first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from qanalysis.checkpoints.source import TensorInfo, describe_stored
from qanalysis.reports.common_sections import tell_coverage, tell_provenance
from qanalysis.reports.every_row import choose_first
from qanalysis.reports.outline import Bullets, Facts, Grid
from qanalysis.reports.page import render_page
from qanalysis.reports.report import read_result, write_report
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.selection import select_tensors
from qanalysis.sweeps.sweep import sweep

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def packed() -> Rows:
    """A packed weight that was measured, a norm that was not, and a set that lacks a part."""
    weight = TensorInfo("w", (4, 64), "int32", 144, stored="gptq int4 group=64")
    norm = TensorInfo("n", (1200,), "float32", 4800, role="norm")
    rows = sweep({"w": np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)}, ["int4"])
    return replace(
        rows,
        rows=[replace(row, stored=weight.stored) for row in rows],
        source=SourceIdentity("own.safetensors", 4944, None, stored=describe_stored([weight])),
        coverage=select_tensors([weight, norm], notes=("one shard of two",)).to_coverage(),
    )


def test_coverage_is_a_table_with_its_notes_below(packed: Rows) -> None:
    (section,) = tell_coverage(packed)
    grid, notes = section.blocks
    assert isinstance(grid, Grid)
    assert isinstance(notes, Bullets)
    assert (section.heading, grid.columns) == ("Coverage", ["tensors that are", "role", "reason", "tensors", "values"])
    assert grid.lines == [
        ["measured", "weight", "", "1", "256"],
        ["left out", "norm", "role norm is not measured unless asked for", "1", "1,200"],
    ]
    assert (grid.text_columns, notes.items) == (3, [("", "one shard of two")])


def test_notes_alone_are_a_list(packed: Rows) -> None:
    (section,) = tell_coverage(replace(packed, coverage=[{"part": "note", "reason": "one shard of two"}]))
    assert (section.heading, [type(block) for block in section.blocks]) == ("Notes", [Bullets])
    assert tell_coverage(replace(packed, coverage=[])) == []


def test_the_page_says_it_below_the_headline(packed: Rows) -> None:
    told = "1 of 2 tensors, 256 of 1,456 values; left out: 1 norm · stored as gptq int4 group=64, 4.5 bits per weight"
    page = render_page(packed, created=NOON)
    assert f'<p class="under">{told} · one shard of two</p>' in page
    assert (
        "already quantized (gptq int4 group=64, 4.5 bits per weight); figures are relative to its decoded values</p>"
        in page
    )


def test_role_and_layout_are_shown_first_where_there_are_any(packed: Rows) -> None:
    assert choose_first(packed)[:4] == ["tensor", "role", "stored", "scheme"]
    plain = replace(packed, rows=[replace(row, stored="") for row in packed])
    assert choose_first(plain)[:3] == ["tensor", "role", "scheme"]


@pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
def test_role_and_layout_read_back_equal(packed: Rows, tmp_path: Path, suffix: str) -> None:
    again = read_result(write_report(packed, tmp_path / f"x{suffix}", created=NOON))
    assert again.rows == packed.rows
    if suffix != ".csv":
        assert (list(again.coverage), again.source) == (list(packed.coverage), packed.source)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"schemes": ["int4", "int8"], "exclude": None, "axis": {}, "samples": 3}, "schemes: int4, int8; samples: 3"),
        ([{"schemes": ["int4"]}, {}, {"schemes": ["nf4"]}], "schemes: int4 | schemes: nf4"),
        ([True, 2.0], "yes, 2"),
    ],
    ids=["names", "several-with-names", "list"],
)
def test_settings_are_told_in_words(value: object, told: str) -> None:
    table = replace(sweep({"w": np.eye(4, dtype=np.float32)}, ["int4"]), settings={"rows": value, "axis": {}})
    section = tell_provenance(table, NOON)
    (facts,) = section.blocks
    assert isinstance(facts, Facts)
    settings = [fact for fact in facts.items if fact[0].startswith("Setting")]
    assert settings == [("Setting rows", told)]
