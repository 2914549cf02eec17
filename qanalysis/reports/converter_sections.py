"""What is told of a converter or a record? Every figure with its convention, what stands out, inputs, lines, limits, the working."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qanalysis.converters.rows import ConverterRow, LinearityRow, RecordRow, TextbookRow
from qanalysis.reports.common_sections import define_columns, list_limits, list_missed, name_missed, tell_coverage
from qanalysis.reports.figures import (
    HARMONIC_COLUMNS,
    INPUT_COLUMNS,
    WORD_COLUMNS,
    describe_subject,
    list_figures,
    list_harmonic_lines,
    list_input_lines,
    list_word_lines,
    sum_up,
)
from qanalysis.reports.outline import Bullets, Grid, Outline, Section
from qanalysis.results.table import Table


def outline_converter(table: Table[Any], *, title: str | None = None) -> Outline:
    """A result about a converter as it is told; the figures are those of its first row. Raises ValueError without a row."""
    if not len(table):
        raise ValueError("there are no rows to tell of; a command about converters makes at least one")
    first, subject = table[0], describe_subject(table[0], table.source)
    lines = [(figure.label, figure.text, figure.convention) for figure in list_figures(first)]
    grid = Grid(("figure", "value", "by which convention"), lines, text_columns=3)
    figures = Section("figures", "Figures", [grid], "Each with the convention that it follows.", printed=True)
    findings = [(finding.title, finding.text) for row in table for finding in row.findings]
    working = (
        [Section("working", "The working", [Bullets([("", step) for step in first.working], numbered=True)], printed=True)]
        if isinstance(first, TextbookRow)
        else []
    )
    return Outline(
        title=title or subject,
        headline=sum_up(first),
        opening=[subject],
        warnings=[f"{name_missed(limit)}." for limit in list_missed(table)],
        lead=[figures, *([Section("findings", "Findings", [Bullets(findings)], printed=True)] if findings else [])],
        rest=[*list_limits(table), *_list_parts(list(table)), *working, *tell_coverage(table), define_columns(table.columns)],
    )


def _list_parts(rows: Sequence[ConverterRow]) -> list[Section]:
    """Tables beside the figures: harmonics of a record, missing codes, inputs of a textbook problem."""
    first = rows[0]
    if isinstance(first, RecordRow) and first.harmonics:
        return [Section("harmonics", "Harmonics", [Grid(HARMONIC_COLUMNS, list_harmonic_lines(first), text_columns=len(HARMONIC_COLUMNS))], printed=True)]
    if isinstance(first, LinearityRow) and first.missing_codes:
        return [Section("missing", "Missing codes", [Grid(("code",), [(str(code),) for code in first.missing_codes])])]
    solved = [row for row in rows if isinstance(row, TextbookRow) and row.input is not None]
    if not solved:
        return []
    return [
        Section("inputs", "Inputs", [Grid(INPUT_COLUMNS, list_input_lines(solved), text_columns=len(INPUT_COLUMNS))], printed=True),
        Section("words", "Code words", [Grid(WORD_COLUMNS, list_word_lines(solved), text_columns=len(WORD_COLUMNS))], printed=True),
    ]
