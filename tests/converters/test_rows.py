"""Rows of the commands about converters: what they take over from the engines, and how limits are held against them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.row import LinearityRow, describe_linearity, name_codes, read_dnl, read_inl
from qanalysis.converters.lines import Told
from qanalysis.converters.spectrum.spectrum import analyze_spectrum, describe_spectrum
from qanalysis.converters.textbook.row import list_textbook_rows
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.reports.common_sections import list_limits, list_missed
from qanalysis.results.columns import names_of
from qanalysis.results.gates import Gate, LimitCheck, hold_gates
from qanalysis.results.table import Frame, Table

CODES = np.rint(2047 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)).astype(np.int64)


def test_a_row_of_a_spectrum_holds_plain_numbers_only() -> None:
    row = describe_spectrum(analyze_spectrum(CODES, fs_hz=1e6, bits=12), findings=())
    for name, value in row.to_dict().items():
        for item in value if isinstance(value, list) else [value]:
            assert type(item) in (float, int, str, bool, dict, type(None)), name


def test_findings_named_before_are_not_named_again() -> None:
    found = analyze_spectrum(np.full(64, 5), bits=12)
    assert [finding.code for finding in found.findings] == ["constant"]
    own = Finding("constant", "It never moves.", 5)
    assert describe_spectrum(found, findings=(own,)).findings == (own,)
    other = Finding("clipping", "It clips.", 1)
    assert [finding.code for finding in describe_spectrum(found, findings=(other,)).findings] == ["clipping", "constant"]


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
def test_a_limit_is_met_at_its_own_value_and_missed_without_a_figure(option: str, column: str, asked: float, *, met: bool) -> None:
    plain = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    figures = {"dnl_min_lsb": -0.5, "dnl_max_lsb": 0.3, "inl_min_lsb": -0.2, "inl_max_lsb": 0.7, "missing_codes": (3, 9), "tue_max_lsb": None}
    gate = Gate(option, column, asked, {"dnl": read_dnl, "inl": read_inl}.get(column))
    (check,) = hold_gates(replace(plain, **figures), [gate, Gate("--min-none", "bits", None)])
    assert (check.limit, check.asked, check.met) == (option, asked, met)


@pytest.mark.parametrize("asked", [float("nan"), float("inf")])
def test_a_limit_that_is_no_number_is_refused(asked: float) -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    with pytest.raises(ValueError, match=f"--max-dnl {asked}: a limit is a finite number"):
        hold_gates(row, [Gate("--max-dnl", "dnl", asked, read_dnl)])


def test_missed_limits_and_their_lines() -> None:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4, test="ramp"))
    limits = hold_gates(row, [Gate("--min-bits", "bits", 3), Gate("--max-bits", "bits", 2), Gate("--max-offset", "largest_step_back", 0)])
    table = Table.from_rows(LinearityRow, [row], totals=limits)
    assert [limit.limit for limit in list_missed(table)] == ["--max-bits"]
    (section,) = list_limits(table)
    assert list(section.blocks[0].lines)[1] == ("--max-bits", "2", "4", "missed")
    (section,) = list_limits(replace(table, totals=Frame.from_rows(LimitCheck, [replace(limits[1], reached=None)])))
    assert list(section.blocks[0].lines) == [("--max-bits", "2", "no figure", "missed")]


def test_many_missing_codes_are_counted_and_the_first_named() -> None:
    assert name_codes(tuple(range(15))) == "15: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"


def test_the_summary_names_the_bound_of_the_transfer() -> None:
    (row,) = list_textbook_rows(solve_textbook(8, 0, 12, transfer="floor"))
    assert row.headline == "Step 46.875 mV, error within 46.875 mV (floor), 0.390625 % of full scale per step."


def test_every_figure_names_a_column_of_its_row() -> None:
    rows: list[Told] = [
        *list_textbook_rows(solve_textbook(8, 0, 5, conversion_time_s=1e-6)),
        describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4)),
        describe_spectrum(analyze_spectrum(CODES, bits=12), findings=()),
    ]
    for row in rows:
        columns = [figure.column for figure in row.lines]
        assert set(columns) <= set(names_of(type(row)))
        assert len(columns) == len(set(columns))
