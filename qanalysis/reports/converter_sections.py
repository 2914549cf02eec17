"""What is told of a converter or a record? Every figure with its convention, what stands out, tables, limits, the
working.
"""

from __future__ import annotations

from typing import Any

from qanalysis.converters.lines import LineTable
from qanalysis.converters.textbook.row import TextbookRow, list_input_tables
from qanalysis.reports.common_sections import define_columns, list_limits, list_missed, name_missed, tell_coverage
from qanalysis.reports.outline import Bullets, Grid, Outline, Section
from qanalysis.results.table import Table


def outline_converter(table: Table[Any], *, title: str | None = None) -> Outline:
    """A result about a converter as it is told; the figures are those of its first row, findings those of all.

    Of textbook answers every input has its line, and the working follows. Missed limits are warnings. Raises ValueError
    without a row.
    """
    if not len(table):
        raise ValueError("there are no rows to tell of; a command about converters makes at least one")
    first = table[0]
    subject = f"{table.source.path}: {first.subject}" if table.source else first.subject
    lines = [(line.label, line.text, line.convention) for line in first.lines]
    grid = Grid(("figure", "value", "by which convention"), lines, text_columns=3)
    findings = [(finding.title, finding.text) for row in table for finding in row.findings]
    solved = [row for row in table if isinstance(row, TextbookRow)]
    parts = [_show_table(one) for one in (list_input_tables(solved) if solved else first.tables)]
    steps = [("", step) for step in solved[0].working] if solved else []
    return Outline(
        title=title or subject,
        headline=first.headline,
        opening=[subject, first.headline],
        warnings=[f"{name_missed(limit)}." for limit in list_missed(table)],
        lead=[
            Section("figures", "Figures", [grid], "Each with the convention that it follows.", printed=True),
            *([Section("findings", "Findings", [Bullets(findings)], printed=True)] if findings else []),
        ],
        rest=[
            *list_limits(table),
            *parts,
            *([Section("working", "The working", [Bullets(steps, numbered=True)], printed=True)] if steps else []),
            *tell_coverage(table),
            define_columns(table.columns),
        ],
    )


def _show_table(table: LineTable) -> Section:
    """A further table as a section; the terminal leaves out lists of one column."""
    grid = Grid(table.columns, table.lines, text_columns=table.text_columns)
    return Section(table.heading.lower().replace(" ", "-"), table.heading, [grid], printed=len(table.columns) > 1)
