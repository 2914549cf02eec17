"""How do results about converters look in a terminal? Each figure with its convention, then the limits, then what stands out."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from qanalysis.converters.rows import ConverterRow, ConverterRows
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow, list_input_tables
from qanalysis.reports.converter_figures import LIMIT_COLUMNS, describe_subject, list_limit_lines
from qanalysis.reports.terminal import clean_text, print_table


def print_converter_rows(rows: ConverterRows) -> None:
    """The tables of one command on standard output; nothing is cut."""
    first, solved = rows.rows[0], [row for row in rows.rows if isinstance(row, TextbookRow)]
    lines = [(line.label, line.text, line.convention) for line in first.lines]
    print_table(clean_text(describe_subject(rows)), ["figure", "value", "by which convention"], lines, text_columns=3)
    for table in list_input_tables(solved) if solved else first.tables if isinstance(first, RecordRow) else ():
        typer.echo()
        print_table(table.heading, list(table.columns), table.lines, text_columns=table.text_columns)
    if solved:
        typer.echo("\nThe working")
        typer.echo("\n".join(f"  {clean_text(step)}" for step in solved[0].working))
    if rows.limits:
        typer.echo()
        print_table("Limits", list(LIMIT_COLUMNS), list_limit_lines(rows.limits))
    _print_findings(rows.rows)


def _print_findings(rows: Sequence[ConverterRow]) -> None:
    findings = [finding for row in rows for finding in row.findings]
    if findings:
        typer.echo("\nFindings")
        typer.echo("\n".join(f"  {finding.title}: {clean_text(finding.text)}" for finding in findings))
