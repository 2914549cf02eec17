"""The row of a linearity test: lists as cells, limits held against it, and how it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.row import LinearityRow, describe_linearity, name_codes, read_dnl, read_inl
from qanalysis.reports.common_sections import list_limits, list_missed
from qanalysis.reports.kinds import load_kinds
from qanalysis.reports.report import write_report
from qanalysis.results.columns import names_of
from qanalysis.results.files import read_table
from qanalysis.results.gates import Gate, LimitCheck, hold_gates
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table

SOURCE = SourceIdentity("ramp.npy", 4096, "sha256:" + "0" * 64)


def test_lists_by_code_are_cells() -> None:
    found = measure_linearity(np.repeat([0, 1, 2, 3], [10, 30, 15, 25]), bits=2)
    row = describe_linearity(found)
    assert (row.bits, row.low, row.high, row.lsb, row.transfer) == (2, 0, 1, 0.25, "mid-tread")
    assert row.to_dict()["dnl_lsb"] == found.dnl_lsb.tolist()
    assert row.inl_bar_max_lsb == max(row.inl_bar_lsb) == found.inl_bar_lsb.max()


def test_every_line_names_a_column_of_its_own() -> None:
    columns = [
        line.column for line in describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4)).lines
    ]
    assert set(columns) <= set(names_of(LinearityRow))
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize(
    ("option", "column", "asked", "met"),
    [
        ("--max-dnl", "dnl", 0.5, True),
        ("--max-dnl", "dnl", 0.49, False),
        ("--max-inl", "inl", 0.7, True),
        ("--max-inl", "inl", 0.69, False),
        ("--max-missing", "missing_codes", 2, True),
        ("--max-missing", "missing_codes", 1, False),
        ("--max-tue", "tue_max_lsb", 5, False),
        ("--min-samples", "samples", 320, True),
        ("--min-samples", "samples", 321, False),
    ],
)
def test_a_limit_is_met_at_its_own_value_and_missed_without_a_figure(
    option: str, column: str, asked: float, *, met: bool
) -> None:
    plain = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    figures = {
        "dnl_min_lsb": -0.5,
        "dnl_max_lsb": 0.3,
        "inl_min_lsb": -0.2,
        "inl_max_lsb": 0.7,
        "missing_codes": (3, 9),
        "tue_max_lsb": None,
    }
    gate = Gate(
        option,
        column,
        "at least" if "min" in option else "at most",
        asked,
        {"dnl": read_dnl, "inl": read_inl}.get(column),
    )
    (check,) = hold_gates(replace(plain, **figures), [gate, Gate("--min-none", "bits", "at least", None)])
    assert (check.limit, check.asked, check.met) == (option, asked, met)


@pytest.mark.parametrize("asked", [float("nan"), float("inf")])
def test_a_limit_that_is_no_number_is_refused(asked: float) -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    with pytest.raises(ValueError, match=f"--max-dnl {asked}: a limit is a finite number"):
        hold_gates(row, [Gate("--max-dnl", "dnl", "at most", asked, read_dnl)])


def test_missed_limits_and_their_lines() -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4, test="ramp"))
    limits = hold_gates(
        row,
        [
            Gate("--min-bits", "bits", "at least", 3),
            Gate("--max-bits", "bits", "at most", 2),
            Gate("--max-offset", "largest_step_back", "at most", 0),
        ],
    )
    table = Table.from_rows(LinearityRow, [row], totals=limits)
    assert [limit.limit for limit in list_missed(table)] == ["--max-bits"]
    (section,) = list_limits(table)
    assert list(section.blocks[0].lines)[1] == ("--max-bits", "2", "4", "missed")
    (section,) = list_limits(replace(table, totals=Frame.from_rows(LimitCheck, [replace(limits[1], reached=None)])))
    assert list(section.blocks[0].lines) == [("--max-bits", "2", "no figure", "missed")]


def test_many_missing_codes_are_counted_and_the_first_named() -> None:
    assert name_codes(tuple(range(15))) == "15: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"


def test_a_row_without_figures_is_stored_and_read_as_it_is(tmp_path: Path) -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(256), 16) & ~4, bits=8))
    unknown = replace(row, missing_codes=None)
    assert (row.dnl_min_lsb, row.dnl_lsb, row.dnl_bar_max_lsb) == (None, (), None)
    for shown in (row, unknown):
        assert shown.find_fault() == ""
        for suffix in ("json", "csv", "parquet"):
            path = tmp_path / f"rows.{suffix}"
            write_report(Table.from_rows(LinearityRow, [shown], totals=(), source=SOURCE), path)
            assert read_table(path, load_kinds()).rows[0] == shown


def test_lists_that_do_not_go_with_the_figures_are_a_fault() -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    assert "column dnl_lsb has 14 items, 4 bits have 0" in replace(row, dnl_min_lsb=None).find_fault()
